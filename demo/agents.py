# SPDX-License-Identifier: Apache-2.0
"""
Four agents that write a page together, as an application would have them.

Nothing here knows what a call costs. The planner splits a topic into questions and hands each to a
researcher, on threads of their own; a researcher has its facts checked by an agent that it calls as
a tool; the writer asks two models for sections at the same time. Agents are named by their spans
(OpenTelemetry's way), and the writer by ``with spancost.agent(...)``, for code that makes no spans.

Calls go wrong as they do in life: one is refused for the rate, one fails and is sent again, one
stream breaks off and is asked for anew.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import anthropic
import httpx2
import openai
from opentelemetry.util.genai.handler import get_telemetry_handler

import spancost
from demo.provider import Reply, ToolCall

if TYPE_CHECKING:
    from demo.provider import Provider

TOPICS: Final = ("tea", "coffee", "cocoa", "salt", "pepper", "sugar")

SCRIPTS: Final = {
    "planner": [
        Reply(
            "Two questions will do.",
            tools=(
                ToolCall("research", {"question": "Where does it grow?"}),
                ToolCall("research", {"question": "Who trades it?"}),
            ),
        ),
        Reply("Section one: where it grows, and why there. Section two: who buys it, and at what price."),
    ],
    "researcher": [
        Reply(
            "One claim needs a check.", tools=(ToolCall("check_fact", {"claim": "Half of it is exported."}),)
        ),
        Reply("It grows between the tropics, on hills with rain; about half of the harvest is exported."),
    ],
    "fact_checker": [Reply("The claim holds for the last three seasons, within two per cent.")],
    "writer": [
        Reply("On the hills the harvest has begun, and the buyers are on their way with full purses.")
    ],
}
"""What the models say; see `demo.provider`."""

_TOOL: Final = {"type": "object", "properties": {"question": {"type": "string"}}}
_CLAIM: Final = {"type": "object", "properties": {"claim": {"type": "string"}}}


class Newsroom:
    """
    The agents and the clients that they share.

    Args:
        provider: The server that the clients talk to.
    """

    def __init__(self, provider: Provider) -> None:
        self._spans = get_telemetry_handler()
        self._openai = openai.OpenAI(base_url=provider.openai_url, api_key="demo")
        self._anthropic = anthropic.Anthropic(base_url=provider.url, api_key="demo")
        self._openai_url = provider.openai_url
        self._anthropic_url = provider.url

    def page(self, topic: str) -> str:
        """Return a page on a topic."""
        return self.write(topic, self.plan(topic))

    def plan(self, topic: str) -> str:
        """The planner: a reasoning model that hands out the questions, and plans with the answers."""
        with self._spans.invoke_local_agent(agent_name="planner", request_model="gpt-5"):
            messages: list[Any] = [
                {"role": "system", "content": "[[planner]] You plan a page. Ask for research first."},
                {"role": "user", "content": f"A page on {topic}."},
            ]
            tools: list[Any] = [{"type": "function", "function": {"name": "research", "parameters": _TOOL}}]
            asked = self._openai.chat.completions.create(model="gpt-5", messages=messages, tools=tools)
            said = asked.choices[0].message
            calls = said.tool_calls or []
            with ThreadPoolExecutor(max_workers=2) as pool:
                # A pool's threads have no context: `carry` brings along whose work it is.
                answers = [
                    pool.submit(spancost.carry(self.research), topic, json.loads(call.function.arguments))
                    for call in calls
                    if call.type == "function"
                ]
            messages.append(said.model_dump(exclude_none=True))
            for call, answer in zip(calls, answers, strict=True):
                messages.append({"role": "tool", "tool_call_id": call.id, "content": answer.result()})
            plan = self._openai.chat.completions.create(model="gpt-5", messages=messages, tools=tools)
            return plan.choices[0].message.content or ""

    def research(self, topic: str, arguments: dict[str, str]) -> str:
        """A researcher: looks up what is known, thinks, has one claim checked, and streams its answer."""
        question = arguments["question"]
        with (
            self._spans.tool("research"),
            self._spans.invoke_local_agent(agent_name="researcher", request_model="claude-sonnet-4-5"),
        ):
            self._openai.embeddings.create(
                model="text-embedding-3-small", input=f"{topic}: {question}", user="researcher"
            )
            asks: dict[str, Any] = {
                "model": "claude-sonnet-4-5",
                "max_tokens": 4_000,
                "thinking": {"type": "enabled", "budget_tokens": 2_000},
                # The long part of the prompt is the same for all: it is cached, for an hour.
                "system": [
                    {
                        "type": "text",
                        "text": "[[researcher]] You answer with facts.",
                        "cache_control": {"type": "ephemeral", "ttl": "1h"},
                    }
                ],
                "tools": [{"name": "check_fact", "input_schema": _CLAIM}],
            }
            messages: list[Any] = [{"role": "user", "content": f"{topic}: {question}"}]
            first = self._anthropic.messages.create(messages=messages, **asks)
            messages.append({"role": "assistant", "content": first.model_dump(exclude_none=True)["content"]})
            checked = [
                {"type": "tool_result", "tool_use_id": block.id, "content": self.check(topic, question)}
                for block in first.content
                if block.type == "tool_use"
            ]
            messages.append({"role": "user", "content": checked})
            with self._anthropic.messages.stream(messages=messages, **asks) as stream:
                answer: str = stream.get_final_text()
                return answer

    def check(self, topic: str, question: str) -> str:
        """The fact checker: a researcher's tool that is an agent itself. Its first try fails."""
        order = "[[first 500]]" if "grow" in question else ""
        with (
            self._spans.tool("check_fact"),
            self._spans.invoke_local_agent(agent_name="fact_checker", request_model="gpt-5-mini"),
            self._openai.responses.create(
                model="gpt-5-mini",
                instructions="[[fact_checker]] Does the claim hold?",
                input=f"{topic}: {question} {order}",
                stream=True,
            ) as stream,
        ):
            return "".join(event.delta for event in stream if event.type == "response.output_text.delta")

    def write(self, topic: str, plan: str) -> str:
        """The writer: makes no span, and is named by a block; its two sections are written at once."""
        with spancost.agent("writer"):
            return asyncio.run(self._sections(topic, plan))

    async def _sections(self, topic: str, plan: str) -> str:
        async with (
            openai.AsyncOpenAI(base_url=self._openai_url, api_key="demo", max_retries=0) as quick,
            anthropic.AsyncAnthropic(base_url=self._anthropic_url, api_key="demo", max_retries=0) as careful,
        ):
            return "\n".join(
                await asyncio.gather(_section(quick, topic, plan), _careful_section(careful, topic, plan))
            )


