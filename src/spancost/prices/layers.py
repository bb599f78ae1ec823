# SPDX-License-Identifier: Apache-2.0
"""
What a price book is made of: a table, a pricing file or named set over it, and over both what the program said.

Most programs have the table alone, so what is needed for the rest is imported where there is some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spancost._env import PRICING_ONLY, is_on
from spancost.prices.resolve import Resolution, Resolver

if TYPE_CHECKING:
    from spancost.prices.given import Given
    from spancost.prices.overlay import Overlay
    from spancost.prices.overrides import Overrides
    from spancost.prices.table import Table


@dataclass(eq=False, repr=False)  # no more: what it would generate is generated on every import
class Layers:
    """
    The layers of a price book. Do not change them: `dataclasses.replace` makes others.

    Args:
        table: The price table, at the bottom.
        given: A pricing file or named set over it, None without.
        registered: What the program said, on top; None where it said nothing.
    """

    table: Table
    given: Given | None = None
    registered: Overrides | None = None

    @property
    def below(self) -> Table:
        """The table that prices what nobody said anything of; an empty one where the file is to be alone."""
        return self.given.alone() if self.given is not None and self.given.only else self.table

    @property
    def said(self) -> Overrides | None:
        """Everything that was said, None for nothing."""
        if self.given is None or self.registered is None:
            return self.registered if self.given is None else self.given.said
        return self.registered.over(self.given.said)

    @property
    def version(self) -> str:
        """The table's version, and what lies over it, such as ``2026.11.24+file.1f3a5c7e9b2d``."""
        parts = [self.table.version]
        if self.given is not None:
            parts = [self.given.version] if self.given.only else [*parts, self.given.version]
        if self.registered is not None:
            parts.append("registered")
        return "+".join(parts)

    @property
    def digest(self) -> str:
        """``sha256:`` and a hash of all layers; that of the table's rows where nothing lies over them."""
        said = self.said
        return self.table.digest if said is None else said.digest(self.below.digest)

    @property
    def date(self) -> str:
        """The day of the data, ISO: the table's, or the file's where that is alone."""
        return self.given.day if self.given is not None and self.given.only else self.table.date

    @property
    def source(self) -> str:
        """Where the prices are from, such as ``built-in + /etc/spancost/prices.json``."""
        parts = [self.table.origin]
        if self.given is not None:
            parts = [self.given.place] if self.given.only else [*parts, self.given.place]
        if self.registered is not None:
            parts.append("registered")
        return " + ".join(parts)

    def resolver(self) -> Resolver | Overlay:
        """Return what finds rates in these layers."""
        said = self.said
        if said is None:
            return Resolver(self.table)
        from spancost.prices.overlay import Overlay  # noqa: PLC0415 - see above

        return Overlay(self.below, said)

    def default(self) -> Resolution | None:
        """Return what prices calls that nothing else does, where the caller asks for it; None without."""
        said = self.said
        if said is None or said.default is None:
            return None
        return Resolution("*", "any provider", "", "the default rate", "default", said.default.cards)


def given_by_search(table: Table, *, only: bool = False) -> Given | None:
    """
    Read the pricing file that the environment names or that stands in one of the usual places.

    Args:
        table: The table it lies over.
        only: Whether the file is to price calls alone; ``SPANCOST_PRICING_ONLY`` says it, too.

    Returns:
        What it says; None where there is no file.

    Raises:
        PriceBookError: There is one, and it cannot be used, or it is to be alone and there is none.
    """
    from spancost.prices import search  # noqa: PLC0415 - not on import of the package

    only = only or is_on(PRICING_ONLY)
    found = search.find()
    if found is None and not only:
        return None
    from spancost.prices.given import given_by_found  # noqa: PLC0415 - see above

    return given_by_found(found, table, only=only)


def given_again(given: Given | None, table: Table) -> Given | None:
    """
    Read again what was given: the same file, or the one that a search finds now.

    Raises:
        PriceBookError: There is one, and it cannot be used.
    """
    if given is None or given.searched:
        return given_by_search(table)
    return given.again(table)
