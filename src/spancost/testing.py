# SPDX-License-Identifier: Apache-2.0
"""
The public test kit: mistakes inside spancost's hooks become errors of the test.

    with spancost.testing.strict():
        run_my_agents()

In production no hook raises into the program: what fails is counted in
``spancost_internal_errors_total`` and logged once. A test rather wants to hear of it at once. For a
whole test run set ``SPANCOST_STRICT=1`` in its environment.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from spancost.processor.guard import set_strict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["strict"]


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Let what fails inside a hook of spancost raise out of it, on every thread, while the block lasts."""
    before = set_strict(True)
    try:
        yield
    finally:
        set_strict(before)
