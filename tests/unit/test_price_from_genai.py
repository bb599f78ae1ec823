# SPDX-License-Identifier: Apache-2.0
"""Newer genai-prices data continues the table: what stands is history, what is ours stays."""

from __future__ import annotations

import pytest

from spancost.prices.from_genai_prices import continued, merge, next_version
from tests.price_kit import BUILT_IN

THEIRS = "genai-prices 9.9.9"
SINCE, TODAY = "2026-11-24", "2026-12-10"


def row(*cards, source="genai-prices 0.2.3", model="m", ids=("m",)):
    """Return a row of OpenAI's."""
    return {"provider": "openai", "model": model, "ids": list(ids), "source": source, "cards": list(cards)}


def card(rate, **more):
    return {"rates": {"input": str(rate), "output": str(2 * rate)}, **more}


def added(old, new):
    """Return the cards that newer data adds to a row, after the ones that it leaves as they are."""
    cards = continued(old, new, SINCE, TODAY)
    kept = len([one for one in cards if one in old["cards"]])
    assert cards[:kept] == old["cards"][:kept]
    return cards[kept:]


def test_a_changed_rate_holds_from_today_where_no_day_is_named():
    assert added(row(card(1)), row(card(3), source=THEIRS)) == [card(3) | {"from": TODAY, "source": THEIRS}]


@pytest.mark.parametrize(
    ("named", "holds"),
    [("2026-12-01", "2026-12-01"), (SINCE, TODAY), ("2026-11-25", "2026-11-25"), ("2026-10-01", TODAY)],
)
def test_a_changed_rate_holds_from_the_day_that_is_named_unless_the_table_knew_better_then(named, holds):
    """What is dated before the table's own data was known to it: that past is not rewritten."""
    new = row(card(1), card(3, **{"from": named}), source=THEIRS)

    assert [one["from"] for one in added(row(card(1)), new)] == [holds]


def test_an_announced_price_is_added_with_its_day_and_the_one_it_replaces_goes():
    old = row(card(1), card(2, **{"from": "2027-01-01"}))
    new = row(card(1), card(4, **{"from": "2027-02-01"}), source=THEIRS)

    cards = continued(old, new, SINCE, TODAY)

    assert [(one.get("from"), one["rates"]["input"]) for one in cards] == [(None, "1"), ("2027-02-01", "4")]


def test_a_price_announced_before_stays_where_the_newer_data_says_nothing_of_the_future():
    old = row(card(1), card(2, **{"from": "2027-01-01"}))

    assert continued(old, row(card(1), source=THEIRS), SINCE, TODAY) == old["cards"]


def test_a_price_that_came_as_announced_stays_where_the_newer_data_says_what_it_said_before():
    """Dates can be from another row, such as the vendor's own: data without them says nothing new."""
    old = row(card(1), card(2, **{"from": "2026-12-01"}))

    assert continued(old, row(card(1), source=THEIRS), SINCE, TODAY) == old["cards"]


def test_a_price_that_came_as_announced_goes_where_the_newer_data_names_the_day():
    old = row(card(1), card(2, **{"from": "2026-12-01"}))
    back = card(1, **{"from": "2026-12-05"})

    assert added(old, row(card(9), back, source=THEIRS)) == [back | {"source": THEIRS}]


@pytest.mark.parametrize("source", ["our ruling (2026-11-20)", "litellm 1.109.1"])
def test_a_card_from_elsewhere_is_kept_against_the_package(source):
    ours = row(card(1), card(2, **{"from": "2026-01-01", "source": source}))

    assert continued(ours, row(card(9), source=THEIRS), SINCE, TODAY) == ours["cards"]


def test_what_the_table_left_out_of_a_row_is_not_added_and_what_it_has_more_is_no_change():
    old = row(card(1, tiers={"flex": card(1)}, above=[[200_000, {"input": "2"}]]))
    more = card(1, tiers={"batch": card(1)}, above=[[200_000, {"input": "2"}]])
    more["rates"]["web_search"] = "10000"

    assert continued(old, row(more, source=THEIRS), SINCE, TODAY) == old["cards"]


@pytest.mark.parametrize(
    "change",
    [
        {"above": [[200_000, {"input": "3"}]]},
        {"above": [[200_000, {"input": "2"}], [400_000, {"input": "4"}]]},
        {"tiers": {"flex": card(2)}},
    ],
)
def test_a_step_or_a_tier_that_moved_is_a_change_and_regions_stay(change):
    usual = {"tiers": {"flex": card(1)}, "above": [[200_000, {"input": "2"}]]}
    old = row(card(1, **usual, regions={"us": "1.1"}))

    (new,) = added(old, row(card(1, **(usual | change)), source=THEIRS))

    assert new["regions"] == {"us": "1.1"}
    assert {key: new[key] for key in usual} == usual | change


def test_a_new_model_is_added_with_the_ids_that_nobody_has():
    new = row(card(1), source=THEIRS, model="gpt-99", ids=("gpt-99", "gpt-4o"))

    rows = merge(BUILT_IN, [new], TODAY)

    assert next(one for one in rows if one["model"] == "gpt-99")["ids"] == ["gpt-99"]


@pytest.mark.parametrize(
    ("version", "made"),
    [("2026.11.24", "2026.12.10"), ("2026.12.10", "2026.12.10.1"), ("2027.01.01", "2027.01.01.1")],
)
def test_the_version_sorts_after_the_table_that_is_continued(version, made):
    assert next_version(version, TODAY) == made
