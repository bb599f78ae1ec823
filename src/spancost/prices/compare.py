# SPDX-License-Identifier: Apache-2.0
"""
What differs between two price tables: the ids that came and went, and every rate that moved.

Two tables are compared by what a call would be charged, id by id: a row that was renamed is no
difference, an id that moved to another row with other rates is one, and so is a card that begins
on a new day. Each difference says since when it holds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from spancost.prices.table import Row, Table

Name = tuple[str, str]
"""Provider and model of a row, or provider and id."""

Rate = tuple[str, str]
"""Where a rate stands on a card (tier, threshold, window), and what it is for."""

INFINITE: Final = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One rate that is not the same in both tables.

    Args:
        since: ISO date or time from which calls are charged differently; empty for all past.
        where: Tier, threshold and window of the rate, such as ``batch, above 200000``; empty
            for the ordinary one.
        rate: What the rate is for, such as ``cache_read``.
        old: USD per 1,000,000 units in the old table, None where it had none.
        new: The same for the new table.
    """

    since: str
    where: str
    rate: str
    old: Decimal | None
    new: Decimal | None

    @property
    def factor(self) -> Decimal | None:
        """How far the rate moved, 1 or more, infinite from or to 0; None where one side has no rate."""
        if self.old is None or self.new is None:
            return None
        low, high = sorted((self.old, self.new))
        return high / low if low else INFINITE

    def __str__(self) -> str:
        """Return the difference as one line."""
        since = f"since {self.since}" if self.since else "at all times"
        place = f"{self.where}, " if self.where else ""
        return f"{place}{self.rate} {_text(self.old)} -> {_text(self.new)} ({since})"


