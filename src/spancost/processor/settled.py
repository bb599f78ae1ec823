# SPDX-License-Identifier: Apache-2.0
"""What becomes of calls once the engine has settled them: price, meter, the runs around them, and who is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from spancost.calls.agents import AgentName
from spancost.calls.pricing import Pricer
from spancost.context import RunKeeper
from spancost.cost import Cost
from spancost.processor.live import LiveNode, caller_of
from spancost.processor.metering import meter_call
from spancost.processor.runs import new_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from spancost.book import PriceBook
    from spancost.calls import Call, Node
    from spancost.context import Block, BlockRun
    from spancost.cost import Unpriced
    from spancost.meter import Meter
    from spancost.processor.ended import EndedSpans
    from spancost.processor.guard import Guard
    from spancost.processor.labels import Labels
    from spancost.processor.lane import Lane
    from spancost.processor.rows import Row

_log: Final = logging.getLogger("spancost")
HINT_AFTER: Final = 50
"""Calls before the hint about calls without an agent may come: fewer say nothing."""


class Settling(RunKeeper, Protocol):
    """Whose calls these are: `LiveState`."""

    meter: Meter
    book: PriceBook
    labels: Labels
    default_agent: str | None
    assume_default: bool
    guards: dict[str, Guard]
    lock: RLock
    lane: Lane
    ended: EndedSpans | None


class Settled:
    """
    Takes the calls of an engine as they settle.

    Args:
        state: The engine.
    """

    def __init__(self, state: Settling) -> None:
        self._state = state
        self._meter = state.meter
        self.listeners: tuple[Callable[[Call], None], ...] = ()
        """Told of each call."""
        self.is_hinted = False
        self.take_prices()
        self.begin()

    def begin(self) -> None:
        """Know of no call, as a new engine does."""
        self.calls = 0
        self.nameless = 0
        self.ending: LiveNode | None = None
        """The node of the span that is just ending: it can carry an amount yet."""

    def take_prices(self) -> None:
        """Price calls by the book that the engine has now."""
        self.pricer = Pricer(self._state.book, assume_default=self._state.assume_default)

    # --- calls ------------------------------------------------------------------------------------

    def price(self, call: Call) -> Cost | Unpriced:
        """Price a call, and count what no exported span can carry any more (5.1 f)."""
        call.cost = self.pricer(call)
        if not call.carrier.is_open and call.carrier is not self.ending:
            self.uncarried(call)
        return call.cost

    def uncarried(self, call: Call) -> None:
        """Count the amount of a call that stands on no exported span."""
        if isinstance(call.cost, Cost) and not caller_of(call):
            self._meter.uncarried(call.cost.femto)

    def emit(self, call: Call) -> None:
        """Count a settled call."""
        if caller_of(call):
            return
        state = self._state
        if call.agent is None and state.default_agent is not None:
            call.agent = AgentName(state.default_agent, "default")
        agent = call.agent.name if call.agent is not None else None
        self._note(agent)
        carrier = call.carrier
        sampled = isinstance(carrier, LiveNode) and carrier.sampled
        # Guarded one by one: a failure here must not stop the engine halfway.
        with state.guards["meter"]:
            labels = state.labels.values(reversed(call.copies))
            meter_call(self._meter, call, agent, labels, sampled)
        self._tell(call)

    # --- who is told ------------------------------------------------------------------------------

    def add_listener(self, listener: Callable[[Call], None]) -> None:
        """Call it with each settled call from now on."""
        with self._state.lock:
            self.listeners += (listener,)
            self._state.lane.has_more = True

    def _tell(self, call: Call) -> None:
        """Tell the program of a settled call, where it asked to be told."""
        for listener in self.listeners:
            with self._state.guards["on_call"]:
                listener(call)

    def _note(self, agent: str | None) -> None:
        self.calls += 1
        self.nameless += agent is None

    def tell_of(self, row: Row, agent: str | None) -> None:
        """Take note of a call that went straight, for those who want to know."""
        lane = self._state.lane
        if not self.is_hinted:
            self._note(agent)
        if self.listeners:
            self._tell(lane.untold.call_of(row))
        lane.has_more = bool(self.listeners) or self._state.ended is not None or not self.is_hinted

    def hint(self) -> None:
        """Say once that many calls name no agent, when there were enough to tell."""
        if self.is_hinted or self.calls < HINT_AFTER:
            return
        self.is_hinted = True
        if self.nameless * 5 > self.calls:
            _log.warning(
                "spancost: %d of the first %d LLM calls name no agent. Name one with "
                '`with spancost.agent("name"):`, or install an instrumentation of your agent framework.',
                self.nameless,
                self.calls,
            )

    # --- runs -------------------------------------------------------------------------------------

    def charge(self, call: Call, copy: Node) -> None:
        """Count a copy, and add its call to the runs around it, each run once."""
        is_callers = bool(caller_of(call))
        if is_callers or copy is not call.carrier:
            self._meter.duplicate()
        if is_callers:
            return
        femto = call.cost.femto if isinstance(call.cost, Cost) else 0
        for run in new_runs(call, copy):
            if isinstance(run, LiveNode):
                run.charge(femto)
            else:
                run.charge(self._state, femto, str(call.carrier.resource or ""))

    def end_run(self, node: LiveNode) -> None:
        """Observe what an agent's run cost, with everything below it."""
        if node.run_calls:
            with self._state.guards["meter"]:
                self._meter.record_run(
                    service_name=str(node.resource or ""),
                    agent=node.agent.name if node.agent is not None else None,
                    femto=node.run_femto,
                    labels=self._state.labels.values((node,)),
                    trace_id=node.trace_id,
                    span_id=node.span_id,
                    sampled=node.sampled,
                )

    def end_block(self, block: Block, run: BlockRun) -> None:
        """Observe what a run of a block cost."""
        if run.generation == self._state.generation:
            labels = self._state.labels.of_block(block)
            self._meter.record_run(service_name=run.service, agent=block.name, femto=run.femto, labels=labels)
