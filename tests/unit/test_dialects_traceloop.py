# SPDX-License-Identifier: Apache-2.0
"""Client libraries traced by Traceloop's OpenLLMetry and by OpenInference: every measured row, old and new."""

from __future__ import annotations

import pytest

from spancost.usage import Usage
from tests.dialects import (
    ALL,
    CACHED,
    EMBEDDED,
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
)

OTEL = "opentelemetry.instrumentation."
OI = "openinference.instrumentation."
NEW, MIDDLE, OLD = "0.62.4", "0.47.5", "0.33.12"
SYSTEM = "gen_ai.system"
CLAUDE = "claude-sonnet-4-6"


def old(system: str, prompt: float, completion: float = OUT, **more: int) -> dict[str, object]:
    """Return the older names, as OpenLLMetry wrote them until 0.47."""
    found: dict[str, object] = {
        "llm.request.type": "chat",
        "gen_ai.system": system,
        "gen_ai.usage.prompt_tokens": prompt,
        "gen_ai.usage.completion_tokens": completion,
        "llm.usage.total_tokens": prompt + completion,
    }
    return found | {f"gen_ai.usage.{name}": value for name, value in more.items()}


TRACELOOP = [
    row(
        "openai",
        OTEL + "openai.v1",
        gen_ai("openai", FRESH + READ, reasoning_tokens=THOUGHT, total_tokens=FRESH + READ + OUT)
        | models("gpt-5.6", "gpt-5.6-sol")
        | details(read=READ)
        | {"openai.request.service_tier": "None"},
        READ_REASONED,
        version=NEW,
    ),
    row(
        "openai-on-openrouter-strips-the-vendor",
        OTEL + "openai.v1",
        gen_ai("openrouter", FRESH + READ)
        | models("claude-sonnet-4.6", "claude-sonnet-4.6")
        | details(read=READ),
        READ_ONLY,
        version=NEW,
    ),
    row(
        "openai-on-azure-writes-zero-reads",
        OTEL + "openai.v1",
        gen_ai("azure.ai.openai", FRESH) | models("my-deployment", "gpt-4o-2024-08-06") | details(read=0),
        FRESH_ONLY,
        version=NEW,
    ),
    row(
        "anthropic-sums-what-the-api-keeps-apart",
        OTEL + "anthropic",
        gen_ai("anthropic", WHOLE) | models(CLAUDE, CLAUDE) | details(read=READ, created=WRITE),
        CACHED,
        version=NEW,
    ),
    row(
        "bedrock-converse",
        OTEL + "bedrock",
        gen_ai("aws.bedrock", FRESH, total_tokens=FRESH + OUT)
        | models(CLAUDE)
        | details(read=READ, created=WRITE),
        CACHED,
        EXCLUSIVE,
        version=NEW,
    ),
    row(
        "bedrock-invoke-model-loses-the-cache",
        OTEL + "bedrock",
        gen_ai("aws.bedrock", FRESH, total_tokens=FRESH + OUT) | models(CLAUDE),
        FRESH_ONLY,
        EXCLUSIVE,
        version=NEW,
    ),
    row(
        "google-generativeai-shows-thoughts-in-its-total-only",
        OTEL + "google_generativeai",
        gen_ai("gcp.gen_ai", 859, 28, total_tokens=1017)
        | models("gemini-3-flash", "gemini-3-flash")
        | details(read=600),
        Usage(input=859, cache_read=600, output=158, reasoning=130),
        version="0.21.5",
        flags=("suspect",),
    ),
    row(
        "groq",
        OTEL + "groq",
        gen_ai("groq", FRESH + READ) | models("llama-3.3-70b", "llama-3.3-70b") | details(read=READ),
        READ_ONLY,
        version=NEW,
    ),
    row(
        "mistralai",
        OTEL + "mistralai",
        gen_ai("MistralAI", FRESH + READ, key=SYSTEM)
        | models("mistral-large", "mistral-large")
        | details(read=READ)
        | {"llm.usage.total_tokens": FRESH + READ + OUT},
        READ_ONLY,
        version=NEW,
    ),
    row(
        "cohere-bills-in-doubles",
        OTEL + "cohere",
        old("Cohere", 2406.0, 300.0),
        Usage(input=2406, output=300),
        version=NEW,
    ),
    row("ollama", OTEL + "ollama", gen_ai("Ollama", FRESH, key=SYSTEM), FRESH_ONLY, "default", version=NEW),
    row(
        "together",
        OTEL + "together",
        gen_ai("TogetherAI", FRESH, key=SYSTEM),
        FRESH_ONLY,
        "default",
        version=NEW,
    ),
    row(
        "voyageai-embeds",
        OTEL + "voyageai",
        {"gen_ai.system": "voyageai", "gen_ai.request.model": "voyage-3", "gen_ai.usage.input_tokens": FRESH},
        EMBEDDED,
        "default",
        version=NEW,
    ),
    row(
        "js-openai",
        "@traceloop/instrumentation-openai",
        gen_ai("openai", WHOLE) | models("gpt-5.6", "gpt-5.6-sol"),
        PLAIN,
        version="0.27.0",
    ),
    row(
        "js-anthropic-keeps-apart-what-its-python-sister-sums",
        "@traceloop/instrumentation-anthropic",
        gen_ai("anthropic", FRESH) | models(CLAUDE, CLAUDE) | details(read=READ, created=WRITE),
        CACHED,
        EXCLUSIVE,
        version="0.27.0",
    ),
    row("openai@0.33", OTEL + "openai.v1", old("OpenAI", WHOLE), PLAIN, version=OLD),
    row(
        "anthropic@0.33-with-underscores",
        OTEL + "anthropic",
        old("Anthropic", WHOLE, cache_read_input_tokens=READ, cache_creation_input_tokens=WRITE)
        | models(CLAUDE, CLAUDE),
        CACHED,
        version=OLD,
    ),
    row("groq@0.33", OTEL + "groq", old("Groq", WHOLE), PLAIN, version=OLD),
    row("cohere@0.33", OTEL + "cohere", old("Cohere", FRESH), FRESH_ONLY, version=OLD),
    row(
        "bedrock@0.33",
        OTEL + "bedrock",
        old("amazon", FRESH) | models("amazon.nova-pro-v1:0"),
        FRESH_ONLY,
        EXCLUSIVE,
        version=OLD,
    ),
    row(
        "openai-chat@0.47",
        OTEL + "openai.v1",
        old("openai", FRESH + READ, cache_read_input_tokens=READ, reasoning_tokens=THOUGHT),
        READ_REASONED,
        version=MIDDLE,
    ),
    row(
        "openai-responses@0.47",
        OTEL + "openai.v1",
        gen_ai("openai", FRESH + READ, key=SYSTEM, cache_read_input_tokens=READ),
        READ_ONLY,
        version=MIDDLE,
    ),
    row("azure@0.47", OTEL + "openai.v1", old("Azure", WHOLE), PLAIN, version=MIDDLE),
    row(
        "bedrock@0.47",
        OTEL + "bedrock",
        old("AWS", FRESH) | models(CLAUDE),
        FRESH_ONLY,
        EXCLUSIVE,
        version=MIDDLE,
    ),
    row("mistral@0.47", OTEL + "mistralai", old("MistralAI", WHOLE), PLAIN, version=MIDDLE),
]

