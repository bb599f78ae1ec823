# SPDX-License-Identifier: Apache-2.0
"""
One peer beside us in one process: runs in the peer's own environment, for `bench_peers.py`.

Each round does the same work in every way: an LLM call whose client answers at once, with nothing around
it; with a plain span of 12 attributes; with that span and spancost; with that span and the naive
processor; and as the peer does it. Exporters take everything and send nothing. What is printed last is
the seconds of each way as JSON.

    .venvs/bench-openlit/bin/python bench/peer_run.py openlit --rounds 9
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import harness
from bench_hook import NaiveProcessor, Tracker, call_said
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from spancost import CostSpanProcessor

CALLS: Final = 100
"""Calls in a slice; a peer takes up to some milliseconds for each."""

MODEL: Final = "gpt-4o-2024-08-06"
ASKED: Final[dict[str, Any]] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "How much is it?"}],
    "max_tokens": 100,
}
ANSWER: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_780_000_000,
    "model": MODEL,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Not much."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240},
}
Call = Callable[[], object]


SEEN: Final[set[str]] = set()
"""Attributes of cost on what a peer exported first: that it does price."""


def look(_: object, spans: Any = (), **__: object) -> SpanExportResult:
    """Take a peer's spans, and look at the first few."""
    if not SEEN:
        SEEN.update(key for span in spans for key in span.attributes or () if "cost" in key)
    return SpanExportResult.SUCCESS


class NullExporter(SpanExporter):
    """Takes everything, sends nothing."""

    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - nothing is done with them
        """Take them."""
        return SpanExportResult.SUCCESS


class LookingExporter(NullExporter):
    """The same, for a peer."""

    export = look


def send_nothing() -> None:
    """Make the OTLP exporters that peers bring take everything and send nothing."""
    from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
    from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
    from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
    from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
    from opentelemetry.sdk._logs import export as logs
    from opentelemetry.sdk.metrics.export import MetricExportResult

    for module in (grpc_traces, http_traces):
        module.OTLPSpanExporter.export = look
    for module in (grpc_metrics, http_metrics):
        module.OTLPMetricExporter.export = lambda *_, **__: MetricExportResult.SUCCESS
    result = getattr(logs, "LogRecordExportResult", None) or logs.LogExportResult
    http_logs.OTLPLogExporter.export = lambda *_, **__: result.SUCCESS


# --- the ways ------------------------------------------------------------------------------------


def spanned(call: Call, *processors: SpanProcessor) -> Call:
    """Return the call with a plain span around it, as any instrumentation makes one."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    for processor in (*processors, BatchSpanProcessor(NullExporter())):
        provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench.client", "1.0")
    said = [call_said(number) for number in range(1_000)]
    at = iter(range(10**12))

    def run() -> None:
        name, begins, ends = said[next(at) % len(said)]
        span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=begins)
        call()
        span.set_attributes(ends)
        span.end()

    return run


def ours() -> SpanProcessor:
    """Return our processor as the benchmark of the hook has it."""
    processor = CostSpanProcessor(private=True)
    processor.on_call(Tracker().take)
    return processor


class PricingProcessor(SpanProcessor):
    """Prices a call's span by a library and writes the amount: what a team writes with it first."""

    def __init__(self, price: Callable[[str, str, int, int], float]) -> None:
        self._price = price

    def _on_ending(self, span: Span) -> None:
        said = dict(span.attributes or {})
        if "gen_ai.request.model" not in said:
            return
        amount = self._price(
            said["gen_ai.provider.name"],
            said["gen_ai.response.model"],
            said["gen_ai.usage.input_tokens"],
            said["gen_ai.usage.output_tokens"],
        )
        stored = span._attributes  # noqa: SLF001 - the public way is closed to ending spans
        stored._immutable = False  # noqa: SLF001
        stored["gen_ai.usage.cost.amount"] = amount


# --- the peers: each returns the bare call and the peer's -------------------------------------------


def genai_prices() -> tuple[Call, Call]:
    """Return a naive processor that prices with genai-prices."""
    from genai_prices import Usage, calc_price

    names = {"gcp.gemini": "google"}

    def price(provider: str, model: str, count_in: int, count_out: int) -> float:
        usage = Usage(input_tokens=count_in, output_tokens=count_out)
        return float(calc_price(usage, model, provider_id=names.get(provider, provider)).total_price)

    return _nothing, spanned(_nothing, PricingProcessor(price))


