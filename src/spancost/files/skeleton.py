# SPDX-License-Identifier: Apache-2.0
"""
What the first pass keeps of every span: ids, parent, times and kind, in arrays.

A span costs about 160 bytes here whatever it says, so a recording of ten million spans fits into
memory; names are kept only where they can name an agent.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_PARENT: Final = -1
NEVER: Final = 2**63 - 1
"""The end time of a span that never ended."""


class Interned:
    """Strings by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._values: list[str] = []

    def number(self, value: str) -> int:
        """Return the number of a string."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self._values)
            self._values.append(value)
        return found

    def __getitem__(self, number: int) -> str:
        return self._values[number]


class Skeleton:
    """The arrays, one entry a span."""

    def __init__(self) -> None:
        self.strings = Interned()
        self.trace = array("L")
        self.span_id = array("Q")
        self.parent_id = array("Q")
        self.start = array("q")
        self.end = array("q")
        self.scope = array("L")
        self.name = array("L")
        self.process = array("L")
        self.service = array("L")
        self.agent = array("L")
        self.agent_why = array("L")
        self.kind = array("B")
        self.call_type = array("L")
        self.open_kind = array("B")
        self.detached = array("B")
        self.remote = array("B")
        self.facts = array("Q")
        self.parent = array("l")
        self.children = array("L")
        self._index: dict[tuple[int, int], int] | dict[int, int] = {}
        self._traces: dict[str, int] = {}
        self._trace_ids: list[str] = []
        self.repeated = 0

    def __len__(self) -> int:
        return len(self.start)

    def trace_id(self, index: int) -> str:
        """Return the trace id of a span."""
        return self._trace_ids[self.trace[index]]

    def trace_number(self, trace_id: str) -> int:
        """Return the number of a trace."""
        number = self._traces.get(trace_id)
        if number is None:
            number = self._traces[trace_id] = len(self._trace_ids)
            self._trace_ids.append(trace_id)
        return number

    def is_new(self, trace: int, span_id: int) -> bool:
        """Take a span's identity; False where the recording had that very span before."""
        # One integer a key: a tuple would double what a span costs.
        key = (trace << 64) | span_id
        if key in self._index:
            self.repeated += 1
            return False
        self._index[key] = len(self.start)  # type: ignore[index]
        return True

    def link(self, *, across_services: bool) -> None:
        """Find every span's parent; a remote one is none unless asked for."""
        index = self._index
        for i in range(len(self.start)):
            parent = NO_PARENT
            if self.parent_id[i] and (across_services or not self.remote[i]):
                parent = index.get((self.trace[i] << 64) | self.parent_id[i], NO_PARENT)  # type: ignore[call-overload]
            self.parent.append(NO_PARENT if parent == i else parent)
        self._index = {}
        self._break_cycles()
        self.children = array("L", bytes(self.children.itemsize * len(self.start)))
        for parent in self.parent:
            if parent != NO_PARENT:
                self.children[parent] += 1

    def _break_cycles(self) -> None:
        """Cut parents that lead back to the span itself: recordings can say anything."""
        state = bytearray(len(self.start))  # 0 not seen, 1 on the way, 2 known to end at a root
        for first in range(len(self.start)):
            path = []
            i = first
            while i != NO_PARENT and state[i] == 0:
                state[i] = 1
                path.append(i)
                i = self.parent[i]
            if i != NO_PARENT and state[i] == 1:
                self.parent[path[-1]] = NO_PARENT
            for seen in path:
                state[seen] = 2

    def by_start(self) -> Sequence[int]:
        """Return the spans in the order they started."""
        return array("L", sorted(range(len(self.start)), key=self.start.__getitem__))

    def by_end(self) -> Sequence[int]:
        """Return the spans that ended, in order; on a tie the child before its parent."""
        ended = [i for i in range(len(self.start)) if self.end[i] != NEVER]
        depth = self._depths()
        ended.sort(key=lambda i: (self.end[i], -self.start[i], -depth[i]))
        return array("L", ended)

    def _depths(self) -> array[int]:
        depth = array("H", bytes(2 * len(self.start)))
        for first in range(len(self.start)):
            path = []
            i = first
            while i != NO_PARENT and not depth[i]:
                path.append(i)
                i = self.parent[i]
            level = depth[i] if i != NO_PARENT else 0
            for seen in reversed(path):
                level = min(level + 1, 65_535)
                depth[seen] = level
        return depth