OPENINFERENCE = [
    row(
        "openai",
        OI + "openai",
        openinference("openai", "gpt-5.6-sol", WHOLE, read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="0.1.66",
    ),
    row(
        "openai-audio",
        OI + "openai",
        openinference("openai", "gpt-4o-audio-preview", FRESH, audio=64),
        Usage(input=FRESH, input_audio=64, output=OUT),
        version="0.1.66",
    ),
    row(
        "openai-embedding",
        OI + "openai",
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "text-embedding-3-small",
            "llm.token_count.prompt": FRESH,
            "llm.token_count.total": FRESH,
        },
        EMBEDDED,
        version="0.1.66",
    ),
    row(
        "openai-on-openrouter-names-no-provider",
        OI + "openai",
        openinference(None, "anthropic/claude-sonnet-4.6", WHOLE, read=READ, write=WRITE),
        CACHED,
        version="0.1.66",
    ),
    row(
        "openai-calling-xai",
        OI + "openai",
        openinference("xai", "grok-4", FRESH, 9, reasoning=94, total=FRESH + 103),
        Usage(input=FRESH, output=103, reasoning=94),
        version="0.1.66",
    ),
    row("openai@0.1.18", OI + "openai", openinference("openai", "gpt-4o", WHOLE), PLAIN, version="0.1.18"),
    row(
        "anthropic",
        OI + "anthropic",
        openinference("anthropic", CLAUDE, WHOLE, read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="3.1.0",
    ),
    row(
        "anthropic@0.1.11",
        OI + "anthropic",
        openinference("anthropic", CLAUDE, FRESH),
        FRESH_ONLY,
        EXCLUSIVE,
        version="0.1.11",
    ),
    row(
        "anthropic@0.1.13-is-before-the-fix",
        OI + "anthropic",
        openinference("anthropic", CLAUDE, FRESH),
        FRESH_ONLY,
        EXCLUSIVE,
        version="0.1.13",
    ),
    row(
        "anthropic@0.1.14-has-the-fix",
        OI + "anthropic",
        openinference("anthropic", CLAUDE, WHOLE),
        PLAIN,
        version="0.1.14",
    ),
    row(
        "bedrock",
        OI + "bedrock",
        openinference("aws", "us.anthropic.claude-sonnet-4-5-v1:0", WHOLE, read=READ, write=WRITE),
        CACHED,
        version="0.1.61",
    ),
    row(
        "bedrock@0.1.16",
        OI + "bedrock",
        openinference("aws", CLAUDE, FRESH),
        FRESH_ONLY,
        EXCLUSIVE,
        version="0.1.16",
    ),
    row(
        "bedrock@0.1.17-is-before-the-fix",
        OI + "bedrock",
        openinference("aws", CLAUDE, FRESH),
        FRESH_ONLY,
        EXCLUSIVE,
        version="0.1.17",
    ),
    row(
        "bedrock@0.1.18-has-the-fix",
        OI + "bedrock",
        openinference("aws", CLAUDE, WHOLE),
        PLAIN,
        version="0.1.18",
    ),
    row(
        "google-genai-includes-the-tool-use-prompt",
        OI + "google_genai",
        openinference("google", "gemini-3-flash", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.4.14",
    ),
    row(
        "litellm",
        OI + "litellm",
        openinference("anthropic", "anthropic/" + CLAUDE, WHOLE, read=READ, write=WRITE, reasoning=THOUGHT)
        | {"llm.cost.total": 0.01},
        ALL,
        version="0.1.51",
    ),
    row(
        "litellm-has-completed-xai's-output",
        OI + "litellm",
        {
            "llm.provider": "xai",
            "llm.model_name": "xai/grok-4",
            "llm.token_count.prompt": FRESH,
            "llm.token_count.completion": OUT,
            "llm.token_count.completion_details.reasoning": THOUGHT,
        },
        Usage(input=FRESH, output=OUT, reasoning=THOUGHT),
        version="0.1.51",
    ),
    row(
        "groq",
        OI + "groq",
        openinference("groq", "openai/gpt-oss-120b", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="0.1.33",
    ),
    row(
        "mistralai",
        OI + "mistralai",
        openinference("mistralai", "mistral-large", WHOLE),
        PLAIN,
        version="2.2.2",
    ),
    row(
        "cohere-counts-raw-tokens-which-nobody-bills",
        OI + "cohere",
        openinference("cohere", "command-a-03-2025", 2935),
        Usage(input=2935, output=OUT),
        version="0.1.15",
        flags=("suspect",),
    ),
    row("ollama", OI + "ollama", openinference("ollama", "llama3.2", FRESH), FRESH_ONLY, version="0.1.13"),
    row(
        "together",
        OI + "together",
        openinference("together", "llama-3.3", FRESH),
        FRESH_ONLY,
        version="0.1.13",
    ),
    row(
        "js-openai",
        "@arizeai/openinference-instrumentation-openai",
        openinference("openai", "gpt-5.6-sol", FRESH + READ, read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="4.2.7",
    ),
    row(
        "js-anthropic",
        "@arizeai/openinference-instrumentation-anthropic",
        openinference("anthropic", CLAUDE, WHOLE, read=READ, write=WRITE),
        CACHED,
        version="0.2.8",
    ),
]


@pytest.mark.parametrize("case", TRACELOOP)
def test_openllmetry_is_read_as_measured(case: Row) -> None:
    """Traceloop's instrumentations are read by their rows, in each of the three measured releases."""
    case.check()


@pytest.mark.parametrize("case", OPENINFERENCE)
def test_openinference_is_read_as_measured(case: Row) -> None:
    """OpenInference's instrumentations are read by their rows, before and after the fix of the input."""
    case.check()
