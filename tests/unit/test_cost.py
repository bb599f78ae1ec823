# SPDX-License-Identifier: Apache-2.0
"""Usage x rate card, and the values that come out."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle
from decimal import Decimal

import pytest

from spancost.cost import UNPRICED_REASONS, Cost, Unpriced, price_usage
from spancost.errors import PriceBookError
from spancost.prices.cards import read_cards
from spancost.prices.tiers import tier_of
from spancost.usage.values import Usage

NOON = int(dt.datetime(2026, 11, 18, 12, tzinfo=dt.timezone.utc).timestamp()) * 10**9


def card(rates, **more):
    (only,) = read_cards("acme", "m", {"source": "a test", "cards": [{"rates": rates, **more}]})
    return only


def price(usage, rates, *, tier="standard", aggregated=False, at=NOON, **more):
    return price_usage(usage, card(rates, **more), at=at, tier=tier, aggregated=aggregated, price_book="1")


def test_every_part_at_its_own_rate():
    """Each token type is multiplied with its rate, and the total is their sum."""
    cost = price(
        Usage(
            input=10, cache_read=2, cache_write=4, cache_write_1h=1, output=5, input_audio=1, output_image=2
        ),
        {
            "input": "1",
            "cache_read": "0.1",
            "cache_write": "1.25",
            "cache_write_1h": "2",
            "output": "10",
            "input_audio": "7",
            "output_image": "30",
        },
    )
    assert {name: part * 10**6 for name, part in cost.parts.items()} == {
        "input": 3,
        "cache_read": Decimal("0.2"),
        "cache_write": Decimal("3.75"),
        "cache_write_1h": 2,
        "output": 30,
        "input_audio": 7,
        "output_image": 60,
    }
    assert cost.total == sum(cost.parts.values()) == Decimal("0.00010595")
    assert float(cost) == 0.00010595
    assert (cost.rate_card, cost.price_book, cost.flags, cost.source) == ("acme/m", "1", (), "local")


def test_cached_tokens_without_a_rate_cost_what_input_costs():
    """A missing cache rate is the input rate, and a missing rate for images too."""
    cost = price(
        Usage(input=10, cache_read=3, cache_write=4, cache_write_1h=4, input_image=3), {"input": "2"}
    )
    assert cost.femto == 10 * 2 * 10**9
    assert cost.femto_parts == {
        "cache_read": 6 * 10**9,
        "cache_write_1h": 8 * 10**9,
        "input_image": 6 * 10**9,
    }


@pytest.mark.parametrize(
    ("usage", "rates", "missing"),
    [
        (Usage(input=5, input_audio=1), {"input": "1", "output": "1"}, "input_audio"),
        (Usage(output=5, output_audio=1), {"input": "1", "output": "1"}, "output_audio"),
        (Usage(output=5), {"input": "1"}, "output"),
        (Usage(input=5), {}, "input"),
        (
            Usage(input=5, cache_write=2, cache_write_1h=1),
            {"input": "1", "cache_write": "1.25"},
            "cache_write_1h",
        ),
    ],
)
def test_a_used_part_without_a_rate_leaves_the_call_unpriced(usage, rates, missing):
    """The whole call is unpriced when one part that was used has no rate and none follows."""
    result = price(usage, rates)
    assert isinstance(result, Unpriced)
    assert result.reason == "missing_rate"
    assert missing in result.detail


def test_a_rate_that_is_not_used_does_not_matter():
    """A card without an output rate prices a call without output, and a rate of 0 is a price."""
    assert price(Usage(input=5), {"input": "1"}).total == Decimal("0.000005")
    free = price(Usage(input=5, output=9), {"input": "0", "output": "0"})
    assert (free.total, free.parts) == (0, {})


@pytest.mark.parametrize(("total", "usd"), [(199_999, "0.199999"), (200_000, "0.2"), (200_001, "0.400002")])
def test_a_threshold_is_passed_above_it_and_counts_for_every_token(total, usd):
    """One token above the threshold makes the whole call dearer, cached tokens included."""
    rates = {"input": "1", "output": "1"}
    assert price(Usage(input=total), rates, above=[[200_000, {"input": "2"}]]).total == Decimal(usd)
    cached = price(Usage(input=total, cache_read=total), rates, above=[[200_000, {"input": "2"}]])
    assert cached.total == Decimal(usd)


def test_the_highest_threshold_passed_counts():
    """Of several thresholds the highest that was passed gives the rates; others keep the base."""
    steps = [[100, {"input": "2"}], [200, {"input": "3"}]]
    rates = {"input": "1", "output": "5"}
    got = [price(Usage(input=size, output=1), rates, above=steps).femto for size in (100, 101, 200, 201)]
    assert got == [(100 + 5) * 10**9, (202 + 5) * 10**9, (400 + 5) * 10**9, (603 + 5) * 10**9]


def test_an_aggregate_takes_no_threshold():
    """A sum over several calls is priced at the base rates, whatever its size."""
    cost = price(Usage(input=500), {"input": "1"}, above=[[100, {"input": "2"}]], aggregated=True)
    assert cost.femto == 500 * 10**9


def test_a_service_tier_has_its_own_rates():
    """A tier of the card is used without a flag, one that it lacks is priced as standard and said so."""
    tiers = {"batch": {"rates": {"input": "0.5"}, "above": [[100, {"input": "1"}]]}}
    batch = price(Usage(input=10), {"input": "1"}, tiers=tiers, tier="batch")
    assert (batch.femto, batch.flags) == (5 * 10**9, ())
    assert price(Usage(input=101), {"input": "1"}, tiers=tiers, tier="batch").femto == 101 * 10**9
    flex = price(Usage(input=10), {"input": "1"}, tiers=tiers, tier="flex")
    assert (flex.femto, flex.flags) == (10 * 10**9, ("tier_assumed",))


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        (None, "standard"),
        ("", "standard"),
        ("default", "standard"),
        ("auto", "standard"),
        ('"standard"', "standard"),
        ("on_demand", "standard"),
        ("ON_DEMAND", "standard"),
        ("None", "standard"),
        ("<openai.Omit object at 0x7f548eb38150>", "standard"),
        ("flex", "flex"),
        ("ServiceTier.PRIORITY", "priority"),
        ("scale", "scale"),
    ],
)
def test_spellings_of_service_tiers(said, tier):
    """What SDKs write for "nothing special" is the standard tier."""
    assert tier_of(said) == tier


@pytest.mark.parametrize(
    ("clock", "dear"),
    [("00:59:59", False), ("01:00:00", True), ("03:59:59", True), ("04:00:00", False)],
)
@pytest.mark.parametrize(
    ("day", "working"), [("2026-11-18", True), ("2026-11-21", False), ("2026-11-19", False)]
)
def test_a_window_holds_from_its_start_to_before_its_end(clock, dear, day, working):
    """Rates by time of day hold from the first second to before the last, on their days only."""
    windows = [
        {
            "start": "01:00",
            "end": "04:00",
            "days": "12345",
            "holidays": ["2026-11-19"],
            "rates": {"input": "2"},
        }
    ]
    at = int(dt.datetime.fromisoformat(f"{day}T{clock}+00:00").timestamp()) * 10**9
    cost = price(Usage(input=1), {"input": "1"}, windows=windows, at=at)
    assert cost.femto == (2 if dear and working else 1) * 10**9
    assert cost.flags == (("window",) if dear and working else ())


def test_a_window_can_pass_midnight():
    """A window whose end is before its start goes on into the next day."""
    windows = [{"start": "16:30", "end": "00:30", "rates": {"input": "1"}}]
    hours = {"16:29": 2, "16:30": 1, "23:59": 1, "00:29": 1, "00:30": 2}
    for clock, rate in hours.items():
        at = int(dt.datetime.fromisoformat(f"2026-03-01T{clock}:00+00:00").timestamp()) * 10**9
        assert price(Usage(input=1), {"input": "2"}, windows=windows, at=at).femto == rate * 10**9


def test_cached_audio_and_reasoning_with_rates_of_their_own():
    """Where a card tells them apart, cached audio and reasoning have their own rates inside their part."""
    rates = {"input": "1", "cache_read": "0.1", "input_audio": "5", "cache_read_audio": "0.5", "output": "2"}
    cost = price(Usage(input=10, cache_read=6, input_audio=4, cache_read_audio=4), rates)
    assert cost.femto_parts == {"input": 4 * 10**9, "cache_read": (2 * 10**8) + (4 * 5 * 10**8)}
    assert price(Usage(output=10, reasoning=4), {**rates, "reasoning": "3"}).femto == (6 * 2 + 4 * 3) * 10**9
    assert price(Usage(output=10, reasoning=4), rates).femto == 10 * 2 * 10**9


def test_a_cost_that_the_provider_reported():
    """A reported amount is kept whole, as one part that cannot be split."""
    cost = Cost.reported(Decimal("0.00044685"))
    assert (cost.total, cost.source) == (Decimal("0.00044685"), "provider")
    assert cost.parts == {"unallocated": Decimal("0.00044685")}
    assert Cost.reported("0.0000000000000004").femto == 0
    assert Cost.reported(0).parts == {}
    with pytest.raises(ValueError, match="negative"):
        Cost.reported("-1")


def test_results_are_values():
    """Costs can be compared, hashed, pickled, and not changed; an unpriced call has no amount."""
    cost = Cost.reported("0.5")
    assert pickle.loads(pickle.dumps(cost)) == cost
    assert hash(cost) == hash(Cost.reported("0.5"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        cost.femto = 1
    unpriced = Unpriced("no_usage")
    assert (unpriced.total, dict(unpriced.parts)) == (None, {})
    assert len(UNPRICED_REASONS) == 8


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"source": "x", "cards": []},
        {"source": "x", "cards": [{"rates": {"input": "x"}}]},
        {"source": "x", "cards": [{"rates": {"inputs": "1"}}]},
        {"source": "x", "cards": [{"rates": {}}, {"rates": {}}]},
        {"source": "x", "cards": [{"from": "2026-02-01", "rates": {}}, {"from": "2026-01-01", "rates": {}}]},
    ],
)
def test_a_row_of_another_shape_is_refused(row):
    """A row that is not of the table's shape is an error that names it."""
    with pytest.raises(PriceBookError, match="acme/m"):
        read_cards("acme", "m", row)
