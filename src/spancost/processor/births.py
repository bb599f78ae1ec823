# SPDX-License-Identifier: Apache-2.0
"""
Series that are born ahead of their first call (docs/metrics.md), without more than a look at each open call.

A server takes the first value that it sees of a series for its beginning, so the series of a call that is
open has to be at 0 in the scrape that comes meanwhile. Calls are many and scrapes few: a scrape looks which
calls are open, and only in a group of workers, where any of them may be scraped, it is done at their start.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from spancost.calls.attribution import agent_around
from spancost.calls.facts import are_short, read_span
from spancost.calls.kinds import Kind
from spancost.calls.recent import MAX_CALLS
from spancost.processor.metering import asked_of
from spancost.processor.plans import key_of

if TYPE_CHECKING:
    from spancost.calls.agents import AgentName
    from spancost.context import Block
    from spancost.meter import Meter
    from spancost.processor.live import LiveNode
    from spancost.processor.metering import Asked
    from spancost.processor.plans import Key

MAX_KINDS: Final = 4096
"""How many kinds of calls are remembered; then all are forgotten, so that no span can grow memory."""

MAX_BORN: Final = 16_384
"""How many agents they know together; then likewise."""


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


class Births:
    """
    What open calls ask for, and which series were born for them.

    Args:
        meter: Where.
        default_agent: The agent of calls that name none.
    """

    def __init__(self, meter: Meter, default_agent: str | None) -> None:
        self._meter = meter
        self._default_agent = default_agent
        self.started: deque[Any] = deque(maxlen=MAX_CALLS)
        """
        Weak references to the last 4,096 spans that may be calls and have no parent, or one that ended before them;
        the others are known by theirs.
        """
        self._askers: dict[Key, Asker] = {}
        self._number = 0

    def bear(
        self,
        asker: Asker,
        parent: LiveNode | None,
        block: Block | None,
        outside: str | None,
    ) -> None:
        """
        Let the series of an open call be born; the caller holds the engine's lock.

        Args:
            asker: What it asks for.
            parent: The node of the span above.
            block: The agent block in which it started.
            outside: The agent that is named from outside.
        """
        if asker.asked is None:
            return
        who: Any = asker.agent or agent_around(parent, block)
        name = who.name if who is not None else outside if outside is not None else self._default_agent
        answered = self._meter.answered
        if asker.born.get(name) == answered:
            return
        self._meter.expect(asker.service, name, *asker.asked)
        self._number += name not in asker.born
        if self._number > MAX_BORN:
            self._askers, self._number = {}, 0
        asker.born[name] = answered

    def asker_of(self, span: Any, said: dict[str, Any]) -> Asker:
        """
        Return what an open span asks for, found out once for each kind of span.

        Args:
            span: The span.
            said: A copy of its attributes.
        """
        scope, name = span._instrumentation_scope, span._name
        named = (scope._name, scope._version or "")
        key = key_of(name, said, *named)
        may_stay = key is not None and are_short(name, key[2])
        asker = self._askers.get(key) if may_stay else None  # type: ignore[arg-type]
        if asker is None or asker.resource is not span._resource:
            facts = read_span(name, said, *named, failed=False)
            asker = Asker(facts.agent, span._resource, asked_of(facts) if facts.kind is Kind.CALL else None)
            if may_stay:
                if len(self._askers) >= MAX_KINDS:
                    self._askers.clear()
                self._askers[key] = asker  # type: ignore[index]
        return asker
