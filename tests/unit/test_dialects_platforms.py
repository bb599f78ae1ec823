# SPDX-License-Identifier: Apache-2.0
"""Client libraries traced by observability products, gateways and the AI SDK: every measured row, old and new."""

from __future__ import annotations

from typing import Any

import pytest

from spancost.usage import Usage
from tests.dialects import (
    ALL,
    CACHED,
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
    row,
    text,
)

SYSTEM = "gen_ai.system"
CLAUDE = models("claude-sonnet-4-6", "claude-sonnet-4-6")
GPT = models("gpt-5.6", "gpt-5.6-sol")
GEMINI = models("gemini-3-flash", "gemini-3-flash")
THOUGHTS_ADDED = Usage(input=FRESH + READ, cache_read=READ, output=OUT + THOUGHT, reasoning=THOUGHT)

LIT = "openlit.instrumentation."
OPENLIT = [
    row(
        "openai",
        LIT + "openai",
        gen_ai("openai", WHOLE, reasoning_tokens=THOUGHT)
        | GPT
        | details(read=READ, created=WRITE)
        | {"gen_ai.client.token.usage": WHOLE + OUT},
        ALL,
    ),
    row(
        "anthropic",
        LIT + "anthropic",
        gen_ai("anthropic", FRESH) | CLAUDE | details(read=READ, created=WRITE),
        CACHED,
        EXCLUSIVE,
    ),
    row(
        "anthropic-stream-loses-the-cache",
        LIT + "anthropic",
        gen_ai("anthropic", FRESH) | CLAUDE | details(read=0, created=0),
        FRESH_ONLY,
        EXCLUSIVE,
    ),
    row(
        "bedrock",
        LIT + "bedrock",
        gen_ai("aws.bedrock", FRESH) | CLAUDE | details(read=READ, created=WRITE),
        CACHED,
        EXCLUSIVE,
    ),
    row(
        "google-ai-studio",
        LIT + "google_ai_studio",
        gen_ai("gemini", FRESH + READ, reasoning_tokens=THOUGHT) | GEMINI | details(read=READ, created=0),
        THOUGHTS_ADDED,
    ),
    row(
        "cohere-has-more-cached-than-billed",
        LIT + "cohere",
        gen_ai("cohere", 2406.0, 300.0) | models("command-a-03-2025") | details(read=2928.0, created=0.0),
        Usage(input=2406, output=300),
        flags=("suspect",),
    ),
    row(
        "groq",
        LIT + "groq",
        gen_ai("groq", FRESH + READ) | models("llama-3.3-70b") | details(read=READ, created=0),
        READ_ONLY,
    ),
    row(
        "ollama",
        LIT + "ollama",
        gen_ai("ollama", FRESH) | models("llama3.2") | details(read=0, created=0),
        FRESH_ONLY,
    ),
    row(
        "openai@1.33",
        "openlit",
        gen_ai("openai", WHOLE, key=SYSTEM, total_tokens=WHOLE + OUT) | models("gpt-4o"),
        PLAIN,
    ),
    row(
        "anthropic@1.33",
        "openlit",
        gen_ai("anthropic", FRESH, key=SYSTEM, total_tokens=FRESH + OUT) | models("claude-sonnet-4-5"),
        FRESH_ONLY,
        EXCLUSIVE,
    ),
]

GENAI_OTEL = "genai_otel.instrumentors.base"
GENAI_OTEL_ROWS = [
    row(
        "openai",
        GENAI_OTEL,
        gen_ai("openai", FRESH + READ) | GPT | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
    ),
    row(
        "openai-stream-counts-chunks-elsewhere",
        "genai_otel.instrumentors.openai_instrumentor",
        gen_ai("openai", WHOLE) | GPT | {"gen_ai.streaming.token_count": 17},
        PLAIN,
    ),
    row(
        "anthropic-writes-the-same-number-twice",
        GENAI_OTEL,
        gen_ai("anthropic", FRESH)
        | models("claude-sonnet-4-6")
        | details(read=READ, write=WRITE, created=WRITE),
        CACHED,
        EXCLUSIVE,
    ),
    row(
        "bedrock",
        GENAI_OTEL,
        gen_ai("aws_bedrock", FRESH) | models("us.anthropic.claude-sonnet-4-5-v1:0"),
        FRESH_ONLY,
        EXCLUSIVE,
    ),
    row(
        "google",
        GENAI_OTEL,
        gen_ai("google", FRESH + READ) | models("gemini-3-flash") | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
    ),
    row(
        "claude-through-an-openai-client-counts-as-openai-does",
        GENAI_OTEL,
        gen_ai("openrouter", FRESH + READ) | models("anthropic/claude-sonnet-4.6") | details(read=READ),
        READ_ONLY,
    ),
]

