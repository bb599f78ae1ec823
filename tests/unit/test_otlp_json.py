# SPDX-License-Identifier: Apache-2.0
"""OTLP JSON, in every spelling that writers use."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from spancost.errors import InputError
from spancost.otlp import ReadCounts, Span, read_spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = "00f067aa0ba902b7"


def span(**fields):
    return {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": PARENT,
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": "1795302349101000000",
        "endTimeUnixNano": "1795302349141170986",
        "attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "29"}}],
        "flags": 257,
        "status": {"code": 1},
    } | fields


def request(*spans):
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                "scopeSpans": [{"scope": {"name": "lib", "version": "1.0"}, "spans": list(spans)}],
            }
        ]
    }


EXPECTED = Span(
    trace_id=TRACE,
    span_id=SPAN,
    parent_id=PARENT,
    name="chat",
    kind=3,
    start=1795302349101000000,
    end=1795302349141170986,
    is_remote_parent=False,
    failed=False,
    attributes={"gen_ai.usage.input_tokens": 29},
    resource={"service.name": "shop"},
    scope_name="lib",
    scope_version="1.0",
)


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        if not isinstance(content, (bytes, str)):
            content = json.dumps(content)
        path = tmp_path / "spans"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        problems = []
        spans = list(read_spans([path], on_problem=problems.append, **options))
        return spans, [str(problem).removeprefix(f"{path}: ") for problem in problems]

    return read


def test_every_field_of_a_span(read):
    assert read(request(span())) == ([EXPECTED], [])


def test_lines_keep_their_order(read):
    lines = [json.dumps(request(span(name=str(number)))) for number in range(5)]

    spans, problems = read("\r\n".join(lines) + "\r\n\r\n")

    assert [item.name for item in spans] == ["0", "1", "2", "3", "4"]
    assert not problems


def test_spans_of_a_resource_share_its_attributes(read):
    first, second = read(request(span(), span()))[0]

    assert first.resource is second.resource


def snake(value):
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in k): snake(v) for k, v in value.items()}


@pytest.mark.parametrize(
    "document",
    [
        snake(request(span())),
        [request(span())],
        request(span(traceId=TRACE.upper(), spanId=SPAN.upper(), parentSpanId=PARENT.upper())),
        request(span(traceId="CvdlGRbNQ92ESOshHIAxnA==", spanId="t61rcWkgMzE=", parentSpanId="APBnqgupArc=")),
        request(span(traceId="CvdlGRbNQ92ESOshHIAxnA", spanId="t61rcWkgMzE", parentSpanId="APBnqgupArc")),
        request(span(kind="SPAN_KIND_CLIENT", status={"code": "STATUS_CODE_OK"}, flags="257")),
        request(span(startTimeUnixNano=1795302349101000000, endTimeUnixNano=1795302349141170986)),
        request(span(attributes=[{"key": "gen_ai.usage.input_tokens", "value": {"intValue": 29}}])),
        request(span(attributes=[{"key": "gen_ai.usage.input_tokens", "value": {"intValue": 29.0}}])),
        request(span(status={}, events=[{"name": 1}], links="none", unknown={"a": [{}]})),
        request(span(status=None)),
    ],
    ids=[
        "snake_case",
        "array of requests",
        "upper-case hex",
        "base64 ids",
        "unpadded base64 ids",
        "names of enums",
        "times as numbers",
        "count as number",
        "count as float",
        "events, links and unknown fields are not looked at",
        "null status",
    ],
)
def test_spellings_of_the_same_span(read, document):
    """Whatever way a writer spells a span, it reads as the same span."""
    assert read(document) == ([EXPECTED], [])


@pytest.mark.parametrize("indent", [0, 2, "\t"])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x]])
def test_pretty_printed_documents(read, indent, wrap):
    """One document over many lines reads like one line, and so do several after each other."""
    tricky = span(name='"{[ \\', attributes=[{"key": 'a"\\', "value": {"stringValue": "}]\\"}}])
    pretty = json.dumps(wrap(request(tricky)), indent=indent)

    spans, problems = read(f"{pretty}\n{pretty}\n{json.dumps(request(tricky))}\n{pretty}")

    assert [(item.name, item.attributes) for item in spans] == [('"{[ \\', {'a"\\': "}]\\"})] * 4
    assert not problems


def test_an_array_with_a_request_on_each_line(read):
    spans, problems = read(f"[{json.dumps(request(span()))},\n{json.dumps(request(span()))}\n]\n")

    assert (spans, problems) == ([EXPECTED] * 2, [])


def test_a_cut_off_line_does_not_swallow_the_next(read):
    """A line cut off at a comma looks like the start of a document; the next request shows it is not."""
    whole = json.dumps(request(span()), separators=(",", ":"))
    cut = whole[: whole.index(",") + 1]

    spans, problems = read(f"{cut}\n{whole}\n{whole}\n")

    assert spans == [EXPECTED] * 2
    assert len(problems) == 1
    assert problems[0].startswith("line 1: not JSON")


def test_instrumentation_library_spans(read):
    """Recordings from before OTLP 1.0 read as well."""
    old = request(span())
    [group] = old["resourceSpans"]
    [scope_spans] = group.pop("scopeSpans")
    scope_spans["instrumentationLibrary"] = scope_spans.pop("scope")
    group["instrumentationLibrarySpans"] = [scope_spans]

    assert read(old) == ([EXPECTED], [])


@pytest.mark.parametrize("key", ["resourceMetrics", "resourceLogs", "resourceProfiles", "resource_logs"])
def test_other_signals_are_counted_not_reported(read, key):
    counts = ReadCounts()

    spans, problems = read(f'{{"{key}": [{{"x": 1}}]}}\n{json.dumps(request(span()))}\n{{}}\n', counts=counts)

    assert (spans, problems) == ([EXPECTED], [])
    assert (counts.records, counts.spans, counts.other_signals, counts.problems) == (3, 1, 1, 0)


@pytest.mark.parametrize(
    ("fields", "attribute", "expected"),
    [
        ({"parentSpanId": ""}, "parent_id", ""),
        ({"parentSpanId": "0" * 16}, "parent_id", ""),
        ({"endTimeUnixNano": "0"}, "end", None),
        ({"endTimeUnixNano": None}, "end", None),
        ({"flags": 0}, "is_remote_parent", None),
        ({"flags": 256}, "is_remote_parent", False),
        ({"flags": 768}, "is_remote_parent", True),
        ({"flags": 512}, "is_remote_parent", None),
        ({"status": {"code": 2, "message": "boom"}}, "failed", True),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "failed", True),
        ({"kind": "SPAN_KIND_SERVER"}, "kind", 2),
        ({"kind": 17}, "kind", 0),
        ({"attributes": []}, "attributes", {}),
        ({"name": "\ud83d"}, "name", "\ufffd"),
    ],
)
def test_the_rest_of_a_spans_fields(read, fields, attribute, expected):
    [item] = read(request(span(**fields)))[0]

    assert getattr(item, attribute) == expected


@pytest.mark.parametrize(
    "key", ["startTimeUnixNano", "endTimeUnixNano", "name", "kind", "flags", "attributes"]
)
def test_fields_with_defaults_may_be_absent(read, key):
    fields = span()
    del fields[key]

    spans, problems = read(request(fields))

    assert len(spans) == 1
    assert not problems


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"stringValue": "a\u2713"}, "a\u2713"),
        ({"stringValue": ""}, ""),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"intValue": 0}, 0),
        ({"doubleValue": 0.1}, 0.1),
        ({"doubleValue": 3}, 3.0),
        ({"doubleValue": "1.5"}, 1.5),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"boolValue": False}, False),
        ({"bytesValue": "AAEC/w=="}, b"\x00\x01\x02\xff"),
        ({"bytesValue": "AAEC_w=="}, b"\x00\x01\x02\xff"),
        ({}, None),
        (None, None),
        ({"stringValue": None}, None),
        ({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}, {}]}}, ["a", 1, None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "x", "value": {"kvlistValue": {}}}]}}, {"x": {}}),
    ],
)
@pytest.mark.parametrize("spelling", [lambda x: x, snake])
def test_every_type_of_attribute_value(read, value, expected, spelling):
    [item] = read(spelling(request(span(attributes=[{"key": "k", "value": value}]))))[0]

    assert item.attributes == {"k": expected}
    assert type(item.attributes["k"]) is type(expected)


def test_of_a_key_written_twice_the_last_counts(read):
    pairs = [{"key": "k", "value": {"stringValue": text}} for text in ("first", "last")]

    assert read(request(span(attributes=pairs)))[0][0].attributes == {"k": "last"}


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_tokens_that_json_does_not_have_read_as_floats(read, token):
    """Python's own writer puts out NaN and Infinity, and one of them costs no span."""
    text = json.dumps(request(span(attributes=[{"key": "k", "value": {"doubleValue": "?"}}])))

    [item], problems = read(text.replace('"?"', token))

    assert not math.isfinite(item.attributes["k"])
    assert not problems


