# SPDX-License-Identifier: Apache-2.0
"""What a span is: a call, an agent, a tool, a roll-up or not ours; by the shapes that frameworks write."""

from __future__ import annotations

from typing import Any

import pytest

from spancost.calls.facts import read_span
from spancost.calls.kinds import CHAT, EMBEDDING, RERANK, Kind, classify

OTEL, OI = "opentelemetry.instrumentation.", "openinference.instrumentation."
USED = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 5}
MODEL = {"gen_ai.request.model": "gpt-5-mini"}
OI_USED = {"llm.token_count.prompt": 100, "llm.token_count.completion": 5}
AI_USED = {"ai.usage.inputTokens": 100, "ai.usage.outputTokens": 5, "ai.model.id": "gpt-5-mini"}
Shape = tuple[str, str, str, dict[str, Any]]


def op(name: str, **more: Any) -> dict[str, Any]:
    """Return a span's operation by the semantic conventions."""
    return {"gen_ai.operation.name": name} | more


def oi(kind: str) -> dict[str, str]:
    """Return a span's kind by OpenInference."""
    return {"openinference.span.kind": kind}


def kind_of(name: str, scope: str, attributes: dict[str, Any]) -> Kind:
    """Return what the whole reading of a span makes of it."""
    return read_span(name, attributes, scope, "", failed=False).kind


