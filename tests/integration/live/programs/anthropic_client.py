# SPDX-License-Identifier: Apache-2.0
"""The `anthropic` client, whose own spans stay on: messages, whole and streamed in both ways."""

from __future__ import annotations

import anthropic
import httpx2

from . import common

_FAST = {"api_key": "none", "max_retries": 1}
_TOOLS = [{"name": "helper", "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}}}]


def _asks(caller, text, *, ttl="5m", model="claude-sonnet-4-5"):
    prompt = {"type": "text", "text": f"[[{caller}]]", "cache_control": {"type": "ephemeral", "ttl": ttl}}
    return {
        "model": model,
        "max_tokens": 4_000,
        "system": [prompt],
        "messages": [{"role": "user", "content": text}],
    }


def client(provider):
    """Return the client as the scenario uses it."""
    sync = anthropic.Anthropic(base_url=provider.url, **_FAST)
    thinking = {"type": "enabled", "budget_tokens": 2_000}

    def create(caller, text):
        return sync.messages.create(**_asks(caller, text, ttl="1h"), thinking=thinking)

    def create_stream(caller, text):
        return [event.type for event in sync.messages.create(**_asks(caller, text), stream=True)]

    def stream(caller, text):
        with sync.messages.stream(**_asks(caller, text, model="claude-haiku-4-5")) as events:
            return events.get_final_text()

    def quit_create(caller, text):
        with sync.messages.create(**_asks(caller, text), stream=True) as events:
            return next(iter(events))

    def quit_stream(caller, text):
        with sync.messages.stream(**_asks(caller, text, model="claude-haiku-4-5")) as events:
            return next(iter(events))

    def work(caller, tool):
        asks = _asks(caller, "do it")
        said = sync.messages.create(**asks, tools=_TOOLS)
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": tool()}
            for block in said.content
            if block.type == "tool_use"
        ]
        said = {"role": "assistant", "content": said.model_dump(exclude_none=True)["content"]}
        asks["messages"] += [said, {"role": "user", "content": results}]
        return sync.messages.create(**asks, tools=_TOOLS)

    async def async_create(caller, text):
        async with anthropic.AsyncAnthropic(base_url=provider.url, **_FAST) as client:
            return await client.messages.create(**_asks(caller, text))

    async def async_stream(caller, text):
        async with (
            anthropic.AsyncAnthropic(base_url=provider.url, **_FAST) as client,
            client.messages.stream(**_asks(caller, text)) as events,
        ):
            return await events.get_final_text()

    return common.Client(
        [create, create_stream, stream, create],
        [async_create, async_stream],
        [quit_create, quit_stream],
        work,
        (anthropic.APIError, httpx2.TransportError),
    )


def run(provider):
    """Run the scenario."""
    common.run(client(provider))
