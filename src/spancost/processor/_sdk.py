# SPDX-License-Identifier: Apache-2.0
"""
Every touch of the SDK's private parts, in one place.

No SDK release lets ``_on_ending`` set attributes through the public API: the span counts as ended by
then (opentelemetry-python issue 5614). Its attributes object is shared by everyone who holds the span,
exporters registered before us included, so a store into it is seen by all. Once an SDK lets the ending
span be written, the public way is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

NODE: Final = "_spancost_node"
"""
Under a name that begins so a live span holds what an engine knows of it, so that both die together.
Each engine has its own, so that a test's private one works beside the one of the process.
"""

_NOTHING: Final[Mapping[str, Any]] = {}


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return the attributes of a span that ended for reading, without the copy the public property makes."""
    bounded = span._attributes
    stored = getattr(bounded, "_dict", None)
    if isinstance(stored, dict):
        return stored
    return bounded if bounded is not None else _NOTHING


def values_of(span: ReadableSpan) -> tuple[Any, ...]:
    """Return what an open span says by now, to tell whether it has said anything new since."""
    return (span.name, *tuple(attributes_of(span).values()))


def snapshot_of(span: ReadableSpan) -> dict[str, Any]:
    """Copy the attributes of an open span: other threads may be setting some."""
    attributes = attributes_of(span)
    return attributes.copy() if isinstance(attributes, dict) else dict(attributes)


def write(span: Any, items: Mapping[str, Any]) -> bool:
    """
    Put attributes on a span that is ending; False where no way is left.

    The attribute count limit is not applied: an amount evicts nothing, and is not evicted.
    """
    is_recording = getattr(span, "is_recording", None)  # what `on_end` gets has no such method
    if is_recording is not None and is_recording():
        span.set_attributes(items)
        return True
    bounded = span._attributes
    stored = getattr(bounded, "_dict", None)
    if not isinstance(stored, dict) or bounded.maxlen == 0:
        return False
    # A new dictionary in its place: a batch exporter may be reading the old one on another thread, and
    # the SDK's lock is not re-entrant, while this may run in a finaliser.
    bounded._dict = {**stored, **items}
    return True


def node_of(span: object, slot: str) -> Any:
    """Return what an engine attached to a live span, or None."""
    return getattr(span, slot, None)


def attach(span: object, slot: str, node: object) -> None:
    """Attach what an engine knows of a span to it."""
    setattr(span, slot, node)
