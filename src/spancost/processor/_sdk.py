# SPDX-License-Identifier: Apache-2.0
"""
Every touch of the SDK's private parts, in one place; `quick` reads some straight, where nothing is unusual.

No SDK release lets ``_on_ending`` set attributes through the public API: the span counts as ended by
then (opentelemetry-python issue 5614). Its attributes object is shared by everyone who holds the span,
exporters registered before us included, so a store into it is seen by all. `processor.writer` tries, at
the start, which of the ways below works on the SDK at hand.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import INVALID_SPAN, propagation, set_span_in_context

from spancost.calls.shapes import are_foreign, shape_of
from spancost.processor.links import CONTEXT, LOST, OWNER, SHARED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context

    from spancost.processor.links import Link

LINK: Final = "_spancost_link"
"""
Under this name a live span holds what the latest engine of the process knows of it, so that both die
together. Earlier ones use names that begin so: a test's private one works beside the one of the process.
"""

START: Final = "_spancost_start"
"""Under this name a span's attributes object holds what `remember_start` kept."""

_NOTHING: Final[Mapping[str, Any]] = {}

# --- the context ---------------------------------------------------------------------------------


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


# --- reading -----------------------------------------------------------------------------------


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    """
    Return the attributes of a span that ended for reading, without the copy the public property makes.

    With them comes what its limits dropped, as far as `remember_start` kept it.
    """
    bounded: Any = span._attributes
    stored = getattr(bounded, "_dict", None)
    if not isinstance(stored, dict):
        found: Mapping[str, Any] = bounded if bounded is not None else _NOTHING
        return found
    at_start = getattr(bounded, START, None) if bounded.dropped else None
    return {**at_start, **stored} if at_start else stored


def remember_start(span: ReadableSpan) -> None:
    """
    Keep what a span says at its start, if any of it may be ours: its limits may drop that later.

    A full span drops its oldest attributes, and those say whose call it is. `quick` does the same. What is
    kept dies with the attributes.
    """
    bounded: Any = getattr(span, "_attributes", None)
    said = getattr(bounded, "_dict", None)
    if said and bounded.maxlen is not None and span.end_time is None and not are_foreign(said):
        setattr(bounded, START, said.copy())


Said = tuple[int, Callable[[Mapping[str, Any]], tuple[Any, ...]], tuple[Any, ...]]
"""
What an open span had said when it was last read, to tell whether it has said anything new since: how many
attributes it had, those that its limits dropped included; what gives the values that can say anything, of
spans with its keys; and these.
"""


def said_by(span: ReadableSpan, scope: str, version: str) -> Said | None:
    """Return what an open span has said by now; None where that cannot be seen, so that it is read each time."""
    bounded: Any = span._attributes
    said = getattr(bounded, "_dict", None)
    if not isinstance(said, dict):
        return None
    number = len(said) + bounded.dropped
    now = said.copy()  # others may be setting some
    shape = shape_of(now, scope, version)
    values_of = _all_values if shape.is_unlike else shape.values_of
    return number, values_of, values_of(now)


def _all_values(said: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(said.values())


def snapshot_of(span: ReadableSpan) -> dict[str, Any]:
    """Copy the attributes of an open span: other threads may be setting some."""
    attributes = attributes_of(span)
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
        new._dict = {**old, **items}
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


# --- what hangs on a span ------------------------------------------------------------------------


def link_of(span: object, slot: str, engine: object) -> Link | None:
    """
    Return what an engine attached to a span, or to the copy of it that ``on_end`` gets; None where nothing.

    It hangs on the attributes, since that object is the same in both. From now on it is the span's own.
    """
    return link_on(getattr(span, "_attributes", None), slot, engine)


def link_on(bounded: Any, slot: str, engine: object) -> Link | None:
    """Return what an engine attached to the attributes of a span; see `link_of`."""
    for name in (slot, LINK):
        link: Link | None = getattr(bounded, name, None)
        if link is not None and link[OWNER].engine is engine:
            if link[LOST] is SHARED:
                own = [*link]
                own[LOST] = None
                # Compared and set with no call between, where no other thread comes in (`links`): it may have
                # ended meanwhile, or got one of its own, and whoever has another one ends it once more.
                if bounded._spancost_link is link:
                    bounded._spancost_link = link = own
                else:
                    link = bounded._spancost_link
            return link
    return None


def attach(span: Any, slot: str, link: Link, node: object) -> None:
    """
    Attach the link of a span to it, and the engine's node, so that it lives as long.

    An exported span may have no attributes of its own, or a plain dictionary: it is known by its id alone.
    """
    with contextlib.suppress(AttributeError, TypeError):
        attach_node(span, slot, node)
        setattr(span._attributes, slot, link)


def attach_node(span: Any, slot: str, node: object) -> None:
    """Attach an engine's node of a span to it, so that it lives as long."""
    setattr(span._attributes, f"{slot}_node", node)


def mark_object_of(span: object) -> object:
    """Return what a span has in common with the copies of it that exporters get, for a mark on it."""
    return getattr(span, "_attributes", None)


def is_live(span: object) -> bool:
    """Tell whether a span is the one that the program has: what ``on_end`` and exporters get has no such method."""
    return hasattr(span, "is_recording")


def span_in(context: Context | None) -> Any:
    """Return the span that a context has, or None; of none given, the current one."""
    return (get_current() if context is None else context).get(SPAN_KEY)


def span_above(link: Link) -> Any:
    """Return the span above one by its link, or None where it is not known any more."""
    context = link[CONTEXT]
    return context.get(SPAN_KEY) if isinstance(context, dict) else None


def sampler_of(span: object) -> Any:
    """Return the sampler that decided on a live span, or None."""
    return getattr(span, "_sampler", None)


def processors_of(span: object) -> Sequence[object]:
    """Return the processors of a live span's provider in their order, none where that cannot be told."""
    found = getattr(getattr(span, "_span_processor", None), "_span_processors", ())
    return found if isinstance(found, tuple) else ()
