# SPDX-License-Identifier: Apache-2.0
"""The build of the price table: how sources become one, and what stops a table until somebody has looked."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from spancost.prices import table

TOOLS = Path(__file__).resolve().parents[2] / "tools"
TODAY = "2026-11-24"


@pytest.fixture
def build_prices(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import build_prices

    return build_prices


@pytest.fixture
def history(build_prices):
    return build_prices.prices_history


def row(provider, model, *cards, source="first 1", ids=None):
    """A row of a source; a card is its rates, or a whole card."""
    whole = [card if "rates" in card else {"rates": card} for card in cards]
    return {"provider": provider, "model": model, "ids": ids or [model], "source": source, "cards": whole}


def rates(given, out, **more):
    return {"input": given, "output": out, **more}


@pytest.fixture
def given(build_prices):
    """Builds inputs from a few rows."""

    def make(first=(), extract=(), top=None, history=(), **overrides):
        return build_prices.Inputs(
            first=list(first),
            extract=list(extract),
            overrides={"version": "2", "date": TODAY, **overrides},
            top=top or {},
            history=list(history),
            sources={"first": "1"},
        )

    return make


@pytest.fixture
def build(build_prices, tmp_path):
    """Builds a table against the one before, and returns what the guards say and what was written."""

    def make(inputs, last=None):
        out, before = tmp_path / "table.tsv", tmp_path / "last.tsv"
        before.unlink(missing_ok=True)
        if last is not None:
            rows, problems = build_prices.merge(last)
            assert problems == []
            before.write_bytes(build_prices.render(rows, {"version": "1", "date": "2026-10-01"}, {}))
        found = build_prices.build(inputs, out, before)
        return found, table.load(out) if out.exists() else None

    return make


def cards(loaded, provider, model):
    """The cards of a row of a table as it is written."""
    return json.loads(loaded.providers[provider].exact[model].text)["cards"]


def test_the_same_inputs_give_the_same_bytes(build, given, tmp_path):
    """Nothing of a table depends on when or in which order it was built."""
    rows = [row("p", "b", rates("1", "2")), row("p", "a", rates("3", "4"))]

    build(given(rows))
    once = (tmp_path / "table.tsv").read_bytes()
    build(given(rows[::-1]))

    assert (tmp_path / "table.tsv").read_bytes() == once


def test_inputs_are_left_as_they_were(build, given):
    """The entries of the overrides change rows of the table, not those of the sources."""
    inputs = given(
        [row("p", "a", rates("1", "2"))],
        [row("p", "a", rates("1", "2", cache_read="0.1"), source="second 1")],
        set=[{"provider": "p", "model": "a", "rates": {"output": "3"}, "source": "s", "date": TODAY}],
    )
    before = copy.deepcopy(inputs)

    build(inputs)

    assert inputs == before


# --------------------------------------------------------------------------- what stops a table


def test_a_disagreement_on_a_top_model_needs_a_ruling(build, given):
    """Both sources of every top model are compared, all at once, and the message says what to write."""
    first = [row("p", "a", rates("1", "4")), row("p", "b", rates("1", "4")), row("p", "c", rates("1", "4"))]
    second = [
        row("p", "a", rates("2", "4"), source="second 1"),
        row("p", "b", rates("1", "5", cache_read="1"), source="second 1"),
        row("p", "c", rates("9", "9"), source="second 1"),
    ]

    found, written = build(given(first, second, top={"p": ["a", "b"]}))

    assert written is None
    assert [problem.partition(":")[0] for problem in found.problems] == ["p/a", "p/b"]
    assert 'write [[ruling]] with disagreement = "input 1/2"' in found.problems[0]
    assert 'disagreement = "output 4/5"' in found.problems[1]


def test_a_ruling_holds_for_the_disagreement_it_quotes(build, given):
    """When a source changes its mind, somebody has to look again."""

    def ruled(theirs):
        return given(
            [row("p", "a", rates("1", "4"))],
            [row("p", "a", rates(theirs, "4"), source="second 1")],
            top={"p": ["a"]},
            ruling=[
                {"provider": "p", "model": "a", "disagreement": "input 1/2", "source": "s", "date": TODAY}
            ],
        )

    assert build(ruled("2"))[0].problems == []
    assert len(build(ruled("3"))[0].problems) == 1


def test_an_entry_that_changes_the_row_is_a_ruling(build, given):
    """Who set the rates has looked."""
    found, written = build(
        given(
            [row("p", "a", rates("1", "4"))],
            [row("p", "a", rates("2", "4"), source="second 1")],
            top={"p": ["a"]},
            set=[{"provider": "p", "model": "a", "rates": {"input": "2"}, "source": "s", "date": TODAY}],
        )
    )

    assert found.problems == []
    assert cards(written, "p", "a")[0]["rates"] == rates("2", "4")


def test_a_top_model_that_no_source_has_is_named(build, given):
    """A list that names what is not there guards nothing."""
    found, _ = build(given([row("p", "a", rates("1", "4"))], top={"p": ["a", "gone"]}))

    assert found.problems == ["p/gone: no source has this top model: remove it from the list"]


@pytest.mark.parametrize(
    ("new", "stops"), [("2", False), ("2.000001", True), ("0.5", False), ("0.49", True), ("0", True)]
)
def test_a_price_that_moves_by_more_than_twice_needs_a_ruling(build, given, new, stops):
    """Exactly twice and half pass; a dated card moves the price from its day."""
    last = given([row("p", "a", rates("1", "4"))])
    moved = row("p", "a", rates("1", "4"), {"from": "2026-11-01", "rates": rates(new, "4")})

    found, _ = build(given([moved]), last)

    assert [problem for problem in found.problems if "moves by more than x2" in problem] == found.problems
    assert bool(found.problems) is stops


def test_a_ruling_made_for_the_last_table_is_none_for_the_next_move(build, given):
    """The date of a ruling is on or after that of the table it is for."""
    last = given([row("p", "a", rates("1", "4"))])
    moved = row("p", "a", rates("1", "4"), {"from": "2026-11-01", "rates": rates("9", "4")})

    def problems(date):
        ruling = {"provider": "p", "model": "a", "source": "announced", "date": date}
        return build(given([moved], ruling=[ruling]), last)[0].problems

    assert problems("2026-11-01") == []
    assert len(problems("2026-09-30")) == 1


def test_an_id_that_vanished_needs_the_history(build, given, history, tmp_path):
    """A retired model keeps its last price, with the table that had it as source."""
    last = given([row("p", "a", rates("1", "4"), ids=["a", "a-1*"]), row("p", "b", rates("2", "4"))])
    now = [row("p", "a", rates("1", "4"))]

    found, written = build(given(now), last)

    assert written is None
    assert [problem.partition(":")[0] for problem in found.problems] == ["p/a-1", "p/b"]
    history.write(found.keep, tmp_path / "history.jsonl")
    kept, written = build(given(now, history=history.read(tmp_path / "history.jsonl")), last)
    assert kept.problems == []
    assert cards(written, "p", "b")[0]["rates"] == rates("2", "4")
    assert "kept from table 1 (2026-10-01)" in written.providers["p"].exact["b"].text
    assert written.providers["p"].exact["a-1"].model == "a"
    assert "a-1" in written.providers["p"].versioned


def test_what_a_source_has_again_comes_from_the_source(build, given):
    """The history steps back when a retired id returns."""
    last = given([row("p", "b", rates("2", "4"))])
    found, _ = build(given([row("p", "a", rates("1", "4"))]), last)

    again, written = build(given([row("p", "b", rates("2.5", "4"))], history=found.keep))

    assert again.problems == []
    assert cards(written, "p", "b")[0]["rates"] == rates("2.5", "4")


def test_a_row_that_is_dropped_by_an_entry_may_vanish(build, given):
    """A wrong row goes, with a source that says why."""
    last = given([row("p", "a", rates("1", "4")), row("p", "b", rates("2", "4"))])
    both = [row("p", "a", rates("1", "4")), row("p", "b", rates("2", "4"))]

    drop = {"provider": "p", "model": "b", "source": "never sold", "date": TODAY}
    found, _ = build(given(both, drop=[drop]), last)

    assert found.problems == []
    assert found.comparison.removed == (("p", "b"),)


def test_a_price_that_changes_without_a_date_keeps_its_past(build, given):
    """A source that has only today's price rewrites history; the old price was right until now."""
    last = given([row("p", "a", rates("1", "4"))])
    now = [row("p", "a", rates("1.5", "4"))]

    found, written = build(given(now), last)

    assert written is None
    assert [problem.partition(":")[0] for problem in found.problems] == ["p/a"]
    assert "the past would change: input 1 -> 1.5 (at all times). Run KEEP=1 make prices" in found.problems[0]
    kept, written = build(given(now, history=found.keep), last)
    assert kept.problems == []
    old, new = cards(written, "p", "a")
    assert (old["rates"], "from" in old) == (rates("1", "4"), False)
    assert (new["rates"], new["from"]) == (rates("1.5", "4"), "2026-10-01")


