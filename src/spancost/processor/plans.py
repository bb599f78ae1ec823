# SPDX-License-Identifier: Apache-2.0
"""What the calls of a kind have in common, worked out when one of them had gone the long way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from spancost.calls.facts import are_short, profile_of
from spancost.calls.kinds import Kind
from spancost.calls.pricing import seller
from spancost.calls.shapes import IDENTITY, MAX_KEYS_TEXT, shape_of
from spancost.cost import Cost
from spancost.processor.marks import AGENT
from spancost.processor.metering import known_record
from spancost.processor.starts import outside_of
from spancost.route import Route
from spancost.usage.common import compiled

if TYPE_CHECKING:
    from spancost.book import PriceBook
    from spancost.calls.facts import Facts
    from spancost.calls.shapes import Shape
    from spancost.meter import Meter
    from spancost.meter.records import Record
    from spancost.processor.live import LiveNode
    from spancost.usage.common import Layout, Meaning

Key = tuple["Shape", str, tuple[Any, ...]]
"""Shape, name, and values that are the same on many spans: with the scope, which the shape has, all that matters."""


MAX_PLANS: Final = 4096
"""How many plans are remembered; then all are forgotten, so that no span can grow memory."""

MAX_RECORDS: Final = 16_384
"""How many label sets they know together; then likewise."""

Reader = Callable[[Mapping[str, Any]], "tuple[int, int, int, int, int, int, object] | None"]


class Plan:
    """
    How the calls with one key, of one resource, go straight: everything that is no number of theirs.

    Args:
        name: The name of their spans.
        scope: Name and version of their instrumentation scope.
        resource: What makes them.
        like: What they say but for their numbers.
        layout: Where these stand.
        meaning: What these mean.
        read: Gives them.
        default_agent: The agent of calls that name none.
    """

    __slots__ = (
        "agent",
        "alone",
        "call_type",
        "layout",
        "like",
        "meaning",
        "name",
        "read",
        "records",
        "resource",
        "route",
        "scope",
        "service",
        "tier",
        "version",
        "who",
        "writes_agent",
    )

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        name: str,
        scope: tuple[str, str],
        resource: Any,
        like: Facts,
        layout: Layout,
        meaning: Meaning,
        read: Reader,
        default_agent: str | None,
    ) -> None:
        self.name = name
        self.scope = scope
        self.resource = resource
        self.like = like
        self.layout = layout
        self.meaning = meaning
        self.agent = like.agent
        self.service = str(resource.attributes.get("service.name", ""))
        self.who: object = like.agent or outside_of(resource)
        """The agent of a call with nothing around it."""
        self.alone = like.agent.name if like.agent is not None else outside_of(resource) or default_agent
        """Its name."""
        self.read = read
        """
        Gives counts and response id of a span with this scope and name; None where it is none of these after all, or where
        only the long way can. A `KeyError` says the former too.
        """
        self.call_type = like.classification.call_type
        self.tier = like.service_tier
        self.writes_agent = False
        """Whether the agent is put on the span."""
        self.records: dict[str | None, Record] = {}
        """Where they are counted, by agent."""
        self.version: object = None
        """The mark of what the price book was when the route was found: another one has other routes."""
        self.route: Route | None = None

    def find_route(self, book: PriceBook) -> Route | None:
        """Find out what prices them now; None where the long way has to."""
        like = self.like
        provider, unknown = seller(like.host, like.providers)
        mark = book.moment.mark
        model = like.model or like.request_model
        found = book.route(provider or unknown, model, like.request_model)
        route = found.in_region(like.region) if isinstance(found, Route) else None
        self.route = route
        self.version = mark  # last: other threads go by it
        return route


class Table:
    """
    The plans of a scope.

    Args:
        scope: Its name and version.
    """

    __slots__ = ("_by_key", "_scope", "last")

    def __init__(self, scope: tuple[str, str]) -> None:
        self._scope = scope
        self._by_key: dict[tuple[object, ...], Plan] = {}
        self.last: dict[str, Plan] = {}
        """The one that was used last, by the name of the span: nearly always the one that is right."""

    def find(self, name: str, said: Mapping[str, Any]) -> Plan | None:
        """Return the plan of a span; it says itself, when it reads, whether it is that."""
        key = key_of(name, said, *self._scope)
        return self._by_key.get(_exact(key, said)) if key is not None else None

    def add(self, name: str, said: Mapping[str, Any], plan: Plan) -> None:
        """Remember the plan of a span, in place of one that it has."""
        key = key_of(name, said, *self._scope)
        if key is not None:
            self._by_key[_exact(key, said)] = self.last[name] = plan


def _exact(key: Key, said: Mapping[str, Any]) -> tuple[object, ...]:
    """
    Return a key with all that a plan reads by.

    These are the types of its values, since True, 1 and 1.0 are one key, and not one value; and whatever
    else the span has, by its names.
    """
    return *key, *map(type, key[2]), frozenset(said)


NO_TABLE: Final = Table(("", ""))
_TO_NONE: Final = (None, NO_TABLE, NO_TABLE.last)


def _reader(said: Mapping[str, Any], layout: Layout, meaning: Meaning, id_key: str | None) -> Reader:
    """
    Return what reads counts and response id of a span if it has the same keys, and the same values where these say who it is.

    All its keys are asked for, in one go with the counts: to look up what a span is like by its keys, and
    then by its values, takes twice as long.
    """
    counts = {each for each in (*layout[:-2], *layout.zeros, *(other for _, other in layout.twins)) if each}
    conditions = [f"len(said) == {len(said)}"]
    for key, value in said.items():
        if key in IDENTITY:
            of_type = "" if type(value) is str else f" and type(said[{key!r}]) is {type(value).__name__}"
            is_same = f"said[{key!r}] is None" if value is None else f"said[{key!r}] == {value!r}{of_type}"
            conditions.append(is_same)
        elif key not in counts and key != id_key:
            conditions.append(f"{key!r} in said")
    return compiled(layout, meaning, conditions, f"said[{id_key!r}]" if id_key is not None else "None")


def key_of(name: str, said: Mapping[str, Any], scope: str, version: str) -> Key | None:
    """Return the key of a span; None where it cannot have one."""
    shape = shape_of(said, scope, version)
    return None if shape.is_unlike else (shape, name, shape.values_of(said))


def plan_of(
    name: str, said: Mapping[str, Any], scope: tuple[str, str], resource: Any, default_agent: str | None
) -> Plan | None:
    """
    Return how calls like one that ended can go straight, or None where they cannot.

    Args:
        name: The name of its span.
        said: The span's attributes.
        scope: Name and version of its instrumentation scope.
        resource: What made it.
        default_agent: The agent of calls that name none.
    """
    shape = shape_of(said, *scope)
    if shape.is_unlike or shape.has_cost or shape.layout is None or len(shape.ids) > 1:
        return None
    values = shape.values_of(said)
    profile = profile_of(shape, name, said, *scope)
    meaning, like = profile.meaning, profile.facts[1]
    if meaning is None or meaning.flags or like is None or not are_short(name, values):
        return None
    if any(type(key) is not str for key in said):
        return None  # an enum's member, or what not: it need not write itself as text does
    if like.kind is not Kind.CALL or like.is_log or like.cached_response or like.failed:
        return None
    read = _reader(said, shape.layout, meaning, shape.ids[0] if shape.ids else None)
    plan = Plan(name, scope, resource, like, shape.layout, meaning, read, default_agent)
    plan.writes_agent = like.agent is None and AGENT not in said
    return plan


class Plans:
    """
    All plans of a process, by name and version of their scopes.

    Args:
        default_agent: The agent of calls that name none.
    """

    def __init__(self, default_agent: str | None) -> None:
        self._default_agent = default_agent
        self._once: set[int] = set()
        """Hashes of what came once so far; at most `MAX_PLANS`."""
        self._forget()

    def _forget(self) -> None:
        self._tables: dict[tuple[str, str, int], Table] = {}
        """
        By scope and identity of the resource, which the plans of a table keep alive: each provider has its own, and
        what two of them make would take turns to replace one plan.
        """
        self._number = self._records = 0
        self.turned: tuple[Any, Table, dict[str, Plan]] = _TO_NONE
        """The scope of the last span, its plans, and those used last by the names of their spans."""

    def turn_to(self, scope: Any, resource: object) -> tuple[Any, Table, dict[str, Plan]]:
        """
        Return the plans of another scope, which is asked for its name only where it is not the last one.

        Args:
            scope: A tracer's: what it makes is of one resource.
            resource: This one.
        """
        table = self._tables.get((scope._name, scope._version or "", id(resource)), NO_TABLE)
        self.turned = turned = (scope, table, table.last)  # at once: other threads may turn to others
        return turned

    def learn(self, span: Any, node: LiveNode, said: Mapping[str, Any], meter: Meter) -> None:
        """
        Remember how a call went that the engine has settled, so that the next of its kind goes straight.

        Args:
            span: The span that ended.
            node: Its node, whose call has no other copy.
            said: What it said, without what was put on it.
            meter: Where it was counted.
        """
        call = node.call
        if call is None or call.carrier is not node or len(call.copies) > 1 or not call.settled or call.flags:
            return
        cost = call.cost
        if cost.__class__ is not Cost or cost.source != "local" or cost.amounts.__class__ is not tuple:
            return
        plan = self._plan_for(span, said, (node.scope, node.version))
        if plan is None:
            return
        agent = call.agent.name if call.agent is not None else None
        record = known_record(meter, node.resource, agent, plan.like)
        if record is None:
            return
        self._records += agent not in plan.records
        plan.records[agent] = record
        if self._records > MAX_RECORDS:
            self._forget()

    def _plan_for(self, span: Any, said: Mapping[str, Any], scope: tuple[str, str]) -> Plan | None:
        """Return the plan of a span, found out the second time that one like it comes; None where there is none."""
        name, resource = span.name, span.resource
        if sum(map(len, said)) > MAX_KEYS_TEXT:
            return None
        place = (*scope, id(resource))
        table = self._tables.get(place)
        plan = table.find(name, said) if table is not None else None
        if plan is not None and plan.resource is resource:
            return plan
        key = key_of(name, said, *scope)
        if key is None or not are_short(name, key[2]):
            return None
        once = hash(_exact(key, said))
        if once not in self._once:
            # What comes once, as names that have a number in them do, is not worth it.
            if len(self._once) >= MAX_PLANS:
                self._once.clear()
            self._once.add(once)
            return None
        plan = plan_of(name, said, scope, resource, self._default_agent)
        if plan is None:
            return None
        if self._number >= MAX_PLANS:
            self._forget()
        self._number += 1
        if place not in self._tables:
            self._tables[place] = Table(scope)
            self.turned = _TO_NONE
        self._tables[place].add(name, said, plan)
        return plan
