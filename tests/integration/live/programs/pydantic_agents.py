# SPDX-License-Identifier: Apache-2.0
"""pydantic-ai: agents on OpenAI's and Anthropic's clients, whole and streamed, and a sub-agent as a tool."""

from __future__ import annotations

import asyncio

from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from . import common


def run(provider):
    """Run the scenario."""
    Agent.instrument_all()

    def model(kind):
        if kind == "claude":
            made = AnthropicProvider(base_url=provider.url, api_key="none")
            return AnthropicModel("claude-sonnet-4-5", provider=made)
        made = OpenAIProvider(base_url=provider.openai_url, api_key="none")
        if kind == "chat":
            return OpenAIChatModel("gpt-5-mini", provider=made)
        return OpenAIResponsesModel("gpt-5", provider=made)

    def agent(name, kind="chat"):
        return Agent(model(kind), name=name, instructions=f"[[{name}]]")

    async def streamed(kind):
        async with agent(f"{kind}_streamer", kind).run_stream("two") as result:
            return await result.get_output()

    async def tasks():
        await asyncio.gather(*(agent("gatherer").run("in tasks") for _ in range(3)))

    for kind in ("chat", "responses", "claude"):
        asyncio.run(agent(f"{kind}_solo", kind).run("one"))
        asyncio.run(streamed(kind))
    common.on_threads([lambda: asyncio.run(agent("crowd").run("at once"))] * 3)
    asyncio.run(tasks())
    boss = agent("boss")

    @boss.tool_plain
    async def helper(input: str) -> str:  # noqa: A002 - the tool's parameter, as the model sends it
        """Ask the helper."""
        return (await agent("helper", "claude").run(input)).output

    asyncio.run(boss.run("do it"))