def test_a_row_without_a_source_is_nobodys(build, given):
    """Rows and cards alike."""
    nameless = row("p", "a", rates("1", "4"), source=" ")
    half = row("p", "b", {"rates": rates("1", "4"), "source": ""})

    found, written = build(given([nameless, half]))

    assert written is None
    assert [problem.partition(":")[0] for problem in found.problems] == ["p/a", "p/b"]


def test_all_that_is_wrong_is_told_at_once(build, given):
    """One run of each guard and each entry, whatever the others found."""
    last = given([row("p", "gone", rates("1", "4"))])
    entry = {"provider": "p", "model": "typo", "rates": {"input": "1"}}

    found, written = build(
        given(
            [row("p", "a", rates("1", "4")), row("p", "b", rates("1", "4"), source="")],
            [row("p", "a", rates("2", "4"), source="second 1")],
            top={"p": ["a"]},
            set=[{**entry, "source": "s", "date": TODAY}, entry],
            moves=[],
        ),
        last,
    )

    assert written is None
    text = "\n".join(found.problems)
    for part in (
        "p/a: the sources disagree",
        "[[moves]]: no such kind of entry",
        "[[set]] p/typo: there is no ('p', 'typo')",
        "[[set]] p/typo: an entry needs a source and the date",
        "p/b: a row needs a source",
        "p/gone: this id vanished",
    ):
        assert part in text
    assert len(found.problems) == 6


