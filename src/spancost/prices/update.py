# SPDX-License-Identifier: Apache-2.0
"""Put a newer price table in the place of the installed one, or the one before it back; all or nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spancost.errors import PriceBookError
from spancost.prices.compare import Comparison, Difference, compare
from spancost.prices.installed import load_whole, previous_path, version_key

if TYPE_CHECKING:
    from spancost.prices.table import Table

LARGEST_MOVE: Final = 2
"""A rate that moves further than by this factor is more often a slip of a list than a price."""

_KEPT_PERCENT: Final = 90
_PROBLEMS_SHOWN: Final = 20
_MODE: Final = 0o644
"""Prices are no secret, and the process that reads them may be another user's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A table that may replace the one in force.

    Args:
        table: The table.
        data: Its bytes.
        comparison: How it differs from the one in force.
        problems: Every reason against it; it can be installed when there are none.
    """

    table: Table
    data: bytes
    comparison: Comparison
    problems: tuple[str, ...]


def examine(data: bytes, name: str, in_force: Table, *, accept_moves: bool = False) -> Candidate:
    """
    Return what can be said for and against a table.

    Args:
        data: The bytes of the table.
        name: What messages call it: the path or address it came from.
        in_force: The table that prices calls now.
        accept_moves: Whether rates may move by more than `LARGEST_MOVE`.

    Raises:
        PriceBookError: The bytes are no price table, or not what their digest says.
    """
    with tempfile.TemporaryDirectory(prefix="spancost-") as folder:
        path = Path(folder) / "table.tsv"
        path.write_bytes(data)
        try:
            table = load_whole(path)
        except PriceBookError as error:
            raise PriceBookError(str(error).replace(str(path), name)) from None
    comparison = compare(in_force, table)
    problems = [
        *_age_problems(in_force, table),
        *_loss_problems(in_force, comparison),
        *([] if accept_moves else _move_problems(comparison)),
    ]
    return Candidate(table, data, comparison, tuple(problems))


def _age_problems(in_force: Table, table: Table) -> Iterator[str]:
    if version_key(table.version) < version_key(in_force.version):
        yield f"it is older than the table in force: {table.version} < {in_force.version}"
    elif table.version == in_force.version and table.digest != in_force.digest:
        yield f"it has the version of the table in force, {table.version}, and other rows"
    if table.date < in_force.date:
        yield f"its data is older than that of the table in force: {table.date} < {in_force.date}"
    tomorrow = dt.datetime.now(dt.timezone.utc).date() + dt.timedelta(days=1)
    if table.date > tomorrow.isoformat():
        yield f"its data is from {table.date}, a day that has not come"


def _loss_problems(in_force: Table, comparison: Comparison) -> Iterator[str]:
    before = sum(len(rows.exact) for rows in in_force.providers.values())
    gone = [name for name in comparison.vanished if not name[1].endswith("*")]
    if (before - len(gone)) * 100 < before * _KEPT_PERCENT:
        examples = ", ".join("/".join(name) for name in gone[:5])
        yield (
            f"it lacks {len(gone):,} of {before:,} ids of the table in force ({examples}, ...); "
            f"at least {_KEPT_PERCENT}% have to stay, since recordings keep naming them"
        )


def _move_problems(comparison: Comparison) -> Iterator[str]:
    moved = [
        f"{change.provider}/{change.model}: {difference}"
        for change in comparison.changed
        for difference in change.differences
        if _is_wild(difference)
    ]
    yield from (
        f"a rate moves more than {LARGEST_MOVE} times: {move}; --accept-moves takes it"
        for move in moved[:_PROBLEMS_SHOWN]
    )
    if len(moved) > _PROBLEMS_SHOWN:
        yield f"and {len(moved) - _PROBLEMS_SHOWN:,} more rates move more than {LARGEST_MOVE} times"


def _is_wild(difference: Difference) -> bool:
    return difference.factor is not None and difference.factor > LARGEST_MOVE


def install(candidate: Candidate, path: Path) -> None:
    """
    Put a table in place, and keep the one that was there if it was whole.

    A reader finds the old file or the new one, never a part of either, whenever the power fails.

    Raises:
        PriceBookError: There are problems with it, or the place cannot be written to.
    """
    if candidate.problems:
        raise PriceBookError("; ".join(candidate.problems))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_whole(path):
            _write(previous_path(path), path.read_bytes())
        _write(path, candidate.data)
    except OSError as error:
        raise PriceBookError(f"{path}: the price table cannot be written there: {error}") from error


def roll_back(path: Path) -> Path | None:
    """
    Put the table back that was installed before.

    Returns:
        Where it was kept; None where there was none, so that the installed table was removed and the
        built-in one holds.

    Raises:
        PriceBookError: Nothing is installed, or the table kept is broken.
    """
    previous = previous_path(path)
    try:
        if previous.exists():
            load_whole(previous)
            previous.replace(path)
            _flush_folder(path.parent)
            return previous
        path.unlink()
        _flush_folder(path.parent)
    except FileNotFoundError:
        raise PriceBookError(
            f"{path}: no table is installed there, so there is nothing to go back from"
        ) from None
    except OSError as error:
        raise PriceBookError(f"{path}: the price table cannot be rolled back: {error}") from error
    return None


def _is_whole(path: Path) -> bool:
    try:
        load_whole(path)
    except PriceBookError:
        return False
    return True


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_MODE)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make a change of names last; not every system can open a folder for it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
