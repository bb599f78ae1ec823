# SPDX-License-Identifier: Apache-2.0
"""What a client library is made to do: every way to call it, alone, on threads, in tasks, and by agents."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import trace

from demo.provider import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

REFUSED = 400
"""What no client sends again, so that every refusal is a call."""

QUITTER = "quitter"
"""Leaves its streams after their first event, so it is told less than the server sent."""

SCRIPTS = {
    "boss": [
        Reply("The helper knows.", tools=(ToolCall("helper", {"input": "a part"}),)),
        Reply("All done now."),
    ],
    "helper": [Reply("This is the part that was asked for.")],
    "giver": [Reply("Not for me.", tools=(ToolCall("transfer_to_taker"),))],
}


class Client(NamedTuple):
    """
    A client library as the scenario uses it.

    A way to call it takes the caller's name and a text; one of ``quits`` leaves a stream after its first
    event. ``work`` lets a caller use one tool: it calls the function that it is given when the model asks
    for the tool.
    """

    ways: list[Callable[[str, str], object]]
    async_ways: list[Callable[[str, str], Awaitable[object]]]
    quits: list[Callable[[str, str], object]]
    work: Callable[[str, Callable[[], str]], object]
    broken: type[Exception] | tuple[type[Exception], ...]


@contextmanager
def span(operation: str, name: str) -> Iterator[None]:
    """Make the span of an agent or of a tool, as the conventions say."""
    subject = "agent" if operation == "invoke_agent" else "tool"
    attributes = {"gen_ai.operation.name": operation, f"gen_ai.{subject}.name": name}
    with trace.get_tracer("app").start_as_current_span(f"{operation} {name}", attributes=attributes):
        yield


def run(client: Client) -> None:
    """Do all of it."""
    with span("invoke_agent", "solo"):
        for way in client.ways:
            way("solo", "one of each")
    with span("invoke_agent", "crowd"):
        on_threads([lambda way=way: way("crowd", "at once") for way in client.ways])
    asyncio.run(_tasks(client))
    with span("invoke_agent", "boss"):
        client.work("boss", lambda: _helper(client))
    with span("invoke_agent", "unlucky"):
        for way in client.ways:
            with suppress(client.broken):
                way("unlucky", f"[[status {REFUSED}]]")
            with suppress(client.broken):
                way("unlucky", "[[cut 2]]")
            way("unlucky", "[[first 500]]")
    with span("invoke_agent", QUITTER):
        for quit_stream in client.quits:
            quit_stream(QUITTER, "never mind")
    client.ways[0]("", "nobody asks")


def on_threads(jobs: list[Callable[[], object]]) -> None:
    """Run functions on threads of their own, each with a copy of this context."""
    threads = [threading.Thread(target=contextvars.copy_context().run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _tasks(client: Client) -> None:
    with span("invoke_agent", "gatherer"):
        await asyncio.gather(*(way("gatherer", "in tasks") for way in client.async_ways for _ in range(2)))


def _helper(client: Client) -> str:
    with span("execute_tool", "helper"), span("invoke_agent", "helper"):
        return str(client.ways[-1]("helper", "a part"))
