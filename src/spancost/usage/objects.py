# SPDX-License-Identifier: Apache-2.0
"""
Usage objects in text: what a provider's API answered, recorded whole on a span.

MLflow, Langfuse, LangSmith and Logfire write them as JSON, LiteLLM as Python ``repr``. Each
provider's object has its own names and its own idea of what the input includes, and the names
tell which it is.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from spancost.usage.counts import Counts, count

LONGEST_TEXT: Final = 1_000_000
"""Longer text is a recorded body, not a usage object, and is not parsed."""

_REMEMBERED: Final = 65_536
"""Longer text is parsed every time, so that eight of them cost no memory worth speaking of."""

_CLOSED: Final = {"{": "}", "[": "]", '"': '"'}


def parse_object(text: object) -> Mapping[str, Any] | None:
    """Return the mapping in *text* (JSON or Python ``repr``), or None where there is none."""
    if isinstance(text, Mapping):
        return text
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        return None
    return _parse(text) if len(text) <= _REMEMBERED else _parse.__wrapped__(text)


@lru_cache(maxsize=8)
def _parse(text: str) -> Mapping[str, Any] | None:
    """Parse text once: the rules ask up to four times for the objects of one span."""
    text = text.strip()
    if not text or _CLOSED.get(text[0]) != text[-1]:
        return None
    found = _parse_json(text)
    if found is None and text[0] == "{":
        found = _parse_repr(text)
    if isinstance(found, str):  # JSON in JSON: MLflow quotes every attribute once more
        found = _parse_json(found)
    return found if isinstance(found, dict) else None


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse_repr(text: str) -> Any:
    # literal_eval reads literals only; it runs nothing. Its parser can still be driven out of
    # stack or memory by nesting, hence the two other exceptions.
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def counts_of_object(found: Mapping[str, Any]) -> Counts | None:
    """Return the counts of a provider's usage object, by whichever provider's names it has."""
    for read in (_gemini, _vercel, _bedrock, _cohere, _openai_chat, _input_output, _langfuse_buckets):
        counts = read(found)
        if counts is not None:
            return counts
    return None


def _first(found: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        number = count(found.get(key))
        if number is not None:
            return number
    return None


def _details(found: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    for key in keys:
        inner = found.get(key)
        if isinstance(inner, Mapping):
            return inner
    return {}


def _gemini(found: Mapping[str, Any]) -> Counts | None:
    """Gemini: cached tokens are inside the prompt, thoughts are beside the candidates."""
    prompt = _first(found, "promptTokenCount", "prompt_token_count")
    output = _first(found, "candidatesTokenCount", "candidates_token_count")
    if prompt is None and output is None:
        return None
    counts = Counts()
    # The tool-use prompt is billed as input and stands beside the prompt count.
    tool_use = _first(found, "toolUsePromptTokenCount", "tool_use_prompt_token_count") or 0
    counts.input = (prompt or 0) + tool_use
    counts.output = output or 0
    counts.cache_read = _first(found, "cachedContentTokenCount", "cached_content_token_count")
    counts.reasoning = _first(found, "thoughtsTokenCount", "thoughts_token_count")
    counts.total = _first(found, "totalTokenCount", "total_token_count")
    counts.input_has = "all"
    counts.output_has_reasoning = False
    counts.input_audio = _modality(found, "AUDIO", "promptTokensDetails", "prompt_tokens_details")
    counts.output_audio = _modality(found, "AUDIO", "candidatesTokensDetails", "candidates_tokens_details")
    counts.output_image = _modality(found, "IMAGE", "candidatesTokensDetails", "candidates_tokens_details")
    counts.cache_read_audio = _modality(found, "AUDIO", "cacheTokensDetails", "cache_tokens_details")
    return counts


def _modality(found: Mapping[str, Any], modality: str, *keys: str) -> int | None:
    for key in keys:
        rows = found.get(key)
        if isinstance(rows, list):
            for row in rows:
                if isinstance(row, Mapping) and row.get("modality") == modality:
                    return _first(row, "tokenCount", "token_count")
    return None


def _vercel(found: Mapping[str, Any]) -> Counts | None:
    """Read the AI SDK's own object: Bedrock's names for the totals, with cached tokens inside the input."""
    inner = _details(found, "inputTokenDetails")
    if not inner and "cachedInputTokens" not in found:
        return None
    counts = Counts()
    counts.input = _first(found, "inputTokens")
    counts.output = _first(found, "outputTokens")
    counts.cache_read = _first(inner, "cacheReadTokens")
    if counts.cache_read is None:
        counts.cache_read = _first(found, "cachedInputTokens")
    counts.cache_write = _first(inner, "cacheWriteTokens")
    counts.reasoning = _first(_details(found, "outputTokenDetails"), "reasoningTokens")
    if counts.reasoning is None:
        counts.reasoning = _first(found, "reasoningTokens")
    counts.total = _first(found, "totalTokens")
    if inner:
        counts.input_has = "all"  # before it had details the SDK passed on what the provider counts
    return counts


_BEDROCK_TOTALS: Final = ("inputTokens", "outputTokens", "inputTokenCount", "outputTokenCount")
_BEDROCK_CACHED: Final = ("cacheReadInputTokens", "cacheWriteInputTokens")


def _bedrock(found: Mapping[str, Any]) -> Counts | None:
    """Bedrock: three disjoint input counts, as Anthropic's; the AI SDK keeps the cached ones only."""
    if not any(key in found for key in (*_BEDROCK_TOTALS, *_BEDROCK_CACHED)):
        return None
    counts = Counts()
    counts.input = _first(found, "inputTokens", "inputTokenCount")
    counts.output = _first(found, "outputTokens", "outputTokenCount")
    counts.cache_read = _first(found, "cacheReadInputTokens", "cacheReadInputTokenCount")
    counts.cache_write = _first(found, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    counts.total = _first(found, "totalTokens", "totalTokenCount")
    counts.input_has = "none"
    rows = found.get("cacheDetails")
    if isinstance(rows, list):
        hours = [r for r in rows if isinstance(r, Mapping) and r.get("ttl") == "1h"]
        if hours:
            counts.cache_write_1h = sum(_first(r, "inputTokens") or 0 for r in hours)
    return counts


def _cohere(found: Mapping[str, Any]) -> Counts | None:
    """Cohere bills ``billed_units``; ``tokens`` beside them is larger and is not billed."""
    billed = found.get("billed_units")
    if not isinstance(billed, Mapping):
        return None
    counts = Counts()
    counts.input = _first(billed, "input_tokens")
    counts.output = _first(billed, "output_tokens")
    counts.search_units = _first(billed, "search_units")
    counts.input_has = "all"
    return counts if counts.present else None


def _openai_chat(found: Mapping[str, Any]) -> Counts | None:
    """OpenAI's chat names, used by most others too: cached tokens are inside the prompt."""
    if count(found.get("prompt_tokens")) is None and count(found.get("completion_tokens")) is None:
        return None
    counts = Counts()
    counts.input = _first(found, "prompt_tokens")
    counts.output = _first(found, "completion_tokens")
    counts.total = _first(found, "total_tokens")
    counts.input_has = "all"
    inner = _details(found, "prompt_tokens_details", "input_tokens_details", "prompt_token_details")
    counts.cache_read = _first(inner, "cached_tokens")
    if counts.cache_read is None:
        counts.cache_read = _first(found, *_CHAT_CACHE_READ)
    counts.cache_write = _first(inner, "cache_write_tokens", "cache_creation_tokens")
    if counts.cache_write is None:
        counts.cache_write = _first(found, "cache_creation_input_tokens", "cache_write_input_tokens")
    lifetimes = _details(inner, "cache_creation_token_details")
    counts.cache_write_1h = _first(lifetimes, "ephemeral_1h_input_tokens")
    counts.input_audio = _first(inner, "audio_tokens")
    counts.input_image = _first(inner, "image_tokens")
    _openai_output(counts, _details(found, "completion_tokens_details", "output_tokens_details"))
    if counts.reasoning is None:
        counts.reasoning = _first(found, "reasoning_tokens")
    _anthropic_served(counts, found)  # LiteLLM keeps these names in its object of OpenAI's form
    if "citation_tokens" in found or "num_search_queries" in found:
        counts.output_has_reasoning = False  # Perplexity counts reasoning beside the completion
    return counts


_CHAT_CACHE_READ: Final = (
    "cache_read_input_tokens",
    "prompt_cache_hit_tokens",  # DeepSeek
    "cached_prompt_text_tokens",  # xAI's gRPC API
    "num_cached_tokens",  # Mistral
    "cached_tokens",
)


def _openai_output(counts: Counts, inner: Mapping[str, Any]) -> None:
    counts.reasoning = _first(
        inner, "reasoning_tokens", "thinking_tokens", "reasoning", "priority_reasoning", "flex_reasoning"
    )
    counts.output_audio = _first(inner, "audio_tokens", "audio")
    counts.output_image = _first(inner, "image_tokens")


def _input_output(found: Mapping[str, Any]) -> Counts | None:
    """
    Read ``input_tokens`` and ``output_tokens``: Anthropic, OpenAI Responses, LangChain, and SDKs after them.

    Anthropic's three input counts are disjoint. The others keep cached tokens inside the input, and
    say so by writing the details one level down.
    """
    if count(found.get("input_tokens")) is None and count(found.get("output_tokens")) is None:
        return None
    counts = Counts()
    counts.input = _first(found, "input_tokens")
    counts.output = _first(found, "output_tokens")
    counts.total = _first(found, "total_tokens")
    inner = _details(found, "input_tokens_details", "input_token_details")
    if inner or "cached_input_tokens" in found:
        counts.input_has = "all"
    elif "cache_read_input_tokens" in found or "cache_creation_input_tokens" in found:
        counts.input_has = "none"
    _input_cached(counts, found, inner)
    counts.input_audio = _first(inner, "audio_tokens", "audio")
    counts.input_image = _first(inner, "image_tokens")
    _openai_output(counts, _details(found, "output_tokens_details", "output_token_details"))
    if counts.reasoning is None:
        counts.reasoning = _first(found, "reasoning_tokens", "reasoning_output_tokens")
    _anthropic_served(counts, found)
    return counts


def _anthropic_served(counts: Counts, found: Mapping[str, Any]) -> None:
    """Read what else Anthropic bills by: searches of its own tool, where it ran, and its fast mode."""
    counts.web_searches = web_searches_in(found)
    place = found.get("inference_geo")
    counts.region = place if isinstance(place, str) else None
    counts.tier = "fast" if found.get("speed") == "fast" else None


def web_searches_in(found: Mapping[str, Any]) -> int | None:
    """Return how often Anthropic's own tool searched the web, or None; fetching a page costs nothing."""
    return _first(_details(found, "server_tool_use"), "web_search_requests")


def searches_of_openai(found: Mapping[str, Any]) -> int | None:
    """Return how often OpenAI's own tool searched the web, by the ``tool_usage`` of an answer, or None."""
    return _first(_details(found, "web_search"), "num_requests")


def _input_cached(counts: Counts, found: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    counts.cache_read = _first(inner, "cached_tokens", "cache_read", *_TIER_CACHE_READ)
    counts.cache_write = _first(inner, "cache_write_tokens", "cache_creation")
    if counts.cache_read is None:
        counts.cache_read = _first(
            found, "cache_read_input_tokens", "cached_input_tokens", "cache_read_tokens"
        )
    if counts.cache_write is None:
        counts.cache_write = _first(
            found, "cache_creation_input_tokens", "cache_write_input_tokens", "cache_write_tokens"
        )
    # Anthropic's lifetimes; LangChain puts them among its details and then leaves the sum at 0.
    lifetimes = _details(found, "cache_creation") or inner
    counts.cache_write_1h = _first(lifetimes, "ephemeral_1h_input_tokens")
    _sum_lifetimes(counts, _first(lifetimes, "ephemeral_5m_input_tokens"))


def _sum_lifetimes(counts: Counts, short: int | None) -> None:
    if not counts.cache_write and (short or counts.cache_write_1h):
        counts.cache_write = (short or 0) + (counts.cache_write_1h or 0)


_TIER_CACHE_READ: Final = ("priority_cache_read", "flex_cache_read")
"""LangChain's names for cached tokens of a call in another tier than the default."""
_PARTS_ARE_INSIDE: Final = "priority"
"""Langfuse leaves the parts of this tier inside ``input`` and ``output``; all others it takes out."""


def _langfuse_buckets(found: Mapping[str, Any]) -> Counts | None:
    """
    Langfuse's disjoint buckets: ``input`` is what is left after every ``input_*``, ``output`` likewise.

    Cached and reasoning tokens have buckets of their own, so neither is inside the plain ones. Where
    LangChain gave a sum and its parts, both were taken out; the total shows the input that was.
    """
    if count(found.get("input")) is None and count(found.get("output")) is None:
        return None
    counts = Counts()
    counts.total = _first(found, "total")
    counts.cache_read = _first(
        found,
        "input_cache_read",
        "cache_read_input_tokens",
        "input_cached_tokens",
        "cache_read",
        *(f"input_{name}" for name in _TIER_CACHE_READ),
    )
    counts.cache_write = _first(
        found,
        "input_cache_creation",
        "cache_creation_input_tokens",
        "input_cache_write",
        "input_cache_write_tokens",
        "cache_write",
    )
    counts.cache_write_1h = _first(
        found, "input_ephemeral_1h_input_tokens", "cache_creation_ephemeral_1h_input_tokens"
    )
    _sum_lifetimes(counts, _first(found, "input_ephemeral_5m_input_tokens"))
    counts.reasoning = _first(
        found, "output_reasoning", "output_reasoning_tokens", "reasoning_tokens", *_TIER_REASONING
    )
    counts.input_audio = _first(found, "input_audio", "input_audio_tokens")
    counts.output_audio = _first(found, "output_audio", "output_audio_tokens")
    _sum_buckets(counts, found)
    return counts


_TIER_REASONING: Final = ("output_priority_reasoning", "output_flex_reasoning")


def _sum_buckets(counts: Counts, found: Mapping[str, Any]) -> None:
    """Add up what is neither cached nor reasoning, and say whether those stand beside it."""
    apart = not any(key.startswith(f"input_{_PARTS_ARE_INSIDE}") for key in found)
    counts.input_has, counts.output_has_reasoning = "none" if apart else "all", not apart
    counts.input, counts.output = _first(found, "input"), _first(found, "output")
    if counts.output is not None:
        counts.output += (counts.output_audio or 0) + (_first(found, "output_flex") or 0)
    if counts.input is not None:
        counts.input += (counts.input_audio or 0) + (_first(found, "input_flex") or 0)
        if apart and counts.total is not None and counts.output is not None:
            others = counts.output + (counts.reasoning or 0) + counts.cached()
            counts.input = max(counts.input, counts.total - others)
