# SPDX-License-Identifier: Apache-2.0
"""Rate cards: all rates of one provider and model in one span of time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spancost import money
from spancost.errors import PriceBookError
from spancost.prices.regions import IN_ONE_GEOGRAPHY, REGIONAL

TOKEN_TYPES: Final = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
)
"""The partition of a call's tokens, as `Usage.by_token_type` has it."""

RATED: Final = (
    *TOKEN_TYPES,
    "cache_read_audio",
    "reasoning",
    "web_search",
    "search_unit",
    "request",
)
"""
What a rate can be for: the token types of a usage, cached audio, reasoning where it has its own rate,
and what is not counted in tokens: web searches, search units (rerank), and a fee for each request.
"""

INPUT, CACHE_READ, CACHE_WRITE, CACHE_WRITE_1H, OUTPUT = 0, 1, 2, 3, 4
INPUT_AUDIO, OUTPUT_AUDIO, INPUT_IMAGE, OUTPUT_IMAGE, CACHE_READ_AUDIO, REASONING = 5, 6, 7, 8, 9, 10
WEB_SEARCH, SEARCH_UNIT, REQUEST = 11, 12, 13

FEES: Final = RATED[WEB_SEARCH:]
"""Rates of the token type ``fee``: the same in every service tier and region unless a tier says otherwise."""

NS: Final = 10**9
DAY_NS: Final = 86_400 * NS
MINUTE_NS: Final = 60 * NS
_THURSDAY: Final = 3
"""The weekday of the epoch, 1970-01-01, counted from Monday = 0."""

Line = tuple["int | None", ...]
"""Rates in femto-USD per unit in the order of `RATED`; None where the price list says nothing."""


class Rates(NamedTuple):
    """
    The rates of a card for one service tier, by the size of the call.

    Args:
        base: Rates of a call below every threshold.
        steps: Pairs of a threshold in tokens and a whole line of rates, the highest first. A call
            whose input, cached tokens included, is above the threshold pays that line for every
            token (a cliff, as all providers bill it). An inclusive threshold is written one lower.
    """

    base: Line
    steps: tuple[tuple[int, Line], ...] = ()

    def line(self, total_input: int) -> Line:
        """Return the rates of a call with this many input tokens."""
        for above, line in self.steps:
            if total_input > above:
                return line
        return self.base


@dataclass(frozen=True, slots=True)
class Window:
    """
    A time of day with its own rates, UTC; the end is not part of it.

    Args:
        start: Minutes after midnight.
        end: Minutes after midnight; below ``start`` the window goes past midnight.
        days: Weekdays on which it holds, Monday = 0.
        holidays: Days since the epoch on which it does not hold.
        rates: The rates inside the window.
    """

    start: int
    end: int
    days: frozenset[int]
    holidays: frozenset[int]
    rates: Rates

    def holds(self, at: int) -> bool:
        """
        Tell whether a call at this time is inside the window.

        Args:
            at: Nanoseconds since the epoch.
        """
        day, of_day = divmod(at, DAY_NS)
        minute = of_day // MINUTE_NS
        if (day + _THURSDAY) % 7 not in self.days or day in self.holidays:
            return False
        if self.end < self.start:
            return minute >= self.start or minute < self.end
        return self.start <= minute < self.end


@dataclass(frozen=True, slots=True)
class RateCard:
    """
    All rates of one provider and model in one span of time.

    Args:
        id: ``provider/model``, and ``@date`` where the row has more than one card.
        provider: Key of the provider in the table.
        model: The row's own name of the model.
        source: Where the rates are from.
        start: Nanoseconds since the epoch from which it holds, None without a beginning.
        end: Nanoseconds since the epoch at which it ends (not part of it), None while it holds.
        standard: The rates of an ordinary call.
        tiers: The rates of other service tiers, by name (``batch``, ``flex``, ``priority``, ``fast``).
        windows: Times of day with their own rates; the last that holds wins.
        regions: The same card at the rates of a region, by the region's class
            (`spancost.prices.regions`); a class that is not in it has no rates of its own.
    """

    id: str
    provider: str
    model: str
    source: str
    start: int | None
    end: int | None
    standard: Rates
    tiers: Mapping[str, Rates]
    windows: tuple[Window, ...] = ()
    regions: Mapping[str, RateCard] = field(default_factory=dict)

    def in_region(self, region: str | None) -> RateCard:
        """
        Return the card at the rates of a region; itself where the region changes nothing.

        Args:
            region: A class of `spancost.prices.regions`. ``us`` and ``eu`` have the rates of
                ``regional`` where the card names only that.
        """
        if not self.regions or region is None:
            return self
        own = self.regions.get(region)
        if own is None and region in IN_ONE_GEOGRAPHY:
            own = self.regions.get(REGIONAL)
        return own or self

    def rates_per_million(self, tier: str = "standard") -> dict[str, Decimal]:
        """Return the rates of a tier below every threshold in USD per 1,000,000 units, known ones only."""
        rates = self.standard if tier == "standard" else self.tiers[tier]
        return {
            name: money.rate_to_per_million(rate)
            for name, rate in zip(RATED, rates.base, strict=True)
            if rate is not None
        }