CALLS: list[Shape] = [
    ("pydantic-ai", "chat gpt-5-mini", "pydantic-ai", op("chat") | MODEL | USED),
    ("openai-agents-oi", "response", OI + "openai_agents", oi("LLM") | OI_USED),
    (
        "openai-agents-logfire",
        "Responses API with {gen_ai.request.model!r}",
        "logfire.openai_agents",
        MODEL | USED | {"logfire.span_type": "span"},
    ),
    ("langchain-oi", "ChatOpenAI", OI + "langchain", oi("LLM") | OI_USED),
    ("langsmith", "ChatOpenAI", "langsmith", {"langsmith.span.kind": "llm"} | op("chat") | USED),
    ("adk", "generate_content gemini-3-flash", "gcp.vertex.agent", op("generate_content") | USED),
    ("adk-1", "call_llm", "gcp.vertex.agent", {"gen_ai.system": "gcp.vertex.agent"} | USED),
    (
        "adk-oi-leaves-the-agent's-name",
        "invoke_agent weather",
        OI + "google_adk",
        op("generate_content") | oi("LLM") | OI_USED,
    ),
    (
        "oi-llm-beats-an-older-operation",
        "invoke_agent weather",
        OI + "google_adk",
        op("invoke_agent") | oi("LLM") | OI_USED,
    ),
    ("strands", "chat", "strands.telemetry.tracer", op("chat") | USED),
    ("agno-oi", "OpenAIChat.invoke", OI + "agno", oi("LLM") | OI_USED),
    ("autogen-oi", "OpenAIChatCompletionClient.create", OI + "autogen_agentchat", oi("LLM") | OI_USED),
    ("ag2", "chat gpt-5-mini", OTEL + "ag2", op("chat") | {"ag2.span.type": "llm"} | USED),
    ("agent-framework", "chat gpt-5-mini", "agent_framework", op("chat") | USED),
    (
        "semantic-kernel",
        "chat gpt-5-mini",
        "semantic_kernel.utils.telemetry.model_diagnostics.decorators",
        op("chat") | USED,
    ),
    ("semantic-kernel-text", "text_completions m", "semantic_kernel.utils", op("text_completions") | USED),
    ("smolagents-oi", "OpenAIModel.generate", OI + "smolagents", oi("LLM") | OI_USED),
    ("haystack-oi", "OpenAIChatGenerator.run", OI + "haystack", oi("LLM") | OI_USED),
    ("dspy-genai", "chat gpt-5-mini", OTEL + "genai.dspy", op("chat") | USED),
    ("dspy-oi", "LM.__call__", OI + "dspy", oi("LLM")),
    ("dspy-mlflow", "LM.__call__", "mlflow.tracing.provider", {"mlflow.spanType": '"CHAT_MODEL"'}),
    (
        "claude-code",
        "claude_code.llm_request",
        "com.anthropic.claude_code.tracing",
        {"model": "claude-sonnet-4-5", "input_tokens": 9},
    ),
    ("bedrock-agents-oi", "LLM", OI + "bedrock", oi("LLM") | OI_USED),
    ("vercel-7", "chat gpt-5-mini", "gen_ai", op("chat") | USED),
    (
        "vercel-5",
        "ai.generateText.doGenerate",
        "ai",
        {"ai.operationId": "ai.generateText.doGenerate"} | AI_USED | USED,
    ),
    (
        "vercel-5-stream",
        "ai.streamText.doStream",
        "ai",
        {"ai.operationId": "ai.streamText.doStream"} | AI_USED,
    ),
    (
        "mastra",
        "chat gpt-5-mini",
        "@mastra/otel-bridge",
        op("chat") | USED | {"mastra.span.type": "model_generation"},
    ),
    (
        "agentops",
        "openai.chat.completion",
        "openai",
        {"gen_ai.usage.prompt_tokens": 9, "agentops.span.kind": "llm"} | MODEL,
    ),
    ("langfuse", "OpenAI-generation", "langfuse-sdk", {"langfuse.observation.type": "generation"}),
    ("beeai", "OpenAIChatModel", OI + "beeai", oi("LLM") | OI_USED),
    ("traceloop-openai", "openai.chat", OTEL + "openai.v1", {"llm.request.type": "chat"} | MODEL),
    (
        "langtrace-unknown-operation",
        "openai.responses.create",
        "langtrace_python_sdk.instrumentation.openai",
        op("openai.responses.create") | MODEL | USED,
    ),
    (
        "langtrace-chat",
        "openai.chat.completions.create",
        "langtrace_python_sdk.instrumentation.openai",
        op("chat") | MODEL | USED,
    ),
    (
        "litellm-raw",
        "raw_gen_ai_request",
        "litellm",
        {
            "llm.openai.model": "gpt-5-mini",
            "llm.openai.usage": "{'prompt_tokens': 12, 'completion_tokens': 5}",
        },
    ),
    ("unknown-sdk", "call", "some.new.sdk", MODEL | USED),
]
AGENTS: list[Shape] = [
    (
        "pydantic-ai",
        "invoke_agent weather",
        "pydantic-ai",
        op("invoke_agent") | {"gen_ai.aggregated_usage.input_tokens": 9},
    ),
    ("pydantic-ai@1", "agent run", "pydantic-ai", {"agent_name": "weather"} | MODEL | USED),
    ("openai-agents-oi", "weather", OI + "openai_agents", oi("AGENT")),
    ("traceloop", "weather.agent", OTEL + "openai_agents", {"traceloop.span.kind": "agent"}),
    ("crewai-oi", "Researcher._execute_core", OI + "crewai", oi("AGENT")),
    (
        "crewai-traceloop-sum",
        "Researcher.agent",
        OTEL + "crewai.instrumentation",
        op("invoke_agent") | MODEL | USED,
    ),
    ("adk-1", "agent_run [weather]", "gcp.vertex.agent", {"gen_ai.system": "gcp.vertex.agent"}),
    ("strands-sum", "invoke_agent weather", "strands.telemetry.tracer", op("invoke_agent") | MODEL | USED),
    (
        "strands-oi-sum",
        "invoke_agent weather",
        "strands.telemetry.tracer",
        op("invoke_agent") | oi("AGENT") | USED | OI_USED,
    ),
    ("agno-oi", "weather.run", OI + "agno", oi("AGENT")),
    ("autogen", "invoke_agent alpha", "autogen-core", op("invoke_agent")),
    ("autogen-creates", "create_agent alpha", "autogen-core", op("create_agent")),
    ("ag2", "invoke_agent alpha", OTEL + "ag2", op("invoke_agent") | {"ag2.span.type": "agent"} | MODEL),
    ("agent-framework-sum", "invoke_agent weather", "agent_framework", op("invoke_agent") | MODEL | USED),
    (
        "semantic-kernel",
        "invoke_agent weather",
        "semantic_kernel.utils.telemetry.agent_diagnostics.decorators",
        op("invoke_agent"),
    ),
    (
        "smolagents-oi-sum",
        "weather.run",
        OI + "smolagents",
        oi("AGENT") | OI_USED | {"llm.model_name": "gpt-5-mini"},
    ),
    ("dspy-genai", "invoke_agent dspy.ReAct", OTEL + "genai.dspy", op("invoke_agent")),
    (
        "claude-agent-sdk-logfire-sum",
        "invoke_agent",
        "logfire.claude_agent_sdk",
        op("invoke_agent") | MODEL | USED,
    ),
    (
        "claude-agent-sdk-oi-sum",
        "ClaudeSDKClient.receive_response",
        OI + "claude_agent_sdk",
        oi("AGENT") | OI_USED,
    ),
    ("claude-code", "claude_code.interaction", "com.anthropic.claude_code.tracing", op("invoke_agent")),
    ("bedrock-agents", "bedrock_agent.invoke_agent", OI + "bedrock", oi("AGENT")),
    ("bedrock-collaborator", "agent_collaborator[worker]", OI + "bedrock", oi("AGENT")),
    ("vercel-7-sum", "invoke_agent gpt-5-mini", "gen_ai", op("invoke_agent") | MODEL | USED),
    ("mastra", "invoke_agent weather", "@mastra/otel-bridge", op("invoke_agent")),
    ("agentops", "alpha.agent", "agentops", {"agentops.span.kind": "agent", "operation.name": "alpha"}),
    ("langfuse", "alpha", "langfuse-sdk", {"langfuse.observation.type": "agent"}),
    ("beeai", "weather_agent", OI + "beeai", oi("AGENT") | {"agent.name": "weather_agent"}),
    ("mlflow", "ReAct.forward", "mlflow.tracing.provider", {"mlflow.spanType": '"AGENT"'}),
]
TOOLS: list[Shape] = [
    ("semantic-conventions", "execute_tool get_weather", "pydantic-ai", op("execute_tool")),
    ("pydantic-ai@1", "running tool", "pydantic-ai", {"gen_ai.tool.name": "get_weather"}),
    ("openinference", "get_weather", OI + "langchain", oi("TOOL")),
    ("traceloop", "get_weather.tool", OTEL + "openai_agents", {"traceloop.span.kind": "tool"}),
    ("langsmith", "get_weather", "langsmith", {"langsmith.span.kind": "tool"}),
    ("vercel-5", "ai.toolCall", "ai", {"ai.operationId": "ai.toolCall"}),
    ("langfuse", "get_weather", "langfuse-sdk", {"langfuse.observation.type": "tool"}),
    ("claude-code", "claude_code.tool", "com.anthropic.claude_code.tracing", {}),
    ("mlflow", "get_weather", "mlflow.tracing.provider", {"mlflow.spanType": '"TOOL"'}),
    ("mastra", "execute_tool get_weather", "@mastra/otel-bridge", op("execute_tool")),
]
ROLLUPS: list[Shape] = [
    ("vercel-5-parent", "ai.generateText", "ai", {"ai.operationId": "ai.generateText"} | AI_USED),
    (
        "langsmith-sequence",
        "RunnableSequence",
        "langsmith",
        {"langsmith.span.kind": "chain"} | op("chain") | MODEL | USED,
    ),
    ("openinference-chain", "turn", OI + "openai_agents", oi("CHAIN") | OI_USED | {"llm.model_name": "m"}),
    (
        "traceloop-workflow",
        "flow.workflow",
        "traceloop.tracer",
        {"traceloop.span.kind": "workflow"} | MODEL | USED,
    ),
    ("traceloop-task", "go.task", "traceloop.tracer", {"traceloop.span.kind": "task"}),
    ("agentops-session", "default.session", "agentops", {"agentops.span.kind": "session"}),
    ("workflow", "invoke_workflow", OTEL + "genai.langchain", op("invoke_workflow")),
    ("vercel-7-step", "step 1", "gen_ai", op("agent_step") | MODEL | USED),
    ("traceloop-langchain-node", "execute_task model", OTEL + "langchain", op("execute_task")),
    (
        "strands-cycle",
        "execute_event_loop_cycle",
        "strands.telemetry.tracer",
        op("execute_event_loop_cycle") | MODEL | USED,
    ),
    (
        "ag2-classic-chat-sum",
        "conversation user",
        OTEL + "ag2",
        op("conversation") | {"ag2.span.type": "conversation"} | MODEL | USED,
    ),
    ("ag2-classic-chats", "initiate_chats", OTEL + "ag2", op("initiate_chats")),
    ("mastra-step", "model_step 1", "@mastra/otel-bridge", op("model_step")),
    ("mastra-inference", "model_inference", "@mastra/otel-bridge", op("model_inference")),
    ("fetch-response", "fetch_response", "some.sdk", op("fetch_response") | MODEL | USED),
    ("memory-store", "create_memory_store", "some.sdk", op("create_memory_store")),
    ("langfuse-chain", "model", "langfuse-sdk", {"langfuse.observation.type": "chain"}),
    (
        "mlflow-chain",
        "Predict.forward",
        "mlflow.tracing.provider",
        {
            "mlflow.spanType": '"CHAIN"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}',
        },
    ),
]
ROLLUPS += [
    ("ag2-classic-by-name-alone", "conversation user", OTEL + "ag2", MODEL | USED),
]
NEVER: list[Shape] = [
    (
        "ag2-records-a-call-again",
        "record_usage model_call",
        OTEL + "ag2",
        {"ag2.span.type": "usage", "ag2.usage.kind": "model_call", "gen_ai.provider.name": "openai"}
        | MODEL
        | USED,
    ),
    (
        "ag2-records-a-sum",
        "record_usage subtask",
        OTEL + "ag2",
        {"ag2.span.type": "usage", "ag2.usage.kind": "subtask"} | MODEL | USED,
    ),
    (
        "logfire-first-event-of-claude",
        "chat claude-sonnet-4-5",
        "logfire.claude_agent_sdk",
        op("chat") | {"gen_ai.usage.partial.input_tokens": 275, "gen_ai.usage.partial.output_tokens": 1},
    ),
]
NOT_OURS: list[Shape] = [
    (
        "http",
        "POST",
        OTEL + "httpx",
        {"http.request.method": "POST", "url.full": "https://api.example.test/v1"},
    ),
    ("haystack-agent", "haystack.agent.run", "haystack", {"haystack.agent.max_steps": 10}),
    ("haystack-component", "haystack.component.run", "haystack", {"haystack.component.name": "llm"}),
    (
        "semantic-kernel-loop",
        "AutoFunctionInvocationLoop",
        "semantic_kernel.connectors.ai",
        {"sk.available_functions": "x"},
    ),
    ("autogen-message", "autogen publish default", "autogen-core", {"messaging.operation": "publish"}),
    ("mcp", "tools/list", "mcp-python-sdk", {"mcp.method.name": "tools/list"}),
    ("user's span with a token count", "work", "my-app", {"input_tokens": 100, "model": "gpt-5-mini"}),
    ("litellm-raw-without-usage", "raw_gen_ai_request", "litellm", {"llm.openai.model": "gpt-5-mini"}),
    (
        "logfire-log-without-usage",
        "streaming response from ... took ...s",
        "logfire.openai",
        op("chat") | MODEL | {"logfire.span_type": "log"},
    ),
    ("llama-index-prepares", "OpenAI._prepare_chat_with_tools", OI + "llama_index", oi("LLM")),
    (
        "genai-anthropic-fails-beside-a-call",
        "chat claude-sonnet-4-6",
        OTEL + "genai.anthropic",
        op("chat") | {"error.type": "ValueError"},
    ),
    ("mlflow-unknown", "UNKNOWN", "mlflow.tracing.provider", op("UNKNOWN")),
]


