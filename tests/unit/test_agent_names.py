# SPDX-License-Identifier: Apache-2.0
"""Which agent a span names: the order of vocabularies, and names that must never be an agent."""

from __future__ import annotations

from typing import Any

import pytest

from spancost.calls.agents import agent_of, node_name, real_name
from spancost.calls.facts import read_span
from spancost.calls.kinds import Kind

OTEL, OI = "opentelemetry.instrumentation.", "openinference.instrumentation."


def agent(name: str, scope: str, attributes: dict[str, Any]) -> str | None:
    """Return the agent that a whole span names."""
    found = read_span(name, attributes, scope, "", failed=False).agent
    return found.name if found is not None else None


NAMED: list[tuple[str, str, str, dict[str, Any], str]] = [
    (
        "pydantic-ai-chat",
        "chat gpt-5-mini",
        "pydantic-ai",
        {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "weather"},
        "weather",
    ),
    (
        "pydantic-ai@1",
        "agent run",
        "pydantic-ai",
        {"agent_name": "weather", "gen_ai.usage.input_tokens": 1},
        "weather",
    ),
    ("openai-agents-oi", "weather", OI + "openai_agents", {"openinference.span.kind": "AGENT"}, "weather"),
    (
        "openai-agents-oi-by-node",
        "x",
        OI + "openai_agents",
        {"openinference.span.kind": "AGENT", "graph.node.id": "weather", "graph.node.parent_id": "boss"},
        "weather",
    ),
    (
        "openai-agents-v2-real-name",
        "invoke_agent weather",
        OTEL + "openai_agents",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "weather"},
        "weather",
    ),
    (
        "openai-agents-v2-name-only",
        "invoke_agent weather",
        OTEL + "openai_agents",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "OpenAI Agent"},
        "weather",
    ),
    (
        "openai-agents-logfire",
        "Turn {turn} for agent NAME",
        "logfire.openai_agents",
        {"agent_name": "weather", "logfire.span_type": "span"},
        "weather",
    ),
    (
        "langchain-traceloop",
        "ChatOpenAI.chat",
        OTEL + "langchain",
        {"gen_ai.operation.name": "chat", "traceloop.association.properties.lc_agent_name": "worker"},
        "worker",
    ),
    (
        "langchain-traceloop-node",
        "ChatOpenAI.chat",
        OTEL + "langchain",
        {"gen_ai.operation.name": "chat", "traceloop.association.properties.langgraph_node": "researcher"},
        "researcher",
    ),
    (
        "langsmith",
        "ChatOpenAI",
        "langsmith",
        {"langsmith.span.kind": "llm", "langsmith.metadata.lc_agent_name": "worker"},
        "worker",
    ),
    (
        "langsmith-node",
        "ChatOpenAI",
        "langsmith",
        {"langsmith.span.kind": "llm", "langsmith.metadata.langgraph_node": "writer"},
        "writer",
    ),
    (
        "langchain-oi-metadata",
        "ChatOpenAI",
        OI + "langchain",
        {"openinference.span.kind": "LLM", "metadata": '{"lc_agent_name": "worker"}'},
        "worker",
    ),
    (
        "langfuse-langchain-quoted",
        "ChatOpenAI",
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.metadata.lc_agent_name": '"worker"',
            "langfuse.trace.metadata.lc_agent_name": '"boss"',
        },
        "worker",
    ),
    ("langfuse-observe", "alpha", "langfuse-sdk", {"langfuse.observation.type": "agent"}, "alpha"),
    (
        "crewai-oi",
        "Researcher._execute_core",
        OI + "crewai",
        {"openinference.span.kind": "AGENT", "graph.node.id": "Researcher\n"},
        "Researcher",
    ),
    (
        "crewai-oi-by-span-name",
        "Researcher._execute_core",
        OI + "crewai",
        {"openinference.span.kind": "AGENT"},
        "Researcher",
    ),
    (
        "crewai-traceloop",
        "worker.agent",
        OTEL + "crewai.instrumentation",
        {"traceloop.span.kind": "agent", "traceloop.entity.name": "worker"},
        "worker",
    ),
    (
        "adk",
        "generate_content gemini-3-flash",
        "gcp.vertex.agent",
        {"gen_ai.operation.name": "generate_content", "gen_ai.agent.name": "weather"},
        "weather",
    ),
    ("adk-1", "agent_run [weather]", "gcp.vertex.agent", {"gen_ai.system": "gcp.vertex.agent"}, "weather"),
    (
        "agno-oi-node-is-a-hash",
        "weather.run",
        OI + "agno",
        {
            "openinference.span.kind": "AGENT",
            "agent.name": "weather",
            "graph.node.id": "9f86d081884c7d65",
            "graph.node.name": "weather",
        },
        "weather",
    ),
    (
        "autogen",
        "invoke_agent alpha",
        "autogen-core",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "alpha"},
        "alpha",
    ),
    (
        "autogen-oi",
        "alpha.on_messages_stream",
        OI + "autogen_agentchat",
        {"openinference.span.kind": "AGENT", "graph.node.id": "alpha", "graph.node.parent_id": "user"},
        "alpha",
    ),
    (
        "autogen-oi-by-span-name",
        "alpha.on_messages_stream",
        OI + "autogen_agentchat",
        {"openinference.span.kind": "AGENT"},
        "alpha",
    ),
    (
        "ag2-classic-chat",
        "chat gpt-5-mini",
        OTEL + "ag2",
        {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "alpha", "gen_ai.sender_agent.name": "user"},
        "alpha",
    ),
    (
        "smolagents-oi",
        "weather.run",
        OI + "smolagents",
        {"openinference.span.kind": "AGENT", "smolagents.managed_agents.0.name": "worker"},
        "weather",
    ),
    (
        "bedrock-collaborator",
        "agent_collaborator[worker]",
        OI + "bedrock",
        {"openinference.span.kind": "AGENT"},
        "worker",
    ),
    (
        "vercel-7",
        "invoke_agent gpt-5-mini",
        "gen_ai",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.request.model": "gpt-5-mini",
            "gen_ai.agent.name": "weather",
        },
        "weather",
    ),
    (
        "vercel-5",
        "ai.generateText.doGenerate",
        "ai",
        {"ai.operationId": "ai.generateText.doGenerate", "ai.telemetry.functionId": "weather"},
        "weather",
    ),
    (
        "mastra",
        "chat gpt-5-mini",
        "@mastra/otel-bridge",
        {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "weather"},
        "weather",
    ),
    (
        "agentops",
        "alpha.agent",
        "agentops",
        {"agentops.span.kind": "agent", "operation.name": "alpha"},
        "alpha",
    ),
    (
        "traceloop-decorator",
        "openai.chat",
        OTEL + "openai.v1",
        {
            "llm.request.type": "chat",
            "gen_ai.agent.name": "alpha",
            "traceloop.workflow.name": "flow",
            "traceloop.entity.name": "go",
        },
        "alpha",
    ),
    (
        "beeai",
        "weather_agent",
        OI + "beeai",
        {"openinference.span.kind": "AGENT", "agent.name": "weather_agent"},
        "weather_agent",
    ),
    (
        "a-name-that-begins-with-agent",
        "invoke_agent Agent Smith",
        "pydantic-ai",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Agent Smith"},
        "Agent Smith",
    ),
    (
        "nested-agent-under-logfire",
        "invoke_agent inner",
        "pydantic-ai",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "inner",
            "baggage_conflict.gen_ai.agent.name": "outer",
        },
        "inner",
    ),
]


