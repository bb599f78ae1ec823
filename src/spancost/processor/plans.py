# SPDX-License-Identifier: Apache-2.0
"""What the calls of a kind have in common, worked out when one of them had gone the long way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spancost.calls.facts import are_short, profile_of
from spancost.calls.kinds import Kind
from spancost.calls.pricing import seller
from spancost.calls.shapes import shape_of
from spancost.processor.marks import AGENT
from spancost.processor.starts import outside_of
from spancost.route import Route
from spancost.usage.common import counter_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spancost.book import PriceBook
    from spancost.calls.agents import AgentName
    from spancost.calls.facts import Facts
    from spancost.calls.shapes import Shape
    from spancost.meter.records import Record
    from spancost.processor.metering import Asked
    from spancost.usage.common import Layout, Meaning

Key = tuple["Shape", str, tuple[Any, ...]]
"""Shape, name, and values that are the same on many spans: with the scope, which the shape has, all that matters."""


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
        default_agent: The agent of calls that name none.
    """

    __slots__ = (
        "agent",
        "alone",
        "call_type",
        "count",
        "id_key",
        "layout",
        "like",
        "meaning",
        "name",
        "others",
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

    def __init__(
        self,
        name: str,
        scope: tuple[str, str],
        resource: Any,
        like: Facts,
        layout: Layout,
        meaning: Meaning,
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
        self.count = counter_of(layout, meaning)
        """Gives the counts of a span, or None where only the long way can."""
        self.call_type = like.classification.call_type
        self.tier = like.service_tier
        self.id_key: str | None = None
        """The attribute with the response id."""
        self.writes_agent = False
        """Whether the agent is put on the span."""
        self.records: dict[str | None, Record] = {}
        """Where they are counted, by agent."""
        self.others: dict[str, Plan] = {}
        """Those of spans that differ in the name alone."""
        self.version: object = None
        """The price book as it was when the route was found: another one has other routes."""
        self.route: Route | None = None

    def find_route(self, book: PriceBook) -> Route | None:
        """Find out what prices them now; None where the long way has to."""
        like = self.like
        provider, unknown = seller(like.host, like.providers)
        self.version, found = book.moment, book.route(provider or unknown, like.model or like.request_model, like.request_model)
        self.route = found.in_region(like.region) if isinstance(found, Route) else None
        return self.route


class Asker:
    """
    What a kind of call asks for at its start, and which series were born for it.

    Args:
        agent: The agent that the span names itself.
        resource: What makes it.
        asked: Provider, request model and operation, as `Meter.expect` takes them; None where it is no call.
    """

    __slots__ = ("agent", "asked", "born", "resource", "service")

    def __init__(self, agent: AgentName | None, resource: Any, asked: Asked | None) -> None:
        self.agent = agent
        self.resource = resource
        self.asked = asked
        self.service = str(resource.attributes.get("service.name", ""))
        self.born: dict[str | None, int] = {}
        """How many answers the meter knew when the series of an agent were born."""


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
    if like.kind is not Kind.CALL or like.is_log or like.cached_response or like.failed:
        return None
    plan = Plan(name, scope, resource, like, shape.layout, meaning, default_agent)
    plan.id_key = shape.ids[0] if shape.ids else None
    plan.writes_agent = like.agent is None and AGENT not in said
    return plan
