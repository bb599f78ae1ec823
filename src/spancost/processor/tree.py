# SPDX-License-Identifier: Apache-2.0
"""
The live spans of an engine: which link and which node belongs to a span, and what stands above it.

A span is known by its link, which hangs on it, or by its ids, where somebody rebuilt it or named it by these alone.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.context import Context

from spancost.calls.kinds import Kind
from spancost.processor._sdk import (
    LINK,
    attach,
    attach_node,
    attributes_of,
    get_current,
    is_live,
    link_of,
    link_on,
    remember_start,
    span_above,
    span_in,
)
from spancost.processor.links import ABOVE, CONTEXT, KIDS, LIVE, OPEN, OWNER, node_in
from spancost.processor.marks import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from spancost.calls import Engine
    from spancost.processor.lane import Lane
    from spancost.processor.links import Link, Owner
    from spancost.processor.live import LiveNode
    from spancost.processor.quick import QuickHooks
    from spancost.processor.starts import Starts

NO_CONTEXT: Final = Context()
"""Of spans whose start nobody of ours saw."""


class Growing(Protocol):
    """Whose spans these are: `LiveState`."""

    owner: Owner
    engine: Engine
    lock: RLock
    lane: Lane
    quick: QuickHooks

    def start(self, span: Any, parent_context: Context | None) -> LiveNode | None:
        """Take a span that started."""

    def find_by_ids(self) -> None:
        """From now on make the node of every span at its start."""


class Tree:
    """
    Links and nodes of the spans that are open, or that something still refers to.

    Args:
        state: The engine.
        starts: Makes the nodes.
    """

    def __init__(self, state: Growing, starts: Starts) -> None:
        self._state = state
        self._starts = starts
        self.slot = LINK
        """Under what name a span has its link."""
        self.nodes: weakref.WeakValueDictionary[tuple[int, int], LiveNode] = weakref.WeakValueDictionary()
        """By the ids of their spans."""
        self.open: dict[tuple[int, int], LiveNode] = {}
        """
        Nodes of open spans, which refer to their spans weakly. Held, since the garbage collector tells nobody
        of a span that it frees together with its node.
        """
        self.gone: deque[LiveNode | Link] = deque()
        """Of spans that were freed without an end; a link where there is no node: that of the span above."""

    # --- starts and ends --------------------------------------------------------------------------

    def take(self, span: Any, parent_context: Context | None) -> LiveNode | None:
        """Take a span that started; return what is kept of it, or None where it is known."""
        state = self._state
        if link_of(span, self.slot, state) is not None:
            return None
        context = parent_context if parent_context is not None else get_current()
        remember_start(span)
        with state.lock:
            above, parent = self._parent(span, parent_context)
            node = self._starts.node(span, context, parent, self.dropped)
            attach(span, self.slot, self.opened(node, above), node)
        return node

    def opened(self, node: LiveNode, above: Link | None) -> Link:
        """Give the node of a span that started a link; the caller holds the lock."""
        link: Link = [self._state.owner, above, None, 0, True, None, None, None]
        node.linked(link)
        self.nodes[node.key] = self.open[node.key] = node
        return link

    def close(self, node: LiveNode) -> None:
        """Take that a span is no open one any more."""
        self.open.pop(node.key, None)
        if node.link[KIDS]:
            self._state.lane.births.started.extend(node.link[KIDS].values())
        node.close()

    def dropped(self, what: LiveNode | Link) -> None:
        """Take note of a span that was freed without an end; this may be inside any step of ours."""
        self.gone.append(what)
        self._state.quick.hold()

    def child_lost(self, where: Callable[[], Any], _: object) -> None:
        """Take note of a child that was freed without an end and had no node."""
        link = link_on(where(), self.slot, self._state)
        if link is not None:
            self.dropped(link)

    def forked(self) -> None:
        """Leave to the parent process what it knows and will count; what is open here goes on here."""
        state = self._state
        alive = list(self.nodes.values())
        for node in alive:
            node.forked(state.owner)
        for node in alive:
            if node.is_open:
                state.engine.start(node)

    # --- who is who -------------------------------------------------------------------------------

    def knows(self, key: tuple[int, int]) -> bool:
        """Tell whether a span with these ids has a node, and is open or something still refers to it."""
        return self.node_by_id(key) is not None

    def node_by_id(self, key: tuple[int, int]) -> LiveNode | None:
        """Return what is kept of a span with these ids."""
        node = self.nodes.get(key)
        return node if node is not None else self._state.lane.untold.node_with(key)

    def add_node(self, node: LiveNode) -> None:
        """Let a node be found by its span's ids."""
        self.nodes[node.key] = node

    def has_ended(self, span: Any) -> bool:
        """Tell whether a span is known to have been through here, by its link."""
        link = link_of(span, self.slot, self._state)
        return link is not None and link[OPEN] is not True

    def open_node(self, span: Any) -> LiveNode | None:
        """Return what is kept of a span that a processor saw start and has not seen end."""
        link = link_of(span, self.slot, self._state)
        if link is None:
            return self.open.get((span.context.trace_id, span.context.span_id))
        return self.node_at_end(span)

    def node_at_end(self, span: Any) -> LiveNode | None:
        """Return what is kept of a span that ends; of one that began before we came, what can be had."""
        state = self._state
        link = link_of(span, self.slot, state)
        if link is None:
            return self._unlinked(span)
        if link[OPEN] is not True:
            return None
        with state.lock:
            return self.node_of(link, span)

    def _unlinked(self, span: Any) -> LiveNode | None:
        """
        Return a node for a span that began before we came, or was rebuilt since; None for one that is done with.

        What is done with is told by its node, which lives as long as the span that is just ending; behind a
        wrapper that rebuilds spans and holds them back, by what stands on it.
        """
        live = is_live(span)
        key = (span.context.trace_id, span.context.span_id)
        node = self.nodes.get(key) if live else self.node_by_id(key)
        if node is not None and (not live or node.is_of(span)):
            return node if node.is_open else None
        if not live:
            self._state.find_by_ids()  # somebody rebuilds spans: from now on all are found by their ids
            if not MARKS.isdisjoint(attributes_of(span)):
                return None
        return self._state.start(span, NO_CONTEXT)

    # --- what stands above ------------------------------------------------------------------------

    def _parent(self, span: Any, context: Context | None) -> tuple[Link | None, LiveNode | None]:
        """Return link and node of the live span above one that starts."""
        ids = span.parent
        if ids is None or ids.is_remote:
            return None, None
        above = span_in(context)
        is_there = _is_span(above, ids)
        link = link_of(above, self.slot, self._state) if is_there else None
        if link is None:
            if context is None and not is_there:
                self._starts.warn_of_threads()
            key = (ids.trace_id, ids.span_id)
            # A span itself that went straight has its link: to go through all that did, at each start below
            # a span of another provider, takes six times as long as the start.
            is_whole = is_there and hasattr(above, "_attributes")
            node = self.nodes.get(key) if is_whole else self.node_by_id(key)
            if node is not None:
                return node.link, node
            if context is not NO_CONTEXT and ids.trace_flags.sampled and not hasattr(above, "_attributes"):
                # A context that names a span by its ids alone: from now on all are found by these.
                self._state.find_by_ids()
                above = self._up_to(span_in(None), ids)
                link = link_of(above, self.slot, self._state)
        return (None, None) if link is None else (link, self.node_of(link, above))

    def _up_to(self, span: Any, ids: Any) -> Any:
        """Go up from a span to the one with these ids, or to None."""
        while span is not None and not _is_span(span, ids):
            link = link_of(span, self.slot, self._state)
            span = span_above(link) if link is not None else None
        return span

    def node_of(self, link: Link, span: Any) -> LiveNode:
        """
        Return the node of a span by its link, made now with those of the spans above where there are none.

        The caller holds the lock.
        """
        owner = self._state.owner
        chain: list[tuple[Link, Any]] = []
        each: Link | None = link
        while each is not None and (each[OWNER] is not owner or node_in(each) is None):
            chain.append((each, span))
            span = span_above(each)
            each = each[ABOVE]
        node: LiveNode | None = node_in(each) if each is not None else None
        for each, span in reversed(chain):
            node = self._make(each, span, node)
        if node is None:
            raise RuntimeError("a link is the link of a span")
        return node

    def _make(self, link: Link, span: Any, parent: LiveNode | None) -> LiveNode:
        """Make the node of a span that started some time ago, or take over that of the parent process."""
        state = self._state
        is_forks = link[OWNER] is not state.owner
        node: LiveNode | None = node_in(link)
        if node is None and type(link[CONTEXT]) is list:  # a call that went straight
            node = state.lane.untold.node_of(link[CONTEXT])
            link[LIVE] = node.live_children
            node.linked(link)
            attach_node(span, self.slot, node)
        elif node is None:
            made = self._starts.node(span, link[CONTEXT] or NO_CONTEXT, parent, self.dropped)
            node = node_in(link)  # unless a finaliser was quicker
            if node is None:
                node = made
                node.linked(link)
                attach_node(span, self.slot, node)
                self.nodes[node.key] = node
                if link[OPEN]:
                    self.open[node.key] = node
                else:
                    node.end, node.kind = span.end_time or span.start_time, Kind.OTHER
        if is_forks:
            node.forked(state.owner)
            if node.is_open:
                state.engine.start(node)
        return node


def forget_lost_kids(link: Link) -> None:
    """Take that children without a node were freed, those of the span of this link."""
    for number, kid in list((link[KIDS] or {}).items()):
        if kid() is None and link[KIDS].pop(number, None) is not None:
            link[LIVE] -= 1


def _is_span(span: Any, ids: Any) -> bool:
    """Tell whether a span is a live one with these ids."""
    own = getattr(span, "_context", None)
    return own is not None and own.span_id == ids.span_id and own.trace_id == ids.trace_id
