# SPDX-License-Identifier: Apache-2.0
"""
A newer price table from a newer genai-prices package: the table in force, and what the package adds.

Prices are history: a card that stands is never changed. A model that the package knows and the
table does not is added; one whose rates in the package differ from the card in force gets a new card,
from the day the package names, else from today. What the table has from elsewhere (our rulings, our second
source) is kept against the package, which was known when it was written; so is what the table left out of
it: a tier, or a rate for something, that a row lacks is not added to it. The same data adds nothing.
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import json
from typing import TYPE_CHECKING, Any, Final

from spancost.errors import PriceBookError
from spancost.prices.installed import version_key
from spancost.prices.writing import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spancost.prices.table import Table

PACKAGE: Final = "genai-prices"

NOT_SOLD: Final = frozenset({("openai", "gpt-oss-120b"), ("openai", "gpt-oss-20b")})
"""Rows of the package that the table leaves out: open weights, at the rate of somebody who is not the provider."""

Card = dict[str, Any]
TableRow = dict[str, Any]
Name = tuple[str, str]


def table_bytes(in_force: Table, today: dt.date | None = None) -> bytes:
    """
    Return the table in force with what the installed genai-prices package adds, as bytes of a table.

    Args:
        in_force: The table in force.
        today: The day from which changed rates hold where the package names none; None for today, UTC.

    Raises:
        PriceBookError: The package is not installed, or no newer than what the table was made of.
    """
    try:
        version = importlib.metadata.version(PACKAGE)
        converter = importlib.import_module("spancost.prices.genai_rows")
    except ImportError as error:
        raise PriceBookError(
            f"{PACKAGE} cannot be imported: {error}; install it beside spancost: pip install -U {PACKAGE}"
        ) from error
    known = in_force.sources.get(PACKAGE, "")
    if known and version_key(version) <= version_key(known):
        raise PriceBookError(
            f"{PACKAGE} {version} is installed, and the table in force was made of {known}; "
            f"pip install -U {PACKAGE}"
        )
    day = (today or dt.datetime.now(dt.timezone.utc).date()).isoformat()
    rows = merge(in_force, converter.rows(f"{PACKAGE} {version}"), day)
    return write(
        rows,
        version=next_version(in_force.version, day),
        date=max(day, in_force.date),
        sources={**in_force.sources, PACKAGE: version},
    )


def next_version(version: str, day: str) -> str:
    """Return the version of a table that is made on a day (ISO), and sorts after another."""
    dated = day.replace("-", ".")
    return dated if version_key(dated) > version_key(version) else f"{version}.1"


def merge(in_force: Table, newer: Iterable[TableRow], today: str) -> list[TableRow]:
    """
    Return the rows of a table with what others add.

    Args:
        in_force: The table.
        newer: Rows as `spancost.prices.genai_rows` gives them.
        today: The day from which changed rates hold where a row names none, ISO.
    """
    rows: dict[Name, TableRow] = {}
    owners: dict[Name, Name] = {}
    for row in in_force.rows():
        name = (row.provider, row.model)
        rows[name] = {
            "provider": row.provider,
            "model": row.model,
            "ids": list(row.ids),
            **json.loads(row.text),
        }
        for spelling in row.ids:
            owners.setdefault((row.provider, spelling.rstrip("*")), name)
    for new in newer:
        name = (new["provider"], new["model"])
        if name in NOT_SOLD:
            continue
        fresh = [spelling for spelling in new["ids"] if (name[0], spelling.rstrip("*")) not in owners]
        home = name if name in rows else owners.get((name[0], new["ids"][0].rstrip("*")))
        if home is None and fresh:
            rows[name] = {**new, "ids": fresh}
            home = name
        elif home is not None:
            rows[home]["ids"] += fresh
            rows[home]["cards"] = continued(rows[home], new, in_force.date, today)
        owners |= {(name[0], spelling.rstrip("*")): home for spelling in fresh if home is not None}
    return list(rows.values())


def continued(row: TableRow, newer: TableRow, since: str, today: str) -> list[Card]:
    """
    Return the cards of a row, continued by those of a newer one where its rates differ.

    Args:
        row: The row of the table.
        newer: The same model in the newer data.
        since: The day of the table's data: what the newer data dates before it was known, ISO.
        today: As for `merge`.
    """
    cards: list[Card] = list(row["cards"])
    now = _in_force(cards, today)
    if not _is_theirs(cards[now], row):
        return cards
    theirs = [_as_far_as(cards[now], card) for card in newer["cards"]]
    current = _in_force(theirs, today)
    coming = [card for card in theirs[current + 1 :] if card["rates"]]
    changed = (
        bool(theirs[current]["rates"])
        and not _says(cards[now], theirs[current])
        and not _said_before(cards, theirs[current], since)
    )
    kept = cards[: now + 1]
    if changed:
        start = theirs[current].get("from", "")
        start = start if start > max(since, kept[-1].get("from", "")) else today
        regions = {"regions": kept[-1]["regions"]} if "regions" in kept[-1] else {}
        if kept[-1].get("from") == start:
            kept.pop()
        kept.append({**regions, **theirs[current], "from": start, "source": newer["source"]})
    announced = [card for card in cards[now + 1 :] if not _is_theirs(card, row)]
    taken = {card["from"] for card in announced}
    announced += [{**card, "source": newer["source"]} for card in coming if card["from"] not in taken] or (
        [] if changed else [card for card in cards[now + 1 :] if _is_theirs(card, row)]
    )
    return kept + sorted(announced, key=lambda card: str(card["from"]))


def _is_theirs(card: Card, row: TableRow) -> bool:
    return str(card.get("source", row["source"])).startswith(PACKAGE)


def _in_force(cards: list[Card], day: str) -> int:
    """Return which card is in force on a day; times of that day count."""
    return max(number for number, card in enumerate(cards) if number == 0 or card["from"][:10] <= day)


def _said_before(cards: list[Card], theirs: Card, since: str) -> bool:
    """
    Tell whether a card says what was in force on the day of the table's data, and names no later day.

    Where the table has a change with a day that this data does not have, such as one announced by the
    model's own vendor, the data says after that day what it always said: that is no change.
    """
    return theirs.get("from", "") <= since and _says(cards[_in_force(cards, since)], theirs)


def _as_far_as(mine: Card, theirs: Card) -> Card:
    """Return what a card says of the tiers and of the rates that another has; thresholds stay all."""
    known = mine["rates"].keys()
    card: Card = {"from": theirs["from"]} if "from" in theirs else {}
    card["rates"] = {name: rate for name, rate in theirs["rates"].items() if name in known}
    above = [
        [step, {n: rate for n, rate in own.items() if n in known}] for step, own in theirs.get("above", ())
    ]
    if above:
        card["above"] = above
    own_tiers = mine.get("tiers", {})
    tiers = {
        name: _as_far_as(own_tiers[name], own)
        for name, own in theirs.get("tiers", {}).items()
        if name in own_tiers
    }
    return {**card, "tiers": tiers} if tiers else card


def _says(mine: Card, theirs: Card) -> bool:
    """Tell whether a card has every rate of another: it may have more, from another source."""
    if any(mine["rates"].get(name) != rate for name, rate in theirs["rates"].items()):
        return False
    steps: dict[int, dict[str, str]] = {above: rates for above, rates in mine.get("above", ())}  # noqa: C416 - lists
    for above, rates in theirs.get("above", ()):
        whole = {**mine["rates"], **steps.get(above, {})}
        if above not in steps or any(whole.get(name) != rate for name, rate in rates.items()):
            return False
    tiers = mine.get("tiers", {})
    return all(_says(tiers[name], own) for name, own in theirs.get("tiers", {}).items())
