# SPDX-License-Identifier: Apache-2.0
"""
The main door: a span processor that puts the cost of every call on its span and feeds the meter.

    provider.add_span_processor(CostSpanProcessor())
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from opentelemetry.sdk.trace import SpanProcessor

from spancost._env import (
    COST_ATTRIBUTE,
    DEFAULT_AGENT,
    LABELS,
    MAX_LABEL_SETS,
    MAX_LABEL_VALUES,
    RUN_ATTRIBUTES,
    is_disabled,
    is_on,
    whole_number,
    words,
)
from spancost.book import PriceBook
from spancost.meter import DEFAULT_MAX_LABEL_SETS, DEFAULT_MAX_LABEL_VALUES, Meter, shared_meter
from spancost.processor.advice import advise
from spancost.processor.ended import NOTHING_LEFT
from spancost.processor.marks import AMOUNT, COST_ATTRIBUTES
from spancost.processor.state import LiveState
from spancost.processor.writer import Reach, writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from spancost.calls import Call
    from spancost.processor.live import LiveNode
    from spancost.processor.writer import Way

_log: Final = logging.getLogger("spancost")

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
            and from baggage ``spancost.label.<name>``. None for what ``SPANCOST_LABELS`` lists.
        default_agent: The agent of calls that name none; None for ``SPANCOST_DEFAULT_AGENT``, and
            without that such calls count as ``unknown``.
        run_attributes: Also put ``spancost.run.cost_usd`` and ``spancost.run.calls``, the totals of
            everything below, on agent spans. None for ``SPANCOST_RUN_ATTRIBUTES``.
        cost_attribute: Where the amount stands: ``gen_ai.usage.cost.amount``, beside its currency and
            source, or the alias ``gen_ai.usage.cost``, alone. None for ``SPANCOST_COST_ATTRIBUTE``.
        private: Use an engine and a meter of its own instead of the process's; for tests.

    Raises:
        ValueError: The process's engine has other settings already, or a label's name cannot be.
    """

    def __init__(
        self,
        *,
        price_book: PriceBook | None = None,
        labels: Sequence[str] | None = None,
        default_agent: str | None = None,
        run_attributes: bool | None = None,
        cost_attribute: str | None = None,
        private: bool = False,
    ) -> None:
        self._off = is_disabled()
        if self._off:
            return
        state = state_of(price_book, labels, default_agent, cost_attribute, private=private)
        state.run_attributes |= is_on(RUN_ATTRIBUTES) if run_attributes is None else run_attributes
        self._join(state)

    def _join(self, state: LiveState) -> None:
        self._off = False
        self._state = state
        self._in_ending, self._in_end, self._reach = writer()
        # Until the first span came; then the class's own takes its place, and costs nothing more.
        self.on_start = self._on_first_start  # type: ignore[method-assign]

    @property
    def meter(self) -> Meter:
        """The meter this processor feeds; where spancost is disabled, one that stays empty."""
        return Meter() if self._off else self._state.meter

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
        with self._state.guards["on_start"]:
            self._state.start(span, parent_context)

    def _on_first_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Look once at what stands around the spans, and say what would lose costs."""
        vars(self).pop("on_start", None)
        with self._state.guards["on_start"]:
            advise(span, self, self._reach, has_exporter=self._state.ended is not None)
        self.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        if self._off:
            return
        with self._state.guards["on_end"]:
            self._end(span, self._state.node_at_end(span), self._in_ending)

    def on_end(self, span: ReadableSpan) -> None:
        """Settle the span where the SDK has no ``_on_ending``, or a wrapper did not forward it."""
        if self._off:
            return
        with self._state.guards["on_end"]:
            node = self._state.node_after_end(span)
            if node is None and self._reach is not Reach.ALL:
                node = self._state.late_node(span)
            self._end(span, node, self._in_end)

    def _end(self, span: Any, node: LiveNode | None, write: Way) -> None:
        if node is None or not node.is_open:
            return
        state = self._state
        ended = state.ended
        if ended is not None:
            ended.add(span, node.key, NOTHING_LEFT)  # first: whatever fails below, it is not priced again
        marks = state.end(span, node)
        if marks and not write(span, marks):
            if ended is not None:
                ended.add(span, node.key, marks)
            else:
                state.lost(marks, node)
        state.hint(HINT_AFTER)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - nothing here takes long
        """Settle everything that waits; what an open span still carries keeps its amount."""
        if not self._off:
            with self._state.guards["force_flush"]:
                self._state.settle()
        return True

    def shutdown(self) -> None:
        """Settle everything that waits."""
        self.force_flush()


# --- one state a process -----------------------------------------------------------------------


class _Shared:
    """The state of the process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state: LiveState | None = None
        self.has_exporters = False
        self.chosen = False
        """Whether the program chose the settings; the instrumentor takes what there is, else the defaults."""

    def renew_lock(self) -> None:
        """Make a new lock in a forked child: another thread of the parent may have held it."""
        self.lock = threading.Lock()


