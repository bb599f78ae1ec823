# SPDX-License-Identifier: Apache-2.0
"""The `openai` client: chat completions, responses and embeddings, whole and streamed."""

from __future__ import annotations

import httpx2
import openai

from . import common

_FAST = {"api_key": "none", "max_retries": 1}
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "helper",
            "parameters": {"type": "object", "properties": {"input": {"type": "string"}}},
        },
    }
]


def _messages(caller, text):
    return [{"role": "system", "content": f"[[{caller}]]"}, {"role": "user", "content": text}]


def client(provider):  # noqa: C901 - one small function a way to call it
    """Return the client as the scenario uses it."""
    sync = openai.OpenAI(base_url=provider.openai_url, **_FAST)

    def chat(caller, text):
        return sync.chat.completions.create(model="gpt-5-mini", messages=_messages(caller, text))

    def chat_stream(caller, text):
        chunks = sync.chat.completions.create(
            model="gpt-5.2",
            messages=_messages(caller, text),
            stream=True,
            stream_options={"include_usage": True},
            service_tier="priority",
        )
        return [chunk.choices for chunk in chunks]

    def response(caller, text):
        return sync.responses.create(model="gpt-5", instructions=f"[[{caller}]]", input=text).output_text

    def response_stream(caller, text):
        events = sync.responses.create(
            model="gpt-5-mini", instructions=f"[[{caller}]]", input=text, stream=True
        )
        return [event.type for event in events]

    def quit_chat(caller, text):
        with sync.chat.completions.create(
            model="gpt-5-mini",
            messages=_messages(caller, text),
            stream=True,
            stream_options={"include_usage": True},
        ) as chunks:
            return next(iter(chunks))

    def quit_response(caller, text):
        with sync.responses.create(
            model="gpt-5-mini", instructions=f"[[{caller}]]", input=text, stream=True
        ) as events:
            return next(iter(events))

    def embed(caller, text):
        return sync.embeddings.create(model="text-embedding-3-small", input=text, user=caller or openai.omit)

    def work(caller, tool):
        messages = _messages(caller, "do it")
        said = sync.chat.completions.create(model="gpt-5", messages=messages, tools=_TOOLS).choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        messages += [{"role": "tool", "tool_call_id": call.id, "content": tool()} for call in said.tool_calls]
        return sync.chat.completions.create(model="gpt-5", messages=messages, tools=_TOOLS)

    async def async_chat(caller, text):
        async with openai.AsyncOpenAI(base_url=provider.openai_url, **_FAST) as client:
            return await client.chat.completions.create(model="gpt-5-mini", messages=_messages(caller, text))

    async def async_stream(caller, text):
        async with openai.AsyncOpenAI(base_url=provider.openai_url, **_FAST) as client:
            chunks = await client.chat.completions.create(
                model="gpt-5-mini",
                messages=_messages(caller, text),
                stream=True,
                stream_options={"include_usage": True},
            )
            return [chunk.choices async for chunk in chunks]

    async def async_response(caller, text):
        async with openai.AsyncOpenAI(base_url=provider.openai_url, **_FAST) as client:
            return await client.responses.create(
                model="gpt-5.6-sol", instructions=f"[[{caller}]]", input=text
            )

    return common.Client(
        [chat, chat_stream, response, response_stream, embed, chat],
        [async_chat, async_stream, async_response],
        [quit_chat, quit_response],
        work,
        (openai.APIError, httpx2.TransportError),
    )


def run(provider):
    """Run the scenario."""
    common.run(client(provider))
