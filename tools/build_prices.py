# SPDX-License-Identifier: Apache-2.0
"""
Build the price table that ships in the wheel.

usage: python tools/build_prices.py [--out FILE]

Inputs, in order of authority: ``prices_overrides.toml`` (ours, every entry with source and date),
the data of the installed genai-prices package (pinned), ``prices_litellm.json`` (what
`prices_litellm.py` took from a LiteLLM wheel). The same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

TOOLS: Final = Path(__file__).parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent / "src")]

import prices_genai  # noqa: E402 - both are found by the line above

from spancost.prices import ids, resolve, table  # noqa: E402

Row = dict[str, Any]
Rows = dict[tuple[str, str], Row]

OVERRIDES: Final = TOOLS / "prices_overrides.toml"
LITELLM: Final = TOOLS / "prices_litellm.json"
GENAI_PRICES: Final = "0.2.3"
OLDER: Final = "litellm of 2025-08 (tokencost 0.1.26)"
ADDED_RATES: Final = frozenset({"cache_read", "cache_write_1h", "input_audio", "output_audio"})
"""Rates that the second source may add where the first has none; it never changes one."""
PASSED_THROUGH: Final = frozenset({"openai", "anthropic", "google", "x-ai"})


def build() -> bytes:
    """Return the bytes of the table."""
    installed = importlib.metadata.version("genai-prices")
    if installed != GENAI_PRICES:
        raise SystemExit(f"genai-prices {installed} is installed, this table is built from {GENAI_PRICES}")
    tomllib = importlib.import_module("tomllib")  # Python 3.11 or later: this script is for developers
    overrides = tomllib.loads(OVERRIDES.read_text(encoding="utf-8"))
    rows: Rows = {}
    for row in prices_genai.rows(f"genai-prices {GENAI_PRICES}"):
        rows.setdefault((row["provider"], row["model"]), row)
    sources = {"genai-prices": GENAI_PRICES, "overrides": overrides["date"]}
    apply_overrides(rows, overrides)
    if LITELLM.exists():
        extract = json.loads(LITELLM.read_text(encoding="utf-8"))
        sources["litellm"] = extract["version"]
        fill(rows, extract["rows"], overrides["date"])
    follow_vendors(rows)
    body = "".join(_line(rows[name]) for name in sorted(rows))
    head = {
        "format": table.FORMAT,
        "version": overrides["version"],
        "date": overrides["date"],
        "sources": sources,
        "digest": "sha256:" + hashlib.sha256(body.encode()).hexdigest(),
    }
    return (json.dumps(head, separators=(", ", ": ")) + "\n" + body).encode()


def apply_overrides(rows: Rows, overrides: dict[str, Any]) -> None:
    """Apply every entry of the overrides, kind by kind; an entry that changes nothing known is an error."""
    kinds: dict[str, Callable[[Rows, dict[str, Any]], None]] = {
        "drop": _drop,
        "row": _whole_row,
        "ids": _change_ids,
        "set": _set_rates,
        "before": _add_before,
        "after": _add_after,
    }
    unknown = overrides.keys() - kinds.keys() - {"version", "date"}
    if unknown:
        raise SystemExit(f"overrides: no such entries: {sorted(unknown)}")
    for kind, apply in kinds.items():
        for entry in overrides.get(kind, ()):
            where = f"[[{kind}]] {entry.get('provider')}/{entry.get('model')}"
            if not entry.get("source") or not entry.get("date"):
                raise SystemExit(f"{where}: an override needs a source and a date")
            try:
                apply(rows, entry)
            except KeyError as error:
                raise SystemExit(f"{where}: {error}") from error


def fill(rows: Rows, extract: list[Row], today: str) -> None:
    """
    Add what the second source has and the first lacks: models, service tiers, audio rates.

    Where both have a model, the first source's rates stay, and the second may only add to the
    card in force today, when the two agree on input and output.
    """
    known = _index(rows)
    fresh: Rows = {}
    for row in extract:
        key, model = row["provider"], row["model"]
        found = None
        for seller in (key, *resolve.FALLBACKS.get(key, ())):
            if seller in known and (found := resolve.lookup(known[seller], seller, model)):
                break
        if found is None:
            fresh[key, model] = row
            continue
        mine = rows[found[0].provider, found[0].model]
        if not any(card["rates"] for card in mine["cards"]):
            fresh[key, model] = row  # the first source knows the name only
            continue
        now = max(number for number, card in enumerate(mine["cards"]) if card.get("from", "") <= today)
        agree = _same_prices(mine["cards"][now], row["cards"][0])
        if agree and row["source"] != OLDER and key == mine["provider"]:
            _add_missing(mine, now, row)
        elif not agree and any(rule in found[1].rule for rule in (ids.PROFILE_PREFIX, ids.REGIONAL_PROFILE)):
            fresh[key, model] = row
    rows.update(fresh)


def _index(rows: Rows) -> dict[str, table.Provider]:
    providers: dict[str, table.Provider] = {}
    for row in rows.values():
        line = table.Row(row["provider"], row["model"], tuple(row["ids"]), "")
        providers.setdefault(row["provider"], table.Provider()).add(line)
    return providers


def _same_prices(mine: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two cards agree on input and output; an output that one does not name is 0 in the other."""
    mine_out, other_out = mine["rates"].get("output", "0"), other["rates"].get("output", "0")
    return bool(mine["rates"].get("input") == other["rates"].get("input") and mine_out == other_out)


