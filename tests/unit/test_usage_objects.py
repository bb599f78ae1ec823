# SPDX-License-Identifier: Apache-2.0
"""What each provider's API answers, recorded whole as JSON or Python text, whatever library recorded it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from spancost.usage import Usage, read_usage
from spancost.usage.objects import counts_of_object, parse_object
from tests.dialects import (
    ALL,
    CACHED,
    EXCLUSIVE,
    FRESH,
    INCLUSIVE,
    OUT,
    READ,
    READ_ONLY,
    READ_REASONED,
    THOUGHT,
    WHOLE,
    WRITE,
    Row,
)

BESIDE = Usage(input=FRESH + READ, cache_read=READ, output=OUT + THOUGHT, reasoning=THOUGHT)
OPENAI_CHAT = {
    "prompt_tokens": WHOLE,
    "completion_tokens": OUT,
    "total_tokens": WHOLE + OUT,
    "prompt_tokens_details": {"cached_tokens": READ, "cache_write_tokens": WRITE, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": THOUGHT,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
    },
}
OPENAI_RESPONSES = {
    "input_tokens": WHOLE,
    "input_tokens_details": {"cached_tokens": READ, "cache_write_tokens": WRITE},
    "output_tokens": OUT,
    "output_tokens_details": {"reasoning_tokens": THOUGHT},
    "total_tokens": WHOLE + OUT,
}
ANTHROPIC = {
    "input_tokens": FRESH,
    "cache_creation_input_tokens": WRITE,
    "cache_read_input_tokens": READ,
    "cache_creation": {"ephemeral_5m_input_tokens": WRITE, "ephemeral_1h_input_tokens": 0},
    "output_tokens": OUT,
    "server_tool_use": {"web_search_requests": 2},
    "service_tier": "standard",
}
GEMINI = {
    "promptTokenCount": FRESH + READ,
    "cachedContentTokenCount": READ,
    "candidatesTokenCount": OUT,
    "thoughtsTokenCount": THOUGHT,
    "totalTokenCount": FRESH + READ + OUT + THOUGHT,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": FRESH + READ}],
}
CONVERSE = {
    "inputTokens": FRESH,
    "outputTokens": OUT,
    "totalTokens": WHOLE + OUT,
    "cacheReadInputTokens": READ,
    "cacheWriteInputTokens": WRITE,
}
DEEPSEEK = {
    "prompt_tokens": FRESH + READ,
    "prompt_cache_hit_tokens": READ,
    "prompt_cache_miss_tokens": FRESH,
    "completion_tokens": OUT,
    "completion_tokens_details": {"reasoning_tokens": THOUGHT},
    "total_tokens": FRESH + READ + OUT,
}
XAI_CHAT = {
    "prompt_tokens": FRESH + READ,
    "completion_tokens": OUT,
    "total_tokens": FRESH + READ + OUT + THOUGHT,
    "prompt_tokens_details": {"cached_tokens": READ, "text_tokens": FRESH + READ},
    "completion_tokens_details": {"reasoning_tokens": THOUGHT},
}

OBJECTS = [
    ("openai-chat", OPENAI_CHAT, ALL, INCLUSIVE),
    (
        "openai-chat-audio",
        {
            "prompt_tokens": FRESH,
            "completion_tokens": OUT,
            "prompt_tokens_details": {"audio_tokens": 64, "cached_tokens": 0},
            "completion_tokens_details": {"audio_tokens": 100},
        },
        Usage(input=FRESH, input_audio=64, output=OUT, output_audio=100),
        INCLUSIVE,
    ),
    ("openai-responses", OPENAI_RESPONSES, ALL, INCLUSIVE),
    ("azure-as-openai", OPENAI_CHAT | {"prompt_filter_results": []}, ALL, INCLUSIVE),
    ("anthropic", ANTHROPIC, replace(CACHED, web_searches=2), EXCLUSIVE),
    (
        "anthropic-nulls",
        {
            "input_tokens": FRESH,
            "output_tokens": OUT,
            "cache_read_input_tokens": None,
            "cache_creation_input_tokens": None,
            "cache_creation": None,
        },
        Usage(input=FRESH, output=OUT),
        EXCLUSIVE,
    ),
    (
        "anthropic-writes-by-lifetime-only",
        ANTHROPIC
        | {
            "cache_creation_input_tokens": None,
            "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 150},
        },
        Usage(
            input=WHOLE, cache_read=READ, cache_write=WRITE, cache_write_1h=150, output=OUT, web_searches=2
        ),
        EXCLUSIVE,
    ),
    ("gemini", GEMINI, BESIDE, INCLUSIVE),
    (
        "gemini-python-names",
        {
            "prompt_token_count": FRESH + READ,
            "cached_content_token_count": READ,
            "candidates_token_count": OUT,
            "thoughts_token_count": THOUGHT,
        },
        BESIDE,
        INCLUSIVE,
    ),
    (
        "gemini-tool-use-prompt-is-input",
        {
            "promptTokenCount": FRESH,
            "toolUsePromptTokenCount": 250,
            "candidatesTokenCount": OUT,
            "totalTokenCount": FRESH + 250 + OUT,
        },
        Usage(input=FRESH + 250, output=OUT),
        INCLUSIVE,
    ),
    ("bedrock-converse", CONVERSE, CACHED, EXCLUSIVE),
    (
        "bedrock-converse-1h",
        CONVERSE | {"cacheDetails": [{"ttl": "1h", "inputTokens": 150}, {"ttl": "5m", "inputTokens": 50}]},
        Usage(input=WHOLE, cache_read=READ, cache_write=WRITE, cache_write_1h=150, output=OUT),
        EXCLUSIVE,
    ),
    (
        "bedrock-invocation-metrics",
        {
            "inputTokenCount": FRESH,
            "outputTokenCount": OUT,
            "cacheReadInputTokenCount": READ,
            "cacheWriteInputTokenCount": WRITE,
        },
        CACHED,
        EXCLUSIVE,
    ),
    (
        "cohere-bills-other-units",
        {
            "billed_units": {"input_tokens": 2406.0, "output_tokens": 300.0},
            "tokens": {"input_tokens": 2935, "output_tokens": 310},
            "cached_tokens": 2928,
        },
        Usage(input=2406, output=300),
        INCLUSIVE,
    ),
    (
        "cohere-bills-reranking-by-search-units",
        {"billed_units": {"search_units": 2.0}},
        Usage(search_units=2),
        INCLUSIVE,
    ),
    (
        "mistral",
        {
            "prompt_tokens": FRESH + READ,
            "completion_tokens": OUT,
            "prompt_tokens_details": {"cached_tokens": READ},
        },
        READ_ONLY,
        INCLUSIVE,
    ),
    (
        "mistral-flat",
        {"prompt_tokens": FRESH + READ, "completion_tokens": OUT, "num_cached_tokens": READ},
        READ_ONLY,
        INCLUSIVE,
    ),
    ("deepseek", DEEPSEEK, READ_REASONED, INCLUSIVE),
    ("xai-chat-counts-reasoning-beside", XAI_CHAT, BESIDE, INCLUSIVE),
    (
        "xai-grpc",
        {
            "prompt_tokens": FRESH + READ,
            "cached_prompt_text_tokens": READ,
            "completion_tokens": OUT,
            "reasoning_tokens": THOUGHT,
            "total_tokens": FRESH + READ + OUT + THOUGHT,
        },
        BESIDE,
        INCLUSIVE,
    ),
    (
        "groq",
        {
            "prompt_tokens": FRESH + READ,
            "completion_tokens": OUT,
            "queue_time": 0.01,
            "prompt_tokens_details": {"cached_tokens": READ},
        },
        READ_ONLY,
        INCLUSIVE,
    ),
    (
        "perplexity-counts-reasoning-beside",
        {
            "prompt_tokens": FRESH,
            "completion_tokens": OUT,
            "total_tokens": FRESH + OUT,
            "reasoning_tokens": THOUGHT,
            "citation_tokens": 40,
            "num_search_queries": 3,
        },
        Usage(input=FRESH, output=OUT + THOUGHT, reasoning=THOUGHT),
        INCLUSIVE,
    ),
    (
        "openrouter",
        OPENAI_CHAT | {"cost": 0.01, "is_byok": False, "cost_details": {"upstream_inference_cost": None}},
        ALL,
        INCLUSIVE,
    ),
    (
        "langchain-anthropic-sums-writes-by-lifetime",
        {
            "input_tokens": WHOLE,
            "output_tokens": OUT,
            "total_tokens": WHOLE + OUT,
            "input_token_details": {
                "cache_read": READ,
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 50,
                "ephemeral_1h_input_tokens": 150,
            },
        },
        Usage(input=WHOLE, cache_read=READ, cache_write=WRITE, cache_write_1h=150, output=OUT),
        INCLUSIVE,
    ),
    (
        "langchain-openai-priority",
        {
            "input_tokens": FRESH + READ,
            "output_tokens": OUT,
            "input_token_details": {"priority_cache_read": READ, "priority": FRESH},
            "output_token_details": {"priority_reasoning": THOUGHT, "priority": OUT - THOUGHT},
        },
        READ_REASONED,
        INCLUSIVE,
    ),
    (
        "langfuse-buckets",
        {
            "input": FRESH,
            "input_cache_read": READ,
            "input_cache_creation": WRITE,
            "output": OUT - THOUGHT,
            "output_reasoning": THOUGHT,
            "total": WHOLE + OUT,
        },
        ALL,
        EXCLUSIVE,
    ),
    (
        "langfuse-buckets-taken-out-twice",
        {
            "input": FRESH - WRITE,
            "input_cache_read": READ,
            "input_cache_creation": WRITE,
            "input_ephemeral_5m_input_tokens": WRITE,
            "output": OUT,
            "total": WHOLE + OUT,
        },
        CACHED,
        EXCLUSIVE,
    ),
    (
        "langfuse-buckets-of-priority-stay-inside",
        {
            "input": FRESH + READ,
            "input_priority_cache_read": READ,
            "input_priority": FRESH,
            "output": OUT,
            "output_priority_reasoning": THOUGHT,
            "total": FRESH + READ + OUT,
        },
        READ_REASONED,
        INCLUSIVE,
    ),
    (
        "langfuse-buckets-of-flex-are-taken-out",
        {
            "input": 0,
            "input_flex_cache_read": READ,
            "input_flex": FRESH,
            "output": 0,
            "output_flex_reasoning": THOUGHT,
            "output_flex": OUT - THOUGHT,
            "total": FRESH + READ + OUT,
        },
        READ_REASONED,
        EXCLUSIVE,
    ),
    (
        "langfuse-buckets-audio",
        {"input": FRESH, "input_audio": 64, "output": OUT, "output_audio": 100},
        Usage(input=FRESH + 64, input_audio=64, output=OUT + 100, output_audio=100),
        EXCLUSIVE,
    ),
    (
        "ai-sdk-6-object",
        {
            "inputTokens": WHOLE,
            "outputTokens": OUT,
            "inputTokenDetails": {"cacheReadTokens": READ, "cacheWriteTokens": WRITE},
            "outputTokenDetails": {"reasoningTokens": THOUGHT},
        },
        ALL,
        INCLUSIVE,
    ),
]


@pytest.mark.parametrize("write", [json.dumps, repr, lambda found: json.dumps(json.dumps(found)), dict])
@pytest.mark.parametrize(("name", "found", "usage", "rule"), OBJECTS, ids=[case[0] for case in OBJECTS])
def test_object_means_the_same_in_every_spelling(
    name: str, found: dict[str, Any], usage: Usage, rule: str, write: Any
) -> None:
    """A provider's object is known by its names, as JSON, as Python text, quoted twice, or as a mapping."""
    provider = {"xai": "xai", "deepseek": "deepseek"}.get(name.partition("-")[0], "")
    attributes = {"langfuse.observation.usage_details": write(found), "gen_ai.provider.name": provider}
    Row("langfuse-sdk", attributes, usage, rule).check()


