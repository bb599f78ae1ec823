# SPDX-License-Identifier: Apache-2.0
"""The meter itself: takes settled calls on the app's own thread, and gives copies to whoever collects."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from spancost.meter import names
from spancost.meter.bounds import ValueBounds, check_extra_labels, clean
from spancost.meter.cells import Cell, Copy, Count, Record, Run, add
from spancost.meter.families import Families, new_metric
from spancost.meter.rates import Prices
from spancost.meter.snapshot import Gauge, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from spancost.book import PriceBook
    from spancost.meter.cells import Mark
    from spancost.meter.metered import MeteredCall

_Copied = TypeVar("_Copied")

DEFAULT_MAX_LABEL_VALUES: Final = 200
DEFAULT_MAX_LABEL_SETS: Final = 10_000

_LABELED: Final = len(names.BASE_LABELS) + 1
"""How many fields of a `MeteredCall` are its label set: the base labels and the tuple of the others."""

_OTHER_ERROR: Final = "_OTHER"
"""What the conventions call an error that nobody named."""


class Meter:
    """
    The series of a process. It is a collector for a registry of `prometheus_client`.

    `record` is on the path of every LLM call: one look-up of the label set, one lock, integer
    additions. Nothing is formatted before somebody collects. Whoever collects copies one record at
    a time under the lock and builds families outside it, so no call waits for a scrape.

    A series once born stays for the life of the process and never goes backwards. A call whose
    label value has no room is counted under `names.OTHER` for that label.

    Args:
        extra_labels: Names of labels beyond the base labels, the allow-list of the configuration.
        max_label_values: How many values each label may take.
        max_label_sets: How many combinations of values there may be in all.
        registry: Where to register; None for a meter of its own, such as a test's. Programs use
            `shared_meter`.
        clock: Seconds since 1970, for births and exemplars.

    Raises:
        ValueError: An extra label is no label name or is taken, or the registry has such series.
    """

    def __init__(
        self,
        *,
        extra_labels: Sequence[str] = (),
        max_label_values: int = DEFAULT_MAX_LABEL_VALUES,
        max_label_sets: int = DEFAULT_MAX_LABEL_SETS,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.extra_labels = check_extra_labels(extra_labels)
        self.max_label_values = max_label_values
        self.max_label_sets = max_label_sets
        self.pending: Callable[[], int] = _nothing_pending
        """How many calls wait to be settled; asked at each scrape, without the meter's lock held."""
        self._labels = names.BASE_LABELS + self.extra_labels
        self._run_labels = names.RUN_LABELS + self.extra_labels
        self._clock = clock
        self._prices: Prices | None = None
        self.start_at_zero()
        _METERS.add(self)
        if registry is not None:
            registry.register(self)

    def start_at_zero(self) -> None:
        """Forget everything counted, and renew the lock: for a forked child (design 5.11)."""
        # A finaliser may end a span, and so count a call, on the very thread that holds the lock: what
        # it brings waits until that thread is done with what it is doing.
        self._lock = threading.RLock()
        self._busy = False
        self._late: deque[Callable[[], None]] = deque()
        self._bounds = ValueBounds(self.max_label_values)
        # Records by the label set as calls give it, and as series have it. The first keeps no key
        # that a bound changed: what a stranger names is remembered nowhere.
        self._by_key: dict[tuple[object, ...], Record] = {}
        self._records: dict[tuple[str, ...], Record] = {}
        self._runs: dict[tuple[str, ...], Run] = {}
        self._duplicates = Cell(0, self._clock())
        self._uncarried = Cell(0, self._clock())
        self._errors: dict[str, Cell] = {}
        self._overflow: dict[str, Cell] = {}

    # --- counting ---------------------------------------------------------------------------------

    def record(self, call: MeteredCall) -> None:
        """Count one settled call."""
        self._do(self._count, call, self._by_key.get(call[:_LABELED]))

    def _count(self, call: MeteredCall, record: Record | None) -> None:
        if record is None:
            record = self._admit(call)
        error = call.error_type
        if error or call.failed:
            error = self._one_value("error_type", error or _OTHER_ERROR)
        record.count(call, error, self._clock)

    def _do(self, step: Callable[..., None], *arguments: Any) -> None:
        """Change something under the lock, at once or after what this thread is changing or copying."""
        with self._lock:
            if self._busy:
                self._late.append(partial(step, *arguments))
                return
            self._busy = True
            try:
                step(*arguments)
            finally:
                self._done()

    def _copy(self, read: Callable[[], _Copied]) -> _Copied:
        """Copy something under the lock; what finalisers bring meanwhile waits."""
        with self._lock:
            outermost, self._busy = not self._busy, True
            try:
                return read()
            finally:
                if outermost:
                    self._done()

    def _done(self) -> None:
        """Do what came from finalisers meanwhile; the caller holds the lock."""
        try:
            while self._late:
                self._late.popleft()()
        finally:
            self._busy = False

    def record_run(
        self,
        *,
        service_name: str | None,
        agent: str | None,
        femto: int,
        labels: tuple[str, ...] = (),
        trace_id: str | int = "",
        span_id: str | int = "",
        sampled: bool = False,
    ) -> None:
        """
        Count one run of an agent: the end of its span or of its block.

        Args:
            service_name: As for a call, and so is everything not named here.
            agent: The agent that ran.
            femto: The cost of all calls below it, in 1e-15 USD.
            labels: The values of the configured extra labels.
            trace_id: The agent span's, or those of the span in which the block stood.
            span_id: See there.
            sampled: Whether the trace can be looked up.
        """
        wanted = (_said(service_name), _said(agent), *map(clean, labels))
        mark = (trace_id, span_id, self._clock()) if sampled else None
        self._do(self._observe_run, wanted, femto, mark)

    def _observe_run(self, wanted: tuple[str, ...], femto: int, mark: Mark | None) -> None:
        values = self._fit(self._run_labels, wanted, self._runs)
        run = self._runs.get(values)
        if run is None:
            run = self._runs[values] = Run(values, self._clock())
        run.cost.observe(femto, mark)

    def duplicate(self) -> None:
        """Count one span that shows a call which another span carries."""
        self._do(self._duplicates.add, 1)

    def uncarried(self, femto: int) -> None:
        """Count an amount that no exported span carries (design 5.1f), in 1e-15 USD."""
        self._do(self._uncarried.add, femto)

    def internal_error(self, cause: str) -> None:
        """Count one error that was kept from the program, by a short name of its cause."""
        self._do(self._count_error, cause)

    def _count_error(self, cause: str) -> None:
        add(self._errors, self._one_value("cause", cause), 1, self._clock)

    def set_price_book(
        self,
        book: PriceBook,
        *,
        source: str = "built-in",
        candidates: Iterable[tuple[str, str]] = (),
    ) -> None:
        """
        Show which price book prices the calls, and the rates of the models in use.

        Args:
            book: The price book. It replaces the one shown before.
            source: Where it is from: ``built-in``, or the path of a file.
            candidates: Pairs of provider and model whose rates are shown though nobody uses them.
        """
        self._prices = Prices(book, source, tuple(candidates))

    # --- label sets -------------------------------------------------------------------------------

    def _admit(self, call: MeteredCall) -> Record:
        """Find or make the record of a call whose label set is not remembered as it stands."""
        model = call.response_model or call.request_model
        named = (call.service_name, call.agent, call.provider, model, call.request_model, call.operation)
        wanted = (*map(_said, named), *map(clean, call.labels))
        values = self._fit(self._labels, wanted, self._records)
        record = self._records.get(values)
        if record is None:
            record = self._records[values] = Record(values, self._clock())
        given = (*named, *call.labels)
        unchanged = all(value in (None, name) for value, name in zip(given, values, strict=True))
        if unchanged and len(self._by_key) < self.max_label_sets:
            self._by_key[call[:_LABELED]] = record
        return record

    def _fit(
        self, labels: Sequence[str], wanted: tuple[str, ...], taken: Container[tuple[str, ...]]
    ) -> tuple[str, ...]:
        """Return the label set under which something is counted, and remember its values."""
        values, full = self._bounds.fit(labels, wanted)
        for label in full:
            add(self._overflow, label, 1, self._clock)
        if values in taken:
            return values
        if len(self._records) + len(self._runs) >= self.max_label_sets:
            add(self._overflow, names.ALL_LABELS, 1, self._clock)
            return (names.OTHER,) * len(labels)
        self._bounds.admit(labels, values)
        return values

    def _one_value(self, label: str, wanted: str) -> str:
        """Return the value under which a label beyond the label set is counted."""
        ((value,), full) = self._bounds.fit((label,), (clean(wanted),))
        if full:
            add(self._overflow, label, 1, self._clock)
        self._bounds.admit((label,), (value,))
        return value

    # --- collecting -------------------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        """Return the families without samples, so that a registry knows the names."""
        return [new_metric(spec) for spec in names.SPECS]

    def collect(self) -> list[Metric]:
        """Return the families of `prometheus_client` that have samples."""
        families = Families()
        families.add(self.snapshot())
        return families.finished()

    def snapshot(self) -> Snapshot:
        """Return all series as they are now; no call waits for more than the copy of one record."""
        records = self._copies()
        runs = self._copy(lambda: [run.copy() for run in self._runs.values()])
        counts = self._copy(self._process_counts)
        taken = self._clock()
        gauges = [Gauge(names.PENDING, (), self.pending())]
        if self._prices is not None:
            models = {(copy.values[2], copy.values[3]): copy.values[4] for copy in records}
            gauges += self._prices.gauges(models, int(taken * 10**9))
        return Snapshot(self._labels, self._run_labels, records, runs, counts, gauges, taken)

    def _copies(self) -> list[Copy]:
        """Copy the records one by one, so that no call waits for all of them."""
        records = self._copy(lambda: list(self._records.values()))
        return [self._copy(partial(Copy.of, record)) for record in records]

    def _process_counts(self) -> list[Count]:
        """Copy the counters that belong to no label set; the caller holds the lock."""
        found = [
            Count(names.DUPLICATES, (), self._duplicates.value, self._duplicates.born),
            Count(names.UNCARRIED, (), self._uncarried.value, self._uncarried.born),
        ]
        for spec, cells in ((names.ERRORS, self._errors), (names.OVERFLOW, self._overflow)):
            found += [Count(spec, (n,), c.value, c.born) for n, c in cells.items()]
        return found


def _said(value: str | None) -> str:
    return clean(value) if value else names.UNKNOWN


def _nothing_pending() -> int:
    return 0


_METERS: Final[weakref.WeakSet[Meter]] = weakref.WeakSet()


def _start_child_at_zero() -> None:
    """Leave what the parent counted to the parent; its lock may have been held by another thread."""
    for meter in list(_METERS):
        meter.start_at_zero()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_start_child_at_zero)