async def _section(client: openai.AsyncOpenAI, topic: str, plan: str) -> str:
    """Write a section with OpenAI, after a request that is refused for the rate: refusals cost nothing."""
    for order in (" [[status 429]]", ""):
        try:
            chunks = await client.chat.completions.create(
                model="gpt-5.6-sol",
                messages=[
                    {"role": "system", "content": "[[writer]] You write one section."},
                    {"role": "user", "content": f"{topic}, first section of: {plan}{order}"},
                ],
                stream=True,
                stream_options={"include_usage": True},
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
        except openai.RateLimitError:
            continue
    return ""


async def _careful_section(client: anthropic.AsyncAnthropic, topic: str, plan: str) -> str:
    """Write a section with Anthropic; the first stream breaks off, and what came of it is billed."""
    for order in (" [[cut 6]]", ""):
        pieces = []
        try:
            async with client.messages.stream(
                model="claude-haiku-4-5",
                max_tokens=1_000,
                system=[
                    {
                        "type": "text",
                        "text": "[[writer]] You write one section.",
                        "cache_control": {"type": "ephemeral"},
                    }
                ],
                messages=[{"role": "user", "content": f"{topic}, second section of: {plan}{order}"}],
            ) as stream:
                pieces = [text async for text in stream.text_stream]
        except httpx2.TransportError:
            continue
        return "".join(pieces)
    return ""
