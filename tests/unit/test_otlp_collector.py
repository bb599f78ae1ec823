# SPDX-License-Identifier: Apache-2.0
"""
Files that a real Collector wrote.

tests/data/otlp/README.md says which, and how to write them again.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spancost.otlp import ReadCounts, read_spans

DATA = Path(__file__).parents[1] / "data" / "otlp"


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """The spans that were sent to the Collector, read from the requests as they were sent."""
    path = tmp_path_factory.mktemp("sent") / "sent.json"
    path.write_bytes(gzip.decompress((DATA / "sent.json.gz").read_bytes()))
    return list(read_spans([path]))


@pytest.fixture(
    params=[
        "traces.jsonl.gz",
        "traces.jsonl",
        "traces.json-zstd",
        "traces.proto.gz",
        "traces.proto",
        "traces.proto-zstd",
        "native.jsonl.zst",
        "native.proto.zst",
    ]
)
def written(request, tmp_path):
    """A file as the Collector wrote it, or as we keep it, gzipped."""
    path = DATA / request.param
    if not path.exists():
        path = tmp_path / request.param
        path.write_bytes(gzip.decompress((DATA / f"{request.param}.gz").read_bytes()))
    return path


def test_what_was_sent_is_read(written, sent):
    """Each format gives the spans that were sent, and passes over the metrics and logs between them."""
    counts = ReadCounts()

    assert list(read_spans([written], counts=counts)) == sent
    assert counts.other_signals == 2
    assert counts.spans == len(sent)


def test_standard_input_reads_the_same(written, sent):
    """A pipe cannot be sought in, and nothing needs it to be."""
    program = "from spancost.otlp import read_spans\nfor span in read_spans(['-']): print(span.span_id)"

    with written.open("rb") as stream:
        done = subprocess.run(
            ["sh", "-c", f'cat | {sys.executable} -c "$0"', program],
            stdin=stream,
            capture_output=True,
            text=True,
            check=True,
        )

    assert done.stdout.split() == [span.span_id for span in sent]


def test_the_samples_have_what_the_formats_could_lose(sent):
    """The comparison is worth something: every type of value, absent ends, parents and resources occur."""
    by_name = {span.name: span for span in sent}
    types = {type(value) for value in by_name["caf\u00e9 \u2713 \U0001f600"].attributes.values()}

    assert types == {str, int, float, bool, list, dict, bytes, type(None)}
    assert by_name["caf\u00e9 \u2713 \U0001f600"].failed
    assert by_name["never ended"].end is None
    assert by_name["never ended"].is_remote_parent is True
    assert by_name["no resource, no scope"].resource == {}
    assert len(sent) > 20


def test_the_answer_is_not_from_our_reader_alone(sent):
    """The first request, taken apart by hand, is what the reader says."""
    [group] = json.loads(gzip.decompress((DATA / "sent.json.gz").read_bytes()))[0]["resourceSpans"]
    scope_spans = group["scopeSpans"][0]
    recorded = scope_spans["spans"][0]

    assert sent[0].span_id == recorded["spanId"]
    assert sent[0].scope_name == scope_spans["scope"]["name"]
    assert len(sent[0].attributes) == len(recorded["attributes"])
    for pair in recorded["attributes"]:
        if "stringValue" in pair["value"]:
            assert sent[0].attributes[pair["key"]] == pair["value"]["stringValue"]
        if "intValue" in pair["value"]:
            assert sent[0].attributes[pair["key"]] == int(pair["value"]["intValue"])
