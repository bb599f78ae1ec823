# SPDX-License-Identifier: Apache-2.0
"""
The straight way of a call: from the attributes of its ended span to its amount and the meter, with nothing made.

A span is a copy of a call only where another scope shows the same call, or a span of its own line does. So
as long as one scope alone has shown calls in the process, and no call or span that may sum up calls stands
around or below a span, the engine could do nothing with a call but price it, name its agent and count
it: a sixth of the work. What it would have remembered of it is kept as a row (`rows`), and the engine is
told as soon as it could matter: a second scope shows a call, a span above turns out to be a call or a
roll-up, or something starts below the span.

Nobody goes this way whose calls are not as they nearly all are: `Lane.end` returns False before it has
done anything, and the engine takes the call. ``tests/property/test_lane.py`` holds the two ways together.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry import trace

from spancost.calls.attribution import agent_around
from spancost.calls.below import mark_from
from spancost.calls.facts import NOTHING
from spancost.calls.kinds import Kind
from spancost.context import BLOCKS_USED, current_block
from spancost.money import to_float
from spancost.processor._sdk import SPAN_KEY, store_in_place
from spancost.processor.births import Births
from spancost.processor.ended import NOTHING_LEFT
from spancost.processor.links import ABOVE, CONTEXT, KIDS, LIVE, LOST, NODE, OPEN, SHARED
from spancost.processor.live import LiveNode
from spancost.processor.marks import AGENT, AMOUNT, CURRENCY, SOURCE
from spancost.processor.plans import Plans
from spancost.processor.runs import runs_from
from spancost.processor.starts import agent_from_outside, outside_of
from spancost.processor.untold import Untold
from spancost.processor.writer import HAS_ON_ENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from spancost.book import PriceBook
    from spancost.calls import Engine, Node
    from spancost.calls.facts import Facts
    from spancost.context import Block, BlockRun
    from spancost.meter import Meter
    from spancost.processor.ended import EndedSpans
    from spancost.processor.guard import Guard
    from spancost.processor.labels import Labels
    from spancost.processor.links import Link, Owner
    from spancost.processor.plans import Plan
    from spancost.processor.rows import Row
    from spancost.processor.writer import Writer

_ERROR: Final = trace.StatusCode.ERROR
_EXACT: Final = 2**53
_CALL, _AGENT, _TOOL = Kind.CALL, Kind.AGENT, Kind.TOOL


class Owning(Protocol):
    """The engine's owner, as the lane needs it: `LiveState`."""

    meter: Meter
    book: PriceBook
    engine: Engine
    owner: Owner
    guards: dict[str, Guard]
    writer: Writer
    labels: Labels
    skips_remote: bool
    default_agent: str | None
    cost_attribute: str
    ended: EndedSpans | None
    generation: int
    is_busy: bool
    late: deque[Any]

    def node_of(self, link: Link, span: Any) -> LiveNode:
        """Return the node of a span by its link."""

    def add_node(self, node: LiveNode) -> None:
        """Let a node be found by its span's ids."""

    def end_below(self, link: Link | None) -> None:
        """Pass on that nothing below a span is open any more."""

    def end_block(self, block: Block, run: BlockRun) -> None:
        """Take a block that ended."""

    def tell_of(self, row: Row, agent: str | None) -> None:
        """Take note of a call that went straight, for those who want to know."""

    def hint(self) -> None:
        """Say once that many calls name no agent."""

    def catch_up(self) -> None:
        """Do what came while the engine was at something else."""

    def leave_calls(self) -> None:
        """Take that calls go straight no more."""


