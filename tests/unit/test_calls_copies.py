# SPDX-License-Identifier: Apache-2.0
"""Copies that no ancestry shows: siblings and other traces (design 5.1 c), and spans of detached scopes."""

from __future__ import annotations

import pytest

from tests.kit import Spans


def test_a_late_copy_never_changes_money():
    """The first that ends fixes the amount; the sibling's cached tokens come too late and are flagged."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 5, (100, 10), scope="one", response_id="r1", parent=root)
    late = spans.chat(1, 6, (100, 10, 80), scope="two", response_id="r1", parent=root)

    settled = spans.settle()

    assert settled.rows[0]["usage"]["cache_read"] == 0
    assert "suspect" in settled.call(late).flags


def test_siblings_of_one_scope_are_never_copies():
    """Not even with one response id: a cached answer repeats it."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 9, response_id="r1", parent=root)
    spans.chat(2, 8, response_id="r1", parent=root)

    assert len(spans.settle().rows) == 2


def test_siblings_one_after_the_other_are_two_calls():
    """Copies of one call overlap in time."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 5, scope="one", parent=root)
    spans.chat(6, 9, scope="two", parent=root)

    assert len(spans.settle().rows) == 2


def test_siblings_with_different_response_ids_are_two_calls():
    """Equal numbers do not outweigh two ids."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 9, scope="one", response_id="r1", parent=root)
    spans.chat(2, 8, scope="two", response_id="r2", parent=root)

    assert len(spans.settle().rows) == 2


def test_a_cache_read_and_a_cache_write_of_one_size_are_two_calls():
    """The first fills the cache and the second reads it; their totals are equal."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 9, (100, 10, 0, 80), scope="one", parent=root)
    spans.chat(2, 8, (100, 10, 80, 0), scope="two", parent=root)

    assert len(spans.settle().rows) == 2


def test_equal_numbers_in_two_traces_are_two_calls_where_the_inner_span_is_no_root():
    """A busy process: another request's call happens to have the same numbers."""
    spans = Spans()
    request = spans.add("GET /", 0, 20)
    spans.chat(2, 8, scope="client", parent=request)
    other = spans.add("GET /", 0, 20)
    spans.chat(1, 9, scope="framework", parent=other)

    assert len(spans.settle().rows) == 2


def test_equal_numbers_in_two_traces_are_two_calls_where_the_models_differ():
    """Models are compared up to vendor prefix and date."""
    spans = Spans()
    spans.chat(2, 8, model="gpt-4o-mini")
    spans.langchain("ChatOpenAI", 1, 9, "LLM", (100, 10))

    assert len(spans.settle().rows) == 2


@pytest.mark.parametrize("answered_by", ["gpt-4o-2024-08-06", "gpt-5-sol"])
def test_models_are_equal_where_one_span_asks_for_what_the_other_names(answered_by):
    """An alias is asked for; only the span near the wire knows which model answered."""
    spans = Spans()
    spans.chat(2, 8, model="gpt-4o", answered_by=answered_by)
    spans.langchain("ChatOpenAI", 1, 9, "LLM", (100, 10))

    assert len(spans.settle().rows) == 1


def test_two_concurrent_agents_with_equal_numbers_each_take_their_own_call():
    """The tightest interval wins, and each span takes at most one call."""
    spans = Spans()
    one = spans.langchain("alpha", 0, 30, "CHAIN")
    spans.langchain("ChatOpenAI", 1, 20, "LLM", (100, 10), parent=one)
    two = spans.langchain("beta", 0.5, 31, "CHAIN")
    spans.langchain("ChatOpenAI", 5, 15, "LLM", (100, 10), parent=two)
    first = spans.chat(1.2, 19)
    second = spans.chat(5.2, 14)

    settled = spans.settle()

    agents = {row["span_id"]: row["agent"] for row in settled.rows}
    assert agents == {first.span_id: "alpha", second.span_id: "beta"}


def test_a_detached_span_takes_at_most_one_call():
    """Two client calls inside one span's time: one is its copy, the other has no agent."""
    spans = Spans()
    graph = spans.langchain("alpha", 0, 30, "CHAIN")
    spans.langchain("ChatOpenAI", 1, 20, "LLM", (100, 10), parent=graph)
    spans.chat(2, 19)
    spans.chat(3, 18)

    assert sorted(spans.settle().agents, key=str) == [None, "alpha"]


def test_a_call_without_a_detached_copy_keeps_the_agent_it_has():
    """It waits while a detached span could be its copy, and is then settled as it is."""
    spans = Spans()
    spans.langchain("alpha", 0, 30, "CHAIN")
    agent = spans.agent("planner", 1, 20)
    spans.chat(2, 19, parent=agent)

    assert spans.settle().agents == ["planner"]


