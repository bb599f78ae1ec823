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
    ASSUME_DEFAULT,
    COST_ATTRIBUTE,
    DEFAULT_AGENT,
    LABELS,
    MAX_LABEL_SETS,
    MAX_LABEL_VALUES,
    OTLP_METRICS,
    RUN_ATTRIBUTES,
    is_disabled,
    is_on,
    whole_number,
)
from spancost._fork import after_fork
from spancost.book import PriceBook

# The engine and the meter (with `prometheus_client`, and its HTTP server) come with the first processor that
# is made, not with the import: a program that names the class, or is switched off, does not pay for them.

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from spancost.calls import Call
    from spancost.meter import Meter
    from spancost.processor.labels import Labels, Spec
    from spancost.processor.state import LiveState

_log: Final = logging.getLogger("spancost")

EXIT_LIMIT_MS: Final = 5_000
"""How long a shutdown waits for metrics to be pushed."""


class CostSpanProcessor(SpanProcessor):
    """
    Price every LLM call as its span ends: on the span, and in the Prometheus series of the process.

    The cost stands on the span for every exporter, whatever the order of registration (SDK 1.40 and
    newer; before, for exporters registered after this processor). Hooks never raise and never block.
    All processors of a process share one engine and one meter, since copies of a call cross providers.

    Args:
        price_book: Prices; by default `PriceBook.default`: the built-in ones, and a pricing file over
            them where there is one.
        labels: Extra metric labels. Names of labels take their values from
            ``spancost.agent(..., team="growth")``, else from baggage ``spancost.label.<name>``; a
            mapping names the sources of each: ``{"team": "agent", "tenant": ["baggage:tenant.id",
            "span:app.tenant"], "env": "resource:deployment.environment.name"}``, where the first one
            that has a value gives it. By default what ``SPANCOST_LABELS`` says, else none.
        default_agent: The agent of calls that name none; None for ``SPANCOST_DEFAULT_AGENT``, and
            without that such calls count as ``unknown``.
        run_attributes: Also put ``spancost.run.cost_usd`` and ``spancost.run.calls``, the totals of
            everything below, on agent spans. None for ``SPANCOST_RUN_ATTRIBUTES``.
        cost_attribute: Where the amount stands: ``gen_ai.usage.cost.amount``, beside its currency and
            source, or the alias ``gen_ai.usage.cost``, alone. None for ``SPANCOST_COST_ATTRIBUTE``.
        assume_default: Price calls of unknown models at the price book's default rate, if it has one, with
            the flag ``assumed``; None does as ``SPANCOST_ASSUME_DEFAULT`` says, which is not to by default.
        private: Use an engine and a meter of its own instead of the process's; for tests.

    Raises:
        ValueError: The process's engine has other settings already, or one of them cannot be.
        PriceBookError: There is a pricing file, and it cannot be used.
    """

    _has_own_class = False
    """Whether the class has this one object, and the hooks of its engine (`QuickHooks.bind`)."""

    def __init__(
        self,
        *,
        price_book: PriceBook | None = None,
        labels: Spec | None = None,
        default_agent: str | None = None,
        run_attributes: bool | None = None,
        cost_attribute: str | None = None,
        assume_default: bool | None = None,
        private: bool = False,
    ) -> None:
        self._off = is_disabled()
        if self._off:
            return
        state = state_of(
            price_book, labels, default_agent, cost_attribute, assume_default=assume_default, private=private
        )
        state.run_attributes |= is_on(RUN_ATTRIBUTES) if run_attributes is None else run_attributes
        self._bind(state)

    @property
    def meter(self) -> Meter:
        """The meter this processor feeds; where spancost is disabled, one that stays empty."""
        if self._off:
            from spancost.meter import Meter  # noqa: PLC0415 - see above

            return Meter()
        return self._state.meter

    def on_call(self, listener: Callable[[Call], None]) -> None:
        """
        Call *listener* with each call once it is settled, on the thread that settled it.

        It runs under the engine's lock: it has to be quick, and must start or end no span. A process with a
        listener pays for it: a call is made an object only where somebody wants one (docs/performance.md).
        """
        if not self._off:
            self._state.settled.add_listener(listener)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember who encloses the span."""
        if not self._off:
            self._state.quick.on_start(self, span, parent_context)

    def _on_first_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Look once at what stands around the spans, and say what would lose costs."""
        from spancost.processor.advice import advise  # noqa: PLC0415 - see above

        state = self._state
        if self._has_own_class:
            type(self).on_start = state.quick.on_start  # type: ignore[method-assign]
        else:
            vars(self).pop("on_start", None)  # another thread may have been here
        with state.guards["on_start"]:
            advise(span, self, state.writer.reach, has_exporter=state.ended is not None)
        self.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        if not self._off:
            self._state.quick.on_ending(self, span)

    def on_end(self, span: ReadableSpan) -> None:
        """Settle the span where the SDK has no ``_on_ending``, or a wrapper did not forward it."""
        if not self._off:
            self._state.quick.on_end(self, span)

    def _bind(self, state: LiveState) -> None:
        """Join an engine."""
        self._off, self._state = False, state
        if type(self) is CostSpanProcessor or self._has_own_class:
            # Its own hooks on each processor are a call less on every span; a subclass has its way. Until the first
            # span came; then what belongs there takes its place, and costs nothing more.
            state.quick.bind(self)
            type(self).on_start = CostSpanProcessor._on_first_start  # type: ignore[method-assign]
        else:
            self.on_start = self._on_first_start  # type: ignore[method-assign]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """
        Settle everything that waits; what an open span still carries keeps its amount.

        With ``SPANCOST_OTLP_METRICS`` also push the metrics; False if they have not arrived in time.
        """
        return self._off or self._state.flush(timeout_millis)

    def shutdown(self) -> None:
        """Settle everything that waits, as `force_flush` does, but do not hold the exit for long."""
        self.force_flush(EXIT_LIMIT_MS)


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

after_fork(_shared.renew_lock)


def state_of(
    book: PriceBook | None,
    labels: Spec | None,
    default_agent: str | None,
    cost_attribute: str | None = None,
    *,
    assume_default: bool | None = None,
    private: bool = False,
) -> LiveState:
    """
    Return the state of the process, with these settings; None is what the environment says.

    Raises:
        ValueError: It has others already, or one of them cannot be.
        PriceBookError: There is a pricing file, and it cannot be used.
    """
    from spancost.meter import Meter  # noqa: PLC0415 - see above

    chosen = _settings(labels, default_agent, cost_attribute, assume_default)
    if private:
        return _new_state(Meter(extra_labels=chosen.labels.names, **_bounds()), book, chosen)
    with _shared.lock:
        if _shared.state is None:
            _shared.state = _new_process_state(book, chosen)
            _shared.chosen = True
        state = _shared.state
        is_first = not _shared.chosen and not state.settled.calls and chosen.labels == state.labels
        if is_first:
            # Made to serve the metrics of a program that is metered from outside; now the program chooses.
            state.choose(book if book is not None else state.book, *chosen[1:])
            _shared.chosen = True
    wanted = (*chosen, state.book.digest if book is None else book.digest)
    has = (
        *(state.labels, state.default_agent, state.cost_attribute, state.assume_default),
        state.book.digest,
    )
    if wanted != has:
        problem = (
            "this process has a cost processor with other settings already: it has (labels, default_agent, "
            f"cost_attribute, assume_default, digest of the price book) = {has}, not {wanted}"
        )
        if _shared.chosen:
            raise ValueError(problem)
        # A program must not fail because it is metered from outside, too.
        _log.warning("spancost: %s; the former stay in force", problem)
    return state


def joined_state(
    labels: Spec | None = None,
    default_agent: str | None = None,
    run_attributes: bool | None = None,  # noqa: FBT001 - by name, as all of them
    cost_attribute: str | None = None,
) -> LiveState:
    """
    Return the state of the process as it is, else one with these settings; None is what the environment says.

    Raises:
        ValueError: One of them cannot be.
        PriceBookError: There is a pricing file, and it cannot be used.
    """
    with _shared.lock:
        if _shared.state is None:
            state = _new_process_state(None, _settings(labels, default_agent, cost_attribute))
            state.run_attributes |= is_on(RUN_ATTRIBUTES) if run_attributes is None else run_attributes
            _shared.state = state
        return _shared.state


def joining_processor(**settings: Any) -> CostSpanProcessor:
    """Return a processor with the settings that the process has, else these: for the instrumentor."""
    processor = CostSpanProcessor.__new__(CostSpanProcessor)
    processor._bind(joined_state(**settings))  # noqa: SLF001 - it is ours
    return processor


def serve_exporters() -> None:
    """Keep, from now on, what exporters of the process's engine ask about spans that ended."""
    with _shared.lock:
        _shared.has_exporters = True
        if _shared.state is not None:
            _shared.state.serve_exporters()


