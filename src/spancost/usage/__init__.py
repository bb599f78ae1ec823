# SPDX-License-Identifier: Apache-2.0
"""
Usage: its values, and how the instrumentations of the field write it on spans.

Who only has a `Usage` to price does not load the readers: every name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spancost.usage.dialects import Dialect
    from spancost.usage.meaning import Reading
    from spancost.usage.reader import dialect_of, read_usage
    from spancost.usage.values import Usage

__all__ = ["Dialect", "Reading", "Usage", "dialect_of", "read_usage"]

_HOMES: Final = {
    "Dialect": "spancost.usage.dialects",
    "Reading": "spancost.usage.meaning",
    "Usage": "spancost.usage.values",
    "dialect_of": "spancost.usage.reader",
    "read_usage": "spancost.usage.reader",
}


def __getattr__(name: str) -> object:
    """Import a name from its home on first use, and keep it."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
