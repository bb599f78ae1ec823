# SPDX-License-Identifier: Apache-2.0
"""The meter itself: takes settled calls on the app's own thread, and gives copies to whoever collects."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from spancost._fork import renew_each_after_fork
from spancost.meter import names
from spancost.meter.answers import Answers
from spancost.meter.any_call import count_any
from spancost.meter.bounds import check_extra_labels, clean
from spancost.meter.families import Family, families_of
from spancost.meter.gate import Gate, Rejoin
from spancost.meter.label_sets import LabelSets, values_of
from spancost.meter.places import FIXED
from spancost.meter.rates import Prices
from spancost.meter.series import Series
from spancost.meter.snapshot import Gauge, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from spancost.book import PriceBook
    from spancost.cost import Cost
    from spancost.meter.cells import Cell, Mark, Run
    from spancost.meter.gate import Store
    from spancost.meter.label_sets import Key
    from spancost.meter.metered import MeteredCall
    from spancost.meter.records import Record
    from spancost.usage import Usage

DEFAULT_MAX_LABEL_VALUES: Final = 200
DEFAULT_MAX_LABEL_SETS: Final = 10_000

_MAX_SAID_CHARS: Final = 2_000
"""The most that `Meter.known` remembers of what a span said; longer is looked up each time."""

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
        self.expecting: Callable[[], None] = _nothing_expected
        """Lets the series of open calls be born (`expect`); called before each scrape, likewise."""
        self.labels = names.BASE_LABELS + self.extra_labels
        self.run_labels = names.RUN_LABELS + self.extra_labels
        self._clock = clock
        self._prices: Prices | None = None
        self._pending_seen = 0
        self.gate = Gate(None)
        self.start_at_zero()
        _METERS.add(self)
        if registry is not None:
            registry.register(self)

    def start_at_zero(self) -> None:
        """Forget everything counted, and renew the lock: for a forked child (design 5.11)."""
        group = self.gate.store
        if group is not None:
            group.left_in_fork()
            group = group if isinstance(group, Rejoin) else Rejoin(group)
        self.gate = Gate(group)
        self._series = Series(self.gate, self._clock)
        self._sets = LabelSets(self.max_label_values, self.max_label_sets, self._overflowed)
        # Records by the label set as calls give it, and as series have it. The first keeps no key
        # that a bound changed: what a stranger names is remembered nowhere.
        self.by_key: dict[Key, Record] = {}
        self.known: dict[tuple[object, ...], Record] = {}
        """Records by what spans say, for a processor (`count`)."""
        self._answers = Answers(self.max_label_sets)
        self.answered = 0
        """
        How many models there ever were that answer for one; while it stays the same, no series is born that
        could not be before.
        """

    # --- counting ---------------------------------------------------------------------------------

    def count(
        self,
        key: Key,
        usage: Usage,
        cost: Cost,
        duration_ns: int | None = None,
        *,
        trace_id: str | int = 0,
        span_id: str | int = 0,
        ended_ns: int = 0,
        said: tuple[object, ...] | None = None,
    ) -> None:
        """
        Count a settled call as nearly all are: it succeeded, has our own price, and has no flag.

        It gives the same numbers as `record`, which takes every call. Whoever holds `gate.lock`, finds
        the gate not busy and the record in `known`, may call the record's `count` itself: that is the
        way of nearly all of a processor's calls, a fifth of what `record` costs.

        Args:
            key: Its label set, in the order of the first fields of `MeteredCall`.
            usage: What it used.
            cost: What that costs by our rates.
            duration_ns: How long it took; None when that is not known.
            trace_id: Its carrier's, as the SDK's integer or as hex text; 0 unless the trace can be
                looked up, so that an exemplar may name it.
            span_id: Likewise.
            ended_ns: When it ended, in nanoseconds since the epoch.
            said: By what `known` shall have the record from now on: whatever the caller has of a call
                before it knows the key, at most 16 strings or tuples of strings.
        """
        self.gate.do(self._count_plain, key, said, usage, cost, duration_ns, trace_id, span_id, ended_ns)

    def _count_plain(self, key: Key, said: tuple[object, ...] | None, *given: Any) -> None:
        record = self.by_key.get(key) or self._admit(key)
        # Only where no bound changed the key: what a stranger names is remembered nowhere.
        has_room = len(self.known) < self.max_label_sets and key in self.by_key
        if said is not None and has_room and len(repr(said)) < _MAX_SAID_CHARS:
            self.known[said] = record
        record.count(*given)

    def record(self, call: MeteredCall) -> None:
        """Count one settled call, whatever there is to say about it."""
        self.gate.do(self._count, call)

    def _written(self, thing: Record | Run) -> None:
        """Let the group have what changed, before the call's span has ended for its caller."""
        if self.gate.store is not None:
            self.gate.store.put(thing)

    def _count(self, call: MeteredCall) -> None:
        key = (call[0], call[1], call[2], call[3], call[4], call[5], call[6])
        record = self.by_key.get(key) or self._admit(key)
        error = call.error_type
        if error or call.failed:
            error = self._sets.one_value("error_type", error or _OTHER_ERROR)
        count_any(record, call, error)
        self._written(record)

    def expect(  # noqa: PLR0917 - for the start of every span, where names would cost as much as looking
        self,
        service_name: str | None,
        agent: str | None,
        provider: str | None,
        request_model: str | None,
        operation: str | None,
        labels: tuple[str, ...] = (),
    ) -> None:
        """
        Let the series of a call that starts be born at 0, so that a scrape can see them before they count.

        A server that ignores `_created` takes the first value of a series for its beginning. Which
        series a call will have is known once the model asked for has answered anybody: by then it is
        known as which model, and with which token types. Series are never born for names that have
        no room, and a call that fails or has no price leaves series that stay at 0.

        Args:
            service_name: As in the label set of the call to come, and so are the others.
            agent: See there.
            provider: See there.
            request_model: See there.
            operation: See there.
            labels: See there.
        """
        answers = self._answers.records.get((provider, request_model, operation))
        if answers is None:
            return
        asked = (service_name, agent, provider, request_model, operation, labels)
        if self._answers.born.get(asked) != len(answers):
            self.gate.do(self._expect, asked, answers)

    def _expect(self, asked: tuple[Any, ...], answers: dict[str | None, Record]) -> None:
        service, agent, provider, request_model, operation, labels = asked
        for response_model, like in list(answers.items()):
            key = (service, agent, provider, response_model, request_model, operation, labels)
            if key not in self.by_key and self._sets.have_room(self.labels, values_of(key)):
                record = self._admit(key)
                record.expect(place for place in like.shape() if place in FIXED)
                self._written(record)
        self._answers.note(asked, len(answers))

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
        said = (clean(each) if each else names.UNKNOWN for each in (service_name, agent))
        wanted = (*said, *map(clean, labels))
        mark = (trace_id, span_id, self._clock()) if sampled else None
        self.gate.do(self._observe_run, wanted, femto, mark)

    def _observe_run(self, wanted: tuple[str, ...], femto: int, mark: Mark | None) -> None:
        run = self._series.run_of(self._sets.fit(self.run_labels, wanted))
        run.cost.observe(femto, mark)
        self._written(run)

    def duplicate(self) -> None:
        """Count one span that shows a call which another span carries."""
        self.gate.do(self._count_process, self._series.duplicates, 1)

    def uncarried(self, femto: int) -> None:
        """Count an amount that no exported span carries (design 5.1f), in 1e-15 USD."""
        self.gate.do(self._count_process, self._series.uncarried, femto)

    def _count_process(self, cell: Cell, amount: int) -> None:
        cell.add(amount)
        self._written_process()

    def _written_process(self) -> None:
        if self.gate.store is not None:
            self.gate.store.put_process(self._series.process_counts(), self._pending_seen)

    def internal_error(self, cause: str) -> None:
        """Count one error that was kept from the program, by a short name of its cause."""
        self.gate.do(self._count_error, cause)

    def _count_error(self, cause: str) -> None:
        self._series.add_error(self._sets.one_value("cause", cause))
        self._written_process()

    def set_price_book(
        self,
        book: PriceBook,
        *,
        source: str | None = None,
        candidates: Iterable[tuple[str, str]] = (),
    ) -> None:
        """
        Show which price book prices the calls, and the rates of the models in use.

        Args:
            book: The price book. It replaces the one shown before.
            source: Where it is from; None shows what the book says of itself.
            candidates: Pairs of provider and model whose rates are shown though nobody uses them.
        """
        self._prices = Prices(book, source, tuple(candidates))

    # --- label sets -------------------------------------------------------------------------------

    def _admit(self, key: Key) -> Record:
        """Find or make the record of a label set that is not remembered as it stands."""
        values = self._sets.fit(self.labels, values_of(key))
        record = self._series.record_of(values)
        if values_of(key, str) == values and len(self.by_key) < self.max_label_sets:
            self.by_key[key] = record
            self.answered += self._answers.add(key, record)
        return record

    def _overflowed(self, label: str) -> None:
        self._series.add_overflow(label)
        self._written_process()

    # --- a group of workers -----------------------------------------------------------------------

    def write_to(self, store: Store, known: Iterable[Snapshot]) -> None:
        """
        Write all there is to a group's file, and from now on everything as it is counted.

        Args:
            store: The membership in the group.
            known: What the group has: its label sets and their values count for the bounds here.
        """
        with self.gate.lock:
            self.gate.store = store
            for snapshot in known:
                self._sets.take(self.labels, (copy.values for copy in snapshot.records))
                self._sets.take(self.run_labels, (copy.values for copy in snapshot.runs))
            series = self._series
            things: list[Record | Run] = [*series.records.values(), *series.runs.values()]
            for thing in things:
                thing.row = None
                store.put(thing)
            self._written_process()

    def tell_pending(self) -> None:
        """Let the group know how many calls wait here now; a scrape of another worker shows it."""
        self._pending_seen = self.pending()
        self.gate.do(self._written_process)

    # --- collecting -------------------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        """Return the families without samples, so that a registry knows the names."""
        return [Family(spec) for spec in names.SPECS]

    def collect(self) -> list[Metric]:
        """Return the families of `prometheus_client` that have samples."""
        return [*families_of(self.snapshot())]

    def snapshot(self) -> Snapshot:
        """
        Return what a scrape shows: all series of this process, or of its group of workers (`join`).

        Raises:
            OSError: The files of the group cannot be read; half a sum would be worse than none.
            ValueError: One of them is damaged, or a worker has other labels.
        """
        own = self.own_snapshot()
        group = self.gate.store
        return own if group is None else group.snapshot(own)

    def own_snapshot(self) -> Snapshot:
        """Return all series of this process alone, as they are now, for whoever pushes them by process."""
        series, began = self._series, self._clock()
        self.expecting()
        records = series.copies()
        runs = series.run_copies()
        counts = self.gate.copy(series.process_counts)
        series.shown(began)
        taken = self._clock()
        gauges = [Gauge(names.PENDING, (), self.pending())]
        if self._prices is not None:
            models = {(copy.values[2], copy.values[3]): copy.values[4] for copy in records}
            gauges += self._prices.gauges(models, int(taken * 10**9))
        return Snapshot(self.labels, self.run_labels, records, runs, counts, gauges, taken)


def _nothing_expected() -> None:
    return


def _nothing_pending() -> int:
    return 0


_METERS: Final[weakref.WeakSet[Meter]] = weakref.WeakSet()


renew_each_after_fork(_METERS, Meter.start_at_zero)  # what the parent counted is the parent's
