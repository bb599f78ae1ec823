# SPDX-License-Identifier: Apache-2.0
"""
Rows of two sources become one: what the second adds to the first, and which dates resellers share.

A row is what a line of the table says: ``provider``, ``model``, ``ids``, ``source``, ``cards``.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from spancost.prices import ids, resolve, table

Row = dict[str, Any]
Card = dict[str, Any]
Rows = dict[tuple[str, str], Row]

OLDER: Final = "litellm of 2025-08 (tokencost 0.1.26)"
"""Source of ids that the second source has pruned; it fills, it never adds to a row of another."""

ADDED_RATES: Final = frozenset(
    {"cache_read", "cache_write_1h", "input_audio", "output_audio", "cache_read_audio"}
)
"""Rates that the second source may add where the first has none; it never changes one."""

SEARCH: Final = "web_search"
"""The rate of a search that the provider makes for the model."""

PASSED_THROUGH: Final = frozenset({"openai", "anthropic", "google", "x-ai"})
"""Vendors whose list price OpenRouter passes on; its bills say so."""

_SHARED_CACHE: Final = {"anthropic": ("cache_read", "cache_write", "cache_write_1h")}
"""Cache rates that OpenRouter passes on where its list is silent; only Anthropic's hour can be asked for there."""

_GEOGRAPHIES: Final = (ids.PROFILE_PREFIX, ids.REGIONAL_PROFILE)


_PLACE: Final = re.compile(r"us-gov\.|[a-z]{2}(?:-gov)?-[a-z]+-\d/")
"""GovCloud and AWS regions: the second source has the price list of each, the first takes them for any region."""


def index(rows: Rows) -> dict[str, table.Provider]:
    """Return the rows as the runtime sees them, by provider."""
    providers: dict[str, table.Provider] = {}
    for row in rows.values():
        line = table.Row(row["provider"], row["model"], tuple(row["ids"]), "")
        providers.setdefault(row["provider"], table.Provider()).add(line)
    return providers


def find(
    known: Mapping[str, table.Provider], provider: str, model: str
) -> tuple[tuple[str, str], str] | None:
    """
    Return the name of the row that prices an id, and the rule that found it.

    Args:
        known: Rows as `index` returns them.
        provider: Key of the provider that sells it.
        model: The id, lower case.
    """
    for seller in (provider, *resolve.FALLBACKS.get(provider, ())):
        if seller in known and (hit := resolve.lookup(known[seller], seller, model)):
            return (hit[0].provider, hit[0].model), hit[1].rule
    return None


def card_on(cards: list[Card], day: str) -> int:
    """Return which of a row's cards is in force on a day (ISO)."""
    return max(number for number, card in enumerate(cards) if number == 0 or card["from"] <= day)


def fill(rows: Rows, extract: list[Row], today: str) -> None:
    """
    Add what the second source has and the first lacks: models, tiers, thresholds, rates.

    Where both have a model, the first source's rates stay, and the second may only add to the
    card in force today, when the two agree on input and output. The fee of a search is taken only
    where both sources have the same.
    """
    known = index(rows)
    fresh: Rows = {}
    searches = {name: _searches(row) for name, row in rows.items()}
    agreed = set()
    for row in extract:
        name = row["provider"], row["model"]
        search = row["cards"][0]["rates"].pop(SEARCH, None)
        found = find(known, *name)
        if found is None or not any(card["rates"] for card in rows[found[0]]["cards"]):
            fresh[name] = row  # new, or the first source knows no more than the name
            continue
        mine = rows[found[0]]
        now = card_on(mine["cards"], today)
        if not same_prices(mine["cards"][now], row["cards"][0]):
            if _has_own_prices(name[1], found[1]):
                mine["ids"] = [own for own in mine["ids"] if own.rstrip("*") != name[1]]
                fresh[name] = row
            continue
        if search in searches[found[0]] and found[0][0] == name[0]:
            agreed.add(found[0])
        if row["source"] != OLDER:
            _add_knowledge(mine, now, row, fresh)
    for name in searches.keys() - agreed:
        for card in rows[name]["cards"]:
            card["rates"].pop(SEARCH, None)
    rows.update(_folded(fresh))


def _folded(fresh: Rows) -> Rows:
    """Return rows with dated ids put on the row of the id without its date, where the two say the same."""
    kept = dict(fresh)
    for (provider, model), row in fresh.items():
        for spelling in ids.spellings(provider, model):
            plain = kept.get((provider, spelling.id))
            if plain is not None and plain is not row and not spelling.versioned:
                if (plain["cards"], plain["source"]) == (row["cards"], row["source"]):
                    plain["ids"] = [*plain["ids"], *row["ids"]]
                    del kept[provider, model]
                break
    return kept


def _has_own_prices(model: str, rule: str) -> bool:
    """Tell whether an id names a place that may have other prices than the row a rule found for it."""
    return any(known in rule for known in _GEOGRAPHIES) or bool(_PLACE.match(model))


def _add_knowledge(mine: Row, now: int, row: Row, fresh: Rows) -> None:
    """Add what the second source knows more to a seller's own row, or to a new one where the row is its vendor's."""
    if mine["provider"] == row["provider"]:
        mine["cards"] = _with_more(mine, now, row)
    elif _sells_more(mine["cards"][now], row["cards"][0], row["provider"]):
        fresh[row["provider"], row["model"]] = _at_reseller(mine, now, row)


