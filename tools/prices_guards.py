# SPDX-License-Identifier: Apache-2.0
"""
What stops a new price table until somebody has looked: every guard names all it finds, and what to write.

A *ruling* is an entry of ``prices_overrides.toml`` that names the row: one that changes it, or a
plain ``[[ruling]]`` that says why it is right as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import prices_merge
import prices_rulings
from prices_merge import Row, Rows

if TYPE_CHECKING:
    from spancost.prices import compare, table

MAX_MOVE: Final = Decimal(2)
"""A rate that moves by more than this factor, up or down, waits for a ruling."""

COMPARED: Final = ("input", "output", "cache_read", "cache_write")
"""Rates on which the two sources have to agree where both have one."""


def disagreements(
    first: Rows, extract: list[Row], top: Mapping[str, list[str]], overrides: Mapping[str, Any]
) -> Iterator[str]:
    """
    Yield where the two sources disagree on a model that matters, and nobody has ruled.

    Args:
        first: Rows of the first source as it gives them.
        extract: Rows of the second source.
        top: The models that matter, ids by provider.
        overrides: The file of our rulings. A ``[[ruling]]`` holds for the disagreement that it
            quotes; another one needs a new look.
    """
    known, other = prices_merge.index(first), _newer(extract)
    others = prices_merge.index(other)
    changed = prices_rulings.named({kind: overrides.get(kind, ()) for kind in prices_rulings.KINDS})
    quoted = {
        (entry["provider"], entry["model"]): entry["disagreement"]
        for entry in overrides.get(prices_rulings.RULING, ())
        if "disagreement" in entry
    }
    for provider, models in top.items():
        for model in models:
            mine = prices_merge.find(known, provider, model.lower())
            theirs = prices_merge.find(others, provider, model.lower())
            if mine is None and theirs is None:
                if (provider, model) not in changed:
                    yield f"{provider}/{model}: no source has this top model: remove it from the list"
                continue
            if mine is None or theirs is None or mine[0] in changed or (provider, model) in changed:
                continue
            found = _quote(first[mine[0]], other[theirs[0]], overrides["date"])
            if found and quoted.get((provider, model)) != found:
                yield (
                    f"{provider}/{model}: the sources disagree (genai-prices / litellm): {found}. Find out who is"
                    f' right, then write [[ruling]] with disagreement = "{found}", source and date where'
                    f" genai-prices is, or [[set]], [[before]] or [[row]] for {mine[0][0]}/{mine[0][1]}"
                )


def _newer(extract: list[Row]) -> Rows:
    return {(row["provider"], row["model"]): row for row in extract if row["source"] != prices_merge.OLDER}


def _quote(mine: Row, theirs: Row, day: str) -> str:
    """Return the rates that two rows do not have in common today, as text; empty where they agree."""
    card = mine["cards"][prices_merge.card_on(mine["cards"], day)]["rates"]
    other = theirs["cards"][0]["rates"]
    return ", ".join(
        f"{name} {card[name]}/{other[name]}"
        for name in COMPARED
        if name in card and name in other and Decimal(card[name]) != Decimal(other[name])
    )


def moves(comparison: compare.Comparison, ruled: Mapping[tuple[str, str], str], since: str) -> Iterator[str]:
    """
    Yield the prices that move by more than `MAX_MOVE` without a ruling.

    Args:
        comparison: The last table against the new one.
        ruled: Rows that our entries name, with the date of the latest.
        since: Date of the last table: a ruling made before it is about another move.
    """
    for change in comparison.changed:
        if change.largest_factor > MAX_MOVE and not _is_ruled(change, ruled, since):
            wild = [one for one in change.differences if one.factor is not None and one.factor > MAX_MOVE]
            yield (
                f"{change.provider}/{change.model}: a price moves by more than x{MAX_MOVE}: "
                f"{'; '.join(map(str, wild))}. If it is right, write [[ruling]] with source and date"
            )


def past_changes(
    comparison: compare.Comparison, ruled: Mapping[tuple[str, str], str], since: str
) -> Iterator[compare.Change]:
    """
    Yield the models whose past the new table would change without a ruling.

    A source without dates changes a price for all times at once; the old one was right until then.

    Args:
        comparison: The last table against the new one.
        ruled: Rows that our entries name, with the date of the latest.
        since: Date of the last table.
    """
    for change in comparison.changed:
        past = [one for one in change.differences if one.since < since and one.factor is not None]
        if past and not _is_ruled(change, ruled, since):
            yield change


def _is_ruled(change: compare.Change, ruled: Mapping[tuple[str, str], str], since: str) -> bool:
    names = {change.model, change.was, *change.ids}
    return any(ruled.get((change.provider, name), "") >= since for name in names)


def told_past(changes: list[compare.Change]) -> Iterator[str]:
    """Yield the problem of every model whose past would change."""
    for change in changes:
        text = "; ".join(str(one) for one in change.differences if one.factor is not None)
        yield (
            f"{change.provider}/{change.model}: the past would change: {text}. Run KEEP=1 make prices to keep the old"
            " rates until the day of the last table, or write [[ruling]], [[before]] or [[set]] with source and date"
        )


def vanished(
    comparison: compare.Comparison, old: table.Table, ruled: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, str]]:
    """
    Yield the ids that the last table had and the new one has not, without a ruling that drops the row.

    Args:
        comparison: The last table against the new one.
        old: The last table.
        ruled: Rows that our entries name, with the date of the latest.
    """
    owners = {(row.provider, name): row for row in old.rows() for name in row.ids}
    for provider, name in comparison.vanished:
        row = owners.get((provider, name)) or owners.get((provider, f"{name}*"))
        if row is None or ruled.get((provider, row.model), "") < old.date:
            yield provider, name


def told_vanished(names: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the problem of every id that vanished."""
    for provider, name in names:
        yield (
            f"{provider}/{name}: this id vanished and is not in the history: run KEEP=1 make prices to keep its last"
            " rates, or write [[drop]] with source and date where the row was wrong"
        )


def without_source(rows: Rows) -> Iterator[str]:
    """Yield the rows and cards that do not say where they are from."""
    for (provider, model), row in sorted(rows.items()):
        sources = [row.get("source"), *(card.get("source", row.get("source")) for card in row["cards"])]
        if not all(str(source or "").strip() for source in sources):
            yield f"{provider}/{model}: a row needs a source: name it in the entry or extract that made it"
