# SPDX-License-Identifier: Apache-2.0
"""The engine's state: one node a span, one call for all the spans that are copies of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from spancost.calls.facts import NOTHING, Facts
from spancost.calls.kinds import Kind

if TYPE_CHECKING:
    from spancost.calls.agents import AgentName
    from spancost.cost import Cost, Unpriced
    from spancost.usage import Reading

MAX_BAG: Final = 256
"""Calls below one span that are remembered; beyond, its own usage is believed to be their sum."""


class Process(NamedTuple):
    """What a resource says of the process that made a span; a part is empty where it does not say."""

    service: str = ""
    pid: str = ""
    instance: str = ""
    place: str = ""

    def may_be(self, other: Process) -> bool:
        """Tell whether two spans can come from one process: nothing that both say differs."""
        if self is other or self == other:
            return True
        service, pid, instance, place = self
        its_service, its_pid, its_instance, its_place = other
        if (pid and its_pid and pid != its_pid) or (place and its_place and place != its_place):
            return False
        if instance and its_instance:
            return (
                instance == its_instance
            )  # two providers of one process, each with a service name of its own
        return not (service and its_service and service != its_service)


ANYWHERE: Final = Process()
"""A process of which nothing is known; live spans are all of one, this one."""


class Bag:
    """The calls below a span that no agent, tool or remote boundary separates from it."""

    __slots__ = ("_calls", "is_full")

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}
        self.is_full = False

    def add(self, call: Call) -> None:
        """Remember one more call below, once."""
        if len(self._calls) < MAX_BAG:
            self._calls[id(call)] = call
        elif id(call) not in self._calls:
            self.is_full = True

    def discard(self, call: Call) -> None:
        """Forget a call that turned out a copy of another."""
        self._calls.pop(id(call), None)

    def take(self, other: Bag) -> None:
        """Take over what stood below a span that ended."""
        for call in other._calls.values():
            self.add(call)
        self.is_full = self.is_full or other.is_full

    def of_type(self, call_type: str) -> list[Call]:
        """Return the calls of one type, in the order they were found."""
        return [call for call in self._calls.values() if call.call_type == call_type]


class AgentBlock(Protocol):
    """A stretch of code that named its agent without a span (`spancost.agent`)."""

    @property
    def name(self) -> str:
        """The agent's name."""


