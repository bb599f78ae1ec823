# SPDX-License-Identifier: Apache-2.0
"""``spancost prices`` as a user runs it: look-ups, comparisons, checks, impact."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from spancost.book import PriceBook
from spancost.cli import main
from spancost.cli.prices.show import when
from spancost.prices.cards import read_cards
from tests.price_kit import LATER, newer, small
from tests.unit.test_cli_price import PLANNER, chat, request, span


@pytest.fixture(autouse=True)
def _fresh_book(monkeypatch):
    """Each command line is a process of its own; here the book of one must not be that of the next."""
    monkeypatch.setattr(PriceBook, "_default", None)


def said(capsys, *arguments, status=0):
    """Run the command, and return what it printed."""
    assert main(["prices", *map(str, arguments)]) == status
    return capsys.readouterr().out


def said_json(capsys, *arguments, status=0):
    """Run the command with JSON, and return what it printed."""
    return json.loads(said(capsys, *arguments, "--format", "json", status=status))


def test_show_has_rates_steps_tiers_source_and_how_it_matched(capsys):
    text = said(capsys, "show", "anthropic/claude-sonnet-4-5-20250929")

    assert "anthropic (named by the model id)" in text
    assert "claude-sonnet-4-5-20250929 found as claude-sonnet-4-5" in text
    for line in ("standard ", "standard, input above 200,000", "batch", "source: genai-prices"):
        assert line in text


def test_show_marks_the_card_of_a_date_and_what_is_past(capsys):
    """gpt-4o cost 5 and 15 until October 2024."""
    found = said_json(capsys, "show", "gpt-4o", "--provider", "openai", "--at", "2024-09-01")

    card = next(card for card in found["cards"] if card["rate_card"] == found["rate_card"])
    assert (card["rates"]["input"], card["rates"]["output"], card["when"]) == ("5", "15", "past")
    assert card["until"] == "2024-10-02"
    assert found["cards"][-1]["when"] == "current"
    assert "(past, holds on 2024-09-01)" in said(capsys, "show", "gpt-4o", "--at", "2024-09-01")


@pytest.mark.parametrize(("today", "whens"), [(0, ["current", "announced"]), (1, ["past", "current"])])
def test_a_price_is_announced_until_the_day_it_begins(today, whens):
    """The last nanosecond before, and the first of it."""
    row = {
        "source": "s",
        "cards": [{"rates": {"input": "1"}}, {"from": "2030-01-01", "rates": {"input": "2"}}],
    }
    cards = read_cards("openai", "m", row)

    assert [when(card, cards[1].start - 1 + today) for card in cards] == whens


def test_show_has_hours_of_the_day_with_weekdays_and_holidays(capsys):
    windows = said_json(capsys, "show", "deepseek-flash")["cards"][-1]["windows"]

    assert windows[0]["days"] == ["Mon", "Tue", "Wed", "Thu", "Fri"]
    assert "2026-10-01" in windows[0]["holidays"]
    assert "01:00-04:00 UTC Mon,Tue,Wed,Thu,Fri but" in said(capsys, "show", "deepseek-flash")


@pytest.mark.parametrize(
    ("arguments", "reason", "near"),
    [
        (["claude-opus-4-55"], "unknown_model", "anthropic/claude-opus-4-5"),
        (["llama-3.3-70b"], "ambiguous_model", "cerebras/llama-3.3-70b"),
        (["gpt-4o", "--provider", "opneai"], "unknown_provider", "openai"),
        (["llama3", "--provider", "ollama"], "self_hosted", None),
    ],
)
def test_what_has_no_price_says_why_and_what_may_have_been_meant(capsys, arguments, reason, near):
    found = said_json(capsys, "show", *arguments, status=1)

    assert (found["status"], found["reason"]) == ("unpriced", reason)
    assert near in found["candidates"] if near else not found["candidates"]
    text = said(capsys, "show", *arguments, status=1)
    assert text.startswith(f"unpriced: {reason}\n")
    assert near is None or f"  {near}\n" in text


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", ""])
def test_a_date_that_is_none_is_an_error_of_the_command_line(capsys, text):
    with pytest.raises(SystemExit) as end:
        main(["prices", "show", "gpt-4o", "--at", text])

    assert end.value.code == 2
    assert "is no date such as 2026-11-24" in capsys.readouterr().err


def test_search_is_bounded_and_says_how_much_it_left_out(capsys):
    text = said(capsys, "search", "gpt", "--limit", "3")

    lines = text.splitlines()
    assert len(lines) == 2 + 3 + 1
    assert lines[-1].startswith("and ")
    assert lines[-1].endswith("more: add a word, or --limit")


def test_search_takes_words_and_providers_in_any_spelling(capsys):
    found = said_json(capsys, "search", "sonnet", "bedrock", "4-5")

    assert found["found"] == len(found["models"]) > 0
    assert {model["provider"] for model in found["models"]} == {"aws"}
    assert said_json(capsys, "search", "sonnet 4-5", "--provider", "aws.bedrock") == found


def test_a_search_that_finds_nothing_says_so(capsys):
    assert said(capsys, "search", "no-such-model", status=1).startswith("no model has 'no-such-model'")


def test_compare_is_cheapest_first_with_the_saving_against_the_dearest(capsys):
    """20,000 input tokens, 5,000 of them cached, and 1,000 output tokens, by hand from the list rates."""
    models = ["gpt-4o", "claude-sonnet-4-5", "gpt-4o-mini"]
    found = said_json(capsys, "compare", *models, "--input", "20,000", "--cached", 5000, "--output", "1_000")

    costs = [(row["model"], Decimal(row["cost_usd"]), row["saving_percent"]) for row in found["models"]]
    assert costs == [
        (
            "gpt-4o-mini",
            (15_000 * Decimal("0.15") + 5_000 * Decimal("0.075") + 1_000 * Decimal("0.6")) / 10**6,
            "94.8",
        ),
        ("gpt-4o", (15_000 * Decimal("2.5") + 5_000 * Decimal("1.25") + 1_000 * 10) / 10**6, "12.6"),
        ("claude-sonnet-4-5", (15_000 * 3 + 5_000 * Decimal("0.3") + 1_000 * 15) / 10**6, "0.0"),
    ]


def test_compare_against_a_model_shows_what_is_dearer_as_negative(capsys):
    found = said_json(
        capsys, "compare", "gpt-4o", "gpt-4o-mini", "--against", "gpt-4o-mini", "--input", 1000, "--output", 0
    )

    assert [row["saving_percent"] for row in found["models"]] == ["0.0", "-1566.7"]


def test_compare_lists_what_has_no_price_with_the_reason_and_no_amount(capsys):
    arguments = ["compare", "gpt-4o", "nope", "--input", "1000", "--output", "1"]

    text = said(capsys, *arguments, status=1)
    found = said_json(capsys, *arguments, status=1)

    assert "unpriced: nope: unknown_model" in text
    assert found["models"][1] == {
        "model": "nope",
        "status": "unpriced",
        "reason": "unknown_model",
        "detail": "'nope' is in no price list",
    }


def test_compare_takes_tier_provider_and_date(capsys):
    usual = ["compare", "gpt-4o", "--input", "1000000", "--output", "0", "--provider", "openai"]

    assert said_json(capsys, *usual)["models"][0]["cost_usd"] == "2.5"
    assert said_json(capsys, *usual, "--service-tier", "batch")["models"][0]["cost_usd"] == "1.25"
    assert said_json(capsys, *usual, "--at", "2024-09-01")["models"][0]["cost_usd"] == "5"
    assumed = said_json(capsys, *usual, "--service-tier", "gold")["models"][0]
    assert (assumed["cost_usd"], assumed["flags"]) == ("2.5", ["tier_assumed"])
    assert "tier_assumed" in said(capsys, *usual, "--service-tier", "gold")


def test_cached_tokens_above_the_input_are_an_error_with_both_numbers(capsys):
    assert main(["prices", "compare", "gpt-4o", "--input", "1", "--output", "1", "--cached", "2"]) == 1
    assert "(2) is above input (1)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["-1", "many", "1e3", "9007199254740993"])
def test_a_number_of_tokens_that_is_none_is_an_error_of_the_command_line(capsys, text):
    with pytest.raises(SystemExit) as end:
        main(["prices", "compare", "gpt-4o", f"--input={text}", "--output", "1"])

    assert end.value.code == 2
    assert "is no number of tokens" in capsys.readouterr().err


def test_diff_names_every_rate_that_moved(capsys, tmp_path):
    path = tmp_path / "new.tsv"
    path.write_bytes(newer(changed={"openai/gpt-4o-mini": "0.2"}))

    text = said(capsys, "diff", "built-in", path)
    found = said_json(capsys, "diff", "built-in", path)

    assert "0 models came, 0 went, 1 changed" in text
    assert "~ openai/gpt-4o-mini\n    input 0.15 -> 0.2 (at all times)" in text
    assert found["changed"][0]["differences"] == [
        {"since": None, "where": None, "rate": "input", "old": "0.15", "new": "0.2"}
    ]
    assert "no differences" in said(capsys, "diff", "built-in")


@pytest.mark.parametrize("name", ["installed", "previous", "/no/such/file.tsv"])
def test_a_table_that_is_not_there_is_an_error(capsys, name):
    assert main(["prices", "diff", name]) == 1
    assert "price table" in capsys.readouterr().err


def test_check_names_everything_that_is_wrong_with_a_pricing_file(capsys, tmp_path):
    path = tmp_path / "model_pricing.json"
    path.write_text('{"openai": {"gpt-4o": {"inptu": 5, "output": -1}}}')

    assert main(["prices", "check", str(path)]) == 1
    error = capsys.readouterr().err
    assert "inptu" in error
    assert "output" in error


def test_check_accepts_a_good_pricing_file_and_a_good_table(capsys, tmp_path):
    pricing, table = tmp_path / "model_pricing.json", tmp_path / "t.tsv"
    pricing.write_text('{"openai": {"gpt-4o": {"input": 5.00, "output": 15.00}}}')
    table.write_bytes(small())

    assert "a pricing file" in said(capsys, "check", pricing)
    assert f"a price table, version {LATER}" in said(capsys, "check", table)
    table.write_bytes(small()[:-2])
    said(capsys, "check", table, status=1)


def test_a_broken_installed_table_is_an_error_of_these_commands(capsys, tmp_path, monkeypatch):
    """A program runs on; somebody who asks what prices hold is told."""
    path = tmp_path / "table.tsv"
    path.write_bytes(b"broken")
    monkeypatch.setenv("SPANCOST_PRICE_TABLE", str(path))

    assert main(["prices", "show", "gpt-4o"]) == 1
    assert "cannot be used" in capsys.readouterr().err


# --- impact -------------------------------------------------------------------------------------------


@pytest.fixture
def traces(tmp_path):
    """A recording: the planner's call, one of a model nobody knows, and one at the batch rate."""
    path = tmp_path / "traces.jsonl"
    more = request(
        span(1, "chat", chat("no-such-model"), trace="a" * 32),
        span(2, "chat", chat("gpt-4o", **{"openai.response.service_tier": "batch"}), trace="b" * 32),
    )
    path.write_text(PLANNER + "\n" + more + "\n", encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path):
    """A newer table: gpt-4o-mini's input costs twice as much."""
    path = tmp_path / "new.tsv"
    path.write_bytes(newer(changed={"openai/gpt-4o-mini": "0.3"}))
    return path