LANGTRACE = "langtrace_python_sdk.instrumentation."
LANGTRACE_ROWS = [
    row(
        "openai",
        LANGTRACE + "openai.instrumentation",
        gen_ai("openai", FRESH + READ, key=SYSTEM, cached_tokens=READ, total_tokens=FRESH + READ + OUT) | GPT,
        READ_ONLY,
    ),
    row(
        "openai-responses-has-an-operation-of-its-own",
        LANGTRACE + "openai.instrumentation",
        gen_ai("openai", WHOLE, key=SYSTEM) | GPT | {"gen_ai.operation.name": "openai.responses.create"},
        PLAIN,
    ),
    row(
        "anthropic",
        LANGTRACE + "anthropic.instrumentation",
        gen_ai("anthropic", FRESH, key=SYSTEM, total_tokens=FRESH + OUT) | CLAUDE,
        FRESH_ONLY,
        EXCLUSIVE,
    ),
    row(
        "bedrock-claude",
        LANGTRACE + "aws_bedrock.instrumentation",
        gen_ai("anthropic", FRESH, key=SYSTEM) | models("anthropic.claude-sonnet-4-5-v1:0"),
        FRESH_ONLY,
        EXCLUSIVE,
    ),
    row(
        "bedrock-nova",
        LANGTRACE + "aws_bedrock.instrumentation",
        gen_ai("amazon", FRESH, key=SYSTEM) | models("amazon.nova-pro-v1:0"),
        FRESH_ONLY,
        EXCLUSIVE,
    ),
    row(
        "cohere",
        LANGTRACE + "cohere.instrumentation",
        gen_ai("cohere", 2406, key=SYSTEM) | models("command-a"),
        Usage(input=2406, output=OUT),
    ),
    row(
        "groq",
        LANGTRACE + "groq.instrumentation",
        gen_ai("groq", FRESH, key=SYSTEM) | models("llama-3.3-70b"),
        FRESH_ONLY,
    ),
    row(
        "deepseek",
        LANGTRACE + "openai.instrumentation",
        gen_ai("deepseek", FRESH + READ, key=SYSTEM, cached_tokens=READ) | models("deepseek-chat"),
        READ_ONLY,
    ),
    row(
        "gemini-writes-candidates-only",
        LANGTRACE + "google_genai.instrumentation",
        gen_ai("google_genai", FRESH, key=SYSTEM, total_tokens=FRESH + OUT) | GEMINI,
        FRESH_ONLY,
    ),
]

