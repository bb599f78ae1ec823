# SPDX-License-Identifier: Apache-2.0
"""
Every touch of the SDK's private parts, in one place.

No SDK release lets ``_on_ending`` set attributes through the public API: the span counts as ended by
then (opentelemetry-python issue 5614). Its attributes object is shared by everyone who holds the span,
exporters registered before us included, so a store into it is seen by all. `processor.writer` tries, at
the start, which of the ways below works on the SDK at hand.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan

if TYPE_CHECKING:
    from collections.abc import Sequence

NODE: Final = "_spancost_node"
"""
Under a name that begins so a live span holds what an engine knows of it, so that both die together.
Each engine has its own, so that a test's private one works beside the one of the process.
"""

_NOTHING: Final[Mapping[str, Any]] = {}


# --- reading -----------------------------------------------------------------------------------


def attributes_of(span: ReadableSpan, at_start: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """
    Return the attributes of a span that ended for reading, without the copy the public property makes.

    Args:
        span: The span.
        at_start: What `attributes_at_start` returned. A full span drops its oldest attributes, and those
            say whose call it is.
    """
    bounded: Any = span._attributes
    stored = getattr(bounded, "_dict", None)
    if isinstance(stored, dict):
        return {**at_start, **stored} if at_start and bounded.dropped else stored
    found: Mapping[str, Any] = bounded if bounded is not None else _NOTHING
    return found


def attributes_at_start(span: ReadableSpan) -> dict[str, Any] | None:
    """
    Return a copy of what a span says at its start, None where it says nothing: 600 instructions.

    From it comes what the limit on the number of attributes may drop later.
    """
    stored = getattr(span._attributes, "_dict", None)
    return stored.copy() if stored else None


def values_of(span: ReadableSpan) -> tuple[Any, ...]:
    """Return what an open span says by now, to tell whether it has said anything new since."""
    return (span.name, *tuple(attributes_of(span).values()))


def snapshot_of(span: ReadableSpan, at_start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Copy the attributes of an open span: other threads may be setting some."""
    attributes = attributes_of(span, at_start)
    return attributes.copy() if isinstance(attributes, dict) else dict(attributes)


def may_say_nothing(span: object) -> bool:
    """Tell whether a span may have no attributes at all, so that no usage can be read from it."""
    return getattr(getattr(span, "_attributes", None), "maxlen", None) == 0


# --- writing -----------------------------------------------------------------------------------


def set_publicly(span: Any, items: Mapping[str, Any]) -> bool:
    """Set attributes by the public API, where the span still takes any; False where it does not."""
    is_recording = getattr(span, "is_recording", None)  # what `on_end` gets has no such method
    if is_recording is None or not is_recording():
        return False
    span.set_attributes(items)
    return True


def store_in_place(span: Any, items: Mapping[str, Any]) -> bool:
    """
    Store attributes into the object that all who hold the span share; False where that cannot be.

    The limit on their number is not applied: an amount evicts nothing, and is not evicted.
    """
    bounded = span._attributes
    stored = getattr(bounded, "_dict", None)
    if not isinstance(stored, dict) or bounded.maxlen == 0:
        return False
    # A new dictionary in its place: newer SDKs iterate over the attributes of an ended span without a
    # copy, on whatever thread, and their lock is not re-entrant, while this may run in a finaliser.
    # Counted, it costs 350 instructions more than an update of the old one, 0.2% of a span.
    bounded._dict = {**stored, **items}
    return True


def rebuilt(span: ReadableSpan, items: Mapping[str, Any]) -> ReadableSpan:
    """
    Return a copy of an ended span with more attributes; the span itself stays as it is.

    The copy says of dropped attributes, events and links what the span does.
    """
    if not hasattr(span, "_attributes"):  # a span of somebody's own make
        return _rebuilt_publicly(span, items)
    old = span._attributes
    if isinstance(old, BoundedAttributes):
        new = BoundedAttributes(max_value_len=old.max_value_len)
        new._dict = {**attributes_of(span), **items}
        new.maxlen, new.dropped, new._immutable = old.maxlen, old.dropped, True
        attributes: Mapping[str, Any] = new
    else:
        attributes = {**(old or {}), **items}
    made = copy.copy(span)
    made._attributes = attributes
    return made


def _rebuilt_publicly(span: ReadableSpan, items: Mapping[str, Any]) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), **items},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


# --- what stands around a span -----------------------------------------------------------------


def node_of(span: object, slot: str) -> Any:
    """Return what an engine attached to a live span, or None."""
    return getattr(span, slot, None)


def attach(span: object, slot: str, node: object) -> None:
    """Attach what an engine knows of a span to it."""
    setattr(span, slot, node)


def mark_object_of(span: object) -> object:
    """Return what a span has in common with the copies of it that exporters get, for a mark on it."""
    return getattr(span, "_attributes", None)


def sampler_of(span: object) -> Any:
    """Return the sampler that decided on a live span, or None."""
    return getattr(span, "_sampler", None)


def processors_of(span: object) -> Sequence[object]:
    """Return the processors of a live span's provider in their order, none where that cannot be told."""
    found = getattr(getattr(span, "_span_processor", None), "_span_processors", ())
    return found if isinstance(found, tuple) else ()
