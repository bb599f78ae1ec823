# SPDX-License-Identifier: Apache-2.0
"""
The agent a span names, in every vocabulary.

Only names that stand for an agent count: placeholders, class names and generic graph nodes are no
agents, and a wrong agent is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spancost.calls.kinds import Kind
from spancost.usage.identity import text
from spancost.usage.objects import parse_object

PLACEHOLDERS: Final = frozenset(
    {
        "",
        "agent",
        "agent run",
        "agent workflow",
        "agentexecutor",
        "agents",
        "assistantagent",
        "basechatagent",
        "codeagent",
        "default",
        "multistepagent",
        "openai agent",
        "toolcallingagent",
        "unknown",
        "unknown_agent",
    }
)
"""Names, in lower case, that libraries write when they have none."""

GENERIC_NODES: Final = frozenset(
    {
        "__end__",
        "__start__",
        "agent",
        "call_agent",
        "call_model",
        "call_tool",
        "call_tools",
        "chatprompttemplate",
        "generate_structured_response",
        "langgraph",
        "llm",
        "model",
        "model_request",
        "prompt",
        "should_continue",
        "tools",
    }
)
"""Graph nodes, in lower case, that every LangGraph agent has: the agent is further up."""

_RUNNABLES: Final = ("runnable", "_write", "branch:", "channelwrite", "unnamed", "pregel")
_NAME_PREFIXES: Final = (("invoke_agent ", ""), ("agent_run [", "]"), ("agent_collaborator[", "]"))
_AGENT_SUFFIXES: Final = (".run", "._execute_core", ".agent", ".on_messages_stream", ".on_messages", ".arun")

LANGCHAIN_SCOPES: Final = frozenset({"openinference.instrumentation.langchain", "langsmith"})
"""Scopes with one span per runnable, where an agent is known by the name of its graph's span."""

NAMED_BY_SPAN: Final = frozenset({"openinference.instrumentation.openai_agents"})
"""Scopes whose agent spans are named exactly as the agent."""


NAMED_BY_CLASS: Final = frozenset(
    {
        "openinference.instrumentation.dspy",
        "openinference.instrumentation.haystack",
        "openinference.instrumentation.llama_index",
    }
)
"""Scopes whose spans are named after classes and components: no agent is among them."""


class AgentName(NamedTuple):
    """An agent's name and what gave it."""

    name: str
    why: str


def agent_of(name: str, attributes: Mapping[str, Any], scope_name: str, kind: Kind) -> AgentName | None:
    """Return the agent that a span names, or None; see the module for what never counts."""
    for rule in (_by_name_key, _by_langchain, _by_span_kind, _by_graph_node):
        found = rule(attributes, kind)
        if found is not None:
            return found
    return _by_span_name(name, attributes, scope_name, kind)


def real_name(value: object) -> str | None:
    """Return *value* as an agent's name, or None where it is a placeholder, a class or a generic node."""
    name = text(value)
    if name is None or len(name) > 256:
        return None
    low = name.lower()
    if low in PLACEHOLDERS or low in GENERIC_NODES or low.startswith("dspy."):
        return None
    return name


def _by_name_key(attributes: Mapping[str, Any], _: Kind) -> AgentName | None:
    for key in ("gen_ai.agent.name", "agent.name", "agent_name"):
        if key in attributes:
            name = real_name(attributes[key])
            if name is not None and name not in _models(attributes):
                return AgentName(name, key)
    return None


def _by_langchain(attributes: Mapping[str, Any], _: Kind) -> AgentName | None:
    for key in (
        "langsmith.metadata.lc_agent_name",
        "traceloop.association.properties.lc_agent_name",
        "langfuse.observation.metadata.lc_agent_name",
    ):
        if key in attributes:
            name = real_name(attributes[key])
            if name is not None:
                return AgentName(name, key)
    if "openinference.span.kind" in attributes and "metadata" in attributes:
        metadata = parse_object(attributes["metadata"])
        name = real_name(metadata.get("lc_agent_name")) if metadata else None
        if name is not None:
            return AgentName(name, "metadata.lc_agent_name")
    return None


def _by_span_kind(attributes: Mapping[str, Any], _: Kind) -> AgentName | None:
    for kind_key, name_key in (
        ("traceloop.span.kind", "traceloop.entity.name"),
        ("agentops.span.kind", "operation.name"),
    ):
        if attributes.get(kind_key) == "agent":
            name = real_name(attributes.get(name_key))
            if name is not None:
                return AgentName(name, name_key)
    return None


def _by_graph_node(attributes: Mapping[str, Any], kind: Kind) -> AgentName | None:
    if kind is Kind.AGENT and "graph.node.id" in attributes:
        name = real_name(attributes["graph.node.id"])
        if name is not None:
            return AgentName(name, "graph.node.id")
    if "ai.telemetry.functionId" in attributes:
        name = real_name(attributes["ai.telemetry.functionId"])
        if name is not None:
            return AgentName(name, "ai.telemetry.functionId")
    for key in (
        "langsmith.metadata.langgraph_node",
        "traceloop.association.properties.langgraph_node",
        "langfuse.observation.metadata.langgraph_node",
    ):
        if key in attributes:
            name = node_name(attributes[key])
            if name is not None:
                return AgentName(name, key)
    return None


def node_name(value: object) -> str | None:
    """Return the name of a graph or one of its nodes, or None where it is part of the machinery."""
    name = real_name(value)
    if name is None or "." in name or name.lower().startswith(_RUNNABLES):
        return None
    return name


def _by_span_name(name: str, attributes: Mapping[str, Any], scope_name: str, kind: Kind) -> AgentName | None:
    for prefix, suffix in _NAME_PREFIXES:
        if name.startswith(prefix) and name.endswith(suffix):
            found = real_name(name[len(prefix) : len(name) - len(suffix)])
            # A dotted name is a class; `invoke_agent MODEL` of the AI SDK names the model.
            if found is None or "." in found or found in _models(attributes):
                return None
            return AgentName(found, "span name")
    if kind is not Kind.AGENT or scope_name in NAMED_BY_CLASS:
        return None
    if attributes.get("langfuse.observation.type") == "agent" or "mlflow.spanType" in attributes:
        found = node_name(name)
    elif "openinference.span.kind" in attributes:
        found = _openinference_name(name, scope_name)
    else:
        found = None
    return AgentName(found, "span name") if found is not None else None


def _models(attributes: Mapping[str, Any]) -> tuple[object, object]:
    return attributes.get("gen_ai.request.model"), attributes.get("gen_ai.response.model")


def _openinference_name(name: str, scope_name: str) -> str | None:
    for suffix in _AGENT_SUFFIXES:
        if name.endswith(suffix):
            bare = name[: -len(suffix)]
            return real_name(bare) if "." not in bare else None
    return node_name(name) if scope_name in NAMED_BY_SPAN else None