def read_cards(provider: str, model: str, row: Mapping[str, Any]) -> tuple[RateCard, ...]:
    """
    Return the cards of one row of the table, the oldest first.

    Args:
        provider: Key of the provider.
        model: The row's own name of the model.
        row: ``{"source": text, "cards": [card, ...]}``. A card has ``rates`` (token type to USD
            per 1,000,000 as text) and may have ``from`` (ISO date or UTC time), ``above``
            (pairs of threshold and rates that differ), ``tiers`` (name to rates and above),
            ``windows`` (days, holidays, start, end, rates) and ``regions`` (class of region to what
            every token rate is multiplied with there, decimal text such as ``1.1``).

    Raises:
        PriceBookError: The row is not of this shape.
    """
    try:
        specs = row["cards"]
        starts = _starts(specs)
        name = f"{provider}/{model}"
        cards = []
        for spec, start, end in zip(specs, starts, [*starts[1:], None], strict=True):
            fees = {fee: rate for fee, rate in spec["rates"].items() if fee in FEES}
            card = RateCard(
                id=name if len(specs) == 1 else f"{name}@{spec.get('from', 'start')}",
                provider=provider,
                model=model,
                source=spec.get("source", row["source"]),
                start=start,
                end=end,
                standard=_rates(spec, {}),
                tiers={tier: _rates(own, fees) for tier, own in spec.get("tiers", {}).items()},
                windows=tuple(_window(own, fees) for own in spec.get("windows", ())),
            )
            regions = {region: _regional(card, region, by) for region, by in spec.get("regions", {}).items()}
            cards.append(replace(card, regions=regions) if regions else card)
        return tuple(cards)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PriceBookError(f"{provider}/{model}: not a row of a price table: {error!r}") from error


def _starts(specs: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """Return when each card begins; only the first may be without a date, and they are in order of time."""
    starts = [_instant(spec["from"]) if "from" in spec else None for spec in specs]
    dated = [start for start in starts if start is not None]
    if not starts or None in starts[1:] or dated != sorted(set(dated)):
        raise ValueError("the cards of a row are in order of time, and all but the first have a date")
    return starts


def _rates(spec: Mapping[str, Any], fees: Mapping[str, str]) -> Rates:
    own = {**fees, **spec["rates"]}
    steps = [(int(above), _line({**own, **higher})) for above, higher in spec.get("above", ())]
    return Rates(_line(own), tuple(sorted(steps, reverse=True)))


def _line(rates: Mapping[str, str]) -> Line:
    unknown = rates.keys() - set(RATED)
    if unknown:
        raise ValueError(f"no such rates: {', '.join(sorted(unknown))}")
    line = [money.rate_from_per_million(rates[name]) if name in rates else None for name in RATED]
    return tuple(_fill(line))


def _fill(line: list[int | None]) -> list[int | None]:
    """
    Fill in the rates that follow from others where a price list is silent.

    Cached tokens are input tokens: without a rate of their own they cost what input costs. So do
    tokens of images (Google's list says "text / image / video", OpenAI's and Anthropic's convert
    images to input tokens). Cached audio costs what cached text costs where fresh audio costs
    what fresh text costs, and what fresh audio costs otherwise. Audio itself does not follow from
    anything, and neither does an hour's cache where five minutes already have a price.
    """
    if line[CACHE_READ] is None:
        line[CACHE_READ] = line[INPUT]
    if line[CACHE_WRITE] is None:
        line[CACHE_WRITE] = line[INPUT]
        if line[CACHE_WRITE_1H] is None:
            line[CACHE_WRITE_1H] = line[INPUT]
    if line[INPUT_IMAGE] is None:
        line[INPUT_IMAGE] = line[INPUT]
    if line[CACHE_READ_AUDIO] is None:
        same = line[INPUT_AUDIO] == line[INPUT]
        line[CACHE_READ_AUDIO] = line[CACHE_READ] if same else line[INPUT_AUDIO]
    return line


def _window(spec: Mapping[str, Any], fees: Mapping[str, str]) -> Window:
    return Window(
        start=_minutes(spec["start"]),
        end=_minutes(spec["end"]),
        days=frozenset(int(day) - 1 for day in spec.get("days", "1234567")),
        holidays=frozenset(_instant(day) // DAY_NS for day in spec.get("holidays", ())),
        rates=_rates(spec, fees),
    )


def _regional(card: RateCard, region: str, multiplier: object) -> RateCard:
    """Return a card with every token rate multiplied, or fail where that is finer than 1e-15 USD."""
    if not isinstance(multiplier, str):
        raise TypeError(f"regions: {region}: {multiplier!r} is no decimal text such as '1.1'")
    whole, _, part = multiplier.partition(".")
    by = int(whole + part) if (whole + part).isascii() and (whole + part).isdigit() else 0
    if not by:
        raise ValueError(f"regions: {region}: {multiplier!r} is no decimal text above 0 such as '1.1'")
    scale = 10 ** len(part)

    def higher(line: Line) -> Line:
        tokens = []
        for name, rate in zip(RATED, line[:WEB_SEARCH], strict=False):
            if rate is not None and rate * by % scale:
                raise ValueError(f"regions: {region}: {name} x {multiplier} is finer than 1e-15 USD")
            tokens.append(None if rate is None else rate * by // scale)
        return (*tokens, *line[WEB_SEARCH:])

    def every(rates: Rates) -> Rates:
        return Rates(higher(rates.base), tuple((above, higher(line)) for above, line in rates.steps))

    return replace(
        card,
        id=f"{card.id}+{region}",
        standard=every(card.standard),
        tiers={tier: every(rates) for tier, rates in card.tiers.items()},
        windows=tuple(replace(window, rates=every(window.rates)) for window in card.windows),
    )


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _instant(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return int(moment.timestamp()) * NS
