# SPDX-License-Identifier: Apache-2.0
"""What caching saved and cost extra, on the rates that priced the call."""

from __future__ import annotations

import pytest

from spancost.book import PriceBook
from spancost.cost import Cost, cache_effect, price_usage
from spancost.prices.cards import read_cards
from spancost.usage.values import Usage

RATES = {
    "input": "3",
    "cache_read": "0.3",
    "cache_write": "3.75",
    "cache_write_1h": "6",
    "output": "15",
    "input_audio": "10",
    "cache_read_audio": "1",
}
MICRO = 10**9
"""1 USD per 1,000,000 tokens, in 1e-15 USD per token."""


def effect(usage, rates=RATES, *, tier="standard", aggregated=False, **more):
    (card,) = read_cards("acme", "m", {"source": "a test", "cards": [{"rates": rates, **more}]})
    cost = price_usage(usage, card, at=0, tier=tier, aggregated=aggregated)
    assert isinstance(cost, Cost)
    return cache_effect(usage, cost.rates)


@pytest.mark.parametrize(
    ("usage", "savings", "premium"),
    [
        (Usage(input=10, output=5), 0, 0),
        (Usage(input=10, cache_read=10), 27, 0),
        (Usage(input=10, cache_write=10), 0, 7.5),
        (Usage(input=10, cache_write=10, cache_write_1h=10), 0, 30),
        (Usage(input=10, cache_write=10, cache_write_1h=4), 0, 4.5 + 12),
        (Usage(input=20, cache_read=10, cache_write=10), 27, 7.5),
        (Usage(input=10, input_audio=4, cache_read=10, cache_read_audio=4), 6 * 2.7 + 4 * 9, 0),
    ],
)
def test_reads_save_and_writes_cost_extra(usage, savings, premium):
    assert effect(usage) == (round(savings * MICRO), round(premium * MICRO))


def test_it_is_the_line_that_priced_the_call():
    """Above a threshold and in another tier the differences are other ones."""
    above = [[100, {**RATES, "input": "6", "cache_read": "0.6"}]]
    tiers = {"batch": {"rates": {"input": "1.5", "cache_read": "0.15", "output": "7"}}}

    assert effect(Usage(input=100, cache_read=100), above=above) == (270 * MICRO, 0)
    assert effect(Usage(input=101, cache_read=100), above=above) == (540 * MICRO, 0)
    assert effect(Usage(input=101, cache_read=100), above=above, aggregated=True) == (270 * MICRO, 0)
    assert effect(Usage(input=100, cache_read=100), tier="batch", tiers=tiers) == (135 * MICRO, 0)


def test_a_list_without_cache_rates_saves_nothing_and_costs_nothing_extra():
    assert effect(Usage(input=20, cache_read=10, cache_write=10), {"input": "3", "output": "15"}) == (0, 0)


def test_counters_cannot_fall_so_a_dear_read_is_a_premium_and_a_cheap_write_a_saving():
    rates = {"input": "3", "cache_read": "4", "cache_write": "2", "output": "15"}

    assert effect(Usage(input=10, cache_read=10), rates) == (0, 10 * MICRO)
    assert effect(Usage(input=10, cache_write=10), rates) == (10 * MICRO, 0)
    assert effect(Usage(input=20, cache_read=10, cache_write=10), rates) == (10 * MICRO, 10 * MICRO)


def test_an_amount_that_is_not_from_a_rate_card_has_no_rates():
    assert cache_effect(Usage(input=10, cache_read=10), Cost.reported("0.5").rates) == (0, 0)


def test_the_rates_are_no_part_of_what_a_cost_says():
    """Two costs with the same amounts are equal, and a printed one stays short."""
    book = PriceBook.default()
    cost = book.price(Usage(input=10), provider="openai", model="gpt-4o")
    assert isinstance(cost, Cost)

    assert cost == Cost(cost.femto, cost.femto_parts, cost.rate_card, cost.price_book)
    assert "rates" not in repr(cost)
