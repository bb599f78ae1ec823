# SPDX-License-Identifier: Apache-2.0
"""
The hooks as nearly every span takes them: straight through, with nothing looked up twice.

Whatever is not as usual is left to `LiveState`, which can do all of it. Private parts of the SDK are
read here without the ways round them that `_sdk` has: an SDK without them raises `AttributeError`, and
the other way is taken.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet, ref

from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor

from spancost.calls.facts import PLAIN_NAMES, is_plain_name
from spancost.calls.shapes import are_foreign
from spancost.processor._sdk import LINK, SPAN_KEY, START, get_current, link_of
from spancost.processor.links import ABOVE, ATOMIC, KIDS, LIVE, LOST, MAYBE_CALL, NODE, OPEN, OWNER, SHARED
from spancost.processor.writer import HAS_ON_ENDING
from spancost.usage.dialects import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from spancost.processor.guard import Guard
    from spancost.processor.lane import Lane
    from spancost.processor.links import Link, Owner

_DETACHED: Final = frozenset(row.scope for row in TABLE if row.detached)
REQUEST_MODEL: Final = "gen_ai.request.model"
"""On a span that starts, it tells of a call whose series can be born ahead of it."""

SILENT_AFTER: Final = 200
"""
So many spans of a scope say nothing of ours at their start before the rest are taken to do likewise, until one
of them was of ours at its end: to look at each costs 100 instructions an attribute. What that can lose is
the first call of such a scope, where its span is full as well.
"""

MAX_SCOPES: Final = 1024
MAX_PIPELINES: Final = 8
"""How many providers have their quick way; programs have one or two."""


def leave(*_: object) -> bool:
    """Leave a call to the engine."""
    return False


def _pass(_: object, __: object) -> None:
    """Do nothing, as a method."""


class OtherWay(Protocol):
    """Who can do all of it: `LiveState`."""

    guards: dict[str, Guard]
    owner: Owner

    def start(self, span: Any, parent_context: Context | None) -> object:
        """Take a span that started."""

    def finish(self, span: Any) -> None:
        """Take a span that ends, and put on it what there is to say."""

    def end_quickly(self, link: Link) -> None:
        """Pass on that a span without a node ended, below one that had ended before."""

    def expect(self, span: Any) -> None:
        """Let the series of an open call be born."""

    def know(self, link: Link, span: Any) -> None:
        """See to it that a span has a node."""

    def child_lost(self, where: Callable[[], Any], _: object) -> None:
        """Take note of a child that was freed without an end and had no node."""


class QuickHooks:
    """
    The hooks of one engine. They are the methods of the processors themselves: one call less on every span.

    Args:
        state: The engine. It sets ``waits`` where some span that ends, whichever, has something to settle, and
            calls `hold` where one that starts has.
        lane: The straight way of calls.
    """

    __slots__ = (
        "_bound",
        "_gate",
        "_heard",
        "_is_off",
        "_is_wrapped",
        "_lane",
        "_pipelines",
        "_silent",
        "_started",
        "_starts",
        "_state",
        "call_root",
        "on_end",
        "on_ending",
        "on_start",
        "owner",
        "plain_root",
        "take",
        "waits",
    )

    def __init__(self, state: OtherWay, lane: Lane) -> None:
        self._state = state
        self._lane = lane
        self._pipelines: tuple[Any, ...] = ()
        self._bound: WeakSet[Any] = WeakSet()
        self._is_off = not ATOMIC
        self._is_wrapped = False
        self._silent: set[str] = set()
        self._heard: set[str] = set()
        self._starts: dict[str, int] = {}
        self.waits = False
        self.on_start, self.on_ending, self.on_end = self._hooks()
        self.belong_to(state.owner)

    def belong_to(self, owner: Owner) -> None:
        """Make links for an owner."""
        self.owner = owner
        self.take_calls()
        self.call_root: Link = [owner, None, None, 0, True, MAYBE_CALL, None, SHARED]
        """As `plain_root`, of spans that may be calls."""
        self.plain_root: Link = [owner, None, None, 0, True, None, None, SHARED]
        """
        The link of every span without a parent that started in an empty context: nothing is to be known
        of it. One that gets a child or a node gets a link of its own.
        """

    def take_calls(self) -> None:
        """Let calls go straight, as the lane does it now."""
        self._gate = self._lane.gate
        self._started = self._lane.births.started.append
        self.take: Callable[[Any, Any, dict[str, Any], Link], bool] = (
            self._lane.end if self._lane.is_open else leave
        )
        """Takes a call whose span ends, or leaves it to the engine."""

    def switch_off(self) -> None:
        """Give every span its node at its start from now on."""
        self._is_off, self._pipelines = True, ()

    def hold(self) -> None:
        """Let the engine itself take the next span that starts: one was freed without an end."""
        self._pipelines = ()

    def _count_start(self, scope: str) -> None:
        """Take that a span said nothing of ours at its start, of a scope of which little is known."""
        number = self._starts.get(scope, 0) + 1
        if number < SILENT_AFTER:
            if len(self._starts) >= MAX_SCOPES:
                self._starts.clear()
            self._starts[scope] = number
        elif len(self._silent) < MAX_SCOPES:
            self._silent.add(scope)

    def speaks(self, scope: str) -> None:
        """Take that a span of a scope was one of ours: the starts of its spans are looked at from now on."""
        if scope not in self._heard:
            if len(self._heard) >= MAX_SCOPES:
                self._heard.clear()
            self._heard.add(scope)
            self._silent.discard(scope)

    def _first_child(self, span_above: Any) -> tuple[Link, dict[int, Any]]:
        """Make the link of a span ready to have children."""
        above = link_of(span_above, LINK, self._state)
        if above is None:
            raise LookupError
        above[LOST] = partial(self._state.child_lost, ref(span_above._attributes))
        kids: dict[int, Any] | None = above[KIDS]  # from here on without a call, as for a number: see `links`
        if kids is None:  # else another thread was here meanwhile, and has put a child there
            above[KIDS] = kids = {}
        return above, kids

    def _learn(self, span: Any) -> None:
        """Remember that hooks run where the program does, so that its context can be seen."""
        pipeline = span._span_processor
        if self._is_off or type(pipeline) is not SynchronousMultiSpanProcessor or pipeline in self._pipelines:
            return
        ours = [each for each in pipeline._span_processors if each in self._bound]
        if len(ours) > 1:
            return  # else the second would link anew what the first of them has given a node just now
        self._pipelines = (*self._pipelines, pipeline)[-MAX_PIPELINES:]
        # Where the SDK calls `_on_ending` of the processor itself, `on_end` has nothing to do, and a call
        # into Python is much for nothing. Behind a wrapper nobody may call but `on_end`.
        if not ours or not HAS_ON_ENDING:
            self._is_wrapped = True
        for each in self._bound:
            type(each).on_end = self.on_end if self._is_wrapped else _pass

    def bind(self, processor: Any) -> None:
        """
        Put the hooks on a processor, by a class of its own.

        In its own attributes they would be found more slowly: the interpreter remembers only methods of a class.
        """
        cls = type(processor)
        own = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        own |= {"_has_own_class": True, "_on_ending": self.on_ending, "on_end": self.on_end}
        processor.__class__ = type(cls.__name__, (cls,), own)
        self._bound.add(processor)

    def _hooks(self) -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:  # noqa: C901, PLR0915 - three in one
        """Return the hooks, as methods of whichever processor they are put on."""

        def on_start(_: object, span: Any, parent_context: Context | None = None) -> None:  # noqa: C901, PLR0912 - on every span
            """Link a span that started to the one above."""
            try:
                scope = span._instrumentation_scope._name
                is_silent = scope in self._silent
                if span._span_processor in self._pipelines and (is_silent or scope not in _DETACHED):
                    context = get_current() if parent_context is None else parent_context
                    parent = span._parent
                    if parent is None:
                        link = (
                            [self.owner, None, context, 0, True, None, None, None]
                            if context
                            else self.plain_root
                        )
                    else:
                        span_above: Any = context[SPAN_KEY]
                        above = span_above._attributes._spancost_link
                        if (
                            span_above._context is not parent
                            or above[OWNER] is not self.owner
                            or not above[OPEN]
                        ):
                            raise LookupError  # noqa: TRY301 - to the other way
                        kids = above[KIDS]
                        if kids is None:
                            above, kids = self._first_child(span_above)
                        number = span._context[1]
                        if number in kids:
                            return  # the hook of a second processor; to link a root twice does no harm
                        link = [self.owner, above, context, 0, True, None, None, None]
                        kids[number] = ref(span, above[LOST])
                        above[LIVE] += 1
                    attributes = span._attributes
                    attributes._spancost_link = link
                    if not is_silent:
                        said = attributes._dict
                        if are_foreign(said):
                            if scope not in self._heard:
                                self._count_start(scope)
                            return
                        attributes._spancost_start = said.copy()  # as `remember_start`
                        if REQUEST_MODEL in said:
                            if parent is not None:
                                link[NODE] = MAYBE_CALL
                                node = above[NODE]
                                if node is None or node is MAYBE_CALL:
                                    self._state.know(above, span_above)
                            else:
                                if link is self.plain_root:
                                    attributes._spancost_link = self.call_root
                                else:
                                    link[NODE] = MAYBE_CALL
                                self._started(ref(span))
                            if self._gate.store is not None:
                                self._state.expect(span)
                    return
                self._learn(span)
            except Exception:  # noqa: BLE001, S110 - not as usual: the other way is taken, under the guard
                pass
            with self._state.guards["on_start"]:
                self._state.start(span, parent_context)

        def on_ending(_: object, span: Any) -> None:  # noqa: C901, PLR0912 - on every span
            """End a span: at once where it is nothing of ours and has nothing below it."""
            try:
                attributes = span._attributes
                link = attributes._spancost_link
                node = link[NODE]
                if self.waits or link[OWNER] is not self.owner:
                    pass
                elif node is not None:
                    if node is MAYBE_CALL and self.take(span, attributes, attributes._dict, link):
                        return
                elif not are_foreign(attributes._dict):
                    if self.take(span, attributes, attributes._dict, link):
                        return
                elif not (attributes.dropped and hasattr(attributes, START)) and (
                    span._name in PLAIN_NAMES or is_plain_name(span._name)
                ):
                    if link is self.plain_root or link[OPEN] is not True:
                        return  # without parent or child, or the hook of a second processor
                    link[OPEN] = False
                    above = link[ABOVE]
                    if above is not None:
                        above[KIDS].pop(span._context[1], None)
                    if not link[LIVE]:
                        link[OPEN] = None
                        if above is not None:
                            above[LIVE] -= 1
                            if not above[OPEN] and not above[LIVE]:
                                self._state.end_quickly(above)
                    return
            except Exception as error:
                if error is self._lane.failure:
                    raise
            with self._state.guards["on_end"]:
                self._state.finish(span)

        def on_end(_: object, span: Any) -> None:
            """End a span where the SDK has no ``_on_ending``, or a wrapper did not forward it."""
            try:
                link = span._attributes._spancost_link
                if not link[OPEN] and link[OWNER] is self.owner:
                    return
            except Exception:  # noqa: BLE001, S110 - as above
                pass
            on_ending(None, span)

        return on_start, on_ending, on_end
