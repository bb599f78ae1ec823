# SPDX-License-Identifier: Apache-2.0
"""Input that is broken, foreign or hostile: a problem that says so, and never a crash."""

from __future__ import annotations

import functools
import gzip
import json
import subprocess
import sys

import pytest

from spancost.otlp import Problem, read_spans
from spancost.otlp.reader import MAX_FOREIGN_RECORDS
from tests.otlp_kit import GOOD, MIB, SPAN, line, read_content, span


@pytest.fixture
def read(tmp_path):
    return functools.partial(read_content, tmp_path)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (b"{", "not JSON"),
        (GOOD[:-2], "not JSON"),
        (GOOD + b"x", "not JSON: Extra data"),
        (GOOD.replace(b"good", b"\xff"), "not UTF-8: byte"),
        (GOOD.replace(b"good", b"\x01"), "not JSON"),
        (b'{"resourceSpans": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"a": ' + b'{"a": ' * 100_000, "nested too deep"),
        (b'{"resourceSpans": [' + b"9" * 5000 + b"]}", "not JSON that can be read"),
        (b'{"data": [], "total": 1}', "found the keys data, total"),
        (b"5", "found 5"),
        (b"null", "found None"),
        (b'"text"', "found 'text'"),
        (b'{"resourceSpans": "many"}', "resourceSpans must be an array, not 'many'"),
        (b'{"resourceSpans": 7}', "resourceSpans must be an array, not 7"),
        (b'{"resourceSpans": [7]}', "resourceSpans item must be an object, not 7"),
        (b'[{"resourceSpans": []}, 5]', "found 5"),
        (b'{"resourceSpans": [{"scopeSpans": {}}]}', "scopeSpans must be an array, not an object of 0"),
        (
            b'{"resourceSpans": [{"scopeSpans": [[]]}]}',
            "scopeSpans item must be an object, not an array of 0",
        ),
        (b'{"resourceSpans": [{"resource": 1, "scopeSpans": []}]}', "resource must be an object, not 1"),
        (line(spans={}), "spans must be an array, not an object of 0"),
        (line(span(), scope=["a"]), "scope must be an object, not an array of 1"),
        (line(span(), scope={"name": 5}), "scope name must be a string, not 5"),
    ],
)
def test_a_broken_line_is_reported_and_skipped(read, broken, text):
    """The lines around a broken one are read."""
    names, problems = read(b"\n".join([GOOD, broken, GOOD]))

    assert names == ["good", "good"]
    assert len(problems) == 1
    assert problems[0].startswith("line 2: ")
    assert text in problems[0]


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (7, "span must be an object, not 7"),
        (None, "span must be an object, not None"),
        ("span", "span must be an object, not 'span'"),
        (span(traceId="abc"), "traceId must be 32 hex digits, not all zero, not 'abc'"),
        (span(traceId="0" * 32), "traceId must be 32 hex digits, not all zero"),
        (span(traceId=None), "traceId must be 32 hex digits, not all zero, not None"),
        (span(traceId="g" * 32), "traceId must be 32 hex digits"),
        (span(traceId=["a"]), "traceId must be 32 hex digits, not all zero, not an array of 1"),
        (span(spanId=SPAN + "0"), "spanId must be 16 hex digits"),
        (span(spanId="\u0661" * 16), "spanId must be 16 hex digits"),
        (span(spanId="!!!!!!!!!!!="), "spanId must be 16 hex digits"),
        (span(parentSpanId="x"), "parentSpanId must be 16 hex digits"),
        (span(name=5), "name must be a string, not 5"),
        (span(kind="SPAN_KIND_ODD"), "kind must be an integer"),
        (span(kind=[]), "kind must be an integer"),
        (span(status="OK"), "status must be an object, not 'OK'"),
        (span(status={"code": "BAD"}), "status code must be an integer"),
        (span(flags=-1), "flags"),
        (span(flags="many"), "flags must be an integer"),
        (span(startTimeUnixNano="soon"), "startTimeUnixNano must be an integer"),
        (span(startTimeUnixNano=-5), "startTimeUnixNano"),
        (span(startTimeUnixNano=1.5), "startTimeUnixNano must be an integer"),
        (span(startTimeUnixNano=float("nan")), "startTimeUnixNano must be an integer"),
        (span(startTimeUnixNano=float("inf")), "startTimeUnixNano must be an integer"),
        (span(startTimeUnixNano=True), "startTimeUnixNano must be an integer"),
        (span(endTimeUnixNano=2**64), "endTimeUnixNano"),
        (span(endTimeUnixNano="9" * 4000), "endTimeUnixNano"),
        (span(endTimeUnixNano=10**400), "endTimeUnixNano"),
        (span(attributes="many"), "attributes must be an array, not 'many'"),
        (span(attributes=[5]), "attribute must be an object, not 5"),
        (span(attributes=[None]), "attribute must be an object, not None"),
        (span(attributes=[{"key": 5}]), "attribute key must be a string, not 5"),
        (span(attributes=[{"key": "k", "value": "v"}]), "attribute value must be an object, not 'v'"),
    ],
)
def test_a_broken_span_is_reported_and_only_it_is_skipped(read, broken, text):
    """The spans around a broken one, on the same line, are read."""
    names, problems = read(line(span(), broken, span()))

    assert names == ["good", "good"]
    assert len(problems) == 1
    assert problems[0].startswith("line 1: ")
    assert text in problems[0]


