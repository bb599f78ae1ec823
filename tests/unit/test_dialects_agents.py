# SPDX-License-Identifier: Apache-2.0
"""Agent frameworks: what every measured stack writes on its call spans, scope by scope and API by API."""

from __future__ import annotations

from typing import Any

import pytest

from spancost.usage import Usage, dialect_of, read_usage
from tests.dialects import (
    ALL,
    CACHED,
    DEFAULT,
    EXCLUSIVE,
    FRESH,
    FRESH_ONLY,
    OUT,
    PLAIN,
    READ,
    READ_ONLY,
    READ_REASONED,
    THOUGHT,
    WHOLE,
    WRITE,
    Row,
    details,
    gen_ai,
    models,
    openinference,
    row,
    text,
)

OTEL, OI = "opentelemetry.instrumentation.", "openinference.instrumentation."
SYSTEM = "gen_ai.system"
CLAUDE = models("claude-sonnet-4-6", "claude-sonnet-4-6")
GPT = models("gpt-5-mini", "gpt-5-mini-2025-08-07")
GEMINI = models("gemini-3-flash")
REASONED = Usage(input=WHOLE, output=OUT, reasoning=THOUGHT)

FRAMEWORKS = [
    row(
        "agent-framework-anthropic",
        "agent_framework",
        gen_ai("anthropic", FRESH) | CLAUDE | details(read=READ, created=WRITE),
        CACHED,
        EXCLUSIVE,
        version="1.23.0",
    ),
    row(
        "agent-framework-bedrock",
        "agent_framework",
        gen_ai("aws.bedrock", FRESH) | CLAUDE | details(read=READ),
        READ_ONLY,
        EXCLUSIVE,
        version="1.23.0",
    ),
    row(
        "agent-framework-openai-chat",
        "agent_framework",
        gen_ai("openai", FRESH + READ) | GPT | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.23.0",
    ),
    row(
        "agent-framework-openai-responses",
        "agent_framework",
        gen_ai("openai", WHOLE) | GPT | details(read=READ, created=WRITE, reasoning=THOUGHT),
        ALL,
        version="1.23.0",
    ),
    row(
        "agent-framework-claude-by-openai-client",
        "agent_framework",
        gen_ai("openai", FRESH + READ) | models("anthropic/claude-sonnet-4.6") | details(read=READ),
        READ_ONLY,
        version="1.23.0",
    ),
    row(
        "claude-code",
        "com.anthropic.claude_code.tracing",
        {
            "model": "claude-sonnet-4-5",
            "input_tokens": FRESH,
            "output_tokens": OUT,
            "cache_read_tokens": READ,
            "cache_creation_tokens": WRITE,
        },
        CACHED,
        EXCLUSIVE,
        version="1.0.0",
    ),
    row(
        "adk",
        "gcp.vertex.agent",
        gen_ai("gcp.gemini", FRESH + READ)
        | {"gen_ai.operation.name": "generate_content"}
        | GEMINI
        | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="2.13.0",
    ),
    row(
        "adk-litellm-counts-reasoning-twice",
        "gcp.vertex.agent",
        gen_ai("openai", FRESH, 64) | models("openai/gpt-5-mini") | details(reasoning=17),
        Usage(input=FRESH, output=47, reasoning=17),
        version="2.13.0",
    ),
    row(
        "adk-1-lacks-thoughts",
        "gcp.vertex.agent",
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.usage.input_tokens": FRESH,
            "gen_ai.usage.output_tokens": OUT,
        },
        FRESH_ONLY,
    ),
    row(
        "adk-1-with-thoughts-beside",
        "gcp.vertex.agent",
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.usage.input_tokens": FRESH,
            "gen_ai.usage.output_tokens": OUT,
            "gen_ai.usage.reasoning_tokens": THOUGHT,
        },
        Usage(input=FRESH, output=OUT + THOUGHT, reasoning=THOUGHT),
    ),
    row(
        "vercel-7", "gen_ai", gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, created=WRITE), CACHED
    ),
    row("vercel-7-openai", "gen_ai", gen_ai("openai", FRESH + READ) | GPT | details(read=READ), READ_ONLY),
    row(
        "logfire-openai-agents",
        "logfire.openai_agents",
        gen_ai("openai", WHOLE)
        | GPT
        | {
            "usage": text(
                {
                    "input_tokens": WHOLE,
                    "output_tokens": OUT,
                    "input_tokens_details": {"cached_tokens": READ, "cache_write_tokens": WRITE},
                    "output_tokens_details": {"reasoning_tokens": THOUGHT},
                }
            )
        },
        ALL,
        version="5.2.0",
    ),
    row(
        "agentops",
        "openai",
        {
            "gen_ai.system": "OpenAI",
            "gen_ai.usage.prompt_tokens": WHOLE,
            "gen_ai.usage.completion_tokens": OUT,
        }
        | GPT,
        PLAIN,
        DEFAULT,
        version="3.54.0",
    ),
    row(
        "langsmith-openai",
        "langsmith",
        gen_ai("openai", FRESH + READ, key=SYSTEM)
        | GPT
        | {
            "langsmith.metadata.usage_metadata": text(
                {
                    "input_tokens": FRESH + READ,
                    "output_tokens": OUT,
                    "input_token_details": {"cache_read": READ},
                    "output_token_details": {"reasoning": THOUGHT},
                }
            )
        },
        READ_REASONED,
    ),
    row(
        "langsmith-anthropic",
        "langsmith",
        gen_ai("anthropic", WHOLE, key=SYSTEM)
        | CLAUDE
        | {
            "langsmith.metadata.usage_metadata": text(
                {
                    "input_tokens": WHOLE,
                    "output_tokens": OUT,
                    "input_token_details": {"cache_read": READ, "cache_creation": WRITE},
                }
            )
        },
        CACHED,
    ),
    row(
        "langfuse-langchain",
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": text(
                {
                    "input": FRESH,
                    "input_cache_read": READ,
                    "output": OUT - THOUGHT,
                    "output_reasoning": THOUGHT,
                    "total": FRESH + READ + OUT,
                }
            ),
        },
        READ_REASONED,
        EXCLUSIVE,
        version="5.0.4",
    ),
    row(
        "mastra",
        "@mastra/otel-bridge",
        gen_ai("anthropic", WHOLE)
        | CLAUDE
        | details(read=READ, created=WRITE)
        | {
            "gen_ai.usage.cache_creation.5m_input_tokens": 50,
            "gen_ai.usage.cache_creation.1h_input_tokens": 150,
            "gen_ai.usage.reasoning_tokens": THOUGHT,
        },
        Usage(
            input=WHOLE, cache_read=READ, cache_write=WRITE, cache_write_1h=150, output=OUT, reasoning=THOUGHT
        ),
        version="1.0.0",
    ),
    row(
        "mastra-audio",
        "@mastra/otel-bridge",
        gen_ai("openai", FRESH)
        | {"gen_ai.usage.audio_input_tokens": 64, "gen_ai.usage.audio_output_tokens": 100},
        Usage(input=FRESH, input_audio=64, output=OUT, output_audio=100),
        version="1.0.0",
    ),
    row(
        "pydantic-ai-anthropic",
        "pydantic-ai",
        gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, created=WRITE) | {"operation.cost": 0.01},
        CACHED,
        version="2.68.0",
    ),
    row(
        "pydantic-ai-bedrock",
        "pydantic-ai",
        gen_ai("bedrock", WHOLE) | CLAUDE | details(read=READ, created=WRITE),
        CACHED,
        version="2.68.0",
    ),
    row(
        "pydantic-ai-gemini",
        "pydantic-ai",
        gen_ai("google", FRESH + READ) | GEMINI | details(read=READ),
        READ_ONLY,
        version="2.68.0",
    ),
    row(
        "pydantic-ai-openai",
        "pydantic-ai",
        gen_ai("openai", WHOLE)
        | GPT
        | details(read=READ, created=WRITE)
        | {"gen_ai.usage.details.reasoning_tokens": THOUGHT},
        ALL,
        version="2.68.0",
    ),
    row(
        "pydantic-ai@1.0-openai",
        "pydantic-ai",
        gen_ai("openai", FRESH + READ, key=SYSTEM)
        | GPT
        | {"gen_ai.usage.details.cached_tokens": READ, "gen_ai.usage.details.reasoning_tokens": THOUGHT},
        READ_REASONED,
        version="1.0.10",
    ),
    row(
        "pydantic-ai@1.0-anthropic",
        "pydantic-ai",
        gen_ai("anthropic", WHOLE, key=SYSTEM)
        | CLAUDE
        | {
            "gen_ai.usage.details.cache_read_input_tokens": READ,
            "gen_ai.usage.details.cache_creation_input_tokens": WRITE,
            "gen_ai.usage.details.input_tokens": FRESH,
            "gen_ai.usage.details.output_tokens": OUT,
        },
        CACHED,
        version="1.0.10",
    ),
    row(
        "pydantic-ai@1.0-gemini",
        "pydantic-ai",
        gen_ai("google", FRESH + READ, key=SYSTEM)
        | GEMINI
        | {"gen_ai.usage.details.cached_content_tokens": READ},
        READ_ONLY,
        version="1.0.10",
    ),
    row(
        "semantic-kernel",
        "semantic_kernel.utils.telemetry.model_diagnostics.decorators",
        gen_ai("openai", WHOLE, key=SYSTEM) | models("gpt-5-mini"),
        PLAIN,
    ),
    row(
        "strands-writes-old-and-new-names",
        "strands.telemetry.tracer",
        gen_ai("strands-agents", WHOLE, key=SYSTEM)
        | models("us.anthropic.claude-sonnet-4-5-v1:0")
        | details(read=READ, created=WRITE)
        | {
            "gen_ai.usage.prompt_tokens": WHOLE,
            "gen_ai.usage.completion_tokens": OUT,
            "gen_ai.usage.total_tokens": WHOLE + OUT,
            "gen_ai.usage.cache_read_input_tokens": READ,
            "gen_ai.usage.cache_write_input_tokens": WRITE,
        },
        CACHED,
    ),
    row(
        "strands-openai",
        "strands.telemetry.tracer",
        gen_ai("strands-agents", FRESH + READ, key=SYSTEM) | GPT | details(read=READ, created=0),
        READ_ONLY,
    ),
    row(
        "ag2",
        OTEL + "ag2",
        gen_ai("openai", FRESH + READ, cache_read_input_tokens=READ, thinking_tokens=THOUGHT) | GPT,
        READ_REASONED,
    ),
    row(
        "ag2-classic-with-its-own-cost",
        OTEL + "ag2",
        gen_ai("openai", WHOLE, cost=0.02) | GPT,
        PLAIN,
        version="0.14.0",
    ),
]

