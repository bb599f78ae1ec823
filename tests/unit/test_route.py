# SPDX-License-Identifier: Apache-2.0
"""The short way from counts to an amount, at every edge at which the rates change."""

from __future__ import annotations

import datetime as dt
import sys
import threading

import pytest

from spancost import PriceBook, Usage
from spancost.cost import Unpriced, price_usage
from spancost.prices.cards import DAY_NS, MINUTE_NS
from spancost.route import MAX_TIERS
from tests.kit import route_of

TEXT = {"input": "1", "cache_read": "0.1", "cache_write": "1.25", "cache_write_1h": "2", "output": "10"}
RATES = (10**9, 10**8, 125 * 10**7, 2 * 10**9, 10**10)


def at(text):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc).timestamp()) * 10**9


def total(way, moment, tier=None, given=1):
    found = way.amounts(moment, tier, given, 0, 0, 0, 0)
    return found and found[1]


def test_parts_are_integers_in_their_order():
    """Total and parts come out as integers, and with them the row and the rates that priced them."""
    stretch, *amounts = route_of({"rates": TEXT}).amounts(0, None, 100, 40, 30, 10, 7)
    counts = (30, 40, 20, 10, 7)
    parts = [count * rate for count, rate in zip(counts, RATES, strict=True)]
    assert amounts == [sum(parts), *parts]
    assert all(type(amount) is int for amount in amounts)
    assert (stretch.rate_card, stretch.flags, stretch.line[:5]) == ("acme/m", (), RATES)


def test_a_date_at_its_last_and_first_nanosecond():
    """A card holds from the first nanosecond of its date to before the next one's, in any order of calls."""
    cards = route_of(
        {"rates": {"input": "1", "output": "1"}},
        {"from": "2026-03-01", "rates": {"input": "2", "output": "1"}},
        {"from": "2026-03-01T16:00+00:00", "rates": {"input": "3", "output": "1"}},
    )
    first, second = at("2026-03-01"), at("2026-03-01T16:00")
    expected = {first - 1: 1, first: 2, second - 1: 2, second: 3, -(10**18): 1, 10**19: 3, 0: 1}
    for moment in (*expected, *reversed(expected)):
        assert total(cards, moment) == expected[moment] * 10**9


def test_before_the_first_date_the_first_card_holds():
    """A call older than the list is priced by the oldest rates that it has."""
    cards = route_of({"from": "2026-03-01", "rates": {"input": "2", "output": "1"}})
    assert total(cards, at("2026-02-28")) == total(cards, at("2026-03-01")) == 2 * 10**9


@pytest.mark.parametrize("tier", [None, "batch"])
def test_a_threshold_and_one_above_it(tier):
    """At a threshold the lower rates hold, one token above it the higher ones, for every token."""
    steps = {"above": [[100, {"input": "2"}], [200, {"input": "3"}]]}
    cards = route_of({"rates": TEXT, **steps, "tiers": {"batch": {"rates": TEXT, **steps}}})
    got = [total(cards, 0, tier, size) for size in (99, 100, 101, 200, 201, 10**12)]
    assert got == [99 * 10**9, 10**11, 202 * 10**9, 400 * 10**9, 603 * 10**9, 3 * 10**21]


def test_a_window_at_both_of_its_edges_on_every_day():
    """A window holds from its first to before its last nanosecond, on its days but not on a holiday."""
    windows = [
        {
            "start": "01:00",
            "end": "04:00",
            "days": "12345",
            "holidays": ["2026-11-19"],
            "rates": {"input": "2", "output": "1"},
        },
        {"start": "22:30", "end": "00:30", "rates": {"input": "5", "output": "1"}},
    ]
    cards = route_of({"rates": {"input": "1", "output": "1"}, "windows": windows})
    plain = cards.cards[0]
    edges = [minute * MINUTE_NS for minute in (0, 30, 60, 240, 1350)]
    for day in range(14):
        midnight = at("2026-11-15") + day * DAY_NS
        for edge in edges:
            for moment in (midnight + edge - 1, midnight + edge):
                slow = price_usage(Usage(input=1), plain, at=moment)
                stretch, amount, *_ = cards.amounts(moment, None, 1, 0, 0, 0, 0)
                assert (amount, stretch.flags) == (slow.femto, slow.flags)


