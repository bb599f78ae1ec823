# SPDX-License-Identifier: Apache-2.0
"""Answers as Anthropic and Gemini write them, whole and as streams; OpenAI's are in `wire_openai`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.replies import Asked, Reply
    from spancost import Usage

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """All that goes into one answer, whichever API writes it."""

    asked: Asked
    reply: Reply
    usage: Usage
    id: str
    created: int

    @property
    def pieces(self) -> list[str]:
        """The text as it is streamed: a word at a time."""
        return re.findall(r"\S+\s*", self.reply.text)


class Event(NamedTuple):
    """One event of a stream, and whether it brings a piece of text."""

    data: bytes
    is_text: bool = False


def unnamed(data: JSON | str, *, is_text: bool = False) -> Event:
    """Return a server-sent event as OpenAI's chat completions and Gemini write it."""
    text = data if isinstance(data, str) else json.dumps(data)
    return Event(f"data: {text}\n\n".encode(), is_text)


def named(data: JSON, *, is_text: bool = False) -> Event:
    """Return a server-sent event as Anthropic and OpenAI's responses write it."""
    return Event(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode(), is_text)


# Anthropic messages


def message(answer: Answer) -> JSON:
    """Return an Anthropic message."""
    content: list[JSON] = []
    if answer.usage.reasoning:
        content.append({"type": "thinking", "thinking": "One step, then another.", "signature": "c2ln"})
    if answer.reply.text:
        content.append({"type": "text", "text": answer.reply.text})
    for number, tool in enumerate(answer.reply.tools):
        content.append(
            {
                "type": "tool_use",
                "id": _tool_id("toolu", answer, number),
                "name": tool.name,
                "input": dict(tool.arguments),
            }
        )
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.asked.answering_model,
        "content": content,
        "stop_reason": _stop_reason(answer),
        "stop_sequence": None,
        "usage": {**_message_input(answer.usage), **_message_output(answer.usage)},
    }


def message_events(answer: Answer) -> Iterator[Event]:
    """Yield an Anthropic message as a stream: its input at the start, its whole output at the end."""
    whole = message(answer)
    start = {**whole, "content": [], "stop_reason": None}
    start["usage"] = {**_message_input(answer.usage), "output_tokens": 1}
    yield named({"type": "message_start", "message": start})
    for index, block in enumerate(whole["content"]):
        yield from _block_events(answer, index, block)
    yield named(
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
            "usage": _message_output(answer.usage),
        }
    )
    yield named({"type": "message_stop"})


def _block_events(answer: Answer, index: int, block: JSON) -> Iterator[Event]:
    empty: JSON = {"text": "", "thinking": "", "signature": "", "input": {}}
    shell = {key: empty.get(key, value) if key != "type" else value for key, value in block.items()}
    yield named({"type": "content_block_start", "index": index, "content_block": shell})
    deltas: list[JSON]
    if block["type"] == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in answer.pieces]
    elif block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    for delta in deltas:
        yield named(
            {"type": "content_block_delta", "index": index, "delta": delta},
            is_text=delta["type"] == "text_delta",
        )
    yield named({"type": "content_block_stop", "index": index})


def _message_input(usage: Usage) -> JSON:
    """Return Anthropic's input counts: the cached ones beside the others."""
    return {
        "input_tokens": usage.input - usage.cache_read - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write - usage.cache_write_1h,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "service_tier": "standard",
    }


def _message_output(usage: Usage) -> JSON:
    output: JSON = {"output_tokens": usage.output}
    if usage.reasoning:
        output["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return output


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.reply.tools else "end_turn"


def message_cut(usage: Usage) -> Usage:
    """Return what a client knows of a message that broke off: the input, and the first token."""
    return replace(usage, output=1, reasoning=0)


# Gemini generateContent


def content(answer: Answer) -> JSON:
    """Return an answer of Gemini."""
    parts: list[JSON] = [{"text": answer.reply.text}] if answer.reply.text else []
    return _content(answer, parts + _function_calls(answer), answer.usage, "STOP")


def content_events(answer: Answer) -> Iterator[Event]:
    """Yield an answer of Gemini as a stream; every event has the usage up to there."""
    pieces = answer.pieces
    calls = _function_calls(answer)
    for number, piece in enumerate(pieces, 1):
        last = number == len(pieces) and not calls
        usage = answer.usage if last else content_cut(answer.usage, number)
        yield unnamed(_content(answer, [{"text": piece}], usage, "STOP" if last else None), is_text=True)
    if calls:
        yield unnamed(_content(answer, calls, answer.usage, "STOP"))


def _function_calls(answer: Answer) -> list[JSON]:
    return [
        {"functionCall": {"name": tool.name, "args": dict(tool.arguments)}} for tool in answer.reply.tools
    ]


def _content(answer: Answer, parts: list[JSON], usage: Usage, finish: str | None) -> JSON:
    candidate: JSON = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": _usage_metadata(usage),
        "modelVersion": answer.asked.answering_model,
        "responseId": answer.id,
    }


def _usage_metadata(usage: Usage) -> JSON:
    """Return Gemini's counts: the thoughts are beside the candidates, the cache is inside the prompt."""
    counts: JSON = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.input}],
    }
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read:
        counts["cachedContentTokenCount"] = usage.cache_read
        counts["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": usage.cache_read}]
    return counts


def content_cut(usage: Usage, pieces: int) -> Usage:
    """Return what Gemini says of usage after some pieces of text."""
    return replace(usage, output=min(usage.output, usage.reasoning + pieces))


def _tool_id(prefix: str, answer: Answer, number: int) -> str:
    return f"{prefix}_{answer.id.rpartition('_')[2].rpartition('-')[2]}_{number}"
