# SPDX-License-Identifier: Apache-2.0
"""
Recorded spans through the engine, in the order things happened.

Two passes: the first reads every span once, keeps a skeleton of it and sets the facts of those that
matter aside; the second replays starts and ends by time. So agents whose spans end last are known,
and no content stays in memory. Several files are one recording.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from spancost.calls.agents import LANGCHAIN_SCOPES
from spancost.calls.engine import Engine
from spancost.calls.facts import NOTHING, Facts, examine
from spancost.calls.kinds import Kind
from spancost.calls.nodes import ANYWHERE, Node, Process
from spancost.files.skeleton import NEVER, NO_PARENT, Place, Site, Skeleton
from spancost.files.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from spancost.calls.nodes import Call
    from spancost.cost import Cost, Unpriced
    from spancost.otlp import Span
    from spancost.usage import Dialect

_RESOURCE_KEYS: Final = (
    *("service.name", "gen_ai.main_agent.name", "process.pid", "service.instance.id"),
    *("host.name", "host.id", "k8s.pod.uid", "container.id"),
)
_NO_SERVICE: Final = "unknown_service"


class Recording:
    """
    One recording: feed it every span, then replay it.

    Args:
        across_services: Treat a parent in another service as any other parent.
        keep_names: Keep every span's name, for showing them; else only those that can name an agent.
    """

    def __init__(self, *, across_services: bool = False, keep_names: bool = False) -> None:
        self._across_services = across_services
        self._keep_names = keep_names
        self._notes: dict[tuple[str, str], None] = {}
        self.rows = Skeleton()
        self.spool = Spool()
        self._resource: object = None
        self._place = Place(ANYWHERE, "", "")
        self._places: dict[tuple[str, ...], tuple[Place, dict[tuple[object, ...], int]]] = {}
        self._sites: dict[tuple[object, ...], int] = {}

    def add(self, span: Span) -> None:
        """Take one span; nothing of its contents is kept."""
        scope = span.scope_name
        facts, dialect = examine(span.name, span.attributes, scope, span.scope_version, failed=span.failed)
        if span.resource is not self._resource:  # shared by the spans of one export
            self._see(span.resource)
        if dialect is None:
            self._add_nothing(span, scope)
            return
        kind = facts.classification.kind
        keeps_name = self._keep_names or kind is not Kind.OTHER or scope in LANGCHAIN_SCOPES
        name = span.name if keeps_name else ""
        remote = span.is_remote_parent is True
        key = (scope, name, remote, facts.classification, facts.agent, dialect.readable, dialect.detached)
        site = self._sites.get(key)
        if site is None:
            found = _site_of(self._place, scope, name, facts, dialect, is_remote=remote)
            site = self._sites[key] = self.rows.sites.number(found)
        index = self.rows.place(span, site)
        if index is None:
            return
        self.rows.facts[index] = self.spool.put(facts)
        if dialect.note and kind is Kind.CALL:
            self._notes[scope, dialect.note] = None

    def _add_nothing(self, span: Span, scope: str) -> None:
        """Take a span that says nothing of interest, as most do: its place among the others is all there is."""
        name = span.name if self._keep_names or scope in LANGCHAIN_SCOPES else ""
        key = (scope, name, span.is_remote_parent)
        site = self._sites.get(key)
        if site is None:
            remote = span.is_remote_parent is True
            found = _site_of(self._place, scope, name, NOTHING, None, is_remote=remote)
            site = self._sites[key] = self.rows.sites.number(found)
        index = self.rows.place(span, site)
        if index is not None:
            self.rows.facts[index] = 0

    def _see(self, resource: Mapping[str, Any]) -> None:
        """Take what a resource says, once a resource."""
        self._resource, get = resource, resource.get
        texts = tuple([value if type(value := get(key, "")) is str else str(value) for key in _RESOURCE_KEYS])
        found = self._places.get(texts)
        if found is None:
            found = self._places[texts] = (_place_of(*texts), {})
        self._place, self._sites = found

    def restart(self, rows: Skeleton, spool: Spool) -> None:
        """Go on with other arrays; what was numbered in the old ones is forgotten."""
        self.rows, self.spool = rows, spool
        self._resource = None
        self._places.clear()

    def add_all(self, spans: Iterable[Span]) -> None:
        """Take many spans."""
        for span in spans:
            self.add(span)

    def __len__(self) -> int:
        return len(self.rows)

    def stack_notes(self) -> list[tuple[str, str]]:
        """Return what to know about the instrumentations seen: scope and note."""
        return list(self._notes)

    def replay(
        self,
        price: Callable[[Call], Cost | Unpriced],
        emit: Callable[[Call], None],
        on_end: Callable[[Node], None] | None = None,
    ) -> None:
        """
        Replay the recording through the engine.

        Args:
            price: Prices a call when its money becomes final.
            emit: Receives each call once.
            on_end: Receives each span that matters when it ended, for showing what it was.
        """
        engine = Engine(price, emit)
        self.rows.link(across_services=self._across_services)
        try:
            Replay(self.rows, self.spool, engine, on_end, only_needed=on_end is None).run()
            engine.flush()
        finally:
            self.spool.close()


class Clock:
    """
    The time as spans that were left out would have told it: their ends settle what waited long enough.

    Args:
        times: When they ended, in order.
        engine: Told of each time, while anything waits for time to pass.
    """

    def __init__(self, times: Sequence[int], engine: Engine) -> None:
        self._times = times
        self._engine = engine
        self._next = 0

    def tick(self, until: int) -> None:
        """Tell each time before *until*."""
        times, i = self._times, self._next
        if i == len(times) or times[i] >= until:
            return
        self._next = bisect_left(times, until, i)
        if self._engine.may_expire:
            for time in times[i : self._next]:
                self._engine.expire(time)


class Replay:
    """
    The second pass over some rows.

    Args:
        rows: The rows, linked.
        spool: Their facts.
        engine: What the spans are fed to.
        on_end: Receives each span when it ended.
        nodes: Rows that were started before, by index.
        parent_of: Finds the parent of a row whose parent is in no row.
        on_start: Receives each row that starts, with its node.
        only_needed: Leave out the spans that cannot change what becomes of a call (`Skeleton.needed`).
    """

    def __init__(
        self,
        rows: Skeleton,
        spool: Spool,
        engine: Engine,
        on_end: Callable[[Node], None] | None = None,
        *,
        nodes: dict[int, Node] | None = None,
        parent_of: Callable[[int], Node | None] | None = None,
        on_start: Callable[[int, Node], None] | None = None,
        only_needed: bool = False,
    ) -> None:
        self._rows = rows
        self._spool = spool
        self._engine = engine
        self._on_end = on_end
        self._parent_of = parent_of
        self._on_start = on_start
        self._only_needed = only_needed
        self.nodes: dict[int, Node] = {} if nodes is None else nodes

    def run(self, until: int = NEVER) -> None:
        """Start and end the spans in order, up to and with a time."""
        rows = self._rows
        needed = rows.needed() if self._only_needed else range(len(rows))
        rows.count_children(needed)
        clock = Clock(rows.other_ends(needed), self._engine)
        ends = iter(rows.by_end(needed))
        next_end = next(ends, None)
        for i in rows.by_start(needed):
            start = rows.start[i]
            if start > until:
                break
            # A start comes before an end at the same time: a span of no length starts first.
            while next_end is not None and rows.end[next_end] < start:
                clock.tick(rows.end[next_end])
                self._end(next_end)
                next_end = next(ends, None)
            clock.tick(start)
            self._start(i)
        while next_end is not None and rows.end[next_end] <= until:
            clock.tick(rows.end[next_end])
            self._end(next_end)
            next_end = next(ends, None)
        clock.tick(NEVER)

    def _start(self, index: int) -> Node:
        """Start a span, and first its parents where clocks say they started later."""
        path = []
        i = index
        while i != NO_PARENT and i not in self.nodes:
            path.append(i)
            i = self._rows.parent[i]
        above = self.nodes[i] if i != NO_PARENT else None
        if above is None and path and self._parent_of is not None:
            above = self._parent_of(path[-1])
        for i in reversed(path):
            above = self._make(i, above)
            self.nodes[i] = above
            if self._on_start is not None:
                self._on_start(i, above)
            self._engine.start(above)
        return self.nodes[index] if path else above  # type: ignore[return-value]

    def _make(self, i: int, parent: Node | None) -> Node:
        rows = self._rows
        site = rows.sites[rows.site[i]]
        place = site.place
        node = Node(
            rows.trace_id(i),
            format(rows.span_id[i], "016x"),
            parent,
            is_root=not rows.parent_id[i],
            name=site.name,
            scope=site.scope,
            start=rows.start[i],
            process=place.process,
            remote=site.is_remote and not rows.across_services,
            resource=place.service,
            kind=site.kind,
            call_type=site.call_type,
            agent=site.agent,
            detached=site.is_detached,
        )
        node.inherited = place.main_agent or None
        return node

    def _end(self, i: int) -> None:
        node = self.nodes[i] if i in self.nodes else self._start(i)
        position = self._rows.facts[i]
        facts: Facts = self._spool.get(position) if position else NOTHING
        self._engine.end(node, facts, self._rows.end[i])
        if self._on_end is not None:
            self._on_end(node)
        self._drop(i)

    def _drop(self, i: int) -> None:
        """Forget a span that ended and whose children all did."""
        rows = self._rows
        while not rows.children[i] and (node := self.nodes.get(i)) is not None and not node.is_open:
            del self.nodes[i]
            i = rows.parent[i]
            if i == NO_PARENT:
                return
            rows.children[i] -= 1


def _site_of(
    place: Place, scope: str, name: str, facts: Facts, dialect: Dialect | None, *, is_remote: bool
) -> Site:
    """Return what can be known of a span when it starts."""
    readable = dialect is None or dialect.readable == "start"
    known = readable and not facts.classification.fallback
    return Site(
        place,
        scope,
        name,
        facts.kind if known else None,
        facts.classification.call_type if known else "",
        facts.agent if readable else None,
        dialect is not None and dialect.detached,
        is_remote,
    )


def _place_of(service: str, main_agent: str, pid: str, instance: str, *places: str) -> Place:
    """Return what a resource says of the process; an SDK's default service name says nothing."""
    known = "" if service.startswith(_NO_SERVICE) else service
    return Place(Process(known, pid, instance, "/".join(places).strip("/")), service, main_agent)
