# SPDX-License-Identifier: Apache-2.0
"""Who made a call: design 5.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spancost.calls.agents import LANGCHAIN_SCOPES, AgentName, node_name
from spancost.calls.kinds import Kind

if TYPE_CHECKING:
    from spancost.calls.nodes import AgentBlock, Call, Node


def agent_of_call(call: Call) -> AgentName | None:
    """
    Return the agent that made a call, or None.

    A name on one of the call's own spans wins, the outermost copy first; then the innermost of the
    agent blocks and ancestors around it, again from the outermost copy on; then what came from outside.
    """
    copies = call.copies[::-1]
    if copies[0] is not call.carrier and call.carrier in copies:  # the carrier is the outermost of its line
        copies.remove(call.carrier)
        copies.insert(0, call.carrier)
    for node in copies:
        if node.facts.agent is not None:
            return node.facts.agent
    for node in copies:
        found = _agent_around(node)
        if found is not None:
            return found
    for node in copies:
        if node.inherited is not None:
            return AgentName(node.inherited, "baggage or resource")
    return None


def agent_so_far(node: Node, own: AgentName | None) -> AgentName | None:
    """
    Return the agent that a call has as far as its open span tells.

    Args:
        node: The span.
        own: The agent that it names itself.
    """
    found = own or _agent_around(node)
    if found is None and node.inherited is not None:
        found = AgentName(node.inherited, "baggage or resource")
    return found


def _agent_around(node: Node) -> AgentName | None:
    """Return the innermost agent around a span."""
    found = agent_around(node.parent, node.block)
    return found if found is None or isinstance(found, AgentName) else AgentName(found.name, BY_BLOCK)


def agent_around(
    above: Node | None, block: AgentBlock | None, seen: Node | None = None
) -> AgentName | AgentBlock | None:
    """
    Return the innermost agent around a span: blocks and agent spans form one nesting.

    Args:
        above: The span above it.
        block: The agent block in force when it started.
        seen: The last of the spans above that were looked at just now, all of them up to it.
    """
    is_seen = seen is not None
    while above is not None:
        if block is not None and block is not above.block:
            return block
        if not is_seen:
            above.look()
        elif above is seen:
            is_seen = False
        if above.agent is not None and above.kind is not Kind.TOOL:
            return above.agent
        if above.scope in LANGCHAIN_SCOPES and above.kind in _MAY_BE_AGENT:
            name = node_name(above.name)
            if name is not None:
                return AgentName(name, "span name")
        block = above.block
        above = above.parent
    return block


BY_BLOCK: Final = "agent block"
"""What names an agent whose code runs in a block of its."""

_MAY_BE_AGENT: Final = (None, Kind.AGENT, Kind.ROLLUP)


def agent_path(node: Node) -> tuple[str, ...]:
    """Return the distinct agent names from a span up to its root, innermost first."""
    names = []
    for each in (node, *node.ancestors()):
        if each.agent is not None and each.agent.name not in names:
            names.append(each.agent.name)
    return tuple(names)
