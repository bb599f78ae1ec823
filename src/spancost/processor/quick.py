# SPDX-License-Identifier: Apache-2.0
"""
The hooks as nearly every span takes them: straight through, with nothing looked up twice.

Whatever is not as usual is left to `LiveState`, which can do all of it. Private parts of the SDK are
read here without the ways round them that `_sdk` has: an SDK without them raises `AttributeError`, and
the other way is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor

from spancost.calls.facts import OUR_NAMES
from spancost.calls.shapes import FOREIGN
from spancost.processor._sdk import SPAN_KEY, get_current
from spancost.processor.links import ATOMIC, Link
from spancost.usage.dialects import TABLE

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from spancost.processor.state import LiveState

_DETACHED: Final = frozenset(row.scope for row in TABLE if row.detached)
MAX_PIPELINES: Final = 8
"""How many providers have their quick way; programs have one or two."""


class QuickHooks:
    """
    The hooks of one engine. They are bound to the processors themselves: one call less on every span.

    Args:
        state: The engine. It sets ``waits`` where some span that ends, whichever, has something to settle.
    """

    __slots__ = ("_is_off", "_last", "_pipelines", "_state", "owner", "waits")

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._pipelines: tuple[Any, ...] = ()
        self._is_off = not ATOMIC
        self._last: Any = None
        self.owner = state.owner
        self.waits = False

    def switch_off(self) -> None:
        """Give every span its node at its start from now on."""
        self._is_off, self._pipelines = True, ()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Link a span that started to the one above."""
        try:
            if span._span_processor in self._pipelines and span._instrumentation_scope._name not in _DETACHED:
                ids = span._context
                if ids is self._last:
                    return  # the hook of a second processor
                context = get_current() if parent_context is None else parent_context
                parent = span._parent
                if parent is None:
                    above = None
                else:
                    span_above = context[SPAN_KEY]
                    above = span_above._attributes._spancost_link
                    if span_above._context is not parent or above.owner is not self.owner or not above.open:
                        raise LookupError
                    above.live += 1
                # From here on nothing can fail.
                link = Link()
                link.owner = self.owner
                link.above = above
                link.context = context
                link.node = None
                link.live = 0
                link.open = True
                span._attributes._spancost_link = link
                self._last = ids
                return
            self._learn(span)
        except (AttributeError, LookupError, TypeError):
            pass  # not as usual
        with self._state.guards["on_start"]:
            self._state.start(span, parent_context)

    def _learn(self, span: Any) -> None:
        """Remember that hooks run where the program does, so that its context can be seen."""
        pipeline = span._span_processor
        if (
            not self._is_off
            and type(pipeline) is SynchronousMultiSpanProcessor
            and pipeline not in self._pipelines
        ):
            self._pipelines = (*self._pipelines, pipeline)[-MAX_PIPELINES:]

    def on_ending(self, span: Any) -> None:
        """End a span: at once where it is nothing of ours and has nothing below it."""
        try:
            attributes = span._attributes
            link = attributes._spancost_link
            if (
                (*attributes._dict,) in FOREIGN
                and link.node is None
                and not self.waits
                and link.owner is self.owner
                and not span._name.startswith(OUR_NAMES)
            ):
                if link.open is not True:
                    return  # the hook of a second processor
                link.open = False
                if not link.live:
                    link.open = None
                    above = link.above
                    if above is not None:
                        above.live -= 1
                        if not above.live and not above.open:
                            self._state.end_quickly(above)
                return
        except (AttributeError, TypeError):
            pass  # not as usual
        with self._state.guards["on_end"]:
            self._state.finish(span)

    def on_end(self, span: Any) -> None:
        """End a span where the SDK has no ``_on_ending``, or a wrapper did not forward it."""
        try:
            if not span._attributes._spancost_link.open:
                return
        except AttributeError:
            pass  # not as usual
        self.on_ending(span)
