# SPDX-License-Identifier: Apache-2.0
"""
What a price book is made of: a table, a pricing file or named set over it, and over both what the program said.

All three are values. A change makes new layers, and the book swaps them as a whole.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from spancost._env import PRICING_ONLY, is_on
from spancost.errors import PriceBookError
from spancost.prices.overlay import Overlay, check_names
from spancost.prices.overrides import ANY, NOTHING, Origin, Overrides
from spancost.prices.resolve import Resolution
from spancost.prices.table import Table

BUILT_IN: Final = "built-in"


class Given(NamedTuple):
    """
    A pricing file or a named set.

    Args:
        said: What it says.
        origin: Its name and digest; None where there is none.
        place: The file's path as given, or the name of the set.
        only: Whether it replaces the table instead of lying over it.
        day: When its rates are from, ISO: the day the file was last changed.
        searched: Whether nobody named it in code, so that another may be found another time.
    """

    said: Overrides = NOTHING
    origin: Origin | None = None
    place: str = ""
    only: bool = False
    day: str = ""
    searched: bool = False


NOTHING_GIVEN: Final = Given()
"""No file and no set."""


@dataclass(eq=False, repr=False)  # no more: what it would generate is generated on every import
class Layers:
    """
    The layers of a price book. Do not change them: `dataclasses.replace` makes others.

    Args:
        table: The price table, at the bottom.
        given: A pricing file or named set over it.
        registered: What the program said, on top.
    """

    table: Table
    given: Given = NOTHING_GIVEN
    registered: Overrides = NOTHING

    @property
    def below(self) -> Table:
        """The table that prices what nobody said anything of; an empty one where the file is to be alone."""
        return nothing_below(self.given.day) if self.given.only else self.table

    @property
    def said(self) -> Overrides:
        """Everything that was said."""
        return self.registered.over(self.given.said)

    @property
    def version(self) -> str:
        """The table's version, and what lies over it, such as ``2026.11.24+file.1f3a5c7e9b2d``."""
        parts = [] if self.given.only else [self.table.version]
        if self.given.origin is not None:
            digest = self.given.origin.digest[:12]
            parts.append(f"{self.given.origin.label}.{digest}" if digest else self.given.origin.label)
        if self.registered:
            parts.append("registered")
        return "+".join(parts)

    @property
    def digest(self) -> str:
        """``sha256:`` and a hash of all layers; that of the table's rows where nothing lies over them."""
        if self.given.origin is None and not self.registered:
            return self.table.digest
        import hashlib  # noqa: PLC0415 - it loads OpenSSL

        said = self.said
        parts = [
            self.below.digest,
            *(f"{key} {entry.row.text}" for key, entry in sorted(said.rates.items())),
            *(f"{key} {alias.provider} {alias.model}" for key, alias in sorted(said.aliases.items())),
            *(f"{key} {multiplier.by}" for key, multiplier in sorted(said.multipliers.items())),
            said.default.row.text if said.default is not None else "",
        ]
        return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def date(self) -> str:
        """The day of the data, ISO: the table's, or the file's where that is alone."""
        return self.given.day if self.given.only else self.table.date

    @property
    def source(self) -> str:
        """Where the prices are from, such as ``built-in + /etc/spancost/prices.json``."""
        parts = [] if self.given.only else [BUILT_IN]
        if self.given.place:
            parts.append(self.given.place)
        if self.registered:
            parts.append("registered")
        return " + ".join(parts)

    def resolver(self) -> Overlay:
        """Return what finds rates in these layers."""
        return Overlay(self.below, self.said)

    def default(self) -> Resolution | None:
        """Return what prices calls that nothing else does, where the caller asks for it; None without."""
        entry = self.said.default
        if entry is None:
            return None
        return Resolution(ANY, "any provider", "", "the default rate", "default", entry.cards)


def nothing_below(day: str) -> Table:
    """Return a table without rows."""
    return Table("", day, "", {}, [])


def given_by_file(path: Path, table: Table, *, only: bool = False) -> Given:
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

    said, problems, origin = pricing_file.read(path)
    check_names(nothing_below("") if only else table, said, said.aliases, problems)
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


def given_by_search(table: Table, *, only: bool = False) -> Given:
    """
    Read the pricing file that the environment names or that stands in one of the usual places.

    Args:
        table: As for `given_by_file`.
        only: See there; ``SPANCOST_PRICING_ONLY`` says it, too.

    Raises:
        PriceBookError: There is one, and it cannot be used, or it is to be alone and there is none.
    """
    from spancost.prices import search  # noqa: PLC0415 - not on import of the package

    only = only or is_on(PRICING_ONLY)
    found = search.find()
    if found is None:
        if only:
            raise PriceBookError("only a pricing file is to price calls, and there is none")
        return Given(searched=True)
    try:
        if not found.named_by and not found.path.is_file():  # what is no file may keep a reader waiting
            raise PriceBookError(f"{found.path}: it is there, and is no file")  # noqa: TRY301 - one way to say how
        given = given_by_file(found.path, table, only=only)
    except PriceBookError as error:
        how = f"named by {found.named_by}" if found.named_by else "found by search"
        raise PriceBookError(f"{error}\n({how}; {search.HOW_TO_LEAVE_OUT})") from error
    if not found.named_by and given.origin is not None:
        search.tell(found.path, given.origin.digest)
    return given._replace(searched=True)


def given_again(given: Given, table: Table) -> Given:
    """
    Read again what was given: the same file, or the one that a search finds now.

    Raises:
        PriceBookError: There is one, and it cannot be used.
    """
    if given.searched or given.origin is None:
        return given_by_search(table)
    if given.origin.digest:
        return given_by_file(Path(given.place), table, only=given.only)
    return given  # a named set never changes
