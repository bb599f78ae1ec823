# SPDX-License-Identifier: Apache-2.0
"""
The vendored price table: a text file of rows, sorted into providers when it is loaded, read row by row.

The first line is JSON: version, date, sources, the SHA-256 of all that follows. Every other line
is one provider and model, so that a change of a price is a change of one line:

    provider TAB model TAB ids TAB {"source": ..., "cards": [...]}

The ids are separated by spaces. An id that ends in ``*`` also stands for itself followed by a
version (`spancost.prices.ids`). Loading splits lines and looks at the provider of each; the ids of a
provider are indexed when it is first asked for, and JSON is read for the rows that are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from spancost.errors import PriceBookError
from spancost.prices.cards import RateCard, read_cards

DEFAULT_PATH: Final = Path(__file__).with_name("table.tsv")
FORMAT: Final = 2
BUILT_IN: Final = "built-in"
"""The origin of the table that comes with the package."""

_TAB: Final = "\t"
_TABS: Final = 3


class Row(NamedTuple):
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


class Provider:
    """The rows of one provider, found by id."""

    __slots__ = ("exact", "tails", "versioned")

    def __init__(self) -> None:
        self.exact: dict[str, Row] = {}
        """Id to row."""
        self.versioned: set[str] = set()
        """The ids that also stand for themselves followed by a version."""
        self.tails: dict[str, Row | None] = {}
        """What follows the last ``/`` of an id to its row; None where two rows share it."""

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


class Providers(Mapping[str, Provider]):
    """
    The providers of a table by key, each indexed when it is first asked for.

    Args:
        rows: Rows that are there already.
        lines: Lines of rows that are not read yet, of other providers.
    """

    __slots__ = ("_indexed", "_lines")

    def __init__(self, rows: Iterable[Row], lines: Iterable[str]) -> None:
        self._lines: dict[str, list[str]] = {}
        self._indexed: dict[str, Provider] = {}
        for row in rows:
            self._lines.setdefault(row.provider, [])
            self._indexed.setdefault(row.provider, Provider()).add(row)
        beginning, own = _TAB, []
        for line in lines:
            if not line.startswith(beginning):  # of another provider than the line before
                beginning = line[: line.index(_TAB) + 1]
                own = self._lines.setdefault(beginning[:-1], [])
            own.append(line)

    def __getitem__(self, key: str) -> Provider:
        """Return the rows of a provider."""
        found = self._indexed.get(key)
        if found is None:
            found = Provider()
            for line in self._lines[key]:
                found.add(_row(line))
            self._indexed[key] = found  # whole: another thread may have done the same, and that is all
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in the order of the table."""
        return iter(self._lines)

    def __len__(self) -> int:
        """Return how many providers there are."""
        return len(self._lines)


class Table:
    """
    A price table in memory.

    Args:
        version: Names this table; a later one sorts higher.
        date: The day of the data, ISO.
        digest: ``sha256:`` and the hash of the rows.
        sources: Where the rows are from, with versions.
        rows: All rows, or
        lines: their lines as they stand in the file.
        origin: Where this copy is from: ``built-in``, or the path of a file.
    """

    __slots__ = ("date", "digest", "origin", "providers", "sources", "version")

    def __init__(
        self,
        version: str,
        date: str,
        digest: str,
        sources: dict[str, str],
        rows: Iterable[Row] = (),
        *,
        lines: Iterable[str] = (),
        origin: str = BUILT_IN,
    ) -> None:
        self.version = version
        self.date = date
        self.digest = digest
        self.sources = sources
        self.origin = origin
        self.providers = Providers(rows, lines)

    def rows(self) -> Iterator[Row]:
        """Yield every row once."""
        for provider in self.providers.values():
            yield from dict.fromkeys(provider.exact.values())


def load(path: Path = DEFAULT_PATH) -> Table:
    """
    Read a price table.

    The digest of the package's own table is not worked out again: like the code beside it, it was
    checked when it was installed, and hashing it would be a third of what importing the package costs.

    Args:
        path: The file. Whatever it is, other than the package's own: its rows must have the digest.

    Raises:
        PriceBookError: It cannot be read, or is not what its digest says.
    """
    try:
        head, _, body = path.read_bytes().decode().partition("\n")
        about = json.loads(head)
        lines = body.splitlines()
        problem = _problem(about) or ("" if path == DEFAULT_PATH else _problem_of_rows(about, body, lines))
        table = Table(
            about["version"],
            about["date"],
            about["digest"],
            about["sources"],
            lines=[] if problem else lines,
            origin=BUILT_IN if path == DEFAULT_PATH else str(path),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PriceBookError(f"{path}: cannot be read as a price table: {error}") from error
    if problem:
        raise PriceBookError(f"{path}: {problem}")
    return table


def digest_of(body: str) -> str:
    """Return the digest of the rows of a table: all that follows the first line."""
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, and only a file of the user's own needs it

    return "sha256:" + hashlib.sha256(body.encode()).hexdigest()


def _problem(about: dict[str, object]) -> str:
    if about["format"] != FORMAT:
        return f"the format is {about['format']}, this version of spancost reads {FORMAT}"
    return ""


def _problem_of_rows(about: dict[str, object], body: str, lines: list[str]) -> str:
    if about["digest"] != digest_of(body):
        return "the rows do not match the digest in the first line"
    wrong = [number for number, line in enumerate(lines, 2) if line.count(_TAB) != _TABS]
    return f"line {wrong[0]}: not {_TABS + 1} columns, separated by tabs" if wrong else ""


def _row(line: str) -> Row:
    provider, model, ids, text = line.split(_TAB)
    return Row(provider, model, tuple(ids.split(" ")), text)
