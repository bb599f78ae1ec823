# SPDX-License-Identifier: Apache-2.0
"""What a row says of calls that failed, were cut, or are named by their process only."""

from __future__ import annotations

from spancost.files.rows import row_of_span
from tests.kit import Spans


def test_a_failed_call_has_a_status_and_no_reason():
    """A call that failed without usage is failed, not unpriced."""
    spans = Spans()
    spans.chat(0, 1, None, failed=True)

    (row,) = spans.settle().rows

    assert (row["status"], row["reason"], row["cost_usd"]) == ("failed", None, None)


def test_a_call_without_usage_that_did_not_fail_is_unpriced():
    """Nothing shows what it used, so it has a reason and no amount."""
    spans = Spans()
    spans.chat(0, 1, None)

    (row,) = spans.settle().rows

    assert (row["status"], row["reason"], row["cost_usd"]) == ("unpriced", "no_usage", None)


def test_a_cut_stream_is_priced_as_a_lower_bound():
    """A failed span with usage is billed, and flagged."""
    spans = Spans()
    spans.chat(0, 1, (100, 1), failed=True, more={"gen_ai.request.stream": True})

    (row,) = spans.settle().rows

    assert row["status"] == "priced"
    assert row["flags"] == ["partial"]


def test_a_copy_that_would_have_changed_the_price_is_suspect():
    """Its call's row may be out by then."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 5, (100, 10), scope="one", response_id="r1", parent=root)
    late = spans.chat(1, 6, (100, 10, 80), scope="two", response_id="r1", parent=root)

    assert row_of_span(spans.settle().node(late))["flags"] == ["suspect"]


def test_an_answer_that_was_whole_is_not_partial_because_a_wrapper_failed_on_it():
    """What the wire delivered decides, not what the code around made of it."""
    spans = Spans()
    outer = spans.chat(0, 3, (100, 10), scope="framework", failed=True)
    spans.chat(1, 2, (100, 10), parent=outer)

    (row,) = spans.settle().rows

    assert row["flags"] == []


def test_the_main_agent_of_the_resource_names_calls_that_nothing_else_names():
    """A process may be one agent; a nearer name still wins."""
    resource = {"gen_ai.main_agent.name": "support"}
    spans = Spans()
    spans.chat(0, 1, resource=resource)
    planner = spans.agent("planner", 2, 5, resource=resource)
    spans.chat(3, 4, parent=planner)

    assert [row["agent"] for row in spans.settle().rows] == ["support", "planner"]
