# SPDX-License-Identifier: Apache-2.0
"""
The short way from counts to an amount: rate cards compiled for the calls of one model id.

A card has dates, times of day, service tiers and thresholds of size. Which of its rates hold changes a
few times in years, or in a day, so a `Route` keeps the line of rates in force with the stretch of time in
which it holds: a call asks whether it is inside, and multiplies integers. Whatever needs more (audio,
images, fees, rates that are missing) goes the long way, `spancost.cost.price_usage`, and both
ways give the same; ``tests/property/test_price_oracle.py`` holds them together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spancost.cost import Cost, Unpriced, make_cost, price_usage, rates_for
from spancost.prices.cards import DAY_NS, MINUTE_NS, OUTPUT, REASONING, REQUEST
from spancost.prices.tiers import tier_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spancost.prices.cards import Line, RateCard, Window
    from spancost.prices.resolve import Resolution
    from spancost.usage.values import Usage

MAX_TIERS: Final = 64
"""How many spellings of service tiers a route remembers; then it forgets all."""

MAX_TIER_LENGTH: Final = 256
"""Longer text is no service tier and is not remembered."""

_EVER: Final = 2**64
"""Nanoseconds beyond every time that a span can have, before and after the epoch."""

_NO_INPUT: Final = -1
"""A limit that every input is above."""

Amounts = tuple["Stretch", int, int, int, int, int, int]
"""The rates that held, the total, and its parts in 1e-15 USD: input, cache_read, cache_write, cache_write_1h, output."""

_Plain = tuple[int, int, int, "int | None", int, "Stretch"]
"""Rates of input, cache_read, cache_write, cache_write_1h and output, and what belongs to them."""


class Stretch:
    """
    A line of rates in force, and what belongs to every cost that it gives.

    Args:
        line: The rates in femto-USD per unit, in the order of `RATED`.
        rate_card: Id of the card.
        flags: What a reader must know about the choice: ``window``, ``tier_assumed``.
    """

    __slots__ = ("flags", "line", "rate_card")

    def __init__(self, line: Line, rate_card: str, flags: tuple[str, ...]) -> None:
        self.line = line
        self.rate_card = rate_card
        self.flags = flags


_NO_RATES: Final[_Plain] = (0, 0, 0, None, 0, Stretch((), "", ()))
"""Stands where no rates are, and is never used: no input is below the limit beside it."""


class Route:
    """
    Prices the calls of one model id of one price book, whenever they were made.

    It is safe to use from several threads, and bounded: `MAX_TIERS` stretches, and a route for each
    class of region.

    Args:
        resolution: The rate cards, and how they were found.
        price_book: Version of the price book, for the costs.
    """

    __slots__ = ("_kept", "_regions", "cards", "price_book", "resolution")

    def __init__(self, resolution: Resolution, price_book: str) -> None:
        self.resolution = resolution
        self.cards = resolution.cards
        self.price_book = price_book
        self._kept: dict[str | None, _Kept] = {}
        self._regions: dict[str, Route] = {}

    def in_region(self, region: str | None) -> Route:
        """
        Return the route of the calls that ran in a region; itself where the region changes nothing.

        Args:
            region: A class of `spancost.prices.regions`.
        """
        if region is None:
            return self
        found = self._regions.get(region)
        if found is None:
            cards = tuple(card.in_region(region) for card in self.cards)
            if cards == self.cards:
                return self
            found = Route(replace(self.resolution, cards=cards), self.price_book)
            self._regions[region] = found
        return found

    def card_at(self, at: int) -> RateCard:
        """
        Return the card in force at a time.

        Args:
            at: Nanoseconds since the epoch. Before the first date the first card holds.
        """
        for card in reversed(self.cards):
            if card.start is None or at >= card.start:
                return card
        return self.cards[0]

    def amounts(  # noqa: PLR0917 - counts, not a value: one is not made for each call
        self,
        at: int,
        tier: str | None,
        input: int,  # noqa: A002 - the design's word
        cache_read: int,
        cache_write: int,
        cache_write_1h: int,
        output: int,
    ) -> Amounts | None:
        """
        Price a call that used nothing but text tokens: integers in, integers out, 0.3 us.

        Nothing is checked: the parts must not be above their wholes (`Usage` proves that), and
        audio, images, fees and aggregates are not for here.

        Args:
            at: Start of the call, nanoseconds since the epoch.
            tier: Its service tier as on the span, None where it shows none.
            input: All input tokens, cached ones included.
            cache_read: Part of the input that was read from a cache.
            cache_write: Part of the input that was written to one, whatever its lifetime.
            cache_write_1h: Part of ``cache_write`` that is kept for an hour or longer.
            output: All output tokens, reasoning included.

        Returns:
            See `Amounts`; None where the card asks for the long way (`price`): a rate is missing, or
            there is one for reasoning or for each request.
        """
        kept = self._kept.get(tier) or self._keep(at, tier)
        if not (kept.always or kept.since <= at < kept.until):
            kept = self._keep(at, tier)
        if input <= kept.limit:
            rates = kept.rates
        else:
            above = kept.rates_above(input)
            if above is None:
                return None
            rates = above
        fresh_rate, read_rate, write_rate, hour_rate, output_rate, stretch = rates
        out = output * output_rate
        if not cache_write:
            if not cache_read:
                fresh = input * fresh_rate
                return stretch, fresh + out, fresh, 0, 0, 0, out
            fresh = (input - cache_read) * fresh_rate
            read = cache_read * read_rate
            return stretch, fresh + read + out, fresh, read, 0, 0, out
        fresh = (input - cache_read - cache_write) * fresh_rate
        read = cache_read * read_rate
        if not cache_write_1h:
            write = cache_write * write_rate
            return stretch, fresh + read + write + out, fresh, read, write, 0, out
        if hour_rate is None:
            return None
        write = (cache_write - cache_write_1h) * write_rate
        hour = cache_write_1h * hour_rate
        return stretch, fresh + read + write + hour + out, fresh, read, write, hour, out

    def price(
        self, usage: Usage, at: int, tier: str | None = None, *, aggregated: bool = False
    ) -> Cost | Unpriced:
        """
        Price any usage, the short way where that will do.

        Args:
            usage: What the call used.
            at: Start of the call, nanoseconds since the epoch.
            tier: Its service tier as on the span, None where it shows none.
            aggregated: The usage is a sum over several calls: no rate that depends on the size of
                one applies, and no fee for each request.
        """
        if not (
            aggregated
            or usage.input_audio
            or usage.output_audio
            or usage.input_image
            or usage.output_image
            or usage.web_searches
            or usage.search_units
        ):
            found = self.amounts(
                at,
                tier,
                usage.input,
                usage.cache_read,
                usage.cache_write,
                usage.cache_write_1h,
                usage.output,
            )
            if found is not None:
                stretch = found[0]
                return make_cost(
                    found[2:],
                    found[1],
                    stretch.rate_card,
                    self.price_book,
                    stretch.flags,
                    "local",
                    stretch.line,
                )
        card = self.card_at(at)
        return price_usage(
            usage, card, at=at, tier=tier_of(tier), aggregated=aggregated, price_book=self.price_book
        )

    def _keep(self, at: int, tier: str | None) -> _Kept:
        """Work out what holds at a time in a tier, and keep it for the calls that follow."""
        card = self.card_at(at)
        name = tier_of(tier)
        chosen, flags = rates_for(card, at, name)
        since, until = _day_part(card.windows, at) if card.windows else (-_EVER, _EVER)
        if card is not self.cards[0]:
            since = max(since, card.start or since)
        if card.end is not None:
            until = min(until, card.end)
        base = _plain(card, chosen.base, flags)
        steps = tuple((above, _plain(card, line, flags)) for above, line in chosen.steps)
        kept = _Kept(since, until, base, steps)
        if tier is None or len(tier) <= MAX_TIER_LENGTH:
            if len(self._kept) >= MAX_TIERS:
                self._kept.clear()
            self._kept[tier] = kept
        return kept


class _Kept:
    """
    What holds for a tier in a stretch of time.

    Args:
        since: The first nanosecond of the stretch.
        until: The first nanosecond after it.
        base: The rates of a call below every threshold.
        steps: Thresholds and the rates above each, the highest first.
    """

    __slots__ = ("_base", "_steps", "always", "limit", "rates", "since", "until")

    def __init__(
        self, since: int, until: int, base: _Plain | None, steps: tuple[tuple[int, _Plain | None], ...]
    ) -> None:
        self.since = since
        self.until = until
        self.always = (since, until) == (-_EVER, _EVER)
        self.rates: _Plain = base or _NO_RATES
        self.limit = _NO_INPUT if base is None else steps[-1][0] if steps else _EVER
        """The largest input for which `rates` are right."""
        self._base = base
        self._steps = steps

    def rates_above(self, total_input: int) -> _Plain | None:
        """Return the rates of an input above the limit; None where only the long way has them."""
        for above, rates in self._steps:
            if total_input > above:
                return rates
        return self._base


def _plain(card: RateCard, line: Line, flags: tuple[str, ...]) -> _Plain | None:
    """Return the rates of a line for text tokens; None where only the long way can use it."""
    fresh, read, write, hour, output = line[: OUTPUT + 1]
    if fresh is None or read is None or write is None or output is None:
        return None
    if line[REASONING] is not None or line[REQUEST] is not None:
        return None
    return fresh, read, write, hour, output, Stretch(line, card.id, flags)


def _day_part(windows: Sequence[Window], at: int) -> tuple[int, int]:
    """Return the part of a day round a time in which no window begins or ends, nor the day itself."""
    midnight = at - at % DAY_NS
    edges = {0, *(w.start for w in windows), *(w.end for w in windows)}
    times = [midnight + edge * MINUTE_NS for edge in edges]
    since = max(time for time in times if time <= at)
    return since, min((time for time in times if time > at), default=midnight + DAY_NS)
