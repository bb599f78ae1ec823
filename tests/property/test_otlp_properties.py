# SPDX-License-Identifier: Apache-2.0
"""Whatever is in a file, reading gives spans or problems; and every encoding of a request gives the same spans."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import math
import tempfile
from pathlib import Path

import msgspec
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from spancost.otlp import Span, _json_tolerant, _json_typed, read_spans
from spancost.otlp._fields import BrokenError, OtherSignal


def read(content, **options):
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spans")
        path.write_bytes(content)
        return list(read_spans([path], on_problem=problems.append, **options)), problems


def framed(*messages):
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


# --- anything ---------------------------------------------------------------------------------

KEYS = st.sampled_from(
    [
        "resourceSpans",
        "resource_spans",
        "resource",
        "attributes",
        "scopeSpans",
        "scope_spans",
        "scope",
        "name",
        "version",
        "spans",
        "instrumentationLibrarySpans",
        "instrumentationLibrary",
        "traceId",
        "spanId",
        "parentSpanId",
        "trace_id",
        "span_id",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "flags",
        "status",
        "code",
        "key",
        "value",
        "values",
        "stringValue",
        "intValue",
        "boolValue",
        "doubleValue",
        "arrayValue",
        "kvlistValue",
        "bytesValue",
        "resourceMetrics",
        "resourceLogs",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**301),
    st.floats(),
    st.text(st.characters()),
    st.sampled_from(
        ["0" * 16, "a1" * 8, "b2" * 16, "SPAN_KIND_CLIENT", "NaN", "null", "5", "AAEC/w==", "1e3"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=6),
    max_leaves=30,
)


ODD_NUMBERS = st.sampled_from(
    ["", "-0", "1e3", "5.0", "+5", " 5", "0x5", "1_0", "null", "9" * 30, 2**64, -1, 2.0]
)
ODD_TEXTS = st.text(max_size=20) | st.sampled_from(
    ["a1" * 16, "0" * 16, "APBnqgupArc=", "APBnqgupArc", "QQ=="]
)


def build_requests(near):
    """Requests; `near` may put something else in the place of each part."""

    def record(required, **optional):
        return st.fixed_dictionaries(
            {key: near(value) for key, value in required.items()},
            optional={key: near(value) for key, value in optional.items()},
        )

    def listed(items, most):
        return st.lists(near(items), max_size=most)

    times = st.integers(0, 2**64 - 1) | st.integers(0, 2**64 - 1).map(str)
    integers = st.integers(-(2**63), 2**63 - 1)
    any_values = st.recursive(
        st.one_of(
            record({}, stringValue=st.text()),
            record({}, intValue=integers | integers.map(str)),
            record({}, intValue=ODD_NUMBERS),
            record({}, doubleValue=st.floats() | st.sampled_from(["NaN", "Infinity", "2.5"]) | ODD_NUMBERS),
            record({}, boolValue=st.booleans() | SCALARS),
            record({}, bytesValue=st.binary().map(lambda raw: base64.b64encode(raw).decode()) | ODD_TEXTS),
            record({}, stringValue=st.text(), intValue=integers, boolValue=st.booleans()),
        ),
        lambda inner: st.one_of(
            record({}, arrayValue=record({}, values=listed(inner, 3))),
            record({}, kvlistValue=record({}, values=listed(record({"key": st.text(), "value": inner}), 3))),
        ),
        max_leaves=6,
    )
    attributes = listed(record({"key": st.text(), "value": any_values}), 4)
    spans = record(
        {
            "traceId": st.sampled_from(["a1" * 16, "A1" * 16, "CvdlGRbNQ92ESOshHIAxnA=="]) | ODD_TEXTS,
            "spanId": st.sampled_from(["b2" * 8, "B2" * 8, "t61rcWkgMzE="]),
            "startTimeUnixNano": times,
        },
        parentSpanId=st.sampled_from(["", "c3" * 8, "0" * 16]) | ODD_TEXTS,
        endTimeUnixNano=times | ODD_NUMBERS,
        name=st.text(),
        kind=st.integers(-1, 6) | st.sampled_from(["SPAN_KIND_SERVER", "5", "ODD"]),
        flags=st.sampled_from([0, 1, 256, 257, 768, 769]) | ODD_NUMBERS,
        status=record({}, code=st.integers(0, 3) | st.sampled_from(["STATUS_CODE_ERROR", "2", "ODD"])),
        attributes=attributes,
        events=st.lists(VALUES, max_size=2),
    )
    scopes = record({"spans": listed(spans, 3)}, scope=record({}, name=st.text(), version=st.text()))
    resources = record({"scopeSpans": listed(scopes, 2)}, resource=record({}, attributes=attributes))
    return record({"resourceSpans": listed(resources, 2)})


PROPER = build_requests(lambda part: part)
DAMAGED = build_requests(lambda part: st.integers(0, 40).flatmap(lambda dice: VALUES if dice == 40 else part))


def check(spans):
    for span in spans:
        assert isinstance(span, Span)
        assert int(span.trace_id, 16) > 0
        assert len(span.trace_id) == 32
        assert int(span.span_id, 16) > 0
        assert len(span.span_id) == 16
        assert span.parent_id == "" or (len(span.parent_id) == 16 and int(span.parent_id, 16) > 0)
        assert span.kind in range(6)
        assert 0 <= span.start < 2**64
        assert span.end is None or 0 < span.end < 2**64
        assert span.is_remote_parent in (True, False, None)
        assert isinstance(span.failed, bool)
        # what a ledger or a report does next: no text that cannot be encoded
        repr([span.name, span.scope_name, span.attributes, span.resource]).encode()


@given(VALUES | DAMAGED | PROPER)
def test_any_json_value_as_a_line_gives_spans_or_problems(value):
    line = json.dumps(value)

    spans, problems = read(f"{line}\n".encode())

    check(spans)
    assert all(problem.text and len(str(problem)) < 2000 for problem in problems)


@given(st.binary(max_size=300))
def test_any_bytes_give_spans_or_problems(content):
    for data in (content, framed(content), b"\x0a" + content, gzip.compress(content)[: len(content) + 5]):
        check(read(data)[0])


@given(st.data())
def test_damage_anywhere_in_a_file_gives_spans_or_problems(data):
    message = ExportTraceServiceRequest()
    span = (
        message.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_unix_nano=5)
    )
    span.attributes.add(key="k").value.string_value = "v"
    encoded = message.SerializeToString()
    text = json_format.MessageToJson(message).encode()
    whole = data.draw(
        st.sampled_from(
            [encoded * 2, framed(encoded, encoded), text, text + b"\n" + text, gzip.compress(framed(encoded))]
        )
    )
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 3)) :]

    check(read(damaged)[0])


@given(PROPER | DAMAGED)
def test_the_typed_decoder_reads_as_the_tolerant_one(value):
    """Where the fast way accepts a line, it says the same as the slow way, spans and problems."""
    line = json.dumps(value).encode()
    try:
        requests = _json_typed.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    fast_problems, slow_problems = [], []

    fast = _json_typed.spans_of(requests, fast_problems.append)
    slow = _json_tolerant.spans_of(_json_tolerant.decode_document(line), slow_problems.append)

    assert [same(span) for span in fast] == [same(span) for span in slow]
    assert len(fast_problems) == len(slow_problems)


@given(VALUES | DAMAGED | PROPER)
def test_the_tolerant_decoder_raises_only_its_own(value):
    with contextlib.suppress(BrokenError, OtherSignal):
        check(_json_tolerant.spans_of(_json_tolerant.decode_document(json.dumps(value).encode()), str))


# --- encodings ----------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SDK_VALUES = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.lists(TEXT, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    st.lists(st.floats(), max_size=3),
    st.lists(st.booleans(), max_size=3),
)
SDK_ATTRIBUTES = st.dictionaries(TEXT.filter(bool), SDK_VALUES, max_size=5)


def same(value):
    """A value to compare: NaN equals itself, 1 is not True, and -0.0 is not 0.0."""
    if isinstance(value, Span):
        return [same(getattr(value, name)) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [same(item) for item in value]
    if isinstance(value, float):
        return (float, "nan" if math.isnan(value) else value.hex())
    return (type(value), value)


def hex_ids(value):
    """OTLP JSON has ids in hex, where the protobuf library writes base64."""
    if isinstance(value, list):
        return [hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in ("traceId", "spanId", "parentSpanId") else hex_ids(item)
        for key, item in value.items()
    }


@given(
    resource=SDK_ATTRIBUTES,
    scope=st.tuples(TEXT.filter(bool), TEXT),
    spans=st.lists(
        st.tuples(
            TEXT, st.sampled_from(SpanKind), st.sampled_from(StatusCode), SDK_ATTRIBUTES, st.booleans()
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_every_encoding_of_what_the_sdk_exports_gives_the_same_spans(resource, scope, spans):
    """JSON in both spellings of ids and keys, protobuf bare and framed, all as the SDK's exporter has them."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(resource), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer(*scope)
    with tracer.start_as_current_span("parent"):
        for name, kind, status, attributes, event in spans:
            with tracer.start_as_current_span(name, kind=kind, attributes=attributes) as span:
                span.set_status(status)
                if event:
                    span.add_event("event", attributes)
    finished = memory.get_finished_spans()
    message = encode_spans(finished)
    as_dict = json_format.MessageToDict(message)
    encoded = message.SerializeToString()

    results = [
        read(content)
        for content in (
            encoded,
            framed(encoded),
            json.dumps(hex_ids(as_dict)).encode(),
            json.dumps(as_dict, indent=2).encode(),
            json.dumps([as_dict]).encode(),
            json_format.MessageToJson(message, preserving_proto_field_name=True).encode(),
            json_format.MessageToJson(message, use_integers_for_enums=True, indent=None).encode(),
        )
    ]

    assert [problems for _, problems in results] == [[]] * len(results)
    expected = [same(span) for span in results[0][0]]
    for found, _ in results[1:]:
        assert [same(span) for span in found] == expected
    by_id = {span.span_id: span for span in results[0][0]}
    assert len(by_id) == len(finished)
    for span in finished:
        ours = by_id[f"{span.context.span_id:016x}"]
        assert ours.trace_id == f"{span.context.trace_id:032x}"
        assert ours.parent_id == (f"{span.parent.span_id:016x}" if span.parent else "")
        assert (ours.name, ours.kind - 1, ours.start, ours.end) == (
            span.name,
            span.kind.value,
            span.start_time,
            span.end_time,
        )
        assert ours.is_remote_parent is False
        assert ours.failed == (span.status.status_code is StatusCode.ERROR)
        assert same(ours.attributes) == same(dict(span.attributes))
        assert same(ours.resource) == same(dict(span.resource.attributes))
        assert (ours.scope_name, ours.scope_version) == (
            span.instrumentation_scope.name,
            span.instrumentation_scope.version or "",
        )
