# SPDX-License-Identifier: Apache-2.0
"""What a scrape gets: all metrics of a registry as one document, in the format that the client asks for."""

from __future__ import annotations

import functools
import logging
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from spancost.meter.families import Family
from spancost.meter.rendering import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import CollectorRegistry

_OPENMETRICS: Final = "application/openmetrics-text"
_TEXT: Final = "text/plain"
_VERSIONS: Final = {_OPENMETRICS: ("", "1.0.0"), _TEXT: ("", "0.0.4", "1.0.0")}
_ESCAPINGS: Final = ("allow-utf-8", "underscores", "dots", "values")
"""What clients may ask for of names that only UTF-8 has; ours need none."""

_EOF: Final = b"# EOF\n"
_GZIP_LEVEL: Final = 1
"""The fastest: the text repeats itself, and the app shares this processor."""

_GZIP_WINDOW: Final = 31
_LOGGER: Final = logging.getLogger("spancost")


class _Collects(Protocol):
    def collect(self) -> Iterable[Metric]: ...


class Format(NamedTuple):
    """
    A format in which metrics are written.

    Args:
        openmetrics: Whether it is OpenMetrics, which ends in a line of its own and has exemplars.
        content_type: What the answer calls it.
        encode: Writes the families of other collectors.
    """

    openmetrics: bool
    content_type: str
    encode: Callable[[_Collects], bytes]


def choose_format(accept: str) -> Format:
    """
    Return the format that a client likes best, by an ``Accept`` header.

    Among equals the first one counts. A client that accepts nothing that we write gets the text
    format, as from every exporter.
    """
    best, best_q = _TEXT, 0.0
    for media_type, parameters, q in _preferences(accept):
        version = parameters.get("version", "")
        if q > best_q and version in _VERSIONS.get(media_type, ()):
            best_q = q
            best = media_type
            if version:
                escaping = parameters.get("escaping", "")
                best += f"; version={version}"
                best += f"; escaping={escaping if escaping in _ESCAPINGS else 'underscores'}"
    encode, content_type = choose_encoder(best)
    return Format(content_type.startswith(_OPENMETRICS), content_type, encode)


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether a client prefers a packed answer, by an ``Accept-Encoding`` header."""
    stated = {coding: q for coding, _, q in _preferences(accept_encoding)}
    packed = stated.get("gzip", stated.get("x-gzip", stated.get("*", 0.0)))
    return packed > 0 and packed >= stated.get("identity", 0.0)


class Document:
    """
    The metrics of a registry at one moment.

    Collectors run when it is made, ours and the program's; what they raise is raised there. Text is
    made while somebody takes the pieces.

    Args:
        registry: Whose metrics.
        form: In which format.
        only: Names of samples; empty for all.
    """

    def __init__(self, registry: CollectorRegistry, form: Format, only: Sequence[str] = ()) -> None:
        self._form = form
        source: _Collects = registry.restricted_registry(only) if only else registry
        self._parts: list[Family | bytes] = []
        others: list[Metric] = []
        for metric in _one_of_each(source.collect()):
            if isinstance(metric, Family):
                self._encode(others)
                self._parts.append(metric)
            else:
                others.append(metric)
        self._encode(others)

    def pieces(self) -> Iterator[bytes]:
        """Yield the document."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                for text in render(part, openmetrics=self._form.openmetrics):
                    yield text.encode()
        if self._form.openmetrics:
            yield _EOF

    def _encode(self, others: list[Metric]) -> None:
        """Write families of other collectors, and forget them."""
        if others:
            text = self._form.encode(_Given(others))
            self._parts.append(text.removesuffix(_EOF) if self._form.openmetrics else text)
            others.clear()


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces as gzip, which lets other threads run while it packs."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    for piece in pieces:
        if done := packer.compress(piece):
            yield done
    yield packer.flush()


class _Given:
    """A collector of families that are there already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Sequence[Metric]:
        return self._metrics


def _one_of_each(metrics: Iterable[Metric]) -> list[Metric]:
    """
    Return families with one of each name, as the formats demand.

    Collectors that do not say their names beforehand may bring one twice: the samples of both then
    stand under one head, or if the types differ, those of the first alone.
    """
    found: dict[str, Metric] = {}
    for metric in metrics:
        before = found.setdefault(metric.name, metric)
        if before is metric:
            continue
        if before.type != metric.type:
            _warn_of_two(metric.name, before.type, metric.type)
            continue
        both = Metric(before.name, before.documentation, before.type, before.unit)
        both.samples = [*before.samples, *metric.samples]
        found[metric.name] = both
    return list(found.values())


@functools.lru_cache(maxsize=100)  # once each, not at every scrape
def _warn_of_two(name: str, shown: str, other: str) -> None:
    _LOGGER.warning(
        "two collectors have a metric %s, a %s and a %s: only the first is shown", name, shown, other
    )


def _preferences(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield what a header of preferences names: the value, its parameters, and how much it is liked."""
    for entry in header.split(","):
        value, *rest = (part.strip() for part in entry.split(";"))
        if not value:
            continue
        parameters = {}
        for part in rest:
            name, _, text = part.partition("=")
            parameters[name.strip().lower()] = text.strip().strip('"')
        yield value.lower(), parameters, _quality(parameters.pop("q", "1"))


def _quality(text: str) -> float:
    """Return a weight from 0 to 1; what is no such weight counts as none."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
