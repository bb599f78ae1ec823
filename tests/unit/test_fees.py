# SPDX-License-Identifier: Apache-2.0
"""What is billed beside tokens: web searches, search units, and a fee for each request."""

from __future__ import annotations

import json

import pytest

from spancost import Cost, Unpriced, Usage
from spancost.calls import read_span
from spancost.usage import read_usage
from tests.kit import Spans, route_of

TEXT = {"input": "1", "output": "2"}
ANTHROPIC = "openinference.instrumentation.anthropic"


def route(rates, **more):
    return route_of({"rates": rates, **more})


@pytest.mark.parametrize(
    ("usage", "rates", "fee"),
    [
        (Usage(input=3, web_searches=2), {"web_search": "10000"}, 2 * 10**13),
        (Usage(input=3, web_searches=1), {"web_search": "10000", "request": "5000"}, 10**13 + 5 * 10**12),
        (Usage(input=3), {"request": "5000"}, 5 * 10**12),
        (Usage(input=3), {"web_search": "10000"}, 0),
        (Usage(search_units=3), {"search_unit": "2000"}, 6 * 10**12),
    ],
)
def test_fees_are_a_part_of_their_own(usage, rates, fee):
    """Searches, search units and requests cost what 1,000,000 of them cost over 1,000,000, as token type fee."""
    cost = route(TEXT | rates).price(usage, 0)
    assert isinstance(cost, Cost)
    assert cost.femto == usage.input * 10**9 + fee
    assert cost.femto_parts.get("fee", 0) == fee
    assert sum(cost.femto_parts.values()) == cost.femto


@pytest.mark.parametrize(
    ("usage", "missing"),
    [
        (Usage(input=3, web_searches=1), "web_search"),
        (Usage(search_units=1), "search_unit"),
        (Usage(input=3, input_audio=1, search_units=1), "input_audio, search_unit"),
    ],
)
def test_what_was_used_and_has_no_rate_leaves_the_call_unpriced(usage, missing):
    """A search that nobody lists a price for is not free."""
    result = route(TEXT).price(usage, 0)
    assert result == Unpriced("missing_rate", f"acme/m has no rate for {missing}")


def test_the_fee_of_a_request_is_not_taken_of_a_sum_of_calls():
    """How many requests an aggregate was is not known; its searches are."""
    priced = route(TEXT | {"request": "5000", "web_search": "10000"}).price(
        Usage(input=1, web_searches=1), 0, aggregated=True
    )
    assert priced.femto_parts == {"input": 10**9, "fee": 10**13}


def test_a_tier_has_the_fees_of_its_card_unless_it_says_otherwise():
    """Half price for tokens is no half price for searches."""
    tiers = {
        "batch": {"rates": {"input": "0.5", "output": "1"}},
        "flex": {"rates": {"input": "0.5", "output": "1", "web_search": "5000"}},
    }
    both = route(TEXT | {"web_search": "10000"}, tiers=tiers)
    usage = Usage(input=2, web_searches=1)
    assert both.price(usage, 0, "batch").femto == 10**9 + 10**13
    assert both.price(usage, 0, "flex").femto == 10**9 + 5 * 10**12


def test_a_threshold_keeps_the_fees():
    """Above a threshold tokens are dearer, and a search costs what it cost."""
    steps = route(TEXT | {"web_search": "10000"}, above=[[100, {"input": "2"}]])
    got = [steps.price(Usage(input=size, web_searches=1), 0).femto for size in (100, 101)]
    assert got == [100 * 10**9 + 10**13, 202 * 10**9 + 10**13]


def test_the_search_count_in_openinferences_metadata_is_read():
    """OpenInference writes Anthropic's tool counts into the span's metadata, and nowhere else."""
    attributes = {
        "llm.token_count.prompt": 100,
        "llm.token_count.completion": 5,
        "metadata": json.dumps({"server_tool_use": {"web_fetch_requests": 4, "web_search_requests": 3}}),
    }
    reading = read_usage(attributes, ANTHROPIC)
    assert reading.usage == Usage(input=100, output=5, web_searches=3)
    elsewhere = read_usage(attributes, "openinference.instrumentation.langchain")
    assert elsewhere.usage.web_searches == 0


def test_the_search_count_beside_openais_usage_is_read_from_langfuse():
    """OpenAI counts searches beside the usage; Langfuse keeps what stands there as metadata."""
    attributes = {
        "langfuse.observation.usage_details": json.dumps({"input": 100, "output": 5}),
        "langfuse.observation.metadata.tool_usage": json.dumps({"web_search": {"num_requests": 2}}),
    }
    assert read_usage(attributes, "langfuse-sdk").usage == Usage(input=100, output=5, web_searches=2)
    facts = read_span("generation", attributes, "langfuse-sdk", "", failed=False)
    assert facts.reading.usage.web_searches == 2


@pytest.mark.parametrize(
    ("late", "suspect"),
    [
        ({}, False),
        ({"server_tool_use": {"web_search_requests": 1}}, True),
        ({"inference_geo": "us"}, True),
        ({"inference_geo": "global"}, False),
        ({"inference_geo": "not_available"}, False),
        ({"speed": "fast"}, True),
    ],
)
def test_a_late_copy_that_would_have_changed_the_price_makes_the_call_suspect(late, suspect):
    """Money is frozen when written: what a later copy brings is not added, and said to be missing."""
    spans = Spans()
    usage = {"input_tokens": 100, "output_tokens": 10}
    root = spans.add("work", 0, 9)
    spans.chat(1, 2, (100, 10), scope="client", parent=root, response_id="r")
    raw = {"gen_ai.usage.raw": json.dumps(usage | late)}
    spans.chat(0.9, 2.1, (100, 10), scope="logfire", parent=root, response_id="r", more=raw)
    (call,) = spans.settle().calls
    assert ("suspect" in call.flags) is suspect


def test_a_rerank_that_shows_only_search_units_is_a_call_with_usage():
    """No tokens are counted for a rerank, and it is billed all the same."""
    spans = Spans()
    raw = json.dumps({"billed_units": {"search_units": 2}})
    spans.chat(0, 1, None, operation="rerank", model="rerank-none-such", more={"gen_ai.usage.raw": raw})
    (row,) = spans.settle().rows
    assert (row["usage"]["search_units"], row["reason"]) == (2, "unknown_model")
