# SPDX-License-Identifier: Apache-2.0
"""
What the first pass keeps of every span: ids, parent, times and kind, in arrays.

A span costs 155 bytes here whatever it says, so a recording of ten million spans fits into
memory. What many spans have in common when they start (scope, process, service, kind, agent) is kept
once and referred to by number; names are among it only where they can name an agent.
"""

from __future__ import annotations

from array import array
from itertools import compress, groupby
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from spancost.calls.agents import AgentName
    from spancost.calls.kinds import Kind
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

    def __iter__(self) -> Iterator[_Value]:
        return iter(self._values)


class Place(NamedTuple):
    """What a resource says of the spans made under it."""

    process: Process
    service: str
    main_agent: str


class Site(NamedTuple):
    """What a span is when it starts, as all that start alike."""

    place: Place
    scope: str
    name: str
    kind: Kind | None
    call_type: str
    agent: AgentName | None
    is_detached: bool
    is_remote: bool


class Skeleton:
    """The arrays, one entry a span."""

    def __init__(self) -> None:
        self.sites: Interned[Site] = Interned()
        self.trace = array("I")
        self.span_id = array("Q")
        self.parent_id = array("Q")
        self.start = array("q")
        self.end = array("q")
        self.site = array("I")
        self.facts = array("Q")
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

    def site_of(self, index: int) -> Site:
        """Return what a span is when it starts."""
        return self.sites[self.site[index]]

    def place(self, span: Span, site: int) -> int | None:
        """
        Take a span's identity, times and site, and return its index; None where it is here already.

        Of two records of one span the finished one counts. Spans that end before they start have
        no length.
        """
        trace = self._traces.get(span.trace_id)
        if trace is None:
            trace = self.trace_number(span.trace_id)
        span_id = int(span.span_id, 16)
        parent_id = int(span.parent_id, 16) if span.parent_id else 0
        start, end = span.start, span.end
        start = min(start, _LAST)
        if end is None:
            end = NEVER
        elif end < start:
            end = start
        elif end > _LAST:
            end = _LAST
        new = len(self.start)
        # One integer a key: a tuple would double what a span costs.
        index = self._index.setdefault((trace << 64) | span_id, new)
        if index != new:
            return self._replace(index, parent_id, start, end, site)
        self.trace.append(trace)
        self.span_id.append(span_id)
        self.parent_id.append(parent_id)
        self.start.append(start)
        self.end.append(end)
        self.site.append(site)
        self.facts.append(0)
        return index

    def _replace(self, index: int, parent_id: int, start: int, end: int, site: int) -> int | None:
        self.repeated += 1
        if self.end[index] != NEVER or end == NEVER:
            return None
        self.parent_id[index], self.site[index] = parent_id, site
        self.start[index], self.end[index] = start, end
        return index

    def take(self, other: Skeleton, i: int) -> int:
        """Take over one row of another skeleton, without its facts, and return its index here."""
        trace = self.trace_number(other.trace_id(i))
        index = len(self.start)
        self._index[(trace << 64) | other.span_id[i]] = index
        self.trace.append(trace)
        self.span_id.append(other.span_id[i])
        self.parent_id.append(other.parent_id[i])
        self.start.append(other.start[i])
        self.end.append(other.end[i])
        self.site.append(self.sites.number(other.site_of(i)))
        self.facts.append(0)
        return index

    def link(self, *, across_services: bool) -> None:
        """Find every span's parent; a remote one is none unless asked for."""
        self.across_services = across_services
        find = self._index.get
        remote = [site.is_remote and not across_services for site in self.sites]
        start, parents = self.start, self.parent
        backwards: list[int] = []
        for i, (trace, parent_id, site) in enumerate(zip(self.trace, self.parent_id, self.site, strict=True)):
            parent = NO_PARENT
            if parent_id and not remote[site]:
                parent = find((trace << 64) | parent_id, NO_PARENT)
                if parent == i:
                    parent = NO_PARENT
                elif parent != NO_PARENT and start[parent] >= start[i]:
                    backwards.append(i)
            parents.append(parent)
        self._index = {}
        if self._has_cycle(backwards):
            self._break_cycles()

    def count_children(self, spans: Iterable[int]) -> None:
        """Count the children that some spans are."""
        parent = self.parent
        self.children = children = array("I", bytes(4 * len(parent)))
        for i in spans:
            above = parent[i]
            if above != NO_PARENT:
                children[above] += 1

    def _has_cycle(self, backwards: list[int]) -> bool:
        """Tell whether parents lead in a circle, given the spans whose parent did not start before them."""
        state = bytearray(len(self.start))
        for first in backwards:  # every circle has one
            path = []
            i = first
            while i != NO_PARENT and state[i] == 0:
                state[i] = 1
                path.append(i)
                i = self.parent[i]
            if i != NO_PARENT and state[i] == 1:
                return True
            for seen in path:
                state[seen] = 2
        return False

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

    def needed(self) -> Sequence[int]:
        """
        Return the spans without which calls could come out differently: those that matter, and all above them.

        A span without facts only stands between others. Where none of those below it matters either,
        the engine learns from it only that time passed, unless it sticks out of the span above it:
        then its end is when everything below that one has ended.
        """
        parent, start, end = self.parent, self.start, self.end
        needed = bytearray(len(start))
        for i, matters in enumerate(self.facts):
            if not matters:
                above = parent[i]
                if above == NO_PARENT or (end[i] <= end[above] and start[i] >= start[above]):
                    continue
            above = i
            while above != NO_PARENT and not needed[above]:
                needed[above] = 1
                above = parent[above]
        return array("I", [i for i, is_needed in enumerate(needed) if is_needed])

    def other_ends(self, needed: Sequence[int]) -> Sequence[int]:
        """Return when the spans that are not needed ended, in order."""
        if len(needed) == len(self.end):
            return ()
        left_out = bytearray(b"\1") * len(self.end)
        for i in needed:
            left_out[i] = 0
        return array("q", sorted(end for end in compress(self.end, left_out) if end != NEVER))

    def by_start(self, spans: Iterable[int]) -> Sequence[int]:
        """Return some spans in the order they started."""
        order = sorted(spans, key=self.start.__getitem__)
        return array(
            "L", self._without_ties(order, self.start, lambda i: (self.span_id[i], self.trace_id(i)))
        )

    def by_end(self, spans: Iterable[int]) -> Sequence[int]:
        """Return those of some spans that ended, in order; on a tie the child before its parent."""
        end = self.end
        ended = sorted((i for i in spans if end[i] != NEVER), key=end.__getitem__)
        depth: array[int] | None = None

        def rank(i: int) -> tuple[int, int, int, str]:
            nonlocal depth
            if depth is None:
                depth = self._depths(ended)
            return -depth[i], -self.start[i], self.span_id[i], self.trace_id(i)

        return array("I", self._without_ties(ended, end, rank))

    @staticmethod
    def _without_ties(
        order: list[int], times: array[int], rank: Callable[[int], tuple[object, ...]]
    ) -> Iterable[int]:
        """Order the spans of one time, so that the order of the file decides nothing."""
        if len({times[i] for i in order}) == len(order):
            return order
        ordered: list[int] = []
        for _, group in groupby(order, key=times.__getitem__):
            tied = list(group)
            if len(tied) > 1:
                tied.sort(key=rank)
            ordered += tied
        return ordered

    def _depths(self, spans: Iterable[int]) -> array[int]:
        depth = array("H", bytes(2 * len(self.start)))
        for first in spans:
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
