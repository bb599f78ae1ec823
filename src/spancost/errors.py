# SPDX-License-Identifier: Apache-2.0
"""
The errors spancost raises.

    SpancostError
    ├── UsageError         a usage whose parts contradict each other (also a ValueError)
    ├── PriceBookError     a price table or pricing file that cannot be used (also a ValueError)
    └── InputError         an input file that cannot be read (also a ValueError)
"""

from __future__ import annotations


class SpancostError(Exception):
    """Base of every error that spancost raises on purpose."""


class UsageError(SpancostError, ValueError):
    """A usage that cannot be: a negative count, or a part above its whole."""


class PriceBookError(SpancostError, ValueError):
    """A price table or pricing file that cannot be used; the message lists every problem."""


class InputError(SpancostError, ValueError):
    """An input file, or a part of one, that cannot be read; the message names it."""
