# SPDX-License-Identifier: Apache-2.0
"""
The main door: a span processor that puts the cost of every call on its span and feeds the meter.

    provider.add_span_processor(CostSpanProcessor())
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final, TypedDict

from opentelemetry.sdk.trace import SpanProcessor

from spancost._env import (
    ASSUME_DEFAULT,
    LABELS,
    MAX_LABEL_SETS,
    MAX_LABEL_VALUES,
    OTLP_METRICS,
    is_disabled,
    is_on,
    whole_number,
)
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
        default_agent: The agent of calls that name none; None counts them as ``unknown``.
        run_attributes: Also put ``spancost.run.cost_usd`` and ``spancost.run.calls``, the totals of
            everything below, on agent spans.
        assume_default: Price calls of unknown models at the price book's default rate, if it has one, with
            the flag ``assumed``; None does as ``SPANCOST_ASSUME_DEFAULT`` says, which is not to by default.
        private: Use an engine and a meter of its own instead of the process's; for tests.

    Raises:
        ValueError: The process's engine has other settings already, or a label's name cannot be.
        PriceBookError: There is a pricing file, and it cannot be used.
    """

    def __init__(
        self,
        *,
        price_book: PriceBook | None = None,
        labels: Spec | None = None,
        default_agent: str | None = None,
        run_attributes: bool = False,
        assume_default: bool | None = None,
        private: bool = False,
    ) -> None:
        self._off = is_disabled()
        if self._off:
            return
        from spancost.processor.labels import read_labels  # noqa: PLC0415 - see above

        wanted = _configured_labels() if labels is None else read_labels(labels)
        assume = is_on(ASSUME_DEFAULT) if assume_default is None else assume_default
        self._bind(_state_of(price_book, wanted, default_agent, assume_default=assume, private=private))
        self._state.run_attributes |= run_attributes

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

        It runs under the engine's lock: it has to be quick, and must start or end no span.
        """
        if not self._off:
            self._state.listeners += (listener,)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember who encloses the span."""
        if not self._off:
            self._state.quick.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        if not self._off:
            self._state.quick.on_ending(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Settle the span where the SDK has no ``_on_ending``, or a wrapper did not forward it."""
        if not self._off:
            self._state.quick.on_end(span)

    def _bind(self, state: LiveState) -> None:
        """Join an engine."""
        self._off, self._state = False, state
        if type(self) is CostSpanProcessor:
            # Its own hooks on each processor are a call less on every span; a subclass has its way.
            state.quick.bind(self)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """
        Settle everything that waits; what an open span still carries keeps its amount.

        With ``SPANCOST_OTLP_METRICS`` also push the metrics; False if they have not arrived in time.
        """
        arrived = True
        if not self._off:
            with self._state.guards["force_flush"]:
                self._state.settle()
                if self._state.pusher is not None:
                    arrived = self._state.pusher.force_flush(timeout_millis)
        return arrived

    def shutdown(self) -> None:
        """Settle everything that waits, as `force_flush` does, but do not hold the exit for long."""
        self.force_flush(EXIT_LIMIT_MS)


# --- one state a process -----------------------------------------------------------------------


class _Shared:
    """The state of the process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state: LiveState | None = None
        self.chosen = False
        """Whether the program chose the settings; the instrumentor takes what there is, else the defaults."""

    def renew_lock(self) -> None:
        """Make a new lock in a forked child: another thread of the parent may have held it."""
        self.lock = threading.Lock()


_shared: Final = _Shared()

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_shared.renew_lock)


def _state_of(
    book: PriceBook | None,
    labels: Labels,
    default_agent: str | None,
    *,
    assume_default: bool,
    private: bool,
) -> LiveState:
    from spancost.meter import Meter  # noqa: PLC0415 - see above

    if private:
        meter = Meter(extra_labels=labels.names, **_bounds())
        return _new_state(meter, book, labels, default_agent, assume_default=assume_default)
    with _shared.lock:
        if _shared.state is None:
            meter = _process_meter(labels)
            state = _new_state(meter, book, labels, default_agent, assume_default=assume_default)
            _shared.state = _pushed(_keep_fresh(state, book))
            _shared.chosen = True
        state = _shared.state
    digest = state.book.digest if book is None else book.digest
    wanted = (labels, default_agent, digest, assume_default)
    has = (state.labels, state.default_agent, state.book.digest, state.assume_default)
    if wanted != has:
        problem = (
            "this process has a cost processor with other settings already: "
            f"it has (labels, default_agent, digest of the price book, assume_default) = {has}, not {wanted}"
        )
        if _shared.chosen:
            raise ValueError(problem)
        # A program must not fail because it is metered from outside, too.
        _log.warning("spancost: %s; the former stay in force", problem)
    return state


def joining_processor() -> CostSpanProcessor:
    """Return a processor with the settings that the process has, else the defaults: for the instrumentor."""
    with _shared.lock:
        if _shared.state is None:
            labels = _configured_labels()
            assume = is_on(ASSUME_DEFAULT)
            state = _new_state(_process_meter(labels), None, labels, None, assume_default=assume)
            _shared.state = _pushed(_keep_fresh(state, None))
    processor = CostSpanProcessor.__new__(CostSpanProcessor)
    processor._bind(_shared.state)  # noqa: SLF001 - it is ours
    return processor


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


def _configured_labels() -> Labels:
    """Return the labels that the environment says."""
    from spancost.processor.labels import labels_from_text  # noqa: PLC0415 - see above

    return labels_from_text(os.environ.get(LABELS, ""))


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


def _new_state(
    meter: Meter,
    book: PriceBook | None,
    labels: Labels,
    default_agent: str | None,
    *,
    assume_default: bool,
) -> LiveState:
    from spancost.processor.state import LiveState  # noqa: PLC0415 - see above

    wanted = book if book is not None else PriceBook.default()
    meter.set_price_book(wanted)
    return LiveState(meter, wanted, labels, default_agent, assume_default=assume_default)


def _pushed(state: LiveState) -> LiveState:
    """Push the state's metrics over OTLP where the environment says so."""
    if is_on(OTLP_METRICS):
        from spancost.push import Pusher, otlp_exporter  # noqa: PLC0415 - the SDK's metrics load slowly

        state.pusher = Pusher(state.meter, otlp_exporter())
    return state
