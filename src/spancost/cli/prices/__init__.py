# SPDX-License-Identifier: Apache-2.0
"""``spancost prices``: look prices up, compare them, and keep them fresh."""

from __future__ import annotations

import argparse
from typing import Final

from spancost.cli.prices import check, compare, diff, impact, search, show, update

_DESCRIPTION: Final = """\
Look up what models cost, compare them, and keep the price table fresh.

Prices come with the package and never change by themselves. `update` installs a newer table, which
every process of this user then prices by; `impact` tells beforehand what it would change.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "prices",
        help="look up, compare and update prices",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = parser.add_subparsers(dest="prices_verb", metavar="VERB", required=True)
    for verb in (show, search, compare, diff, check, update, impact):
        verb.add_parser(inner)