def test_a_detached_span_that_never_ends_does_not_hold_calls_back_for_ever():
    """Ten minutes of span time are enough; what waits stays bounded."""
    spans = Spans()
    spans.langchain("alpha", 0, None, "CHAIN")
    early = spans.chat(1, 2)
    spans.chat(2000, 2001)

    assert spans.settle().carriers[0] == early.span_id


def test_the_call_inside_a_langchain_tool_is_not_the_tools():
    """A tool's name is no agent's, and it is known only when the tool ends."""
    spans = Spans()
    graph = spans.langchain("alpha", 0, 30, "CHAIN")
    tool = spans.langchain("search", 1, 20, "TOOL", parent=graph)
    spans.langchain("ChatOpenAI", 2, 19, "LLM", (100, 10), parent=tool)
    spans.chat(3, 18)

    assert spans.settle().agents == ["alpha"]


def test_a_constant_response_id_makes_no_two_calls_one():
    """Test servers and proxies answer every call with the same id."""
    spans = Spans()
    for i in range(3):
        root = spans.agent("planner", 100 * i, 100 * i + 50)
        spans.chat(100 * i + 1, 100 * i + 5, (100 + i, 10), scope="one", response_id="x", parent=root)
        spans.chat(100 * i + 1, 100 * i + 6, (100 + i, 10), scope="two", response_id="x", parent=root)
    spans.chat(900, 905, (700, 10), scope="three", response_id="x")

    assert spans.settle().inputs == [100, 101, 102, 700]


def test_a_span_beside_calls_of_other_instrumentations_joins_the_nearest_in_time():
    """Three calls with equal numbers; the last one's copy is the last one's."""
    spans = Spans()
    root = spans.agent("planner", 0, 50)
    for start in (1, 2, 3):
        spans.chat(start, 20 + start, scope="one", parent=root)
    copy = spans.chat(2.9, 24, scope="two", parent=root)

    assert spans.settle().call(copy).carrier.start == copy.start + 100_000_000


def test_siblings_that_overlap_without_one_enclosing_the_other_are_one_call():
    """A stream that is left early is ended by each instrumentation in its own time."""
    spans = Spans()
    agent = spans.agent("quitter", 0, 10)
    first = spans.chat(1, 4, (311, 1), parent=agent, scope="openinference")
    second = spans.chat(2, 5, (311, 1), parent=agent, scope="native")

    settled = spans.settle()

    assert settled.carriers == [first.span_id]
    assert settled.outcome(second) == "duplicate"


def test_siblings_that_follow_each_other_are_two_calls():
    """Without a common moment two spans are two calls, however equal their numbers."""
    spans = Spans()
    agent = spans.agent("twice", 0, 10)
    spans.chat(1, 4, (311, 1), parent=agent, scope="openinference")
    spans.chat(4, 5, (311, 1), parent=agent, scope="native")

    assert len(spans.settle().calls) == 2


def test_a_sibling_that_ends_between_a_wrapper_and_its_inner_copy_is_the_same_call():
    """Of three copies the sibling ends first; the other two stand nested and have an id it lacks."""
    spans = Spans()
    agent = spans.agent("quitter", 0, 10)
    sibling = spans.chat(1, 4, (311, 1), parent=agent, scope="openinference")
    wrapper = spans.chat(2, 6, (311, 1), parent=agent, scope="official", response_id="msg_1")
    inner = spans.chat(3, 5, (311, 1), parent=wrapper, scope="native", response_id="msg_1")

    settled = spans.settle()

    assert settled.carriers == [sibling.span_id]
    assert {settled.outcome(wrapper), settled.outcome(inner)} == {"duplicate"}


def test_a_refusal_that_two_siblings_report_is_one_failed_call():
    """Two instrumentations side by side fail together; the call was made once."""
    spans = Spans()
    agent = spans.agent("unlucky", 0, 10)
    spans.chat(1, 4, None, parent=agent, scope="openinference", failed=True)
    spans.chat(2, 5, None, parent=agent, scope="native", failed=True)
    spans.chat(6, 7, None, parent=agent, scope="native", failed=True)

    assert spans.settle().statuses == ["failed", "failed"]


def test_a_call_whose_inner_copy_failed_is_failed():
    """A wrapper that does not pass the error on does not make the call a riddle."""
    spans = Spans()
    outer = spans.chat(0, 3, None, scope="pydantic-ai")
    spans.chat(1, 2, None, parent=outer, scope="native", failed=True)

    assert spans.settle().statuses == ["failed"]
