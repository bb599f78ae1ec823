# SPDX-License-Identifier: Apache-2.0
"""A newer price table is taken whole and for good reasons, or not at all, and the way back is open."""

from __future__ import annotations

import datetime as dt
import functools
import urllib.error
import urllib.request
from decimal import Decimal

import pytest

from spancost.errors import PriceBookError
from spancost.prices import fetch, installed, table, update
from spancost.prices.writing import write
from tests.price_kit import BUILT_IN, LATER, built_in_rows, newer, small


def test_a_newer_table_with_small_moves_has_nothing_against_it():
    found = update.examine(newer(changed={"openai/gpt-4o-mini": "0.3"}), "new", BUILT_IN)

    assert found.problems == ()
    assert [change.model for change in found.comparison.changed] == ["gpt-4o-mini"]


@pytest.mark.parametrize(
    ("rate", "wild"), [("0.3", False), ("0.300001", True), ("0.075", False), ("0.074", True)]
)
def test_a_move_of_more_than_twice_either_way_needs_to_be_accepted(rate, wild):
    """0.15 to 0.30 and to 0.075 are twice and half; one step further is wild."""
    data = newer(changed={"openai/gpt-4o-mini": rate})

    found = update.examine(data, "new", BUILT_IN)

    assert bool(found.problems) is wild
    assert all("openai/gpt-4o-mini" in problem and "--accept-moves" in problem for problem in found.problems)
    assert update.examine(data, "new", BUILT_IN, accept_moves=True).problems == ()


@pytest.mark.parametrize(("lost", "refused"), [(0.09, False), (0.11, True)])
def test_at_least_nine_tenths_of_the_ids_have_to_stay(lost, refused):
    rows = built_in_rows()
    total = sum(len({name.rstrip("*") for name in row["ids"]}) for row in rows)
    gone = 0
    while gone < lost * total:
        gone += len(rows.pop()["ids"])

    found = update.examine(write(rows, version=LATER, date=BUILT_IN.date, sources={}), "new", BUILT_IN)

    assert any("90%" in problem for problem in found.problems) is refused


def test_everything_against_a_table_is_said_at_once():
    rows = [row for row in built_in_rows() if row["provider"] == "openai"]
    for row in rows:
        if row["model"] == "gpt-4o-mini":
            row["cards"][-1]["rates"]["input"] = "15"
    tomorrow = dt.datetime.now(dt.timezone.utc).date() + dt.timedelta(days=2)
    data = write(rows, version="2020.01.01", date=tomorrow.isoformat(), sources={})

    problems = " ".join(update.examine(data, "new", BUILT_IN).problems)

    assert "older than the table in force: 2020.01.01 <" in problems
    assert "a day that has not come" in problems
    assert "90%" in problems
    assert "gpt-4o-mini: input 0.15 -> 15" in problems


def test_the_version_of_the_table_in_force_with_other_rows_is_refused():
    data = newer(changed={"openai/gpt-4o-mini": "0.16"}, version=BUILT_IN.version)

    assert "has the version of the table in force" in update.examine(data, "new", BUILT_IN).problems[0]