def ids(shapes: list[Shape]) -> Any:
    """Return cases for ``parametrize`` from shapes, named."""
    return [pytest.param(*shape[1:], id=shape[0]) for shape in shapes]


@pytest.mark.parametrize(("name", "scope", "attributes"), ids(CALLS))
def test_call_is_known_in_every_framework(name: str, scope: str, attributes: dict[str, Any]) -> None:
    """One LLM call is a call, whatever its framework says of it."""
    assert kind_of(name, scope, attributes) is Kind.CALL


@pytest.mark.parametrize(("name", "scope", "attributes"), ids(AGENTS))
def test_agent_is_a_boundary_and_no_call_even_with_usage(
    name: str, scope: str, attributes: dict[str, Any]
) -> None:
    """An agent's span carries sums in the keys of a call and is none."""
    assert kind_of(name, scope, attributes) is Kind.AGENT


@pytest.mark.parametrize(("name", "scope", "attributes"), ids(TOOLS))
def test_tool_is_a_boundary(name: str, scope: str, attributes: dict[str, Any]) -> None:
    """What runs in a tool is no copy of what called it."""
    assert kind_of(name, scope, attributes) is Kind.TOOL


@pytest.mark.parametrize(("name", "scope", "attributes"), ids(ROLLUPS))
def test_rollup_is_no_call(name: str, scope: str, attributes: dict[str, Any]) -> None:
    """Chains, steps, workflows and conversations repeat what is below them."""
    assert kind_of(name, scope, attributes) is Kind.ROLLUP