def test_impact_of_a_table_by_model_exact(capsys, traces, table):
    """1,000 tokens at 0.15 more per million are 0.00015 USD."""
    found = said_json(capsys, "impact", "--table", table, traces)

    models = {row["model"]: row for row in found["models"]}
    assert models["gpt-4o-mini"]["difference_usd"] == "0.00015"
    assert models["gpt-4o"]["difference_usd"] == "0"
    assert models["no-such-model"]["unpriced_calls"] == 1
    assert (found["total"]["calls"], found["total"]["changed_calls"]) == (3, 1)
    assert found["new"] == LATER
    text = said(capsys, "impact", "--table", table, traces)
    assert "openai/gpt-4o-mini" in text
    assert "+71.4" in text
    assert "1 calls have no price either way; they are not 0" in text


def test_impact_on_rows_is_the_impact_on_the_spans_they_are_of(capsys, traces, table, tmp_path):
    assert main(["price", "--format", "jsonl", "--all", str(traces)]) == 0
    rows = tmp_path / "rows.jsonl"
    rows.write_text(capsys.readouterr().out)

    of_rows = said_json(capsys, "impact", "--table", table, rows)

    assert of_rows == said_json(capsys, "impact", "--table", table, traces)
    assert of_rows["total"]["not_from_row"] == 0


