# SPDX-License-Identifier: Apache-2.0
"""
The attribute keys that carry usage, by family.

A family is one vocabulary; old and new names of one thing stand in one tuple, in the order they are
tried. Families are never added to each other: a span that has two says the same thing twice.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Family(NamedTuple):
    """The keys of one vocabulary: totals, and the details that are parts of them."""

    name: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    total: tuple[str, ...]
    details: tuple[tuple[str, tuple[str, ...]], ...]


_G = "gen_ai.usage."
_OI = "llm.token_count."
_AI = "ai.usage."

GEN_AI: Final = Family(
    name="gen_ai",
    input=(_G + "input_tokens", _G + "prompt_tokens"),
    output=(_G + "output_tokens", _G + "completion_tokens"),
    total=(_G + "total_tokens", "llm.usage.total_tokens"),
    details=(
        (
            "cache_read",
            (
                _G + "cache_read.input_tokens",
                _G + "cache_read_input_tokens",
                _G + "cached_tokens",
                _G + "details.cache_read_tokens",
                _G + "details.cache_read_input_tokens",
                _G + "details.cached_tokens",
                _G + "details.cached_content_tokens",  # pydantic-ai 1.0 on Gemini
            ),
        ),
        (
            "cache_write",
            (
                _G + "cache_write.input_tokens",
                _G + "cache_creation.input_tokens",
                _G + "cache_creation_input_tokens",
                _G + "cache_write_input_tokens",
                _G + "details.cache_write_tokens",
                _G + "details.cache_creation_input_tokens",
            ),
        ),
        (
            "cache_write_1h",
            (
                "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
                _G + "cache_creation.1h_input_tokens",  # Mastra's exporter
            ),
        ),
        (
            "reasoning",
            (
                _G + "reasoning.output_tokens",
                _G + "reasoning_tokens",
                _G + "thinking_tokens",
                _G + "details.reasoning_tokens",
                _G + "details.thoughts_tokens",
            ),
        ),
        (
            "input_audio",
            (_G + "audio.input_tokens", _G + "audio_input_tokens", _G + "details.input_audio_tokens"),
        ),
        (
            "output_audio",
            (_G + "audio.output_tokens", _G + "audio_output_tokens", _G + "details.output_audio_tokens"),
        ),
        ("input_image", (_G + "image.input_tokens",)),
        ("output_image", (_G + "image.output_tokens",)),
        ("cache_read_audio", (_G + "audio.cache_read.input_tokens",)),
    ),
)

OPENINFERENCE: Final = Family(
    name="openinference",
    input=(_OI + "prompt",),
    output=(_OI + "completion",),
    total=(_OI + "total",),
    details=(
        ("cache_read", (_OI + "prompt_details.cache_read", _OI + "prompt_details.cache_input")),
        ("cache_write", (_OI + "prompt_details.cache_write",)),
        ("reasoning", (_OI + "completion_details.reasoning",)),
        ("input_audio", (_OI + "prompt_details.audio",)),
        ("output_audio", (_OI + "completion_details.audio",)),
    ),
)

VERCEL: Final = Family(
    name="vercel",
    input=(_AI + "inputTokens", _AI + "promptTokens", _AI + "tokens"),
    output=(_AI + "outputTokens", _AI + "completionTokens"),
    total=(_AI + "totalTokens",),
    details=(
        ("cache_read", (_AI + "inputTokenDetails.cacheReadTokens", _AI + "cachedInputTokens")),
        ("cache_write", (_AI + "inputTokenDetails.cacheWriteTokens",)),
        ("reasoning", (_AI + "outputTokenDetails.reasoningTokens", _AI + "reasoningTokens")),
    ),
)

CLAUDE_CODE: Final = Family(
    name="claude_code",
    input=("input_tokens",),
    output=("output_tokens",),
    total=(),
    details=(
        ("cache_read", ("cache_read_tokens",)),
        ("cache_write", ("cache_creation_tokens",)),
    ),
)

FAMILIES: Final = (GEN_AI, OPENINFERENCE, VERCEL)

OPENINFERENCE_ANTHROPIC: Final = "openinference.instrumentation.anthropic"
"""The scope that writes part of Anthropic's usage object into ``metadata``."""

LANGFUSE_TOOLS: Final = "langfuse.observation.metadata.tool_usage"
"""Where Langfuse puts what stands beside the usage in OpenAI's answers: how often tools were used."""

OBJECTS: Final = (
    "mlflow.chat.tokenUsage",
    "langfuse.observation.usage_details",
    "gen_ai.usage.raw",
    "langsmith.metadata.usage_metadata",
    "metadata.usage_object",
)
"""Attributes whose text is a usage object, whatever the scope."""