def test_a_tier_that_the_card_lacks_is_flagged():
    """Ordinary rates, and said so; spellings of the ordinary tier are not flagged."""
    cards = route_of({"rates": TEXT, "tiers": {"batch": {"rates": {"input": "0.5", "output": "1"}}}})
    flags = {
        tier: cards.amounts(0, tier, 1, 0, 0, 0, 0)[0].flags for tier in (None, "default", "flex", "BATCH")
    }
    assert flags == {None: (), "default": (), "flex": ("tier_assumed",), "BATCH": ()}
    assert total(cards, 0, "BATCH") == 5 * 10**8


@pytest.mark.parametrize(
    ("rates", "counts"),
    [
        ({"output": "1"}, (1, 0, 0, 0, 0)),
        ({"input": "1"}, (1, 0, 0, 0, 1)),
        ({"input": "1", "cache_write": "1", "output": "1"}, (2, 0, 2, 1, 0)),
        (TEXT | {"reasoning": "20"}, (1, 0, 0, 0, 1)),
        (TEXT | {"request": "5000"}, (1, 0, 0, 0, 1)),
    ],
)
def test_what_needs_the_long_way_is_left_to_it(rates, counts):
    """A missing rate, one for reasoning or one for requests: no amount from here, whatever was used."""
    cards = route_of({"rates": rates})
    assert cards.amounts(0, None, *counts) is None
    whole, read, write, hour, output = counts
    usage = Usage(input=whole, cache_read=read, cache_write=write, cache_write_1h=hour, output=output)
    slow = price_usage(usage, cards.cards[0], at=0, price_book="1")
    assert cards.price(usage, 0) == slow
    assert isinstance(slow, Unpriced) == (rates.keys() <= {"input", "cache_write", "output"})


def test_a_card_without_an_hours_rate_prices_other_writes():
    """A rate that is missing matters to those who use it."""
    cards = route_of({"rates": {"input": "1", "cache_write": "1.25", "output": "1"}})
    assert cards.amounts(0, None, 2, 0, 2, 0, 0)[1] == 25 * 10**8


def test_spellings_of_tiers_are_kept_within_a_bound():
    """No text on a span can grow memory."""
    cards = route_of({"rates": TEXT})
    for number in range(3 * MAX_TIERS):
        assert total(cards, 0, f"tier {number}") == 10**9
    assert total(cards, 0, "x" * 10_000) == 10**9
    assert len(cards._kept) <= MAX_TIERS
    assert "x" * 10_000 not in cards._kept


def test_threads_that_price_calls_of_two_ages_do_not_mix_them():
    """What one call keeps for the next is never half of one time and half of another."""
    cards = route_of(
        {"rates": {"input": "1", "output": "1"}},
        {"from": "2026-03-01", "rates": {"input": "2", "output": "2"}},
    )
    wrong = []

    def work(moment, rate):
        expected = (5 * rate, 3 * rate, 0, 0, 0, 2 * rate)
        got = {cards.amounts(moment, None, 3, 0, 0, 0, 2)[1:] for _ in range(20_000)}
        wrong.extend(got - {expected})

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=work, args=pair) for pair in ((0, 10**9), (at("2026-04-01"), 2 * 10**9))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong


def test_the_book_gives_the_route_that_it_prices_by():
    """`PriceBook.route` and `PriceBook.price` are the same numbers; an id that nobody lists has a reason."""
    book = PriceBook.default()
    way = book.route("openai", "gpt-4.1")
    now = at("2026-11-21")
    cost = book.price(Usage(input=9, cache_read=2, output=3), provider="openai", model="gpt-4.1", at=now)
    stretch, amount, *parts = way.amounts(now, None, 9, 2, 0, 0, 3)
    assert (amount, tuple(parts)) == (
        cost.femto,
        (*[cost.femto_parts[n] for n in ("input", "cache_read")], 0, 0, cost.femto_parts["output"]),
    )
    assert (stretch.rate_card, stretch.line, way.price_book) == (cost.rate_card, cost.rates, cost.price_book)
    assert book.route("openai", "gpt-none") == Unpriced("unknown_model", "openai lists no 'gpt-none'")
