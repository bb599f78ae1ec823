# SPDX-License-Identifier: Apache-2.0
"""
The main door: a span processor that puts the cost of every call on its span and feeds the meter.

    provider.add_span_processor(CostSpanProcessor())
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import SpanProcessor

from spancost import money
from spancost._env import is_disabled
from spancost.book import PriceBook
from spancost.calls.attribution import agent_of_call
from spancost.calls.kinds import Kind
from spancost.cost import Cost
from spancost.meter import Meter, shared_meter
from spancost.processor._sdk import write
from spancost.processor.guard import Guard
from spancost.processor.state import LiveState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from spancost.calls import Call
    from spancost.processor.live import LiveNode

_log: Final = logging.getLogger("spancost")
_LOCK: Final = threading.Lock()
_shared: list[LiveState] = []

AMOUNT: Final = "gen_ai.usage.cost.amount"
CURRENCY: Final = "gen_ai.usage.cost.currency"
SOURCE: Final = "gen_ai.usage.cost.source"
DUPLICATE_OF: Final = "spancost.duplicate_of"
UNPRICED: Final = "spancost.unpriced"
FLAGS: Final = "spancost.flags"
AGENT: Final = "gen_ai.agent.name"
RUN_COST: Final = "spancost.run.cost_usd"
RUN_CALLS: Final = "spancost.run.calls"

HINT_AFTER: Final = 50
"""Calls before the hint about calls without an agent may come: fewer say nothing."""


class CostSpanProcessor(SpanProcessor):
    """
    Price every LLM call as its span ends: on the span, and in the Prometheus series of the process.

    The cost stands on the span for every exporter, whatever the order of registration (SDK 1.40 and
    newer; before, for exporters registered after this processor). Hooks never raise and never block.
    All processors of a process share one engine and one meter, since copies of a call cross providers.

    Args:
        price_book: Prices; the built-in book by default.
        labels: Names of extra metric labels: values come from ``spancost.agent(..., team="growth")``
            and from baggage ``spancost.label.<name>``.
        default_agent: The agent of calls that name none; None counts them as ``unknown``.
        run_attributes: Also put ``spancost.run.cost_usd`` and ``spancost.run.calls``, the totals of
            everything below, on agent spans.
        private: Use an engine and a meter of its own instead of the process's; for tests.

    Raises:
        ValueError: The process's engine has other settings already, or a label's name cannot be.
    """

    def __init__(
        self,
        *,
        price_book: PriceBook | None = None,
        labels: Sequence[str] = (),
        default_agent: str | None = None,
        run_attributes: bool = False,
        private: bool = False,
    ) -> None:
        self._off = is_disabled()
        self._run_attributes = run_attributes
        self._hinted = False
        if self._off:
            return
        self._state = _state_of(price_book, tuple(labels), default_agent, private=private)
        count = self._state.meter.internal_error
        self._guards = {where: Guard(where, count) for where in ("on_start", "on_end", "force_flush")}

    @property
    def meter(self) -> Meter:
        """The meter this processor feeds."""
        return self._state.meter

    def on_call(self, listener: Callable[[Call], None]) -> None:
        """
        Call *listener* with each call once it is settled, on the thread that settled it.

        It runs under the engine's lock: it has to be quick, and must start or end no span.
        """
        if not self._off:
            self._state.listeners += (listener,)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember who encloses the span."""
        if self._off:
            return
        with self._guards["on_start"]:
            self._state.start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        self._end(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Settle the span where the SDK has no ``_on_ending``, or a wrapper did not forward it."""
        self._end(span)

    def _end(self, span: Any) -> None:
        if self._off:
            return
        with self._guards["on_end"]:
            node = self._state.end(span)
            if node is None:
                return
            marks = _marks(node)
            if node.kind is Kind.AGENT:
                self._end_run(node, marks)
            if marks:
                write(span, marks)
            self._hint()

    def _end_run(self, node: LiveNode, marks: dict[str, Any]) -> None:
        """Observe what an agent's run cost, with everything below it."""
        if self._run_attributes:
            marks[RUN_COST] = money.to_float(node.run_femto)
            marks[RUN_CALLS] = node.run_calls
        if node.run_calls:
            self._state.meter.record_run(
                service_name=str(node.resource or ""),
                agent=node.agent.name if node.agent is not None else None,
                femto=node.run_femto,
                trace_id=node.trace_id,
                span_id=node.span_id,
                sampled=node.sampled,
            )

    def _hint(self) -> None:
        state = self._state
        if self._hinted or state.calls < HINT_AFTER:
            return
        self._hinted = True
        if state.nameless * 5 > state.calls:
            _log.warning(
                "spancost: %d of the first %d LLM calls name no agent. Name one with "
                '`with spancost.agent("name"):`, or install an instrumentation of your agent framework.',
                state.nameless,
                state.calls,
            )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing here takes long
        """Settle everything that waits; what an open span still carries keeps its amount."""
        if self._off:
            return True
        with self._guards["force_flush"]:
            self._state.settle()
        return True

    def shutdown(self) -> None:
        """Settle everything that waits."""
        self.force_flush()


def _state_of(
    book: PriceBook | None, labels: tuple[str, ...], default_agent: str | None, *, private: bool
) -> LiveState:
    wanted = book if book is not None else PriceBook.default()
    if private:
        meter = Meter(extra_labels=labels)
        meter.set_price_book(wanted)
        return LiveState(meter, wanted, labels, default_agent)
    with _LOCK:
        if not _shared:
            meter = shared_meter(extra_labels=labels)
            meter.set_price_book(wanted)
            _shared.append(LiveState(meter, wanted, labels, default_agent))
        state = _shared[0]
    if state.labels != labels or state.default_agent != default_agent:
        raise ValueError(
            "this process has a cost processor with other settings already: labels "
            f"{state.labels} and default_agent {state.default_agent!r}, not {labels} and {default_agent!r}"
        )
    return state


def _marks(node: LiveNode) -> dict[str, Any]:
    """Return what to put on a span that ended: an amount, or whose copy it is, or why it has none."""
    call = node.call
    if call is None:
        return {}
    if call.carrier is not node:
        return {DUPLICATE_OF: call.carrier.span_id}
    marks: dict[str, Any] = {}
    cost = call.cost
    if isinstance(cost, Cost):
        marks[AMOUNT] = float(cost)
        marks[CURRENCY] = "USD"
        marks[SOURCE] = cost.source
    elif cost is not None and call.status != "failed":
        marks[UNPRICED] = cost.reason
    if call.flags:
        marks[FLAGS] = tuple(call.flags)
    if node.facts.agent is None:
        agent = agent_of_call(call)
        if agent is not None:
            marks[AGENT] = agent.name
    return marks
