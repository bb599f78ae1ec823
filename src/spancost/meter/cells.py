# SPDX-License-Identifier: Apache-2.0
"""The numbers behind the series: integers that only grow, one record per label set."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple

from spancost.meter import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spancost.meter.metered import MeteredCall

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

_REASONING: Final = names.REASONING.name
_FAILED_COST: Final = names.FAILED_COST.name
_CACHE_SAVINGS: Final = names.CACHE_SAVINGS.name
_CACHE_PREMIUM: Final = names.CACHE_PREMIUM.name
_REPORTED: Final = names.REPORTED.name
_ESTIMATED: Final = names.ESTIMATED.name

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
        self.text: object = None


def add(cells: dict[str, Cell], name: str, amount: int, clock: Callable[[], float]) -> None:
    """Add to a counter that may have to be born first."""
    if name in cells:
        cells[name].value += amount
    else:
        cells[name] = Cell(amount, clock())


def add_all(cells: dict[str, Cell], amounts: Mapping[str, int], clock: Callable[[], float]) -> None:
    """Add to several counters; what is 0 does not make one be born."""
    for name, amount in amounts.items():
        if amount:
            if name in cells:
                cells[name].value += amount
            else:
                cells[name] = Cell(amount, clock())


class Record:
    """
    Everything that is counted for one label set. Its owner holds the lock.

    Args:
        values: The values of the base labels and of the extra labels.
        born: When the first call had them.
    """

    __slots__ = (
        "calls",
        "cost",
        "duration",
        "flags",
        "kept",
        "local",
        "provider",
        "rare",
        "tokens",
        "unpriced",
        "values",
    )

    def __init__(self, values: tuple[str, ...], born: float) -> None:
        self.values = values
        self.calls: dict[str, Cell] = {}
        self.local: dict[str, Cell] = {}
        self.provider: dict[str, Cell] = {}
        self.tokens: dict[str, Cell] = {}
        self.unpriced: dict[str, Cell] = {}
        self.flags: dict[str, Cell] = {}
        self.rare: dict[str, Cell] = {}
        self.cost = Buckets(COST_BOUNDS, born)
        self.duration = Buckets(DURATION_BOUNDS, born)
        self.kept = Kept()

    def count(self, call: MeteredCall, error_type: str, clock: Callable[[], float]) -> None:
        """Count one call, its error type given as the label has it."""
        # One unpacking takes 40 ns; reading the fields by name would take 250.
        (_, _, _, _, _, _, _, parts, source, tokens, reasoning, duration, _, reason, flags, failed,
         savings, premium, reported, _, trace_id, span_id, sampled) = call  # fmt: skip
        mark = (trace_id, span_id, clock()) if sampled else None
        add(self.calls, error_type, 1, clock)
        total = 0
        if parts is not None:
            total = sum(parts.values())
            add_all(self.local if source == "local" else self.provider, parts, clock)
            self.cost.observe(total, mark)
        if duration is not None:
            self.duration.observe(duration, mark)
        if not flags or "cached_response" not in flags:
            add_all(self.tokens, tokens, clock)
        if reasoning or reason or flags or failed or savings or premium or reported is not None:
            self._count_rare(call, total, clock)

    def _count_rare(self, call: MeteredCall, total: int, clock: Callable[[], float]) -> None:
        """Count what few calls have."""
        flags = call.flags
        for flag in flags:
            add(self.flags, flag, 1, clock)
        if call.unpriced_reason:
            add(self.unpriced, call.unpriced_reason, 1, clock)
        if call.reasoning and "cached_response" not in flags:
            add(self.rare, _REASONING, call.reasoning, clock)
        if call.failed and total:
            add(self.rare, _FAILED_COST, total, clock)
        if call.cache_read_savings:
            add(self.rare, _CACHE_SAVINGS, call.cache_read_savings, clock)
        if call.cache_write_premium:
            add(self.rare, _CACHE_PREMIUM, call.cache_write_premium, clock)
        if call.reported is not None and call.estimated is not None:
            add(self.rare, _REPORTED, call.reported, clock)
            add(self.rare, _ESTIMATED, call.estimated, clock)

    def counts(self) -> list[Count]:
        """Return the counters that exist, as they are now."""
        found = [Count(names.COST, (n, "local"), c.value, c.born) for n, c in self.local.items()]
        found += [Count(names.COST, (n, "provider"), c.value, c.born) for n, c in self.provider.items()]
        for spec, cells in (
            (names.TOKENS, self.tokens),
            (names.CALLS, self.calls),
            (names.UNPRICED, self.unpriced),
            (names.FLAGGED, self.flags),
        ):
            found += [Count(spec, (n,), c.value, c.born) for n, c in cells.items()]
        found += [Count(names.BY_NAME[n], (), c.value, c.born) for n, c in self.rare.items()]
        return found


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

    @classmethod
    def of(cls, record: Record) -> Copy:
        """Copy a record; the caller holds the lock."""
        return cls(record.values, record.counts(), record.cost.copy(), record.duration.copy(), record.kept)


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

    __slots__ = ("cost", "kept", "values")

    def __init__(self, values: tuple[str, ...], born: float) -> None:
        self.values = values
        self.cost = Buckets(COST_BOUNDS, born)
        self.kept = Kept()

    def copy(self) -> RunCopy:
        """Return the runs as they are now; the caller holds the lock."""
        return RunCopy(self.values, self.cost.copy(), self.kept)