RAW_CLAUDE = {
    "input_tokens": FRESH,
    "cache_read_input_tokens": READ,
    "cache_creation_input_tokens": WRITE,
    "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150},
    "output_tokens": OUT,
    "service_tier": "standard",
}
WITH_HOUR = Usage(input=WHOLE, cache_read=READ, cache_write=WRITE, cache_write_1h=150, output=OUT)
RAW_GPT = {
    "prompt_tokens": WHOLE,
    "completion_tokens": OUT,
    "total_tokens": WHOLE + OUT,
    "prompt_tokens_details": {"cached_tokens": READ, "cache_write_tokens": WRITE},
    "completion_tokens_details": {"reasoning_tokens": THOUGHT},
}
LITELLM = [
    row("openai", "litellm", gen_ai("openai", WHOLE, key=SYSTEM, total_tokens=WHOLE + OUT) | GPT, PLAIN),
    row(
        "experimental-with-details",
        "litellm",
        gen_ai("anthropic", WHOLE, key=SYSTEM, total_tokens=WHOLE + OUT)
        | CLAUDE
        | details(read=READ, created=WRITE),
        CACHED,
    ),
    row(
        "details-only-in-a-repr",
        "litellm",
        gen_ai("openai", WHOLE, key=SYSTEM) | GPT | {"metadata.usage_object": repr(RAW_GPT)},
        ALL,
    ),
    row(
        "bedrock-is-inclusive-here",
        "litellm",
        gen_ai("bedrock", WHOLE, key=SYSTEM) | CLAUDE | details(read=READ, created=WRITE),
        CACHED,
    ),
    row(
        "raw-anthropic-repr",
        "litellm",
        {"llm.anthropic.usage": repr(RAW_CLAUDE), "llm.anthropic.model": "claude-sonnet-4-6"},
        WITH_HOUR,
        EXCLUSIVE,
    ),
    row(
        "raw-gemini-repr-lacks-thoughts",
        "litellm",
        {
            "llm.gemini.usageMetadata": repr(
                {
                    "promptTokenCount": FRESH + READ,
                    "cachedContentTokenCount": READ,
                    "candidatesTokenCount": OUT,
                    "thoughtsTokenCount": THOUGHT,
                    "totalTokenCount": FRESH + READ + OUT + THOUGHT,
                }
            )
        },
        THOUGHTS_ADDED,
    ),
    row(
        "xai-is-completed",
        "litellm",
        gen_ai("xai", FRESH, 103, key=SYSTEM, reasoning_tokens=94) | models("grok-4"),
        Usage(input=FRESH, output=103, reasoning=94),
    ),
    row(
        "anthropic@1.74-has-reads-inside-and-writes-outside",
        "litellm",
        {
            "gen_ai.system": "anthropic",
            "gen_ai.usage.prompt_tokens": 6 + 1069,
            "gen_ai.usage.completion_tokens": OUT,
            "gen_ai.usage.cache_read_input_tokens": 1069,
            "gen_ai.usage.cache_creation_input_tokens": 85,
        }
        | models("claude-sonnet-4-5"),
        Usage(input=1160, cache_read=1069, cache_write=85, output=OUT),
        EXCLUSIVE,
    ),
    row(
        "openai@1.74",
        "litellm",
        {
            "gen_ai.system": "openai",
            "gen_ai.usage.prompt_tokens": WHOLE,
            "gen_ai.usage.completion_tokens": OUT,
        },
        PLAIN,
    ),
]


def langfuse(usage: dict[str, Any], model: str = "gpt-5.6-sol") -> dict[str, Any]:
    """Return a generation as Langfuse's SDK writes it."""
    return {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": model,
        "langfuse.observation.usage_details": text(usage),
    }


LANGFUSE = [
    row("openai-wrapper", "langfuse-sdk", langfuse(RAW_GPT), ALL, version="5.0.4"),
    row("openai-wrapper@3.2", "langfuse-sdk", langfuse(RAW_GPT), ALL, version="3.2.1"),
    row(
        "openai-wrapper-embedding",
        "langfuse-sdk",
        langfuse({"input": FRESH}),
        Usage(input=FRESH),
        EXCLUSIVE,
        version="5.0.4",
    ),
    row(
        "by-hand",
        "langfuse-sdk",
        langfuse(
            {
                "input": FRESH,
                "output": OUT,
                "cache_read_input_tokens": READ,
                "cache_creation_input_tokens": WRITE,
            },
            "claude-sonnet-4-6",
        ),
        CACHED,
        EXCLUSIVE,
        version="5.0.4",
    ),
    row(
        "raw-anthropic-by-hand",
        "langfuse-sdk",
        langfuse(RAW_CLAUDE, "claude-sonnet-4-6"),
        WITH_HOUR,
        EXCLUSIVE,
        version="5.0.4",
    ),
]

LOGFIRE = [
    row(
        "openai",
        "logfire.openai",
        gen_ai("openai", WHOLE) | GPT | {"gen_ai.usage.raw": text(RAW_GPT), "operation.cost": 0.01},
        ALL,
        version="5.2.0",
    ),
    row(
        "anthropic-sums-and-keeps-the-raw-object",
        "logfire.anthropic",
        gen_ai("anthropic", WHOLE) | CLAUDE | {"gen_ai.usage.raw": text(RAW_CLAUDE)},
        WITH_HOUR,
        version="5.2.0",
    ),
    row(
        "anthropic@4.30-is-before-the-fix",
        "logfire.anthropic",
        gen_ai("anthropic", FRESH) | CLAUDE | {"response_data": text({"usage": RAW_CLAUDE})},
        WITH_HOUR,
        EXCLUSIVE,
        version="4.30.0",
    ),
    row(
        "anthropic@4.31-has-the-fix",
        "logfire.anthropic",
        gen_ai("anthropic", WHOLE) | CLAUDE | {"response_data": text({"usage": RAW_CLAUDE})},
        WITH_HOUR,
        version="4.31.0",
    ),
    row(
        "openai@3.14",
        "logfire.openai",
        {
            "request_data": text({"model": "gpt-4o"}),
            "response_data": text({"usage": RAW_GPT}),
            "logfire.metrics": text({"operation.cost": {"total": 9}}),
        },
        ALL,
        version="3.14.0",
    ),
    row(
        "anthropic@3.14",
        "logfire.anthropic",
        {"request_data": text({"model": "claude-sonnet-4-5"}), "response_data": text({"usage": RAW_CLAUDE})},
        WITH_HOUR,
        EXCLUSIVE,
        version="3.14.0",
    ),
]

