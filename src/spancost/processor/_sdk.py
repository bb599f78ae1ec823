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
"""Under this name a live span holds what we know of it, so that both die together."""

_NOTHING: Final[Mapping[str, Any]] = {}


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes for reading, without the copy that the public property makes."""
    bounded = span._attributes
    stored = getattr(bounded, "_dict", None)
    if isinstance(stored, dict):
        return stored
    return bounded if bounded is not None else _NOTHING


def write(span: Any, items: Mapping[str, Any]) -> bool:
    """
    Put attributes on a span that is ending; False where no way is left.

    The attribute count limit is not applied: an amount evicts nothing, and is not evicted.
    """
    if span.is_recording():
        span.set_attributes(items)
        return True
    bounded = span._attributes
    stored = getattr(bounded, "_dict", None)
    if not isinstance(stored, dict) or bounded.maxlen == 0:
        return False
    # The SDK's own lock: a batch exporter may be copying the attributes on another thread.
    with bounded._lock:
        stored.update(items)
    return True


def node_of(span: object) -> Any:
    """Return what we attached to a live span, or None."""
    return getattr(span, NODE, None)


def attach(span: object, node: object) -> None:
    """Attach what we know of a span to it."""
    setattr(span, NODE, node)
