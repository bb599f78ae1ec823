# SPDX-License-Identifier: Apache-2.0
"""The arguments that say which prices hold, for every verb that prices."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from spancost.book import PriceBook
from spancost.cli import main
from tests.unit.test_cli_price import chat, request, span

SAID = {"openai": {"gpt-4o-mini": {"input": 5, "output": 15}}, "default": {"input": 7, "output": 7}}
USD = Decimal("0.0065")
"""1,000 tokens in and 100 out at the file's rates."""


@pytest.fixture
def traces(tmp_path):
    """A recording of a call of the file's model, one of the list's, and one of nobody's."""
    models = ("gpt-4o-mini", "gpt-4.1", "no-such-model")
    spans = [
        span(number, f"chat {model}", chat(model), start=number * 2_000, end=number * 2_000 + 900)
        for number, model in enumerate(models, start=1)
    ]
    path = tmp_path / "traces.jsonl"
    path.write_text(request(*spans) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def pricing(tmp_path):
    def write(said=SAID, name="prices.json"):
        path = tmp_path / name
        path.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working folder and a home without pricing files, and a process that has no book yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SPANCOST_PRICING_CONFIG", raising=False)
    monkeypatch.setattr(PriceBook, "_default", None)


def costs(capsys):
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["model"]: row["cost_usd"] and Decimal(row["cost_usd"]) for row in rows}


def test_price_at_a_pricing_file(traces, pricing, capsys):
    """The file lies over the list; what nobody knows stays unpriced."""
    assert main(["price", "--format", "jsonl", "--pricing", pricing(), traces]) == 0
    assert costs(capsys) == {"gpt-4o-mini": USD, "gpt-4.1": Decimal("0.0028"), "no-such-model": None}


def test_price_at_the_file_alone(traces, pricing, capsys):
    assert main(["price", "--format", "jsonl", "--pricing", pricing(), "--only-pricing", traces]) == 0
    assert costs(capsys) == {"gpt-4o-mini": USD, "gpt-4.1": None, "no-such-model": None}


def test_price_at_the_default(traces, pricing, capsys):
    """Flagged in the row, and noted below the table."""
    assert main(["price", "--format", "jsonl", "--pricing", pricing(), "--assume-default", traces]) == 0
    rows = {row["model"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert Decimal(rows["no-such-model"]["cost_usd"]) == Decimal("0.0077")
    assert rows["no-such-model"]["flags"] == ["assumed"]
    assert rows["gpt-4o-mini"]["rate_card"] == "file:openai/gpt-4o-mini"
    assert main(["price", "--pricing", pricing(), "--assume-default", traces]) == 0
    assert "1 x assumed: priced at the default rate" in capsys.readouterr().out


@pytest.mark.usefixtures("elsewhere")
def test_a_file_that_is_found_is_told_of(traces, pricing, capsys):
    """On standard error, with its digest in the version; `built-in` leaves it out."""
    pricing(name="model_pricing.json")
    assert main(["price", "--format", "jsonl", traces]) == 0
    shown = capsys.readouterr()
    assert "model_pricing.json" in shown.err
    assert "+file." in shown.err
    assert Decimal(json.loads(shown.out.splitlines()[0])["cost_usd"]) == USD
    assert main(["price", "--format", "jsonl", "--pricing", "built-in", traces]) == 0
    assert costs(capsys)["gpt-4o-mini"] == Decimal("0.00021")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("verb", [["price"], ["explain"], ["run"]])
@pytest.mark.parametrize("how", ["argument", "environment", "found"])
def test_a_file_that_cannot_be_used_stops_the_command(verb, how, traces, pricing, capsys, monkeypatch):
    """With status 2, all that is wrong, and nothing priced or run."""
    bad = pricing(
        {"openai": {"m": {"inptu": 1}}, "opanai": {}}, "model_pricing.json" if how == "found" else "p.json"
    )
    if how == "environment":
        monkeypatch.setenv("SPANCOST_PRICING_CONFIG", bad)
    what = ["--", "echo", "it ran"] if verb == ["run"] else [traces]
    with pytest.raises(SystemExit) as stopped:
        main([*verb, *(["--pricing", bad] if how == "argument" else []), *what])
    shown = capsys.readouterr()
    assert stopped.value.code == 2
    assert '$.openai.m.inptu: no such key; did you mean "input"?' in shown.err
    assert "$.opanai" in shown.err
    assert not shown.out


@pytest.mark.parametrize("verb", ["price", "explain"])
def test_only_a_file_needs_a_file(verb, traces, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--only-pricing", "--pricing", "built-in", traces])
    assert "needs a pricing file" in capsys.readouterr().err


def test_explain_tells_whose_rate_it_is(traces, pricing, capsys):
    """The user's, the list's at the user's share, or the default."""
    path = pricing({**SAID, "openai": {**SAID["openai"], "multiplier": "0.5"}})
    assert main(["explain", "--pricing", path, "--assume-default", traces]) == 0
    shown = capsys.readouterr().out
    for part in (
        "0.0065 USD (a rate of yours)",
        "file:openai/gpt-4o-mini",
        f"pricing file {path} (sha256:",
        "0.0014 USD (list price)",
        "openai/gpt-4.1*0.5",
        "list price x 0.5 by the pricing file",
        "0.0077 USD (the default rate)",
        "the default rate, for unknown_model",
    ):
        assert part in shown


@pytest.mark.parametrize("verb", ["price", "explain", "run"])
def test_help_names_the_arguments(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = capsys.readouterr().out
    for argument in ("--pricing FILE", "--only-pricing", "--assume-default", "SPANCOST_PRICING_CONFIG"):
        assert argument in " ".join(shown.split())
