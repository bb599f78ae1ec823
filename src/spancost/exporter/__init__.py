# SPDX-License-Identifier: Apache-2.0
"""
The door for pipelines where no processor can be added: an exporter around any other exporter.

    BatchSpanProcessor(CostSpanExporter(OTLPSpanExporter()))

Spans that a `CostSpanProcessor` of this process has seen are priced already: they pass, with what it
could not put on them. All others are priced and metered here, by the same engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter

from spancost._env import is_disabled
from spancost.processor import EXIT_LIMIT_MS, joined_state, serve_exporters, state_of
from spancost.processor._sdk import rebuilt
from spancost.processor.exported import spans_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from spancost.book import PriceBook
    from spancost.calls import Call
    from spancost.meter import Meter
    from spancost.processor.labels import Spec
    from spancost.processor.state import LiveState


class CostSpanExporter(SpanExporter):
    """
    Price the calls on spans as they are exported, feed the meter, and hand the spans to another exporter.

    Nothing that fails in here loses a span. What it costs runs on the thread that exports. An exporter
    sees only spans that are sampled, and a child mostly before its parent: where a parent comes in a
    later batch, the metrics of the calls below wait for it, ten minutes at most, to learn their agent.

    Args:
        inner: The exporter that gets the spans. Its results are ours.
        price_book: As for `CostSpanProcessor`, and so are the others. Where none is given, the settings
            that the process's processor has are taken.
        labels: See there.
        default_agent: See there.
        cost_attribute: See there.
        assume_default: See there.
        private: See there.

    Raises:
        TypeError: *inner* is no exporter.
        ValueError: The process's engine has other settings already.
    """

    def __init__(
        self,
        inner: SpanExporter,
        *,
        price_book: PriceBook | None = None,
        labels: Spec | None = None,
        default_agent: str | None = None,
        cost_attribute: str | None = None,
        assume_default: bool | None = None,
        private: bool = False,
    ) -> None:
        if not hasattr(inner, "export") or isinstance(inner, type):
            raise TypeError(f"CostSpanExporter wraps an exporter, such as OTLPSpanExporter(), not {inner!r}")
        self._inner = inner
        self._off = is_disabled()
        self._known: LiveState | None = None
        if self._off:
            return
        given = (price_book, labels, default_agent, cost_attribute, assume_default)
        if private or any(each is not None for each in given):
            self._known = state_of(*given[:4], assume_default=assume_default, private=private)
            self._known.serve_exporters()
        else:
            # Not made yet: a processor that the program makes later may have settings of its own.
            serve_exporters()

    @property
    def _state(self) -> LiveState:
        if self._known is None:
            self._known = joined_state()
        return self._known

    @property
    def meter(self) -> Meter:
        """The meter this exporter feeds."""
        return self._state.meter

    def on_call(self, listener: Callable[[Call], None]) -> None:
        """Call *listener* with each settled call, as `CostSpanProcessor.on_call` does."""
        if not self._off:
            self._state.settled.listeners += (listener,)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Price and meter the spans, and export them; the result is the inner exporter's."""
        return self._inner.export(spans if self._off else self._priced(spans))

    def _priced(self, spans: Sequence[ReadableSpan]) -> Sequence[ReadableSpan]:
        """Return the spans with their costs; where anything fails, as they came."""
        state = self._state
        guard = state.guards["export"]
        priced = list(spans)
        with guard:
            for index, marks in enumerate(spans_of(state).marks_of(priced)):
                if marks:
                    with guard:
                        priced[index] = rebuilt(priced[index], marks)
        return priced

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Settle what waits, and flush the inner exporter; False where metrics or spans have not arrived in time."""
        arrived = self._off or self._state.flush(timeout_millis)
        return self._inner.force_flush(timeout_millis) and arrived

    def shutdown(self) -> None:
        """Settle what waits, and shut the inner exporter down."""
        if not self._off:
            self._state.flush(EXIT_LIMIT_MS)
        self._inner.shutdown()
