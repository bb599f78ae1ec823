# SPDX-License-Identifier: Apache-2.0
"""
The program's side of ``spancost run``: meter everything, and write each call to the parent's file.

A row is appended as its call is settled, by one write of the operating system, so that forks and
sub-processes share the file and a killed program loses nothing that was settled.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spancost._env import JOURNAL, is_disabled
from spancost.files.rows import row_of_call
from spancost.instrumentor import instrument_everything, meter_everything, missing_instrumentations

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls import Call

_TAKEN: Final = JOURNAL + "_METRICS_TAKEN"


def start() -> None:
    """Meter this process, if ``spancost run`` started it and still waits for it."""
    path = os.environ.get(JOURNAL)
    if not path or is_disabled() or not os.path.exists(path):  # noqa: PTH110 - a program's start is quick
        return
    journal = Journal(path)
    processor = meter_everything()
    if processor is None:
        return
    journal.write({"pid": os.getpid()})
    processor.on_call(journal.write_call)
    instrumented = instrument_everything()

    def finish() -> None:
        with contextlib.suppress(OSError):  # whoever started us has ended, or the disk is full
            processor.force_flush()
            journal.write(
                {
                    "pid": os.getpid(),
                    "instrumented": instrumented,
                    "imported": missing_instrumentations(instrumented),
                }
            )

    # Registered first, so it runs last: what the program settles at its own exit is in.
    atexit.register(finish)
    _at_exit_of_workers(finish)


def _at_exit_of_workers(finish: Callable[[], None]) -> None:
    """Run *finish* in the children of ``multiprocessing`` too: they end without ``atexit``."""

    def register_in_child() -> None:
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            # After the fork it forgets its finalizers, and then calls this.
            util.register_after_fork(finish, lambda what: util.Finalize(None, what, exitpriority=-1000))

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=register_in_child)


class Journal:
    """
    A file of rows that several processes append to.

    Args:
        path: The file; it exists.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._encode = msgspec.json.Encoder().encode
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        self._which = _identity(self._file)

    def write(self, row: dict[str, Any]) -> None:
        """
        Append one row.

        Raises:
            OSError: The file is gone, or the disk is full.
        """
        # A program that becomes a daemon closes what it did not open, and the number may be another
        # file's by now.
        try:
            is_ours = _identity(self._file) == self._which
        except OSError:
            is_ours = False
        if not is_ours:
            self._open()
        os.write(self._file, self._encode(row) + b"\n")

    def write_call(self, call: Call) -> None:
        """Append one settled call."""
        self.write(row_of_call(call))


def _identity(file: int) -> tuple[int, int]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino
