# SPDX-License-Identifier: Apache-2.0
"""LangChain with ChatOpenAI: agents, whole and streamed, on threads, in tasks, and a sub-agent as a tool."""

from __future__ import annotations

import asyncio

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI

from . import common


def run(provider):
    """Run the scenario."""

    def model(**more):
        return ChatOpenAI(
            base_url=provider.openai_url, api_key="none", model="gpt-5-mini", max_retries=1, **more
        )

    def agent(name, **more):
        return create_agent(model(**more), tools=[], system_prompt=f"[[{name}]]", name=name)

    def told(text):
        return {"messages": [{"role": "user", "content": text}]}

    agent("solo").invoke(told("one"))
    list(agent("streamer", stream_usage=True).stream(told("two"), stream_mode="messages"))
    list(agent("forgetful", stream_usage=False).stream(told("two"), stream_mode="messages"))
    crowd = agent("crowd")
    common.on_threads([lambda: crowd.invoke(told("at once"))] * 3)

    async def tasks():
        gatherer = agent("gatherer")
        await asyncio.gather(*(gatherer.ainvoke(told("in tasks")) for _ in range(3)))

    asyncio.run(tasks())
    helper_agent = agent("helper")

    @tool
    def helper(input: str) -> str:  # noqa: A002 - the tool's parameter, as the model sends it
        """Ask the helper."""
        return helper_agent.invoke(told(input))["messages"][-1].content

    create_agent(model(), tools=[helper], system_prompt="[[boss]]", name="boss").invoke(told("do it"))
    list(model(stream_usage=True).stream([("system", "[[]]"), ("user", "nobody asks")]))
