# SPDX-License-Identifier: Apache-2.0
"""
The vendored price table: a text file of rows, indexed when it is loaded, read row by row.

The first line is JSON: version, date, sources, the SHA-256 of all that follows. Every other line
is one provider and model, so that a change of a price is a change of one line:

    provider TAB model TAB ids TAB {"source": ..., "cards": [...]}

The ids are separated by spaces. An id that ends in ``*`` also stands for itself followed by a
version (`spancost.prices.ids`). Loading splits lines; JSON is read for the rows that are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spancost.errors import PriceBookError
from spancost.prices.cards import RateCard, read_cards

DEFAULT_PATH: Final = Path(__file__).with_name("table.tsv")
FORMAT: Final = 2
BUILT_IN: Final = "built-in"
"""The origin of the table that comes with the package."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table: a provider and model with its ids and its cards.

    Args:
        provider: Key of the provider.
        model: The row's own name of the model.
        ids: Every spelling that the source knows, lower case; with ``*`` as described above.
        text: The cards as JSON.
    """

    provider: str
    model: str
    ids: tuple[str, ...]
    text: str

    def cards(self) -> tuple[RateCard, ...]:
        """Return the row's rate cards, the oldest first."""
        try:
            row = json.loads(self.text)
        except ValueError as error:
            raise PriceBookError(f"{self.provider}/{self.model}: {error}") from error
        return read_cards(self.provider, self.model, row)


@dataclass(slots=True)
class Provider:
    """
    The rows of one provider, found by id.

    Args:
        exact: Id to row.
        versioned: The ids that also stand for themselves followed by a version.
        tails: What follows the last ``/`` of an id to its row; None where two rows share it.
    """

    exact: dict[str, Row] = field(default_factory=dict)
    versioned: set[str] = field(default_factory=set)
    tails: dict[str, Row | None] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Index a row by its ids; the first row that has an id keeps it."""
        for spelling in row.ids:
            name = spelling.rstrip("*")
            if name != spelling:
                self.versioned.add(name)
            self.exact.setdefault(name, row)
            _, slash, tail = name.rpartition("/")
            if slash:
                self.tails[tail] = row if self.tails.get(tail, row) is row else None


class Table:
    """
    A price table in memory.

    Args:
        version: Names this table; a later one sorts higher.
        date: The day of the data, ISO.
        digest: ``sha256:`` and the hash of the rows.
        sources: Where the rows are from, with versions.
        rows: All rows.
        origin: Where this copy is from: ``built-in``, or the path of a file.
    """

    __slots__ = ("date", "digest", "origin", "providers", "sources", "version")

    def __init__(
        self,
        version: str,
        date: str,
        digest: str,
        sources: dict[str, str],
        rows: list[Row],
        *,
        origin: str = BUILT_IN,
    ) -> None:
        self.version = version
        self.date = date
        self.digest = digest
        self.sources = sources
        self.origin = origin
        self.providers: dict[str, Provider] = {}
        for row in rows:
            self.providers.setdefault(row.provider, Provider()).add(row)

    def rows(self) -> Iterator[Row]:
        """Yield every row once."""
        for provider in self.providers.values():
            yield from dict.fromkeys(provider.exact.values())


def load(path: Path = DEFAULT_PATH) -> Table:
    """
    Read a price table.

    Raises:
        PriceBookError: It cannot be read, or is not what its digest says.
    """
    try:
        head, _, body = path.read_text(encoding="utf-8").partition("\n")
        about = json.loads(head)
        digest = "sha256:" + hashlib.sha256(body.encode()).hexdigest()
        problem = _problem(about, digest)
        rows = [] if problem else [_row(line) for line in body.splitlines()]
        origin = BUILT_IN if path is DEFAULT_PATH else str(path)
        table = Table(about["version"], about["date"], digest, about["sources"], rows, origin=origin)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PriceBookError(f"{path}: cannot be read as a price table: {error}") from error
    if problem:
        raise PriceBookError(f"{path}: {problem}")
    return table


def _problem(about: dict[str, object], digest: str) -> str:
    if about["format"] != FORMAT:
        return f"the format is {about['format']}, this version of spancost reads {FORMAT}"
    if about["digest"] != digest:
        return "the rows do not match the digest in the first line"
    return ""


def _row(line: str) -> Row:
    provider, model, ids, text = line.split("\t")
    return Row(provider, model, tuple(ids.split(" ")), text)
