# SPDX-License-Identifier: Apache-2.0
"""Memory stays flat, whatever the size of what is read."""

from __future__ import annotations

import gc
import gzip
import json
import tracemalloc

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spancost.otlp import read_spans
from spancost.otlp._streams import _zstd

zstd = _zstd()
MIB = 1024 * 1024
PROMPT = "What is the weather? " * 500


def json_line(number):
    attributes = [{"key": "gen_ai.prompt", "value": {"stringValue": f"{number} {PROMPT}"}}]
    span = {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "startTimeUnixNano": "5",
        "attributes": attributes,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span] * 3}]}]}).encode() + b"\n"


def message(number):
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(3):
        span = spans.add(
            trace_id=(number + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            start_time_unix_nano=5,
        )
        span.attributes.add(key="gen_ai.prompt").value.string_value = f"{number} {PROMPT}"
    return request.SerializeToString()


def frame(number):
    return len(message(number)).to_bytes(4, "big") + message(number)


def packed_frame(number):
    packed = zstd.compress(message(number))
    return len(packed).to_bytes(4, "big") + packed


@pytest.mark.parametrize(
    ("record", "compress"),
    [
        (json_line, None),
        (json_line, gzip.compress),
        (json_line, zstd.compress),
        (frame, None),
        (packed_frame, None),
        (message, None),
    ],
    ids=["lines", "lines in gzip", "lines in zstd", "frames", "zstd frames", "bare protobuf"],
)
def test_memory_is_flat(tmp_path, record, compress):
    """Eight times the spans need no more memory, and 60 MB of them less than 4 MB."""
    peaks = []
    for count in (250, 2000):
        path = tmp_path / str(count)
        with path.open("wb") as stream:
            for number in range(count):
                content = record(number)
                stream.write(compress(content) if compress else content)
        sum(1 for _ in read_spans([path]))  # what is loaded once is loaded
        gc.collect()
        tracemalloc.start()
        assert sum(1 for _ in read_spans([path])) == 3 * count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 4 * MIB
    assert peaks[1] < peaks[0] * 1.2 + 100_000


@pytest.mark.parametrize("record", [json_line, frame])
def test_a_span_keeps_nothing_of_its_record(tmp_path, record):
    """Of spans whose attributes were let go, the prompts are gone as well."""
    path = tmp_path / "spans"
    path.write_bytes(b"".join(record(number) for number in range(200)))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = []
    for span in read_spans([path]):
        span.attributes = {}
        kept.append(span)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert len(kept) == 600
    assert held < 600 * 1000  # a prompt alone is 10,000