# --------------------------------------------------------------------------- how sources become one


def test_the_second_source_adds_and_never_changes(build, given):
    """Models, tiers and rates that the first lacks; where they disagree the first stays alone."""
    first = [row("p", "a", rates("1", "4")), row("p", "b", rates("1", "4"))]
    batch = {"batch": {"rates": rates("0.5", "2")}}
    second = [
        row("p", "a", {"rates": rates("1", "4", cache_read="0.1"), "tiers": batch}, source="second 1"),
        row("p", "b", {"rates": rates("2", "4", cache_read="0.2"), "tiers": batch}, source="second 1"),
        row("p", "c", rates("3", "4"), source="second 1"),
    ]

    _, written = build(given(first, second))

    assert cards(written, "p", "a") == [
        {"rates": rates("1", "4", cache_read="0.1"), "tiers": batch, "source": "first 1, second 1"}
    ]
    assert cards(written, "p", "b") == [{"rates": rates("1", "4")}]
    assert cards(written, "p", "c") == [{"rates": rates("3", "4")}]


def test_a_reseller_has_its_own_tiers_at_the_vendors_prices_and_dates(build, given):
    """Azure takes over OpenAI's batch, and its priority is what its own list says."""
    tiers = {name: {"rates": rates(*own)} for name, own in (("batch", "12"), ("priority", "89"))}
    vendor = row(
        "openai", "m", rates("9", "9"), {"from": "2026-01-01", "rates": rates("2", "4"), "tiers": tiers}
    )
    own = {"priority": {"rates": rates("3", "6")}}
    reseller = row("azure", "m", {"rates": rates("2", "4"), "tiers": own}, source="second 1")

    _, written = build(given([vendor], [reseller]))

    old, new = cards(written, "azure", "m")
    assert old == {"rates": rates("9", "9")}
    assert (new["from"], new["tiers"]) == ("2026-01-01", {"batch": tiers["batch"], **own})


