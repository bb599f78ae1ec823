# SPDX-License-Identifier: Apache-2.0
"""The eleven shapes in which one call, or several, are seen on real spans."""

from __future__ import annotations

from tests.kit import Spans


def test_nested_copies_three_deep_are_one_call_on_the_outermost():
    """Framework, client and SDK each report it; details are merged, the outermost carries the amount."""
    spans = Spans()
    outer = spans.chat(0, 10, (100, 10), scope="framework")
    middle = spans.chat(1, 9, (100, 10, 80), scope="client", parent=outer)
    inner = spans.chat(2, 8, (100, 10), scope="sdk", parent=middle)

    settled = spans.settle()

    assert settled.carriers == [outer.span_id]
    assert settled.rows[0]["usage"]["cache_read"] == 80
    assert [settled.outcome(span) for span in (outer, middle, inner)] == ["amount", "duplicate", "duplicate"]


def test_siblings_with_a_response_id_are_one_call():
    """Two instrumentations beside each other; the first that ends carries the amount."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    first = spans.chat(1, 5, (100, 10), scope="one", response_id="r1", parent=root)
    spans.chat(0.5, 6, (101, 11), scope="two", response_id="r1", parent=root)

    assert spans.settle().carriers == [first.span_id]


def test_siblings_without_a_response_id_are_one_call_by_usage_and_time():
    """Neither knows an id: usage agrees and one lies inside the other's time."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    inner = spans.chat(2, 5, (100, 10), scope="sdk", parent=root)
    outer = spans.chat(1, 6, (100, 10), scope="client", parent=root)

    settled = spans.settle()

    assert settled.carriers == [inner.span_id]
    assert settled.outcome(outer) == "duplicate"


def test_a_copy_in_another_trace_is_the_same_call_and_brings_the_agent():
    """The callback handler's span is never current, so the client's span is the root of another trace."""
    spans = Spans()
    graph = spans.langchain("planner", 0, 20, "CHAIN")
    spans.langchain("ChatOpenAI", 1, 9, "LLM", (100, 10), parent=graph)
    client = spans.chat(2, 8, (100, 10))

    settled = spans.settle()

    assert settled.carriers == [client.span_id]
    assert settled.agents == ["planner"]


def test_a_roll_up_in_the_same_keys_over_one_call_is_never_added():
    """With one call below, the agent's sum equals the call."""
    spans = Spans()
    agent = spans.agent("planner", 0, 20, (100, 10))
    call = spans.chat(1, 9, (100, 10), parent=agent)

    settled = spans.settle()

    assert settled.carriers == [call.span_id]
    assert settled.outcome(agent) == "rollup"


def test_a_roll_up_in_the_same_keys_over_several_calls_is_never_added():
    """The agent's span carries the sum, in the very keys of a call."""
    spans = Spans()
    agent = spans.agent("planner", 0, 20, (300, 30))
    spans.chat(1, 9, (100, 10), parent=agent)
    spans.chat(10, 19, (200, 20), parent=agent)

    settled = spans.settle()

    assert settled.inputs == [100, 200]
    assert settled.outcome(agent) == "rollup"


def test_ag2_usage_records_are_never_calls():
    """`record_usage` repeats the call beside it, and a sub-agent's sum, with model and provider."""
    spans = Spans()
    scope = "opentelemetry.instrumentation.ag2"
    agent = spans.agent("planner", 0, 20, scope=scope)
    call = spans.chat(1, 9, (100, 10), scope=scope, parent=agent)
    record = {"operation": None, "scope": scope, "parent": agent, "more": {"ag2.span.type": "usage"}}
    spans.chat(9.1, 9.2, (100, 10), **record)
    spans.chat(15, 16, (500, 50), **record)

    assert spans.settle().carriers == [call.span_id]


def test_parallel_identical_calls_stay_two():
    """Equal numbers at the same time are no proof: one scope never reports a call twice side by side."""
    spans = Spans()
    agent = spans.agent("planner", 0, 20)
    spans.chat(1, 9, (100, 10), parent=agent)
    spans.chat(2, 8, (100, 10), parent=agent)

    assert spans.settle().inputs == [100, 100]


def test_a_child_that_ends_after_its_parent_is_the_same_call():
    """The parent carries the amount, for it ended with usage first."""
    spans = Spans()
    outer = spans.chat(0, 5, (100, 10), scope="framework")
    inner = spans.chat(1, 6, (100, 10), scope="client", parent=outer)

    settled = spans.settle()

    assert settled.carriers == [outer.span_id]
    assert settled.outcome(inner) == "duplicate"


def test_an_aggregate_without_calls_counts_once():
    """Nothing below shows usage, so the agent's sum is all there is, and says so."""
    spans = Spans()
    outer = spans.agent("leader", 0, 30, (500, 50))
    agent = spans.agent("planner", 1, 20, (300, 30), parent=outer)

    settled = spans.settle()

    assert settled.carriers == [agent.span_id]
    assert settled.rows[0]["flags"] == ["aggregated"]
    assert settled.outcome(outer) == "rollup"


def test_a_call_span_that_encloses_two_calls_is_one_of_them():
    """It adopts the first and adds nothing for the second, whose usage it repeats."""
    spans = Spans()
    outer = spans.chat(0, 20, (200, 20), scope="framework")
    first = spans.chat(1, 9, (100, 10), parent=outer)
    second = spans.chat(10, 19, (200, 20), parent=outer)

    settled = spans.settle()

    assert settled.inputs == [100, 200]
    assert settled.carriers == [second.span_id, outer.span_id]
    assert settled.outcome(first) == "duplicate"


def test_an_outer_span_without_usage_that_ends_before_its_stream_is_no_second_call():
    """The stream below ends later and brings the usage."""
    spans = Spans()
    agent = spans.agent("planner", 0, 20)
    outer = spans.chat(1, 5, None, scope="framework", parent=agent)
    inner = spans.chat(2, 9, (100, 10), parent=outer)

    settled = spans.settle()

    assert settled.carriers == [inner.span_id]
    assert settled.outcome(outer) == "duplicate"
    assert settled.agents == ["planner"]
