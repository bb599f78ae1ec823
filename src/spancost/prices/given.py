# SPDX-License-Identifier: Apache-2.0
"""What lies over a price table from outside the program: a pricing file, or a named set."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spancost.errors import PriceBookError
from spancost.prices.overlay import check_names
from spancost.prices.overrides import Origin, Overrides
from spancost.prices.table import Table

if TYPE_CHECKING:
    from spancost.prices.search import Found


class Given(NamedTuple):
    """
    A pricing file or a named set.

    Args:
        said: What it says.
        origin: Its name and digest.
        place: The file's path as given, or the name of the set.
        only: Whether it replaces the table instead of lying over it.
        day: When its rates are from, ISO: the day the file was last changed.
        searched: Whether nobody named it in code, so that another may be found another time.
    """

    said: Overrides
    origin: Origin
    place: str
    only: bool
    day: str
    searched: bool = False

    @property
    def version(self) -> str:
        """Names what is given: the kind, and for a file the first 12 digits of its SHA-256."""
        digest = self.origin.digest[:12]
        return f"{self.origin.label}.{digest}" if digest else self.origin.label

    def alone(self) -> Table:
        """Return the table below what is to price calls alone: one without rows."""
        return Table("", self.day, "", {}, [])

    def again(self, table: Table) -> Given:
        """
        Read the same file again; a named set never changes.

        Raises:
            PriceBookError: The file cannot be used.
        """
        return given_by_file(self.place, table, only=self.only) if self.origin.digest else self


def given_by_file(path: str | Path, table: Table, *, only: bool = False) -> Given:
    """
    Read a pricing file.

    Args:
        path: The file.
        table: The table it lies over; other names may stand for the models in it.
        only: Whether the file is to price calls alone.

    Raises:
        PriceBookError: It cannot be used; the message has every problem with its place in the file.
    """
    from spancost.prices import pricing_file  # noqa: PLC0415 - most programs have no file

    path = Path(path)
    said, problems, origin = pricing_file.read(path)
    check_names(Table("", "", "", {}, []) if only else table, said, said.aliases, problems)
    if only and said.multipliers:
        problems.add(("multiplier",), "multiplies list prices, and there are none below this file")
    problems.raise_if_any(f"{path}: cannot be used as a pricing file")
    try:
        changed = path.stat().st_mtime
    except OSError as error:
        raise PriceBookError(f"{path}: the pricing file cannot be read: {error}") from error
    day = dt.datetime.fromtimestamp(changed, dt.timezone.utc).date().isoformat()
    return Given(said, origin, str(path), only, day)


def given_by_set(name: str, *, only: bool = False) -> Given:
    """
    Return a named set.

    Raises:
        PriceBookError: There is none of that name; the message lists them.
    """
    from spancost.prices import named  # noqa: PLC0415 - few programs want one

    said = named.named_set(name)
    return Given(said, Origin(name, f"named set {name}"), name, only, named.day_of(name))


def given_by_found(found: Found | None, table: Table, *, only: bool) -> Given:
    """
    Read the pricing file that was searched.

    Args:
        found: What the search found.
        table: As for `given_by_file`.
        only: See there.

    Raises:
        PriceBookError: It cannot be used, or there is none.
    """
    from spancost.prices import search  # noqa: PLC0415 - who calls has it

    if found is None:
        raise PriceBookError("only a pricing file is to price calls, and there is none")
    try:
        if not found.named_by and not Path(found.path).is_file():  # what is no file may keep a reader waiting
            raise PriceBookError(f"{found.path}: it is there, and is no file")  # noqa: TRY301 - one way to say how
        given = given_by_file(found.path, table, only=only)
    except PriceBookError as error:
        how = f"named by {found.named_by}" if found.named_by else "found by search"
        raise PriceBookError(f"{error}\n({how}; {search.HOW_TO_LEAVE_OUT})") from error
    if not found.named_by:
        search.tell(found.path, given.origin.digest)
    return given._replace(searched=True)
