# SPDX-License-Identifier: Apache-2.0
"""
A snapshot as metric families: what a registry of `prometheus_client` collects.

A family knows its series as the meter counts them. Our own renderer (`rendering`) writes them as
they are; who asks a family for its `samples`, as any other endpoint of `prometheus_client` does,
gets them made at that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from spancost.meter import names
from spancost.meter.cells import Buckets, Count
from spancost.money import FEMTO_PER_USD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost.meter.cells import Copy, Mark, RunCopy
    from spancost.meter.snapshot import Gauge, Snapshot

_SCALES: Final = {"usd": FEMTO_PER_USD, "seconds": 10**9}
"""How many of what is counted make one of the unit; everything else is counted as it is shown."""


Series: TypeAlias = "tuple[Copy | RunCopy | None, Any]"
"""
One series: what it is of, for the values of the `Family.labels` (None where there are none), and its
data, by the type of the metric a `Count`, a `Buckets` or a `Gauge`. A plain tuple, since a scrape makes
tens of thousands.
"""


class Family(Metric):
    """
    One metric with all its series.

    Args:
        spec: The metric.
        labels: Names of the labels that all series have beside those of the spec.
    """

    def __init__(self, spec: names.Spec, labels: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.labels = labels
        self.series: list[Series] = []
        self._samples: list[Sample] | None = None
        super().__init__(spec.name, spec.help, spec.kind, spec.unit)

    @property
    def scale(self) -> int:
        """How many of what is counted make one of the unit."""
        return _SCALES.get(self.spec.unit, 1)

    @property
    def samples(self) -> list[Sample]:
        """The samples; integers become correctly rounded floats here."""
        if self._samples is None:
            self._samples = [sample for series in self.series for sample in self._samples_of(series)]
        return self._samples

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        # The base class begins with none; here that means that nobody asked yet.
        self._samples = samples or None

    def _samples_of(self, series: Series) -> Iterator[Sample]:
        owner, data = series
        own = dict(zip(self.labels, () if owner is None else owner.values, strict=True))
        if isinstance(data, Buckets):
            return self._histogram(own, data)
        own.update(zip(self.spec.labels, data.own, strict=True))
        return self._counter(own, data) if isinstance(data, Count) else self._gauge(own, data)

    def _counter(self, own: dict[str, str], count: Count) -> Iterator[Sample]:
        yield Sample(f"{self.name}_total", own, count.value / self.scale)
        yield Sample(f"{self.name}_created", own, count.born)

    def _gauge(self, own: dict[str, str], gauge: Gauge) -> Iterator[Sample]:
        yield Sample(self.name + ("_info" if self.type == "info" else ""), own, gauge.value)

    def _histogram(self, own: dict[str, str], buckets: Buckets) -> Iterator[Sample]:
        scale = self.scale
        below = 0
        for index, number in enumerate(buckets.counts):
            below += number
            exemplar = _exemplar(*buckets.marks[index], scale) if index in buckets.marks else None
            le = {**own, "le": bound_text(buckets.bounds, index, scale)}
            yield Sample(f"{self.name}_bucket", le, float(below), None, exemplar)
        yield Sample(f"{self.name}_count", own, float(below))
        yield Sample(f"{self.name}_sum", own, buckets.total / scale)
        yield Sample(f"{self.name}_created", own, buckets.born)


def families_of(snapshot: Snapshot) -> list[Family]:
    """Return the families that have series, in the order of `names.SPECS`."""
    families = {spec.name: Family(spec) for spec in names.SPECS}
    for spec in names.SPECS:
        if spec.per_call:
            families[spec.name].labels = snapshot.labels
    # The lists, so that the loop over a large snapshot looks each up once and not per series.
    lists = {name: family.series for name, family in families.items()}
    costs, durations = lists[names.CALL_COST.name], lists[names.DURATION.name]
    for copy in snapshot.records:
        for count in copy.counts:
            lists[count.spec.name].append((copy, count))
        costs.append((copy, copy.cost))
        durations.append((copy, copy.duration))
    families[names.RUN_COST.name].labels = snapshot.run_labels
    lists[names.RUN_COST.name] += [(run, run.cost) for run in snapshot.runs]
    for count in snapshot.counts:
        lists[count.spec.name].append((None, count))
    for gauge in snapshot.gauges:
        lists[gauge.spec.name].append((None, gauge))
    return [family for family in families.values() if family.series]


def bound_text(bounds: tuple[int, ...], index: int, scale: int) -> str:
    """Return the upper bound of a bucket as its label has it."""
    bound = bounds[index] / scale if index < len(bounds) else float("inf")
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text


def exemplar_ids(mark: Mark) -> tuple[str, str]:
    """Return the trace id and the span id of an exemplar, in hexadecimal digits."""
    trace_id, span_id, _ = mark
    return _hex(trace_id, 32), _hex(span_id, 16)


def _exemplar(value: int, mark: Mark, scale: int) -> Exemplar:
    trace_id, span_id = exemplar_ids(mark)
    return Exemplar({"trace_id": trace_id, "span_id": span_id}, value / scale, mark[2])


def _hex(identifier: str | int, digits: int) -> str:
    return identifier if isinstance(identifier, str) else f"{identifier:0{digits}x}"