@pytest.mark.parametrize(("name", "scope", "attributes"), ids(NEVER))
def test_record_beside_a_call_is_never_priced(name: str, scope: str, attributes: dict[str, Any]) -> None:
    """Records of usage beside their call, and first events of a stream, have nothing to price."""
    facts = read_span(name, attributes, scope, "", failed=False)
    assert facts.kind is Kind.ROLLUP
    assert facts.reading is None


@pytest.mark.parametrize(("name", "scope", "attributes"), ids(NOT_OURS))
def test_span_without_a_call_is_not_ours(name: str, scope: str, attributes: dict[str, Any]) -> None:
    """Transport, messages, components and the app's own spans are left alone."""
    assert kind_of(name, scope, attributes) is Kind.OTHER


TYPES = [
    (op("chat"), CHAT),
    (op("embeddings"), EMBEDDING),
    (op("rerank"), RERANK),
    (oi("EMBEDDING"), EMBEDDING),
    (oi("reranker"), RERANK),
    ({"ai.operationId": "ai.embedMany.doEmbed"}, EMBEDDING),
    ({"ai.operationId": "ai.rerank.doRerank"}, RERANK),
    ({"langfuse.observation.type": "embedding"}, EMBEDDING),
    ({"langsmith.span.kind": "embedding"}, EMBEDDING),
    (op("embed"), EMBEDDING),
    ({"llm.request.type": "embedding"}, EMBEDDING),
]


