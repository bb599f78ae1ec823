# SPDX-License-Identifier: Apache-2.0
"""
The live engine of a process: one for all processors of all TracerProviders.

Libraries bring providers of their own, and copies of one call cross providers, so the engine, the
meter and their lock are shared; a test makes a private one. Everything behind the lock is short: no
I/O, no logging, no call into the app.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from spancost._env import SKIP_REMOTE_CHILDREN, is_on
from spancost._fork import renew_each_after_fork
from spancost.calls import Engine
from spancost.processor._sdk import LINK, attributes_of
from spancost.processor.ended import EndedSpans
from spancost.processor.ends import Ends
from spancost.processor.expecting import Expecting
from spancost.processor.guard import Guard
from spancost.processor.labels import NO_LABELS, Labels
from spancost.processor.lane import Lane
from spancost.processor.links import ABOVE, LIVE, OPEN, Link, Owner, node_in
from spancost.processor.marks import AMOUNT
from spancost.processor.quick import REQUEST_MODEL, QuickHooks, leave
from spancost.processor.settled import Settled
from spancost.processor.starts import Starts
from spancost.processor.tree import Tree
from spancost.processor.writer import writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from spancost.book import PriceBook
    from spancost.context import Block, BlockRun
    from spancost.meter import Meter
    from spancost.processor.live import LiveNode
    from spancost.push import Pusher

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
        self.guards = {where: Guard(where, meter.internal_error) for where in _GUARDED}
        self.generation = 0
        self.writer = writer()
        """How marks get onto spans."""
        self.ended: EndedSpans | None = None
        """What is kept of ended spans, where an exporter of ours wants to know."""
        self.skips_remote = is_on(SKIP_REMOTE_CHILDREN)
        """Whether calls below a span of another service are left to that service."""
        self.tree = Tree(self, Starts(labels, skip_remote=self.skips_remote))
        """Which link and which node belongs to a span."""
        self.settled = Settled(self)
        """What becomes of settled calls."""
        self.ends = Ends(self)
        """How spans end."""
        self._expecting = Expecting(self)
        # For the quick ways (`quick`, `lane`), as methods of the engine: a step in between costs on every call.
        self.node_of = self.tree.node_of
        self.add_node = self.tree.add_node
        self.child_lost = self.tree.child_lost
        self.tell_of = self.settled.tell_of
        self.hint = self.settled.hint
        self.finish = self.ends.finish
        self.expect = self._expecting.expect
        self.lane = Lane(self)
        """The straight way of calls that nothing else can be a copy of."""
        self._start_at_zero()
        self.quick = QuickHooks(self, self.lane)
        for other in _STATES:
            other.give_way()
        meter.pending = self._waiting
        meter.expecting = self._expecting.expect_all
        _STATES.add(self)

    def give_way(self) -> None:
        """Leave the quick way to a later engine: a span has room for one under the name it knows."""
        if self.tree.slot == LINK:
            self.tree.slot = f"{LINK}_{next(_NUMBERS)}"
            self.find_by_ids()

    def find_by_ids(self) -> None:
        """From now on make the node of every span at its start: some cannot be found but by their ids."""
        self.quick.switch_off()
        with self.lock:  # a call on its way to its row is in it, and is told of
            if self.is_busy or self.lane.untold.has_rows:
                self.do(self.lane.close)
            else:
                self.lane.close()

    def choose(
        self,
        book: PriceBook,
        default_agent: str | None,
        cost_attribute: str,
        assume_default: bool,  # noqa: FBT001 - as the processor's settings stand
    ) -> None:
        """Take other settings, before the first call: they were nobody's choice."""
        with self.lock:
            self.book, self.default_agent, self.cost_attribute = book, default_agent, cost_attribute
            self.assume_default = assume_default
            self.settled.take_prices()
            self.lane.begin()
            self.quick.take_calls()
        self.meter.set_price_book(book)

    def _start_at_zero(self) -> None:
        self.owner = Owner(self)
        self.settled.begin()
        self.engine = Engine(self.settled.price, self.settled.emit, self.settled.charge)
        # The meter's own, so that counting a call takes no other. A finaliser may end a span while this very
        # thread is inside, hence re-entrant; what it brings waits in `late` until the engine is done.
        self.lock = self.meter.gate.lock
        self.is_busy = False
        self.late: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.lane.begin()

    def forked(self) -> None:
        """Begin anew in a forked child: what the parent knew, it counts (design 5.11)."""
        self.generation += 1
        self.tree.gone.clear()
        self._start_at_zero()
        self.quick.belong_to(self.owner)
        self.tree.forked()

    # --- spans ------------------------------------------------------------------------------------

    def start(self, span: Any, parent_context: Context | None) -> LiveNode | None:
        """Take a span that started; return what is kept of it, or None where it is known."""
        node = self.tree.take(span, parent_context)
        if node is None:
            return None
        self.do(self._start, node)
        attributes = attributes_of(span)
        if REQUEST_MODEL in attributes:
            self.do(self._expecting.expect_of, node, span.name, attributes)
        return node

    def know(self, link: Link, span: Any) -> None:
        """See to it that a span has a node."""
        with self.guards["on_start"], self.lock:
            self.node_of(link, span)

    def begin(self, node: LiveNode) -> None:
        """Take a node that was made for a span of which only the ids are known."""
        with self.lock:
            self.tree.opened(node, None)
        self.do(self._start, node)

    def move(self, node: LiveNode, parent: LiveNode) -> None:
        """Take that the parent of an open span, which had none so far, is known now."""
        with self.lock:
            node.parent, node.link[ABOVE] = parent, parent.link
        self.do(self._start, node)

    def leave_calls(self) -> None:
        """Take that calls go straight no more."""
        self.quick.take = leave

    def serve_exporters(self) -> EndedSpans:
        """Keep from now on what exporters ask about spans that ended; return it."""
        with self.lock:
            if self.ended is None:
                self.ended = EndedSpans(f"_spancost_left_{next(_NUMBERS)}")
                self.lane.has_more = True
            return self.ended

    def _start(self, node: LiveNode) -> None:
        self.ends.end_freed()
        if node.detached:
            self.lane.close()  # calls may be below it that are in other traces
        self.engine.start(node)

    def end_quickly(self, link: Link) -> None:
        """Pass on that a span without a node ended, below one that had ended before."""
        with self.guards["on_end"]:
            self.do(self.end_below, link)

    def end_below(self, link: Link | None) -> None:
        """Pass on that nothing below a span is open any more, a step of the engine."""
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

    def settle(self) -> None:
        """Settle everything that waits, as it stands (design 5.1 f)."""
        self.do(self._settle)

    def flush(self, timeout_millis: int) -> bool:
        """Settle everything that waits, and push the metrics, where that is asked for; tell whether they arrived."""
        arrived = True
        with self.guards["force_flush"]:
            self.settle()
            if self.pusher is not None:
                arrived = self.pusher.force_flush(timeout_millis)
        return arrived

    def _settle(self) -> None:
        self.ends.end_freed()
        self.engine.settle_early()

    def do(self, step: Callable[..., None], *given: Any, late: Callable[..., None] | None = None) -> None:
        """
        Run one step of the engine; one that comes while another runs on this thread waits for that.

        Args:
            step: What to do.
            given: Its arguments.
            late: What to do instead where it had to wait.
        """
        with self.lock:
            if self.is_busy:
                self.late.append((late or step, given))
                return
            try:
                self.is_busy = True
                step(*given)
            finally:
                self.catch_up()

    def catch_up(self) -> None:
        """Do what came while the engine was at something else; the caller holds the lock."""
        try:
            self.is_busy = True
            while self.late:
                waited, what = self.late.popleft()
                with self.guards["late"]:
                    waited(*what)
            if self.engine.has_aggregates and self.lane.is_open:
                self.lane.close()
        finally:
            self.is_busy = False
            self.quick.waits = self.engine.may_expire

    def _waiting(self) -> int:
        with self.lock:
            return self.engine.waiting

    def end_block(self, block: Block, run: BlockRun) -> None:
        """Observe what a run of a block cost."""
        with self.guards["agent_block"]:
            self.do(self.settled.end_block, block, run)


_NUMBERS: Final = itertools.count()
_STATES: weakref.WeakSet[LiveState] = weakref.WeakSet()


renew_each_after_fork(_STATES, LiveState.forked)  # after the meter's own