# --- how a state is made -------------------------------------------------------------------------


class _Settings(NamedTuple):
    labels: Labels
    default_agent: str | None
    cost_attribute: str
    assume_default: bool


def _settings(
    labels: Spec | None,
    default_agent: str | None,
    cost_attribute: str | None,
    assume_default: bool | None = None,  # noqa: FBT001 - in the order of the fields
) -> _Settings:
    from spancost.processor.labels import labels_from_text, read_labels  # noqa: PLC0415 - see above
    from spancost.processor.marks import AMOUNT, COST_ATTRIBUTES  # noqa: PLC0415 - see above

    named = labels_from_text(os.environ.get(LABELS, "")) if labels is None else read_labels(labels)
    agent = (os.environ.get(DEFAULT_AGENT, "").strip() or None) if default_agent is None else default_agent
    attribute = cost_attribute
    if attribute is None:
        attribute = os.environ.get(COST_ATTRIBUTE, "").strip() or AMOUNT
    if attribute not in COST_ATTRIBUTES:
        raise ValueError(
            f"cost_attribute ({COST_ATTRIBUTE}) is one of {', '.join(COST_ATTRIBUTES)}, not {attribute!r}"
        )
    assume = is_on(ASSUME_DEFAULT) if assume_default is None else assume_default
    return _Settings(named, agent, attribute, assume)


