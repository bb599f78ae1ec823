# SPDX-License-Identifier: Apache-2.0
"""
Our own word against, or beside, the sources: the entries of ``prices_overrides.toml``, applied.

Every entry has ``provider``, ``model`` (the row; a ruling may name ``models``), ``source`` and ``date``.
They are applied kind by kind, in the order of `KINDS`; what each kind does is told at the top of that file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prices_merge import Card, Row, Rows, card_on

Entry = dict[str, Any]

RULING: Final = "ruling"
"""The kind of an entry that changes nothing: it says why a row is right as it is."""

SPEC: Final = ("rates", "above", "tiers", "windows", "regions")
"""What a card is made of, its date and source aside."""


def apply(rows: Rows, overrides: dict[str, Any]) -> list[str]:
    """
    Apply every entry of the overrides to the rows.

    Args:
        rows: The rows of the first source; changed in place.
        overrides: The file as a dictionary.

    Returns:
        What is wrong with the entries, all of it; empty when every one did its work.
    """
    unknown = overrides.keys() - KINDS.keys() - {RULING, "version", "date"}
    problems = [
        f"[[{kind}]]: no such kind of entry; there are {', '.join(KINDS)}" for kind in sorted(unknown)
    ]
    for kind, change in {**KINDS, RULING: _leave}.items():
        for entry in overrides.get(kind, ()):
            where = f"[[{kind}]] {entry.get('provider')}/{entry.get('model') or entry.get('models')}"
            if not entry.get("source") or not entry.get("date"):
                problems.append(f"{where}: an entry needs a source and the date on which it said so")
                continue
            try:
                change(rows, entry)
            except KeyError as error:
                problems.append(f"{where}: there is no {error}: mend the name, or remove the entry")
    return problems


def named(overrides: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return every row that an entry of any kind names, and the date of its latest entry."""
    found: dict[tuple[str, str], str] = {}
    for kind in (*KINDS, RULING):
        for entry in overrides.get(kind, ()):
            for model in entry.get("models") or [entry["model"]]:
                name = entry["provider"], model
                found[name] = max(found.get(name, ""), str(entry.get("date", "")))
    return found


def _cite(entry: Entry) -> str:
    return f"{entry['source']} ({entry['date']})"


def _name(entry: Entry) -> tuple[str, str]:
    return entry["provider"], entry["model"]


def _other(name: str) -> tuple[str, str]:
    provider, _, model = name.partition("/")
    return provider, model


def _spec(entry: Entry) -> Card:
    return {key: entry[key] for key in SPEC if key in entry}


def _leave(_rows: Rows, _entry: Entry) -> None:
    """``[[ruling]]``: the row is right as it is; the guards read it."""


def _drop(rows: Rows, entry: Entry) -> None:
    """``[[drop]]``: a row of the first source that is not that provider's."""
    del rows[_name(entry)]


def _whole_row(rows: Rows, entry: Entry) -> None:
    """``[[row]]``: a row of our own; ``like`` copies the cards of another."""
    cards = entry.get("cards") or (
        rows[_other(entry["like"])]["cards"] if "like" in entry else [_spec(entry)]
    )
    own = entry.get("ids", [entry["model"]])
    taken = {name.rstrip("*") for name in own}
    for name, row in list(rows.items()):
        if row["provider"] == entry["provider"] and row["model"] != entry["model"]:
            row["ids"] = [spelling for spelling in row["ids"] if spelling.rstrip("*") not in taken]
            if not row["ids"]:
                del rows[name]
    rows[_name(entry)] = {
        "provider": entry["provider"],
        "model": entry["model"],
        "ids": own,
        "source": _cite(entry),
        "cards": [dict(card) for card in cards],
    }


def _change_ids(rows: Rows, entry: Entry) -> None:
    """``[[ids]]``: more spellings of a row."""
    row = rows[_name(entry)]
    row["ids"] = list(dict.fromkeys([*row["ids"], *entry["add"]]))


def _set_rates(rows: Rows, entry: Entry) -> None:
    """``[[set]]``: some rates of every card of a row, its thresholds or regions, rates of a tier; the rest stays."""
    row = rows[_name(entry)]
    rates = entry.get("rates", {})
    zeros = {name: rate for name, rate in rates.items() if rate == "0"}  # no tier asks for what is free
    for card in row["cards"]:
        card["rates"] = {**card["rates"], **rates}
        card["source"] = _cite(entry) if rates else f"{card.get('source', row['source'])}, {_cite(entry)}"
        card |= {key: entry[key] for key in ("above", "regions") if key in entry}
        for name, own in entry.get("tiers", {}).items():
            known = card.setdefault("tiers", {}).setdefault(name, {"rates": {}})
            known |= {key: own[key] for key in own if key != "rates"}
            known["rates"] = {**known["rates"], **own.get("rates", {})}
        for tier in card.get("tiers", {}).values():
            tier["rates"] = {**tier["rates"], **zeros}


def _add_before(rows: Rows, entry: Entry) -> None:
    """``[[before]]``: the rates that held until a date, from ``since`` where that is known."""
    row = rows[_name(entry)]
    row["cards"] = until(row, entry["until"], [{**_spec(entry), **_begin(entry), "source": _cite(entry)}])


def until(row: Row, day: str, older: list[Card]) -> list[Card]:
    """
    Return the cards of a row with others for the time before a day.

    Args:
        row: The row; its cards from that day on stay.
        day: ISO date.
        older: Cards for the time before, the oldest first. Where the first has a date, what the
            row says about the time before that date stays too.
    """
    cards = row["cards"]
    since = older[0].get("from")
    first = [card for card in cards if since is not None and card.get("from", "") < since]
    covering = cards[card_on(cards, day)]
    later = [card for card in cards if card.get("from", "") > day]
    return [*first, *older, {**covering, "from": day}, *later]


def _begin(entry: Entry) -> Card:
    return {"from": entry["since"]} if "since" in entry else {}


def _add_after(rows: Rows, entry: Entry) -> None:
    """``[[after]]``: the rates that hold from a date; ``like`` takes those of another row."""
    row = rows[_name(entry)]
    if "like" in entry:
        other = rows[_other(entry["like"])]["cards"]
        now = other[card_on(other, entry["from"])]
        later = [card for card in other if card.get("from", "") > entry["from"]]
        new = [{**now, "from": entry["from"]}, *later]
    else:
        new = [{**_spec(entry), "from": entry["from"]}]
    row["cards"] = [
        *(card for card in row["cards"] if card.get("from", "") < entry["from"]),
        *({**card, "source": _cite(entry)} for card in new),
    ]


KINDS: Final[dict[str, Callable[[Rows, Entry], None]]] = {
    "drop": _drop,
    "row": _whole_row,
    "ids": _change_ids,
    "set": _set_rates,
    "before": _add_before,
    "after": _add_after,
}
"""What an entry does to the rows, in the order in which the kinds are applied."""
