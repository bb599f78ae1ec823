# SPDX-License-Identifier: Apache-2.0
"""``spancost prices compare``: what the same call costs on several models."""

from __future__ import annotations

import argparse
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spancost import money
from spancost.cli.prices.common import (
    AT_HELP,
    FORMAT_HELP,
    MODEL_HELP,
    PROVIDER_HELP,
    about,
    book_in_force,
    instant,
    print_json,
)
from spancost.cli.tables import clip, table, usd
from spancost.cost import Cost, Unpriced
from spancost.usage.values import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_CELL: Final = 48
_MAX_TOKENS: Final = 2**53

_EPILOG: Final = """\
Tokens of one call: --input counts everything that was sent, what came from a cache and what was
written to one included; --output includes reasoning. The saving is what a model costs less than
the dearest of them, in percent, or than --against. A model that has no price is listed with the reason
and has no place in the order.

Exit status: 0, or 1 where a model has no price.

examples:
  spancost prices compare gpt-5.1 claude-sonnet-4-5 gemini-2.5-pro --input 20000 --output 1000
  spancost prices compare openai/gpt-4o azure/gpt-4o --input 20000 --cached 15000 --output 500 --service-tier batch
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "compare",
        help="show what the same call costs on several models, cheapest first",
        description="Show what a call of so many tokens costs on each model, the cheapest first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--input", type=_tokens, required=True, metavar="N", help="input tokens, cached ones included"
    )
    parser.add_argument("--output", type=_tokens, required=True, metavar="N", help="output tokens")
    parser.add_argument(
        "--cached", type=_tokens, default=0, metavar="N", help="input tokens read from a cache"
    )
    parser.add_argument(
        "--cache-write", type=_tokens, default=0, metavar="N", help="input tokens written to a cache"
    )
    parser.add_argument("--provider", help=f"{PROVIDER_HELP}, of every model that names none")
    parser.add_argument(
        "--service-tier", metavar="TIER", help="a service tier such as batch, flex or priority"
    )
    parser.add_argument("--at", type=instant, metavar="DATE", help=AT_HELP)
    parser.add_argument("--against", metavar="MODEL", help="one of the models, that the others save against")
    parser.add_argument("--format", choices=("text", "json"), default="text", help=FORMAT_HELP)
    parser.set_defaults(run=run)


def _tokens(text: str) -> int:
    plain = text.replace("_", "").replace(",", "")
    if not plain.isascii() or not plain.isdigit() or int(plain) > _MAX_TOKENS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens")
    return int(plain)


class Offer(NamedTuple):
    """What a call costs on a model, as it was named, and who sells it."""

    model: str
    provider: str
    cost: Cost | Unpriced


def run(options: argparse.Namespace) -> int:
    """Print the comparison, and return the exit status."""
    if options.against is not None and options.against not in options.models:
        options.models.append(options.against)
    usage = Usage(
        input=options.input, cache_read=options.cached, cache_write=options.cache_write, output=options.output
    )
    book = book_in_force()
    at = options.at if options.at is not None else time.time_ns()
    offers = []
    for model in dict.fromkeys(options.models):
        asked = {"model": model, "provider": options.provider, "at": at, "service_tier": options.service_tier}
        if options.provider is not None and book.resolve(**asked).card is None:
            # The id may name its own seller: --provider is for those that name none.
            own = {**asked, "provider": None}
            found = book.resolve(**own)
            if found.card is not None and "named by the model id" in found.provider_rule:
                asked = own
        offers.append(Offer(model, book.resolve(**asked).provider, book.price(usage, **asked)))
    priced = sorted(
        (offer for offer in offers if isinstance(offer.cost, Cost)),
        key=lambda offer: (_femto(offer), offer.model),
    )
    unpriced = [offer for offer in offers if isinstance(offer.cost, Unpriced)]
    base = next((_femto(o) for o in priced if o.model == options.against), None)
    if base is None and options.against is None and priced:
        base = _femto(priced[-1])
    if options.format == "json":
        print_json(
            {
                "price_book": {"version": book.version, "date": book.date},
                "models": [_as_json(offer, base) for offer in (*priced, *unpriced)],
            }
        )
    else:
        _print(priced, unpriced, base)
        print(f"prices: {about(book)}")
    return 1 if unpriced else 0


def _print(priced: Sequence[Offer], unpriced: Sequence[Offer], base: int | None) -> None:
    if priced:
        rows = [
            [
                clip(offer.model, _MAX_CELL),
                offer.provider,
                _card(offer),
                " ".join(_flags(offer)),
                usd(_femto(offer)),
                _percent(offer, base, "%") or "-",
            ]
            for offer in priced
        ]
        header = ["model", "provider", "rate card", "flags", "USD", "saving"]
        if not any(row[3] for row in rows):
            for row in (header, *rows):
                del row[3]
        print(table(header, rows, 2))
    for offer in unpriced:
        reason, detail = _reason(offer)
        print(f"unpriced: {clip(offer.model, _MAX_CELL)}: {reason} ({clip(detail, 120)})")


def _femto(offer: Offer) -> int:
    return offer.cost.femto if isinstance(offer.cost, Cost) else 0


def _card(offer: Offer) -> str:
    return offer.cost.rate_card if isinstance(offer.cost, Cost) else ""


def _flags(offer: Offer) -> tuple[str, ...]:
    return offer.cost.flags if isinstance(offer.cost, Cost) else ()


def _reason(offer: Offer) -> tuple[str, str]:
    return (offer.cost.reason, offer.cost.detail) if isinstance(offer.cost, Unpriced) else ("", "")


def _percent(offer: Offer, base: int | None, sign: str = "") -> str:
    """Return what an offer saves against a base in percent, with one decimal; empty where there is no base."""
    if not base:
        return ""
    return f"{Decimal(100 * (base - _femto(offer))) / base:.1f}{sign}"


def _as_json(offer: Offer, base: int | None) -> dict[str, Any]:
    cost = offer.cost
    if isinstance(cost, Unpriced):
        return {"model": offer.model, "status": "unpriced", "reason": cost.reason, "detail": cost.detail}
    return {
        "model": offer.model,
        "status": "priced",
        "provider": offer.provider,
        "rate_card": cost.rate_card,
        "cost_usd": money.to_text(cost.femto),
        "cost_parts": {name: money.to_text(part) for name, part in cost.femto_parts.items()},
        "saving_percent": _percent(offer, base) or None,
        "flags": list(cost.flags),
    }