def _new_process_state(book: PriceBook | None, chosen: _Settings) -> LiveState:
    state = _new_state(_process_meter(chosen.labels), book, chosen)
    if _shared.has_exporters:
        state.serve_exporters()
    return _pushed(_keep_fresh(state, book))


def _new_state(meter: Meter, book: PriceBook | None, chosen: _Settings) -> LiveState:
    from spancost.processor.state import LiveState  # noqa: PLC0415 - see above

    wanted = book if book is not None else PriceBook.default()
    meter.set_price_book(wanted)
    state = LiveState(
        meter, wanted, chosen.labels, chosen.default_agent, assume_default=chosen.assume_default
    )
    state.cost_attribute = chosen.cost_attribute
    return state


def _keep_fresh(state: LiveState, chosen: PriceBook | None) -> LiveState:
    """Say once when the prices are old, and follow the installed table unless the program chose a book."""
    from spancost.freshness import age_warning, follow  # noqa: PLC0415 - see above

    warning = age_warning(state.book)
    if warning:
        _log.warning("spancost: %s", warning)
    if chosen is None:
        follow(state.book, state.meter.internal_error, state.guards["price_table"])
    return state


def _process_meter(labels: Labels) -> Meter:
    """Return the meter of the process, served and in the group that the environment says."""
    from spancost.meter import shared_meter  # noqa: PLC0415 - see above

    meter = shared_meter(extra_labels=labels.names, **_bounds())
    if os.name == "posix":
        from spancost.meter.workers_port import start_from_environment  # noqa: PLC0415 - not on Windows

        start_from_environment(meter)
    return meter


class _Bounds(TypedDict):
    max_label_values: int
    max_label_sets: int


def _bounds() -> _Bounds:
    """Return the bounds of the meter, as the environment sets them."""
    from spancost.meter import DEFAULT_MAX_LABEL_SETS, DEFAULT_MAX_LABEL_VALUES  # noqa: PLC0415 - see above

    return {
        "max_label_values": whole_number(MAX_LABEL_VALUES, DEFAULT_MAX_LABEL_VALUES),
        "max_label_sets": whole_number(MAX_LABEL_SETS, DEFAULT_MAX_LABEL_SETS),
    }


def _pushed(state: LiveState) -> LiveState:
    """Push the state's metrics over OTLP where the environment says so."""
    if is_on(OTLP_METRICS):
        from spancost.push import Pusher, otlp_exporter  # noqa: PLC0415 - the SDK's metrics load slowly

        state.pusher = Pusher(state.meter, otlp_exporter())
    return state