@pytest.mark.parametrize(
    ("name", "scope", "attributes", "expected"), [pytest.param(*case[1:], id=case[0]) for case in NAMED]
)
def test_agent_is_named_in_every_framework(
    name: str, scope: str, attributes: dict[str, Any], expected: str
) -> None:
    """Every vocabulary that names agents is read."""
    assert agent(name, scope, attributes) == expected


NEVER: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "openai-agents-v2-placeholder",
        "chat gpt-5-mini",
        OTEL + "openai_agents",
        {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "OpenAI Agent", "gen_ai.agent.id": "agent"},
    ),
    ("openai-agents-workflow", "Agent workflow", OI + "openai_agents", {"openinference.span.kind": "AGENT"}),
    (
        "ag2-default",
        "invoke_agent unknown",
        OTEL + "ag2",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "unknown"},
    ),
    (
        "pydantic-ai-unnamed",
        "invoke_agent agent",
        "pydantic-ai",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "agent"},
    ),
    (
        "supervisor's-wrapper",
        "invoke_agent call_agent",
        OTEL + "genai.langchain",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "call_agent"},
    ),
    (
        "dspy-class",
        "invoke_agent dspy.ReAct",
        OTEL + "genai.dspy",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "dspy.ReAct"},
    ),
    (
        "dspy-class-v2",
        "invoke_agent dspy.ReActV2",
        OTEL + "genai.dspy",
        {"gen_ai.operation.name": "invoke_agent"},
    ),
    ("dspy-oi", "ReAct.forward", OI + "dspy", {"openinference.span.kind": "AGENT"}),
    ("dspy-mlflow", "ReAct.forward", "mlflow.tracing.provider", {"mlflow.spanType": '"AGENT"'}),
    ("haystack", "haystack.agent.run", "haystack", {"haystack.agent.max_steps": 10}),
    ("haystack-component", "weather_agent.run", OI + "haystack", {"openinference.span.kind": "AGENT"}),
    ("haystack-oi-class", "Agent.run", OI + "haystack", {"openinference.span.kind": "CHAIN"}),
    ("llama-index-class", "FunctionAgent.run", OI + "llama_index", {"openinference.span.kind": "AGENT"}),
    ("llama-index-workflow", "AgentWorkflow.run", OI + "llama_index", {"openinference.span.kind": "CHAIN"}),
    ("smolagents-unnamed", "CodeAgent.run", OI + "smolagents", {"openinference.span.kind": "AGENT"}),
    (
        "smolagents-unnamed-tool-caller",
        "ToolCallingAgent.run",
        OI + "smolagents",
        {"openinference.span.kind": "AGENT"},
    ),
    ("beeai-final-answer", "final_answer", OI + "beeai", {"openinference.span.kind": "AGENT"}),
    (
        "vercel-7-unnamed",
        "invoke_agent gpt-5-mini",
        "gen_ai",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-5-mini"},
    ),
    (
        "model-as-agent-name",
        "invoke_agent gpt-5-mini",
        "gen_ai",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.request.model": "gpt-5-mini",
            "gen_ai.agent.name": "gpt-5-mini",
        },
    ),
    (
        "model-that-answered",
        "invoke_agent gpt-5-mini",
        "gen_ai",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.response.model": "gpt-5-mini"},
    ),
    (
        "baggage-conflict-alone",
        "chat m",
        OTEL + "genai.openai",
        {"gen_ai.operation.name": "chat", "baggage_conflict.gen_ai.agent.name": "outer"},
    ),
    (
        "handoff",
        "handoff to writer",
        OI + "openai_agents",
        {
            "openinference.span.kind": "TOOL",
            "gen_ai.handoff.to_agent": "writer",
            "gen_ai.handoff.from_agent": "boss",
        },
    ),
    (
        "sender-and-recipient",
        "conversation user",
        OTEL + "ag2",
        {
            "gen_ai.operation.name": "conversation",
            "gen_ai.sender_agent.name": "a",
            "gen_ai.recipient_agent.name": "b",
            "sender_agent": "a",
        },
    ),
    (
        "managed-agents",
        "Step 1",
        OI + "smolagents",
        {"openinference.span.kind": "CHAIN", "smolagents.managed_agents.0.name": "worker"},
    ),
    (
        "tool-name",
        "execute_tool get_weather",
        "autogen-core",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather"},
    ),
    (
        "tool-name-oi",
        "get_weather",
        OI + "beeai",
        {"openinference.span.kind": "TOOL", "tool.name": "get_weather"},
    ),
    ("crew-kickoff", "Crew_1234.kickoff", OI + "crewai", {"openinference.span.kind": "CHAIN"}),
    (
        "crewai-workflow",
        "crewai.workflow",
        OTEL + "crewai.instrumentation",
        {
            "traceloop.span.kind": "workflow",
            "traceloop.entity.name": "crewai",
            "gen_ai.operation.name": "invoke_agent",
        },
    ),
    (
        "traceloop-task",
        "go.task",
        "traceloop.tracer",
        {"traceloop.span.kind": "task", "traceloop.entity.name": "go"},
    ),
    (
        "langgraph-machinery",
        "ChatOpenAI",
        "langsmith",
        {"langsmith.span.kind": "llm", "langsmith.metadata.langgraph_node": "model"},
    ),
    ("langfuse-graph", "LangGraph", "langfuse-sdk", {"langfuse.observation.type": "agent"}),
    ("langfuse-class", "AgentExecutor", "langfuse-sdk", {"langfuse.observation.type": "agent"}),
    (
        "langfuse-outer-agent-of-the-trace",
        "ChatOpenAI",
        "langfuse-sdk",
        {"langfuse.observation.type": "generation", "langfuse.trace.metadata.lc_agent_name": '"boss"'},
    ),
    (
        "claude-agent-sdk",
        "ClaudeSDKClient.receive_response",
        OI + "claude_agent_sdk",
        {"openinference.span.kind": "AGENT"},
    ),
    ("bedrock-root", "bedrock_agent.invoke_agent", OI + "bedrock", {"openinference.span.kind": "AGENT"}),
    (
        "claude-code-main",
        "claude_code.interaction",
        "com.anthropic.claude_code.tracing",
        {"gen_ai.operation.name": "invoke_agent", "agent_id": "a1b2c3"},
    ),
    (
        "openlit-hash",
        "chat m",
        "openlit.instrumentation.openai",
        {"gen_ai.operation.name": "chat", "openlit.agent.version_hash": "abc"},
    ),
    (
        "autogen-oi-team",
        "RoundRobinGroupChat.run_stream",
        OI + "autogen_agentchat",
        {"openinference.span.kind": "AGENT"},
    ),
    (
        "autogen-oi-class",
        "AssistantAgent.on_messages_stream",
        OI + "autogen_agentchat",
        {"openinference.span.kind": "AGENT"},
    ),
]


