# SPDX-License-Identifier: Apache-2.0
"""Who made a call: design 5.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.calls.agents import LANGCHAIN_SCOPES, AgentName, node_name
from spancost.calls.kinds import Kind

if TYPE_CHECKING:
    from spancost.calls.nodes import Call, Node


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
    """Return the innermost agent around a span: blocks and agent spans form one nesting."""
    below = node
    for above in node.ancestors():
        if below.block is not None and below.block is not above.block:
            return AgentName(below.block.name, "agent block")
        below = above
        if above.agent is not None and above.kind is not Kind.TOOL:
            return above.agent
        if above.scope in LANGCHAIN_SCOPES and above.kind in (None, Kind.AGENT, Kind.ROLLUP):
            name = node_name(above.name)
            if name is not None:
                return AgentName(name, "span name")
    return AgentName(below.block.name, "agent block") if below.block is not None else None


def agent_path(node: Node) -> tuple[str, ...]:
    """Return the distinct agent names from a span up to its root, innermost first."""
    names = []
    for each in (node, *node.ancestors()):
        if each.agent is not None and each.agent.name not in names:
            names.append(each.agent.name)
    return tuple(names)
