# SPDX-License-Identifier: Apache-2.0
"""
Data points of OTel's SDK from a snapshot of the meter.

Names: a dot stands where OTel's own name has one (``gen_ai.cost.usd``, ``gen_ai.token.type``), so that
what a Collector or Prometheus makes of them, dots as underscores, units and ``_total`` appended, are the
names of the process's own series. Units are annotations in braces, of which nothing is appended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Union

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from spancost._version import __version__
from spancost.meter import names
from spancost.money import FEMTO_PER_USD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.sdk.resources import Resource

    from spancost.meter.cells import Buckets, Count
    from spancost.meter.snapshot import Snapshot

MAX_POINTS: Final = 1_000
"""Data points in one message. One of 10,000 label sets would be larger than gRPC takes, 4 MB."""

_SCOPE: Final = InstrumentationScope("spancost", __version__)
_NS: Final = 10**9
_SCALES: Final = {"usd": FEMTO_PER_USD, "seconds": _NS}
_UNITS: Final = {"usd": "{USD}", "tokens": "{token}", "seconds": "s"}
_NAMELESS: Final = (names.UNKNOWN, names.OTHER)
_Point = Union[NumberDataPoint, HistogramDataPoint]  # noqa: UP007 - also at run time, on Python 3.10
# `gen_ai` is one word of the conventions, and so are these of ours.
_ONE_WORD: Final = ("gen_ai", "price_book", "usd_per_million")


def otel_name(name: str) -> str:
    """Return the OTel name of a metric or label whose Prometheus name is given."""
    for word in _ONE_WORD:
        name = name.replace(word, word.replace("_", "\0"))
    return name.replace("_", ".").replace("\0", "_")


def _metric_name(spec: names.Spec) -> str:
    """Return a metric's name, less what a translator appends: seconds, for one."""
    name = spec.name.removesuffix("_seconds") + ("_info" if spec.kind == "info" else "")
    return otel_name(name)


_NAMES: Final = {spec.name: _metric_name(spec) for spec in names.SPECS}
_LABELS: Final = {
    label: otel_name(label)
    for label in {*names.BASE_LABELS, *(label for spec in names.SPECS for label in spec.labels)}
}
"""The extra labels, which a program chose, stay as they are."""


def messages(snapshot: Snapshot, resource_of: Callable[[str], Resource]) -> Iterator[MetricsData]:
    """
    Yield a snapshot in messages of at most about `MAX_POINTS` data points.

    Args:
        snapshot: What the meter shows.
        resource_of: Gives the resource of a service; without a name, that of the process.
    """
    batch = _Batch(snapshot, resource_of)
    services = {copy.values[0] for copy in snapshot.records}
    for copy in snapshot.records:
        batch.service = copy.values[0]
        labels = _labels_of(snapshot.labels, copy.values)
        for count in copy.counts:
            batch.add(count.spec, batch.counter(labels, count))
        batch.add(names.CALL_COST, batch.histogram(names.CALL_COST, labels, copy.cost))
        batch.add(names.DURATION, batch.histogram(names.DURATION, labels, copy.duration))
        if batch.is_full:
            yield batch.taken()
    for run in snapshot.runs:
        batch.service = run.values[0]
        labels = _labels_of(snapshot.run_labels, run.values)
        batch.add(names.RUN_COST, batch.histogram(names.RUN_COST, labels, run.cost))
        if batch.is_full:
            yield batch.taken()
    # What belongs to the process goes with its calls: a program may name its service only on its spans.
    batch.service = services.pop() if len(services) == 1 else names.UNKNOWN
    for count in snapshot.counts:
        batch.add(count.spec, batch.counter({}, count))
    for gauge in snapshot.gauges:
        labels = _labels_of(gauge.spec.labels, gauge.own)
        batch.add(gauge.spec, NumberDataPoint(labels, 0, batch.now, gauge.value))
        if batch.is_full:
            yield batch.taken()
    if batch.size:
        yield batch.taken()


class _Batch:
    """Data points by service and metric, until they are enough for a message."""

    def __init__(self, snapshot: Snapshot, resource_of: Callable[[str], Resource]) -> None:
        self.now = int(snapshot.taken * _NS)
        self.service = names.UNKNOWN
        self.size = 0
        self._resource_of = resource_of
        self._points: dict[str, dict[str, list[_Point]]] = {}

    @property
    def is_full(self) -> bool:
        """Whether one label set more could make it too large."""
        return self.size >= MAX_POINTS

    def add(self, spec: names.Spec, point: _Point) -> None:
        """Add a data point to the metric of the current service."""
        self._points.setdefault(self.service, {}).setdefault(spec.name, []).append(point)
        self.size += 1

    def taken(self) -> MetricsData:
        """Return what there is as a message, and begin anew."""
        points, self._points, self.size = self._points, {}, 0
        return MetricsData(
            [
                ResourceMetrics(
                    self._resource_of("" if service in _NAMELESS else service),
                    [ScopeMetrics(_SCOPE, [_metric(name, some) for name, some in metrics.items()], "")],
                    "",
                )
                for service, metrics in points.items()
            ]
        )

    def counter(self, labels: dict[str, str], count: Count) -> NumberDataPoint:
        """Return the data point of a counter."""
        own = labels | _labels_of(count.spec.labels, count.own)
        scale = _SCALES.get(count.spec.unit)
        value = count.value if scale is None else count.value / scale
        return NumberDataPoint(own, _ns(count.born), max(self.now, _ns(count.born)), value)

    def histogram(self, spec: names.Spec, labels: dict[str, str], buckets: Buckets) -> HistogramDataPoint:
        """Return the data point of a histogram, with its exemplars."""
        scale = _SCALES[spec.unit]
        return HistogramDataPoint(
            attributes=labels,
            start_time_unix_nano=_ns(buckets.born),
            time_unix_nano=max(self.now, _ns(buckets.born)),
            count=sum(buckets.counts),
            sum=buckets.total / scale,
            bucket_counts=buckets.counts,
            explicit_bounds=[bound / scale for bound in buckets.bounds],
            # Not known. The encoder leaves out what is None, as it does for the SDK's own.
            min=None,  # type: ignore[arg-type]
            max=None,  # type: ignore[arg-type]
            exemplars=[
                Exemplar({}, value / scale, _ns(at), _number(span_id), _number(trace_id))
                for value, (trace_id, span_id, at) in buckets.marks.values()
            ],
        )


def _metric(name: str, points: Sequence[Any]) -> Metric:
    spec = names.BY_NAME[name]
    data: Sum | Gauge | Histogram
    if spec.kind == "counter":
        data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    elif spec.kind == "histogram":
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
    else:
        data = Gauge(points)
    return Metric(_NAMES[name], spec.help, _UNITS.get(spec.unit, ""), data)


def _labels_of(labels: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return {_LABELS.get(label, label): value for label, value in zip(labels, values, strict=True)}


def _number(identifier: str | int) -> int:
    return int(identifier, 16) if isinstance(identifier, str) else identifier


def _ns(seconds: float) -> int:
    return int(seconds * _NS)
