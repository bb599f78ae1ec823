# SPDX-License-Identifier: Apache-2.0
"""Everything a meter shows at one moment: what renderers, collectors and the push are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from spancost.meter.cells import Buckets, Copy, Count, Kept, RunCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spancost.meter import names


class Gauge(NamedTuple):
    """One gauge: its metric, its own label values, its value. It has no base labels."""

    spec: names.Spec
    own: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All series of a meter, or of a group of workers. Amounts are integers in the units of `Copy`.

    Args:
        labels: Names of the labels of each record, in the order of its values.
        run_labels: The same for runs.
        records: One for each label set; each is of one moment, all of them of nearly the same.
        runs: One for each agent that ran.
        counts: The counters that belong to no label set.
        gauges: What has a value now, and no history.
        taken: When, in seconds since 1970.
    """

    labels: tuple[str, ...]
    run_labels: tuple[str, ...]
    records: Sequence[Copy]
    runs: Sequence[RunCopy]
    counts: Sequence[Count]
    gauges: Sequence[Gauge]
    taken: float


def merged(snapshots: Iterable[Snapshot], kept: Callable[[tuple[str, ...]], Kept]) -> Snapshot:
    """
    Return the sums of several processes' series under one identity.

    A series is as old as the oldest of its parts, and an exemplar is the latest. The gauges are the
    first snapshot's, but for the pending calls, which add up.

    Args:
        snapshots: At least one, of meters with the same labels.
        kept: Gives what a renderer keeps with a label set, the same object each time.

    Raises:
        ValueError: There is none, or they have different labels.
    """
    every = list(snapshots)
    if not every:
        raise ValueError("a group's snapshot needs at least one process's")
    first = every[0]
    if any((each.labels, each.run_labels) != (first.labels, first.run_labels) for each in every):
        raise ValueError("the workers of a group need the same labels")
    records: dict[tuple[str, ...], list[Copy]] = {}
    runs: dict[tuple[str, ...], list[RunCopy]] = {}
    for each in every:
        for copy in each.records:
            records.setdefault(copy.values, []).append(copy)
        for run in each.runs:
            runs.setdefault(run.values, []).append(run)
    return Snapshot(
        labels=first.labels,
        run_labels=first.run_labels,
        records=[
            Copy(
                values,
                _counts(count for copy in parts for count in copy.counts),
                _buckets([copy.cost for copy in parts]),
                _buckets([copy.duration for copy in parts]),
                kept(values),
            )
            for values, parts in records.items()
        ],
        runs=[
            RunCopy(values, _buckets([run.cost for run in parts]), kept(values))
            for values, parts in runs.items()
        ],
        counts=_counts(count for each in every for count in each.counts),
        gauges=_gauges(every),
        taken=max(each.taken for each in every),
    )


def _counts(counts: Iterable[Count]) -> list[Count]:
    """Return the sums of counters by metric and own labels."""
    found: dict[tuple[str, tuple[str, ...]], Count] = {}
    for count in counts:
        key = (count.spec.name, count.own)
        before = found.get(key)
        if before is not None:
            count = before._replace(  # noqa: PLW2901 - the sum takes its place
                value=before.value + count.value, born=min(before.born, count.born)
            )
        found[key] = count
    return list(found.values())


def _buckets(parts: Sequence[Buckets]) -> Buckets:
    """Return the sum of histograms with the same bounds."""
    total = parts[0].copy()
    for part in parts[1:]:
        total.counts = [one + more for one, more in zip(total.counts, part.counts, strict=True)]
        total.total += part.total
        total.born = min(total.born, part.born)
        for index, mark in part.marks.items():
            if index not in total.marks or total.marks[index][1][2] < mark[1][2]:
                total.marks[index] = mark
    return total


def _gauges(every: Sequence[Snapshot]) -> list[Gauge]:
    found: dict[tuple[str, tuple[str, ...]], Gauge] = {}
    for each in every:
        for gauge in each.gauges:
            key = (gauge.spec.name, gauge.own)
            before = found.get(key)
            if before is None:
                found[key] = gauge
            elif gauge.spec.adds_up:
                found[key] = before._replace(value=before.value + gauge.value)
    return list(found.values())
