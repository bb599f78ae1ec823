# SPDX-License-Identifier: Apache-2.0
"""
Every touch of the SDK's private parts, in one place; `quick` reads some straight, where nothing is unusual.

No SDK release lets ``_on_ending`` set attributes through the public API: the span counts as ended by
then (opentelemetry-python issue 5614). Its attributes object is shared by everyone who holds the span,
exporters registered before us included, so a store into it is seen by all. Once an SDK lets the ending
span be written, the public way is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace import INVALID_SPAN, propagation, set_span_in_context

from spancost.processor.links import LOST, OWNER, SHARED

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan

    from spancost.processor.links import Link

LINK: Final = "_spancost_link"
"""
Under this name a live span holds what the latest engine of the process knows of it, so that both die
together. Earlier ones use names that begin so: a test's private one works beside the one of the process.
"""

_NOTHING: Final[Mapping[str, Any]] = {}


def _span_key() -> str:
    """Return under what key a context has its span: by looking at one, where the SDK's name for it is gone."""
    named: object = getattr(propagation, "_SPAN_KEY", None)
    made = set_span_in_context(INVALID_SPAN, otel_context.Context())
    return named if isinstance(named, str) and named in made else next(iter(made))


def _get_current() -> Callable[[], Context]:
    """Return the quickest way to the current context: two calls less than the public one, which it must equal."""
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    quick = getattr(variable, "get", None)
    public = otel_context.get_current
    try:
        token = otel_context.attach(set_span_in_context(INVALID_SPAN))
        try:
            same = quick is not None and quick() is public()
        finally:
            otel_context.detach(token)
    except Exception:  # noqa: BLE001 - whatever a runtime of somebody's own does, the public way is there
        same = False
    return quick if same and quick is not None else public


SPAN_KEY: Final = _span_key()
"""Under what key a context has its span."""

get_current: Final = _get_current()
"""Return the current context."""


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


def link_of(span: object, slot: str, engine: object) -> Link | None:
    """
    Return what an engine attached to a span, or to the copy of it that ``on_end`` gets; None where nothing.

    It hangs on the attributes, since that object is the same in both. From now on it is the span's own.
    """
    bounded = getattr(span, "_attributes", None)
    for name in (slot, LINK):
        link: Link | None = getattr(bounded, name, None)
        if link is not None and link[OWNER].engine is engine:
            if link[LOST] is SHARED:
                link = [*link]
                link[LOST] = None
                setattr(bounded, name, link)
            return link
    return None


def attach(span: Any, slot: str, link: Link) -> None:
    """Attach the link of a span to it."""
    setattr(span._attributes, slot, link)


def attach_node(span: Any, slot: str, node: object) -> None:
    """Attach an engine's node of a span to it, so that it lives as long."""
    setattr(span._attributes, f"{slot}_node", node)


def span_in(context: Context | None) -> Any:
    """Return the span that a context has, or None; of none given, the current one."""
    return (get_current() if context is None else context).get(SPAN_KEY)