@pytest.mark.parametrize(("attributes", "call_type"), TYPES)
def test_call_has_its_type(attributes: dict[str, Any], call_type: str) -> None:
    """An embedding or a rerank is no copy of a chat, so their types are told apart."""
    found = classify("x", attributes, "", has_usage=True, has_model=True)
    assert (found.kind, found.call_type) == (Kind.CALL, call_type)


def test_only_usage_and_a_model_together_make_an_unknown_span_a_call() -> None:
    """The fallback is marked, since a span known by it alone is a roll-up when it encloses calls."""
    for has_usage, has_model in ((True, False), (False, True), (False, False)):
        assert classify("x", {}, "", has_usage=has_usage, has_model=has_model).kind is Kind.OTHER
    assert classify("x", {}, "", has_usage=True, has_model=True).fallback


@pytest.mark.parametrize(
    "key",
    [
        "ai.operationId",
        "langsmith.span.kind",
        "gen_ai.operation.name",
        "openinference.span.kind",
        "traceloop.span.kind",
        "mlflow.spanType",
        "langfuse.observation.type",
        "llm.request.type",
    ],
)
@pytest.mark.parametrize("value", [None, 3, 2.5, ["chat"], {"a": 1}, "", "\x00"])
def test_kind_of_a_foreign_type_does_no_harm(key: str, value: object) -> None:
    """Values that no library writes under these keys never raise and never make a call."""
    assert classify("x", {key: value}, "", has_usage=False, has_model=False).kind is not Kind.CALL


