# SPDX-License-Identifier: Apache-2.0
"""
A recording that may never end: standard input, in a window.

Spans are kept until there are a million of them. Then everything older than 30 minutes before the
newest goes through the engine, by time, and is forgotten; where that frees less than half, the older
half goes. What was open then stays open. A call whose span came after its time had gone through, or
whose parent was never seen, may lack copies or its agent, and is flagged ``window``.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from spancost.calls.engine import Engine
from spancost.files.recording import Recording, Replay
from spancost.files.skeleton import NEVER, Skeleton
from spancost.files.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls.nodes import Call, Node
    from spancost.cost import Cost, Unpriced
    from spancost.otlp import Span

MAX_SPANS: Final = 1_000_000
MAX_AGE_NS: Final = 30 * 60 * 10**9
MAX_ENDED: Final = 10_000
"""Ended spans that are remembered for children that start later (design 5.12)."""


class Window:
    """
    A recording that is replayed while it is read.

    Args:
        price: Prices a call when its money becomes final.
        emit: Receives each call once, when it is settled.
        on_end: Receives each span when it ended.
        across_services: As for `Recording`.
        keep_names: As for `Recording`.
        max_spans: How many spans are kept.
        max_age_ns: How much older than the newest span one is that no span still to come can touch.
    """

    def __init__(
        self,
        price: Callable[[Call], Cost | Unpriced],
        emit: Callable[[Call], None],
        on_end: Callable[[Node], None] | None = None,
        *,
        across_services: bool = False,
        keep_names: bool = False,
        max_spans: int = MAX_SPANS,
        max_age_ns: int = MAX_AGE_NS,
    ) -> None:
        self._emit_call = emit
        self._on_end = on_end
        self._across_services = across_services
        self._max_spans = max_spans
        self._max_age_ns = max_age_ns
        self._engine = Engine(price, self._emit)
        self._recording = Recording(across_services=across_services, keep_names=keep_names)
        self._open: dict[int, Node] = {}
        self._ended: OrderedDict[tuple[str, str], Node] = OrderedDict()
        self._late: weakref.WeakSet[Node] = weakref.WeakSet()
        self._cut: int | None = None
        self._is_window = False
        self._newest = 0

    def add(self, span: Span) -> None:
        """Take one span."""
        self._recording.add(span)
        if span.end is not None and span.end > self._newest:
            self._newest = span.end
        if len(self._recording) >= self._max_spans:
            self._advance(self._oldest_worth_keeping())

    def finish(self) -> None:
        """Replay what is left, and settle everything."""
        self._advance(NEVER)
        self._engine.flush()
        self._recording.spool.close()

    @property
    def kept(self) -> int:
        """How many spans are kept."""
        return len(self._recording)

    def stack_notes(self) -> list[tuple[str, str]]:
        """Return what to know about the instrumentations seen."""
        return self._recording.stack_notes()

    def _oldest_worth_keeping(self) -> int:
        cut = self._newest - self._max_age_ns
        ends = sorted(end for end in self._recording.rows.end if end != NEVER)
        middle = ends[len(ends) // 2] if ends else self._newest
        return max(cut, middle)

    def _advance(self, cut: int) -> None:
        """Replay everything up to a time, and keep the rest."""
        self._is_window = self._is_window or cut != NEVER
        rows, spool = self._recording.rows, self._recording.spool
        rows.link(across_services=self._across_services)
        late = self._late_rows(rows)

        def started(row: int, node: Node) -> None:
            if row in late:
                self._late.add(node)

        replay = Replay(
            rows,
            spool,
            self._engine,
            self._ended_span,
            nodes=self._open,
            parent_of=self._parent_of,
            on_start=started,
        )
        replay.run(cut)
        self._keep(rows, spool, replay.nodes, cut)
        self._cut = cut

    def _late_rows(self, rows: Skeleton) -> set[int]:
        """
        Return the rows that ended before what has gone through already.

        A span is written when it ends, so one that only began before is no latecomer.
        """
        if self._cut is None:
            return set()
        return {i for i in range(len(rows)) if rows.end[i] <= self._cut}

    def _parent_of(self, row: int) -> Node | None:
        """Find a parent that went through in an earlier window."""
        rows = self._recording.rows
        if not rows.parent_id[row] or (rows.site_of(row).is_remote and not self._across_services):
            return None
        return self._ended.get((rows.trace_id(row), format(rows.parent_id[row], "016x")))

    def _ended_span(self, node: Node) -> None:
        self._ended[node.trace_id, node.span_id] = node
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        if self._on_end is not None:
            self._on_end(node)

    def _keep(self, rows: Skeleton, spool: Spool, nodes: dict[int, Node], cut: int) -> None:
        """Move the rows that are not over into a new skeleton, and their facts into a new spool."""
        kept = [] if cut == NEVER else [i for i in range(len(rows)) if rows.end[i] > cut]
        fresh, store = Skeleton(), Spool()
        self._open = {}
        for i in kept:
            index = fresh.take(rows, i)
            if rows.facts[i]:
                fresh.facts[index] = store.put(spool.get(rows.facts[i]))
            node = nodes.get(i)
            if node is not None and node.is_open:
                self._open[index] = node
        self._recording.restart(fresh, store)
        spool.close()

    def _emit(self, call: Call) -> None:
        if self._is_window and any(self._is_cut(node) for node in call.copies):
            call.flag("window")
        self._emit_call(call)

    def _is_cut(self, node: Node) -> bool:
        if node in self._late:
            return True
        top = node
        for above in node.ancestors():
            top = above
        return not top.is_root and not top.island
