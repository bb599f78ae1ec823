# SPDX-License-Identifier: Apache-2.0
"""
The program's side of ``spancost run``: meter everything, and write each call to the parent's file.

A row is appended as its call is settled, by one write of the operating system, so that forks and
sub-processes share the file and a killed program loses nothing that was settled.
"""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spancost._env import JOURNAL, METRICS_PORT, is_disabled
from spancost.files.rows import row_of_call
from spancost.instrumentor import instrument_everything, meter_everything, missing_instrumentations

if TYPE_CHECKING:
    from spancost.calls import Call

_TAKEN: Final = JOURNAL + "_METRICS_TAKEN"


def start() -> None:
    """Meter this process, if ``spancost run`` started it."""
    path = os.environ.get(JOURNAL)
    if not path or is_disabled():
        return
    journal = Journal(path)
    processor = meter_everything()
    if processor is None:
        return
    processor.on_call(journal.write_call)
    instrumented = instrument_everything()

    def finish() -> None:
        processor.force_flush()
        journal.write(
            {"pid": os.getpid(), "instrumented": instrumented, "imported": missing_instrumentations()}
        )

    # Registered first, so it runs last: what the program settles at its own exit is in.
    atexit.register(finish)
    _serve_metrics()


def _serve_metrics() -> None:
    port = os.environ.get(METRICS_PORT)
    if not port:
        return
    from spancost.meter.serving import serve_metrics  # noqa: PLC0415 - only where asked for

    # A port that cannot be had must not stop the program; another process of it may well have it.
    try:
        serve_metrics(int(port))
    except (OSError, ValueError, RuntimeError) as error:
        if _TAKEN not in os.environ:
            os.write(2, f"spancost: /metrics is not served: {error}\n".encode())
    os.environ[_TAKEN] = "1"


class Journal:
    """
    A file of rows that several processes append to.

    Args:
        path: The file; it exists.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._encode = msgspec.json.Encoder().encode

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        os.write(self._file, self._encode(row) + b"\n")

    def write_call(self, call: Call) -> None:
        """Append one settled call."""
        self.write(row_of_call(call))
