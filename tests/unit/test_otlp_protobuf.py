# SPDX-License-Identifier: Apache-2.0
"""OTLP protobuf, bare and framed, written by OpenTelemetry's own message classes."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from spancost.otlp import ReadCounts, Span, read_spans
from spancost.otlp._protobuf_schema import _SCHEMA, TraceRequest

TRACE, SPAN, PARENT = bytes(range(1, 17)), bytes(range(1, 9)), bytes(range(2, 10))


def request(*names, **fields):
    message = ExportTraceServiceRequest()
    for name in names:
        group = message.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        scope_spans = group.scope_spans.add()
        scope_spans.scope.name, scope_spans.scope.version = "lib", "1.0"
        span = scope_spans.spans.add(
            **{
                "trace_id": TRACE,
                "span_id": SPAN,
                "parent_span_id": PARENT,
                "name": name,
                "kind": 3,
                "start_time_unix_nano": 5,
                "end_time_unix_nano": 6,
                "flags": 0x301,
            }
            | fields
        )
        span.status.code = 2
        span.attributes.add(key="n").value.int_value = 0
        span.attributes.add(key="s").value.string_value = ""
        span.attributes.add(key="l").value.array_value.values.add().double_value = 1.5
        span.attributes.add(key="m").value.kvlist_value.values.add(key="x").value.bool_value = True
        span.attributes.add(key="b").value.bytes_value = b"\0"
        span.attributes.add(key="none")
        span.events.add(name="event").attributes.add(key="k").value.string_value = "v" * 1000
    return message.SerializeToString()


def framed(*messages):
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def expected(name):
    return Span(
        trace_id=TRACE.hex(),
        span_id=SPAN.hex(),
        parent_id=PARENT.hex(),
        name=name,
        kind=3,
        start=5,
        end=6,
        is_remote_parent=True,
        failed=True,
        attributes={"n": 0, "s": "", "l": [1.5], "m": {"x": True}, "b": b"\0", "none": None},
        resource={"service.name": "shop"},
        scope_name="lib",
        scope_version="1.0",
    )


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        path = tmp_path / "spans"
        path.write_bytes(content)
        problems = []
        spans = list(read_spans([path], on_problem=problems.append, **options))
        return spans, [str(problem).removeprefix(f"{path}: ") for problem in problems]

    return read


def test_every_field_of_a_bare_request(read):
    assert read(request("a", "b")) == ([expected("a"), expected("b")], [])


def test_frames_keep_their_order(read):
    assert read(framed(b"", request("a"), b"", request("b"))) == ([expected("a"), expected("b")], [])


def test_bare_requests_written_after_each_other_are_one(read):
    """Protobuf messages concatenate, so an appended file is read whole."""
    assert read(request("a") + request("b")) == ([expected("a"), expected("b")], [])


def test_a_span_that_never_ended_has_no_end(read):
    [span] = read(framed(request("a", end_time_unix_nano=0)))[0]

    assert span.end is None


def metrics(name):
    message = ExportMetricsServiceRequest()
    metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name=name, description="cpu time")
    metric.sum.data_points.add(time_unix_nano=5, as_int=1)
    return message.SerializeToString()


def logs():
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=5, trace_id=TRACE)
    record.body.string_value = "hello"
    return message.SerializeToString()


@pytest.mark.parametrize("write", [framed, lambda *messages: b"".join(messages)])
def test_other_signals_are_counted_not_reported(read, write):
    """One file exporter may write all signals, and the wire format does not name the signal."""
    counts = ReadCounts()

    # a metric of 16 and 8 letters has what would pass for a span's ids
    content = write(request("a"), metrics("process.cpu.time"), metrics("x"), logs(), request("b"))
    spans, problems = read(content, counts=counts)

    assert ([span.name for span in spans], problems) == (["a", "b"], [])
    assert counts.other_signals == 3


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"trace_id": b"short"}, "trace id and span id must have 16 and 8 bytes"),
        ({"trace_id": bytes(16)}, "not all zero"),
        ({"span_id": b""}, "trace id and span id must have 16 and 8 bytes"),
        ({"parent_span_id": b"abc"}, "parent span id must have 8 bytes, not b'abc'"),
    ],
)
def test_a_broken_span_is_reported_and_only_it_is_skipped(read, fields, text):
    spans, problems = read(framed(request("bad", **fields), request("good")))

    assert [span.name for span in spans] == ["good"]
    assert len(problems) == 1
    assert problems[0].startswith("message 1: span ")
    assert text in problems[0]


def test_a_broken_message_is_reported_and_skipped(read):
    spans, problems = read(framed(request("a"), b"\x0a\xff", request("b")))

    assert [span.name for span in spans] == ["a", "b"]
    assert len(problems) == 1
    assert problems[0].startswith("message 2: not an OTLP trace request in protobuf")


def nested(depth):
    """Arrays in arrays, written by hand because the classes refuse to."""

    def field(tag, content):
        size = len(content)
        return (
            bytes([tag]) + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + content
        )

    value = field(0x0A, b"x")
    for _ in range(depth):
        value = field(0x2A, field(0x0A, value))
    attribute = field(0x4A, field(0x0A, b"k") + field(0x12, value))
    span = field(0x0A, TRACE) + field(0x12, SPAN) + b"\x39" + bytes([5] * 8) + attribute
    return field(0x0A, field(0x12, field(0x12, span)))


def test_deeply_nested_values_are_a_problem(read):
    """What the runtime refuses is reported; a reader could not use it anyway."""
    spans, problems = read(framed(nested(40), nested(1000), request("good")))

    assert [span.name for span in spans] == ["", "good"]
    assert str(spans[0].attributes["k"]).count("[") == 40
    assert len(problems) == 1
    assert problems[0].startswith("message 2: not an OTLP trace request in protobuf")


@pytest.mark.parametrize("cut", [1, 6, 40])
def test_a_cut_off_frame_is_reported_after_what_is_whole(read, cut):
    whole = framed(request("a"))

    spans, problems = read(whole + framed(request("b"))[:-cut])

    assert [span.name for span in spans] == ["a"]
    assert len(problems) == 1
    assert problems[0].startswith("after message 1: cut off: a message of ")


def test_a_cut_off_length_is_reported(read):
    spans, problems = read(framed(request("a")) + b"\0\0")

    assert [span.name for span in spans] == ["a"]
    assert problems == ["after message 1: cut off: 2 of the 4 bytes of a message's length"]


@pytest.mark.parametrize("cut", [1, 40])
def test_a_cut_off_bare_request_gives_the_resources_that_are_whole(read, cut):
    spans, problems = read(request("a", "b")[:-cut])

    assert [span.name for span in spans] == ["a"]
    assert len(problems) == 1
    assert problems[0].startswith("after message 1: cut off")


def test_messages_above_the_limit_are_skipped(read):
    big = request("big" * 1000)

    for content in (framed(request("a"), big, request("b")), request("a") + big + request("b")):
        spans, problems = read(content, max_record_bytes=3000)

        assert [span.name for span in spans] == ["a", "b"]
        assert problems == ["message 2: above the limit of 3,000 bytes, skipped"]


TYPES = {
    "AnyValue": common_pb2.AnyValue,
    "ArrayValue": common_pb2.ArrayValue,
    "KeyValueList": common_pb2.KeyValueList,
    "KeyValue": common_pb2.KeyValue,
    "InstrumentationScope": common_pb2.InstrumentationScope,
    "Status": trace_pb2.Status,
    "Span": trace_pb2.Span,
    "ScopeSpans": trace_pb2.ScopeSpans,
    "ResourceSpans": trace_pb2.ResourceSpans,
    "TraceRequest": ExportTraceServiceRequest,
}


def is_repeated(field):
    # `label` is deprecated where there is `is_repeated`, which protobuf 5 does not have
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_is_a_part_of_otlps(name):
    """Every field we read has OpenTelemetry's number and, but for enums, its type."""
    ours = TraceRequest.DESCRIPTOR.file.message_types_by_name[name]
    theirs = TYPES[name].DESCRIPTOR

    assert len(ours.fields) == len(_SCHEMA[name])
    for field in ours.fields:
        official = theirs.fields_by_number[field.number]
        assert official.name == field.name
        assert official.type in (field.type, field.TYPE_ENUM)
        assert is_repeated(official) == is_repeated(field)