@dataclass(frozen=True, slots=True)
class Change:
    """
    A model whose rates are not the same in both tables.

    Args:
        provider: Key of the provider.
        model: The row in the new table.
        was: The row in the old table; the same name as a rule.
        ids: The ids that both rows have.
        differences: Every rate that differs, by time.
    """

    provider: str
    model: str
    was: str
    ids: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def largest_factor(self) -> Decimal:
        """How far the rate moved that moved most; 1 where rates only came or went."""
        return max((one.factor for one in self.differences if one.factor is not None), default=Decimal(1))


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    All that differs between two tables.

    Args:
        added: Provider and model of rows whose ids are all new.
        removed: Provider and model of rows none of whose ids is left.
        vanished: Every provider and id that the new table no longer has, those of ``removed``
            included; with ``*`` where the id stood for its versions.
        appeared: Every provider and id that the old table did not have.
        changed: Models whose rates differ.
    """

    added: tuple[Name, ...]
    removed: tuple[Name, ...]
    vanished: tuple[Name, ...]
    appeared: tuple[Name, ...]
    changed: tuple[Change, ...]

    @property
    def largest_factor(self) -> Decimal:
        """How far the rate moved that moved most in all of the table; 1 where none did."""
        return max((change.largest_factor for change in self.changed), default=Decimal(1))

    def lines(self) -> Iterator[str]:
        """Yield the comparison as lines of text: rows that came, rows that went, then every change."""
        yield from (f"+ {provider}/{model}" for provider, model in self.added)
        yield from (f"- {provider}/{model}" for provider, model in self.removed)
        gone = set(self.removed)
        yield from (
            f"- id {provider} {name}" for provider, name in self.vanished if (provider, name) not in gone
        )
        for change in self.changed:
            was = f" (was {change.was})" if change.was != change.model else ""
            yield f"~ {change.provider}/{change.model}{was}"
            yield from (f"    {difference}" for difference in change.differences)


def compare(old: Table, new: Table) -> Comparison:
    """
    Return what differs between two tables.

    Args:
        old: The table that was.
        new: The table that is to replace it.
    """
    before, after = _by_id(old), _by_id(new)
    shared: dict[tuple[Name, Name], list[str]] = {}
    for (provider, name), row in after.items():
        former = before.get((provider, name))
        if former is not None:
            shared.setdefault(((former.provider, former.model), (row.provider, row.model)), []).append(name)
    kept = {pair[0] for pair in shared}, {pair[1] for pair in shared}
    changed = []
    for (_, (provider, model)), names in sorted(shared.items()):
        one, other = before[provider, names[0]], after[provider, names[0]]
        differences = tuple(differences_of(one, other))
        if differences:
            changed.append(Change(provider, model, one.model, tuple(names), differences))
    return Comparison(
        added=tuple(sorted({(row.provider, row.model) for row in after.values()} - kept[1])),
        removed=tuple(sorted({(row.provider, row.model) for row in before.values()} - kept[0])),
        vanished=_missing(before, after),
        appeared=_missing(after, before),
        changed=tuple(changed),
    )


def differences_of(old: Row, new: Row) -> Iterator[Difference]:
    """
    Yield every rate that two rows charge differently, once, with the time from which they do.

    Args:
        old: A row of the old table.
        new: The row of the new one.
    """
    before, after = _cards(old), _cards(new)
    reported: dict[Rate, tuple[Decimal | None, Decimal | None]] = {}
    for since in sorted({start for start, _ in itertools.chain(before, after)}):
        one, other = _in_force(before, since), _in_force(after, since)
        for rate in sorted(one.keys() | other.keys()):
            pair = one.get(rate), other.get(rate)
            if pair != reported.get(rate) and pair[0] != pair[1]:
                yield Difference(since, *rate, *pair)
            reported[rate] = pair


def _by_id(table: Table) -> dict[Name, Row]:
    """Return every row of a table by every id that leads to it; the first row that has an id keeps it."""
    found: dict[Name, Row] = {}
    for row in table.rows():
        for name in row.ids:
            found.setdefault((row.provider, name.rstrip("*")), row)
    return found


def _missing(there: Mapping[Name, Row], here: Mapping[Name, Row]) -> tuple[Name, ...]:
    """Return the ids of one table that another lacks, and those that no longer stand for their versions."""
    found = []
    for name, row in there.items():
        mark = f"{name[1]}*"
        if name not in here:
            found.append(name)
        elif mark in row.ids and mark not in here[name].ids:
            found.append((name[0], mark))
    return tuple(sorted(found))


def _cards(row: Row) -> list[tuple[str, dict[Rate, Decimal]]]:
    """Return the cards of a row, the oldest first: from when, and every rate on it."""
    cards = json.loads(row.text)["cards"]
    return [
        ("" if number == 0 else card["from"], dict(_rates(card, ""))) for number, card in enumerate(cards)
    ]


def _in_force(cards: list[tuple[str, dict[Rate, Decimal]]], since: str) -> dict[Rate, Decimal]:
    return [rates for start, rates in cards if start <= since][-1]


def _rates(spec: Mapping[str, Any], where: str) -> Iterator[tuple[Rate, Decimal]]:
    """Yield every rate of a card, a tier or a window, whole lines above a threshold included."""
    base = spec["rates"]
    yield from (((where, name), Decimal(rate)) for name, rate in base.items())
    for above, higher in spec.get("above", ()):
        place = _join(where, f"above {above}")
        yield from (((place, name), Decimal(rate)) for name, rate in {**base, **higher}.items())
    for region, multiplier in spec.get("regions", {}).items():
        yield (_join(where, "region"), region), Decimal(multiplier)
    for tier, own in spec.get("tiers", {}).items():
        yield from _rates(own, _join(where, tier))
    for window in spec.get("windows", ()):
        days = f" on days {window['days']}" if "days" in window else ""
        yield from _rates(window, _join(where, f"{window['start']}-{window['end']}{days}"))


def _join(where: str, more: str) -> str:
    return f"{where}, {more}" if where else more


def _text(rate: Decimal | None) -> str:
    return "none" if rate is None else f"{rate:f}"
