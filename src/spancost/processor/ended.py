# SPDX-License-Identifier: Apache-2.0
"""
Which spans have been through the engine, for exporters: no span is priced twice (design 5.6).

Kept only where a `CostSpanExporter` asks. What is known of a span stands on the attributes object that
the exporters' copies of it share, and so lasts as long as they do. Processors that rebuild spans give
exporters another object; for these there is a record by id, of the last 16,384 spans at least.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from spancost.processor._sdk import mark_object_of

Marks = Mapping[str, Any]
Key = tuple[int, int]

NOTHING_LEFT: Final[Marks] = {}
"""For a span that needs no more attributes: all are on it, or there are none."""

MAX_EACH: Final = 16_384


class EndedSpans:
    """
    What is left to put on spans that ended.

    Without a lock: hooks of any thread add, also in a finaliser. Two dictionaries take turns, so
    forgetting is one assignment.

    Args:
        slot: Under what name an attributes object says it; each engine has its own.
    """

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._new: dict[Key, Marks] = {}
        self._old: dict[Key, Marks] = {}

    def add(self, span: Any, key: Key, left: Marks) -> None:
        """Note that a span has been through the engine, and what is left to put on it."""
        # What has no attributes of its own, or a plain dictionary, is known by its id alone.
        with contextlib.suppress(AttributeError):
            setattr(mark_object_of(span), self._slot, left)
        if len(self._new) >= MAX_EACH:
            self._old, self._new = self._new, {}
        self._new[key] = left

    def left_of(self, span: Any, key: Key) -> Marks | None:
        """Return what is left to put on a span, None where the engine does not know it."""
        left: Marks | None = getattr(mark_object_of(span), self._slot, None)
        if left is None:
            left = self._new.get(key)
        return left if left is not None else self._old.get(key)
