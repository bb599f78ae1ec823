# SPDX-License-Identifier: Apache-2.0
"""
How fast recorded spans are read, beside only decoding the same bytes.

Every round measures each way once, so that a ratio compares what ran in the same seconds; the
ratio is the median of the rounds' ratios, the spread their lowest and highest.

    python bench/bench_otlp_read.py                      the Collector-written sample, repeated
    python bench/bench_otlp_read.py --lines spans.jsonl  a file of OTLP JSON lines
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import harness
import msgspec
from google.protobuf import json_format  # type: ignore[import-untyped, unused-ignore]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spancost.otlp import _json_typed, read_spans
from spancost.otlp._protobuf_schema import TraceRequest

SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "otlp" / "traces.jsonl.gz"
SAMPLE_REPEATS = 100
IDS = {"traceId", "spanId", "parentSpanId"}

Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    options = harness.options(__doc__, _add_options)
    report = harness.Report("otlp_read", __doc__)
    repeats = SAMPLE_REPEATS // 5 if options.quick else SAMPLE_REPEATS
    lines = load(options.lines, repeats)
    with tempfile.TemporaryDirectory() as folder:
        for title, steps in workloads(lines, Path(folder)):
            measure(report, title, steps, options.rounds)
    report.finish(options)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lines", type=Path, help="OTLP JSON lines to read instead of the sample")


def load(path: Path | None, repeats: int) -> list[bytes]:
    """Return the lines with spans of a file, or of the sample often enough to measure."""
    raw = gzip.decompress(SAMPLE.read_bytes()) * repeats if path is None else path.read_bytes()
    return [line for line in raw.splitlines() if line.startswith(b'{"resourceSpans"')]


def workloads(lines: list[bytes], folder: Path) -> list[tuple[str, dict[str, Step]]]:
    """Return what to measure: a title, and ways to go through the same spans, the first only decodes."""
    text = b"\n".join(lines)
    messages = [to_protobuf(line) for line in lines]
    framed = b"".join(len(message).to_bytes(4, "big") + message for message in messages)
    plain, packed, protobuf = folder / "spans.jsonl", folder / "spans.jsonl.gz", folder / "spans.binpb"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text, 6))
    protobuf.write_bytes(framed)

    json_steps: dict[str, Step] = {"decode: typed msgspec": lambda: each(_json_typed.decode, plain)}
    json_steps["decode: json"] = lambda: each(json.loads, plain)
    if find_spec("orjson"):
        json_steps["decode: orjson"] = lambda: each(import_module("orjson").loads, plain)
    json_steps["decode: untyped msgspec"] = lambda: each(msgspec.json.decode, plain)
    json_steps["read_spans"] = lambda: drain(plain)
    return [
        (f"OTLP JSON lines, {len(text) / 1e6:.1f} MB", json_steps),
        (
            f"the same in gzip, {packed.stat().st_size / 1e6:.1f} MB",
            {
                "decompress and decode: typed msgspec": lambda: each_in_gzip(packed),
                "read_spans": lambda: drain(packed),
            },
        ),
        (
            f"OTLP protobuf in frames, {len(framed) / 1e6:.1f} MB",
            {
                "parse (upb; no attribute becomes a Python object)": lambda: [
                    TraceRequest.FromString(message) for message in messages
                ],
                "parse and touch each key and text": lambda: touch(messages),
                "read_spans": lambda: drain(protobuf),
            },
        ),
    ]


def each(decode: Callable[[bytes], object], path: Path) -> None:
    """Read a file and decode each line."""
    with path.open("rb") as stream:
        for line in stream:
            decode(line)


def each_in_gzip(path: Path) -> None:
    """Decompress a file and decode each line."""
    with gzip.open(path) as stream:
        for line in stream:
            _json_typed.decode(line)


def drain(path: Path) -> int:
    """Read all spans of a file and return how many there are."""
    return sum(1 for _ in read_spans([path]))


def touch(messages: list[bytes]) -> None:
    """Parse messages and make Python objects of their attributes' keys and texts, as any consumer must."""
    for group in (group for message in messages for group in TraceRequest.FromString(message).resource_spans):
        for scope_spans in group.scope_spans:
            for span in scope_spans.spans:
                for pair in span.attributes:
                    _ = pair.key, pair.value.string_value


def to_protobuf(line: bytes) -> bytes:
    """Return an OTLP JSON request as protobuf."""

    def ids_as_base64(value: object) -> object:
        if isinstance(value, list):
            return [ids_as_base64(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: msgspec.to_builtins(bytes.fromhex(item)) if key in IDS else ids_as_base64(item)
            for key, item in value.items()
        }

    message = json_format.ParseDict(
        ids_as_base64(json.loads(line)), ExportTraceServiceRequest(), ignore_unknown_fields=True
    )
    return bytes(message.SerializeToString())


def measure(report: harness.Report, title: str, steps: dict[str, Step], rounds: int) -> None:
    """Measure the steps in turn, round after round."""
    spans = int(str(steps["read_spans"]()))
    times = harness.interleave(steps, rounds)
    base = next(iter(times))
    report.table(
        f"{title}, {spans:,} spans",
        ["way", "time of a span here", "speed beside the first"],
        [
            [name, harness.per_repeat(taken, spans), harness.ratio(times[base], taken)]
            for name, taken in times.items()
        ],
        f"{rounds} rounds",
    )


if __name__ == "__main__":
    main()
