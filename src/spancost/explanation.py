# SPDX-License-Identifier: Apache-2.0
"""How a call is priced, step by step, for whoever asks why it costs what it costs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, NamedTuple

from spancost.cost import Unpriced

if TYPE_CHECKING:
    from spancost.prices.cards import RateCard

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


class Explanation(NamedTuple):
    """
    How a call is priced, step by step.

    Args:
        provider: Key of the provider that sold the call; empty when none was found.
        provider_rule: How it was found.
        model: The id that was looked up, lower case.
        model_rule: Which rule found the row: ``exact``, ``unwrapped``, ``dated`` ...
        spelling: The id under which the row was found.
        card: The rate card in force at the time of the call, None when the call is unpriced.
        tier: The service tier that was asked for, as rate cards name it.
        tier_assumed: Whether the card does not have that tier, so ordinary rates hold.
        unpriced: Why there is no card, None when there is one.
        cards: Every card of the row, the oldest first, past and announced ones too.
    """

    provider: str
    provider_rule: str
    model: str
    model_rule: str
    spelling: str
    card: RateCard | None
    tier: str
    tier_assumed: bool
    unpriced: Unpriced | None
    cards: tuple[RateCard, ...] = ()

    def lines(self) -> list[str]:
        """Return the explanation as lines of text."""
        if self.card is None or self.unpriced is not None:
            reason = self.unpriced or Unpriced("unknown_model")
            return [f"unpriced: {reason.reason}", f"  {reason.detail}"]
        card = self.card
        rates = ", ".join(f"{name} {rate}" for name, rate in card.rates_per_million().items())
        tier = f"{self.tier} (not in the list: ordinary rates)" if self.tier_assumed else self.tier
        return [
            f"provider   {self.provider} ({self.provider_rule})",
            f"model      {self.model} found as {self.spelling} ({self.model_rule})",
            f"rate card  {card.id}, {_span_of_time(card)}",
            f"source     {card.source}",
            f"tier       {tier}",
            f"rates      {rates} (USD per 1,000,000)",
        ]


def _span_of_time(card: RateCard) -> str:
    return f"from {_day(card.start) or 'the beginning'} to {_day(card.end) or 'today'}"


def _day(moment: int | None) -> str:
    if moment is None:
        return ""
    return (_EPOCH + dt.timedelta(seconds=moment // 1_000_000_000)).strftime("%Y-%m-%dT%H:%MZ")