class Node:
    """
    One span, from its start until nothing refers to it any more.

    ``kind`` and ``agent`` are what can be told by now: for an open span what its attributes or its
    dialect allow, at its end what ``facts`` say.
    """

    __slots__ = (
        "__weakref__",
        "adopted",
        "agent",
        "bag",
        "block",
        "call",
        "call_type",
        "detached",
        "end",
        "facts",
        "inherited",
        "is_root",
        "island",
        "kind",
        "live_children",
        "name",
        "outcome",
        "parent",
        "process",
        "resource",
        "scope",
        "span_id",
        "start",
        "trace_id",
        "types_below",
        "unsettled_below",
        "waiting",
        "waits",
    )

    def __init__(
        self,
        trace_id: str,
        span_id: str,
        parent: Node | None,
        *,
        is_root: bool,
        name: str,
        scope: str,
        start: int,
        process: Process = ANYWHERE,
        remote: bool = False,
        resource: object = None,
        kind: Kind | None = None,
        call_type: str = "",
        agent: AgentName | None = None,
        detached: bool = False,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.is_root = is_root
        self.name = name
        self.scope = scope
        self.start = start
        self.process = process
        self.island: str = span_id if remote else parent.island if parent is not None else ""
        """The span whose parent is in another process: calls on two islands of one trace are no copies."""
        self.resource = resource
        self.kind = kind
        self.call_type = call_type
        self.agent = agent
        self.detached = detached
        self.block: AgentBlock | None = None
        """The innermost agent block in force when the span started; recorded spans know none."""
        self.inherited: str | None = None
        """An agent from baggage or the resource: of use where no span and no block names one."""
        self.end: int | None = None
        self.facts: Facts = NOTHING
        self.call: Call | None = None
        self.adopted: Call | None = None
        self.bag: Bag | None = None
        self.waiting: dict[int, Node] | None = None
        """Ended children without usage that wait: calls for this span, roll-ups for their own subtree."""
        self.unsettled_below: list[Node] | None = None
        """Calls without usage on the line below, decided with this call."""
        self.waits = False
        self.live_children = 0
        """Children whose subtree still has an open span."""
        self.types_below: set[str] | None = None
        """The types of the calls with usage below, across agents and tools; "" for an aggregate."""
        self.outcome = ""

    @property
    def is_open(self) -> bool:
        """Whether the span has not ended."""
        return self.end is None

    @property
    def is_boundary(self) -> bool:
        """Whether calls on the two sides of this span can be no copies of each other."""
        return self.kind is Kind.AGENT or self.kind is Kind.TOOL

    def child_opened(self) -> bool:
        """Take that a child started; tell whether nothing at or below this span was open any more."""
        self.live_children += 1
        return not self.is_open and self.live_children == 1

    def child_closed(self) -> None:
        """Take that nothing at or below one child is open any more."""
        self.live_children -= 1

    def is_done(self) -> bool:
        """Tell whether, with this, nothing at or below this span is open any more: asked once each time."""
        return self.live_children == 0 and not self.is_open

    def look(self) -> None:
        """Bring kind and agent of an open span up to date; recorded spans have nothing new to say."""

    def ancestors(self) -> Iterator[Node]:
        """Yield the spans above, nearest first, each as it is by now."""
        node = self.parent
        while node is not None:
            node.look()
            yield node
            node = node.parent

    def line(self) -> Iterator[Node]:
        """Yield the spans above up to, and without, the first agent or tool."""
        node = self.parent
        while node is not None:
            node.look()
            if node.kind is Kind.AGENT or node.kind is Kind.TOOL:
                return
            yield node
            node = node.parent

    def is_below(self, other: Node) -> bool:
        """Tell whether *other* is an ancestor of this span."""
        node = self.parent
        while node is not None and node is not other:
            node = node.parent
        return node is not None

    def calls_below(self) -> Bag:
        """Return the bag, made when first needed: most spans have none."""
        if self.bag is None:
            self.bag = Bag()
        return self.bag


class Call:
    """
    One call, and every span that is a copy of it.

    The *carrier* is the span that carries the amount. Usage is merged until the carrier ends; then
    the money is frozen, and later copies may only improve the attribution.
    """

    __slots__ = (
        "agent",
        "call_type",
        "carrier",
        "copies",
        "cost",
        "end",
        "estimate",
        "flags",
        "frozen",
        "process",
        "reading",
        "response_ids",
        "scopes",
        "settled",
        "start",
        "status",
        "until",
    )

    def __init__(self, node: Node, reading: Reading | None) -> None:
        self.carrier = node
        self.copies: list[Node] = [node]
        self.call_type = node.call_type
        self.reading = reading
        self.scopes = {node.scope}
        self.response_ids: set[str] = set()
        self.flags: list[str] = []
        self.cost: Cost | Unpriced | None = None
        self.estimate: Cost | Unpriced | None = None
        """Our own price beside a cost that the provider reported."""
        self.agent: AgentName | None = None
        self.status = ""
        self.frozen = False
        self.settled = False
        self.start = node.start
        self.end = node.end or node.start
        self.until = self.end
        """When the last of its copies ended."""
        self.process = node.process
        if node.facts.response_id:
            self.response_ids.add(node.facts.response_id)

    def add(self, node: Node) -> None:
        """Add one more copy; the caller decides what its reading may still change."""
        self.copies.append(node)
        self.scopes.add(node.scope)
        self.until = max(self.until, node.end or node.start)
        if node.facts.response_id:
            self.response_ids.add(node.facts.response_id)

    def flag(self, name: str) -> None:
        """Add a flag once."""
        if name not in self.flags:
            self.flags.append(name)

    @property
    def facts(self) -> Facts:
        """The facts of the innermost copy: what stands nearest to the wire."""
        return self.copies[0].facts

    def first_fact(self, name: str) -> object:
        """Return a fact from the innermost copy that has it."""
        for node in self.copies:
            value = getattr(node.facts, name)
            if value:
                return value
        return None
