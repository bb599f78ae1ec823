# SPDX-License-Identifier: Apache-2.0
"""
Spans that no processor of ours has seen: an exporter brings them, ended, in batches, children first.

They go through the engine of the process as live spans do. A batch is replayed in the order in which
its spans started and ended, so what is in one batch settles as if it were live. A parent that has not
come yet gets a node of its own, open until it comes; calls below it wait for it, since it may be their
agent, ten minutes at most. What an exporter puts on a span cannot wait.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

from spancost.calls.below import mark_above
from spancost.processor.ended import NOTHING_LEFT, Key, Marks
from spancost.processor.live import LiveNode
from spancost.processor.tree import NO_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from spancost.processor.guard import Guard
    from spancost.processor.state import LiveState

MAX_ENDED: Final = 10_000
"""Ended spans that are remembered for children that come later (design 5.12)."""

MAX_AWAITED: Final = 10_000
MAX_WAIT_NS: Final = 600 * 10**9
"""Spans that are waited for: so many, and so long by span time; then what is below them is settled."""

_NAME: Final = "_exported_spans"


def spans_of(state: LiveState) -> ExportedSpans:
    """Return the spans that come to an engine by exporters, the same for all its exporters."""
    found: ExportedSpans | None = vars(state).get(_NAME)
    # Two threads may make one at once: one of them stays.
    return found if found is not None else vars(state).setdefault(_NAME, ExportedSpans(state))


class ExportedSpans:
    """
    The spans that come by exporters, and what is waited for.

    Args:
        state: The engine; all exporters of a process share it.
    """

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._ended_spans = state.serve_exporters()
        self._renew()

    def _renew(self) -> None:
        """Begin anew: at first, and in a forked child, where another thread may have held the lock."""
        self._generation = self._state.generation
        self._lock = threading.RLock()
        self._busy = False
        self._late: deque[Sequence[ReadableSpan]] = deque()
        self._awaited: OrderedDict[Key, tuple[LiveNode, _Unseen]] = OrderedDict()
        self._ended: OrderedDict[Key, LiveNode] = OrderedDict()

    def marks_of(self, spans: Sequence[ReadableSpan]) -> list[Marks]:
        """Return what is to be put on each span that is exported, and meter those that are new."""
        if self._generation != self._state.generation:
            self._renew()
        with self._lock:
            if self._busy:  # a finaliser ended a span while this thread was in here
                self._late.append(spans)
                return [NOTHING_LEFT] * len(spans)
            try:
                self._busy = True
                return self._take(spans)
            finally:
                try:
                    while self._late:
                        self._take(self._late.popleft())
                finally:
                    self._busy = False

    def _take(self, spans: Sequence[ReadableSpan]) -> list[Marks]:
        found: list[Marks] = [NOTHING_LEFT] * len(spans)
        unseen: dict[Key, tuple[int, ReadableSpan]] = {}
        for index, span in enumerate(spans):
            if not _is_whole(span):
                continue
            key = _key_of(span)
            left = self._ended_spans.left_of(span, key)
            if left is None:
                left = self._end_open(span, key)
            if left is not None:
                found[index] = left
            else:
                unseen.setdefault(key, (index, span))
        if unseen:
            guard = self._state.guards["export"]
            _Replay(self, {key: span for key, (_, span) in unseen.items()}, guard).run()
            for key, (index, span) in unseen.items():
                found[index] = self._ended_spans.left_of(span, key) or NOTHING_LEFT
        return found

    def _end_open(self, span: ReadableSpan, key: Key) -> Marks | None:
        """End a span that a processor saw start and has not seen end yet: it is registered behind us."""
        if key in self._awaited:
            return None
        state = self._state
        if state.tree.has_ended(span):
            return NOTHING_LEFT  # nothing of ours, or from before we were here
        node = state.tree.open_node(span)
        if node is None or not node.is_open:
            return None
        marks = self.end(span, node)
        # Written as the processor would have: there may be other exporters behind us.
        if marks and state.writer.in_end(span, marks):
            self._ended_spans.add(span, key, NOTHING_LEFT)
            return NOTHING_LEFT
        return marks

    def end(self, span: ReadableSpan, node: LiveNode) -> Marks:
        """End a span, and return what to put on it."""
        self._ended_spans.add(span, node.key, NOTHING_LEFT)  # whatever fails, it is not priced again
        marks = self._state.ends.end(span, node) or NOTHING_LEFT
        self._ended_spans.add(span, node.key, marks)
        return marks

    # --- the tree -------------------------------------------------------------------------------------

    def begin(self, span: ReadableSpan, key: Key) -> LiveNode:
        """Start a span whose parent, if it is in this batch, has started."""
        awaited = self._awaited.pop(key, None)
        parent_id = span.parent
        if parent_id is not None and not parent_id.is_remote and parent_id.span_id != key[1]:
            self._await((parent_id.trace_id, parent_id.span_id), parent_id, span)
        if awaited is not None:
            self._arrived(span, awaited[0])
            return awaited[0]
        node = self._state.start(span, NO_CONTEXT)
        return node if node is not None else self._state.tree.node_at_end(span)  # type: ignore[return-value]

    def _await(self, key: Key, context: Any, child: ReadableSpan) -> None:
        """See that a parent has a node, one that is waited for where it has not come."""
        if self._state.tree.knows(key):
            return
        stub = _Unseen(context, child)
        node = LiveNode(
            stub.context,
            None,
            "",
            is_root=True,
            name="",
            scope="",
            start=stub.start_time,
            resource=str(child.resource.attributes.get("service.name", "")),
            detached=True,
        )
        node.watch(stub, _ignore)
        self._awaited[key] = (node, stub)
        self._state.begin(node)

    def _arrived(self, span: ReadableSpan, node: LiveNode) -> None:
        """Let the node of a span that was waited for be what the span is."""
        scope = span.instrumentation_scope
        parent_id = span.parent
        node.name = span.name
        if scope is not None:
            node.scope, node.version = scope.name, scope.version or ""
        node.start = span.start_time or node.start
        node.is_root = parent_id is None
        node.span_is(span)
        if parent_id is None or parent_id.is_remote:
            return
        parent = self._state.tree.node_by_id((parent_id.trace_id, parent_id.span_id))
        if parent is None or parent is node or parent.is_below(node):
            return  # ids that go round in a circle
        self._state.move(node, parent)
        # What its children told the spans above them before there were any.
        for call_type in node.types_below or ():
            mark_above(node, call_type)
        for above in node.ancestors():
            if isinstance(above, LiveNode):
                above.run_femto += node.run_femto
                above.run_calls += node.run_calls

    def remember(self, node: LiveNode) -> None:
        """Keep an ended span for its children, and give up on spans that do not come."""
        self._ended[node.key] = node
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        now = node.end or node.start
        while self._awaited:
            oldest, _ = next(iter(self._awaited.values()))
            if now - oldest.start <= MAX_WAIT_NS and len(self._awaited) <= MAX_AWAITED:
                return
            del self._awaited[oldest.key]
            self._state.tree.dropped(oldest)  # it ends, saying nothing, before the next one starts


class _Replay:
    """
    Starts and ends the spans of one batch in the order these things happened.

    Args:
        home: Where the spans go.
        spans: The spans by their ids.
        guard: Keeps what fails for one span from the others.
    """

    def __init__(self, home: ExportedSpans, spans: dict[Key, ReadableSpan], guard: Guard) -> None:
        self._home = home
        self._spans = spans
        self._guard = guard
        self._nodes: dict[Key, LiveNode] = {}

    def run(self) -> None:
        ends = deque(sorted(self._spans, key=self._end_of))
        for key in sorted(self._spans, key=self._start_of):
            # A start comes before an end at the same time: a span of no length starts first.
            while ends and self._end_of(ends[0])[0] < self._start_of(key):
                self._end(ends.popleft())
            with self._guard:
                self._start(key)
        for key in ends:
            self._end(key)

    def _start_of(self, key: Key) -> int:
        return self._spans[key].start_time or 0

    def _end_of(self, key: Key) -> tuple[int, int]:
        """Return what ends are sorted by: on a tie the child, which began later, ends first."""
        span = self._spans[key]
        return span.end_time or 0, -(span.start_time or 0)

    def _start(self, key: Key) -> None:
        """Start a span, and first its parents where clocks say that they started later."""
        for each in reversed(list(self._unstarted(key))):
            self._nodes[each] = self._home.begin(self._spans[each], each)

    def _unstarted(self, key: Key) -> Iterable[Key]:
        passed = set()
        while key in self._spans and key not in self._nodes and key not in passed:
            passed.add(key)
            yield key
            parent = self._spans[key].parent
            if parent is None or parent.is_remote:
                return
            key = (parent.trace_id, parent.span_id)

    def _end(self, key: Key) -> None:
        with self._guard:
            if key not in self._nodes:
                self._start(key)
            node = self._nodes[key]
            self._home.end(self._spans[key], node)
            self._home.remember(node)


class _Unseen:
    """
    A span that its child names and nobody has seen.

    Args:
        context: Its ids.
        child: The first of its children that came: it began no later than that.
    """

    name = ""
    _attributes = None

    def __init__(self, context: Any, child: ReadableSpan) -> None:
        self.context = context
        self.start_time = child.start_time or 0


def _ignore(_: object) -> None:
    """Take no note that a span was freed: it is an exporter's, and ended."""


def _key_of(span: Any) -> Key:
    return span.context.trace_id, span.context.span_id


def _is_whole(span: ReadableSpan) -> bool:
    """Tell whether a span has what every span of an SDK has; others are exported as they are."""
    return span.context is not None and isinstance(span.start_time, int) and isinstance(span.end_time, int)
