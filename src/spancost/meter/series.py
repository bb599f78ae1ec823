# SPDX-License-Identifier: Apache-2.0
"""What a process has counted: records of calls, runs of agents, and the counters that belong to no label set."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from spancost.meter import names
from spancost.meter.cells import Cell, Copy, Count, Run, RunCopy, add
from spancost.meter.copying import copy_of
from spancost.meter.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.meter.gate import Gate

BIRTH_MARGIN_S: Final = 1.0
"""
So long before its first value a series is said to be born, but not before its process or the last scrape.

Prometheus stamps a scrape when it begins, we write it a little later, and clocks differ. A series that
is born between the two by their clocks would get its value first and its zero after it, where a server
takes created timestamps as zeros, and so be counted twice (seen with Prometheus 3.5). A scrape in which it was
not yet bounds it from below: there a server takes a series of the process before this one for gone, and
refuses a zero that is older (seen likewise).
"""

SCRAPE_SLACK_S: Final = 0.005
"""So long after it began a scrape is over for births: Prometheus counts whole ms, and moves a stamp by up to 2 of them."""


class Series:
    """
    The series of a process, by their label sets; whoever changes them holds the lock of the gate.

    Args:
        gate: The lock, for records and for the copies.
        clock: Seconds since 1970.
    """

    def __init__(self, gate: Gate, clock: Callable[[], float]) -> None:
        self._gate = gate
        self._clock = clock
        started = self._shown = clock()
        self.records: dict[tuple[str, ...], Record] = {}
        self.runs: dict[tuple[str, ...], Run] = {}
        self.duplicates = Cell(0, started)
        self.uncarried = Cell(0, started)
        self.errors: dict[str, Cell] = {}
        """Errors by their cause."""
        self.overflow: dict[str, Cell] = {}
        """Values that had no room, by their label."""

    def birth(self) -> float:
        """Return when a series that begins now is said to have been 0: a little ago (`BIRTH_MARGIN_S`)."""
        now = self._clock()
        return min(now, max(self._shown, now - BIRTH_MARGIN_S))

    def shown(self, at: float) -> None:
        """
        Take that a scrape has all there is, which began at a time; not before it has.

        What is born while it is answered may be in it, and keeps the margin.
        """
        self._shown = at + SCRAPE_SLACK_S

    def record_of(self, values: tuple[str, ...]) -> Record:
        """Find or make the record of a label set."""
        record = self.records.get(values)
        if record is None:
            record = self.records[values] = Record(values, self.birth, self._gate)
        return record

    def run_of(self, values: tuple[str, ...]) -> Run:
        """Find or make what is counted for the runs of a label set."""
        run = self.runs.get(values)
        if run is None:
            run = self.runs[values] = Run(values, self.birth())
        return run

    def add_error(self, cause: str) -> None:
        """Count one error that was kept from the program."""
        add(self.errors, cause, 1, self.birth)

    def add_overflow(self, label: str) -> None:
        """Count one value that had no room."""
        add(self.overflow, label, 1, self.birth)

    def copies(self) -> list[Copy]:
        """Copy the records one by one, so that no call waits for all of them."""
        records = self._gate.copy(lambda: list(self.records.values()))
        return [self._gate.copy(partial(copy_of, record)) for record in records]

    def run_copies(self) -> list[RunCopy]:
        """Copy the runs."""
        return self._gate.copy(lambda: [run.copy() for run in self.runs.values()])

    def process_counts(self) -> list[Count]:
        """Copy the counters that belong to no label set; the caller holds the lock."""
        found = [
            Count(names.DUPLICATES, (), self.duplicates.value, self.duplicates.born),
            Count(names.UNCARRIED, (), self.uncarried.value, self.uncarried.born),
        ]
        for spec, cells in ((names.ERRORS, self.errors), (names.OVERFLOW, self.overflow)):
            found += [Count(spec, (n,), c.value, c.born) for n, c in cells.items()]
        return found