def test_openrouter_follows_its_vendors_dates_as_long_as_it_follows_their_price(build, given):
    """A model that the vendor retired and bills as another one keeps its last price there."""
    dated = [rates("9", "9"), {"from": "2026-05-15", "rates": rates("2", "4")}]
    first = [
        row("openai", "m", *dated),
        row("openai", "old", *dated),
        row("openrouter", "openai/m", rates("2", "4")),
        row("openrouter", "openai/old", rates("9", "9")),
    ]

    _, written = build(given(first))

    assert [card["rates"]["input"] for card in cards(written, "openrouter", "openai/m")] == ["9", "2"]
    assert [card["rates"]["input"] for card in cards(written, "openrouter", "openai/old")] == ["9"]


def test_entries_with_dates_make_segments(build, given):
    """[[before]] and [[after]] cut a row where a price changed; the rest of it stays."""
    source = {"provider": "p", "model": "a", "source": "s", "date": TODAY}
    _, written = build(
        given(
            [row("p", "a", rates("2", "4")), row("p", "b", rates("7", "8"))],
            before=[{**source, "until": "2025-01-01", "rates": rates("5", "6")}],
            after=[{**source, "from": "2026-01-01", "like": "p/b"}],
        )
    )

    assert [(card.get("from"), card["rates"]["input"]) for card in cards(written, "p", "a")] == [
        (None, "5"),
        ("2025-01-01", "2"),
        ("2026-01-01", "7"),
    ]


def test_dated_ids_that_say_the_same_share_a_row(build, given):
    """One line for a model and its snapshots; a snapshot with another price keeps its own."""
    second = [row("p", name, rates("1", "4"), source="second 1") for name in ("m", "m-2026-01-02")]
    second.append(row("p", "m-2026-03-04", rates("2", "4"), source="second 1"))

    _, written = build(given([], second))

    assert written.providers["p"].exact["m-2026-01-02"].model == "m"
    assert written.providers["p"].exact["m-2026-03-04"].model == "m-2026-03-04"


def test_prices_of_places_are_kept_apart(build, given):
    """A region's own list beats the row that its id would lead to; where it says the same, nothing is new."""
    first = [row("aws", "meta.llama3-8b", rates("1", "4"))]
    second = [
        row("aws", "eu-west-1/meta.llama3-8b", rates("1.2", "4"), source="second 1"),
        row("aws", "us-east-1/meta.llama3-8b", rates("1", "4"), source="second 1"),
    ]

    _, written = build(given(first, second))

    assert list(written.providers["aws"].exact) == ["eu-west-1/meta.llama3-8b", "meta.llama3-8b"]


def test_a_search_costs_what_both_sources_say(build, given):
    """The fee of a tool is no token price: one source alone is not enough."""
    first = [
        row("p", "a", rates("1", "4", web_search="10000")),
        row("p", "b", rates("1", "4", web_search="10000")),
        row("p", "c", rates("1", "4", web_search="10000")),
    ]
    second = [
        row("p", "a", rates("1", "4", web_search="10000"), source="second 1"),
        row("p", "b", rates("1", "4", web_search="14000"), source="second 1"),
        row("p", "d", rates("1", "4", web_search="5000"), source="second 1"),
    ]

    _, written = build(given(first, second))

    fees = {name: cards(written, "p", name)[0]["rates"].get("web_search") for name in "abcd"}
    assert fees == {"a": "10000", "b": None, "c": None, "d": None}
