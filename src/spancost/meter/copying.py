# SPDX-License-Identifier: Apache-2.0
"""Copies of records for whoever collects, and records that say what a copy of one says."""

from __future__ import annotations

from typing import Final

from spancost.meter import names
from spancost.meter.cells import COST_BOUNDS, DURATION_BOUNDS, Buckets, Copy, Count
from spancost.meter.gate import Gate
from spancost.meter.places import CALL_AT, COSTS_FROM, DURATION_SUM, DURATIONS_FROM, FIXED, Place
from spancost.meter.records import Record


def copy_of(record: Record) -> Copy:
    """Return the record as it is now; the caller holds the lock."""
    record.fold()
    counts = [
        Count(*_SPECS[place] if place in _SPECS else _spec_of(place), _value(record, at), born)
        for place, (at, born) in zip(record.shape(), record.births.items(), strict=True)
    ]
    cost = _buckets(record, COSTS_FROM, COST_BOUNDS)
    cost.total = sum(count.value for count in counts if count.spec is names.COST)
    duration = _buckets(record, DURATIONS_FROM, DURATION_BOUNDS)
    duration.total = _value(record, DURATION_SUM)
    return Copy(record.values, counts, cost, duration, record.kept)


def record_from(copy: Copy) -> Record:
    """Return a record that says what a copy of one says."""
    record = Record(copy.values, lambda: copy.cost.born, Gate(None))
    for count in copy.counts:
        at = record.place(count.spec.name, *count.own)
        record.births[at] = count.born
        record.cells[at] = count.value
    for first, buckets, is_cost in (
        (COSTS_FROM, copy.cost, True),
        (DURATIONS_FROM, copy.duration, False),
    ):
        record.cells[first : first + len(buckets.counts)] = buckets.counts
        for index, (value, (trace_id, span_id, at_s)) in buckets.marks.items():
            both = (value, 0) if is_cost else (0, value)
            record.marks[first + index] = (trace_id, span_id, round(at_s * 10**9), *both)
    record.cells[CALL_AT] -= sum(copy.cost.counts)
    record.cells[DURATION_SUM] = copy.duration.total
    record.kept = copy.kept
    return record


def _value(record: Record, at: int) -> int:
    if at == CALL_AT:
        return record.cells[at] + sum(record.cells[COSTS_FROM:DURATIONS_FROM])
    return record.cells[at] + record.carried[at] if at in record.carried else record.cells[at]


def _buckets(record: Record, first: int, bounds: tuple[int, ...]) -> Buckets:
    """Return the histogram whose buckets begin at a place."""
    buckets = Buckets(bounds, record.born)
    end = first + len(bounds) + 1
    buckets.counts = record.cells[first:end]
    for at, trace in enumerate(record.marks[first:end], first):
        if trace is not None:
            trace_id, span_id, ended, cost, duration = trace
            value = cost if first == COSTS_FROM else duration
            buckets.marks[at - first] = (value, (trace_id, span_id, ended / 10**9))
    return buckets


def _spec_of(place: Place) -> tuple[names.Spec, tuple[str, ...]]:
    """Return a counter's metric and its own label values."""
    return names.BY_NAME[place[0]], place[1:]


_SPECS: Final = {place: _spec_of(place) for place in FIXED}