def _add_missing(mine: Row, now: int, other: Row) -> None:
    """Add tiers, and rates for what has none, to the card of a row that is in force."""
    card, more = mine["cards"][now], other["cards"][0]
    rates = {name: rate for name, rate in more["rates"].items() if name in ADDED_RATES and rate != "0"}
    if more["rates"].get("output") == "0":
        rates["output"] = "0"  # an embedding or a classifier: it has no output tokens
    tiers = {name: own for name, own in more.get("tiers", {}).items() if name not in card.get("tiers", {})}
    new = {**card, "rates": {**rates, **card["rates"]}}
    if tiers and {above for above, _ in card.get("above", ())} == {
        above for above, _ in more.get("above", ())
    }:
        new["tiers"] = {**card.get("tiers", {}), **tiers}
    if new != card:
        source = f"{card.get('source', mine['source'])}, {other['source']}"
        mine["cards"] = [*mine["cards"][:now], {**new, "source": source}, *mine["cards"][now + 1 :]]


def follow_vendors(rows: Rows) -> None:
    """
    Give OpenRouter's models of first-party vendors the dates of the vendors' price changes.

    OpenRouter passes the vendor's list price through (its bills say so). Its price list has no
    history, and what the first source shows before 2026-10-19 contradicts bills of that time
    (gpt-5.6-sol, gemini-2.5-flash). Only where the two agree on input and output rates.
    """
    known = _index(rows)
    for row in rows.values():
        vendor, slash, model = row["model"].partition("/")
        if row["provider"] != "openrouter" or not slash or vendor not in PASSED_THROUGH or ":" in model:
            continue
        found = resolve.lookup(known[vendor], vendor, model)
        cards = rows[found[0].provider, found[0].model]["cards"] if found else []
        own = row["cards"][-1]
        agreed = [card.get("from") for card in cards if _same_prices(card, own)]
        if not agreed:
            continue
        plain = [
            {key: value for key, value in card.items() if key not in ("tiers", "from")} for card in cards
        ]
        theirs = next(card for card in cards if card.get("from") == agreed[-1])["rates"]
        cached = {name: rate for name, rate in theirs.items() if name.startswith("cache_")}
        current = {**own, "rates": {**cached, **own["rates"]}}
        current.pop("from", None)
        row["cards"] = [
            {
                **(current if card.get("from") == agreed[-1] else spec),
                **({"from": card["from"]} if "from" in card else {}),
            }
            for card, spec in zip(cards, plain, strict=True)
        ]
        row["source"] += f", dates of {vendor}"


def _cite(entry: dict[str, Any]) -> str:
    return f"{entry['source']} ({entry['date']})"


