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
from spancost.calls.facts import NOTHING, are_short, read_span
from spancost.calls.kinds import Kind
from spancost.calls.recent import MAX_CALLS
from spancost.calls.shapes import MAX_KEYS_TEXT
from spancost.calls.nodes import MAX_BAG
from spancost.context import BLOCKS_USED, current_block
from spancost.cost import Cost
from spancost.money import to_float
from spancost.processor._sdk import SPAN_KEY, store_in_place
from spancost.processor.ended import NOTHING_LEFT
from spancost.processor.links import ABOVE, CONTEXT, KIDS, LIVE, LOST, NODE, OPEN, SHARED
from spancost.processor.marks import AGENT, AMOUNT, CURRENCY, SOURCE
from spancost.processor.metering import asked_of, known_record
from spancost.processor.plans import Asker, Table, key_of, plan_of
from spancost.processor.rows import CALL, END, IDS, node_of
from spancost.processor.live import LiveNode, Rows
from spancost.processor.runs import runs_from
from spancost.processor.starts import agent_from_outside, outside_of
from spancost.processor.writer import nowhere

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from spancost.book import PriceBook
    from spancost.calls import Call, Engine, Node
    from spancost.calls.facts import Facts
    from spancost.context import Block, BlockRun
    from spancost.meter import Meter
    from spancost.processor.ended import EndedSpans
    from spancost.processor.guard import Guard
    from spancost.processor.labels import Labels
    from spancost.processor.links import Link, Owner
    from spancost.processor.writer import Writer
    from spancost.processor.plans import Key, Plan
    from spancost.processor.rows import Row
    from spancost.route import Amounts
    from spancost.usage.common import Plain

MAX_PLANS: Final = 4096
"""How many plans are remembered; then all are forgotten, so that no span can grow memory."""

MAX_RECORDS: Final = 16_384
"""How many label sets they know together, and how many births; then all are forgotten."""

