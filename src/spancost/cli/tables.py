# SPDX-License-Identifier: Apache-2.0
"""Plain text tables and amounts for people."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from spancost import money

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_DIGITS: Final = 6
_SMALLEST_SHOWN: Final = Decimal("0.00001")


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int, footer: Sequence[str] = ()
) -> str:
    """
    Return a table as text.

    Args:
        header: Names of the columns.
        rows: Cells.
        numbers: How many of the last columns are numbers, which stand to the right.
        footer: A last row, set off by a line.
    """
    every = [list(header), *map(list, rows), *([list(footer)] if footer else [])]
    widths = [max(len(row[i]) for row in every) for i in range(len(header))]
    first_number = len(header) - numbers
    lines = [
        "  ".join(
            cell.rjust(width) if i >= first_number else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]
    rule = "  ".join("-" * width for width in widths)
    body = [lines[0], rule, *lines[1 : len(rows) + 1]]
    return "\n".join([*body, rule, lines[-1]] if footer else body)


def usd(femto: int) -> str:
    """
    Return an amount in USD for people: six decimals, and more where it would otherwise read as nothing.

    ``--format jsonl`` and ``csv`` have every digit.
    """
    exact = money.to_decimal(femto)
    places = _SHOWN_DIGITS
    if femto and exact < _SMALLEST_SHOWN:
        places = 1 - exact.adjusted()  # two digits that say something
    return f"{exact:,.{places}f}"


def clip(text: str, width: int) -> str:
    """Return *text* on one line of at most *width* characters, control characters made visible."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if len(clean) <= width else clean[: width - 1] + "…"