def test_impact_of_another_date(capsys, traces):
    """In September 2024 gpt-4o cost twice what it costs now; gpt-4o-mini cost the same."""
    found = said_json(capsys, "impact", "--at", "2024-09-01", traces)

    models = {row["model"]: row for row in found["models"]}
    assert models["gpt-4o-mini"]["difference_usd"] == "0"
    assert Decimal(models["gpt-4o"]["new_usd"]) > Decimal(models["gpt-4o"]["old_usd"])
    assert found["at"] == "2024-09-01"


def test_calls_that_a_table_no_longer_prices_or_prices_for_the_first_time_are_apart(capsys, traces, tmp_path):
    path = tmp_path / "small.tsv"
    path.write_bytes(small(model="no-such-model"))

    total = said_json(capsys, "impact", "--table", path, traces)["total"]

    assert (total["newly_priced_calls"], total["newly_priced_usd"]) == (1, "0.0012")
    assert total["newly_unpriced_calls"] == 2
    assert total["newly_unpriced_usd"] == total["old_usd"]
    text = said(capsys, "impact", "--table", path, traces)
    assert "1 calls had no price and would have one: 0.001200 USD" in text
    assert "2 calls had a price and would have none" in text


def row_of(capsys, traces, **changed):
    main(["price", "--format", "jsonl", str(traces)])
    return json.loads(capsys.readouterr().out.splitlines()[0]) | changed