class Lane:
    """
    The straight way of one engine.

    Args:
        state: The engine.
    """

    __slots__ = (
        "_lock",
        "_owner",
        "_plans",
        "_scope",
        "_state",
        "_unlock",
        "births",
        "book",
        "failure",
        "gate",
        "has_more",
        "is_open",
        "keep",
        "untold",
    )

    def __init__(self, state: Owning) -> None:
        self._state = state
        self.failure: Exception | None = None
        """What a strict guard lets through: the engine must not take the call then."""
        self.has_more = True
        """Whether somebody wants to know of each call: listeners, exporters, who gives the hint."""

    def begin(self) -> None:
        """Know nothing of any call, as a new engine does."""
        state = self._state
        self.gate = state.meter.gate
        self._lock, self._unlock = self.gate.lock.acquire, self.gate.lock.release
        self._owner = state.owner
        self.book: PriceBook = state.book
        self.is_open = True
        """Whether calls may go straight."""
        self._scope: str | None = None
        """The scope that alone shows calls."""
        self._plans = Plans(state.default_agent)
        self.births = Births(state.meter, state.default_agent)
        self.untold = Untold(state)
        self.keep: Callable[[Row], object] = self.untold.rows.append
        """Takes the row of each call that goes straight: here a ledger or a budget can take its part."""

    def close(self) -> None:
        """Leave all calls to the engine from now on, which hears of those so far; not while it decides on one."""
        self.is_open = False
        self._state.engine.recent.log = None
        self._state.leave_calls()
        self.untold.tell_all()

    def see(self, node: LiveNode, facts: Facts) -> None:
        """Take that a span ends that is for the engine, which first hears of the calls that matter for it."""
        if facts.kind is Kind.CALL:
            if self._scope is None:
                self._scope = node.scope
            if self._scope != node.scope:
                self.close()
            elif node.types_below is not None:
                self.untold.tell_all()
            if node.rows is not None:
                node.calls_below()
        elif facts.reading is not None and facts is not NOTHING and not node.types_below:
            self.untold.tell_all()
        if node.bag is not None and node.rows is not None:
            node.calls_below()  # they are handed on together

    def learn(self, span: Any, node: LiveNode, said: Mapping[str, Any]) -> None:
        """Remember how a call went that the engine has settled, so that the next of its kind goes straight."""
        state = self._state
        ways = state.writer
        if not self.is_open or state.labels or state.cost_attribute != AMOUNT:
            return
        if state.skips_remote:
            return  # what stands above says whether a call is ours
        if ways.in_end is store_in_place and (ways.in_ending is store_in_place or not HAS_ON_ENDING):
            self._plans.learn(span, node, said, state.meter)

    def bear(self, span: Any, said: dict[str, Any], link: Link) -> None:
        """
        Let the series of an open call be born.

        Args:
            span: Its span.
            said: A copy of its attributes.
            link: Its link.
        """
        asker = self.births.asker_of(span, said)
        if asker.asked is None:
            return
        with self.gate.lock:
            if link[OPEN] is True and not self._state.is_busy:  # it may have ended: this is a scrape's thread
                self.births.bear(asker, *self._around(link[ABOVE], link[CONTEXT], asker.resource))

    def end(self, span: Any, attributes: Any, said: dict[str, Any], link: Link) -> bool:  # noqa: C901, PLR0912, PLR0915 - straight-line code: a step of its own costs as much
        """
        Take a call whose span ends; return False, with nothing done, where it is for the engine.

        Args:
            span: The span, which has no node: nothing below it said anything.
            attributes: What holds its attributes.
            said: These.
            link: Its link.
        """
        scope, plans = span._instrumentation_scope, self._plans
        seen, table, last = plans.turned
        if scope is not seen:
            seen, table, last = plans.turn_to(scope, span._resource)
        plan = last.get(span._name)
        if plan is None:
            return False
        try:
            counts = plan.read(said)
        except KeyError:
            counts = None
        if counts is None:
            plan = table.find(span._name, said)
            counts = plan.read(said) if plan is not None else None
            if plan is None or counts is None:
                return False
        if (
            plan.resource is not span._resource
            or span._status._status_code is _ERROR
            or attributes.dropped
            or link[LIVE]
            or not link[OPEN]
        ):
            return False
        whole, read, write, hour, output, reasoning, _ = counts
        if not whole and not output:
            return False
        book = self.book
        route = plan.route if plan.version is book.moment.mark else plan.find_route(book)
        if route is None:
            return False
        start = span._start_time
        found = route.amounts(start, plan.tier, whole, read, write, hour, output)
        if found is None or found[0].flags:
            return False
        above, context = link[ABOVE], link[CONTEXT]
        who: Any
        state, gate = self._state, self.gate
        self._lock()  # by hand: a `with` costs 650 instructions more
        try:
            if state.is_busy or gate.busy or not self.is_open:
                return False
            state.is_busy = True
            try:
                if above is None and not context:
                    parent = block = bag = None
                    who = plan.who
                    name = plan.alone
                else:
                    parent = block = bag = who = None
                    if above is not None and len(context) == 1 and above[NODE] is not None:
                        parent = above[NODE]()
                        if parent is not None:
                            # As `look`, and quicker by the call and what that has to find first.
                            known = parent.said
                            if known is None or parent.end is not None:
                                parent.look()
                            else:
                                number, values_of, before = known
                                span_above = context[SPAN_KEY]
                                bounded = span_above._attributes
                                now = bounded._dict
                                if (
                                    len(now) + bounded.dropped != number
                                    or values_of(now) != before
                                    or span_above._name != parent.name
                                ):
                                    parent.look()
                            if parent.kind is _AGENT:
                                who = parent.agent
                    if who is not None:
                        # Right below an agent that has a name: nothing further up matters.
                        if plan.agent is not None:
                            who = plan.agent
                        name = who.name
                    else:
                        around = self._agent_and_line(above, context, plan)
                        if around is None:
                            return False
                        parent, block, bag, who, name = around
                record = plan.records.get(name)
                if record is None:
                    return False
                ids = span._context
                number = ids[1]
                end = span._end_time
                if end < start:  # noqa: PLR1730 - a clock that went back; `max` is a call
                    end = start
                stretch, total = found[0], found[1]
                row = [None, plan, ids, start, end, parent, block, who, found, counts, route]
                marked = said.copy()
                # As `money.to_float`, and quicker: below 2**53 both are exact, and one rounding is made.
                marked[AMOUNT] = total / 1e15 if total <= _EXACT else to_float(total)
                marked[CURRENCY] = "USD"
                marked[SOURCE] = "local"
                if plan.writes_agent and name is not None:
                    marked[AGENT] = name
                if above is None and link[LOST] is SHARED:
                    ended = [self._owner, None, row, 0, None, None, None, None]
                    # Compared and set with no call between, as in `_sdk.link_on`: it may have got one of its own.
                    if attributes._spancost_link is not link:
                        return False
                    attributes._spancost_link = ended
                else:
                    link[OPEN] = None
                    link[CONTEXT] = row
                # From here on it has gone this way, whatever happens: the engine must not take it, too.
                gate.busy = True
                try:
                    has_more = self.has_more
                    if has_more and state.ended is not None:
                        state.ended.add(span, (ids[0], number), NOTHING_LEFT)
                    attributes._dict = marked  # as `store_in_place`
                    self.keep(row)
                    if above is not None or block is not None:
                        if parent is not None:
                            types = parent.types_below
                            if types is None or plan.call_type not in types:
                                mark_from(parent, plan.call_type)
                            node: Any = parent
                            while node is not None:  # the runs that they may turn out to be
                                node.run_femto += total
                                node.run_calls += 1
                                node = node.parent
                        if bag is not None:
                            self.untold.keep_below(bag, row)
                        if BLOCKS_USED[0]:
                            for run in runs_from(parent, block):
                                run.charge(state, total, plan.service)
                        if above is not None:
                            with_it = above[KIDS]
                            if number in with_it:
                                del with_it[number]  # quicker than `pop`
                            above[LIVE] -= 1
                            if not above[OPEN] and not above[LIVE]:
                                state.end_below(above)
                    record.count_text(
                        stretch.line,
                        total,
                        whole,
                        read,
                        write,
                        hour,
                        output,
                        reasoning,
                        end - start,
                        ids[0] if ids[3] & 1 else 0,
                        number,
                        end,
                    )
                    if has_more:
                        state.tell_of(row, name)
                except Exception as error:
                    self.failure = error
                    with state.guards["on_end"]:
                        raise
                    self.failure = None
            finally:
                state.is_busy = gate.busy = False
                if gate.late or state.late:
                    gate.catch_up()
                    state.catch_up()
        finally:
            self._unlock()
        if self.has_more:
            state.hint()
        return True

    def _agent_and_line(
        self, above: Link | None, context: Context | None, plan: Plan
    ) -> tuple[LiveNode | None, Block | None, LiveNode | None, Any, str | None] | None:
        """
        Look at what is around a call; return None where a call above may be the same one.

        Returns:
            The node above, the block it started in, the open node that would be told of it were it a call
            itself, the agent, and the agent's name.
        """
        parent, block, outside = self._around(above, context, plan.resource)
        bag: LiveNode | None = None
        seen: Node | None = None
        node: Node | None = parent
        while node is not None:
            node.look()
            seen = node
            kind = node.kind
            if kind is _AGENT or kind is _TOOL:
                break
            if kind is _CALL:
                return None
            if bag is None and node.end is None and isinstance(node, LiveNode):
                bag = node
            node = node.parent
        who: Any = plan.agent or agent_around(parent, block, seen)
        if who is not None:
            return parent, block, bag, who, who.name
        return parent, block, bag, outside, outside if outside is not None else self._state.default_agent

    def _around(
        self, above: Link | None, context: Context | None, resource: Any
    ) -> tuple[LiveNode | None, Block | None, str | None]:
        """Return the node above a span, the block it started in, and the agent that is named from outside."""
        parent: LiveNode | None = None
        if above is not None:
            reference = above[NODE]
            parent = reference() if reference is not None else None
            if parent is None:
                parent = self._state.node_of(above, context[SPAN_KEY])  # type: ignore[index]
        if context and (above is None or len(context) > 1):
            block = current_block(context)
            return parent, block, agent_from_outside(context, resource.attributes) if block is None else None
        return parent, None, outside_of(resource)
