# SPDX-License-Identifier: Apache-2.0
"""The OpenAI Agents SDK: runs, whole and streamed, on threads, in tasks, a sub-agent as a tool, a handoff."""

from __future__ import annotations

import asyncio

import openai
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner

from . import common


def run(provider):
    """Run the scenario; each event loop has a client of its own, closed before the loop ends."""

    def agent(name, client, *, chat=False, **more):
        kind = OpenAIChatCompletionsModel if chat else OpenAIResponsesModel
        return Agent(name=name, instructions=f"[[{name}]]", model=kind("gpt-5-mini", client), **more)

    def client():
        return openai.AsyncOpenAI(base_url=provider.openai_url, api_key="none", max_retries=1)

    async def alone(name, **more):
        async with client() as own:
            await Runner.run(agent(name, own, **more), "one")

    async def streamed(name, **more):
        async with client() as own:
            result = Runner.run_streamed(agent(name, own, **more), "two")
            return [event.type async for event in result.stream_events()]

    async def tasks():
        async with client() as own:
            await asyncio.gather(*(Runner.run(agent("gatherer", own), "in tasks") for _ in range(3)))

    async def teams():
        async with client() as own:
            helper = agent("helper", own).as_tool("helper", "Knows a part.")
            await Runner.run(agent("boss", own, tools=[helper]), "do it")
            await Runner.run(agent("giver", own, handoffs=[agent("taker", own)]), "somebody else")

    asyncio.run(alone("solo"))
    asyncio.run(alone("chatty", chat=True))
    asyncio.run(streamed("streamer"))
    asyncio.run(streamed("chat_streamer", chat=True))
    common.on_threads([lambda: asyncio.run(alone("crowd"))] * 3)
    asyncio.run(tasks())
    asyncio.run(teams())