MLFLOW = "mlflow.tracing.provider"


def mlflow(provider: str, model: str, usage: dict[str, int], **more: str) -> dict[str, str]:
    """Return a span as MLflow writes it: every string quoted once more."""
    return {
        "mlflow.spanType": text("CHAT_MODEL"),
        "mlflow.llm.provider": text(provider),
        "mlflow.llm.model": text(model),
        "mlflow.chat.tokenUsage": text(usage),
    } | {f"mlflow.{name}": text(value) for name, value in more.items()}


SUMMED = {
    "input_tokens": WHOLE,
    "output_tokens": OUT,
    "total_tokens": WHOLE + OUT,
    "cache_read_input_tokens": READ,
    "cache_creation_input_tokens": WRITE,
}
MLFLOW_ROWS = [
    row(
        "openai",
        MLFLOW,
        mlflow(
            "openai",
            "gpt-5.6-sol",
            {
                "input_tokens": FRESH + READ,
                "output_tokens": OUT,
                "total_tokens": FRESH + READ + OUT,
                "cache_read_input_tokens": READ,
            },
        ),
        READ_ONLY,
    ),
    row("anthropic-is-inclusive-here", MLFLOW, mlflow("anthropic", "claude-sonnet-4-6", SUMMED), CACHED),
    row(
        "bedrock-takes-its-provider-from-the-model-id",
        MLFLOW,
        mlflow("us", "us.anthropic.claude-sonnet-4-5-v1:0", SUMMED)
        | {"mlflow.message.format": text("bedrock")},
        CACHED,
    ),
    row(
        "gemini-shows-thoughts-in-its-total-only",
        MLFLOW,
        mlflow(
            "gemini",
            "gemini-3-flash",
            {"input_tokens": FRESH, "output_tokens": OUT, "total_tokens": FRESH + OUT + THOUGHT},
        ),
        Usage(input=FRESH, output=OUT + THOUGHT, reasoning=THOUGHT),
    ),
    row("semconv-mode-drops-the-cache", MLFLOW, gen_ai("anthropic", WHOLE) | CLAUDE, PLAIN),
]