_NO_TABLE: Final = Table(("", ""))
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
    listeners: tuple[Callable[[Call], None], ...]
    generation: int
    is_busy: bool
    is_hinted: bool
    late: deque[Any]

    def node_of(self, link: Link, span: Any) -> LiveNode:
        """Return the node of a span by its link."""

    def add_node(self, node: LiveNode) -> None:
        """Let a node be found by its span's ids."""

    def end_below(self, link: Link | None) -> None:
        """Pass on that nothing below a span is open any more."""

    def end_block(self, block: Block, run: BlockRun) -> None:
        """Take a block that ended."""

    def tell(self, call: Call) -> None:
        """Tell the program of a settled call."""

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
        "_askers",
        "_births",
        "_lock",
        "_once",
        "_plans",
        "_records",
        "_scope",
        "_state",
        "_tables",
        "_turned",
        "_unlock",
        "book",
        "failure",
        "gate",
        "has_more",
        "is_open",
        "keep",
        "owner",
        "rows",
        "started",
    )

    def __init__(self, state: Owning) -> None:
        self._state = state
        self.failure: Exception | None = None
        """What a strict guard lets through: the engine must not take the call then."""
        self.book = state.book
        """Prices calls."""
        self.has_more = True
        """Whether somebody wants to know of each call: listeners, exporters, who gives the hint."""

    def begin(self) -> None:
        """Know nothing of any call, as a new engine does."""
        self.gate = self._state.meter.gate
        self._lock, self._unlock = self.gate.lock.acquire, self.gate.lock.release
        self.is_open = True
        """Whether calls may go straight."""
        self._scope: str | None = None
        self.rows: deque[Any] = deque(maxlen=MAX_CALLS)
        """The rows of the last 4,096 calls, and among them those that the engine found, as it notes them."""
        self._state.engine.recent.log = self.rows
        self.keep: Callable[[Row], object] = self.rows.append
        """Takes the row of each call that goes straight: here a ledger or a budget can take its part."""
        self.started: deque[Any] = deque(maxlen=MAX_CALLS)
        """Weak references to the last 4,096 spans without a parent that may be calls: a scrape looks which are open."""
        self.owner = self._state.owner
        self._forget()

    def _forget(self) -> None:
        self._tables: dict[tuple[str, str], Table] = {}
        """The plans, by name and version of a scope."""
        self._turned: tuple[Any, Table, dict[str, Plan]] = (None, _NO_TABLE, _NO_TABLE.last)
        """The scope of the last span, and its plans."""
        self._once: set[Key] = set()
        """What came once so far."""
        self._plans = 0
        self._records = 0
        self._askers: dict[Key, Asker] = {}
        self._births = 0

    # --- births -------------------------------------------------------------------------------------

    def bear(self, span: Any, said: dict[str, Any], link: Link) -> None:
        """
        Let the series of an open call be born, where it names its model already.

        Args:
            span: Its span.
            said: The attributes by now.
            link: Its link.
        """
        scope = span._instrumentation_scope
        asker = self._asker_of(span, said.copy(), scope._name, scope._version or "")
        if asker.asked is None:
            return
        state = self._state
        with self.gate.lock:
            if state.is_busy:
                return
            parent, block, outside = self._around(link[ABOVE], link[CONTEXT], asker.resource)
            who: Any = asker.agent or agent_around(parent, block)
        name = who.name if who is not None else outside if outside is not None else state.default_agent
        meter = state.meter
        answered = meter.answered
        if asker.born.get(name) != answered:
            meter.expect(asker.service, name, *asker.asked)
            self._births += name not in asker.born
            if self._births > MAX_RECORDS:
                self._askers, self._births = {}, 0
            asker.born[name] = answered

    def _asker_of(self, span: Any, said: dict[str, Any], scope: str, version: str) -> Asker:
        """Find out what an open span asks for, and remember it."""
        name = span._name
        key = key_of(name, said, scope, version)
        asker = self._askers.get(key) if key is not None and are_short(name, key[2]) else None
        if asker is None or asker.resource is not span._resource:
            facts = read_span(name, said, scope, version, failed=False)
            asker = Asker(facts.agent, span._resource, asked_of(facts) if facts.kind is Kind.CALL else None)
            if key is not None and are_short(name, key[2]):
                if len(self._askers) >= MAX_PLANS:
                    self._askers.clear()
                self._askers[key] = asker
        return asker

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

    # --- when it ends -------------------------------------------------------------------------------

    def end(self, span: Any, attributes: Any, said: dict[str, Any], link: Link) -> bool:  # noqa: C901, PLR0911, PLR0912, PLR0914, PLR0915 - straight-line code
        """
        Take a call whose span ends; return False, with nothing done, where it is for the engine.

        Args:
            span: The span, which has no node: nothing below it said anything.
            attributes: What holds its attributes.
            said: These.
            link: Its link.
        """
        scope = span._instrumentation_scope
        seen, table, last = self._turned
        if scope is not seen:
            table, last = self._turn_to(scope)
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
            or link[OPEN] is not True
        ):
            return False
        whole, read, write, hour, output, reasoning, _ = counts
        if not whole and not output:
            return False
        book = self.book
        route = plan.route if plan.version is book.moment else plan.find_route(book)
        if route is None:
            return False
        start = span._start_time
        found = route.amounts(start, plan.tier, whole, read, write, hour, output)
        if found is None or found[0].flags:
            return False
        above, context = link[ABOVE], link[CONTEXT]
        state, gate = self._state, self.gate
        self._lock()  # by hand: a `with` costs 650 instructions more
        try:
            if state.is_busy or gate.busy or not self.is_open:
                return False
            state.is_busy = True
            try:
                if above is None and not context:
                    parent = block = bag = None
                    who: Any = plan.who
                    name = plan.alone
                else:
                    parent = block = bag = None
                    if above is not None and above[NODE] is not None and len(context) == 1:
                        parent = above[NODE]()
                        if parent is not None:
                            parent.look()
                    if parent is not None and parent.kind is _AGENT and parent.agent is not None:
                        # Right below an agent that has a name: nothing further up matters.
                        who = plan.agent or parent.agent
                        name = who.name
                    else:
                        around = self._agent_and_line(above, context, plan)
                        if around is None:
                            return False
                        parent, block, bag, who, name = around
                record = plan.records.get(name)
                if record is None:
                    return False
                # From here on it has gone this way, whatever happens: it must not be counted twice.
                gate.busy = True
                try:
                    ids = span._context
                    number = ids[1]
                    end = span._end_time
                    if end < start:
                        end = start
                    total = found[1]
                    row = [
                        None,
                        plan,
                        ids,
                        start,
                        end,
                        parent,
                        block,
                        who,
                        found,
                        counts,
                        route,
                    ]
                    if link[LOST] is SHARED:
                        attributes._spancost_link = [self.owner, None, row, 0, None, None, None, None]
                    else:
                        link[OPEN] = None
                        link[CONTEXT] = row
                    marked = said.copy()
                    # As `money.to_float`, and quicker: below 2**53 both numbers are exact, and one rounding is made.
                    marked[AMOUNT] = total / 1e15 if total <= _EXACT else to_float(total)
                    marked[CURRENCY] = "USD"
                    marked[SOURCE] = "local"
                    if plan.writes_agent and name is not None:
                        marked[AGENT] = name
                    if self.has_more and state.ended is not None:
                        state.ended.add(span, (ids[0], number), NOTHING_LEFT)
                    attributes._dict = marked  # as `store_in_place`
                    self.keep(row)
                    if above is not None or block is not None:
                        node, is_new = parent, True
                        while node is not None:  # the runs that they may turn out to be
                            node.run_femto += total
                            node.run_calls += 1
                            if is_new:
                                types = node.types_below
                                if types is None:
                                    node.types_below = {plan.call_type}
                                elif plan.call_type in types:
                                    is_new = False
                                else:
                                    types.add(plan.call_type)
                            node = node.parent
                        if bag is not None:
                            self.keep_below(bag, row)
                        if BLOCKS_USED[0]:
                            for run in runs_from(parent, block):
                                run.charge(state, total, plan.service)
                        if above is not None:
                            above[KIDS].pop(number, None)
                            above[LIVE] -= 1
                            if not above[OPEN] and not above[LIVE]:
                                state.end_below(above)
                    record.count_text(
                        found[0].line,
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
                    if self.has_more:
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

    def _turn_to(self, scope: Any) -> tuple[Table, dict[str, Plan]]:
        """Return the plans of another scope, which is asked for its name only where it is not the last one."""
        table = self._tables.get((scope._name, scope._version or ""), _NO_TABLE)
        self._turned = (scope, table, table.last)  # at once: other threads may turn to others
        return table, table.last

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

    # --- telling the engine -------------------------------------------------------------------------

    def call_of(self, row: Row) -> Call:
        """Return the call of a row; its node can be found by its ids while something refers to it."""
        if row[CALL] is None:
            self.node_of(row)
        return row[CALL]  # type: ignore[no-any-return]

    def node_of(self, row: Row) -> LiveNode:
        """Return the node of the call of a row, likewise."""
        state = self._state
        node = node_of(row, state.owner, state.default_agent)
        state.add_node(node)
        return node

    def node_with(self, key: tuple[int, int]) -> LiveNode | None:
        """Return the node of a call that went straight, by its span's ids."""
        for row in reversed(self.rows):
            if type(row) is list and row[IDS][1] == key[1] and row[IDS][0] == key[0]:
                return self.node_of(row)
        return None

    def see(self, node: LiveNode, facts: Facts) -> None:
        """Take that a span ends that is for the engine, which first hears of the calls that matter for it."""
        if facts.kind is Kind.CALL:
            if self._scope is None:
                self._scope = node.scope
            if self._scope != node.scope:
                self.close()
            elif node.types_below is not None:
                self.tell_all()
            if node.rows is not None:
                node.calls_below()
        elif facts.reading is not None and facts is not NOTHING and not node.types_below:
            self.tell_all()
        if node.bag is not None and node.rows is not None:
            node.calls_below()  # they are handed on together

    def hand_on(self, node: LiveNode) -> None:
        """Give the calls below an ended span to the next open one above, as the engine does (`below.hand_on`)."""
        rows, node.rows = node.rows, None
        if rows is None or node.is_boundary:
            return
        for above in node.line():
            if above.is_open and isinstance(above, LiveNode):
                for row in rows:
                    self.keep_below(above, row)
                return
    def keep_below(self, node: LiveNode, row: Row) -> None:
        """Let an open span have a call below it, for the case that it turns out a call itself."""
        if node.bag is not None and node.bag.is_full:
            return
        if node.rows is None:
            node.rows = Rows(self.call_of)
        if len(node.rows) < MAX_BAG:
            node.rows.append(row)
        else:
            node.calls_below().is_full = True

    def close(self) -> None:
        """Leave all calls to the engine from now on."""
        self.is_open = False
        self._state.engine.recent.log = None
        self._state.leave_calls()
        self.tell_all()

    @property
    def has_rows(self) -> bool:
        """Whether there are calls that the engine has not seen."""
        return any(type(each) is list for each in self.rows)

    def tell_all(self) -> None:
        """Let the engine know of all calls that it has not seen; not while it decides on one."""
        has_rows, known = self.has_rows, [*self.rows]
        self.rows.clear()
        if not has_rows:
            return
        self._state.engine.recent.catch_up(
            (self.call_of(each), each[END]) if type(each) is list else each for each in known
        )

    # --- learning it --------------------------------------------------------------------------------

    def learn(self, span: Any, node: LiveNode, said: Mapping[str, Any]) -> None:
        """Remember how a call went that the engine has settled, so that the next of its kind goes straight."""
        call, state = node.call, self._state
        if call is None or not self.is_open or call.carrier is not node or len(call.copies) > 1:
            return
        cost = call.cost
        if cost.__class__ is not Cost or cost.source != "local" or cost.amounts.__class__ is not tuple:
            return
        if not call.settled or call.flags or state.labels or state.cost_attribute != AMOUNT:
            return
        if state.skips_remote:
            return  # what stands above says whether a call is ours
        if {state.writer.in_ending, state.writer.in_end} - {store_in_place, nowhere}:
            return
        plan = self._plan_for(span, said, (node.scope, node.version))
        if plan is None:
            return
        agent = call.agent.name if call.agent is not None else None
        record = known_record(state.meter, node.resource, agent, plan.like)
        if record is not None:
            self._records += agent not in plan.records
            plan.records[agent] = record


    def _plan_for(self, span: Any, said: Mapping[str, Any], scope: tuple[str, str]) -> Plan | None:
        """Return the plan of a span, found out the second time that one like it comes; None where there is none."""
        name, resource = span.name, span.resource
        if sum(map(len, said)) > MAX_KEYS_TEXT:
            return None
        table = self._tables.get(scope)
        if table is None:
            table = self._tables[scope] = Table(scope)
            self._turned = (None, _NO_TABLE, _NO_TABLE.last)
        plan = table.find(name, said)
        if plan is not None and plan.resource is resource:
            return plan
        key = key_of(name, said, *scope)
        if key is None or not are_short(name, key[2]):
            return None
        if key not in self._once:
            # What comes once, as names that have a number in them do, is not worth it.
            if len(self._once) >= MAX_PLANS:
                self._once.clear()
            self._once.add(key)
            return None
        plan = plan_of(name, said, scope, resource, self._state.default_agent)
        if plan is None:
            return None
        if self._plans >= MAX_PLANS or self._records >= MAX_RECORDS:
            self._forget()
            table = self._tables[scope] = Table(scope)
        self._plans += 1
        table.add(name, said, plan)
        return plan
