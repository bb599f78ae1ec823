# SPDX-License-Identifier: Apache-2.0
"""What one call costs, or why it has no cost: the result values, and usage x rates."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from spancost import money

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_NOTHING: Final[Mapping[str, Decimal]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cost:
    """
    What one call costs in US dollars.

    Args:
        femto: The total in 1e-15 USD.
        femto_parts: The total split by token type, in 1e-15 USD; only parts that are not
            zero. They sum to ``femto``. Do not change it.
        rate_card: Id of the row of the price book that priced the call.
        price_book: Version of the price book.
        flags: What a reader must know about the amount, such as ``tier_assumed``.
        source: ``local`` for our estimate from list rates, ``provider`` for an amount that
            the provider itself reported.
    """

    femto: int
    femto_parts: Mapping[str, int] = field(hash=False)
    rate_card: str = ""
    price_book: str = ""
    flags: tuple[str, ...] = ()
    source: Literal["local", "provider"] = "local"

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