def vercel(
    provider: str, model: dict[str, str], inputs: int, outputs: int = OUT, **more: int
) -> dict[str, Any]:
    """Return a provider call of the AI SDK 5, 6 or 7-legacy; keys of *more* are below ``ai.usage.``."""
    return (
        gen_ai(provider, inputs, outputs, key=SYSTEM)
        | model
        | {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": provider}
        | {f"ai.usage.{name.replace('__', '.')}": value for name, value in more.items()}
    )


DETAILS = {
    "inputTokenDetails__noCacheTokens": FRESH,
    "inputTokenDetails__cacheReadTokens": READ,
    "inputTokenDetails__cacheWriteTokens": WRITE,
}
VERCEL = [
    row("7", "gen_ai", gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, created=WRITE), CACHED),
    row(
        "7-with-usage-option",
        "gen_ai",
        gen_ai("openai", FRESH + READ)
        | GPT
        | details(read=READ)
        | {
            "ai.usage.outputTokenDetails.reasoningTokens": THOUGHT,
            "ai.usage.inputTokens": FRESH + READ,
            "ai.usage.outputTokens": OUT,
        },
        READ_REASONED,
    ),
    row(
        "6-openai",
        "ai",
        vercel(
            "openai.responses",
            GPT,
            WHOLE,
            inputTokens=WHOLE,
            outputTokens=OUT,
            reasoningTokens=THOUGHT,
            **DETAILS,
        ),
        ALL,
    ),
    row(
        "6-anthropic-is-inclusive",
        "ai",
        vercel("anthropic.messages", CLAUDE, WHOLE, inputTokens=WHOLE, outputTokens=OUT, **DETAILS),
        CACHED,
    ),
    row(
        "6-google-is-complete",
        "ai",
        vercel(
            "google.generative-ai",
            GEMINI,
            WHOLE,
            inputTokens=WHOLE,
            outputTokens=OUT,
            reasoningTokens=THOUGHT,
            **DETAILS,
        ),
        ALL,
    ),
    row(
        "5-openai-not-streamed",
        "ai",
        vercel("openai.chat", GPT, WHOLE, promptTokens=WHOLE, completionTokens=OUT),
        PLAIN,
    ),
    row(
        "5-openai-streamed",
        "ai",
        vercel(
            "openai.chat",
            GPT,
            FRESH + READ,
            inputTokens=FRESH + READ,
            outputTokens=OUT,
            cachedInputTokens=READ,
            reasoningTokens=THOUGHT,
        ),
        READ_REASONED,
    ),
    row(
        "5-anthropic-streamed-is-exclusive",
        "ai",
        vercel(
            "anthropic.messages", CLAUDE, FRESH, inputTokens=FRESH, outputTokens=OUT, cachedInputTokens=READ
        ),
        READ_ONLY,
        EXCLUSIVE,
    ),
    row(
        "5-anthropic-keeps-writes-in-metadata",
        "ai",
        vercel("anthropic.messages", CLAUDE, FRESH, promptTokens=FRESH, completionTokens=OUT)
        | {"ai.response.providerMetadata": text({"anthropic": {"usage": RAW_CLAUDE}})},
        WITH_HOUR,
        EXCLUSIVE,
    ),
    row(
        "5-google-excludes-thoughts",
        "ai",
        vercel(
            "google.generative-ai",
            GEMINI,
            FRESH + READ,
            inputTokens=FRESH + READ,
            outputTokens=OUT,
            cachedInputTokens=READ,
            reasoningTokens=THOUGHT,
        ),
        THOUGHTS_ADDED,
    ),
    row(
        "5-bedrock-is-exclusive",
        "ai",
        vercel("amazon-bedrock", CLAUDE, FRESH, inputTokens=FRESH, outputTokens=OUT, cachedInputTokens=READ)
        | {"ai.response.providerMetadata": text({"bedrock": {"usage": {"cacheWriteInputTokens": WRITE}}})},
        CACHED,
        EXCLUSIVE,
    ),
    row(
        "5-claude-on-openrouter-counts-as-openai-does",
        "ai",
        vercel(
            "openrouter",
            models("anthropic/claude-sonnet-4.6"),
            FRESH + READ,
            inputTokens=FRESH + READ,
            outputTokens=OUT,
            cachedInputTokens=READ,
        ),
        READ_ONLY,
    ),
    row(
        "5-openai-metadata",
        "ai",
        vercel("openai.chat", GPT, FRESH + READ)
        | {
            "ai.response.providerMetadata": text(
                {"openai": {"cachedPromptTokens": READ, "reasoningTokens": THOUGHT}}
            )
        },
        READ_REASONED,
    ),
]


@pytest.mark.parametrize("case", OPENLIT + GENAI_OTEL_ROWS + LANGTRACE_ROWS)
def test_observability_sdk_is_read_as_measured(case: Row) -> None:
    """OpenLIT, genai-otel-instrument and Langtrace pass on what each API counts, each in its own way."""
    case.check()


@pytest.mark.parametrize("case", LITELLM)
def test_litellm_is_read_as_measured(case: Row) -> None:
    """LiteLLM includes everything, save for one old release and the raw copies of what a provider said."""
    case.check()


@pytest.mark.parametrize("case", LANGFUSE + LOGFIRE + MLFLOW_ROWS)
def test_usage_in_json_text_is_read_as_measured(case: Row) -> None:
    """Langfuse, Logfire and MLflow write a usage object as text; each means something else by it."""
    case.check()


@pytest.mark.parametrize("case", VERCEL)
def test_ai_sdk_is_read_as_measured(case: Row) -> None:
    """The AI SDK's versions share a scope without a version and are told apart by what they write."""
    case.check()
