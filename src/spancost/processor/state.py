# SPDX-License-Identifier: Apache-2.0
"""
The live engine of a process: one for all processors of all TracerProviders.

Libraries bring providers of their own, and copies of one call cross providers, so the engine, the
meter and their lock are shared; a test makes a private one. Everything behind the lock is short: no
I/O, no logging, no call into the app.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage, trace

from spancost.calls import Engine, read_span
from spancost.calls.facts import NOTHING
from spancost.calls.kinds import Kind
from spancost.calls.pricing import Pricer
from spancost.context import AGENT_BAGGAGE, LABEL_BAGGAGE, Block, current_block, on_block_end
from spancost.cost import Cost
from spancost.processor._sdk import attach, attributes_of, node_of
from spancost.processor.live import LiveNode
from spancost.processor.metering import metered_call
from spancost.usage.dialects import dialects_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context

    from spancost.book import PriceBook
    from spancost.calls import Call, Facts, Node
    from spancost.cost import Unpriced
    from spancost.meter import Meter

MAIN_AGENT: Final = "gen_ai.main_agent.name"


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
        self.labels = tuple(labels)
        self.default_agent = default_agent
        self.calls = 0
        self.nameless = 0
        self.listeners: tuple[Callable[[Call], None], ...] = ()
        self._pricer = Pricer(book)
        self._ending: LiveNode | None = None
        self.engine = Engine(self._price, self._emit, self._charge)
        # A finaliser may end a span while this very thread is inside the lock, hence re-entrant; what
        # it brings waits in `_late` until the engine is done with what it is doing.
        self._lock = threading.RLock()
        self._busy = False
        self._late: deque[Callable[[], None]] = deque()
        self._nodes: weakref.WeakValueDictionary[tuple[int, int], LiveNode] = weakref.WeakValueDictionary()
        meter.pending = self._waiting
        on_block_end(self._end_block)

    # --- spans ------------------------------------------------------------------------------------

    def start(self, span: Any, parent_context: Context | None) -> LiveNode | None:
        """Take a span that started; return what is kept of it, or None where another processor took it."""
        if node_of(span) is not None:
            return None
        parent_id = span.parent
        remote = parent_id is not None and parent_id.is_remote
        parent = None if parent_id is None or remote else self._parent(parent_id, parent_context)
        scope = span.instrumentation_scope
        name, version = (scope.name, scope.version or "") if scope is not None else ("", "")
        resource = span.resource.attributes
        node = LiveNode(
            span,
            parent,
            version,
            self._abandon,
            is_root=parent_id is None,
            name=span.name,
            scope=name,
            start=span.start_time,
            remote=remote,
            resource=str(resource.get("service.name", "")),
            detached=_is_detached(name, version),
        )
        node.block = current_block(parent_context)
        if node.block is None:
            self._inherit(node, resource, parent_context)
        attach(span, node)
        self._nodes[node.key] = node
        self._do(lambda: self.engine.start(node))
        return node

    def _parent(self, parent_id: Any, parent_context: Context | None) -> LiveNode | None:
        parent: LiveNode | None = node_of(trace.get_current_span(parent_context))
        if parent is None or parent.key != (parent_id.trace_id, parent_id.span_id):
            # Hooks on a thread of their own (ConcurrentMultiSpanProcessor) see no current span.
            parent = self._nodes.get((parent_id.trace_id, parent_id.span_id))
        return parent

    def _inherit(self, node: LiveNode, resource: Any, parent_context: Context | None) -> None:
        """Take what came from outside: it names a call only where no span and no block does."""
        named: object = baggage.get_baggage(AGENT_BAGGAGE, parent_context) or resource.get(MAIN_AGENT)
        node.inherited = named[:256] if isinstance(named, str) and named else None
        if self.labels:
            found = [baggage.get_baggage(LABEL_BAGGAGE + label, parent_context) for label in self.labels]
            node.labels = tuple(value if isinstance(value, str) else "" for value in found)

    def end(self, span: Any) -> LiveNode | None:
        """Take a span that ends; return what is known of it, or None where it is none of ours or known."""
        node: LiveNode | None = node_of(span)
        if node is None or not node.is_open:
            return None
        facts = read_span(
            span.name,
            attributes_of(span),
            node.scope,
            node.version,
            failed=span.status.status_code is trace.StatusCode.ERROR,
        )
        end = span.end_time or span.start_time
        self._do(lambda: self._end(node, facts, end))
        return node

    def _end(self, node: LiveNode, facts: Facts, end: int) -> None:
        self._ending = node
        try:
            self.engine.end(node, facts, end)
        finally:
            self._ending = None

    def _abandon(self, node: LiveNode) -> None:
        """Take a span that the app dropped without ending it: no exporter will carry its amount (5.1 f)."""
        self._do(lambda: self._give_up(node))

    def _give_up(self, node: LiveNode) -> None:
        if not node.is_open:
            return
        early = node.adopted
        if early is not None and early.frozen and early.carrier is node and isinstance(early.cost, Cost):
            self.meter.uncarried(early.cost.femto)  # else it is counted when it is priced, just below
        self.engine.end(node, NOTHING, node.start)

    def settle(self) -> None:
        """Settle everything that waits, as it stands (design 5.1 f)."""
        self._do(self.engine.settle_early)

    def _do(self, step: Callable[[], None]) -> None:
        """Run one step of the engine; a step that comes while another runs on this thread waits for it."""
        with self._lock:
            if self._busy:
                self._late.append(step)
                return
            self._busy = True
            try:
                step()
                while self._late:
                    self._late.popleft()()
            finally:
                self._busy = False

    def _waiting(self) -> int:
        return self.engine.waiting

    # --- calls ------------------------------------------------------------------------------------

    def _price(self, call: Call) -> Cost | Unpriced:
        """Price a call, and count what no exported span can carry any more (5.1 f)."""
        cost = self._pricer(call)
        if isinstance(cost, Cost) and not call.carrier.is_open and call.carrier is not self._ending:
            self.meter.uncarried(cost.femto)
        return cost

    def _emit(self, call: Call) -> None:
        """Count a settled call."""
        agent = call.agent.name if call.agent is not None else self.default_agent
        self.calls += 1
        self.nameless += agent is None
        carrier = call.carrier
        sampled = isinstance(carrier, LiveNode) and carrier.sampled
        self.meter.record(metered_call(call, agent, self._labels_of(call), sampled=sampled))
        for listener in self.listeners:
            listener(call)

    def _labels_of(self, call: Call) -> tuple[str, ...]:
        """Return the values of the configured labels: from the block around the call, else baggage."""
        if not self.labels:
            return ()
        for copy in reversed(call.copies):
            for node in (copy, *copy.ancestors()):
                if isinstance(node.block, Block):
                    known = node.block.labels
                    return tuple(known.get(label, "") for label in self.labels)
                if isinstance(node, LiveNode) and node.labels:
                    return node.labels
        return ("",) * len(self.labels)

    def _charge(self, call: Call, copy: Node) -> None:
        """Count a copy, and add its call to the runs of the agents around it, each run once."""
        if copy is not call.carrier:
            self.meter.duplicate()
        femto = call.cost.femto if isinstance(call.cost, Cost) else 0
        below: Node | None = None
        for node in (copy, *copy.ancestors()):
            if below is not None and below.block is not node.block:
                _charge_blocks(call, below.block, femto, node.block)
            if isinstance(node, LiveNode) and node.kind in (Kind.AGENT, None):
                node.charge(call, femto)
            below = node
        if below is not None:
            _charge_blocks(call, below.block, femto, None)

    def _end_block(self, block: Block) -> None:
        if block.calls:
            self.meter.record_run(service_name=block.service, agent=block.name, femto=block.femto)


def _charge_blocks(call: Call, block: Any, femto: int, until: Any) -> None:
    while isinstance(block, Block) and block is not until:
        block.charge(call, femto, str(call.carrier.resource or ""))
        block = block.outer


@lru_cache(maxsize=1024)
def _is_detached(scope_name: str, scope_version: str) -> bool:
    """Tell whether a scope never makes its spans current: a column of the dialect table."""
    return any(row.detached for row in dialects_of(scope_name, scope_version))
