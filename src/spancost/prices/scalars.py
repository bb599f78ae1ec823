# SPDX-License-Identifier: Apache-2.0
"""The small parts of what a user says about prices, checked: numbers, multipliers, texts, repeated keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from spancost.prices import ids

if TYPE_CHECKING:
    from spancost.prices.problems import Place, Problems

_MAX_DIGITS: Final = 40
_MIN_MULTIPLIER, _MAX_MULTIPLIER = Decimal("0.01"), 10


def said(value: object) -> str:
    """Return a JSON value as a message shows it."""
    if isinstance(value, (Mapping, list, tuple)):
        return "an object" if isinstance(value, Mapping) else "a list"
    if isinstance(value, (Decimal, int, float)) and not isinstance(value, bool):
        return str(value)[:_MAX_DIGITS]
    return json.dumps(value, default=str)[:_MAX_DIGITS]


def check_repeated(value: object, place: Place, problems: Problems) -> None:
    """Note the keys that an object of a file has twice; one that a program made cannot."""
    for key in getattr(value, "repeated", ()):
        problems.add((*place, key), "is there twice; keep one")


def read_text(value: object, place: Place, problems: Problems) -> str:
    """Return a text of one line, or note that it is none."""
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= ids.MAX_LENGTH:
        return value.strip()
    problems.add(place, f"must be a text of 1 to {ids.MAX_LENGTH} printable characters, not {said(value)}")
    return ""


def read_number(value: object, place: Place, problems: Problems) -> Decimal | None:
    """
    Return a number that is 0 or more, exactly as written, or note that it is none.

    Args:
        value: A Decimal, an integer, a text, or a float, which stands for its shortest spelling.
        place: Where it stands.
        problems: Takes what is wrong.
    """
    text = repr(value) if isinstance(value, float) else str(value)
    number = None
    if isinstance(value, (Decimal, int, float, str)) and not isinstance(value, bool) and "_" not in text:
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = None
    if number is None or not number.is_finite():
        problems.add(place, f"must be a number such as 2.50, not {said(value)}")
    elif number.is_signed() and number:
        problems.add(place, f"must not be negative: {said(value)}")
    elif len(number.as_tuple().digits) > _MAX_DIGITS:
        problems.add(place, f"has more digits than any price: {said(value)}...")
    else:
        return number.copy_abs() if number else Decimal(0)  # a zero may have an exponent, too
    return None


def read_multiplier(value: object, place: Place, problems: Problems) -> Decimal | None:
    """Return what rates are multiplied with, from 0.01 to 10, or note what is wrong."""
    number = read_number(value, place, problems)
    if number is None:
        return None
    if not _MIN_MULTIPLIER <= number <= _MAX_MULTIPLIER:
        problems.add(
            place,
            f"must be from {_MIN_MULTIPLIER} to {_MAX_MULTIPLIER}, not {number}; 15% off the list price is 0.85",
        )
        return None
    return number
