# SPDX-License-Identifier: Apache-2.0
"""What the verbs below ``spancost prices`` share: times and tables as arguments, the book in force, names."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spancost.book import PriceBook
from spancost.errors import PriceBookError
from spancost.prices import installed, table
from spancost.prices.providers import provider_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost.prices.compare import Comparison
    from spancost.prices.table import Row, Table

MAX_CANDIDATES: Final = 8
_ALIKE: Final = 0.6
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MICROSECOND: Final = dt.timedelta(microseconds=1)

AT_HELP: Final = "as of this ISO date or time, UTC unless it says another zone (default: now)"
MODEL_HELP: Final = "a model id as on a span, also provider/model such as azure/gpt-4o"
PROVIDER_HELP: Final = "who sells it, in any spelling, such as azure or aws.bedrock"
FORMAT_HELP: Final = "text for people (default), or JSON with exact numbers"
TABLE_HELP: Final = (
    "a file, or built-in (the table of this package), installed (the one put there by `update`), "
    "previous (the one before it)"
)


def instant(text: str) -> int:
    """
    Return an ISO date or time as nanoseconds since the epoch; UTC where it names no zone.

    Raises:
        argparse.ArgumentTypeError: It is neither.
    """
    try:
        moment = dt.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date such as 2026-11-24 or 2026-11-24T09:30Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return (moment - _EPOCH) // _MICROSECOND * 1_000


def book_in_force() -> PriceBook:
    """
    Return the price book in force; here a broken installed table is an error, not a warning.

    Raises:
        PriceBookError: An installed table cannot be used.
    """
    choice = installed.choose()
    if choice.problem:
        raise PriceBookError(choice.problem)
    return PriceBook.default()


def table_of(name: str) -> tuple[Table, str]:
    """
    Return the table that an argument names, and what to call it.

    Raises:
        PriceBookError: There is none, or it cannot be used.
    """
    if name == table.BUILT_IN:
        return table.load(), name
    if name not in ("installed", "previous"):
        return installed.load_whole(Path(name)), name
    path = installed.installed_path()
    if path is None:
        raise PriceBookError("no price table can be installed here: SPANCOST_PRICE_TABLE says built-in")
    if name == "previous":
        path = installed.previous_path(path)
    if not path.exists():
        raise PriceBookError(f"no price table is {name}: there is no {path}")
    return installed.load_whole(path), str(path)


def about(book: PriceBook) -> str:
    """Return which table a book has, in a few words."""
    return f"table {book.version} ({book.source}), data of {book.date}"


def in_short(found: Comparison) -> str:
    """Return what differs between two tables, as numbers."""
    if not (found.added or found.removed or found.changed or found.appeared or found.vanished):
        return "no differences"
    return (
        f"{len(found.added):,} models came, {len(found.removed):,} went, {len(found.changed):,} changed; "
        f"{len(found.appeared):,} ids came, {len(found.vanished):,} went"
    )


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def sellers(book: PriceBook, model: str) -> Iterator[Row]:
    """Yield the row of every provider that lists an id, with or without a vendor in front of it."""
    name = model.strip().lower()
    tail = name.rpartition("/")[2]
    for rows in book.table.providers.values():
        row = rows.exact.get(name) or rows.exact.get(tail) or rows.tails.get(tail)
        if row is not None:
            yield row


def candidates(book: PriceBook, model: str, provider: str | None) -> list[str]:
    """
    Return what somebody may have meant by a model id that has no price, as ``provider/model``.

    First everyone who sells that id, then the ids spelled most like it.
    """
    found = [f"{row.provider}/{row.model}" for row in sellers(book, model)]
    if len(found) >= MAX_CANDIDATES:
        return found[:MAX_CANDIDATES]
    import difflib  # noqa: PLC0415 - only for what was not found

    key = provider_key(provider)
    spelled: dict[str, str] = {}
    for name, rows in book.table.providers.items():
        if key in (None, name):
            for spelling, row in rows.exact.items():
                spelled.setdefault(spelling, f"{row.provider}/{row.model}")
    bare = model.strip().lower().rpartition("/")[2]
    near = difflib.get_close_matches(bare, spelled, MAX_CANDIDATES, _ALIKE)
    return list(dict.fromkeys([*found, *(spelled[name] for name in near)]))[:MAX_CANDIDATES]


def near_providers(book: PriceBook, provider: str | None) -> list[str]:
    """Return the providers spelled most like a name that nobody knows."""
    import difflib  # noqa: PLC0415 - see above

    return difflib.get_close_matches((provider or "").strip().lower(), book.table.providers, 4, _ALIKE)


def day(moment: int | None) -> str:
    """Return a time as ISO, a date alone where it is midnight; empty for None."""
    if moment is None:
        return ""
    when = _EPOCH + dt.timedelta(microseconds=moment // 1_000)
    return when.strftime("%Y-%m-%d" if moment % (86_400 * 10**9) == 0 else "%Y-%m-%dT%H:%MZ")
