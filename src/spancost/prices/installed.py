# SPDX-License-Identifier: Apache-2.0
"""
The price table in force: the one that comes with the package, or a newer one that was installed.

``spancost prices update`` installs, and everything that uses the default price book reads, one file:
that of ``SPANCOST_PRICE_TABLE``, else ``~/.spancost/prices/table.tsv``. Beside it stands the table
that was there before. The file holds only while it is whole and newer than the built-in table, so a
newer release of the package is never held back by a file that somebody forgot.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spancost._env import PRICE_TABLE
from spancost.errors import PriceBookError
from spancost.prices import table as price_table
from spancost.prices.table import BUILT_IN

if TYPE_CHECKING:
    from spancost.prices.table import Table

MAX_BYTES: Final = 32 * 2**20
"""No table is larger: the built-in one has 0.7 MB."""

_log: Final = logging.getLogger("spancost")
_PROBLEMS_SHOWN: Final = 20
_WHAT_TO_DO: Final = "`spancost prices update` installs another, with --rollback the one before it"


class Choice:
    """
    The table in force.

    Args:
        table: The table.
        problem: Why a file that is there is not used, in one sentence; empty where all is well.
    """

    __slots__ = ("problem", "table")  # a plain class: making a tuple of it costs every import 0.3 ms

    def __init__(self, table: Table, problem: str = "") -> None:
        self.table = table
        self.problem = problem


def installed_path() -> Path | None:
    """Return the file that a newer table is installed as, whether it exists or not; None: there is no place."""
    named = os.environ.get(PRICE_TABLE, "").strip()
    if named.lower() == BUILT_IN:
        return None
    try:
        return Path(named).expanduser() if named else Path.home() / ".spancost" / "prices" / "table.tsv"
    except RuntimeError:  # nobody's home: a user without an entry in the password file
        return None


def previous_path(path: Path) -> Path:
    """Return where the table is kept that was installed before."""
    return path.with_name(path.name + ".previous")


def choose() -> Choice:
    """
    Return the table in force, for a program that must run whatever is installed.

    A file that cannot be used is a ``problem`` of the choice, and the built-in table holds. A file
    that is not newer than the built-in table is none, unless the environment names it.
    """
    path = installed_path()
    named = bool(os.environ.get(PRICE_TABLE, "").strip())
    if path is None or (not named and not os.path.exists(path)):  # noqa: PTH110 - a closed folder has none
        return Choice(price_table.load())
    try:
        newer = load_whole(path)
    except PriceBookError as error:
        problem = f"the installed price table cannot be used: {error}; {_WHAT_TO_DO}"
        return Choice(price_table.load(), problem)
    if version_key(newer.version) > version_key(_built_in_version()):
        return Choice(newer)
    built_in = price_table.load()
    if not named or same_table(newer, built_in):
        return Choice(built_in)
    problem = (
        f"the price table {path} ({newer.version}) is not newer than the built-in one "
        f"({built_in.version}), so it is not used; `spancost prices update` installs a newer one"
    )
    return Choice(built_in, problem)


@lru_cache(maxsize=1)
def _built_in_version() -> str:
    """Return the version of the built-in table, from its first line: most of the time nothing else is asked."""
    with price_table.DEFAULT_PATH.open(encoding="utf-8") as file:
        version: str = json.loads(file.readline())["version"]
    return version


def table_in_force() -> Table:
    """Return the table in force; a file that is there and cannot be used is logged, once in a process."""
    choice = choose()
    if choice.problem:
        _warn(choice.problem)
    return choice.table


@lru_cache(maxsize=16)
def _warn(problem: str) -> None:
    """Log a problem; the cache makes that once."""
    _log.warning("spancost: the built-in prices are used: %s", problem)


def load_whole(path: Path) -> Table:
    """
    Read a price table and every card in it: what is only found on use would be found by a call.

    Raises:
        PriceBookError: It cannot be read, is not what its digest says, or has rows that cannot be
            used; it names all of them, up to a bound.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise PriceBookError(f"{path}: cannot be read as a price table: {error}") from error
    if size > MAX_BYTES:
        raise PriceBookError(f"{path}: {size:,} bytes are no price table; the limit is {MAX_BYTES:,}")
    try:
        table = price_table.load(path)
        problems = [*_head_problems(table), *row_problems(table)]
    except RecursionError:
        raise PriceBookError(f"{path}: cannot be read as a price table: JSON nested too deep") from None
    if problems:
        more = len(problems) - _PROBLEMS_SHOWN
        tail = [f"and {more} more"] if more > 0 else []
        raise PriceBookError(f"{path}: {'; '.join([*problems[:_PROBLEMS_SHOWN], *tail])}")
    return table


def _head_problems(table: Table) -> list[str]:
    """Return what is wrong with what a table says of itself."""
    problems = []
    version: object = table.version  # as the file has it, whatever the type says
    if not isinstance(version, str) or not version:
        problems.append(f"the version has to be text such as 2026.11.24, not {version!r}")
    try:
        dt.date.fromisoformat(table.date)
    except (TypeError, ValueError):
        problems.append(f"the date has to be a day such as 2026-11-24, not {table.date!r}")
    return problems


def row_problems(table: Table) -> list[str]:
    """Return what is wrong with the rows of a table, a sentence a row."""
    problems = []
    rows = 0
    for row in table.rows():
        rows += 1
        try:
            row.cards()
        except PriceBookError as error:
            problems.append(str(error))
    return problems if rows else ["the table has no rows"]


def same_table(one: Table, other: Table) -> bool:
    """Tell whether two tables are the same; the same rows on a later day are not, for they are fresher."""
    return (one.version, one.date, one.digest) == (other.version, other.date, other.digest)


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Return what versions are ordered by: numbers as numbers, ``2026.11.9`` before ``2026.11.24``."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in version.split("."))
