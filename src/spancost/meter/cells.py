# SPDX-License-Identifier: Apache-2.0
"""Counters, histograms, and what is copied of them for whoever collects."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.meter import names

COST_BOUNDS: Final = tuple(
    hundred_thousandths * 10**10
    for hundred_thousandths in (
        *(1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000),
        *(25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000),
    )
)
"""Upper bounds of the cost buckets, 1e-5 to 10 USD, in 1e-15 USD."""

DURATION_BOUNDS: Final = tuple(10_000_000 << power for power in range(14))
"""Upper bounds of the duration buckets of the conventions, 0.01 to 81.92 s, in nanoseconds."""

Mark = tuple["str | int", "str | int", float]
"""Where an exemplar is from: trace id, span id, time. It is formatted when somebody asks."""


class Cell:
    """One counter: its value, and when it was born."""

    __slots__ = ("born", "value")

    def __init__(self, value: int, born: float) -> None:
        self.value = value
        self.born = born

    def add(self, amount: int) -> None:
        """Count more."""
        self.value += amount


class Buckets:
    """One histogram: how many values each bucket has, their sum, and the last exemplar of each bucket."""

    __slots__ = ("born", "bounds", "counts", "marks", "total")

    def __init__(self, bounds: tuple[int, ...], born: float) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0
        self.marks: dict[int, tuple[int, Mark]] = {}
        self.born = born

    def observe(self, value: int, mark: Mark | None) -> None:
        """Count a value, and keep where it is from."""
        index = bisect_left(self.bounds, value)
        self.counts[index] += 1
        self.total += value
        if mark is not None:
            self.marks[index] = (value, mark)

    def copy(self) -> Buckets:
        """Return a copy that stays as it is."""
        other = Buckets(self.bounds, self.born)
        other.counts = self.counts.copy()
        other.total = self.total
        other.marks = self.marks.copy()
        return other


class Count(NamedTuple):
    """One counter as it was at some moment: its metric, its own label values, its value and birth."""

    spec: names.Spec
    own: tuple[str, ...]
    value: int
    born: float


class Kept:
    """What a renderer keeps with a label set from one scrape to the next, such as its labels as text."""

    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text: Any = None


def add(cells: dict[str, Cell], name: str, amount: int, clock: Callable[[], float]) -> None:
    """Add to a counter that may have to be born first."""
    if name in cells:
        cells[name].value += amount
    else:
        cells[name] = Cell(amount, clock())


class Copy(NamedTuple):
    """
    A record as it was at some moment.

    Args:
        values: The values of the base labels and of the extra labels.
        counts: Its counters; amounts of money in 1e-15 USD.
        cost: The costs of its calls, in 1e-15 USD.
        duration: How long they took, in nanoseconds.
        kept: The same object for a label set, however often it is copied.
    """

    values: tuple[str, ...]
    counts: list[Count]
    cost: Buckets
    duration: Buckets
    kept: Kept


class RunCopy(NamedTuple):
    """The runs of one agent as they were at some moment; ``kept`` is as for `Copy`."""

    values: tuple[str, ...]
    cost: Buckets
    kept: Kept


class Run:
    """
    What is counted for the runs of one agent. Its owner holds the lock.

    Args:
        values: The values of the labels of a run.
        born: When the first run had them.
    """

    __slots__ = ("cost", "kept", "row", "values")

    def __init__(self, values: tuple[str, ...], born: float) -> None:
        self.values = values
        self.cost = Buckets(COST_BOUNDS, born)
        self.row: object = None
        """As for `Record`."""
        self.kept = Kept()

    def copy(self) -> RunCopy:
        """Return the runs as they are now; the caller holds the lock."""
        return RunCopy(self.values, self.cost.copy(), self.kept)
