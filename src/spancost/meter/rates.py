# SPDX-License-Identifier: Apache-2.0
"""What the meter shows of the price book: which it is, and the rates in force of models in use."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, NamedTuple

from spancost.cost import rates_in_force
from spancost.meter import names
from spancost.meter.snapshot import Gauge
from spancost.prices.cards import RATED, TOKEN_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spancost.book import PriceBook

_FEMTO_PER_USD_PER_MILLION: Final = 10**9


class Prices(NamedTuple):
    """
    A price book as the meter shows it.

    Args:
        book: The price book.
        source: Where it is from; None shows what the book says of itself.
        candidates: Pairs of provider and model whose rates are shown though nobody uses them.
    """

    book: PriceBook
    source: str | None
    candidates: tuple[tuple[str, str], ...]

    def gauges(self, models: Mapping[tuple[str, str], str], at: int) -> list[Gauge]:
        """
        Return the gauges of the book and of the rates in force.

        Args:
            models: Pairs of provider and response model in use, as labels have them, with the
                requested model of one of their calls.
            at: Now, in nanoseconds since the epoch.
        """
        book = self.book
        day = dt.datetime.fromisoformat(book.date).replace(tzinfo=dt.timezone.utc)
        found = [
            Gauge(names.BOOK, (book.version, book.digest, self.source or book.source), 1.0),
            Gauge(names.BOOK_TIME, (), day.timestamp()),
        ]
        wanted = dict.fromkeys(self.candidates, "") | dict(models)
        for (provider, model), request in wanted.items():
            if names.OTHER in (provider, model):
                continue
            asked = None if provider == names.UNKNOWN else provider
            card = book.resolve(provider=asked, model=model, request_model=request, at=at).card
            if card is None:
                continue
            for name, rate in zip(RATED, rates_in_force(card, at).base, strict=True):
                if rate is not None and name in TOKEN_TYPES:
                    value = rate / _FEMTO_PER_USD_PER_MILLION
                    found.append(Gauge(names.RATE, (provider, model, name), value))
        return found
