# SPDX-License-Identifier: Apache-2.0
"""What recorded spans show beside tokens: searches of the provider's own tool, and where the model ran."""

from __future__ import annotations

import json
import re

import pytest

from spancost.calls import read_span
from spancost.calls.facts import NOTHING
from spancost.otlp import read_spans
from tests.corpus.scoring import runs_of

SEARCHES = re.compile(r"web_search_requests\W+(\d+)")
GEO = re.compile(r"inference_geo\W+(\w+)")
CONTENT = ("input.value", "output.value")
"""Recorded bodies: reading them is optional, and nothing here does."""


@pytest.fixture(scope="module")
def spans(tmp_path_factory):
    """Every span of the clients' recordings, with the facts that we read of it."""
    path = tmp_path_factory.mktemp("corpus") / "clients.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for run in runs_of("clients"):
            lines.writelines(json.dumps(request) + "\n" for request in run.requests)
    read = []
    for span in read_spans([path]):
        facts = read_span(span.name, span.attributes, span.scope_name, span.scope_version, failed=span.failed)
        if facts is not NOTHING:
            read.append((span, facts))
    return read


def shown(spans, pattern):
    """The spans with a reading on which an attribute says something, and what."""
    for span, facts in spans:
        text = json.dumps({key: value for key, value in span.attributes.items() if key not in CONTENT})
        found = pattern.search(text.replace("\\", ""))
        if found and facts.reading is not None:
            yield facts, found[1], span.scope_name


def test_the_searches_that_spans_show_are_read(spans):
    """Anthropic's usage object has them, and OpenInference's metadata; no other span gets any."""
    counted = [
        (facts.reading.usage.web_searches, int(said), scope) for facts, said, scope in shown(spans, SEARCHES)
    ]
    assert {read - said for read, said, _ in counted} == {0}
    scopes = {scope for read, _, scope in counted if read}
    assert scopes == {"logfire.anthropic", "openinference.instrumentation.anthropic"}
    everywhere = sum(facts.reading.usage.web_searches for _, facts in spans if facts.reading is not None)
    assert everywhere == sum(said for _, said, _ in counted) > 0


def test_where_anthropic_says_it_ran_is_read(spans):
    """Its answers say global, or that they do not say; LiteLLM passes that on, as None at times."""
    said = [(facts.reading.region, geo, scope) for facts, geo, scope in shown(spans, GEO)]
    assert {read for read, _, _ in said} >= {"global", "not_available"}
    assert {
        (read, geo, scope) for read, geo, scope in said if read != geo and geo not in ("None", "null")
    } == set()


def test_regions_of_hosts(spans):
    """Vertex AI's regional hosts stand for a region; the region of a Bedrock client or an app changes nothing."""
    by_host = {facts.host: facts.region for _, facts in spans if facts.host}
    assert by_host["us-central1-aiplatform.googleapis.com"] == "regional"
    assert by_host["api.openai.com"] is None
    clouds = [facts for span, facts in spans if {"cloud.region", "aws.region"} & span.attributes.keys()]
    assert clouds
    assert {facts.region for facts in clouds} == {None}