@pytest.mark.parametrize(
    ("name", "scope", "attributes"), [pytest.param(*case[1:], id=case[0]) for case in NEVER]
)
def test_what_is_no_agent_is_never_one(name: str, scope: str, attributes: dict[str, Any]) -> None:
    """Placeholders, classes, models, tools, nodes and other agents' names are no agent of this span."""
    assert agent(name, scope, attributes) is None


ORDER: list[dict[str, Any]] = [
    {"gen_ai.agent.name": "a1"},
    {"agent.name": "a2"},
    {"agent_name": "a3"},
    {"langsmith.metadata.lc_agent_name": "a4"},
    {"traceloop.association.properties.lc_agent_name": "a5"},
    {"traceloop.span.kind": "agent", "traceloop.entity.name": "a6"},
    {"agentops.span.kind": "agent", "operation.name": "a7"},
    {"openinference.span.kind": "AGENT", "graph.node.id": "a8"},
    {"ai.telemetry.functionId": "a9"},
    {"langsmith.metadata.langgraph_node": "a10"},
    {"traceloop.association.properties.langgraph_node": "a11"},
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_names_are_tried_in_the_documented_order(first: int) -> None:
    """Of several vocabularies on one span the first of the list wins, and the span's name comes last."""
    attributes: dict[str, Any] = {}
    for each in reversed(ORDER[first:]):
        attributes |= each
    found = agent_of("invoke_agent last", attributes, OTEL + "x", Kind.AGENT)
    assert found is not None
    assert found.name == f"a{first + 1}"


def test_placeholder_gives_way_to_the_next_vocabulary() -> None:
    """A placeholder does not hide a real name under another key."""
    attributes = {
        "gen_ai.agent.name": "unknown",
        "agent.name": " ",
        "langsmith.metadata.lc_agent_name": "worker",
    }
    found = agent_of("x", attributes, "", Kind.CALL)
    assert found is not None
    assert found.name == "worker"


@pytest.mark.parametrize(
    "name",
    [
        "OpenAI Agent",
        "unknown",
        "UNKNOWN",
        "agent",
        "Agent",
        "default",
        "",
        "  ",
        None,
        3,
        ["a"],
        "<unknown>",
        "None",
        "call_agent",
        "model",
        "tools",
        "call_model",
        "dspy.ReAct",
        "x" * 300,
    ],
)
def test_placeholder_is_no_name(name: object) -> None:
    """Placeholders, generic nodes, classes and things that are no text are no names."""
    assert real_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "RunnableSequence",
        "ChannelWrite<model>",
        "branch:to:x",
        "PatchToolCallsMiddleware.before_agent",
        "LangGraph",
        "__start__",
        "_write",
    ],
)
def test_machinery_of_a_graph_is_no_agent(name: str) -> None:
    """LangGraph's own nodes and LangChain's runnables are no agents."""
    assert node_name(name) is None


@pytest.mark.parametrize("name", ["weather_agent", "Senior Researcher", "Agent 007", "planner-2", "Ärztin"])
def test_name_that_a_person_gave_is_kept_as_it_is(name: str) -> None:
    """Names are not shortened, lowered or guessed at."""
    assert real_name(name) == name