def _searches(row: Row) -> set[str]:
    return {card["rates"][SEARCH] for card in row["cards"] if SEARCH in card["rates"]}


def same_prices(mine: Card, other: Card) -> bool:
    """Tell whether two cards agree on input and output; an output that one does not name is 0 in the other."""
    mine_out, other_out = mine["rates"].get("output", "0"), other["rates"].get("output", "0")
    return bool(mine["rates"].get("input") == other["rates"].get("input") and mine_out == other_out)


def _with_more(mine: Row, now: int, other: Row) -> list[Card]:
    """Return a row's cards, what the second source knows more added to the one in force."""
    card, more = mine["cards"][now], other["cards"][0]
    new = copy.deepcopy(card)
    _add_rates(new, more)
    if more["rates"].get("output") == "0":
        new["rates"].setdefault("output", "0")  # an embedding or a classifier: it has no output tokens
    if not card.get("above") and more.get("above"):
        new["above"] = more["above"]
    if more.get("regions"):
        new["regions"] = more["regions"]
    if _thresholds(new) == _thresholds(more):
        for tier, own in more.get("tiers", {}).items():
            known = new.get("tiers", {}).get(tier)
            if known is None:
                new.setdefault("tiers", {})[tier] = own
            elif same_prices(known, own):
                _add_rates(known, own)
    if new == card:
        return list(mine["cards"])
    new["source"] = f"{card.get('source', mine['source'])}, {other['source']}"
    return [*mine["cards"][:now], new, *mine["cards"][now + 1 :]]


def _add_rates(mine: Card, more: Card) -> None:
    """Add the rates that one price of a call has and the other lacks, at the same thresholds."""
    added = {
        name for name in ADDED_RATES if name not in mine["rates"] and more["rates"].get(name, "0") != "0"
    }
    mine["rates"] |= {name: more["rates"][name] for name in sorted(added)}
    if _thresholds(mine) == _thresholds(more):
        for (_, higher), (_, other) in zip(mine.get("above", ()), more.get("above", ()), strict=True):
            higher |= {name: other[name] for name in sorted(added) if name in other}


def _thresholds(card: Card) -> list[int]:
    return [above for above, _ in card.get("above", ())]


def _sells_more(mine: Card, other: Card, provider: str) -> bool:
    """Tell whether a reseller at the vendor's prices has regions, or service tiers, that the vendor's row cannot tell."""
    if _thresholds(mine) != _thresholds(other):
        return False
    limit = resolve.FALLBACK_TIERS.get(provider)
    taken_over = mine.get("tiers", {}).keys() if limit is None else limit
    return bool(other.get("regions") or other.get("tiers", {}).keys() - taken_over)


def _at_reseller(vendor: Row, now: int, row: Row) -> Row:
    """Return a reseller's row: the vendor's cards and their dates, with the reseller's own tiers and regions."""
    limit = resolve.FALLBACK_TIERS.get(row["provider"])
    own = row["cards"][0]
    cards = []
    for number, card in enumerate(vendor["cards"]):
        plain = {key: value for key, value in card.items() if key not in ("tiers", "regions")}
        tiers = {name: tier for name, tier in card.get("tiers", {}).items() if limit is None or name in limit}
        if number == now:
            tiers = {**own.get("tiers", {}), **tiers} if limit is None else {**tiers, **own.get("tiers", {})}
        regions = {"regions": own["regions"]} if own.get("regions") else {}
        cards.append({**plain, **regions, "tiers": tiers})
    source = f"{vendor['source']} (list price of {vendor['provider']}), {row['source']}"
    return {**row, "source": source, "cards": copy.deepcopy(cards)}


def follow_vendors(rows: Rows, today: str) -> None:
    """
    Give OpenRouter's models of first-party vendors the dates of the vendors' price changes.

    OpenRouter's price list has no history, and what the first source shows before 2026-10-19
    contradicts bills of that time (gpt-5.6-sol, gemini-2.5-flash). Only where both have the same
    input and output rates today: a model that the vendor retired and now bills as another one
    keeps its last price here.
    """
    known = index(rows)
    for row in rows.values():
        vendor, slash, model = row["model"].partition("/")
        if row["provider"] != "openrouter" or not slash or vendor not in PASSED_THROUGH or ":" in model:
            continue
        found = resolve.lookup(known[vendor], vendor, model)
        theirs = rows[found[0].provider, found[0].model]["cards"] if found else []
        own = row["cards"][-1]
        if not theirs or not same_prices(theirs[now := card_on(theirs, today)], own):
            continue
        row["cards"] = list(
            _passed_on(own, theirs, now, _SHARED_CACHE.get(vendor, ("cache_read", "cache_write")))
        )
        row["source"] += f", dates of {vendor}"


def _passed_on(own: Card, theirs: list[Card], now: int, shared: tuple[str, ...]) -> Iterator[Card]:
    for number, card in enumerate(theirs):
        cached = {name: card["rates"][name] for name in shared if name in card["rates"]}
        plain = {key: value for key, value in card.items() if key != "tiers"}
        spec = {**own, "rates": {**cached, **own["rates"]}} if number == now else plain
        spec = {key: value for key, value in spec.items() if key != "from"}
        yield {**spec, **({"from": card["from"]} if "from" in card else {})}
