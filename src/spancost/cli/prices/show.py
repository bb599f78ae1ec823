# SPDX-License-Identifier: Apache-2.0
"""``spancost prices show``: everything the price book knows of one model."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, Final

from spancost import money
from spancost.cli.prices.common import (
    AT_HELP,
    FORMAT_HELP,
    MODEL_HELP,
    PROVIDER_HELP,
    about,
    book_in_force,
    candidates,
    day,
    instant,
    near_providers,
    print_json,
)
from spancost.cli.tables import table
from spancost.prices.cards import RATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost.book import PriceBook
    from spancost.explanation import Explanation
    from spancost.prices.cards import Line, RateCard, Rates, Window

_DAYS: Final = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]

_EPILOG: Final = """\
Rates are USD per 1,000,000 tokens. A long-context rate holds for every token of a call whose input is
above the threshold. Rates that a list leaves out and that follow from others are filled in, as calls
are charged: a cached token without a rate of its own costs what an input token costs.

Exit status: 0, or 1 where the model has no price (what was tried, and what may have been meant, is said).

examples:
  spancost prices show claude-sonnet-4-5
  spancost prices show gpt-4o --provider azure --at 2024-09-01
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "show",
        help="show a model's rates, past and announced ones too, and how the id was matched",
        description="Show what a model costs, since when, where that is known from, and how the id was matched.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--provider", help=PROVIDER_HELP)
    parser.add_argument("--at", type=instant, metavar="DATE", help=AT_HELP)
    parser.add_argument("--format", choices=("text", "json"), default="text", help=FORMAT_HELP)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the model, and return the exit status."""
    book = book_in_force()
    now = time.time_ns()
    at = options.at if options.at is not None else now
    found = book.resolve(provider=options.provider, model=options.model, at=at)
    if found.unpriced is not None:
        _print_unpriced(book, found, options)
        return 1
    if options.format == "json":
        print_json(_as_json(book, found, at, now))
        return 0
    print(f"provider  {found.provider} ({found.provider_rule})")
    print(f"model     {found.model} found as {found.spelling} ({found.model_rule})")
    print(f"prices    {about(book)}")
    for card in found.cards:
        holds = options.at is not None and found.card is not None and card.start == found.card.start
        print()
        _print_card(card, f", holds on {day(at)}" if holds else "", now)
    return 0


def _print_unpriced(book: PriceBook, found: Explanation, options: argparse.Namespace) -> None:
    reason = found.unpriced
    if reason is None:
        return
    near = _meant(book, found, options)
    if options.format == "json":
        print_json(
            {
                "status": "unpriced",
                "model": options.model,
                "provider": options.provider,
                "reason": reason.reason,
                "detail": reason.detail,
                "candidates": near,
                "price_book": _book(book),
            }
        )
        return
    print(f"unpriced: {reason.reason}")
    print(f"  {reason.detail}")
    if near:
        print("did you mean:")
        for name in near:
            print(f"  {name}")
    print(f"prices: {about(book)}")


def _meant(book: PriceBook, found: Explanation, options: argparse.Namespace) -> list[str]:
    reason = found.unpriced.reason if found.unpriced is not None else ""
    if reason == "unknown_provider":
        return near_providers(book, options.provider)
    if reason in ("unknown_model", "ambiguous_model"):
        return candidates(book, options.model, options.provider)
    return []


def _print_card(card: RateCard, mark: str, now: int) -> None:
    since = f"from {day(card.start)}" if card.start is not None else "from the beginning"
    until = f" until {day(card.end)}" if card.end is not None else ""
    print(f"{since}{until} ({when(card, now)}{mark})  {card.id}")
    lines = list(_lines(card))
    names = [name for name in RATED if any(rates[name] is not None for _, rates in lines)]
    rows = [[label, *(_text(rates[name]) for name in names)] for label, rates in lines]
    print(_indent(table(["USD per 1,000,000", *names], rows, len(names))))
    for region in card.regions:
        share = _share(card, region)
        print(f"  in region {region}: {share}" if share else f"  in region {region}: rates of its own")
    print(f"  source: {card.source}")


def when(card: RateCard, now: int) -> str:
    """Return whether a card is ``past``, ``current`` or ``announced``."""
    if card.start is not None and card.start > now:
        return "announced"
    return "past" if card.end is not None and card.end <= now else "current"


def _share(card: RateCard, region: str) -> str:
    """Return what token rates are multiplied with in a region."""
    plain, own = card.standard.base[0], card.regions[region].standard.base[0]
    if not plain or own is None:
        return ""
    factor = money.to_decimal(own) / money.to_decimal(plain)
    return f"token rates x {factor.normalize():f}"


def _lines(card: RateCard) -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield every line of rates of a card, with what calls it is for."""
    yield from _sized("standard", card.standard)
    for name, rates in card.tiers.items():
        yield from _sized(name, rates)
    for window in card.windows:
        yield from _sized(_hours(window), window.rates)


def _sized(label: str, rates: Rates) -> Iterator[tuple[str, dict[str, int | None]]]:
    yield label, _named(rates.base)
    for above, line in reversed(rates.steps):
        yield f"{label}, input above {above:,}", _named(line)


def _named(line: Line) -> dict[str, int | None]:
    return dict(zip(RATED, line, strict=True))


def _hours(window: Window) -> str:
    days = "" if len(window.days) == 7 else " " + ",".join(_DAYS[number] for number in sorted(window.days))
    holidays = f" but {len(window.holidays)} holidays" if window.holidays else ""
    return f"{_clock(window.start)}-{_clock(window.end)} UTC{days}{holidays}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _text(rate: int | None) -> str:
    return "-" if rate is None else f"{money.rate_to_per_million(rate):f}"


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


def _as_json(book: PriceBook, found: Explanation, at: int, now: int) -> dict[str, Any]:
    chosen = found.card
    return {
        "status": "priced",
        "provider": found.provider,
        "provider_rule": found.provider_rule,
        "model": found.model,
        "model_rule": found.model_rule,
        "spelling": found.spelling,
        "at": day(at),
        "rate_card": chosen.id if chosen is not None else None,
        "price_book": _book(book),
        "cards": [_card(card, now) for card in found.cards],
    }


def _book(book: PriceBook) -> dict[str, str]:
    return {"version": book.version, "date": book.date, "digest": book.digest, "source": book.source}


def _card(card: RateCard, now: int) -> dict[str, Any]:
    return {
        "rate_card": card.id,
        "source": card.source,
        "from": day(card.start) or None,
        "until": day(card.end) or None,
        "when": when(card, now),
        **_rates(card.standard),
        "tiers": {name: _rates(rates) for name, rates in card.tiers.items()},
        "windows": [
            {
                "start": _clock(window.start),
                "end": _clock(window.end),
                "days": [_DAYS[number] for number in sorted(window.days)],
                "holidays": [day(number * 86_400 * 10**9) for number in sorted(window.holidays)],
                **_rates(window.rates),
            }
            for window in card.windows
        ],
        "regions": {name: _rates(own.standard) for name, own in card.regions.items()},
    }


def _rates(rates: Rates) -> dict[str, Any]:
    return {
        "rates": _known(rates.base),
        "above": [{"input_above": above, "rates": _known(line)} for above, line in reversed(rates.steps)],
    }


def _known(line: Line) -> dict[str, str]:
    return {name: _text(rate) for name, rate in zip(RATED, line, strict=True) if rate is not None}
