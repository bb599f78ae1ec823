# SPDX-License-Identifier: Apache-2.0
"""What differs between two price tables."""

from __future__ import annotations

import json
from decimal import Decimal

from spancost.prices.compare import INFINITE, Difference, compare
from spancost.prices.table import Row, Table


def table(*rows):
    """A table of rows written as (provider, model, ids, cards)."""
    lines = [
        Row(provider, model, tuple(ids.split()), json.dumps({"source": "test", "cards": cards}))
        for provider, model, ids, cards in rows
    ]
    return Table("1", "2026-11-24", "sha256:0", {}, lines)


def card(**more):
    """A card at 1 USD in and 4 out, with what else it says."""
    return {"rates": {"input": "1", "output": "4"}, **more}


def differences(old, new):
    """What differs between two rows of one model with these cards."""
    result = compare(table(("p", "m", "m", old)), table(("p", "m", "m", new)))
    return [str(one) for change in result.changed for one in change.differences]


def test_equal_tables_do_not_differ():
    """The same rows are the same, whatever their sources say."""
    one = table(("p", "m", "m m-1*", [card(source="here")]))
    other = table(("p", "m", "m m-1*", [card(source="there")]))

    result = compare(one, other)

    assert (result.added, result.removed, result.vanished, result.appeared, result.changed) == ((),) * 5
    assert result.largest_factor == 1
    assert list(result.lines()) == []


def test_rows_that_came_and_went():
    """A row is new when all its ids are, gone when none is left; ids may go one by one."""
    one = table(("p", "a", "a", [card()]), ("p", "b", "b b-old c*", [card()]))
    other = table(("p", "b", "b c", [card()]), ("p", "d", "d", [card()]))

    result = compare(one, other)

    assert result.added == (("p", "d"),)
    assert result.removed == (("p", "a"),)
    assert result.vanished == (("p", "a"), ("p", "b-old"), ("p", "c*"))
    assert result.appeared == (("p", "d"),)
    assert list(result.lines()) == ["+ p/d", "- p/a", "- id p b-old", "- id p c*"]


def test_a_renamed_row_is_no_difference():
    """What counts is where an id leads."""
    result = compare(table(("p", "old", "m", [card()])), table(("p", "new", "m", [card()])))

    assert (result.added, result.removed, result.changed) == ((), (), ())


def test_an_id_that_moves_to_a_dearer_row_has_changed():
    """The id is charged differently though both rows are as they were."""
    dear = {"rates": {"input": "3", "output": "4"}}
    one = table(("p", "a", "a x", [card()]), ("p", "b", "b", [dear]))
    other = table(("p", "a", "a", [card()]), ("p", "b", "b x", [dear]))

    (change,) = compare(one, other).changed

    assert (change.was, change.model, change.ids) == ("a", "b", ("x",))
    assert change.largest_factor == 3


def test_every_place_of_a_card_is_compared():
    """Ordinary rates, thresholds, tiers, windows and regions."""
    old = card(
        above=[[200, {"input": "2"}]],
        tiers={"batch": {"rates": {"input": "0.5"}, "above": [[200, {"input": "1"}]]}},
        windows=[{"start": "01:00", "end": "04:00", "days": "12345", "rates": {"input": "9"}}],
        regions={"us": "1.1"},
    )
    new = card(
        rates={"input": "1.5", "output": "4"},
        above=[[200, {"input": "2.5"}]],
        tiers={"batch": {"rates": {"input": "0.6"}, "above": [[200, {"input": "1.2"}]]}},
        windows=[{"start": "01:00", "end": "04:00", "days": "12345", "rates": {"input": "8"}}],
        regions={"us": "1.2", "eu": "1.2"},
    )

    assert differences([old], [new]) == [
        "input 1 -> 1.5 (at all times)",
        "01:00-04:00 on days 12345, input 9 -> 8 (at all times)",
        "above 200, input 2 -> 2.5 (at all times)",
        "batch, input 0.5 -> 0.6 (at all times)",
        "batch, above 200, input 1 -> 1.2 (at all times)",
        "region, eu none -> 1.2 (at all times)",
        "region, us 1.1 -> 1.2 (at all times)",
    ]


def test_a_card_that_is_appended_moves_the_price_from_its_day():
    """The old table would have gone on charging its last card."""
    old = [card()]
    new = [card(), {"from": "2026-12-01", "rates": {"input": "2", "output": "4"}}]

    assert differences(old, new) == ["input 1 -> 2 (since 2026-12-01)"]


def test_a_difference_that_goes_on_is_told_once():
    """A card in between that changes something else does not repeat it."""
    old = [card(), {"from": "2026-01-01", "rates": {"input": "1", "output": "5"}}]
    new = [
        {"rates": {"input": "2", "output": "4"}},
        {"from": "2026-01-01", "rates": {"input": "2", "output": "5"}},
    ]

    assert differences(old, new) == ["input 1 -> 2 (at all times)"]


def test_a_date_that_moves_is_a_difference_between_both_days():
    """From the earlier day to the later one the tables disagree."""
    later = {"input": "1", "output": "5"}

    found = differences(
        [card(), {"from": "2026-03-01", "rates": later}], [card(), {"from": "2026-02-01", "rates": later}]
    )

    assert found == ["output 4 -> 5 (since 2026-02-01)"]


def test_how_far_a_rate_moved():
    """Up and down count alike; from nothing to something is no move, from 0 it is one without bound."""

    def factor(old, new):
        sides = (None if side is None else Decimal(side) for side in (old, new))
        return Difference("", "", "input", *sides).factor

    assert factor("2", "5") == factor("5", "2") == Decimal("2.5")
    assert factor("0", "1") == INFINITE
    assert factor(None, "1") is None


def test_the_largest_move_of_a_table():
    """The guard against wild moves asks for one number."""
    one = table(("p", "a", "a", [card()]), ("p", "b", "b", [card()]))
    other = table(
        ("p", "a", "a", [card(rates={"input": "1.1", "output": "1"})]),
        ("p", "b", "b", [card(rates={"input": "3", "output": "4", "cache_read": "0.1"})]),
    )

    result = compare(one, other)

    assert [change.largest_factor for change in result.changed] == [4, 3]
    assert result.largest_factor == 4
