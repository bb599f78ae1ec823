# SPDX-License-Identifier: Apache-2.0
"""Metric families of `prometheus_client` from copies of the meter's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from spancost.meter import names
from spancost.money import FEMTO_PER_USD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spancost.meter.cells import Buckets, Count, Mark
    from spancost.meter.snapshot import Gauge, Snapshot

_SCALES: Final = {"usd": FEMTO_PER_USD, "seconds": 10**9}
"""How many of what is counted make one of the unit; everything else is counted as it is shown."""


def new_metric(spec: names.Spec) -> Metric:
    """Return the family of a metric, without samples."""
    return Metric(spec.name, spec.help, spec.kind, spec.unit)


class Families:
    """Families that grow sample by sample; integers become correctly rounded floats here."""

    def __init__(self) -> None:
        self._metrics = {spec.name: new_metric(spec) for spec in names.SPECS}

    def finished(self) -> list[Metric]:
        """Return the families that have samples, in the order of `names.SPECS`."""
        return [metric for metric in self._metrics.values() if metric.samples]

    def add(self, snapshot: Snapshot) -> None:
        """Add all samples of a snapshot."""
        for copy in snapshot.records:
            labels = labels_of(snapshot.labels, copy.values)
            for count in copy.counts:
                self.counter(labels, count)
            self.histogram(names.CALL_COST, labels, copy.cost)
            self.histogram(names.DURATION, labels, copy.duration)
        for run in snapshot.runs:
            self.histogram(names.RUN_COST, labels_of(snapshot.run_labels, run.values), run.cost)
        for count in snapshot.counts:
            self.counter({}, count)
        for gauge in snapshot.gauges:
            self.gauge(gauge)

    def gauge(self, gauge: Gauge) -> None:
        """Add the sample of a gauge."""
        spec = gauge.spec
        suffix = "_info" if spec.kind == "info" else ""
        labels = labels_of(spec.labels, gauge.own)
        self._metrics[spec.name].samples.append(Sample(spec.name + suffix, labels, gauge.value))

    def counter(self, labels: Mapping[str, str], count: Count) -> None:
        """Add the samples of a counter."""
        spec = count.spec
        own = {**labels, **dict(zip(spec.labels, count.own, strict=True))}
        value = count.value / _SCALES.get(spec.unit, 1)
        self._metrics[spec.name].samples += (
            Sample(f"{spec.name}_total", own, value),
            Sample(f"{spec.name}_created", own, count.born),
        )

    def histogram(self, spec: names.Spec, labels: Mapping[str, str], buckets: Buckets) -> None:
        """Add the samples of a histogram."""
        scale = _SCALES[spec.unit]
        samples = self._metrics[spec.name].samples
        own = dict(labels)
        below = 0
        for index, number in enumerate(buckets.counts):
            below += number
            bound = buckets.bounds[index] / scale if index < len(buckets.bounds) else float("inf")
            exemplar = _exemplar(*buckets.marks[index], scale) if index in buckets.marks else None
            le = {**own, "le": floatToGoString(bound)}  # type: ignore[no-untyped-call]
            samples.append(Sample(f"{spec.name}_bucket", le, float(below), None, exemplar))
        samples += (
            Sample(f"{spec.name}_count", own, float(below)),
            Sample(f"{spec.name}_sum", own, buckets.total / scale),
            Sample(f"{spec.name}_created", own, buckets.born),
        )


def labels_of(labels: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """Return label values by their names."""
    return dict(zip(labels, values, strict=True))


def _exemplar(value: int, mark: Mark, scale: int) -> Exemplar:
    trace_id, span_id, at = mark
    return Exemplar({"trace_id": _hex(trace_id, 32), "span_id": _hex(span_id, 16)}, value / scale, at)


def _hex(identifier: str | int, digits: int) -> str:
    return identifier if isinstance(identifier, str) else f"{identifier:0{digits}x}"
