# SPDX-License-Identifier: Apache-2.0
"""``spancost prices diff``: what differs between two price tables."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from spancost.cli.prices.common import FORMAT_HELP, TABLE_HELP, book_in_force, in_short, print_json, table_of

if TYPE_CHECKING:
    from decimal import Decimal

    from spancost.prices.compare import Change, Comparison

_EPILOG: Final = """\
+ and - are models that came and went, ~ those whose rates differ, with the time since when. Rates are USD
per 1,000,000 tokens.

examples:
  spancost prices diff built-in installed
  spancost prices diff previous
  spancost prices diff table-of-october.tsv table-of-november.tsv
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "diff",
        help="show what differs between two price tables",
        description="Show which models came and went between two price tables, and every rate that moved.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", help=TABLE_HELP)
    parser.add_argument(
        "new", metavar="NEW", nargs="?", help="the same (default: the table that is in force)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help=FORMAT_HELP)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the differences, and return the exit status."""
    from spancost.prices.compare import compare  # noqa: PLC0415 - no other verb needs it

    old, old_name = table_of(options.old)
    if options.new is None:
        book = book_in_force()
        new, new_name = book.table, book.source
    else:
        new, new_name = table_of(options.new)
    found = compare(old, new)
    if options.format == "json":
        print_json({"old": old.version, "new": new.version} | _as_json(found))
        return 0
    print(f"{old.version} ({old_name}) -> {new.version} ({new_name}): {in_short(found)}")
    for line in found.lines():
        print(line)
    return 0


def _as_json(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON has it."""
    return {
        "added": ["/".join(name) for name in found.added],
        "removed": ["/".join(name) for name in found.removed],
        "vanished_ids": ["/".join(name) for name in found.vanished],
        "appeared_ids": ["/".join(name) for name in found.appeared],
        "changed": [_change(change) for change in found.changed],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "model": f"{change.provider}/{change.model}",
        "was": f"{change.provider}/{change.was}",
        "differences": [
            {
                "since": one.since or None,
                "where": one.where or None,
                "rate": one.rate,
                "old": _text(one.old),
                "new": _text(one.new),
            }
            for one in change.differences
        ],
    }


def _text(rate: Decimal | None) -> str | None:
    return None if rate is None else f"{rate:f}"
