# SPDX-License-Identifier: Apache-2.0
"""Where a model ran: what tells it, and what it does to the rates."""

from __future__ import annotations

import json

import pytest

from spancost import PriceBook, PriceBookError, Usage
from spancost.calls import read_span
from spancost.calls.pricing import Pricer
from spancost.prices.regions import class_of, class_of_host, class_of_model
from spancost.prices.table import Row, Table
from tests.kit import Spans, route_of

TEXT = {"input": "1", "cache_read": "0.1", "output": "2", "web_search": "10000"}
USAGE = Usage(input=10, cache_read=4, output=3)
STANDARD = 6 * 10**9 + 4 * 10**8 + 6 * 10**9


def route(regions, **more):
    spec = {"rates": TEXT, "regions": regions, **more}
    return route_of(spec)


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("api.openai.com", None),
        ("us.api.openai.com", "us"),
        ("eu.api.openai.com", "eu"),
        ("jp.api.openai.com", "regional"),
        ("api.x.ai", None),
        ("us-east-1.api.x.ai", "regional"),
        ("aiplatform.googleapis.com", "global"),
        ("us-east5-aiplatform.googleapis.com", "regional"),
        ("aiplatform.us.rep.googleapis.com", "us"),
        ("aiplatform.eu.rep.googleapis.com", "eu"),
        ("generativelanguage.googleapis.com", None),
        ("api.anthropic.com", None),
        ("bedrock-runtime.us-east-1.amazonaws.com", None),
        ("us.api.openai.com.evil.example", None),
        ("", None),
        (None, None),
    ],
)
def test_hosts_that_stand_for_a_region(host, region):
    """Only hosts that a provider made for a region tell one."""
    assert class_of_host(host) == region


@pytest.mark.parametrize(
    ("said", "region"),
    [
        ("us", "us"),
        ("EU", "eu"),
        ("global", "global"),
        ("ap-south1", "regional"),
        ("not_available", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_provider_answers(said, region):
    """Anthropic's inference_geo is a geography, or says that it says nothing."""
    assert class_of(said) == region


def test_a_location_in_the_path_of_a_model():
    """Vertex AI's resource names carry the location."""
    path = "projects/p/locations/{}/publishers/anthropic/models/claude-opus-4-5"
    assert class_of_model(path.format("us-east5")) == "regional"
    assert class_of_model(path.format("global")) == "global"
    assert class_of_model("claude-opus-4-5") is None


@pytest.mark.parametrize(
    ("regions", "region", "by"),
    [
        ({"us": "1.1"}, "us", 11),
        ({"us": "1.1"}, "eu", 10),
        ({"us": "1.1"}, "regional", 10),
        ({"us": "1.1"}, "global", 10),
        ({"us": "1.1"}, None, 10),
        ({"regional": "1.1"}, "regional", 11),
        ({"regional": "1.1"}, "us", 11),
        ({"regional": "1.1", "eu": "1.2"}, "eu", 12),
        ({"regional": "1.1"}, "global", 10),
        ({}, "us", 10),
    ],
)
def test_a_region_multiplies_every_token_rate(regions, region, by):
    """The multiplier is exact and for the whole call; a region that the card does not name changes nothing."""
    cost = route(regions).in_region(region).price(USAGE, 0)
    assert cost.femto * 10 == STANDARD * by
    assert cost.rate_card == (
        "acme/m" if by == 10 else f"acme/m+{region if region in regions else 'regional'}"
    )


def test_a_region_multiplies_tiers_steps_and_windows_and_no_fee():
    """Whichever rates hold, they are the region's; a search costs the same everywhere."""
    regional = route(
        {"us": "1.1"},
        above=[[100, {"input": "3"}]],
        tiers={"batch": {"rates": {"input": "0.5", "output": "1"}}},
        windows=[{"start": "01:00", "end": "02:00", "rates": {"input": "5", "output": "6"}}],
    ).in_region("us")
    one = Usage(input=1, web_searches=1)
    assert regional.price(one, 0).femto == 11 * 10**8 + 10**13
    assert regional.price(one, 0, "batch").femto == 55 * 10**7 + 10**13
    assert regional.price(one, 3_600 * 10**9).femto == 55 * 10**8 + 10**13
    assert regional.price(Usage(input=101), 0).femto == 101 * 33 * 10**8


@pytest.mark.parametrize(
    ("multiplier", "told"),
    [
        ("1.0000000001", "finer than 1e-15 USD"),
        ("0", "above 0"),
        ("-1", "above 0"),
        ("1e3", "above 0"),
        ("x", "above 0"),
        (1.1, "decimal text"),
    ],
)
def test_a_multiplier_that_cannot_be_exact_is_refused(multiplier, told):
    """A multiplier is decimal text above 0 that leaves every rate a whole number of 1e-15 USD."""
    with pytest.raises(PriceBookError, match=told):
        route({"us": multiplier})


@pytest.mark.parametrize(
    ("attributes", "region"),
    [
        ({"server.address": "eu.api.openai.com"}, "eu"),
        ({"gen_ai.openai.api_base": "https://us.api.openai.com/v1/"}, "us"),
        ({"cloud.region": "us-east-1", "aws.region": "us-east-1"}, None),
        ({"gen_ai.request.model": "projects/p/locations/eu/publishers/google/models/m"}, "eu"),
    ],
)
def test_what_a_span_shows_of_the_region(attributes, region):
    """The host and the path of the model tell; the region that the app runs in does not."""
    usage = {"gen_ai.usage.input_tokens": 1, "gen_ai.operation.name": "chat"}
    assert read_span("chat", usage | attributes, "", "", failed=False).region == region


def test_a_span_is_priced_at_the_rates_of_the_region_that_the_provider_names():
    """Anthropic's answer says where it ran; what it says wins over the host."""
    cards = {"source": "a test", "cards": [{"rates": TEXT, "regions": {"us": "1.1"}}]}
    row = Row("openai", "gpt-4o", ("gpt-4o",), json.dumps(cards))
    pricer = Pricer(PriceBook(Table("1", "2026-11-24", "sha256:0", {}, [row])))
    spans = Spans()
    for host, geo in (("", "us"), ("us.", "global"), ("us.", "not_available"), ("", "not_available")):
        raw = {"input_tokens": 10, "output_tokens": 0, "inference_geo": geo}
        more = {"gen_ai.usage.raw": json.dumps(raw), "server.address": f"{host}api.openai.com"}
        spans.chat(0, 1, (10, 0), more=more)
    costs = [pricer(call) for call in spans.settle().calls]
    assert [cost.femto for cost in costs] == [11 * 10**9, 10 * 10**9, 11 * 10**9, 10 * 10**9]
    assert [cost.rate_card for cost in costs][:2] == ["openai/gpt-4o+us", "openai/gpt-4o"]


def test_a_reseller_has_no_regions_of_its_vendor():
    """Azure sells at OpenAI's list prices; what OpenAI asks for a region says nothing of Azure's."""
    cards = {"source": "a test", "cards": [{"rates": TEXT, "regions": {"us": "1.1"}}]}
    row = Row("openai", "gpt-4o", ("gpt-4o",), json.dumps(cards))
    book = PriceBook(Table("1", "2026-11-24", "sha256:0", {}, [row]))
    got = {
        seller: book.price(Usage(input=10), provider=seller, model="gpt-4o", region="us").femto
        for seller in ("openai", "azure")
    }
    assert got == {"openai": 11 * 10**9, "azure": 10 * 10**9}
    assert book.resolve(provider="openai", model="gpt-4o", region="us").card.id == "openai/gpt-4o+us"
