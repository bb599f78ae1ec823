# SPDX-License-Identifier: Apache-2.0
"""``spancost prices update``: put a newer price table in force, or the one before it back."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from spancost._env import PRICE_RELOAD_SECONDS, whole_number_or_off
from spancost.cli.prices.common import in_short
from spancost.errors import PriceBookError
from spancost.prices import installed

if TYPE_CHECKING:
    from pathlib import Path

    from spancost.prices.table import Table
    from spancost.prices.update import Candidate

GENAI_PRICES: Final = "genai-prices"
_LINES_SHOWN: Final = 30

_EPILOG: Final = """\
SOURCE is a table file, an http or https address of one, or genai-prices: the data of the genai-prices
package that is installed beside spancost. Nothing is ever fetched but by this command.

A table is installed if it is whole (format, digest, every row), not older than the one in force, keeps
at least 90% of its ids, and moves no rate by more than 2 times unless --accept-moves says so. Everything
that speaks against it is named at once, and nothing is changed then. It is written to
SPANCOST_PRICE_TABLE, else ~/.spancost/prices/table.tsv, as a whole or not at all; the table that was
there is kept beside it for --rollback. Running processes take it within a minute.

Exit status: 0, or 1 where nothing was installed.

examples:
  spancost prices update table.tsv
  spancost prices update https://prices.example.com/table.tsv --digest sha256:41d16b...
  spancost prices update genai-prices --dry-run
  spancost prices update --rollback
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "update",
        help="install a newer price table, or go back to the one before",
        description="Install a newer price table for every process of this user, or go back by one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("source", nargs="?", metavar="SOURCE", help=f"a file, an address, or {GENAI_PRICES}")
    what.add_argument(
        "--rollback",
        action="store_true",
        help="put the table back that was installed before, or the built-in one where there was none",
    )
    parser.add_argument(
        "--accept-moves",
        action="store_true",
        help="take rates that move by more than 2 times, too",
    )
    parser.add_argument(
        "--digest", metavar="sha256:HEX", help="install only the table that has this digest in its first line"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and install nothing")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Update or roll back, and return the exit status."""
    from spancost.prices import update  # noqa: PLC0415 - no other verb needs it

    path = installed.installed_path()
    if path is None:
        raise PriceBookError("SPANCOST_PRICE_TABLE says built-in: there is no file to install a table as")
    if options.rollback:
        return _roll_back(path)
    choice = installed.choose()
    if choice.problem and path.exists():  # the first update makes the file that the environment names
        print(f"spancost: {choice.problem}", file=sys.stderr)
    in_force = choice.table
    candidate = update.examine(
        _data(options.source, in_force), options.source, in_force, accept_moves=options.accept_moves
    )
    problems = [*candidate.problems]
    if options.digest is not None and options.digest.lower() != candidate.table.digest:
        problems.insert(0, f"its digest is {candidate.table.digest}, not {options.digest}")
    _print(candidate, in_force, options.source)
    if problems:
        for problem in problems:
            print(f"spancost: {options.source}: {problem}", file=sys.stderr)
        print("spancost: nothing was installed", file=sys.stderr)
        return 1
    if installed.same_table(candidate.table, in_force):
        print("nothing to do: that table is in force")
    elif options.dry_run:
        print("not installed: --dry-run")
    else:
        update.install(candidate, path)
        print(f"installed as {path}{_soon()}")
    return 0


def _print(candidate: Candidate, in_force: Table, source: str) -> None:
    """Print what would change, the first lines of it."""
    table, found = candidate.table, candidate.comparison
    print(f"{in_force.version} ({in_force.origin}) -> {table.version} ({source}): {in_short(found)}")
    lines = list(found.lines())
    for line in lines[:_LINES_SHOWN]:
        print(f"  {line}")
    if len(lines) > _LINES_SHOWN:
        print(f"  and {len(lines) - _LINES_SHOWN:,} more lines, which `spancost prices diff` shows")


def _data(source: str, in_force: Table) -> bytes:
    """Return the bytes of a table; what brings them is imported here, for no other verb needs it."""
    if source == GENAI_PRICES:
        from spancost.prices.from_genai_prices import table_bytes  # noqa: PLC0415

        return table_bytes(in_force)
    from spancost.prices.fetch import fetch  # noqa: PLC0415

    return fetch(source)


def _soon() -> str:
    from spancost.freshness import RELOAD_SECONDS  # noqa: PLC0415 - see above

    seconds = whole_number_or_off(PRICE_RELOAD_SECONDS, RELOAD_SECONDS)
    return f"; running processes take it within {seconds} s" if seconds is not None else ""


def _roll_back(path: Path) -> int:
    from spancost.prices.update import roll_back  # noqa: PLC0415 - see above

    previous = roll_back(path)
    choice = installed.choose()
    what = f"{previous} is {path} again" if previous is not None else f"{path} is removed"
    print(f"{what}{_soon()}; in force is table {choice.table.version} ({choice.table.origin})")
    return 0
