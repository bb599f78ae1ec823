# SPDX-License-Identifier: Apache-2.0
"""What is put on a span that ended: an amount, or whose copy it is, or why it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spancost import money
from spancost.calls.attribution import agent_of_call
from spancost.cost import Cost
from spancost.processor.live import caller_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spancost.processor.live import LiveNode

AMOUNT: Final = "gen_ai.usage.cost.amount"
CURRENCY: Final = "gen_ai.usage.cost.currency"
SOURCE: Final = "gen_ai.usage.cost.source"
DUPLICATE_OF: Final = "spancost.duplicate_of"
UNPRICED: Final = "spancost.unpriced"
FLAGS: Final = "spancost.flags"
AGENT: Final = "gen_ai.agent.name"
ALIAS: Final = "gen_ai.usage.cost"
"""What OpenLIT, Langfuse and LiteLLM readers look for. Never beside `AMOUNT`: Elasticsearch takes only one."""

MARKS: Final = frozenset({AMOUNT, DUPLICATE_OF, UNPRICED})
"""What says that a span has been through an engine."""

COST_ATTRIBUTES: Final = (AMOUNT, ALIAS)
RUN_COST: Final = "spancost.run.cost_usd"
RUN_CALLS: Final = "spancost.run.calls"


def marks_of(
    node: LiveNode, attributes: Mapping[str, Any], default_agent: str | None, cost_attribute: str = AMOUNT
) -> dict[str, Any]:
    """
    Return what to put on a span that ended.

    Args:
        node: What the engine knows of the span.
        attributes: What it says.
        default_agent: The agent of calls that name none.
        cost_attribute: Under which of `COST_ATTRIBUTES` the amount stands.
    """
    call = node.call
    if call is None:
        return {}
    caller = caller_of(call)
    if caller:
        return {DUPLICATE_OF: caller}
    if call.carrier is not node:
        marked: dict[str, Any] = {DUPLICATE_OF: call.carrier.span_id}
        if "suspect" in call.flags:
            # The span with the amount may be exported already, and cannot say it.
            marked[FLAGS] = ("suspect",)
        return marked
    marks: dict[str, Any] = {}
    cost = call.cost
    if isinstance(cost, Cost):
        marks.update(_amount_marks(cost, attributes, cost_attribute))
    elif cost is not None and call.status != "failed":
        marks[UNPRICED] = cost.reason
    if call.flags:
        marks[FLAGS] = tuple(call.flags)
    if node.facts.agent is None and AGENT not in attributes:
        agent = call.agent if call.settled else agent_of_call(call)
        name = agent.name if agent is not None else default_agent
        if name is not None:
            marks[AGENT] = name
    return marks


def _amount_marks(cost: Cost, attributes: Mapping[str, Any], cost_attribute: str) -> dict[str, Any]:
    """
    Return the amount, unless another one stands there that is not ours to replace.

    A bill in another currency stays: there are no exchange rates here. An estimate of somebody's own
    under the name of ours does not: the sum over the spans is that of the metrics.
    """
    if cost_attribute == ALIAS:
        return {ALIAS: float(cost)}
    if attributes.get(SOURCE) == "provider" and cost.source != "provider" and attributes.get(AMOUNT):
        return {}
    return {AMOUNT: float(cost), CURRENCY: "USD", SOURCE: cost.source}


def run_marks_of(node: LiveNode) -> dict[str, Any]:
    """Return what an agent's span says of its run, with everything below it."""
    return {RUN_COST: money.to_float(node.run_femto), RUN_CALLS: node.run_calls}
