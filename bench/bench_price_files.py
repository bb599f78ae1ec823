# SPDX-License-Identifier: Apache-2.0
"""
How fast `spancost price` prices a recording, beside only reading and decoding the same file.

Goal: at least 0.5 of the speed of decoding. Every round measures each way once, in one process; a
ratio is the median of the rounds' ratios, with their lowest and highest. Times of garbage collection
and of the output (rows as JSON) are in.

Two recordings are made of the packed corpus, its runs again and again at later times and under other
ids: *dense*, nothing but the corpus, where every second span is a call; and *service*, with nine
spans of HTTP and SQL beside each of its spans, as most of a program's spans are.

    python bench/bench_price_files.py                      both recordings
    python bench/bench_price_files.py --lines spans.jsonl  a file of OTLP JSON lines
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import harness

from spancost.book import PriceBook
from spancost.cli import main as spancost
from spancost.otlp import _json_typed, read_spans

CORPUS = Path(__file__).parents[1] / "tests" / "data" / "corpus"
ID_KEYS = ("gen_ai.response.id", "gen_ai.response_id", "ai.response.id", "response_id")
TIMES = ("startTimeUnixNano", "endTimeUnixNano")
IDS = ("traceId", "spanId", "parentSpanId")

MOST_ROUNDS = 9
"""One takes seconds."""

Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    options = harness.options(__doc__, _add_options)
    report = harness.Report("price_files", __doc__)
    rounds = min(options.rounds, MOST_ROUNDS)
    PriceBook.default()
    with tempfile.TemporaryDirectory() as folder:
        if options.lines is not None:
            measure(report, options.lines, rounds)
            return
        for name, repeats, others in (("dense", 8, 0), ("service", 2, 9)):
            path = Path(folder) / f"{name}.jsonl"
            write_recording(path, repeats, others)
            measure(report, path, rounds)
    report.finish(options)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lines", type=Path, help="OTLP JSON lines to price instead of the corpus")


def write_recording(path: Path, repeats: int, others: int = 0) -> None:
    """Write the packed corpus as one recording, with *others* spans of no interest beside each of its own."""
    requests = [request for family in ("clients", "agents") for request in requests_of(family)]
    times = [int(span[key]) for request in requests for span in spans_of(request) for key in TIMES]
    length = max(times) - min(times) + 3600 * 10**9
    with path.open("w", encoding="utf-8") as out:
        for again in range(repeats):
            for request in requests:
                out.write(json.dumps(repeat(request, again, again * length, others)) + "\n")


def requests_of(family: str) -> Iterator[dict[str, Any]]:
    """Yield the export requests of a family of the packed corpus."""
    with lzma.open(CORPUS / f"{family}.jsonl.xz", "rt", encoding="utf-8") as runs:
        for run in runs:
            yield from json.loads(run)["spans"]


def spans_of(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the spans of a request."""
    for group in request["resourceSpans"]:
        for scope in group["scopeSpans"]:
            yield from scope["spans"]


def repeat(request: dict[str, Any], again: int, later: int, others: int) -> dict[str, Any]:
    """Return a request once more, at a later time and with ids of its own, and other spans after its own."""
    request = json.loads(json.dumps(request))
    for span in spans_of(request):
        for key in TIMES:
            span[key] = str(int(span[key]) + later)
        for key in IDS:
            if span.get(key):
                span[key] = f"{again:02x}{span[key][2:]}"
        for attribute in span.get("attributes", ()):
            if attribute["key"] in ID_KEYS and "stringValue" in attribute["value"]:
                attribute["value"]["stringValue"] += f"-{again}"
    for group in request["resourceSpans"] if others else ():
        spans = [span for scope in group["scopeSpans"] for span in scope["spans"]]
        made = [other(span, number) for span in spans for number in range(others)]
        group["scopeSpans"].append({"scope": {"name": "http", "version": "1"}, "spans": made})
    return request


def other(span: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a span of HTTP or SQL below a span, with as many attributes as such have."""
    if number % 3:
        said = {
            "http.request.method": "GET",
            "url.full": f"https://shop.example/orders/{span['spanId']}?page={number}",
            "server.address": "shop.example",
            "server.port": 443,
            "http.response.status_code": 200,
            "network.protocol.version": "1.1",
            "user_agent.original": "python-httpx/0.28.1",
        }
    else:
        said = {
            "db.system.name": "postgresql",
            "db.namespace": "orders",
            "db.query.text": "SELECT id, total, state FROM orders WHERE customer = $1",
            "db.operation.name": "SELECT",
            "server.address": "db.example",
        }
    end = int(span["endTimeUnixNano"])
    start = min(int(span["startTimeUnixNano"]) + 1000 * (number + 1), end)
    return {
        "traceId": span["traceId"],
        "spanId": f"{number + 1:02x}{span['spanId'][2:]}",
        "parentSpanId": span["spanId"],
        "name": "GET /orders/{id}" if number % 3 else "SELECT orders",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(max(start, end - 1000 * number)),
        "attributes": [
            {"key": key, "value": {"intValue" if isinstance(value, int) else "stringValue": value}}
            for key, value in said.items()
        ],
        "status": {},
    }


def measure(report: harness.Report, path: Path, rounds: int) -> None:
    """Measure what each way takes for one file."""
    spans = sum(1 for _ in read_spans([path]))
    steps: dict[str, Step] = {
        "decode: typed msgspec": lambda: each(_json_typed.decode, path),
        "decode: json": lambda: each(json.loads, path),
        "read_spans": lambda: sum(1 for _ in read_spans([path])),
        "price, rows as JSON": lambda: price(path, "--format", "jsonl"),
        "price, table": lambda: price(path),
    }
    times = harness.interleave(steps, rounds)
    report.table(
        f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {spans:,} spans",
        ["way", "time of a span here", "speed beside decoding", "speed beside read_spans"],
        [
            [
                name,
                harness.per_repeat(taken, spans),
                harness.ratio(times["decode: typed msgspec"], taken),
                harness.ratio(times["read_spans"], taken),
            ]
            for name, taken in times.items()
        ],
        f"{rounds} rounds",
    )


def each(decode: Callable[[bytes], object], path: Path) -> None:
    """Read a file and decode each line."""
    with path.open("rb") as stream:
        for line in stream:
            decode(line)


def price(path: Path, *options: str) -> None:
    """Run the command in this process, its output to memory."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(out):
        spancost(["price", *options, str(path)])


if __name__ == "__main__":
    main()