def test_gemini_behind_an_openai_client_has_its_thoughts_in_the_total_only() -> None:
    """The OpenAI-compatible endpoint leaves thoughts out of the completion; the total has them, with doubt."""
    found = {"prompt_tokens": FRESH, "completion_tokens": OUT, "total_tokens": FRESH + OUT + THOUGHT}
    attributes = {
        "langfuse.observation.usage_details": json.dumps(found),
        "gen_ai.response.model": "gemini-3-flash",
    }
    usage = Usage(input=FRESH, output=OUT + THOUGHT, reasoning=THOUGHT)
    Row("langfuse-sdk", attributes, usage, flags=("suspect",)).check()


def test_multimodal_counts_of_gemini_are_parts() -> None:
    """Audio and image counts stand in lists by modality."""
    found = GEMINI | {
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 900},
            {"modality": "AUDIO", "tokenCount": 700},
        ],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 400}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 290}],
    }
    reading = read_usage({"llm.gemini.usageMetadata": repr(found)}, "litellm")
    assert reading is not None
    assert (reading.usage.input_audio, reading.usage.cache_read_audio, reading.usage.output_image) == (
        700,
        400,
        290,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[1, 2]",
        '"{"',
        "{'a': open('x')}",
        "{" * 5000,
        "[" * 99999 + "]" * 99999,
        "{'a': " * 500 + "1" + "}" * 500,
        7,
        None,
        b"{}",
    ],
)
def test_text_that_is_no_object_is_none(text: object) -> None:
    """Broken, hostile and foreign text is nothing, and is never run."""
    assert parse_object(text) is None


@pytest.mark.parametrize(
    "found",
    [{}, {"a": 1}, {"prompt_tokens": None}, {"input": "x"}, {"billed_units": {}}, {"billed_units": 3}],
)
def test_object_without_counts_is_none(found: dict[str, Any]) -> None:
    """An object of other things gives no counts."""
    assert counts_of_object(found) is None


def test_details_alone_are_no_usage() -> None:
    """An object that has cached counts only completes others; alone it is not the usage of a call."""
    attributes = {
        "ai.response.providerMetadata": json.dumps({"bedrock": {"usage": {"cacheWriteInputTokens": 5}}})
    }
    assert read_usage(attributes, "ai") is None
