# SPDX-License-Identifier: Apache-2.0
"""
How attributes get onto ended spans, found out by trying it on a throwaway span of the SDK at hand.

SDKs differ: ``_on_ending`` came with 1.40, attributes of ended spans are frozen since 1.43, and a later
one will take them by the public API. A version number would tell only of releases that we know.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from spancost.processor._sdk import set_publicly, store_in_place

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span

HAS_ON_ENDING: Final = hasattr(SpanProcessor, "_on_ending")
"""Whether the SDK tells processors of a span before it has ended for good: since 1.40."""

Way = Callable[[Any, Mapping[str, Any]], bool]
"""Puts attributes on a span that ends or ended; False where this span does not take them."""


class Reach(enum.Enum):
    """Who sees what is written."""

    ALL = "every exporter"
    BEHIND = "exporters registered after the processor"
    NOBODY = "only exporters inside a CostSpanExporter"


class Writer(NamedTuple):
    """
    The ways that work.

    Args:
        in_ending: For ``_on_ending``.
        in_end: For ``on_end``.
        reach: Who sees what is written.
    """

    in_ending: Way
    in_end: Way
    reach: Reach


def nowhere(span: Any, items: Mapping[str, Any]) -> bool:  # noqa: ARG001 - a way
    """Write nothing."""
    return False


@functools.lru_cache(maxsize=1)
def writer() -> Writer:
    """Return the best ways on the SDK at hand, tried once a process; never raises."""
    return choose()


def choose() -> Writer:
    """Try the ways, best first, each on a span of its own."""
    in_ending = next((way for way in (set_publicly, store_in_place) if _reaches_all(way)), None)
    in_end = store_in_place if _reaches_later(store_in_place) else None
    otherwise = Reach.BEHIND if in_end is not None else Reach.NOBODY
    return Writer(in_ending or nowhere, in_end or nowhere, Reach.ALL if in_ending is not None else otherwise)


_KEY: Final = "spancost.probe"
_LIMITS: Final = {
    "max_attributes": 8,
    "max_events": 8,
    "max_links": 8,
    "max_event_attributes": 8,
    "max_link_attributes": 8,
    "max_attribute_length": 64,
    "max_span_attribute_length": 64,
}


class ThrowawayProvider(TracerProvider):
    """A provider of no pipeline: the instrumentor, which meters every provider, leaves it alone."""


class _Seen(SpanProcessor):
    """Notes whether an exporter at its place would see the attribute."""

    def __init__(self) -> None:
        self.saw = False

    def on_end(self, span: ReadableSpan) -> None:
        # Read as exporters read, so that a frozen or half-made object shows here and not in them.
        self.saw = dict(span.attributes or {}).get(_KEY) == 1


class _Tries(SpanProcessor):
    """Writes in one of the hooks."""

    def __init__(self, *, in_ending: Way = nowhere, in_end: Way = nowhere) -> None:
        self.wrote = False
        self._in_ending = in_ending
        self._in_end = in_end

    def _on_ending(self, span: Span) -> None:
        self._try(self._in_ending, span)

    def on_end(self, span: ReadableSpan) -> None:
        self._try(self._in_end, span)

    def _try(self, way: Way, span: ReadableSpan) -> None:
        try:
            self.wrote = way(span, {_KEY: 1}) or self.wrote
        except Exception:  # noqa: BLE001 - that it fails is what we want to know
            self.wrote = False


def _reaches_all(way: Way) -> bool:
    before, tries, after = _Seen(), _Tries(in_ending=way), _Seen()
    return _ran(before, tries, after) and tries.wrote and before.saw and after.saw


def _reaches_later(way: Way) -> bool:
    tries, after = _Tries(in_end=way), _Seen()
    return _ran(tries, after) and tries.wrote and after.saw


def _ran(*hooks: SpanProcessor) -> bool:
    """Start and end one span under these hooks; False where even that fails."""
    try:
        known = inspect.signature(TracerProvider.__init__).parameters
        quiet: dict[str, Any] = {"meter_provider": NoOpMeterProvider()} if "meter_provider" in known else {}
        provider = ThrowawayProvider(
            sampler=ALWAYS_ON,
            resource=Resource.get_empty(),
            shutdown_on_exit=False,
            span_limits=SpanLimits(**_LIMITS),
            **quiet,
        )
        for hook in hooks:
            provider.add_span_processor(hook)
        provider.get_tracer("spancost").start_span("probe", attributes={"a": 0}).end()
    except Exception:  # noqa: BLE001 - an SDK that we do not know must not stop the program
        return False
    return True