def _name(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["provider"], entry["model"]


def _split(name: str) -> tuple[str, str]:
    provider, _, model = name.partition("/")
    return provider, model


def _whole_row(rows: Rows, entry: dict[str, Any]) -> None:
    """``[[row]]``: a row of our own; ``like`` copies the cards of another."""
    cards = entry.get("cards")
    if cards is None and "like" in entry:
        cards = rows[_split(entry["like"])]["cards"]
    if cards is None:
        cards = [{"rates": entry["rates"], **{key: entry[key] for key in ("above", "tiers") if key in entry}}]
    ids = entry.get("ids", [entry["model"]])
    for row in rows.values():
        if row["provider"] == entry["provider"] and row["model"] != entry["model"]:
            row["ids"] = [
                name for name in row["ids"] if name.rstrip("*") not in {own.rstrip("*") for own in ids}
            ]
    for name in [name for name, row in rows.items() if not row["ids"]]:
        del rows[name]
    rows[_name(entry)] = {
        "provider": entry["provider"],
        "model": entry["model"],
        "ids": ids,
        "source": _cite(entry),
        "cards": [dict(card) for card in cards],
    }


def _drop(rows: Rows, entry: dict[str, Any]) -> None:
    """``[[drop]]``: a row of the first source that is not that provider's."""
    del rows[_name(entry)]


def _change_ids(rows: Rows, entry: dict[str, Any]) -> None:
    """``[[ids]]``: more spellings of a row."""
    row = rows[_name(entry)]
    row["ids"] = list(dict.fromkeys([*row["ids"], *entry["add"]]))


def _set_rates(rows: Rows, entry: dict[str, Any]) -> None:
    """``[[set]]``: some rates of every card of a row, the others stay."""
    row = rows[_name(entry)]
    zeros = {
        name: rate for name, rate in entry["rates"].items() if rate == "0"
    }  # no tier asks for what is free
    for card in row["cards"]:
        card["rates"] = {**card["rates"], **entry["rates"]}
        card["source"] = _cite(entry)
        for tier in card.get("tiers", {}).values():
            tier["rates"] = {**tier["rates"], **zeros}


def _add_before(rows: Rows, entry: dict[str, Any]) -> None:
    """``[[before]]``: the rates that held until a date; some may be left to the first known card."""
    row = rows[_name(entry)]
    until = entry["until"]
    later = [card for card in row["cards"] if card.get("from", "") > until]
    covering = [card for card in row["cards"] if card.get("from", "") <= until][-1]
    old: dict[str, Any] = {key: entry[key] for key in ("rates", "above", "tiers", "windows") if key in entry}
    if "since" in entry:
        old["from"] = entry["since"]
    earlier = [card for card in row["cards"] if "since" in entry and card.get("from", "") < entry["since"]]
    row["cards"] = [*earlier, {**old, "source": _cite(entry)}, {**covering, "from": until}, *later]


def _add_after(rows: Rows, entry: dict[str, Any]) -> None:
    """``[[after]]``: the rates that hold from a date; ``like`` takes those of another row."""
    row = rows[_name(entry)]
    if "like" in entry:
        other = rows[_split(entry["like"])]["cards"]
        now = [card for card in other if card.get("from", "") <= entry["from"]][-1]
        later = [card for card in other if card.get("from", "") > entry["from"]]
        new = [{**now, "from": entry["from"]}, *later]
    else:
        new = [{key: entry[key] for key in ("rates", "above", "tiers", "windows", "from") if key in entry}]
    row["cards"] = [
        *(card for card in row["cards"] if card.get("from", "") < entry["from"]),
        *({**card, "source": _cite(entry)} for card in new),
    ]


def _line(row: Row) -> str:
    cards = [{key: card[key] for key in sorted(card)} for card in row["cards"]]
    text = json.dumps({"source": row["source"], "cards": cards}, separators=(",", ":"), sort_keys=True)
    line = "\t".join((row["provider"], row["model"], " ".join(row["ids"]), text))
    if line.count("\t") != 3 or "\n" in line or " " in row["model"]:
        raise SystemExit(f"{row['provider']}/{row['model']}: cannot be written as one line")
    return line + "\n"


def main() -> int:
    """Write the table, or say what is wrong."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    cli.add_argument("--out", type=Path, default=table.DEFAULT_PATH)
    options = cli.parse_args()
    data = build()
    options.out.write_bytes(data)
    cards = sum(len(row.cards()) for row in table.load(options.out).rows())
    lines = data.count(b"\n") - 1
    print(f"{options.out}: {lines} rows, {cards} cards, {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
