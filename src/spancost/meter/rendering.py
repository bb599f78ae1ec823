# SPDX-License-Identifier: Apache-2.0
"""
Our families as text: Prometheus' text format 0.0.4 and OpenMetrics 1.0, fast and piece by piece.

The bytes are those that `prometheus_client` writes, at a small part of its cost: labels become text
once per label set and stay with it, a line is one formatted string, and the buckets of a histogram
are one `join`. A piece is some hundred lines, so a large scrape is never in memory as a whole, and
other threads run between two pieces.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from spancost.meter.families import bound_text, exemplar_ids
from spancost.meter.rendering_labels import LE, Labels, escaped, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spancost.meter.cells import Buckets, Mark
    from spancost.meter.families import Family, Series

PIECE_CHARS: Final = 1 << 16
"""A piece ends with the series that makes it this long."""

_EXPONENT_FROM: Final = 1_000_000
"""From here on a number is written with an exponent, as Go does."""

_PLAIN_DIGITS: Final = 6
"""So many digits a number has before the point, at most, where it is written without one."""


def render(family: Family, *, openmetrics: bool) -> Iterator[str]:
    """
    Yield the text of a family, in pieces.

    Args:
        family: A family with series.
        openmetrics: Whether it is for OpenMetrics, which has units and exemplars, and the births of
            series beside them; in the text format these are families of their own.
    """
    lines = _Lines(family, openmetrics=openmetrics)
    kind = family.type
    if kind == "histogram":
        values, births = lines.histogram, lines.histogram_birth
    elif kind == "counter":
        values, births = lines.counter, lines.birth
    else:
        values, births = lines.gauge, None
    if openmetrics:
        yield _openmetrics_head(family)
        yield from _pieces(family, [values] if births is None else [values, births])
        return
    yield _text_head(*_text_name(family), family)
    yield from _pieces(family, [values])
    if births is not None:
        yield _text_head(f"{family.name}_created", "gauge", family)
        yield from _pieces(family, [births])


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


def _pieces(family: Family, writers: list[Callable[[Series], str]]) -> Iterator[str]:
    """Yield the lines that some writers give for each series, many at once."""
    lines: list[str] = []
    length = 0
    for series in family.series:
        for write in writers:
            text = write(series)
            lines.append(text)
            length += len(text)
        if length >= PIECE_CHARS:
            yield "".join(lines)
            lines.clear()
            length = 0
    yield "".join(lines)


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
        openmetrics: Whether buckets have exemplars.
    """

    def __init__(self, family: Family, *, openmetrics: bool) -> None:
        self._name = family.name
        self._info = "_info" if family.type == "info" else ""
        self._scale = family.scale
        self._exemplars = openmetrics
        self._labels = Labels(family)
        self._les: dict[tuple[int, ...], list[str]] = {}

    def counter(self, series: Series) -> str:
        """Return the line of a counter."""
        value, scale = series.data.value, self._scale
        shown = f"{value}.0" if scale == 1 and value < _EXPONENT_FROM else number(value / scale)
        return f"{self._name}_total{self._labels.complete(series, series.data.own)} {shown}\n"

    def gauge(self, series: Series) -> str:
        """Return the line of a gauge, or of an info."""
        labels = self._labels.complete(series, series.data.own)
        return f"{self._name}{self._info}{labels} {number(series.data.value)}\n"

    def birth(self, series: Series) -> str:
        """Return the line that tells when a counter was born."""
        labels = self._labels.complete(series, series.data.own)
        return f"{self._name}_created{labels} {number(series.data.born)}\n"

    def histogram_birth(self, series: Series) -> str:
        """Return the line that tells when a histogram was born."""
        return f"{self._name}_created{self._labels.complete(series, ())} {number(series.data.born)}\n"

    def histogram(self, series: Series) -> str:
        """Return the lines of a histogram, without its birth."""
        buckets = series.data
        before, after = self._labels.around_le(series)
        begin = f"{self._name}_bucket{{{before}"
        end = f"{after}}} "
        below = [*accumulate(buckets.counts)]
        count = below[-1]
        whole = _small if count < _EXPONENT_FROM else number
        lines = [
            f"{begin}{le}{end}{whole(n)}\n" for le, n in zip(self._le_labels(buckets), below, strict=True)
        ]
        if self._exemplars:
            for index, (value, mark) in buckets.marks.items():
                lines[index] = f"{lines[index][:-1]}{self._exemplar(value, mark)}\n"
        labels = self._labels.complete(series, ())
        lines.append(
            f"{self._name}_count{labels} {whole(count)}\n"
            f"{self._name}_sum{labels} {number(buckets.total / self._scale)}\n"
        )
        return "".join(lines)

    def _le_labels(self, buckets: Buckets) -> list[str]:
        """Return the labels of the upper bounds, written once per kind of histogram."""
        bounds = buckets.bounds
        found = self._les.get(bounds)
        if found is None:
            texts = (bound_text(bounds, index, self._scale) for index in range(len(buckets.counts)))
            found = self._les[bounds] = [pair(LE, text) for text in texts]
        return found

    def _exemplar(self, value: int, mark: Mark) -> str:
        trace_id, span_id = exemplar_ids(mark)
        ids = f"{pair('span_id', span_id)},{pair('trace_id', trace_id)}"
        return f" # {{{ids}}} {number(value / self._scale)} {mark[2]}"


def _small(count: int) -> str:
    return f"{count}.0"
