# SPDX-License-Identifier: Apache-2.0
"""Client libraries traced by their own SDK or by OpenTelemetry's instrumentations: every measured row."""

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
    row,
)

OTEL = "opentelemetry.instrumentation."
OPENAI_V2 = OTEL + "openai_v2"
BOTOCORE = OTEL + "botocore.bedrock-runtime"
GPT = models("gpt-5.6", "gpt-5.6-sol")
CLAUDE = models("claude-sonnet-4-6", "claude-sonnet-4-6")
BEDROCK_CLAUDE = models("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
GEMINI = models("gemini-3-flash", "gemini-3-flash")
SYSTEM = "gen_ai.system"

NATIVE = [
    row(
        "anthropic-sdk-python-with-1h-split",
        "com.anthropic.sdk.python",
        gen_ai("anthropic", WHOLE)
        | CLAUDE
        | details(read=READ, write=WRITE, reasoning=THOUGHT)
        | {
            "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 50,
            "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 150,
        },
        Usage(
            input=WHOLE, cache_read=READ, cache_write=WRITE, cache_write_1h=150, output=OUT, reasoning=THOUGHT
        ),
        version="2.12.0",
    ),
    row(
        "anthropic-sdk-typescript-zeros-written",
        "com.anthropic.sdk.typescript",
        gen_ai("anthropic", FRESH) | CLAUDE | details(read=0, write=0),
        FRESH_ONLY,
        version="1.12.0",
    ),
    row(
        "mistral-sdk-mixes-old-and-new-names",
        "mistralai_sdk_tracer",
        {
            "gen_ai.provider.name": "mistral_ai",
            "gen_ai.request.model": "mistral-large-latest",
            "gen_ai.usage.prompt_tokens": WHOLE,
            "gen_ai.usage.output_tokens": OUT,
            "mistral_ai.request.total_tokens": WHOLE + OUT,
        },
        PLAIN,
    ),
]

OFFICIAL = [
    row(
        "genai-openai",
        OTEL + "genai.openai",
        gen_ai("openai", WHOLE) | GPT | details(read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="1.3b0",
    ),
    row(
        "genai-openai-audio-is-a-subset",
        OTEL + "genai.openai",
        gen_ai("openai", FRESH) | GPT | {"gen_ai.usage.audio.input_tokens": 64},
        Usage(input=FRESH, input_audio=64, output=OUT),
    ),
    row(
        "genai-openai-embeddings-have-no-output",
        OTEL + "genai.openai",
        {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": FRESH,
        },
        EMBEDDED,
    ),
    row(
        "genai-openai-calling-xai-adds-the-reasoning",
        OTEL + "genai.openai",
        gen_ai("openai", FRESH, 9) | models("grok-4", "grok-4") | details(reasoning=94),
        Usage(input=FRESH, output=103, reasoning=94),
    ),
    row(
        "genai-openai-calling-xai-with-less-reasoning-than-output",
        OTEL + "genai.openai",
        gen_ai("openai", FRESH, OUT)
        | models("grok-4", "grok-4")
        | details(reasoning=THOUGHT)
        | {"server.address": "api.x.ai"},
        Usage(input=FRESH, output=OUT + THOUGHT, reasoning=THOUGHT),
    ),
    row(
        "genai-openai-calling-grok-through-openrouter-has-it-inside",
        OTEL + "genai.openai",
        gen_ai("openai", FRESH, OUT)
        | models("x-ai/grok-4")
        | details(reasoning=THOUGHT)
        | {"server.address": "openrouter.ai"},
        Usage(input=FRESH, output=OUT, reasoning=THOUGHT),
    ),
    row(
        "genai-openai-calling-xai-responses-has-it-inside",
        OTEL + "genai.openai",
        gen_ai("openai", FRESH)
        | models("grok-4")
        | details(reasoning=THOUGHT)
        | {"openai.api.type": "responses"},
        Usage(input=FRESH, output=OUT, reasoning=THOUGHT),
    ),
    row("openai-v2", OPENAI_V2, gen_ai("openai", WHOLE, key=SYSTEM) | GPT, PLAIN),
    row("openai-v2@2.1b0", OPENAI_V2, gen_ai("openai", WHOLE, key=SYSTEM) | GPT, PLAIN),
    row(
        "openai-v2-exp",
        "opentelemetry.util.genai.handler",
        gen_ai("openai", WHOLE) | GPT,
        PLAIN,
        version="0.4b0",
    ),
    row(
        "genai-anthropic",
        OTEL + "genai.anthropic",
        gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, write=WRITE, reasoning=THOUGHT),
        ALL,
        version="1.3b0",
    ),
    row(
        "genai-bedrock",
        OTEL + "genai.bedrock",
        gen_ai("aws.bedrock", FRESH) | BEDROCK_CLAUDE | details(read=READ, write=WRITE),
        CACHED,
        EXCLUSIVE,
        version="1.3b0",
    ),
    row(
        "genai-bedrock-by-profile-arn",
        OTEL + "genai.bedrock",
        gen_ai("aws.bedrock", FRESH)
        | models("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc")
        | details(read=READ, write=WRITE),
        CACHED,
        EXCLUSIVE,
    ),
    row(
        "botocore-converse",
        BOTOCORE,
        gen_ai("aws.bedrock", FRESH, key=SYSTEM) | BEDROCK_CLAUDE | details(read=READ, created=WRITE),
        CACHED,
        EXCLUSIVE,
        version="0.66b2",
    ),
    row(
        "botocore-invoke-model-loses-the-cache",
        BOTOCORE,
        gen_ai("aws.bedrock", FRESH, key=SYSTEM) | BEDROCK_CLAUDE,
        FRESH_ONLY,
        EXCLUSIVE,
        version="0.66b2",
    ),
    row(
        "botocore@0.54b1",
        BOTOCORE,
        gen_ai("aws.bedrock", FRESH, key=SYSTEM) | BEDROCK_CLAUDE,
        FRESH_ONLY,
        EXCLUSIVE,
        version="0.54b1",
    ),
    row(
        "google-genai",
        OTEL + "google_genai",
        gen_ai("gemini", FRESH + READ)
        | GEMINI
        | details(read=READ, reasoning=THOUGHT)
        | {"gen_ai.usage.text.input_tokens": FRESH + READ, "gen_ai.usage.text.cache_read.input_tokens": READ},
        READ_REASONED,
        version="1.3b0",
    ),
    row(
        "google-genai-on-vertex",
        OTEL + "google_genai",
        gen_ai("vertex_ai", FRESH + READ) | GEMINI | details(read=READ, reasoning=THOUGHT),
        READ_REASONED,
        version="1.3b0",
    ),
    row(
        "google-genai@0.3b0-lacks-thoughts",
        OTEL + "google_genai",
        gen_ai("gemini", FRESH, key=SYSTEM) | models("gemini-2.5-flash"),
        FRESH_ONLY,
        version="0.3b0",
    ),
    row("vertexai", OTEL + "vertexai", gen_ai("vertex_ai", FRESH, key=SYSTEM) | GEMINI, FRESH_ONLY),
    row("vertexai-exp-names-no-provider", OTEL + "vertexai", gen_ai(None, FRESH) | GEMINI, FRESH_ONLY),
    row(
        "opentelemetry-js-openai-chat",
        "@opentelemetry/instrumentation-openai",
        gen_ai("openai", WHOLE, key=SYSTEM) | GPT,
        PLAIN,
        version="0.21.0",
    ),
    row(
        "opentelemetry-js-openai-responses",
        "@opentelemetry/instrumentation-openai",
        gen_ai("openai", WHOLE) | GPT,
        PLAIN,
        version="0.21.0",
    ),
    row(
        "elastic-js-openai",
        "@elastic/opentelemetry-instrumentation-openai",
        gen_ai("openai", WHOLE, key=SYSTEM) | GPT,
        PLAIN,
        version="0.5.1",
    ),
]

UNLISTED = [
    row(
        "unknown-scope-follows-the-conventions",
        "some.new.instrumentation",
        gen_ai("anthropic", WHOLE) | CLAUDE | details(read=READ, write=WRITE),
        CACHED,
        "default",
    ),
    row(
        "unknown-scope-whose-numbers-exclude-the-cache",
        "some.new.instrumentation",
        gen_ai("anthropic", 6) | CLAUDE | details(read=READ, write=WRITE),
        Usage(input=6 + READ + WRITE, cache_read=READ, cache_write=WRITE, output=OUT),
        "safety-net",
    ),
    row(
        "unknown-scope-whose-total-counts-the-cache-beside-the-input",
        "some.new.instrumentation",
        gen_ai("anthropic", FRESH, total_tokens=WHOLE + OUT) | CLAUDE | details(read=READ, write=WRITE),
        CACHED,
        "safety-net",
    ),
    row(
        "old-and-new-names-of-one-thing-are-one-thing",
        "some.new.instrumentation",
        gen_ai("openai", FRESH + READ, prompt_tokens=FRESH + READ, completion_tokens=OUT)
        | {"gen_ai.usage.cache_read_input_tokens": READ, "gen_ai.usage.cache_read.input_tokens": READ},
        READ_ONLY,
        "default",
    ),
]


@pytest.mark.parametrize("case", NATIVE)
def test_sdk_that_traces_itself_is_read_as_measured(case: Row) -> None:
    """What an SDK writes of its own calls is read by its row."""
    case.check()


@pytest.mark.parametrize("case", OFFICIAL)
def test_official_instrumentation_is_read_as_measured(case: Row) -> None:
    """OpenTelemetry's own instrumentations are read by their rows, whatever the conventions say."""
    case.check()


@pytest.mark.parametrize("case", UNLISTED)
def test_unknown_scope_is_read_by_the_conventions_unless_its_numbers_object(case: Row) -> None:
    """A scope without a row includes cached tokens in the input, until its own numbers exclude them."""
    case.check()