_shared: Final = _Shared()

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_shared.renew_lock)


def state_of(
    book: PriceBook | None,
    labels: Sequence[str] | None,
    default_agent: str | None,
    cost_attribute: str | None = None,
    *,
    private: bool = False,
) -> LiveState:
    """
    Return the state of the process, with these settings; None is what the environment says.

    Raises:
        ValueError: It has others already, or one of them cannot be.
    """
    chosen = _settings(labels, default_agent, cost_attribute)
    if private:
        return _new_state(Meter(extra_labels=chosen.labels, **_bounds()), book, chosen)
    with _shared.lock:
        if _shared.state is None:
            _shared.state = _new_state(shared_meter(extra_labels=chosen.labels, **_bounds()), book, chosen)
            _shared.chosen = True
        state = _shared.state
    wanted = (*chosen, state.book.digest if book is None else book.digest)
    has = (state.labels, state.default_agent, state.cost_attribute, state.book.digest)
    if wanted != has:
        problem = (
            "this process has a cost processor with other settings already: it has "
            f"(labels, default_agent, cost_attribute, digest of the price book) = {has}, not {wanted}"
        )
        if _shared.chosen:
            raise ValueError(problem)
        # A program must not fail because it is metered from outside, too.
        _log.warning("spancost: %s; the former stay in force", problem)
    return state


def joined_state(
    labels: Sequence[str] | None = None,
    default_agent: str | None = None,
    run_attributes: bool | None = None,  # noqa: FBT001 - by name, as all of them
    cost_attribute: str | None = None,
) -> LiveState:
    """
    Return the state of the process as it is, else one with these settings; None is what the environment says.

    Raises:
        ValueError: One of them cannot be.
    """
    with _shared.lock:
        if _shared.state is None:
            chosen = _settings(labels, default_agent, cost_attribute)
            state = _new_state(shared_meter(extra_labels=chosen.labels, **_bounds()), None, chosen)
            state.run_attributes |= is_on(RUN_ATTRIBUTES) if run_attributes is None else run_attributes
            _shared.state = state
        return _shared.state


def joining_processor(**settings: Any) -> CostSpanProcessor:
    """Return a processor with the settings that the process has, else these: for the instrumentor."""
    processor = CostSpanProcessor.__new__(CostSpanProcessor)
    processor._join(joined_state(**settings))  # noqa: SLF001 - it is ours
    return processor


def serve_exporters() -> None:
    """Keep, from now on, what exporters of the process's engine ask about spans that ended."""
    with _shared.lock:
        _shared.has_exporters = True
        if _shared.state is not None:
            _shared.state.serve_exporters()


class _Settings(NamedTuple):
    labels: tuple[str, ...]
    default_agent: str | None
    cost_attribute: str


def _settings(
    labels: Sequence[str] | None, default_agent: str | None, cost_attribute: str | None
) -> _Settings:
    named = words(LABELS) if labels is None else tuple(labels)
    agent = (os.environ.get(DEFAULT_AGENT, "").strip() or None) if default_agent is None else default_agent
    attribute = cost_attribute
    if attribute is None:
        attribute = os.environ.get(COST_ATTRIBUTE, "").strip() or AMOUNT
    if attribute not in COST_ATTRIBUTES:
        raise ValueError(
            f"cost_attribute ({COST_ATTRIBUTE}) is one of {', '.join(COST_ATTRIBUTES)}, not {attribute!r}"
        )
    return _Settings(named, agent, attribute)


class _Bounds(TypedDict):
    max_label_values: int
    max_label_sets: int


def _bounds() -> _Bounds:
    """Return the bounds of the meter, as the environment sets them."""
    return {
        "max_label_values": whole_number(MAX_LABEL_VALUES, DEFAULT_MAX_LABEL_VALUES),
        "max_label_sets": whole_number(MAX_LABEL_SETS, DEFAULT_MAX_LABEL_SETS),
    }


def _new_state(meter: Meter, book: PriceBook | None, chosen: _Settings) -> LiveState:
    wanted = book if book is not None else PriceBook.default()
    meter.set_price_book(wanted)
    state = LiveState(meter, wanted, chosen.labels, chosen.default_agent)
    state.cost_attribute = chosen.cost_attribute
    if _shared.has_exporters:
        state.serve_exporters()
    return state
