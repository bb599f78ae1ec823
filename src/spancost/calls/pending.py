# SPDX-License-Identifier: Apache-2.0
"""
Frozen calls that wait to be settled: an open span of a detached scope may still name their agent.

Such a span (OpenInference-LangChain, LangSmith) is never made current, so the calls it encloses are
in other traces, and it is found only at its end. A call waits while one that began before it is
open (design 5.1 c), ten minutes at most and 10,000 calls at most.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls.nodes import Call, Node

MAX_WAIT_NS: Final = 600 * 10**9
MAX_PENDING: Final = 10_000


class PendingCalls:
    """
    The calls that wait, by when they began.

    Args:
        settle: Receives each call once, when nothing can bring its agent any more.
    """

    def __init__(self, settle: Callable[[Call], None]) -> None:
        self._settle = settle
        self._numbers = count()
        self._open: list[tuple[int, int, Node]] = []
        self._by_start: list[tuple[int, int, Call]] = []
        self._by_age: deque[tuple[int, Call]] = deque()
        self._waiting = 0
        self.overflowed = 0

    def __len__(self) -> int:
        return self._waiting

    def opened(self, node: Node) -> None:
        """Take a span of a detached scope that started."""
        heapq.heappush(self._open, (node.start, next(self._numbers), node))

    def closed(self) -> None:
        """Settle what waited for spans that ended."""
        while self._open and not self._open[0][2].is_open:
            heapq.heappop(self._open)
        earliest = self._open[0][0] if self._open else None
        while self._by_start and (earliest is None or self._by_start[0][0] < earliest):
            self._finish(heapq.heappop(self._by_start)[2])

    def add(self, call: Call, now: int) -> None:
        """Take a call whose money is final."""
        if not self._open or call.start < self._open[0][0]:
            self._waiting += 1
            self._finish(call)
            return
        self._waiting += 1
        heapq.heappush(self._by_start, (call.start, next(self._numbers), call))
        self._by_age.append((now, call))
        if self._waiting > MAX_PENDING:
            self.overflowed += 1
            self._settle_oldest()

    @property
    def may_expire(self) -> bool:
        """Whether any call waits."""
        return bool(self._by_age)

    def expire(self, now: int) -> None:
        """Settle what waited too long, by span time."""
        while self._by_age and (self._by_age[0][1].settled or now - self._by_age[0][0] > MAX_WAIT_NS):
            self._finish(self._by_age.popleft()[1])

    def flush(self) -> None:
        """Settle everything, whatever is open."""
        while self._by_start:
            self._finish(heapq.heappop(self._by_start)[2])
        self._by_age.clear()

    def _settle_oldest(self) -> None:
        while self._by_age:
            call = self._by_age.popleft()[1]
            if not call.settled:
                self._finish(call)
                return

    def _finish(self, call: Call) -> None:
        if call.settled:
            return
        self._waiting -= 1
        self._settle(call)
        if len(self._by_start) > 2 * (self._waiting + MAX_PENDING):
            # What was settled by age stands behind a span that never ends.
            self._by_start = [entry for entry in self._by_start if not entry[2].settled]
            heapq.heapify(self._by_start)
