# SPDX-License-Identifier: Apache-2.0
"""``spancost prices impact``: what other prices would change for calls that were made."""

from __future__ import annotations

import argparse
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from spancost._env import ASSUME_DEFAULT, is_on
from spancost.cli.prices.common import FORMAT_HELP, TABLE_HELP, day, instant, print_json, table_of
from spancost.cli.prices_in_force import add_pricing_arguments, book_of
from spancost.cli.source import Problems, add_source_arguments, read_and_replay
from spancost.cli.tables import clip, table, usd
from spancost.otlp import Problem

if TYPE_CHECKING:
    from spancost.files.repricing import Impact, Repricing

_MAX_CELL: Final = 48
_MODELS_SHOWN: Final = 40
_SNIFFED: Final = 4_096
_NUMBERS: Final = ("calls", "old USD", "new USD", "difference", "%")

_EPILOG: Final = """\
Every call is priced twice: at the prices in force, and at those of --table, or as of --at, or both.
FILE holds recorded spans, or rows as `spancost price --format jsonl` writes them. A call that one of
the two cannot price is counted apart, never as 0. Amounts that a provider reported stay as they are.

Exit status: 0, or 1 where part of the input could not be read.

examples:
  spancost prices impact --table table.tsv traces-*.jsonl.gz
  spancost prices impact --table installed --old built-in calls.jsonl
  spancost prices impact --at 2026-12-01 traces.jsonl
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "impact",
        help="show what a newer table, or another date, changes for calls that were made",
        description="Show what a price table or another date changes for recorded calls, by model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source_arguments(parser)
    parser.add_argument("--table", metavar="TABLE", help=f"the new prices: {TABLE_HELP}")
    parser.add_argument("--old", metavar="TABLE", help="the old prices (default: the table in force)")
    parser.add_argument(
        "--at", type=instant, metavar="DATE", help="with the new prices, as if every call were made then; UTC"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help=FORMAT_HELP)
    add_pricing_arguments(parser)
    parser.set_defaults(run=lambda options: run(options, parser))


def run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Price everything twice, print the difference, and return the exit status."""
    from spancost.files.repricing import Repricing  # noqa: PLC0415 - no other verb needs it

    if options.table is None and options.at is None:
        parser.error("one of --table and --at says what to compare with")
    old = book_of(options)
    if options.old is not None:
        old = old.with_table(table_of(options.old)[0])
    new = old.with_table(table_of(options.table)[0]) if options.table is not None else old
    repricing = Repricing(
        old, new, at=options.at, assume_default=options.assume_default or is_on(ASSUME_DEFAULT)
    )
    problems = Problems(sys.stderr)
    files = options.files
    rows = [name for name in files if _holds_rows(name)]
    options.files = [name for name in files if name not in rows]
    for name in rows:
        _read_rows(name, repricing, problems)
    if options.files:
        read_and_replay(options, repricing.old_pricer, problems, repricing.add_call)
    when = f" as of {day(options.at)}" if options.at is not None else ""
    if options.format == "json":
        head = {"old": old.version, "new": new.version, "at": day(options.at) or None}
        print_json(head | repricing.as_json())
    else:
        print(f"old prices: {old.version} ({old.source})")
        print(f"new prices: {new.version} ({new.source}){when}")
        _print(repricing)
    problems.close()
    return 1 if problems.count else 0


def _holds_rows(name: str) -> bool:
    """Tell whether a file begins with a row of a call; standard input is always spans."""
    try:
        with Path(name).open("rb") as file:
            head = file.read(_SNIFFED).split(b"\n", 1)[0]
    except OSError:
        return False  # whoever reads spans says what is wrong with it
    return head.startswith(b"{") and b'"trace_id":' in head and b'"resourceSpans"' not in head


def _read_rows(name: str, repricing: Repricing, problems: Problems) -> None:
    from spancost.files.repricing import Row  # noqa: PLC0415 - see above

    decode = msgspec.json.Decoder(Row).decode
    with Path(name).open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                repricing.add_row(decode(line))
            except (msgspec.MsgspecError, ValueError, TypeError) as error:
                problems(Problem(name, "line", number, f"no row of a call: {error}"))


def _print(repricing: Repricing) -> None:
    total = repricing.total
    changed = [(key, impact) for key, impact in repricing.rows() if impact.changed]
    if changed:
        rows = [
            [clip(f"{provider}/{model}", _MAX_CELL), *_cells(impact)]
            for (provider, model), impact in changed[:_MODELS_SHOWN]
        ]
        print()
        print(table(["model", *_NUMBERS], rows, len(_NUMBERS), ["all calls", *_cells(total)]))
        if len(changed) > _MODELS_SHOWN:
            print(f"and {len(changed) - _MODELS_SHOWN:,} more models; --format json has all")
    else:
        print(f"no amount changes: {total.calls:,} calls, {usd(total.old)} USD")
    for count, what, femto in (
        (total.newly_priced, "had no price and would have one", total.newly_priced_femto),
        (total.newly_unpriced, "had a price and would have none", total.newly_unpriced_femto),
    ):
        if count:
            print(f"{count:,} calls {what}: {usd(femto)} USD")
    if total.unpriced:
        print(f"{total.unpriced:,} calls have no price either way; they are not 0")
    if repricing.not_from_row:
        print(
            f"{repricing.not_from_row:,} rows do not say all that their price depends on, and are left as they are"
        )


def _cells(impact: Impact) -> list[str]:
    share = f"{Decimal(100 * impact.difference) / impact.old:+.1f}" if impact.old else "-"
    sign = "+" if impact.difference > 0 else ""
    return [
        f"{impact.calls:,}",
        usd(impact.old),
        usd(impact.new),
        f"{sign}{_signed(impact.difference)}",
        share,
    ]


def _signed(femto: int) -> str:
    return f"-{usd(-femto)}" if femto < 0 else usd(femto)
