# SPDX-License-Identifier: Apache-2.0
"""
Our families as text: Prometheus' text format 0.0.4 and OpenMetrics 1.0, fast and piece by piece.

The bytes are those that `prometheus_client` writes, at a small part of its cost: labels become text
once per label set and stay with it, and a line is one formatted string. A piece is some hundred lines,
so a large scrape is never in memory as a whole, and other threads run between two pieces.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeVar

from spancost.meter.families import bound_text, exemplar_ids
from spancost.meter.rendering_labels import LE, Labels, escaped, pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spancost.meter.cells import Buckets, Mark
    from spancost.meter.families import Family, Series

_Item = TypeVar("_Item")

PIECE_LINES: Final = 256
"""About so many lines are one piece."""

_EXPONENT_FROM: Final = 1_000_000
"""From here on a number is written with an exponent, as Go does."""

_PLAIN_DIGITS: Final = 6
"""So many digits a number has before the point, at most, where it is written without one."""


def render(family: Family, *, openmetrics: bool) -> Iterator[str]:
    """
    Yield the text of a family, in pieces.

    Args:
        family: A family with series.
        openmetrics: Whether it is for OpenMetrics, which has units and exemplars, and the birth of
            a series beside it; in the text format births are families of their own.
    """
    lines = _Lines(family, openmetrics=openmetrics)
    write, lines_each = {
        "counter": (lines.counters, 2),
        "histogram": (lines.histograms, 20),
    }.get(family.type, (lines.gauges, 1))
    yield _openmetrics_head(family) if openmetrics else _text_head(*_text_name(family), family)
    for batch in _batches(family.series, PIECE_LINES // lines_each):
        yield "".join(write(batch))
    if lines.births:
        yield _text_head(f"{family.name}_created", "gauge", family)
        for births in _batches(lines.births, PIECE_LINES):
            yield "".join(births)


def number(value: float) -> str:
    """Return a finite float as Go, and so Prometheus, writes it."""
    text = repr(float(value))
    if value < _EXPONENT_FROM:
        return text
    point = text.find(".")
    if point <= _PLAIN_DIGITS:
        return text  # Python wrote an exponent itself
    digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
    return f"{digits}e+{point - 1:02d}"


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _openmetrics_head(family: Family) -> str:
    name = family.name
    head = f"# HELP {name} {escaped(family.documentation)}\n# TYPE {name} {family.type}\n"
    return f"{head}# UNIT {name} {family.unit}\n" if family.unit else head


def _text_head(name: str, kind: str, family: Family) -> str:
    text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _text_name(family: Family) -> tuple[str, str]:
    """Return the name and the type that a family has in the text format."""
    if family.type == "counter":
        return f"{family.name}_total", "counter"
    if family.type == "info":
        return f"{family.name}_info", "gauge"
    return family.name, family.type


class _Lines:
    """
    Writes the lines of one family's series.

    Args:
        family: The family.
        openmetrics: Whether births stand beside values, and buckets have exemplars. Otherwise the
            births gather in ``births``.
    """

    def __init__(self, family: Family, *, openmetrics: bool) -> None:
        self._name = family.name
        self._info = "_info" if family.type == "info" else ""
        self._scale = family.scale
        self._openmetrics = openmetrics
        self._labels = Labels(family)
        self._les: dict[tuple[int, ...], list[str]] = {}
        self._born = (0.0, number(0.0))
        self.births: list[str] = []

    def counters(self, batch: Sequence[Series]) -> list[str]:
        """Return the lines of counters."""
        name, scale, complete = self._name, self._scale, self._labels.complete
        lines: list[str] = []
        births = lines if self._openmetrics else self.births
        for owner, (_, own, value, born) in batch:
            labels = complete(owner, own)
            shown = f"{value}.0" if scale == 1 and value < _EXPONENT_FROM else number(value / scale)
            lines.append(f"{name}_total{labels} {shown}\n")
            births.append(f"{name}_created{labels} {self._birth(born)}\n")
        return lines

    def gauges(self, batch: Sequence[Series]) -> list[str]:
        """Return the lines of gauges, or of infos."""
        name = f"{self._name}{self._info}"
        complete = self._labels.complete
        return [f"{name}{complete(owner, own)} {number(value)}\n" for owner, (_, own, value) in batch]

    def histograms(self, batch: Sequence[Series]) -> list[str]:
        """Return the lines of histograms."""
        lines: list[str] = []
        births = lines if self._openmetrics else self.births
        name = self._name
        for owner, buckets in batch:
            before, after = self._labels.around_le(owner)
            begin = f"{name}_bucket{{{before}"
            end = f"{after}}} "
            below = [*accumulate(buckets.counts)]
            count = below[-1]
            les = self._le_labels(buckets)
            if count < _EXPONENT_FROM:
                shown = [f"{begin}{le}{end}{n}.0\n" for le, n in zip(les, below, strict=True)]
            else:
                shown = [f"{begin}{le}{end}{number(n)}\n" for le, n in zip(les, below, strict=True)]
            labels = self._labels.complete(owner, ())
            shown.append(f"{name}_count{labels} {number(count)}\n")
            shown.append(f"{name}_sum{labels} {number(buckets.total / self._scale)}\n")
            if self._openmetrics:
                for index, (value, mark) in buckets.marks.items():
                    shown[index] = f"{shown[index][:-1]}{self._exemplar(value, mark)}\n"
            lines += shown
            births.append(f"{name}_created{labels} {self._birth(buckets.born)}\n")
        return lines

    def _birth(self, born: float) -> str:
        """Return a time of birth as text; neighbours were often born at once."""
        if self._born[0] != born:
            self._born = (born, number(born))
        return self._born[1]

    def _le_labels(self, buckets: Buckets) -> list[str]:
        """Return the labels of the upper bounds, written once per kind of histogram."""
        bounds = buckets.bounds
        found = self._les.get(bounds)
        if found is None:
            texts = (bound_text(bounds, index, self._scale) for index in range(len(buckets.counts)))
            found = self._les[bounds] = [pair(LE, text) for text in texts]
        return found

    def _exemplar(self, value: int, mark: Mark) -> str:
        trace_id, span_id, at = mark
        if isinstance(trace_id, int) and isinstance(span_id, int):
            ids = f'span_id="{span_id:016x}",trace_id="{trace_id:032x}"'
        else:
            trace, span = exemplar_ids(mark)
            ids = f"{pair('span_id', span)},{pair('trace_id', trace)}"
        return f" # {{{ids}}} {number(value / self._scale)} {at}"
