# SPDX-License-Identifier: Apache-2.0
"""``spancost prices search``: which models a word stands in, and what they cost today."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, Final

from spancost import money
from spancost.cli.prices.common import FORMAT_HELP, PROVIDER_HELP, about, book_in_force, day, print_json
from spancost.cli.tables import table
from spancost.cost import rates_in_force
from spancost.prices.cards import CACHE_READ, INPUT, OUTPUT
from spancost.prices.providers import provider_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost.prices.cards import RateCard
    from spancost.prices.table import Row, Table

LIMIT: Final = 40
_COLUMNS: Final = {"input": INPUT, "cache_read": CACHE_READ, "output": OUTPUT}

_EPILOG: Final = """\
Every word of TEXT has to stand somewhere in "provider model ids". Rates are those in force now, of an
ordinary call, in USD per 1,000,000 tokens; `spancost prices show` has the others.

Exit status: 0, or 1 where nothing was found.

examples:
  spancost prices search sonnet
  spancost prices search "bedrock llama" --limit 10
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "search",
        help="find models by a part of their name",
        description="Find models in the price table by parts of their provider, name or ids.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="+", metavar="TEXT", help="one or more words")
    parser.add_argument("--provider", help=PROVIDER_HELP)
    parser.add_argument(
        "--limit",
        type=_positive,
        default=LIMIT,
        metavar="N",
        help=f"show at most N models (default: {LIMIT})",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help=FORMAT_HELP)
    parser.set_defaults(run=run)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Print what was found, and return the exit status."""
    book = book_in_force()
    found = sorted(_matches(book.table, options), key=lambda row: (row.provider, row.model))
    now = time.time_ns()
    shown = [(row, _current(row.cards(), now)) for row in found[: options.limit]]
    if options.format == "json":
        print_json({"found": len(found), "models": [_as_json(row, card, now) for row, card in shown]})
    elif not found:
        print(f"no model has {' and '.join(map(repr, options.text))} in its name; {about(book)}")
    else:
        rows = [
            [f"{row.provider}/{row.model}", day(card.start) or "-", *_cells(card, now)] for row, card in shown
        ]
        print(table(["model", "since", *_COLUMNS], rows, len(_COLUMNS)))
        if len(found) > len(shown):
            print(f"and {len(found) - len(shown):,} more: add a word, or --limit")
    return 0 if found else 1


def _matches(prices: Table, options: argparse.Namespace) -> Iterator[Row]:
    words = [word for text in options.text for word in text.lower().split()]
    wanted = provider_key(options.provider) or (options.provider or "").strip().lower()
    for row in prices.rows():
        if wanted in ("", row.provider):
            text = f"{row.provider} {row.model} {' '.join(row.ids)}".lower()
            if all(word in text or provider_key(word) == row.provider for word in words):
                yield row


def _current(cards: tuple[RateCard, ...], now: int) -> RateCard:
    return next((card for card in reversed(cards) if card.start is None or card.start <= now), cards[0])


def _cells(card: RateCard, now: int) -> list[str]:
    line = rates_in_force(card, now).base
    return [
        "-" if line[at] is None else f"{money.rate_to_per_million(line[at] or 0):f}"
        for at in _COLUMNS.values()
    ]


def _as_json(row: Row, card: RateCard, now: int) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "model": row.model,
        "ids": list(row.ids),
        "rate_card": card.id,
        "from": day(card.start) or None,
        "rates": {name: cell for name, cell in zip(_COLUMNS, _cells(card, now), strict=True) if cell != "-"},
        "source": card.source,
    }
