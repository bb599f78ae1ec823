# SPDX-License-Identifier: Apache-2.0
"""
The live engine of a process: one for all processors of all TracerProviders.

Libraries bring providers of their own, and copies of one call cross providers, so the engine, the
meter and their lock are shared; a test makes a private one. Everything behind the lock is short: no
I/O, no logging, no call into the app.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import Context

from spancost._env import SKIP_REMOTE_CHILDREN, is_on
from spancost.calls import Engine, read_span
from spancost.calls.agents import AgentName
from spancost.calls.facts import NOTHING, Facts
from spancost.calls.kinds import Kind
from spancost.calls.pricing import Pricer
from spancost.cost import Cost
from spancost.processor._sdk import NODE, attach, attributes_at_start, attributes_of, node_of
from spancost.processor.ended import EndedSpans
from spancost.processor.guard import Guard
from spancost.processor.live import LiveNode, caller_of
from spancost.processor.marks import AMOUNT, MARKS, marks_of, run_marks_of
from spancost.processor.metering import metered_call
from spancost.processor.runs import label_values, new_runs
from spancost.processor.starts import Starts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spancost.book import PriceBook
    from spancost.calls import Call, Node
    from spancost.context import Block, BlockRun
    from spancost.cost import Unpriced
    from spancost.meter import Meter

_log: Final = logging.getLogger("spancost")
_GUARDED: Final = (
    "on_start",
    "on_end",
    "force_flush",
    "abandoned",
    "late",
    "agent_block",
    "meter",
    "on_call",
    "export",
)


class LiveState:
    """
    Engine, meter and lock of a process.

    Args:
        meter: Where settled calls are counted.
        book: Prices.
        labels: Names of the configured extra metric labels.
        default_agent: The agent of calls that name none.
    """

    def __init__(
        self, meter: Meter, book: PriceBook, labels: Sequence[str] = (), default_agent: str | None = None
    ) -> None:
        self.meter = meter
        self.book = book
        self.labels = tuple(labels)
        self.default_agent = default_agent
        self.run_attributes = False
        self.cost_attribute = AMOUNT
        self.listeners: tuple[Callable[[Call], None], ...] = ()
        self.guards = {where: Guard(where, meter.internal_error) for where in _GUARDED}
        self.generation = 0
        self.ended: EndedSpans | None = None
        """What is kept of ended spans, where an exporter of ours wants to know."""
        self._hinted = False
        self._pricer = Pricer(book)
        self._nodes: weakref.WeakValueDictionary[tuple[int, int], LiveNode] = weakref.WeakValueDictionary()
        # Nodes of open spans, which refer to their spans weakly. Held, since the garbage collector tells
        # nobody of a span that it frees together with its node.
        self._open: dict[tuple[int, int], LiveNode] = {}
        self._gone: deque[LiveNode] = deque()
        self._slot = f"{NODE}_{next(_NUMBERS)}"
        skip = is_on(SKIP_REMOTE_CHILDREN)
        self._starts = Starts(self.labels, self._slot, self._nodes, skip_remote=skip)
        self._start_at_zero()
        meter.pending = self._waiting
        _STATES.add(self)

    def _start_at_zero(self) -> None:
        self.calls = 0
        self.nameless = 0
        self._ending: LiveNode | None = None
        self.engine = Engine(self._price, self._emit, self._charge)
        # A finaliser may end a span while this very thread is inside the lock, hence re-entrant; what
        # it brings waits in `_late` until the engine is done with what it is doing.
        self._lock = threading.RLock()
        self._busy = False
        self._late: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def forked(self) -> None:
        """Begin anew in a forked child: what the parent knew, it counts (design 5.11)."""
        self.generation += 1
        self._start_at_zero()
        self._gone.clear()
        alive = list(self._nodes.values())
        for node in alive:
            node.forked()
        for node in alive:
            if node.is_open:
                self.engine.start(node)

    # --- spans ------------------------------------------------------------------------------------

    def start(self, span: Any, parent_context: Context | None) -> LiveNode | None:
        """Take a span that started; return what is kept of it, or None where it is known."""
        if node_of(span, self._slot) is not None:
            return None
        node = self._starts.node(span, parent_context, self._gone.append)
        node.at_start = attributes_at_start(span)
        attach(span, self._slot, node)
        self.begin(node)
        return node

    def begin(self, node: LiveNode) -> None:
        """Take the node of a span that started, or one whose parent is known only now."""
        self._nodes[node.key] = self._open[node.key] = node
        self._do(self._start, node)

    def knows(self, key: tuple[int, int]) -> bool:
        """Tell whether a span with these ids is open, or something still refers to it."""
        return key in self._nodes

    def node_by_id(self, key: tuple[int, int]) -> LiveNode | None:
        """Return what is kept of a span with these ids."""
        return self._nodes.get(key)

    def abandon(self, node: LiveNode) -> None:
        """Give up on an open span: it ends, saying nothing, before the next one starts."""
        self._gone.append(node)

    def serve_exporters(self) -> EndedSpans:
        """Keep from now on what exporters ask about spans that ended; return it."""
        if self.ended is None:
            self.ended = EndedSpans(self._slot)
        return self.ended

    def _start(self, node: LiveNode) -> None:
        if self._gone:
            self._abandon()
        self.engine.start(node)

    def node_at_end(self, span: Any) -> LiveNode | None:
        """Return what is kept of a span that ends; of one that began before we came, what can be had."""
        node: LiveNode | None = node_of(span, self._slot)
        return node if node is not None else self.start(span, _NO_CONTEXT)

    def node_after_end(self, span: Any) -> LiveNode | None:
        """Return what is kept of a span by the copy of it that ``on_end`` gets."""
        context = span.context
        return self._open.get((context.trace_id, context.span_id))

    def late_node(self, span: Any) -> LiveNode | None:
        """
        Return a node for a span that began before we came, None for one that is done with.

        For SDKs without ``_on_ending``. What is done with is told by its node, which lives as long as the
        span that is just ending; behind a wrapper that holds spans back, by what stands on it.
        """
        done = self.knows((span.context.trace_id, span.context.span_id))
        if done or not MARKS.isdisjoint(attributes_of(span)):
            return None
        return self.start(span, _NO_CONTEXT)

    def end(self, span: Any, node: LiveNode) -> dict[str, Any]:
        """Take a span that ends; return what to put on it, nothing where it is none of ours or known."""
        if not node.is_open:
            return {}
        self._open.pop(node.key, None)
        end = span.end_time or span.start_time
        try:
            attributes = attributes_of(span, node.at_start)
            facts = self._facts(span, node, attributes)
        except Exception:
            # The spans above must not wait for one that cannot be read.
            self._do(self._end_late, node, NOTHING, end)
            raise
        marks: dict[str, Any] = {}
        self._do(self._end, node, facts, end, attributes, marks, late=self._end_late)
        return marks

    @staticmethod
    def _facts(span: Any, node: LiveNode, attributes: Mapping[str, Any]) -> Facts:
        failed = span.status.status_code is trace.StatusCode.ERROR
        facts = read_span(span.name, attributes, node.scope, node.version, failed=failed)
        if not node.was_forked:
            return facts
        # It ends in the parent process too, and is counted there.
        return NOTHING if facts.kind is Kind.CALL else Facts(facts.classification, agent=facts.agent)

    def _end(
        self, node: LiveNode, facts: Facts, end: int, attributes: Mapping[str, Any], marks: dict[str, Any]
    ) -> None:
        self._ending = node
        try:
            self.engine.end(node, facts, end)
        finally:
            self._ending = None
        node.look()  # lets go of what the span said
        marks.update(marks_of(node, attributes, self.default_agent, self.cost_attribute))
        if node.kind is Kind.AGENT:
            self._end_run(node)
            if self.run_attributes:
                marks.update(run_marks_of(node))

    def _end_late(self, node: LiveNode, facts: Facts, end: int, *_: object) -> None:
        """End a span that is on its way to the exporters by now: it carries nothing (5.1 f)."""
        if not node.is_open:
            return
        self._open.pop(node.key, None)
        early = node.adopted
        if early is not None and early.frozen and early.carrier is node:
            self._uncarried(early)  # else it is counted when it is priced, just below
        self.engine.end(node, facts, end)
        node.look()  # as above
        if node.kind is Kind.AGENT:
            self._end_run(node)

    def lost(self, marks: Mapping[str, Any], node: LiveNode) -> None:
        """Take note that marks could not be put on their span."""
        call = node.call
        if marks and call is not None and call.carrier is node:
            self._do(self._uncarried, call)

    def _abandon(self) -> None:
        """
        Take the spans that the app dropped without ending them: no exporter will carry their amounts (5.1 f).

        Not at once, when they are freed: finalisers run after that, and may end them yet.
        """
        while self._gone:
            node = self._gone.popleft()
            if node.key not in self._open:
                continue  # it did end, while the engine was busy: how it ended waits in `_late`
            with self.guards["abandoned"]:
                end = node.adopted.until if node.adopted is not None else node.start
                self._end_late(node, NOTHING, end)

    def settle(self) -> None:
        """Settle everything that waits, as it stands (design 5.1 f)."""
        self._do(self._settle)

    def _settle(self) -> None:
        self._abandon()
        self.engine.settle_early()

    def _do(self, step: Callable[..., None], *given: Any, late: Callable[..., None] | None = None) -> None:
        """
        Run one step of the engine; one that comes while another runs on this thread waits for that.

        Args:
            step: What to do.
            given: Its arguments.
            late: What to do instead where it had to wait.
        """
        with self._lock:
            if self._busy:
                self._late.append((late or step, given))
                return
            try:
                self._busy = True
                step(*given)
            finally:
                try:
                    while self._late:
                        waited, what = self._late.popleft()
                        with self.guards["late"]:
                            waited(*what)
                finally:
                    self._busy = False

    def _waiting(self) -> int:
        with self._lock:
            return self.engine.waiting

    # --- calls ------------------------------------------------------------------------------------

    def _price(self, call: Call) -> Cost | Unpriced:
        """Price a call, and count what no exported span can carry any more (5.1 f)."""
        call.cost = self._pricer(call)
        if not call.carrier.is_open and call.carrier is not self._ending:
            self._uncarried(call)
        return call.cost

    def _uncarried(self, call: Call) -> None:
        """Count the amount of a call that stands on no exported span."""
        if isinstance(call.cost, Cost) and not caller_of(call):
            self.meter.uncarried(call.cost.femto)

    def _emit(self, call: Call) -> None:
        """Count a settled call."""
        if caller_of(call):
            return
        if call.agent is None and self.default_agent is not None:
            call.agent = AgentName(self.default_agent, "default")
        agent = call.agent.name if call.agent is not None else None
        self.calls += 1
        self.nameless += agent is None
        carrier = call.carrier
        sampled = isinstance(carrier, LiveNode) and carrier.sampled
        # Guarded one by one: a failure here must not stop the engine halfway.
        with self.guards["meter"]:
            labels = label_values(self.labels, reversed(call.copies))
            self.meter.record(metered_call(call, agent, labels, sampled=sampled))
        for listener in self.listeners:
            with self.guards["on_call"]:
                listener(call)

    def hint(self, after: int) -> None:
        """Say once that many calls name no agent, when there were enough to tell."""
        if self._hinted or self.calls < after:
            return
        self._hinted = True
        if self.nameless * 5 > self.calls:
            _log.warning(
                "spancost: %d of the first %d LLM calls name no agent. Name one with "
                '`with spancost.agent("name"):`, or install an instrumentation of your agent framework.',
                self.nameless,
                self.calls,
            )

    # --- runs -------------------------------------------------------------------------------------

    def _charge(self, call: Call, copy: Node) -> None:
        """Count a copy, and add its call to the runs around it, each run once."""
        is_callers = bool(caller_of(call))
        if is_callers or copy is not call.carrier:
            self.meter.duplicate()
        if is_callers:
            return
        femto = call.cost.femto if isinstance(call.cost, Cost) else 0
        for run in new_runs(call, copy):
            if isinstance(run, LiveNode):
                run.charge(femto)
            else:
                run.charge(self, femto, str(call.carrier.resource or ""))

    def _end_run(self, node: LiveNode) -> None:
        """Observe what an agent's run cost, with everything below it."""
        if node.run_calls:
            with self.guards["meter"]:
                self.meter.record_run(
                    service_name=str(node.resource or ""),
                    agent=node.agent.name if node.agent is not None else None,
                    femto=node.run_femto,
                    labels=label_values(self.labels, (node,)),
                    trace_id=node.trace_id,
                    span_id=node.span_id,
                    sampled=node.sampled,
                )

    def end_block(self, block: Block, run: BlockRun) -> None:
        """Observe what a run of a block cost."""
        with self.guards["agent_block"]:
            self._do(self._end_block, block, run)

    def _end_block(self, block: Block, run: BlockRun) -> None:
        if run.generation == self.generation:
            labels = tuple(block.labels.get(label, "") for label in self.labels)
            self.meter.record_run(service_name=run.service, agent=block.name, femto=run.femto, labels=labels)


_NO_CONTEXT: Final = Context()
_NUMBERS: Final = itertools.count()
_STATES: weakref.WeakSet[LiveState] = weakref.WeakSet()


def _start_child_at_zero() -> None:
    for state in list(_STATES):
        state.forked()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork; after the meter's own
    os.register_at_fork(after_in_child=_start_child_at_zero)
