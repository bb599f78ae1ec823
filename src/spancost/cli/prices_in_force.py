# SPDX-License-Identifier: Apache-2.0
"""What the verbs that price share: the arguments that say which prices hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spancost._env import ASSUME_DEFAULT, PRICING_CONFIG, PRICING_ONLY, is_on
from spancost.book import PriceBook
from spancost.calls.pricing import Pricer
from spancost.errors import PriceBookError
from spancost.prices.search import BUILT_IN

if TYPE_CHECKING:
    import argparse

_NOT_POSSIBLE: Final = 2


def add_pricing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which prices hold."""
    group = parser.add_argument_group("prices")
    group.add_argument(
        "--pricing",
        metavar="FILE",
        help="a pricing file (docs/pricing-file.md) whose rates, names and discounts lie over the built-in "
        f"prices; without it {PRICING_CONFIG}, ./model_pricing.json or ~/.spancost/model_pricing.json, "
        "if there is one; built-in: none",
    )
    group.add_argument(
        "--only-pricing",
        action="store_true",
        help="price with the pricing file alone: what it does not name is unpriced",
    )
    group.add_argument(
        "--assume-default",
        action="store_true",
        help='price calls of unknown models at the pricing file\'s "default", flagged "assumed"',
    )


def pricing_environment(options: argparse.Namespace) -> dict[str, str]:
    """Return what the environment has to say so that a child process has the prices of the arguments."""
    said = {}
    if options.pricing is not None:
        named = options.pricing
        said[PRICING_CONFIG] = named if named == BUILT_IN else str(Path(named).absolute())
    if options.only_pricing:
        said[PRICING_ONLY] = "true"
    if options.assume_default:
        said[ASSUME_DEFAULT] = "true"
    return said


def book_of(options: argparse.Namespace) -> PriceBook:
    """
    Return the price book of the arguments.

    Raises:
        SystemExit: The pricing file cannot be used; all that is wrong with it is on standard error.
    """
    named, only = options.pricing, options.only_pricing
    if named == BUILT_IN and only:
        raise _cannot("--only-pricing needs a pricing file")
    try:
        if named == BUILT_IN:
            return PriceBook.built_in()
        if named is not None or only:
            return PriceBook.from_pricing_file(named, only=only)
        return PriceBook.default()
    except PriceBookError as error:
        raise _cannot(str(error)) from error


def _cannot(why: str) -> SystemExit:
    print(f"spancost: {why}", file=sys.stderr)
    return SystemExit(_NOT_POSSIBLE)


def pricer_of(options: argparse.Namespace) -> Pricer:
    """
    Return what prices the calls; where a pricing file is in force that no argument names, say so.

    Raises:
        SystemExit: As for `book_of`.
    """
    book = book_of(options)
    if options.pricing is None and book.source != BUILT_IN and not options.quiet:
        print(f"spancost: prices are {book.source}, version {book.version}", file=sys.stderr)
    return Pricer(book, assume_default=options.assume_default or is_on(ASSUME_DEFAULT))
