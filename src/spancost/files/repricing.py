# SPDX-License-Identifier: Apache-2.0
"""What other prices would change: each call priced twice, totalled by model; calls from spans or from rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spancost import money
from spancost.calls.pricing import Pricer, models_of, provider_of
from spancost.cost import Cost, Unpriced
from spancost.files.rows import instant_of
from spancost.prices.providers import semconv_name
from spancost.usage.values import Usage

if TYPE_CHECKING:
    from spancost.book import PriceBook
    from spancost.calls.nodes import Call

UNKNOWN: Final = "unknown"
CALL_STATUSES: Final = frozenset({"priced", "unpriced", "failed"})
"""Rows of these are calls; others are copies and roll-ups, which carry no amount."""

_NOT_OF_RATES: Final = frozenset({"no_usage", "bad_usage", "self_hosted"})
"""Reasons that no price table changes."""


@dataclass(slots=True)
class Impact:
    """
    What other prices change for some calls.

    Args:
        calls: How many.
        old: What they cost, in 1e-15 USD, those that have a cost.
        new: What they would cost.
        changed: Calls whose amount differs, or that have one only before or only after.
        newly_priced: Calls that had no cost and would have one.
        newly_priced_femto: Their part of ``new``.
        newly_unpriced: Calls that had a cost and would have none.
        newly_unpriced_femto: Their part of ``old``.
        unpriced: Calls without a cost before and after.
    """

    calls: int = 0
    old: int = 0
    new: int = 0
    changed: int = 0
    newly_priced: int = 0
    newly_priced_femto: int = 0
    newly_unpriced: int = 0
    newly_unpriced_femto: int = 0
    unpriced: int = 0

    def add(self, before: Cost | Unpriced, after: Cost | Unpriced) -> None:
        """Add one call."""
        self.calls += 1
        old = before.femto if isinstance(before, Cost) else None
        new = after.femto if isinstance(after, Cost) else None
        self.old += old or 0
        self.new += new or 0
        self.changed += old != new
        if old is None and new is None:
            self.unpriced += 1
        elif old is None:
            self.newly_priced += 1
            self.newly_priced_femto += new or 0
        elif new is None:
            self.newly_unpriced += 1
            self.newly_unpriced_femto += old

    @property
    def difference(self) -> int:
        """How much more the calls would cost, in 1e-15 USD."""
        return self.new - self.old


class Row(msgspec.Struct):
    """What is read of a row that `spancost price --format jsonl` or the ledger's export wrote."""

    status: str
    start_time: str
    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    usage: dict[str, int] | None = None
    cost_usd: str | None = None
    cost_source: str | None = None
    price_book: str | None = None
    reason: str | None = None
    service_tier: str | None = None
    region: str | None = None
    flags: list[str] = []


class Repricing:
    """
    Prices calls with two books.

    Args:
        old: The prices that hold.
        new: The others.
        at: With the others, price every call as if it were made then; None for when it was.
        assume_default: As for `Pricer`.
    """

    def __init__(
        self, old: PriceBook, new: PriceBook, *, at: int | None = None, assume_default: bool = False
    ) -> None:
        self.total = Impact()
        self.by_model: dict[tuple[str, str], Impact] = {}
        self.not_from_row = 0
        """Rows that do not hold all that their amount was made of: they count as unchanged."""
        self.old_pricer = Pricer(old, assume_default=assume_default)
        self._new_pricer = Pricer(new, assume_default=assume_default, at=at)
        self._old, self._new, self._at = old, new, at
        self._assume_default = assume_default

    def add_call(self, call: Call) -> None:
        """Add a settled call that the old pricer has priced."""
        if call.cost is None:
            return
        provider = provider_of(call)
        model = models_of(call)[0]
        self._add(semconv_name(provider) if provider else None, model, call.cost, self._new_pricer(call))

    def add_row(self, row: Row) -> None:
        """
        Add a call from its row.

        Raises:
            ValueError: The row cannot be: its time, amount or counts are none.
        """
        if row.status not in CALL_STATUSES:
            return
        at = instant_of(row.start_time)
        before, after = self._row_costs(row, at)
        self._add(row.provider, row.model, before, after)

    def _row_costs(self, row: Row, at: int) -> tuple[Cost | Unpriced, Cost | Unpriced]:
        recorded = None if row.cost_usd is None else money.from_usd(row.cost_usd)
        if recorded is not None and (row.cost_source == "provider" or "cached_response" in row.flags):
            fixed = Cost(recorded, {"unallocated": recorded})
            return fixed, fixed
        if row.usage is None or row.reason in _NOT_OF_RATES:
            none = Unpriced(row.reason or "no_usage")
            return none, none
        usage = Usage(**row.usage)
        before = self._price(row, usage, self._old, at)
        if recorded is not None and row.price_book == self._old.version:
            priced = before.femto if isinstance(before, Cost) else None
            if priced != recorded:  # such as cached audio, which rows do not tell apart
                self.not_from_row += 1
                fixed = Cost(recorded, {"unallocated": recorded})
                return fixed, fixed
        return before, self._price(row, usage, self._new, at if self._at is None else self._at)

    def _price(self, row: Row, usage: Usage, book: PriceBook, at: int) -> Cost | Unpriced:
        return book.price(
            usage,
            provider=row.provider,
            model=row.model,
            request_model=row.request_model,
            at=at,
            service_tier=row.service_tier,
            region=row.region,
            aggregated="aggregated" in row.flags,
            assume_default=self._assume_default,
        )

    def _add(
        self, provider: str | None, model: str | None, before: Cost | Unpriced, after: Cost | Unpriced
    ) -> None:
        key = (provider or UNKNOWN, model or UNKNOWN)
        impact = self.by_model.get(key)
        if impact is None:
            impact = self.by_model[key] = Impact()
        impact.add(before, after)
        self.total.add(before, after)

    def rows(self) -> list[tuple[tuple[str, str], Impact]]:
        """Return the models, those first that change most, then by name."""
        return sorted(
            self.by_model.items(),
            key=lambda item: (-abs(item[1].difference), -item[1].changed, item[0]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return all totals as JSON has them."""
        return {
            "models": [
                {"provider": provider, "model": model} | _as_json(impact)
                for (provider, model), impact in self.rows()
            ],
            "total": _as_json(self.total) | {"not_from_row": self.not_from_row},
        }


def _as_json(impact: Impact) -> dict[str, Any]:
    return {
        "calls": impact.calls,
        "changed_calls": impact.changed,
        "old_usd": money.to_text(impact.old),
        "new_usd": money.to_text(impact.new),
        "difference_usd": money.to_text(impact.difference),
        "newly_priced_calls": impact.newly_priced,
        "newly_priced_usd": money.to_text(impact.newly_priced_femto),
        "newly_unpriced_calls": impact.newly_unpriced,
        "newly_unpriced_usd": money.to_text(impact.newly_unpriced_femto),
        "unpriced_calls": impact.unpriced,
    }
