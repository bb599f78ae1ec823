# SPDX-License-Identifier: Apache-2.0
"""
Runs one library of the table against the local provider and says what each account of its calls came to.

usage: python run.py LIBRARY [--equal] [--save FILE]

Prints one JSON object: calls, one row each, as the provider's bill has them, as exported spans carry
them, as `spancost price` finds them on these spans and as the meter counts them. The exporter is
registered before our processor and copies the attributes inside export(), so what it has is what any
exporter gets. --equal gives every call the same numbers, so that numbers do not tell calls apart;
--save writes the spans as OTLP JSON lines.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2])]

from libraries import LIBRARIES  # noqa: E402 - the path above leads to it
from programs.common import QUITTER, REFUSED, SCRIPTS  # noqa: E402 - see above

import spancost  # noqa: E402 - see above
from demo import wire  # noqa: E402 - see above
from demo.provider import Provider  # noqa: E402 - see above

AMOUNT = "gen_ai.usage.cost.amount"
DUPLICATE = "spancost.duplicate_of"
EQUAL = spancost.Usage(input=900, cache_read=300, output=77, reasoning=13)


class Copies(SpanExporter):
    """Keeps spans as an exporter sees them: their attributes copied before export() returns."""

    def __init__(self):
        self.spans = []
        self.requests = []

    def export(self, spans):
        """Copy and encode."""
        for span in spans:
            self.spans.append((format(span.context.span_id, "016x"), dict(span.attributes or {})))
            self.requests.append(
                json.dumps(_as_json(MessageToDict(encode_spans([span]), use_integers_for_enums=True)))
            )
        return SpanExportResult.SUCCESS


def _as_json(node):
    """Return a request with its ids as OTLP's JSON has them: in hex, where protobuf's has base64."""
    if isinstance(node, list):
        return [_as_json(item) for item in node]
    if isinstance(node, dict):
        return {key: _hex(value) if key in _IDS else _as_json(value) for key, value in node.items()}
    return node


_IDS = {"traceId", "spanId", "parentSpanId"}


def _hex(text):
    return base64.b64decode(text).hex()


def femto(amount) -> int:
    """Return USD in 1e-15: what a float of a few dollars shows is enough to know the exact amount."""
    return int((Decimal(repr(amount) if isinstance(amount, float) else amount) * 10**15).to_integral_value())


def observe(name: str, usage: spancost.Usage | None, save: Path | None) -> dict:
    """Run a library's program and return what each account says."""
    library = LIBRARIES[name]
    copies = Copies()
    tracing = TracerProvider(resource=Resource.create({"service.name": "live"}))
    tracing.add_span_processor(SimpleSpanProcessor(copies))
    tracing.add_span_processor(spancost.CostSpanProcessor())
    trace.set_tracer_provider(tracing)
    library.instrument(tracing)
    begin = time.monotonic()
    with Provider(SCRIPTS, usage=usage) as server:
        library.scenario(server)
    seconds = time.monotonic() - begin
    tracing.force_flush()
    rows = price(copies.requests, save)
    told = [library.sees(until_it_quit(entry)) for entry in server.bill.entries]
    return {
        "library": name,
        "seconds": round(seconds, 2),
        "spans": len(copies.spans),
        "bill": by_bill(told),
        "costless": sum(entry.usage is None for entry in told)
        + sum(refusal.status == REFUSED for refusal in server.bill.refusals),
        "rows": rows_of(rows, "priced"),
        "row_statuses": dict(Counter(row["status"] for row in rows)),
        **by_spans(copies.spans, rows),
        **by_metrics(generate_latest(REGISTRY).decode()),
    }


def until_it_quit(entry):
    """Return what a caller was told that left its stream after the first event."""
    if entry.caller != QUITTER or entry.usage is None:
        return entry
    told = {
        "anthropic.messages": wire.message_cut(entry.usage),
        "gemini.generate": wire.content_cut(entry.usage, 1),
    }.get(entry.api)
    return replace(entry, usage=told, delivered="partial" if told else "none")


def by_bill(told) -> list:
    """Return agent, model and cost of each call whose usage the spans show."""
    book = spancost.PriceBook.default()
    calls = []
    for entry in told:
        if entry.usage is None:
            continue
        cost = book.price(
            entry.usage,
            provider=entry.provider,
            model=entry.model,
            request_model=entry.requested_model,
            at=entry.at,
            service_tier=entry.service_tier,
        )
        calls.append([entry.caller or "", entry.model, cost.femto])
    return sorted(calls)


def by_spans(spans, rows) -> dict:
    """Return agent, model and cost of each span that carries an amount, and the marks that contradict."""
    # How a span names its model is its dialect's business: the row of the same span says it.
    models = {row["span_id"]: row["model"] for row in rows}
    carriers = [(span_id, attributes) for span_id, attributes in spans if AMOUNT in attributes]
    return {
        "exported": sorted(
            [attributes.get("gen_ai.agent.name", ""), models.get(span_id, ""), femto(attributes[AMOUNT])]
            for span_id, attributes in carriers
        ),
        "carriers_marked_duplicate": sum(DUPLICATE in attributes for _, attributes in carriers),
    }


def by_metrics(text: str) -> dict:
    """Return the cost per agent and model, and the number of calls, as /metrics has them."""
    spent: Counter = Counter()
    calls = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "gen_ai_cost_usd_total":
                agent = sample.labels["gen_ai_agent_name"]
                key = ("" if agent == "unknown" else agent, sample.labels["gen_ai_response_model"])
                spent[key] += femto(sample.value)
            elif sample.name == "gen_ai_calls_total":
                calls += int(sample.value)
    return {"metrics": sorted([*key, amount] for key, amount in spent.items()), "metrics_calls": calls}


def price(requests: list[str], save: Path | None) -> list[dict]:
    """Return the rows of `spancost price` on the exported spans."""
    with tempfile.TemporaryDirectory() as scratch:
        file = save or Path(scratch) / "spans.jsonl"
        file.write_text("".join(f"{request}\n" for request in requests), encoding="utf-8")
        command = [Path(sys.executable).with_name("spancost"), "price", "--format", "jsonl", file]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def rows_of(rows: list[dict], status: str) -> list:
    """Return agent, model and cost of the rows of a status."""
    return sorted(
        [row["agent"] or "", row["model"], femto(row["cost_usd"])] for row in rows if row["status"] == status
    )


def main() -> int:
    """Run one library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--equal", action="store_true")
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    sys.stdout.write(
        json.dumps(observe(options.library, EQUAL if options.equal else None, options.save)) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
