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
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import Context

from spancost._env import SKIP_REMOTE_CHILDREN, is_on
from spancost._fork import renew_each_after_fork
from spancost.calls import Engine, read_span
from spancost.calls.agents import AgentName
from spancost.calls.attribution import agent_so_far
from spancost.calls.facts import NOTHING, Facts
from spancost.calls.kinds import Kind
from spancost.calls.pricing import Pricer
from spancost.cost import Cost
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
    span_in,
)
from spancost.processor.ended import NOTHING_LEFT, EndedSpans
from spancost.processor.guard import Guard
from spancost.processor.labels import NO_LABELS, Labels
from spancost.processor.links import ABOVE, CONTEXT, KIDS, LIVE, OPEN, OWNER, Link, Owner, node_in
from spancost.processor.live import LiveNode, caller_of
from spancost.processor.marks import AMOUNT, MARKS, marks_of, run_marks_of
from spancost.processor.metering import expect_call, meter_call
from spancost.processor.quick import REQUEST_MODEL, QuickHooks
from spancost.processor.runs import new_runs
from spancost.processor.starts import Starts
from spancost.processor.writer import writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spancost.book import PriceBook
    from spancost.calls import Call, Node
    from spancost.context import Block, BlockRun
    from spancost.cost import Unpriced
    from spancost.meter import Meter
    from spancost.push import Pusher

_log: Final = logging.getLogger("spancost")
HINT_AFTER: Final = 50
"""Calls before the hint about calls without an agent may come: fewer say nothing."""

_GUARDED: Final = (
    "on_start",
    "on_end",
    "force_flush",
    "abandoned",
    "late",
    "agent_block",
    "meter",
    "on_call",
    "price_table",
    "export",
)


