# SPDX-License-Identifier: Apache-2.0
"""What one call costs, or why it has no cost: the result values, and usage x rate card."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from spancost import money
from spancost._values import maker
from spancost.prices.cards import (
    CACHE_READ,
    CACHE_READ_AUDIO,
    INPUT_AUDIO,
    OUTPUT,
    RATED,
    REASONING,
    REQUEST,
    SEARCH_UNIT,
    TOKEN_TYPES,
    WEB_SEARCH,
    Line,
    RateCard,
    Rates,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spancost.usage.values import Usage

UNPRICED_REASONS: Final = (
    "unknown_provider",
    "unknown_model",
    "ambiguous_model",
    "opaque_deployment",
    "self_hosted",
    "missing_rate",
    "no_usage",
    "bad_usage",
)
"""Why a call has no cost; a closed list (design section 6)."""

COST_PARTS: Final = (*TOKEN_TYPES, "fee", "unallocated")
"""What a cost can be split by: token types, fees, and what a provider reported and nobody can split."""

_INDEX: Final = {name: number for number, name in enumerate(RATED)}
_SPLIT: Final = frozenset({"cache_read", "output"})
"""Parts of which some may have a rate of its own: cached audio, reasoning."""

_NOTHING: Final[Mapping[str, Decimal]] = MappingProxyType({})


class Cost:
    """
    What one call costs in US dollars. A value: it cannot be changed, equal costs are equal.

    Args:
        femto: The total in 1e-15 USD.
        femto_parts: The total split by token type, in 1e-15 USD; only parts that are not
            zero. They sum to ``femto``. Do not change it.
        rate_card: Id of the row of the price book that priced the call.
        price_book: Version of the price book.
        flags: What a reader must know about the amount, such as ``tier_assumed``.
        source: ``local`` for our estimate from list rates, ``provider`` for an amount that
            the provider itself reported.
        rates: The rates that priced it in the order of `RATED`, for `cache_effect`; empty where
            the amount is not from a rate card. No part of what makes two costs equal.
    """

    # Not a dataclass: one is made per call, and its parts are only put into a dict when asked for.
    __slots__ = ("amounts", "femto", "rate_card", "price_book", "flags", "source", "rates")  # noqa: RUF023 - the order of `make_cost`
    __match_args__ = ("femto", "femto_parts", "rate_card", "price_book", "flags", "source", "rates")

    femto: int
    rate_card: str
    price_book: str
    flags: tuple[str, ...]
    source: Literal["local", "provider"]
    rates: Line
    amounts: Mapping[str, int] | tuple[int, ...]
    """The parts as they came: of text tokens alone five integers in the order of `RATED`, else as `femto_parts`."""

    def __init__(  # noqa: PLR0917 - the order of the fields, as a dataclass has it
        self,
        femto: int,
        femto_parts: Mapping[str, int],
        rate_card: str = "",
        price_book: str = "",
        flags: tuple[str, ...] = (),
        source: Literal["local", "provider"] = "local",
        rates: Line = (),
    ) -> None:
        values = (femto_parts, femto, rate_card, price_book, flags, source, rates)
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def reported(cls, amount: Decimal | str | int, *, flags: tuple[str, ...] = ()) -> Cost:
        """
        Return the cost of a call as its provider reported it; it cannot be split.

        Args:
            amount: USD. What is finer than 1e-15 USD is rounded half to even.
            flags: As for the class.

        Raises:
            ValueError: The amount is negative or no finite number.
        """
        femto = money.from_usd(amount)
        if femto < 0:
            raise ValueError(f"a cost cannot be negative: {amount}")
        return cls(femto, {"unallocated": femto} if femto else {}, flags=flags, source="provider")

    @property
    def femto_parts(self) -> Mapping[str, int]:
        """The total split by token type, in 1e-15 USD; only parts that are not zero. Do not change it."""
        parts = self.amounts
        if isinstance(parts, tuple):
            parts = {name: amount for name, amount in zip(RATED, parts, strict=False) if amount}
            object.__setattr__(self, "amounts", parts)
        return parts

    @property
    def total(self) -> Decimal:
        """The whole cost in USD, exact."""
        return money.to_decimal(self.femto)

    @property
    def parts(self) -> Mapping[str, Decimal]:
        """The cost by token type in USD, exact; only parts that are not zero."""
        return MappingProxyType({name: money.to_decimal(part) for name, part in self.femto_parts.items()})

    def __float__(self) -> float:
        """Return the total in USD as the nearest float."""
        return money.to_float(self.femto)

    def __eq__(self, other: object) -> bool:
        """Tell whether another cost is the same amount, split alike, from the same row and source."""
        if not isinstance(other, Cost):
            return NotImplemented
        return self._identity() == other._identity() and self.femto_parts == other.femto_parts

    def __hash__(self) -> int:
        """Return a hash that equal costs share."""
        return hash(self._identity())

    def __repr__(self) -> str:
        """Return the cost as code, without the rates."""
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__[:-1])
        return f"Cost({shown})"

    def __reduce__(self) -> tuple[type[Cost], tuple[Any, ...]]:
        """Return how to copy and pickle it."""
        return Cost, tuple(getattr(self, name) for name in self.__match_args__)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a cost is a value."""
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: a cost is a value."""
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def _identity(self) -> tuple[object, ...]:
        return self.femto, self.rate_card, self.price_book, self.flags, self.source


make_cost: Final = maker(Cost)
"""Makes a cost from all its slots in their order: parts first, a mapping or amounts in the order of `RATED`."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """
    A call without a cost, and why. It is never zero and never a guess.

    Args:
        reason: One of `UNPRICED_REASONS`.
        detail: One sentence for people that names what was looked for.
    """

    reason: str
    detail: str = ""

    @property
    def total(self) -> None:
        """Always None: nothing is known about the amount."""
        return None

    @property
    def parts(self) -> Mapping[str, Decimal]:
        """Always empty."""
        return _NOTHING


def price_usage(
    usage: Usage,
    card: RateCard,
    *,
    at: int,
    tier: str = "standard",
    aggregated: bool = False,
    price_book: str = "",
) -> Cost | Unpriced:
    """
    Price one usage with one rate card.

    Args:
        usage: What the call used.
        card: The rates in force when it was made.
        at: Start of the call in nanoseconds since the epoch, for rates by time of day.
        tier: A service tier as `spancost.prices.tiers.tier_of` returns it. One that the card does not have is priced
            as the ordinary one, with the flag ``tier_assumed``.
        aggregated: The usage is the sum of several calls, so no rate that depends on the size
            of one call applies, and no fee for each request.
        price_book: Version of the price book, for the result.

    Returns:
        The cost; `Unpriced` with ``missing_rate`` when the card has no rate for a part that
        was used.
    """
    rates, flags = rates_for(card, at, tier)
    line = rates.base if aggregated or not rates.steps else rates.line(usage.input)
    total = 0
    parts = {}
    missing: list[str] = []
    for name, count in usage.by_token_type().items():
        if not count:
            continue
        rate = line[_INDEX[name]]
        if rate is None:
            missing.append(name)
            continue
        amount = count * rate
        if name in _SPLIT:
            amount += _surcharge(usage, line, name, count)
        if amount:
            parts[name] = amount
            total += amount
    fee = _fees(usage, line, missing, aggregated=aggregated)
    if missing:
        return Unpriced("missing_rate", f"{card.id} has no rate for {', '.join(missing)}")
    if fee:
        parts["fee"] = fee
        total += fee
    return Cost(total, parts, card.id, price_book, flags, "local", line)


def cache_effect(usage: Usage, rates: Line) -> tuple[int, int]:
    """
    Return what reading from the cache saved and what writing to it cost extra, in 1e-15 USD.

    Both are against the same tokens as plain input (cached audio: as plain audio). They feed
    counters, which cannot fall: where a list asks more for a read than for input, that is a
    premium, and where it asks less for a write, a saving. The net saving is their difference.

    Args:
        usage: What the call used.
        rates: `Cost.rates`: those of the card, tier and size that priced it. A part without a
            rate counts as no difference.
    """
    if not rates or not (usage.cache_read or usage.cache_write):
        return 0, 0
    plain, read, write, write_1h = rates[:OUTPUT]
    saved = extra = 0
    if plain is not None:
        if read is not None:
            saved = (usage.cache_read - usage.cache_read_audio) * (plain - read)
        if write is not None:
            extra = (usage.cache_write - usage.cache_write_1h) * (write - plain)
        if write_1h is not None:
            extra += usage.cache_write_1h * (write_1h - plain)
    if usage.cache_read_audio:
        audio, read_audio = rates[INPUT_AUDIO], rates[CACHE_READ_AUDIO]
        if audio is not None and read_audio is not None:
            saved += usage.cache_read_audio * (audio - read_audio)
    if saved >= 0 and extra >= 0:
        return saved, extra
    return max(saved, 0) + max(-extra, 0), max(extra, 0) + max(-saved, 0)


def rates_in_force(card: RateCard, at: int) -> Rates:
    """
    Return the ordinary rates of a card at a time of day.

    Args:
        card: The rate card.
        at: Nanoseconds since the epoch.
    """
    return rates_for(card, at, "standard")[0]


def rates_for(card: RateCard, at: int, tier: str) -> tuple[Rates, tuple[str, ...]]:
    """
    Return the rates of a tier at a time, and what has to be said about the choice.

    Args:
        card: The rate card.
        at: Nanoseconds since the epoch.
        tier: As `spancost.prices.tiers.tier_of` returns it.
    """
    rates = card.standard
    flags: tuple[str, ...] = ()
    for window in card.windows:
        if window.holds(at):
            rates, flags = window.rates, ("window",)
    if tier == "standard":
        return rates, flags
    own = card.tiers.get(tier)
    return (rates, (*flags, "tier_assumed")) if own is None else (own, ())


def _fees(usage: Usage, line: Line, missing: list[str], *, aggregated: bool) -> int:
    """Return what a call costs outside tokens, and add to *missing* what was used and has no rate."""
    fee = 0 if aggregated else line[REQUEST] or 0
    for index, count in ((WEB_SEARCH, usage.web_searches), (SEARCH_UNIT, usage.search_units)):
        if count:
            rate = line[index]
            if rate is None:
                missing.append(RATED[index])
            else:
                fee += count * rate
    return fee


def _surcharge(usage: Usage, line: Line, name: str, count: int) -> int:
    """
    Return what a part costs more (or less) because some of it has a rate of its own.

    Cached audio is inside ``cache_read``, reasoning inside ``output``; few cards tell them apart.
    """
    if name == "cache_read":
        own, plain, some = line[CACHE_READ_AUDIO], line[CACHE_READ], usage.cache_read_audio
    else:
        own, plain, some = line[REASONING], line[OUTPUT], min(usage.reasoning, count)
    if own is None or plain is None:
        return 0
    return some * (own - plain)
