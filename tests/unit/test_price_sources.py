# SPDX-License-Identifier: Apache-2.0
"""What the table takes from LiteLLM's price map: rates per million, thresholds, tiers, regions, fees."""

from __future__ import annotations

from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def card_of(monkeypatch):
    """The card that an entry of the map becomes."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import prices_litellm

    def card(provider="openai", **entry):
        fields = {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06, **entry}
        (row,) = prices_litellm.rows({"m": {"litellm_provider": provider, **fields}}, "second 1")
        return row["cards"][0]

    return card


def test_rates_are_per_million_without_the_noise_of_floats(card_of):
    """7.499999999999999e-08 is 0.075."""
    found = card_of(input_cost_per_token=7.499999999999999e-08, cache_read_input_token_cost=1.0399999999e-06)

    assert found["rates"] == {"input": "0.075", "output": "8", "cache_read": "1.04"}


def test_thresholds_are_whole_steps(card_of):
    """XAI's hold from the number itself, so they are written one lower."""
    step = {"input_cost_per_token_above_200k_tokens": 4e-06}

    assert card_of(**step)["above"] == [[200000, {"input": "4"}]]
    assert card_of("xai", **step)["above"] == [[199999, {"input": "4"}]]


def test_a_rate_that_begins_at_a_threshold_is_a_slip(card_of):
    """The map has Gemini's storage there as a cache write."""
    found = card_of(
        input_cost_per_token_above_200k_tokens=4e-06,
        cache_creation_input_token_cost_above_200k_tokens=2.5e-07,
    )

    assert found["above"] == [[200000, {"input": "4"}]]


def test_a_discount_is_the_same_part_at_every_size(card_of):
    """Batch named below the threshold only; of its cached input the map says nothing, so that is as ever."""
    found = card_of(
        cache_read_input_token_cost=2e-07,
        input_cost_per_token_above_200k_tokens=4e-06,
        output_cost_per_token_above_200k_tokens=12e-06,
        cache_read_input_token_cost_above_200k_tokens=4e-07,
        input_cost_per_token_batches=1e-06,
        output_cost_per_token_batches=4e-06,
    )

    assert found["tiers"]["batch"] == {
        "rates": {"input": "1", "output": "4", "cache_read": "0.2"},
        "above": [[200000, {"input": "2", "output": "6", "cache_read": "0.4"}]],
    }


def test_a_premium_above_a_threshold_is_not_inferred(card_of):
    """Nobody says what priority costs there, or whether it exists."""
    found = card_of(
        input_cost_per_token_above_200k_tokens=4e-06,
        input_cost_per_token_priority=4e-06,
        output_cost_per_token_priority=16e-06,
    )

    assert "tiers" not in found


def test_a_tier_without_input_or_output_is_none(card_of):
    """Half a tier would price the other half at ordinary rates."""
    assert "tiers" not in card_of(input_cost_per_token_flex=1e-06)


def test_an_hours_cache_is_discounted_as_five_minutes_are(card_of):
    """The map often leaves it out of a batch."""
    found = card_of(
        cache_creation_input_token_cost=2.5e-06,
        cache_creation_input_token_cost_above_1hr=4e-06,
        cache_creation_input_token_cost_batches=1.25e-06,
        input_cost_per_token_batches=1e-06,
        output_cost_per_token_batches=4e-06,
    )

    assert found["tiers"]["batch"]["rates"]["cache_write_1h"] == "2"


def test_long_retention_is_the_cache_of_an_hour_or_longer(card_of):
    """OpenAI's names it by twelve hours."""
    assert card_of(cache_creation_input_token_cost_above_12hr=1e-05)["rates"]["cache_write_1h"] == "10"


def test_regions(card_of):
    """OpenAI's data residency, Vertex AI's regional endpoints, Anthropic's geography."""
    openai = {f"regional_processing_uplift_multiplier_{name}": 1.1 for name in ("us", "eu")}

    assert card_of(**openai)["regions"] == {"regional": "1.1"}
    europe = {**openai, "regional_processing_uplift_multiplier_eu": 1.2}
    assert card_of(**europe)["regions"] == {"us": "1.1", "eu": "1.2"}
    assert card_of("vertex_ai", regional_endpoint_uplift_multiplier=1.1)["regions"] == {"regional": "1.1"}
    assert card_of("anthropic", provider_specific_entry={"us": 1.1, "fast": 2})["regions"] == {"us": "1.1"}
    assert "regions" not in card_of("bedrock", provider_specific_entry={"us": 1.1})


def test_fees(card_of):
    """A search counts where it has one price; a rerank is billed by units, and its zeros are no prices."""
    one = dict.fromkeys(("low", "medium", "high"), 0.01)

    assert card_of(search_context_cost_per_query=one)["rates"]["web_search"] == "10000"
    assert "web_search" not in card_of(search_context_cost_per_query={**one, "high": 0.02})["rates"]
    rerank = card_of(
        "cohere", mode="rerank", input_cost_per_query=0.002, input_cost_per_token=0, output_cost_per_token=0
    )
    assert rerank["rates"] == {"search_unit": "2000"}
