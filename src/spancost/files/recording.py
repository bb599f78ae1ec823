# SPDX-License-Identifier: Apache-2.0
"""
Recorded spans through the engine, in the order things happened.

Two passes: the first reads every span once, keeps a skeleton of it and sets the facts of those that
matter aside; the second replays starts and ends by time. So agents whose spans end last are known,
and no content stays in memory. Several files are one recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spancost.calls.agents import LANGCHAIN_SCOPES, AgentName
from spancost.calls.engine import Engine
from spancost.calls.facts import NOTHING, Facts, read_span
from spancost.calls.kinds import Kind
from spancost.calls.nodes import Node, Process
from spancost.files.skeleton import NEVER, NO_PARENT, Skeleton
from spancost.files.spool import Spool
from spancost.usage import dialect_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spancost.calls.nodes import Call
    from spancost.cost import Cost, Unpriced
    from spancost.otlp import Span

_UNKNOWN_KIND: Final = 255
_PLACE_KEYS: Final = ("host.name", "host.id", "k8s.pod.uid", "container.id")
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

    def add(self, span: Span) -> None:
        """Take one span; nothing of its contents is kept."""
        facts = read_span(span.name, span.attributes, span.scope_name, span.scope_version, failed=span.failed)
        rows = self.rows
        index = rows.place(span)
        if index is None:
            return
        number = rows.strings.number
        dialect = (
            dialect_of(span.attributes, span.scope_name, span.scope_version) if facts is not NOTHING else None
        )
        readable = dialect is None or dialect.readable == "start"
        known = readable and not facts.classification.fallback
        if dialect is not None and dialect.note and facts.kind is Kind.CALL:
            self._notes[span.scope_name, dialect.note] = None
        keeps_name = self._keep_names or facts.kind is not Kind.OTHER or span.scope_name in LANGCHAIN_SCOPES
        agent = facts.agent or AgentName("", "")
        rows.scope[index] = number(span.scope_name)
        rows.name[index] = number(span.name if keeps_name else "")
        rows.process[index] = rows.processes.number(_process_of(span))
        rows.service[index] = number(str(span.resource.get("service.name", "")))
        rows.main_agent[index] = number(str(span.resource.get("gen_ai.main_agent.name", "")))
        rows.agent[index] = number(agent.name if readable else "")
        rows.agent_why[index] = number(agent.why)
        rows.call_type[index] = number(facts.classification.call_type)
        rows.open_kind[index] = facts.kind if known else _UNKNOWN_KIND
        rows.detached[index] = dialect is not None and dialect.detached
        rows.facts[index] = self.spool.put(facts) if facts is not NOTHING else 0

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
            Replay(self.rows, self.spool, engine, on_end).run()
            engine.flush()
        finally:
            self.spool.close()


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
    ) -> None:
        self._rows = rows
        self._spool = spool
        self._engine = engine
        self._on_end = on_end
        self._parent_of = parent_of
        self._on_start = on_start
        self.nodes: dict[int, Node] = {} if nodes is None else nodes

    def run(self, until: int = NEVER) -> None:
        """Start and end the spans in order, up to and with a time."""
        rows = self._rows
        ends = iter(rows.by_end())
        next_end = next(ends, None)
        for i in rows.by_start():
            if rows.start[i] > until:
                break
            # A start comes before an end at the same time: a span of no length starts first.
            while next_end is not None and rows.end[next_end] < rows.start[i]:
                self._end(next_end)
                next_end = next(ends, None)
            self._start(i)
        while next_end is not None and rows.end[next_end] <= until:
            self._end(next_end)
            next_end = next(ends, None)

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
        rows, strings = self._rows, self._rows.strings
        agent = strings[rows.agent[i]]
        node = Node(
            rows.trace_id(i),
            format(rows.span_id[i], "016x"),
            parent,
            is_root=not rows.parent_id[i],
            name=strings[rows.name[i]],
            scope=strings[rows.scope[i]],
            start=rows.start[i],
            process=rows.processes[rows.process[i]],
            remote=bool(rows.remote[i]) and not rows.across_services,
            resource=strings[rows.service[i]],
            kind=None if rows.open_kind[i] == _UNKNOWN_KIND else Kind(rows.open_kind[i]),
            call_type=strings[rows.call_type[i]] if rows.open_kind[i] != _UNKNOWN_KIND else "",
            agent=AgentName(agent, strings[rows.agent_why[i]]) if agent else None,
            detached=bool(rows.detached[i]),
        )
        node.inherited = strings[rows.main_agent[i]] or None
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


def _process_of(span: Span) -> Process:
    """Return what the resource says of the process; an SDK's default service name says nothing."""
    resource = span.resource
    service = str(resource.get("service.name", ""))
    return Process(
        "" if service.startswith(_NO_SERVICE) else service,
        str(resource.get("process.pid", "")),
        str(resource.get("service.instance.id", "")),
        "/".join(str(resource.get(key, "")) for key in _PLACE_KEYS).strip("/"),
    )
