# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: T201 - a demo prints
"""
The demo: four agents at work, and what each of them spends.

All it takes to meter a program that is traced: one span processor (`metered`), and one line that
serves /metrics (`serve`). The rest is the program (`demo.agents`), a local server that stands in for the providers
(`demo.provider`), and the proof (`demo.agreement`): after every round the server's own bill, the
amounts on the exported spans and the counters of /metrics must be the same to the last digit.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import urllib.request
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import spancost
from demo.agents import SCRIPTS, TOPICS, Newsroom
from demo.agreement import AMOUNT, DUPLICATE, Accounts, Scrape
from demo.provider import Provider
from demo.report import table
from spancost import money

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spancost.meter.serving import MetricsServer

DEFAULT_PORT: Final = 9464
PAUSE_S: Final = 4.0


class Exported(SpanExporter):
    """An exporter like any other; it keeps a copy of what it is given."""

    def __init__(self) -> None:
        self._spans: list[dict[str, Any]] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Copy the attributes, as they are at this moment."""
        self._spans += [dict(span.attributes or {}) for span in spans]
        return SpanExportResult.SUCCESS

    def take(self) -> list[dict[str, Any]]:
        """Return what came since the last time."""
        taken, self._spans = self._spans, []
        return taken


@contextmanager
def metered() -> Iterator[tuple[TracerProvider, Exported]]:
    """Set up tracing as an application does, and meter it."""
    exported = Exported()
    tracing = TracerProvider(resource=Resource.create({"service.name": "newsroom"}))
    tracing.add_span_processor(SimpleSpanProcessor(exported))
    tracing.add_span_processor(spancost.CostSpanProcessor())
    trace.set_tracer_provider(tracing)
    # Anthropic's client makes spans of its own as well: each of its calls is on two spans.
    OpenAIInstrumentor().instrument()
    AnthropicInstrumentor().instrument()
    yield tracing, exported
    tracing.shutdown()


def serve(port: int | None) -> MetricsServer:
    """Serve /metrics where we are told to, else at the usual port if it is free."""
    if port is not None:
        return spancost.serve_metrics(port)
    try:
        return spancost.serve_metrics(DEFAULT_PORT)
    except OSError:
        return spancost.serve_metrics(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status is 0 if all accounts agree."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Four agents at work on local models, and what each of them spends.",
    )
    parser.add_argument("--once", action="store_true", help="one round, then end")
    parser.add_argument(
        "--port", type=int, help=f"where to serve /metrics (default {DEFAULT_PORT}, or a free one)"
    )
    options = parser.parse_args(arguments)
    try:
        server = serve(options.port)
    except (OSError, ValueError) as error:
        parser.error(str(error.args[-1]))
    stop = stop_on_signals()
    # Without a pace the agents would be done before anybody could look at /metrics.
    with server, Provider(SCRIPTS, pace=0.0 if options.once else 0.05) as provider, metered() as tracing:
        return rounds(provider, *tracing, server, stop, once=options.once)


def stop_on_signals() -> threading.Event:
    """Return what Ctrl-C sets: the round is finished first. A second Ctrl-C stops at once."""
    stop = threading.Event()

    def ask(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def rounds(
    provider: Provider,
    tracing: TracerProvider,
    exported: Exported,
    server: MetricsServer,
    stop: threading.Event,
    *,
    once: bool,
) -> int:
    """Let the agents work, a topic a round, and show and compare what it cost."""
    print(
        "A planner hands two questions to researchers (on threads); each has a claim checked by another agent\n"
        "(called as a tool); a writer then streams two sections at once. The answers come from a local server:\n"
        "no key, no network, no cost. The prices are the providers' list prices of today."
    )
    newsroom = Newsroom(provider)
    accounts = Accounts(provider.bill)
    for number in count(1):
        newsroom.page(TOPICS[number % len(TOPICS)])
        tracing.force_flush()
        spans = exported.take()
        with urllib.request.urlopen(server.url, timeout=10) as response:  # noqa: S310 - our own endpoint
            scrape = Scrape(response.read().decode())
        differences = accounts.compare(spans, scrape)
        show(number, spans, scrape, provider)
        if differences:
            print("\nThe accounts DIFFER:", *differences, sep="\n  ", file=sys.stderr)
            return 1
        print(
            f"\nThe server's bill, the spans and /metrics agree to the last digit: "
            f"{money.to_decimal(accounts.femto)} USD"
        )
        if once or stop.is_set():
            break
        print(
            f"\nLook:  curl -s {server.url} | grep ^gen_ai_cost_usd_total\n"
            f"       or open {server.url}; Ctrl-C stops the demo",
            flush=True,
        )
        if stop.wait(PAUSE_S):
            print("\nStopped.")
            break
    return 0


def show(number: int, spans: Sequence[dict[str, Any]], scrape: Scrape, provider: Provider) -> None:
    """Print who spent what, and what of it a naive sum would get wrong."""
    refused = sum(refusal.status == 429 for refusal in provider.bill.refusals)
    again = len(provider.bill.refusals) - refused
    cut = sum(entry.delivered == "partial" for entry in provider.bill.entries)
    copies = sum(DUPLICATE in span for span in spans)
    print(f"\n== What each agent has spent after {number} round{'s' if number > 1 else ''}\n")
    print(table(scrape))
    print(
        f"\nThis round: {len(spans)} spans, {sum(AMOUNT in span for span in spans)} carry a cost; "
        f"{copies} are copies of a call and carry none.\n"
        f"So far: {refused} refused (429, costs nothing), {again} sent again after an error (counted once), "
        f"{cut} stream{'s' if cut > 1 else ''} cut off (priced for what came)."
    )