INSTRUMENTATIONS = [
    row(
        "oi-agno-anthropic",
        OI + "agno",
        openinference("Anthropic", "claude-sonnet-4-6", FRESH, read=READ, write=WRITE),
        CACHED,
        EXCLUSIVE,
        version="1.0.15",
    ),
    row(
        "oi-agno-bedrock",
        OI + "agno",
        openinference("AwsBedrock", "us.anthropic.claude-sonnet-4-5-v1:0", FRESH, read=READ, write=WRITE),
        CACHED,
        EXCLUSIVE,
        version="1.0.15",
    ),
    row(
        "oi-agno-openai",
        OI + "agno",
        openinference("OpenAI", "gpt-5-mini", FRESH + READ, read=READ),
        READ_ONLY,
        version="1.0.15",
    ),
    row(
        "oi-agno-openrouter",
        OI + "agno",
        openinference("OpenRouter", "anthropic/claude-sonnet-4.6", FRESH + READ, read=READ),
        READ_ONLY,
        version="1.0.15",
    ),
    row(
        "oi-agno-responses",
        OI + "agno",
        openinference("OpenAI", "gpt-5-mini", WHOLE, read=READ, write=WRITE),
        CACHED,
        version="1.0.15",
    ),
    row(
        "oi-autogen",
        OI + "autogen_agentchat",
        openinference(None, "gpt-5-mini", WHOLE),
        PLAIN,
        version="0.1.22",
    ),
    row(
        "oi-bedrock-agents",
        OI + "bedrock",
        openinference("aws", "claude-3-5-sonnet-20240620", 435, 116),
        Usage(input=435, output=116),
        version="0.1.61",
    ),
    row(
        "oi-beeai-keeps-cached-tokens-in-metadata",
        OI + "beeai",
        openinference("openai", "gpt-5-mini", FRESH + READ)
        | {
            "metadata.usage.cached_prompt_tokens": str(READ),
            "metadata.usage.cached_creation_tokens": "0",
            "llm.cost.total": 0.1,
        },
        READ_ONLY,
        version="0.1.85",
    ),
    row(
        "oi-google-genai",
        OI + "google_genai",
        openinference("google", "gemini-3-flash", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.4.14",
    ),
    row(
        "oi-google-adk",
        OI + "google_adk",
        openinference("google", "gemini-3-flash", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.0.5",
    ),
    row(
        "oi-haystack", OI + "haystack", openinference("openai", "gpt-5-mini", WHOLE), PLAIN, version="0.1.46"
    ),
    row(
        "oi-langchain-anthropic",
        OI + "langchain",
        openinference("anthropic", "claude-sonnet-4-6", WHOLE, read=READ, write=WRITE),
        CACHED,
        version="0.1.80",
    ),
    row(
        "oi-langchain-openai",
        OI + "langchain",
        openinference("openai", "gpt-5-mini", WHOLE, read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="0.1.80",
    ),
    row(
        "oi-litellm",
        OI + "litellm",
        openinference("openai", "openai/gpt-5-mini", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="0.1.51",
    ),
    row(
        "oi-llama-index",
        OI + "llama_index",
        openinference("openai", "gpt-5-mini", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="4.6.1",
    ),
    row(
        "oi-openai",
        OI + "openai",
        openinference("openai", "gpt-5-mini", WHOLE, read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="0.1.66",
    ),
    row(
        "oi-openai-agents-chat",
        OI + "openai_agents",
        openinference("openai", "gpt-5-mini", WHOLE),
        PLAIN,
        version="2.6.0",
    ),
    row(
        "oi-openai-agents-responses",
        OI + "openai_agents",
        openinference("openai", "gpt-5-mini", WHOLE, read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="2.6.0",
    ),
    row(
        "oi-smolagents",
        OI + "smolagents",
        openinference("openai", "gpt-5-mini", WHOLE),
        PLAIN,
        version="0.1.43",
    ),
    row(
        "genai-anthropic",
        OTEL + "genai.anthropic",
        gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, write=WRITE),
        CACHED,
        version="1.3b0",
    ),
    row(
        "genai-dspy",
        OTEL + "genai.dspy",
        gen_ai("openai", FRESH + READ) | GPT | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.3b0",
    ),
    row(
        "genai-langchain",
        OTEL + "genai.langchain",
        gen_ai("openai", WHOLE) | GPT | details(read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="1.3b0",
    ),
    row(
        "genai-openai",
        OTEL + "genai.openai",
        gen_ai("openai", WHOLE) | GPT | details(read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="1.3b0",
    ),
    row(
        "google-genai",
        OTEL + "google_genai",
        gen_ai("gemini", FRESH + READ) | GEMINI | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.3b0",
    ),
    row(
        "traceloop-langchain-anthropic-writes-zero-creation",
        OTEL + "langchain",
        gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, created=0),
        Usage(input=WHOLE, cache_read=READ, output=OUT),
        version="0.62.4",
    ),
    row(
        "traceloop-langchain-responses",
        OTEL + "langchain",
        gen_ai("openai", WHOLE) | GPT | details(read=READ, created=WRITE),
        CACHED,
        version="0.62.4",
    ),
    row(
        "traceloop-openai",
        OTEL + "openai.v1",
        gen_ai("openai", FRESH + READ, reasoning_tokens=THOUGHT) | GPT | details(read=READ),
        READ_REASONED,
        version="0.62.4",
    ),
    row(
        "traceloop-openai-agents",
        OTEL + "openai_agents",
        gen_ai("openai", FRESH + READ, reasoning_tokens=THOUGHT) | GPT | details(read=READ),
        READ_REASONED,
        version="0.62.4",
    ),
    row("openai-agents-v2", OTEL + "openai_agents", gen_ai("openai", WHOLE, key=SYSTEM) | GPT, PLAIN),
    row("openai-v2", OTEL + "openai_v2", gen_ai("openai", WHOLE, key=SYSTEM) | GPT, PLAIN),
    row(
        "traceloop-agno-sum",
        OTEL + "agno",
        gen_ai("openai", WHOLE, key=SYSTEM),
        PLAIN,
        DEFAULT,
        version="0.62.4",
    ),
    row(
        "traceloop-crewai-sum",
        OTEL + "crewai.instrumentation",
        gen_ai("crewai", WHOLE, key=SYSTEM),
        PLAIN,
        DEFAULT,
        version="0.36.0",
    ),
]


@pytest.mark.parametrize("case", FRAMEWORKS)
def test_framework_that_traces_itself_is_read_as_measured(case: Row) -> None:
    """Frameworks with spans of their own pass on what each API counts, or do not."""
    case.check()


@pytest.mark.parametrize("case", INSTRUMENTATIONS)
def test_instrumented_framework_is_read_as_measured(case: Row) -> None:
    """Instrumentations of frameworks are read by their rows."""
    case.check()


def test_two_families_on_one_span_are_one_usage() -> None:
    """A processor that adds OpenInference's names to a framework's span says the same thing again."""
    both = (
        gen_ai("openai", FRESH + READ)
        | GPT
        | openinference("openai", "gpt-5-mini", FRESH + READ, read=READ, reasoning=THOUGHT)
    )
    for scope in ("pydantic-ai", "strands.telemetry.tracer", "com.anthropic.sdk.python"):
        Row(scope, both, READ_REASONED).check()


def test_adk_litellm_without_double_reasoning_is_left_alone() -> None:
    """Where the output cannot have the reasoning twice, it is taken as it is."""
    Row(
        "gcp.vertex.agent",
        gen_ai("openai", FRESH, 30) | GPT | details(reasoning=20),
        Usage(input=FRESH, output=30, reasoning=20),
    ).check()


@pytest.mark.parametrize(
    ("scope", "readable", "detached"),
    [
        (OI + "langchain", "end", True),
        ("langsmith", "end", True),
        ("@mastra/otel-bridge", "end", False),
        (OI + "openai_agents", "start", False),
        ("pydantic-ai", "start", False),
        ("some.new.scope", "start", False),
    ],
)
def test_dialect_says_when_a_span_can_be_read(scope: str, readable: str, *, detached: bool) -> None:
    """Live and file agree since both follow the same column of the table."""
    row_of_scope = dialect_of({}, scope, "")
    assert (row_of_scope.readable, row_of_scope.detached) == (readable, detached)


SILENT: list[tuple[str, str, dict[str, Any]]] = [
    ("oi-dspy", OI + "dspy", {"openinference.span.kind": "LLM", "llm.model_name": "openai/gpt-5-mini"}),
    ("oi-crewai", OI + "crewai", {"openinference.span.kind": "AGENT", "graph.node.id": "Researcher"}),
    ("traceloop-haystack", OTEL + "haystack", {"gen_ai.system": "openai", "llm.request.type": "chat"}),
    ("autogen", "autogen-core", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "alpha"}),
    ("genai-agno", OTEL + "genai.agno", {"gen_ai.operation.name": "invoke_agent"}),
    ("llama-index-otel", "llamaindex.opentelemetry.tracer", {"llm.model": "gpt-5-mini"}),
    (
        "pydantic-ai@1.60-new-prices",
        "pydantic-ai",
        {"gen_ai.operation.name": "chat", "gen_ai.usage.details.reasoning_tokens": 64, "operation.cost": 0.0},
    ),
]


@pytest.mark.parametrize(
    ("scope", "attributes"), [case[1:] for case in SILENT], ids=[case[0] for case in SILENT]
)
def test_stack_without_usage_is_not_read(scope: str, attributes: dict[str, Any]) -> None:
    """Where a stack says nothing, nothing is made up."""
    assert read_usage(attributes, scope) is None
