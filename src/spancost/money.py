# SPDX-License-Identifier: Apache-2.0
"""
Money as integers of 1e-15 USD ("femto-USD"), and the ways in and out.

Published rates have at most 6 decimals per 1,000,000 tokens; 1e-15 USD per token leaves three
more for batch discounts and regional premiums. Sums of such integers are exact, and a float
is made only at the exit (design section 1, rule 4).
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

FEMTO_PER_USD: Final = 10**15
"""How many femto-USD make one US dollar."""

_FEMTO_PER_USD_PER_MILLION: Final = FEMTO_PER_USD // 10**6
_DIGITS: Final = 15
_WIDE: Final = Context(prec=200)
"""A context that rounds no amount that can occur; the caller's own context is never used."""


def to_text(femto: int) -> str:
    """
    Return an amount as a plain decimal string, exact, without exponent or trailing zeros.

    Args:
        femto: The amount in 1e-15 USD.
    """
    sign = "-" if femto < 0 else ""
    whole, part = divmod(abs(femto), FEMTO_PER_USD)
    if not part:
        return f"{sign}{whole}"
    digits = f"{part:0{_DIGITS}d}".rstrip("0")
    return f"{sign}{whole}.{digits}"


def to_decimal(femto: int) -> Decimal:
    """
    Return an amount in USD, exact and without trailing zeros.

    Args:
        femto: The amount in 1e-15 USD.
    """
    return Decimal(to_text(femto))


def to_float(femto: int) -> float:
    """
    Return an amount in USD as the nearest float.

    Args:
        femto: The amount in 1e-15 USD. Division of two integers is correctly rounded.
    """
    return femto / FEMTO_PER_USD


def from_usd(amount: Decimal | str | int) -> int:
    """
    Return an amount in femto-USD, rounded half to even where it is finer than 1e-15 USD.

    Args:
        amount: USD. A float is refused: it has already lost what was said.

    Raises:
        ValueError: The amount is no finite number.
    """
    value = _finite(amount)
    return int(_WIDE.scaleb(value, _DIGITS).to_integral_value(ROUND_HALF_EVEN))


def rate_from_per_million(rate: Decimal | str | int) -> int:
    """
    Return a rate in femto-USD per token.

    Args:
        rate: USD per 1,000,000 tokens, as price lists have it; at most 9 decimals.

    Raises:
        ValueError: The rate is negative, no finite number, or finer than 1e-15 USD per token.
    """
    value = _finite(rate)
    if value < 0:
        raise ValueError(f"a rate cannot be negative: {rate}")
    scaled = _WIDE.multiply(value, Decimal(_FEMTO_PER_USD_PER_MILLION))
    femto = int(scaled)
    if scaled != femto:
        raise ValueError(f"a rate of {rate} USD per 1,000,000 is finer than 1e-15 USD per token")
    return femto


def rate_to_per_million(femto_per_token: int) -> Decimal:
    """
    Return a rate in USD per 1,000,000 tokens, exact.

    Args:
        femto_per_token: The rate in 1e-15 USD per token.
    """
    return to_decimal(femto_per_token * 10**6)


def _finite(value: Decimal | str | int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int)):
        raise ValueError(f"money is a Decimal, a string or an integer, not {value!r}")  # noqa: TRY004 - a bad value in a file
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"not a number: {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return number