def test_an_amount_that_the_provider_reported_stays(capsys, traces, table, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row_of(capsys, traces, cost_usd="0.5", cost_source="provider")) + "\n")

    total = said_json(capsys, "impact", "--table", table, rows)["total"]

    assert (total["old_usd"], total["new_usd"], total["changed_calls"]) == ("0.5", "0.5", 0)


def test_a_row_whose_amount_does_not_follow_from_it_is_left_as_it_is_and_counted(
    capsys, traces, table, tmp_path
):
    """Rows do not hold cached audio, for one: a made-up new amount would be worse than none."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row_of(capsys, traces, cost_usd="0.5")) + "\n")

    found = said_json(capsys, "impact", "--table", table, rows)["total"]

    assert (found["not_from_row"], found["new_usd"]) == (1, "0.5")
    assert "1 rows do not say all" in said(capsys, "impact", "--table", table, rows)


def test_rows_that_cannot_be_read_are_named_and_the_others_counted(capsys, traces, table, tmp_path):
    rows = tmp_path / "rows.jsonl"
    good = json.dumps(row_of(capsys, traces))
    bad = json.dumps(row_of(capsys, traces, usage={"input": -1}))
    rows.write_text(f"{good}\n{bad}\n\nnot json\n")

    assert main(["prices", "impact", "--table", str(table), str(rows)]) == 1
    out = capsys.readouterr()
    assert "line 2: no row of a call: input" in out.err
    assert "line 4" in out.err
    assert "all calls" in out.out


def test_impact_needs_something_to_compare_with(capsys, traces):
    with pytest.raises(SystemExit) as end:
        main(["prices", "impact", str(traces)])

    assert end.value.code == 2
    assert "one of --table and --at" in capsys.readouterr().err