class LiveState:
    """
    Engine, meter and lock of a process.

    Args:
        meter: Where settled calls are counted.
        book: Prices.
        labels: The configured extra metric labels.
        default_agent: The agent of calls that name none.
        assume_default: Price calls of unknown models at the book's default rate.
    """

    def __init__(
        self,
        meter: Meter,
        book: PriceBook,
        labels: Labels = NO_LABELS,
        default_agent: str | None = None,
        *,
        assume_default: bool = False,
    ) -> None:
        self.meter = meter
        self.book = book
        self.labels = labels
        self.default_agent = default_agent
        self.assume_default = assume_default
        self.run_attributes = False
        self.cost_attribute = AMOUNT
        self.pusher: Pusher | None = None
        self.listeners: tuple[Callable[[Call], None], ...] = ()
        self.guards = {where: Guard(where, meter.internal_error) for where in _GUARDED}
        self.generation = 0
        self.writer = writer()
        """How marks get onto spans."""
        self.ended: EndedSpans | None = None
        """What is kept of ended spans, where an exporter of ours wants to know."""
        self._hinted = False
        self._pricer = Pricer(book, assume_default=assume_default)
        self._nodes: weakref.WeakValueDictionary[tuple[int, int], LiveNode] = weakref.WeakValueDictionary()
        # Nodes of open spans, which refer to their spans weakly. Held, since the garbage collector tells
        # nobody of a span that it frees together with its node.
        self._open: dict[tuple[int, int], LiveNode] = {}
        self._gone: deque[LiveNode | Link] = deque()  # of spans that were freed without an end
        self._starts = Starts(self.labels, skip_remote=is_on(SKIP_REMOTE_CHILDREN))
        self.slot = LINK
        self._start_at_zero()
        self.quick = QuickHooks(self)
        for other in _STATES:
            other.give_way()
        meter.pending = self._waiting
        _STATES.add(self)

    def give_way(self) -> None:
        """Leave the quick way to a later engine: a span has room for one under the name it knows."""
        if self.slot == LINK:
            self.slot = f"{LINK}_{next(_NUMBERS)}"
            self.quick.switch_off()

    def choose(
        self,
        book: PriceBook,
        default_agent: str | None,
        cost_attribute: str,
        assume_default: bool,  # noqa: FBT001 - as the processor's settings stand
    ) -> None:
        """Take other settings, before the first call: they were nobody's choice."""
        with self._lock:
            self.book, self.default_agent, self.cost_attribute = book, default_agent, cost_attribute
            self.assume_default = assume_default
            self._pricer = Pricer(book, assume_default=assume_default)
        self.meter.set_price_book(book)

    def _start_at_zero(self) -> None:
        self.owner = Owner(self)
        self.calls = 0
        self.nameless = 0
        self._ending: LiveNode | None = None
        self.engine = Engine(self._price, self._emit, self._charge)
        # The meter's own, so that counting a call takes no other. A finaliser may end a span while this very
        # thread is inside, hence re-entrant; what it brings waits in `_late` until the engine is done.
        self._lock = self.meter.gate.lock
        self._busy = False
        self._late: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def forked(self) -> None:
        """Begin anew in a forked child: what the parent knew, it counts (design 5.11)."""
        self.generation += 1
        self._gone.clear()
        self._start_at_zero()
        self.quick.belong_to(self.owner)
        alive = list(self._nodes.values())
        for node in alive:
            node.forked(self.owner)
        for node in alive:
            if node.is_open:
                self.engine.start(node)

    # --- spans ------------------------------------------------------------------------------------

    def start(self, span: Any, parent_context: Context | None) -> LiveNode | None:
        """Take a span that started; return what is kept of it, or None where it is known."""
        if link_of(span, self.slot, self) is not None:
            return None
        context = parent_context if parent_context is not None else get_current()
        remember_start(span)
        with self._lock:
            above, parent = self._parent(span, parent_context)
            node = self._starts.node(span, context, parent, self._dropped)
            attach(span, self.slot, self._opened(node, above), node)
        self._do(self._start, node)
        attributes = attributes_of(span)
        if REQUEST_MODEL in attributes:
            self._do(self._expect, node, span.name, attributes)
        return node

    def _expect(self, node: LiveNode, name: str, attributes: Mapping[str, Any]) -> None:
        """Let the series of a call that starts be born, if it names its model already."""
        facts = read_span(name, attributes, node.scope, node.version, failed=False)
        if facts.kind is Kind.CALL and not node.caller:
            agent = agent_so_far(node, facts.agent)
            agent_name = agent.name if agent is not None else self.default_agent
            expect_call(self.meter, node, facts, agent_name, self.labels.values((node,)))

    def _opened(self, node: LiveNode, above: Link | None) -> Link:
        """Give the node of a span that started a link; the caller holds the lock."""
        link: Link = [self.owner, above, None, 0, True, None, None, None]
        node.linked(link)
        self._nodes[node.key] = self._open[node.key] = node
        return link

    def begin(self, node: LiveNode) -> None:
        """Take a node that was made for a span of which only the ids are known."""
        with self._lock:
            self._opened(node, None)
        self._do(self._start, node)

    def move(self, node: LiveNode, parent: LiveNode) -> None:
        """Take that the parent of an open span, which had none so far, is known now."""
        with self._lock:
            node.parent, node.link[ABOVE] = parent, parent.link
        self._do(self._start, node)

    def knows(self, key: tuple[int, int]) -> bool:
        """Tell whether a span with these ids has a node, and is open or something still refers to it."""
        return key in self._nodes

    def node_by_id(self, key: tuple[int, int]) -> LiveNode | None:
        """Return what is kept of a span with these ids."""
        return self._nodes.get(key)

    def abandon(self, node: LiveNode) -> None:
        """Give up on an open span: it ends, saying nothing, before the next one starts."""
        self._dropped(node)

    def serve_exporters(self) -> EndedSpans:
        """Keep from now on what exporters ask about spans that ended; return it."""
        if self.ended is None:
            self.ended = EndedSpans(f"_spancost_left_{next(_NUMBERS)}")
        return self.ended

    def _start(self, node: LiveNode) -> None:
        self._abandon()
        self.engine.start(node)

    def _dropped(self, what: LiveNode | Link) -> None:
        """Take note of a span that was freed without an end; this may be inside any step of ours."""
        self._gone.append(what)
        self.quick.dropped = True

    def _parent(self, span: Any, context: Context | None) -> tuple[Link | None, LiveNode | None]:
        """Return link and node of the live span above one that starts."""
        ids = span.parent
        if ids is None or ids.is_remote:
            return None, None
        above = span_in(context)
        is_there = _is_span(above, ids)
        link = link_of(above, self.slot, self) if is_there else None
        if link is None:
            if context is None and not is_there:
                self._starts.warn_of_threads()
            node = self._nodes.get((ids.trace_id, ids.span_id))
            if node is not None:
                return node.link, node
            if context is not NO_CONTEXT and ids.trace_flags.sampled and not hasattr(above, "_attributes"):
                # A context that names a span by its ids alone: from now on all are found by these.
                self.quick.switch_off()
                above = _up_to(span_in(None), ids, self)
                link = link_of(above, self.slot, self)
        return (None, None) if link is None else (link, self._node_of(link, above))

    def _node_of(self, link: Link, span: Any) -> LiveNode:
        """
        Return the node of a span by its link, made now with those of the spans above where there are none.

        The caller holds the lock.
        """
        chain: list[tuple[Link, Any]] = []
        each: Link | None = link
        while each is not None and (each[OWNER] is not self.owner or node_in(each) is None):
            chain.append((each, span))
            span = span_in(each[CONTEXT]) if each[CONTEXT] is not None else None
            each = each[ABOVE]
        node: LiveNode | None = node_in(each) if each is not None else None
        for each, span in reversed(chain):
            node = self._make(each, span, node)
        if node is None:
            raise RuntimeError("a link is the link of a span")
        return node

    def _make(self, link: Link, span: Any, parent: LiveNode | None) -> LiveNode:
        """Make the node of a span that started some time ago, or take over that of the parent process."""
        is_forks = link[OWNER] is not self.owner
        node: LiveNode | None = node_in(link)
        if node is None:
            made = self._starts.node(span, link[CONTEXT] or NO_CONTEXT, parent, self._dropped)
            node = node_in(link)  # unless a finaliser was quicker
        if node is None:
            node = made
            node.linked(link)
            attach_node(span, self.slot, node)
            self._nodes[node.key] = node
            if link[OPEN]:
                self._open[node.key] = node
            else:
                node.end, node.kind = span.end_time or span.start_time, Kind.OTHER
        if is_forks:
            node.forked(self.owner)
            if node.is_open:
                self.engine.start(node)
        return node

    def finish(self, span: Any) -> None:
        """Take a span that ends, and put on it what there is to say."""
        node = self.node_at_end(span)
        if node is None or not node.is_open:
            return
        ended = self.ended
        if ended is not None:
            ended.add(span, node.key, NOTHING_LEFT)  # first: whatever fails below, it is not priced again
        marks = self.end(span, node)
        write = self.writer.in_ending if is_live(span) else self.writer.in_end
        if marks and not write(span, marks):
            if ended is not None:
                ended.add(span, node.key, marks)
            else:
                self.lost(marks, node)
        self.hint(HINT_AFTER)

    def node_at_end(self, span: Any) -> LiveNode | None:
        """Return what is kept of a span that ends; of one that began before we came, what can be had."""
        link = link_of(span, self.slot, self)
        if link is None:
            return self._unlinked(span)
        if link[OPEN] is not True:
            return None
        with self._lock:
            return self._node_of(link, span)

    def _unlinked(self, span: Any) -> LiveNode | None:
        """
        Return a node for a span that began before we came, or was rebuilt since; None for one that is done with.

        What is done with is told by its node, which lives as long as the span that is just ending; behind a
        wrapper that rebuilds spans and holds them back, by what stands on it.
        """
        live = is_live(span)
        node = self._nodes.get((span.context.trace_id, span.context.span_id))
        if node is not None and (not live or node.is_of(span)):
            return node if node.is_open else None
        if not live:
            self.quick.switch_off()  # somebody rebuilds spans: from now on all are found by their ids
            if not MARKS.isdisjoint(attributes_of(span)):
                return None
        return self.start(span, NO_CONTEXT)

    def has_ended(self, span: Any) -> bool:
        """Tell whether a span is known to have been through here, by its link."""
        link = link_of(span, self.slot, self)
        return link is not None and link[OPEN] is not True

    def open_node(self, span: Any) -> LiveNode | None:
        """Return what is kept of a span that a processor saw start and has not seen end."""
        link = link_of(span, self.slot, self)
        if link is None:
            return self._open.get((span.context.trace_id, span.context.span_id))
        return self.node_at_end(span)

    def end_quickly(self, link: Link) -> None:
        """Pass on that a span without a node ended, below one that had ended before."""
        with self.guards["on_end"]:
            self._do(self._end_quickly, link)

    def _end_quickly(self, link: Link | None) -> None:
        while link is not None and link[OPEN] is False and not link[LIVE]:
            node: LiveNode | None = node_in(link)
            if node is not None:
                if node.is_done():
                    self.engine.subtree_ended(node)
                return
            link[OPEN] = None
            link = link[ABOVE]
            if link is not None:
                link[LIVE] -= 1

    def child_lost(self, where: Callable[[], Any], _: object) -> None:
        """Take note of a child that was freed without an end and had no node."""
        link = link_on(where(), self.slot, self)
        if link is not None:
            self._dropped(link)

    def end(self, span: Any, node: LiveNode) -> dict[str, Any]:
        """Take a span that ends; return what to put on it, nothing where it is none of ours or known."""
        if not node.is_open:
            return {}
        self._close(node)
        end = span.end_time or span.start_time
        try:
            attributes = attributes_of(span)
            facts = self._facts(span, node, attributes)
            if self.labels:
                node.labels = self.labels.at_end(node.labels, attributes)
        except Exception:
            # The spans above must not wait for one that cannot be read.
            self._do(self._end_late, node, NOTHING, end)
            raise
        marks: dict[str, Any] = {}
        self._do(self._end, node, facts, end, attributes, marks, late=self._end_late)
        return marks

    def _close(self, node: LiveNode) -> None:
        """Take that a span is no open one any more."""
        self._open.pop(node.key, None)
        node.close()

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
        if node.kind is not Kind.OTHER:
            self.quick.speaks(node.scope)
        if node.kind is Kind.AGENT:
            self._end_run(node)
            if self.run_attributes:
                marks.update(run_marks_of(node))

    def _end_late(self, node: LiveNode, facts: Facts, end: int, *_: object) -> None:
        """End a span that is on its way to the exporters by now: it carries nothing (5.1 f)."""
        if not node.is_open:
            return
        self._close(node)
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
        self.quick.dropped = False
        while self._gone:
            node = self._gone.popleft()
            if isinstance(node, list):  # the span above one without a node
                for number, kid in list((node[KIDS] or {}).items()):
                    if kid() is None and node[KIDS].pop(number, None) is not None:
                        node[LIVE] -= 1
                self._end_quickly(node)
                continue
            if not node.link[OPEN]:
                continue  # it did end, while the engine was busy: how it ended waits in `_late`
            with self.guards["abandoned"]:
                end = node.adopted.until if node.adopted is not None else node.start
                self._end_late(node, NOTHING, end)

    def settle(self) -> None:
        """Settle everything that waits, as it stands (design 5.1 f)."""
        self._do(self._settle)

    def flush(self, timeout_millis: int) -> bool:
        """Settle everything that waits, and push the metrics, where that is asked for; tell whether they arrived."""
        arrived = True
        with self.guards["force_flush"]:
            self.settle()
            if self.pusher is not None:
                arrived = self.pusher.force_flush(timeout_millis)
        return arrived

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
                    self.quick.waits = self.engine.may_expire

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
            labels = self.labels.values(reversed(call.copies))
            meter_call(self.meter, call, agent, labels, sampled)
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
                    labels=self.labels.values((node,)),
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
            labels = self.labels.of_block(block)
            self.meter.record_run(service_name=run.service, agent=block.name, femto=run.femto, labels=labels)


def _is_span(span: Any, ids: Any) -> bool:
    """Tell whether a span is a live one with these ids."""
    own = getattr(span, "_context", None)
    return own is not None and own.span_id == ids.span_id and own.trace_id == ids.trace_id


def _up_to(span: Any, ids: Any, state: LiveState) -> Any:
    """Go up from a span to the one with these ids, or to None."""
    while span is not None and not _is_span(span, ids):
        link = link_of(span, state.slot, state)
        span = span_in(link[CONTEXT]) if link is not None and link[CONTEXT] is not None else None
    return span


NO_CONTEXT: Final = Context()
"""Of spans whose start nobody of ours saw."""

_NUMBERS: Final = itertools.count()
_STATES: weakref.WeakSet[LiveState] = weakref.WeakSet()


renew_each_after_fork(_STATES, LiveState.forked)  # after the meter's own