def test_a_byte_order_mark_is_passed_over(read):
    assert read(b"\xef\xbb\xbf" + json.dumps(request(span())).encode()) == ([EXPECTED], [])


def test_several_files_are_read_in_the_order_given(tmp_path):
    paths = []
    for name in ("b", "a"):
        paths.append(tmp_path / name)
        paths[-1].write_text(json.dumps(request(span(name=name))))

    assert [item.name for item in read_spans(paths)] == ["b", "a"]


def test_without_a_callback_the_first_problem_is_raised(tmp_path):
    path = tmp_path / "spans"
    path.write_text(json.dumps(request(span(), span(traceId="x"))))

    with pytest.raises(InputError, match="line 1: span 'b7ad6b7169203331': traceId must be 32 hex digits"):
        list(read_spans([path]))


def test_one_path_is_no_list_of_sources(tmp_path):
    with pytest.raises(TypeError, match="a list of paths"):
        list(read_spans(tmp_path))
    with pytest.raises(TypeError, match="a list of paths"):
        list(read_spans("spans.jsonl"))


def test_standard_input_gives_spans_before_it_ends():
    """A pipe that stays open, as from `tail -f`, is read line by line."""
    program = (
        "from spancost.otlp import read_spans\n"
        "for span in read_spans(['-'], on_problem=print):\n"
        "    print(span.name, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for name in ("first", "second"):
            process.stdin.write(json.dumps(request(span(name=name))).encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().decode().strip() == name
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0
