# SPDX-License-Identifier: Apache-2.0
"""Answers as OpenAI writes them: chat completions, responses and embeddings, whole and as streams."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

from demo.wire import JSON, Answer, Event, named, unnamed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost import Usage

_FINGERPRINT = "fp_5bad0f1c"
_VECTOR = (0.25, -0.5, 0.75)


# Chat completions


def completion(answer: Answer) -> JSON:
    """Return a chat completion."""
    message: JSON = {"role": "assistant", "content": answer.reply.text or None, "refusal": None}
    if answer.reply.tools:
        message["tool_calls"] = _tool_calls(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_completion(answer, "chat.completion", [choice]), "usage": _completion_usage(answer.usage)}


def completion_events(answer: Answer) -> Iterator[Event]:
    """Yield a chat completion as a stream; the usage comes last, and only if it was asked for."""
    options = answer.asked.body.get("stream_options") or {}
    with_usage = bool(options.get("include_usage"))

    def chunk(delta: JSON, finish: str | None = None, *, is_text: bool = False) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        body = _completion(answer, "chat.completion.chunk", [choice])
        return unnamed({**body, "usage": None} if with_usage else body, is_text=is_text)

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in answer.pieces:
        yield chunk({"content": piece}, is_text=True)
    for index, call in enumerate(_tool_calls(answer)):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield chunk({}, _finish_reason(answer))
    if with_usage:
        body = _completion(answer, "chat.completion.chunk", [])
        yield unnamed({**body, "usage": _completion_usage(answer.usage)})
    yield unnamed("[DONE]")


def _completion(answer: Answer, kind: str, choices: list[JSON]) -> JSON:
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created,
        "model": answer.asked.answering_model,
        "service_tier": answer.asked.service_tier,
        "system_fingerprint": _FINGERPRINT,
        "choices": choices,
    }


def _tool_calls(answer: Answer) -> list[JSON]:
    return [
        {
            "id": _call_id(answer, number),
            "type": "function",
            "function": {"name": tool.name, "arguments": tool.json},
        }
        for number, tool in enumerate(answer.reply.tools)
    ]


def _call_id(answer: Answer, number: int) -> str:
    return f"call_{answer.id.rpartition('-')[2].rpartition('_')[2]}_{number}"


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.reply.tools else "stop"


def _completion_usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# Responses


def response(answer: Answer) -> JSON:
    """Return a response."""
    output: list[JSON] = []
    if answer.reply.text:
        text = {"type": "output_text", "text": answer.reply.text, "annotations": [], "logprobs": []}
        output.append(
            {
                "id": f"msg_{answer.id}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [text],
            }
        )
    for number, tool in enumerate(answer.reply.tools):
        output.append(
            {
                "id": f"fc_{answer.id}_{number}",
                "type": "function_call",
                "call_id": _call_id(answer, number),
                "name": tool.name,
                "arguments": tool.json,
                "status": "completed",
            }
        )
    return {**_response(answer, "completed", output), "usage": _response_usage(answer.usage)}


def response_events(answer: Answer) -> Iterator[Event]:
    """Yield a response as a stream; its last event has the whole of it, with the usage."""
    whole = response(answer)
    started = {**_response(answer, "in_progress", []), "usage": None}
    events: list[tuple[JSON, bool]] = [
        ({"type": "response.created", "response": started}, False),
        ({"type": "response.in_progress", "response": started}, False),
    ]
    for index, item in enumerate(whole["output"]):
        events += _item_events(answer, index, item)
    events.append(({"type": "response.completed", "response": whole}, False))
    for number, (event, is_text) in enumerate(events):
        yield named({**event, "sequence_number": number}, is_text=is_text)


def _item_events(answer: Answer, index: int, item: JSON) -> Iterator[tuple[JSON, bool]]:
    at: JSON = {"item_id": item["id"], "output_index": index}
    empty: JSON = {"content": []} if item["type"] == "message" else {"arguments": ""}
    opened = {**item, "status": "in_progress", **empty}
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}, False
    if item["type"] == "message":
        part = item["content"][0]
        at = {**at, "content_index": 0}
        yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}, False
        for piece in answer.pieces:
            yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}, True
        yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}, False
        yield {"type": "response.content_part.done", **at, "part": part}, False
    else:
        words = item["arguments"]
        yield {"type": "response.function_call_arguments.delta", **at, "delta": words}, False
        yield (
            {
                "type": "response.function_call_arguments.done",
                **at,
                "name": item["name"],
                "arguments": words,
            },
            False,
        )
    yield {"type": "response.output_item.done", "output_index": index, "item": item}, False


def _response(answer: Answer, status: str, output: list[JSON]) -> JSON:
    body = answer.asked.body
    return {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": None,
        "model": answer.asked.answering_model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": answer.asked.service_tier,
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "metadata": {},
    }


def _response_usage(usage: Usage) -> JSON:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


# Embeddings


def embeddings(answer: Answer) -> JSON:
    """Return embeddings: as many vectors as texts, of three numbers each."""
    texts = answer.asked.body.get("input")
    count = len(texts) if isinstance(texts, list) and texts and isinstance(texts[0], (str, list)) else 1
    vector: object = list(_VECTOR)
    if answer.asked.body.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<3f", *_VECTOR)).decode()
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)],
        "model": answer.asked.answering_model,
        "usage": {"prompt_tokens": answer.usage.input, "total_tokens": answer.usage.input},
    }