def test_caller_of_litellm_is_no_call_by_its_request_type() -> None:
    """LiteLLM writes its attributes onto the span that called it; what makes it a call is its usage."""
    attributes = {"llm.request.type": "completion", "litellm.call_id": "x"} | MODEL
    assert kind_of("POST /ask", "my-app", attributes) is Kind.OTHER
    assert kind_of("POST /ask", "my-app", attributes | USED) is Kind.CALL


def test_zeros_are_no_usage() -> None:
    """A library that writes zeros knows nothing: the call has no reading, and is no call by the fallback."""
    zeros = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    facts = read_span("x", zeros | MODEL, "s", "", failed=False)
    assert (facts.kind, facts.reading) == (Kind.OTHER, None)


@pytest.mark.parametrize(
    ("attributes", "streaming"),
    [
        ({"gen_ai.request.stream": True}, True),
        ({"gen_ai.request.is_stream": False}, False),
        ({"llm.is_streaming": "True"}, True),
        ({"llm.is_streaming": "False"}, False),
        ({}, None),
        ({"llm.is_streaming": 3}, None),
    ],
)
def test_streaming_is_known_where_a_library_says_so(
    attributes: dict[str, Any], *, streaming: bool | None
) -> None:
    """A stream that was cut is a lower bound, so it matters whether there was one."""
    found = read_span("chat m", op("chat") | MODEL | USED | attributes, "s", "", failed=True)
    assert found.streaming is streaming


@pytest.mark.parametrize(
    ("value", "cached"),
    [(True, True), ("true", True), ("True", True), (False, False), ("false", False), (None, False)],
)
def test_answer_from_a_cache_is_known(value: object, *, cached: bool) -> None:
    """A span that says its answer came from a response cache cost nothing."""
    found = read_span(
        "chat m", op("chat") | MODEL | USED | {"gen_ai.response.cache_hit": value}, "s", "", failed=False
    )
    assert found.cached_response is cached


@pytest.mark.parametrize(
    ("name", "scope", "attributes"),
    [
        ("raw_gen_ai_request", "litellm", {"llm.openai.model": "gpt-5-mini"}),
        (
            "streaming response from 'gpt-5-mini' took 0.16s",
            "logfire.openai",
            op("chat") | {"logfire.span_type": "log"},
        ),
        ("OpenAI._prepare_chat_with_tools", OI + "llama_index", oi("LLM") | {"llm.model_name": "gpt-5-mini"}),
        (
            "chat claude-sonnet-4-5",
            "opentelemetry.instrumentation.genai.anthropic",
            op("chat") | {"gen_ai.request.model": "claude-sonnet-4-5", "error.type": "ValueError"},
        ),
    ],
    ids=["litellm raw", "logfire log", "llama-index preparing", "genai-anthropic's own failure"],
)
def test_what_calls_itself_a_call_and_shows_no_usage_is_none_where_a_library_lies(
    name: str, scope: str, attributes: dict[str, Any]
) -> None:
    """These spans stand beside a call's own span; counted, they would be calls that nobody made."""
    assert kind_of(name, scope, attributes) is Kind.OTHER


@pytest.mark.parametrize("kind", ["workflow", "task"])
def test_what_encloses_an_agent_and_calls_itself_one_is_a_roll_up(kind: str) -> None:
    """OpenLLMetry's CrewAI spans all say invoke_agent; the crew and its tasks are no agents' runs."""
    attributes = op("invoke_agent") | {"traceloop.span.kind": kind}

    assert kind_of("crewai.workflow", "opentelemetry.instrumentation.crewai", attributes) is Kind.ROLLUP
