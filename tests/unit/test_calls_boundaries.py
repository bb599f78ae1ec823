# SPDX-License-Identifier: Apache-2.0
"""What separates calls: agents, tools, services and processes (design 5.1 d); and who made a call (5.2)."""

from __future__ import annotations

import pytest

from tests.kit import Spans


def test_a_workers_call_inside_an_outer_chat_is_a_call_of_its_own():
    """Mastra nests the sub-agent inside the chat whose tool asked for it, and says so only at the end."""
    spans = Spans()
    scope = "@mastra/otel"
    boss = spans.agent("boss", 0, 30, scope=scope)
    outer = spans.chat(1, 29, (100, 10), scope=scope, parent=boss, more={"gen_ai.agent.name": "boss"})
    tool = spans.tool("delegate", 2, 20, scope=scope, parent=outer)
    worker = spans.agent("worker", 3, 19, scope=scope, parent=tool)
    inner = spans.chat(4, 18, (100, 10), scope=scope, parent=worker, more={"gen_ai.agent.name": "worker"})

    settled = spans.settle()

    assert settled.carriers == [inner.span_id, outer.span_id]
    assert settled.agents == ["worker", "boss"]


@pytest.mark.parametrize("boundary", ["agent", "tool"])
def test_nothing_is_adopted_across_an_agent_or_a_tool(boundary):
    """Manager and worker may well have equal numbers."""
    spans = Spans()
    outer = spans.chat(0, 30, (100, 10), scope="framework")
    between = getattr(spans, boundary)("worker", 1, 20, parent=outer)
    spans.chat(2, 19, (100, 10), scope="client", parent=between)

    assert spans.settle().inputs == [100, 100]


def across(spans, **gateway):
    shop = {"service.name": "shop"}
    agent = spans.agent("planner", 0, 30, resource=shop)
    client = spans.chat(1, 20, (100, 10), scope="client", parent=agent, response_id="r1")
    called = spans.chat(
        2, 19, (100, 10), scope="gateway", parent=client, remote=True, response_id="r1", **gateway
    )
    return client, called


@pytest.mark.parametrize("resource", [{"service.name": "gateway"}, {"service.name": "shop"}, {}])
def test_a_service_and_its_gateway_both_count_the_call(resource):
    """A remote parent is a boundary, whatever the resources say."""
    spans = Spans()
    client, called = across(spans, resource=resource)

    settled = spans.settle()

    assert sorted(settled.carriers) == sorted([client.span_id, called.span_id])


def test_no_agent_is_inherited_across_a_remote_parent():
    """A name from another service may be anything."""
    spans = Spans()
    _, called = across(spans, resource={"service.name": "gateway"})

    settled = spans.settle()

    assert {row["span_id"]: row["agent"] for row in settled.rows}[called.span_id] is None


def test_across_services_a_gateways_call_is_its_callers():
    """Asked for, the boundary is lifted: one call, made by the caller's agent."""
    spans = Spans()
    client, _ = across(spans, resource={"service.name": "gateway"})

    settled = spans.settle(across_services=True)

    assert settled.carriers == [client.span_id]
    assert settled.agents == ["planner"]


@pytest.mark.parametrize(
    "resources",
    [
        ({"process.pid": 1, "host.name": "a"}, {"process.pid": 2, "host.name": "a"}),
        ({"process.pid": 1, "host.name": "a"}, {"process.pid": 1, "host.name": "b"}),
        ({"service.instance.id": "a"}, {"service.instance.id": "b"}),
        ({"service.name": "shop"}, {"service.name": "bank"}),
        ({"k8s.pod.uid": "a"}, {"k8s.pod.uid": "b"}),
    ],
)
def test_equal_calls_of_two_processes_at_one_time_stay_two(resources):
    """Traces of two processes never hold copies of one call."""
    spans = Spans()
    spans.chat(1, 9, scope="one", response_id="r1", resource=resources[0])
    spans.chat(2, 8, scope="two", response_id="r1", resource=resources[1])
    spans.chat(21, 29, scope="one", resource=resources[0])
    spans.chat(22, 28, scope="two", resource=resources[1])

    assert len(spans.settle().rows) == 4


@pytest.mark.parametrize(
    "resources",
    [
        (
            {"service.name": "shop", "service.instance.id": "a"},
            {"service.name": "x", "service.instance.id": "a"},
        ),
        ({"service.name": "shop"}, {"service.name": "unknown_service"}),
        ({"service.name": "shop", "process.pid": 7}, {}),
    ],
)
def test_copies_from_two_providers_of_one_process_are_one_call(resources):
    """Some libraries bring their own tracer provider, with a resource of its own."""
    spans = Spans()
    spans.chat(1, 9, scope="one", resource=resources[0])
    spans.chat(2, 8, scope="two", resource=resources[1])

    assert len(spans.settle().rows) == 1


# --- agents ---------------------------------------------------------------------------------------


def test_the_nearest_agent_above_made_the_call():
    """The innermost of nested agents wins."""
    spans = Spans()
    boss = spans.agent("boss", 0, 30)
    tool = spans.tool("delegate", 1, 29, parent=boss)
    worker = spans.agent("worker", 2, 28, parent=tool)
    spans.chat(3, 9, parent=worker)
    spans.chat(29.1, 29.5, parent=boss)

    assert spans.settle().agents == ["worker", "boss"]


def test_a_calls_own_name_beats_its_ancestors():
    """A sub-graph in a tool names itself on the call; the nearest agent span is the outer one."""
    spans = Spans()
    boss = spans.agent("boss", 0, 30)
    spans.chat(1, 9, parent=boss, more={"traceloop.association.properties.lc_agent_name": "worker"})

    assert spans.settle().agents == ["worker"]


@pytest.mark.parametrize("placeholder", ["OpenAI Agent", "unknown", "Agent", "default", "", "call_agent"])
def test_placeholders_are_no_agents(placeholder):
    """Libraries write them where they have no name; a wrong agent is worse than the one further up."""
    spans = Spans()
    boss = spans.agent("boss", 0, 30)
    nameless = spans.agent(placeholder, 1, 20, parent=boss)
    spans.chat(2, 9, parent=nameless)

    assert spans.settle().agents == ["boss"]


def test_an_agent_that_ended_an_hour_ago_still_made_the_call():
    """A task outlives its agent."""
    spans = Spans()
    boss = spans.agent("boss", 0, 5)
    spans.chat(3600, 3605, parent=boss)

    assert spans.settle().agents == ["boss"]


def test_a_tool_never_names_the_agent():
    """`execute_tool` spans carry the agent's name at best, never one of their own."""
    spans = Spans()
    tool = spans.tool("search", 0, 20)
    spans.chat(1, 9, parent=tool)

    assert spans.settle().agents == [None]


def test_a_call_whose_parents_are_missing_has_no_agent_and_is_priced():
    """The file begins in the middle of a trace."""
    spans = Spans()
    spans.chat(1, 9, parent_id="00000000000000ff")

    settled = spans.settle()

    assert settled.agents == [None]
    assert settled.statuses == ["priced"]