def test_many_wild_moves_are_counted_not_listed():
    rows = built_in_rows()
    for row in rows:
        for card in row["cards"]:
            card["rates"] = {name: str(Decimal(rate) * 1_000) for name, rate in card["rates"].items()}
            card.pop("above", None), card.pop("tiers", None), card.pop("windows", None)
    data = write(rows, version=LATER, date=BUILT_IN.date, sources={})

    problems = update.examine(data, "new", BUILT_IN).problems

    assert len(problems) == 21
    assert "more rates move more than 2 times" in problems[-1]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-100], "do not match the digest"),
        (lambda data: data.replace(b'"format": 2', b'"format": 1'), "the format is 1"),
        (lambda _: b"", "cannot be read as a price table"),
        (lambda _: b"\xff\xfe", "cannot be read as a price table"),
        (lambda _: b"[]\n", "cannot be read as a price table"),
        (lambda _: b'{"format": ' + b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_broken_table_is_named_by_where_it_came_from(damage, said):
    with pytest.raises(PriceBookError, match=said) as refusal:
        update.examine(damage(newer()), "https://prices.example/t", BUILT_IN)

    assert str(refusal.value).startswith("https://prices.example/t: ")


def test_every_row_that_cannot_be_used_is_named():
    rows = built_in_rows()[:3]
    rows[0]["cards"] = [{"rates": {"inptu": "1"}}]
    rows[2]["cards"] = []
    data = write(rows, version=7, date="yesterday", sources={})

    with pytest.raises(PriceBookError) as refusal:
        update.examine(data, "new", BUILT_IN)

    for problem in ("the version has to be text", "the date has to be a day", "inptu", rows[2]["model"]):
        assert problem in str(refusal.value)


def test_a_table_without_rows_is_none(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(write([], version=LATER, date=BUILT_IN.date, sources={}))

    with pytest.raises(PriceBookError, match="no rows"):
        installed.load_whole(path)


def install(data, path):
    update.install(update.examine(data, "new", table.load()), path)


def test_installing_keeps_the_table_that_was_there_and_rolling_back_brings_it_back(tmp_path):
    path = tmp_path / "deep" / "table.tsv"
    first, second = newer(version="2999.01.01"), newer(version="2999.01.02")

    install(first, path)
    assert not installed.previous_path(path).exists()
    install(second, path)
    assert (path.read_bytes(), installed.previous_path(path).read_bytes()) == (second, first)
    assert update.roll_back(path) == installed.previous_path(path)
    assert path.read_bytes() == first
    assert update.roll_back(path) is None
    assert not path.exists()
    with pytest.raises(PriceBookError, match="nothing to go back from"):
        update.roll_back(path)


def test_a_broken_table_is_not_kept_as_the_last_good_one(tmp_path):
    path = tmp_path / "table.tsv"
    install(newer(version="2999.01.01"), path)
    install(newer(version="2999.01.02"), path)
    path.write_bytes(b"broken")

    install(newer(version="2999.01.03"), path)

    assert installed.load_whole(installed.previous_path(path)).version == "2999.01.01"


def test_rolling_back_to_a_broken_table_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "table.tsv"
    install(newer(), path)
    installed.previous_path(path).write_bytes(b"broken")

    with pytest.raises(PriceBookError, match="cannot be read"):
        update.roll_back(path)

    assert installed.load_whole(path).version == LATER


def test_a_table_with_problems_is_never_installed(tmp_path):
    with pytest.raises(PriceBookError, match="90%"):
        install(small(), tmp_path / "table.tsv")

    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(PriceBookError, match="cannot be written there"):
        install(newer(), tmp_path / "file" / "table.tsv")


@pytest.mark.parametrize(
    ("older", "later"),
    [("2026.11.9", "2026.11.24"), ("2026.11.24", "2026.11.24.1"), ("2026.12.31", "2027.1.1"), ("x", "1")],
)
def test_versions_sort_by_their_numbers(older, later):
    assert installed.version_key(older) < installed.version_key(later)


@pytest.mark.parametrize(
    ("old", "new", "followed"),
    [("https", "https", True), ("http", "https", True), ("https", "http", False), ("https", "ftp", False)],
)
def test_a_redirect_never_leads_to_less_than_was_asked_for(old, new, followed):
    request = urllib.request.Request(f"{old}://prices.example/a")
    redirect = functools.partial(
        fetch._SafeRedirects().redirect_request, request, None, 302, "Found", {}, f"{new}://prices.example/b"
    )

    if followed:
        assert redirect().full_url == f"{new}://prices.example/b"
    else:
        with pytest.raises(urllib.error.URLError, match=f"from {old} to {new}"):
            redirect()
