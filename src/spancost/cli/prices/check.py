# SPDX-License-Identifier: Apache-2.0
"""``spancost prices check``: whether a pricing file, or a price table, can be used."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from spancost.book import PriceBook
from spancost.errors import PriceBookError
from spancost.prices import installed

_EPILOG: Final = """\
FILE is a pricing file of yours (JSON by provider and model; docs/pricing-file.md), or a price table as
`spancost prices update` takes it. Everything that is wrong with it is named at once.

Exit status: 0, or 1 where it cannot be used.

examples:
  spancost prices check model_pricing.json
"""
_TABLE_MARK: Final = b'{"format":'


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "check",
        help="check a pricing file of yours, or a price table",
        description="Check whether a pricing file or a price table can be used, and say all that is wrong with it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="the file")
    parser.add_argument(
        "--only", action="store_true", help="check it as a pricing file that is to price calls alone"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check the file, and return the exit status."""
    path = Path(options.file)
    try:
        if _is_table(path):
            table = installed.load_whole(path)
            rows = sum(1 for _ in table.rows())
            print(f"{path}: a price table, version {table.version}, data of {table.date}, {rows:,} models")
            return 0
        book = PriceBook.from_pricing_file(path, only=options.only)
    except PriceBookError as error:
        print(f"spancost: {error}", file=sys.stderr)
        return 1
    print(f"{path}: a pricing file; with it, prices are version {book.version} ({book.source})")
    return 0


def _is_table(path: Path) -> bool:
    """Tell whether a file begins as tables do; one that cannot be read is for the reader to complain of."""
    try:
        with path.open("rb") as file:
            return file.read(len(_TABLE_MARK)) == _TABLE_MARK or path.suffix == ".tsv"
    except OSError:
        return path.suffix == ".tsv"