def litellm() -> tuple[Call, Call]:
    """Return a naive processor that prices with LiteLLM."""
    from litellm import cost_per_token

    names = {"gcp.gemini": "gemini"}

    def price(provider: str, model: str, count_in: int, count_out: int) -> float:
        parts = cost_per_token(
            model=model,
            custom_llm_provider=names.get(provider, provider),
            prompt_tokens=count_in,
            completion_tokens=count_out,
        )
        return float(sum(parts))

    return _nothing, spanned(_nothing, PricingProcessor(price))


def openlit() -> tuple[Call, Call]:
    """Return the OpenAI client under OpenLIT, with its metrics and its cost, as it is by default."""
    send_nothing()
    bare = answer_at_once()
    import openlit as peer

    prices = Path(tempfile.mkdtemp()) / "pricing.json"  # it would fetch them from the web
    prices.write_text(json.dumps({"chat": {MODEL: {"promptPrice": 0.0025, "completionPrice": 0.01}}}))
    peer.init(otlp_endpoint="http://127.0.0.1:9", application_name="shop", pricing_json=str(prices))
    return bare, _client_call()


def genai_otel_instrument() -> tuple[Call, Call]:
    """Return the OpenAI client under genai-otel-instrument, its cost on."""
    send_nothing()
    bare = answer_at_once()
    import genai_otel as peer

    peer.instrument(
        service_name="shop",
        endpoint="http://127.0.0.1:9",
        enable_gpu_metrics=False,
        enable_cost_tracking=True,
        enabled_instrumentors=["openai"],
    )
    return bare, _client_call()


def logfire() -> tuple[Call, Call]:
    """Return the OpenAI client under Logfire, which is around the client's HTTP, so that it must run."""
    import logfire as peer

    bare = _mock_client()
    peer.configure(
        send_to_logfire=False,
        console=False,
        service_name="shop",
        additional_span_processors=[BatchSpanProcessor(LookingExporter())],
    )
    instrumented = _mock_client()
    peer.instrument_openai(instrumented)
    return _create(bare), _create(instrumented)


PEERS: Final[dict[str, Callable[[], tuple[Call, Call]]]] = {
    "genai-prices": genai_prices,
    "litellm": litellm,
    "openlit": openlit,
    "genai-otel-instrument": genai_otel_instrument,
    "logfire": logfire,
}


def _nothing() -> None:
    """Be a call that takes no time."""


def answer_at_once() -> Call:
    """Put a kept answer in place of the client's request, so that only instrumentation is left."""
    from openai.resources.chat.completions import Completions
    from openai.types.chat import ChatCompletion

    kept = ChatCompletion.model_validate(ANSWER)

    def create(self: object, **asked: object) -> ChatCompletion:  # noqa: ARG001 - the client's own signature
        return kept

    Completions.create = create
    return partial(create, None, **ASKED)


def _client_call() -> Call:
    from openai import OpenAI

    return _create(OpenAI(api_key="none"))


def _create(client: Any) -> Call:
    return lambda: client.chat.completions.create(**ASKED)


def _mock_client() -> Any:
    """Return a client whose HTTP answers from memory."""
    import openai

    try:
        import httpx2 as httpx
    except ImportError:
        import httpx

    def answer(_: object) -> Any:
        return httpx.Response(200, json=ANSWER)

    return openai.OpenAI(api_key="none", http_client=httpx.Client(transport=httpx.MockTransport(answer)))


# --- measuring -----------------------------------------------------------------------------------


def repeated(call: Call) -> Call:
    """Return a slice of calls."""

    def run() -> None:
        for _ in range(CALLS):
            call()

    return run


def main() -> None:
    """Measure one peer and print the seconds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--rounds", type=int, default=25)
    chosen = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    logging.disable(logging.WARNING)
    bare, peer = PEERS[chosen.peer]()
    ways = {
        "bare": bare,
        "span": spanned(bare),
        "ours": spanned(bare, ours()),
        "naive": spanned(bare, NaiveProcessor()),
        "peer": peer,
    }
    times = harness.interleave({name: repeated(call) for name, call in ways.items()}, chosen.rounds, warm=3)
    print(json.dumps({"version": harness.version(chosen.peer), "cost": sorted(SEEN), "times": times}))
    sys.stdout.flush()
    os._exit(0)  # threads of peers that cannot send would hold the exit


if __name__ == "__main__":
    main()