def deep(levels):
    value = {"stringValue": "x"}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"stringValue": 5}, "stringValue must be a string, not 5"),
        ({"intValue": "many"}, "intValue must be an integer"),
        ({"intValue": "1_000"}, "intValue must be an integer"),
        ({"intValue": "\u0663"}, "intValue must be an integer"),
        ({"intValue": True}, "intValue must be an integer"),
        ({"intValue": 2**63}, "intValue must"),
        ({"intValue": "9" * 5000}, "intValue must"),
        ({"intValue": 10**300}, "not a huge integer"),
        ({"doubleValue": "much"}, "doubleValue must be a number, not 'much'"),
        ({"doubleValue": []}, "doubleValue must be a number"),
        ({"boolValue": 1}, "boolValue must be true or false, not 1"),
        ({"boolValue": "true"}, "boolValue must be true or false, not 'true'"),
        ({"bytesValue": "!"}, "bytesValue must be base64, not '!'"),
        ({"bytesValue": "\u2713"}, "bytesValue must be base64"),
        ({"arrayValue": []}, "arrayValue must be an object, not an array of 0"),
        ({"arrayValue": {"values": "ab"}}, "values must be an array, not 'ab'"),
        ({"kvlistValue": {"values": [[]]}}, "attribute must be an object, not an array of 0"),
        (deep(200), "attribute values nest deeper than 64"),
    ],
)
def test_a_broken_attribute_breaks_its_span(read, value, text):
    """A span is read whole or not at all: half of its attributes might price it wrongly."""
    names, problems = read(line(span(attributes=[{"key": "k", "value": value}]), span()))

    assert names == ["good"]
    assert len(problems) == 1
    assert text in problems[0]


def test_nesting_that_anyone_needs_is_read(read):
    assert read(line(span(attributes=[{"key": "k", "value": deep(60)}]))) == (["good"], [])


def test_a_broken_resource_breaks_its_spans(read):
    """Spans whose service is not known are not given out as nobody's."""
    broken = json.loads(GOOD)
    broken["resourceSpans"][0]["resource"] = {"attributes": [{"key": "k", "value": {"intValue": 2**70}}]}
    broken["resourceSpans"] += json.loads(GOOD)["resourceSpans"]

    names, problems = read(json.dumps(broken).encode())

    assert names == ["good"]
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "empty"),
        (b"\n \n", "nothing but blank lines"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"time,model,cost\n1,gpt,0.1\n", "text that begins 'time,model,cost'"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\xff\xfe{\0}\0", "UTF-16 text"),
        (bytes(100_000), "binary data that begins 00 00 00 00"),
        (bytes(range(1, 200)), "binary data that begins 01 02 03"),
        (gzip.compress(b""), "empty"),
        (gzip.compress(b"a,b\n"), "text that begins 'a,b'"),
        (gzip.compress(gzip.compress(gzip.compress(GOOD))), "data compressed more than twice"),
        (b"\xe2\x9c\x93" * 100, "text that begins"),
        (b"\n-\ntitle\n", "text that begins '-'"),
    ],
)
def test_a_file_of_another_format_is_one_problem(read, content, seen):
    """The problem says what was seen and what was expected."""
    names, problems = read(content)

    assert names == []
    assert len(problems) == 1
    assert problems[0].startswith(seen)
    assert "expected OTLP JSON or OTLP protobuf" in problems[0]


def test_a_long_file_of_other_json_is_given_up(read):
    """An application's JSON log does not give a problem for each of its million lines."""
    names, problems = read(b'{"level": "info"}\n' * 1000)

    assert names == []
    assert len(problems) == MAX_FOREIGN_RECORDS + 1
    assert problems[-1].startswith(f"after line {MAX_FOREIGN_RECORDS}: given up")


def test_lines_of_a_log_around_requests_are_reported(read):
    """Spans that a container printed between its log's lines are found."""
    names, problems = read(b"starting\n" + GOOD + b"\nstopping\n")

    assert names == ["good"]
    assert [problem.split(":")[0] for problem in problems] == ["line 1", "line 3"]


def test_other_sources_go_on(tmp_path):
    """A file that is missing, a folder, and a name that cannot be are one problem each."""
    good = tmp_path / "good"
    good.write_bytes(GOOD)
    sources = [str(tmp_path / "missing"), str(tmp_path), str(good), "a\0b", "\udfff", str(good)]
    problems = []

    spans = list(read_spans(sources, on_problem=problems.append))

    assert len(spans) == 2
    assert [problem.source for problem in problems] == [sources[0], sources[1], sources[3], sources[4]]
    assert all(isinstance(problem, Problem) and problem.unit == "source" for problem in problems)
    assert "No such file" in problems[0].text


def test_a_document_above_the_limit_is_skipped(read):
    """A pretty-printed document is counted as a whole, and what follows it is read."""
    big = json.dumps(json.loads(line(*[span()] * 500)), indent=1).encode()

    names, problems = read(b"\n".join([GOOD, big, GOOD]), max_record_bytes=10_000)

    assert names == ["good", "good"]
    assert problems == ["line 2: above the limit of 10,000 bytes, skipped"]


def test_a_damaged_length_is_a_problem_not_an_allocation(read):
    content = len(GOOD).to_bytes(4, "big") + GOOD + b"\xff\xff\xff\xff" + GOOD

    names, problems = read(content)

    assert names == ["good"]
    assert problems == [f"after message 1: cut off: a message of 4,294,967,295 bytes has {len(GOOD)}"]


def test_many_quotes_on_a_document_line_take_no_quadratic_time(read):
    """Finding a document's end looks at each byte a bounded number of times."""
    assert len(read(b"{\n" + b'"\\' * MIB + b",\n}")[1]) == 1


def test_no_standard_input_is_a_problem():
    """A daemon has none."""
    program = (
        "import sys; sys.stdin = None\n"
        "from spancost.otlp import read_spans\n"
        "list(read_spans(['-'], on_problem=print))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "-: there is no standard input\n"
