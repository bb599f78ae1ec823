# SPDX-License-Identifier: Apache-2.0
"""
Recorded agent runs once more through a real TracerProvider, as the program's own threads and tasks did it.

Every recorded thread is a thread here, and every recorded task a context of its own on it, which is
what a task is to code that asks for the current span. Spans start and end in recorded order, with
their recorded ids, times, late attributes and names; where a span was made current, it is here.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator

from spancost.usage.dialects import dialects_of
from tests.live_kit import Live

if TYPE_CHECKING:
    from spancost.otlp import Span

Record = dict[str, Any]


class Ids(IdGenerator):
    """Gives the recorded ids."""

    def __init__(self):
        self.trace_id = self.span_id = 0

    def generate_trace_id(self):
        return self.trace_id

    def generate_span_id(self):
        return self.span_id


class Workers:
    """One thread for each recorded thread, and on it one context for each recorded task."""

    def __init__(self):
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._contexts: dict[tuple[str, str], contextvars.Context] = {}

    def do(self, thread: str, task: str, step: Callable[[], Any]) -> Any:
        """Do a step there, and wait for it."""
        if thread not in self._threads:
            self._threads[thread] = ThreadPoolExecutor(1)
        if (thread, task) not in self._contexts:
            self._contexts[thread, task] = contextvars.Context()
        done: Future[Any] = self._threads[thread].submit(self._contexts[thread, task].run, step)
        return done.result()

    def stop(self) -> None:
        for thread in self._threads.values():
            thread.shutdown()


class Replay:
    """
    One run.

    Args:
        starts: What the recorder noted of each span, in the order they started.
        spans: The spans that ended, as `spancost price` reads them.
    """

    def __init__(self, starts: list[Record], spans: list[Span]) -> None:
        self._starts = starts
        self._spans = {(span.trace_id, span.span_id): span for span in spans}
        self._ids = Ids()
        resource = spans[0].resource if spans else {}
        self.live = Live(
            provider={
                "id_generator": self._ids,
                "resource": Resource({k: v for k, v in resource.items() if v}),
            }
        )
        self._open: dict[tuple[str, str], Any] = {}
        self._workers = Workers()

    def run(self) -> Live:
        """Replay it; what is left open stays so until everything is settled."""
        steps = [(record["seq_start"], self._start, record) for record in self._starts]
        steps += [(record["seq_end"], self._end, record) for record in self._starts if record.get("seq_end")]
        for _, step, record in sorted(steps, key=lambda each: each[0]):
            if (record["traceId"], record["spanId"]) not in self._spans:
                continue
            thread = record.get("end_thread") if step == self._end else None
            self._workers.do(
                thread or record["thread"] or "", record["task"] or "", lambda s=step, r=record: s(r)
            )
        self._workers.stop()
        self.live.processor.force_flush()
        return self.live

    def _say(self, record: Record, moment: str) -> None:
        """Set what the spans above had said by then."""
        for above in record.get(f"ancestors_at_{moment}") or ():
            span = self._open.get((record["traceId"], above["spanId"]))
            if span is not None and span.is_recording():
                said = settable(above["attrs"] or {})
                span.set_attributes({k: v for k, v in said.items() if span.attributes.get(k) != v})
                if above.get("name") and above["name"] != span.name:
                    span.update_name(above["name"])

    def _start(self, record: Record) -> None:
        self._say(record, "start")
        span = self._spans[record["traceId"], record["spanId"]]
        self._ids.trace_id, self._ids.span_id = int(record["traceId"], 16), int(record["spanId"], 16)
        current = trace.set_span_in_context(self._parent(record))
        given: dict[str, Any] = {
            "kind": list(trace.SpanKind)[max(0, span.kind - 1)],
            "attributes": settable(record["attrs_at_start"] or {}),
            "start_time": span.start,
        }
        tracer = self.live.provider.get_tracer(span.scope_name, span.scope_version or None)
        if any(row.detached for row in dialects_of(span.scope_name, span.scope_version)):
            started = tracer.start_span(record["name"], context=current, **given)
        else:
            token = attach(current)
            started = tracer.start_span(record["name"], **given)
            detach(token)
        self._open[record["traceId"], record["spanId"]] = started

    def _parent(self, record: Record) -> Any:
        if not record.get("parentSpanId"):
            return trace.INVALID_SPAN
        above = self._open.get((record["traceId"], record["parentSpanId"]))
        if above is not None:
            return above
        ids = trace.SpanContext(
            self._ids.trace_id,
            int(record["parentSpanId"], 16),
            is_remote=False,
            trace_flags=trace.TraceFlags(1),
        )
        return trace.NonRecordingSpan(ids)

    def _end(self, record: Record) -> None:
        self._say(record, "end")
        span = self._spans[record["traceId"], record["spanId"]]
        real = self._open[record["traceId"], record["spanId"]]
        real.set_attributes(settable(span.attributes))
        real.update_name(span.name)
        if span.failed:
            real.set_status(trace.StatusCode.ERROR)
        real.end(span.end)


def settable(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what a span takes as attributes."""
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in attributes.items()
        if value is not None and not isinstance(value, (dict, bytes))
    }


def is_real(provider: object) -> bool:
    """Tell whether a provider is the SDK's, so that nothing here was replayed into a stand-in."""
    return type(provider) is TracerProvider
