# SPDX-License-Identifier: Apache-2.0
"""
Keep the prices of a running process fresh, and say so when they are old.

A thread looks at the file of the installed price table every so often, and reads and checks it
there when it has changed. Only a whole table is put in force, at once: a call is priced by one
table or the other, and no call waits.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from spancost._env import PRICE_MAX_AGE_DAYS, PRICE_RELOAD_SECONDS, whole_number_or_off
from spancost._fork import after_fork
from spancost.prices import installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from spancost.book import PriceBook

RELOAD_SECONDS: Final = 60
"""How often a process looks at the file of the installed table, unless the environment says."""

MAX_AGE_DAYS: Final = 60
"""Providers changed their lists every two or three weeks in 2026: after two months some price is wrong."""

UNUSABLE: Final = "price_table_unusable"
"""The cause under which a changed file that cannot be used is counted."""

_log: Final = logging.getLogger("spancost")
_Signature = tuple[int, int, int]


class Watch:
    """
    Follows the installed price table for one price book.

    Args:
        book: The price book.
        count: Told the cause when a changed file cannot be used.
    """

    def __init__(self, book: PriceBook, count: Callable[[str], None]) -> None:
        self._book = book
        self._count = count
        # Unknown, not what it is now: it may have changed since the book was loaded.
        self._seen: tuple[str, _Signature | None] | None = None

    def look(self) -> bool:
        """Look at the file once, and return whether another table is in force now."""
        path = installed.installed_path()
        seen = (str(path), _signature(str(path)) if path is not None else None)
        if seen == self._seen:
            return False
        self._seen = seen
        choice = installed.choose()
        if choice.problem:
            self._count(UNUSABLE)
            _log.warning("spancost: prices stay those of table %s: %s", self._book.version, choice.problem)
            return False
        if installed.same_table(choice.table, self._book.table):
            return False
        before = self._book.version
        self._book.replace_table(choice.table)
        _log.info(
            "spancost: price table %s (%s) replaces %s", choice.table.version, choice.table.origin, before
        )
        return True


def _signature(path: str) -> _Signature | None:
    """Return what changes whenever a file is replaced or written to; None where there is none."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - no Path every minute
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class _Watcher:
    """The thread of the process that follows the installed table, and its like in forked children."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self._work: tuple[Watch, AbstractContextManager[object], int] | None = None

    def start(self, watch: Watch, guard: AbstractContextManager[object], seconds: int) -> None:
        """Start it, unless it runs."""
        with self.lock:
            if self._work is None:
                self._work = (watch, guard, seconds)
                self._start()

    def _start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="spancost-prices", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        if self._work is None:
            return
        watch, guard, seconds = self._work
        while True:
            time.sleep(seconds)
            with guard:
                watch.look()

    def forked(self) -> None:
        """Go on in a forked child, which has no thread but the one that forked."""
        self.lock = threading.Lock()
        if self._work is not None:
            try:
                self._start()
            except RuntimeError:  # no thread to be had: the child keeps the prices it has
                self.thread = None


_watcher: Final = _Watcher()

after_fork(_watcher.forked)


def follow(book: PriceBook, count: Callable[[str], None], guard: AbstractContextManager[object]) -> None:
    """
    Let a running process follow the installed price table; one thread a process, the first call starts it.

    Args:
        book: The default price book.
        count: Told the cause when a changed file cannot be used.
        guard: Keeps what else goes wrong from the process.

    Raises:
        ValueError: ``SPANCOST_PRICE_RELOAD_SECONDS`` is no number of seconds.
    """
    seconds = whole_number_or_off(PRICE_RELOAD_SECONDS, RELOAD_SECONDS)
    if seconds is not None and installed.installed_path() is not None:
        _watcher.start(Watch(book, count), guard, seconds)


def age_in_days(book: PriceBook, today: dt.date | None = None) -> int:
    """Return how old the data of a price book is, in days; *today* is that of UTC."""
    now = today if today is not None else dt.datetime.now(dt.timezone.utc).date()
    return (now - dt.date.fromisoformat(book.date)).days


def age_warning(book: PriceBook, today: dt.date | None = None) -> str:
    """
    Return what to tell people about the age of the prices; empty while they are young enough.

    Raises:
        ValueError: ``SPANCOST_PRICE_MAX_AGE_DAYS`` is no number of days.
    """
    limit = whole_number_or_off(PRICE_MAX_AGE_DAYS, MAX_AGE_DAYS)
    age = age_in_days(book, today)
    if limit is None or age <= limit:
        return ""
    return (
        f"the prices are {age} days old (table {book.version}, {book.source}): some are wrong by now. "
        "Upgrade spancost, or run `spancost prices update`"
    )
