# SPDX-License-Identifier: Apache-2.0
"""
What the first pass keeps of every span: ids, parent, times and kind, in arrays.

A span costs about 190 bytes here whatever it says, so a recording of ten million spans fits into
memory; names are kept only where they can name an agent.
"""

from __future__ import annotations

from array import array
from itertools import groupby
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from spancost.calls.nodes import Process
    from spancost.otlp import Span

_Value = TypeVar("_Value", bound="Hashable")

NO_PARENT: Final = -1
NEVER: Final = 2**63 - 1
"""The end time of a span that never ended."""

_LAST: Final = NEVER - 1
"""The latest time that is told apart: the year 2262."""


class Interned(Generic[_Value]):
    """Values by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[_Value, int] = {}
        self._values: list[_Value] = []

    def number(self, value: _Value) -> int:
        """Return the number of a value."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self._values)
            self._values.append(value)
        return found

    def __getitem__(self, number: int) -> _Value:
        return self._values[number]


class Skeleton:
    """The arrays, one entry a span."""

    def __init__(self) -> None:
        self.strings: Interned[str] = Interned()
        self.processes: Interned[Process] = Interned()
        self.trace = array("I")
        self.span_id = array("Q")
        self.parent_id = array("Q")
        self.start = array("q")
        self.end = array("q")
        self.scope = array("I")
        self.name = array("I")
        self.process = array("I")
        self.service = array("I")
        self.main_agent = array("I")
        self.agent = array("I")
        self.agent_why = array("I")
        self.call_type = array("I")
        self.open_kind = array("B")
        self.detached = array("B")
        self.remote = array("B")
        self.facts = array("Q")
        self._columns: tuple[array[int], ...] = (
            *(self.trace, self.span_id, self.parent_id, self.start, self.end, self.scope, self.name),
            *(
                self.process,
                self.service,
                self.main_agent,
                self.agent,
                self.agent_why,
                self.call_type,
                self.open_kind,
            ),
            *(self.detached, self.remote, self.facts),
        )
        self.parent = array("i")
        self.children = array("I")
        self.across_services = False
        self._index: dict[int, int] = {}
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

    def place(self, span: Span) -> int | None:
        """
        Take a span's identity and times, and return its index; None where the recording has it already.

        Of two records of one span the finished one counts. Spans that end before they start have
        no length.
        """
        trace = self.trace_number(span.trace_id)
        span_id = int(span.span_id, 16)
        key = (trace << 64) | span_id  # one integer a key: a tuple would double what a span costs
        index = self._index.get(key)
        start = min(span.start, _LAST)
        end = NEVER if span.end is None else min(max(span.end, start), _LAST)
        if index is not None:
            self.repeated += 1
            if self.end[index] != NEVER or end == NEVER:
                return None
        else:
            index = self._index[key] = len(self.start)
            for column in self._columns:
                column.append(0)
        self.trace[index], self.span_id[index] = trace, span_id
        self.parent_id[index] = int(span.parent_id, 16) if span.parent_id else 0
        self.start[index], self.end[index] = start, end
        self.remote[index] = span.is_remote_parent is True
        return index

    def take(self, other: Skeleton, i: int) -> int:
        """Take over one row of another skeleton, without its facts, and return its index here."""
        trace = self.trace_number(other.trace_id(i))
        index = len(self.start)
        self._index[(trace << 64) | other.span_id[i]] = index
        for mine, theirs in zip(self._columns, other._columns, strict=True):
            mine.append(theirs[i])
        self.trace[index], self.facts[index] = trace, 0
        self.process[index] = self.processes.number(other.processes[other.process[i]])
        for name in ("scope", "name", "service", "main_agent", "agent", "agent_why", "call_type"):
            getattr(self, name)[index] = self.strings.number(other.strings[getattr(other, name)[i]])
        return index

    def link(self, *, across_services: bool) -> None:
        """Find every span's parent; a remote one is none unless asked for."""
        self.across_services = across_services
        index = self._index
        for i in range(len(self.start)):
            parent = NO_PARENT
            if self.parent_id[i] and (across_services or not self.remote[i]):
                parent = index.get((self.trace[i] << 64) | self.parent_id[i], NO_PARENT)
            self.parent.append(NO_PARENT if parent == i else parent)
        self._index = {}
        self._break_cycles()
        self.children = array("I", bytes(self.children.itemsize * len(self.start)))
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
        order = sorted(range(len(self.start)), key=self.start.__getitem__)
        return array(
            "L", self._without_ties(order, self.start, lambda i: (self.span_id[i], self.trace_id(i)))
        )

    def by_end(self) -> Sequence[int]:
        """Return the spans that ended, in order; on a tie the child before its parent."""
        ended = sorted((i for i in range(len(self.end)) if self.end[i] != NEVER), key=self.end.__getitem__)
        depth = self._depths()

        def rank(i: int) -> tuple[int, int, int, str]:
            return -depth[i], -self.start[i], self.span_id[i], self.trace_id(i)

        return array("I", self._without_ties(ended, self.end, rank))

    @staticmethod
    def _without_ties(
        order: Iterable[int], times: array[int], rank: Callable[[int], tuple[object, ...]]
    ) -> Iterator[int]:
        """Order the spans of one time, so that the order of the file decides nothing."""
        for _, group in groupby(order, key=times.__getitem__):
            tied = list(group)
            if len(tied) > 1:
                tied.sort(key=rank)
            yield from tied

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
