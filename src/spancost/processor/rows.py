# SPDX-License-Identifier: Apache-2.0
"""
What is kept of a call that went the straight way (`lane`): a row, until somebody asks for more.

Node, facts, reading, usage, cost and call are eight objects and half of all the work on a call, and are
asked for where another span may be a copy of it, which in most programs never happens. A row has all that
they are made of.

A row is a list, since to make an object costs three times as much:

    CALL         the call, once somebody asked
    PLAN         what it has in common with others (`plans`)
    IDS          its span's `SpanContext`
    START, END   of its span, in nanoseconds since the epoch
    PARENT       the node of the span above, or None
    BLOCK        the innermost agent block in force when it started, or None
    WHO          who made it: an `AgentName`, a `Block`, a name from outside, or None
    FOUND        rates, total and parts (`spancost.route.Amounts`)
    COUNTS       input, cache_read, cache_write, cache_write_1h, output and reasoning; and the response id as
                 the span has it
    ROUTE        what priced it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from spancost.calls.agents import AgentName
from spancost.calls.facts import facts_like
from spancost.calls.nodes import Call
from spancost.calls.settlement import AMOUNT, PRICED
from spancost.context import Block
from spancost.cost import make_cost
from spancost.processor.live import LiveNode
from spancost.usage.common import reading_of
from spancost.usage.identity import text

if TYPE_CHECKING:
    from spancost.processor.links import Owner

Row = list[Any]

CALL, PLAN, IDS, START, END, PARENT, BLOCK, WHO, FOUND, COUNTS, ROUTE = range(11)

OUTSIDE: Final = "baggage or resource"
DEFAULT: Final = "default"


def node_of(row: Row, owner: Owner, default_agent: str | None) -> LiveNode:
    """
    Return the node of the call of a row, made when first asked for; the call is settled, its money final.

    It hangs on no span: whoever needs it holds it, or its call.

    Args:
        row: The row.
        owner: Whose links are made.
        default_agent: The agent of calls that name none.
    """
    known: Call | None = row[CALL]
    if known is not None and isinstance(known.carrier, LiveNode):
        return known.carrier
    plan, ids = row[PLAN], row[IDS]
    parent: LiveNode | None = row[PARENT]
    node = LiveNode(
        ids,
        parent,
        plan.scope[1],
        is_root=parent is None,
        name=plan.name,
        scope=plan.scope[0],
        start=row[START],
        resource=plan.service,
    )
    node.end = row[END]
    node.block = row[BLOCK]
    *counts, response_id = row[COUNTS]
    reading = reading_of(plan.layout, plan.meaning, counts)
    node.facts = facts_like(plan.like, reading, text(response_id))
    node.kind, _, node.call_type, _ = node.facts.classification
    node.agent = node.facts.agent
    node.outcome = AMOUNT
    above = parent.link if parent is not None else None
    node.link = [owner, above, None, 0, None, ref(node), None, None]
    call = Call(node, reading)
    stretch, total, *parts = row[FOUND]
    call.cost = make_cost(
        (*parts,), total, stretch.rate_card, row[ROUTE].price_book, (), "local", stretch.line
    )
    call.agent = agent_in(row[WHO], default_agent)
    call.status = PRICED
    call.frozen = call.settled = True
    node.call = row[CALL] = call
    return node


def agent_in(who: object, default_agent: str | None) -> AgentName | None:
    """Return the agent of a row, and what gave it."""
    if who is None:
        return AgentName(default_agent, DEFAULT) if default_agent is not None else None
    if isinstance(who, AgentName):
        return who
    return AgentName(who.name, "agent block") if isinstance(who, Block) else AgentName(str(who), OUTSIDE)
