# SPDX-License-Identifier: Apache-2.0
"""What a user says about prices, as values: rates, other names, multipliers and a default, by provider."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from spancost.prices.cards import RateCard
    from spancost.prices.table import Row

ANY: Final = "*"
"""The block of rates and names that hold whoever sold the call."""

MAX_ENTRIES: Final = 10_000
"""How many models and other names a file, or a program, may give: a bound on memory."""

Key = tuple[str, str]
"""Key of the provider (or `ANY`), and a cleaned model id."""


_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


class Origin(NamedTuple):
    """
    Where a user said something.

    Args:
        label: What rate card ids begin with: ``file``, ``registered``, or the name of a set.
        text: The same for people, such as ``pricing file /etc/prices.json``.
        digest: SHA-256 of the file's bytes in hexadecimal; empty for what is no file.
    """

    label: str
    text: str
    digest: str = ""


class Entry(NamedTuple):
    """
    A model's rates as a user gave them.

    Args:
        row: The rates as a row of a price table.
        cards: The row's rate cards, the oldest first; their ids begin with the origin's label.
    """

    row: Row
    cards: tuple[RateCard, ...]


class Alias(NamedTuple):
    """
    What another name stands for: a deployment, an ARN, a display name.

    Args:
        model: The id that is priced.
        provider: Who sold it, a key; None for the provider of the call.
        origin: Where it was said.
        place: Where in the file, for messages.
    """

    model: str
    provider: str | None
    origin: Origin
    place: tuple[str | int, ...] = ()


class Multiplier(NamedTuple):
    """
    A negotiated price as a share of the list price.

    Args:
        by: What list rates are multiplied with, from 0.01 to 10.
        origin: Where it was said.
    """

    by: Decimal
    origin: Origin


class Overrides(NamedTuple):
    """
    Everything that one file, one named set or one program says.

    Args:
        rates: By provider and model id.
        aliases: By provider and name.
        multipliers: By provider; that of `ANY` holds for providers without their own.
        default: Rates for calls whose model nobody knows, None without.
    """

    rates: Mapping[Key, Entry] = _EMPTY
    aliases: Mapping[Key, Alias] = _EMPTY
    multipliers: Mapping[str, Multiplier] = _EMPTY
    default: Entry | None = None

    def digest(self, below: str) -> str:
        """
        Return ``sha256:`` and a hash of all that is said.

        Args:
            below: The digest of the table below.
        """
        parts = [
            below,
            *(f"{key} {entry.row.text}" for key, entry in sorted(self.rates.items())),
            *(f"{key} {alias.provider} {alias.model}" for key, alias in sorted(self.aliases.items())),
            *(f"{key} {multiplier.by}" for key, multiplier in sorted(self.multipliers.items())),
            self.default.row.text if self.default is not None else "",
        ]
        return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def over(self, earlier: Overrides) -> Overrides:
        """
        Return both, where these win.

        What is said here of a name replaces what was said of the same name there, be it rates or
        what it stands for; said here for any provider, it replaces what was said there for one.
        """
        said = self.rates.keys() | self.aliases.keys()

        def kept(key: Key) -> bool:
            return key not in said and (ANY, key[1]) not in said

        return Overrides(
            {key: entry for key, entry in earlier.rates.items() if kept(key)} | dict(self.rates),
            {key: alias for key, alias in earlier.aliases.items() if kept(key)} | dict(self.aliases),
            {**earlier.multipliers, **self.multipliers},
            self.default or earlier.default,
        )
