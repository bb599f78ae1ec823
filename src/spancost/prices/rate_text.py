# SPDX-License-Identifier: Apache-2.0
"""Rates as a price table writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_NOISE: Final = Decimal("1e-12")


def text_of(rate: Decimal) -> str:
    """
    Return a rate as text without the noise of binary floats.

    Published rates have at most 6 decimals per 1,000,000 tokens: a longer one that lies within
    1e-12 of such a number is that number. What is left (thirds, such as OpenRouter's storage of
    a cached token) is rounded to the 9 decimals that a rate can have here.
    """
    short = round(rate, 6)
    if abs(short - rate) > _NOISE:
        short = round(rate, 9)
    text = f"{short:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
