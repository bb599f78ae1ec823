# SPDX-License-Identifier: Apache-2.0
"""Calls that show no usage, failed ones, and roll-ups that count for want of calls (design 5.1 b, 5.3, 5.4)."""

from __future__ import annotations

import pytest

from spancost.cost import Cost, Unpriced
from tests.kit import Spans

TOKENS = {"llm.provider": "openai", "llm.token_count.prompt": 300, "llm.token_count.completion": 30}


def test_a_call_without_usage_counts_once_unpriced():
    """It was made and may be on the bill: hiding it would be a lie, pricing it a guess."""
    spans = Spans()
    root = spans.agent("planner", 0, 20)
    spans.chat(1, 9, None, parent=root)

    row = spans.settle().rows[0]

    assert (row["status"], row["reason"], row["cost_usd"]) == ("unpriced", "no_usage", None)


def test_nested_calls_without_usage_count_once():
    """Framework, client and SDK saw one stream, and none of them its usage."""
    spans = Spans()
    outer = spans.chat(0, 10, None, scope="framework")
    middle = spans.chat(1, 9, None, scope="client", parent=outer)
    spans.chat(2, 8, None, scope="sdk", parent=middle)

    assert spans.settle().statuses == ["unpriced"]


def test_a_sibling_that_saw_the_usage_makes_one_without_it_a_copy():
    """Whichever of the two ends first."""
    for quiet_end in (8.5, 9.5):
        spans = Spans()
        root = spans.agent("planner", 0, 20)
        quiet = spans.chat(1, quiet_end, None, scope="one", parent=root)
        spans.chat(2, 9, (100, 10), scope="two", parent=root)

        settled = spans.settle()

        assert settled.inputs == [100]
        assert settled.outcome(quiet) == "duplicate"


def test_a_root_without_usage_waits_sixty_seconds_for_its_stream():
    """The stream below ends within the minute and brings the usage."""
    spans = Spans()
    outer = spans.chat(0, 1, None, scope="framework")
    spans.chat(0.5, 55, (100, 10), parent=outer)
    spans.chat(58, 59, (7, 7))

    assert spans.settle().inputs == [7, 100]


def test_a_root_without_usage_waits_for_an_open_call_below_however_long():
    """No call below may be open when it is decided."""
    spans = Spans()
    outer = spans.chat(0, 1, None, scope="framework")
    spans.chat(0.5, 200, (100, 10), parent=outer)
    spans.chat(100, 101, (7, 7))

    assert spans.settle().inputs == [7, 100]
    assert spans.settle().statuses == ["priced", "priced"]


def test_a_child_that_starts_after_its_parents_ended_keeps_the_tree_open():
    """A task goes on after the request, and starts its call then; ancestors are told once each."""
    spans = Spans()
    root = spans.chat(0, 2, None, scope="framework")
    step = spans.add("step", 0.5, 1, parent=root)
    other = spans.add("other", 0.6, 50, parent=root)
    spans.add("late", 3, 4, parent=step)
    spans.add("later", 5, 6, parent=step)
    spans.chat(7, 45, (100, 10), parent=other)

    assert spans.settle().statuses == ["priced"]


def test_calls_without_usage_below_a_call_that_never_ends_are_not_lost():
    """Every call is counted, whatever its ancestors do."""
    spans = Spans()
    outer = spans.chat(0, None, None, scope="framework")
    spans.chat(1, 9, None, parent=outer)

    assert spans.settle().statuses == ["unpriced"]


@pytest.mark.parametrize("usage", [(100, 10), None])
def test_a_call_without_usage_that_outlives_the_call_above_it_is_a_copy(usage):
    """The framework's span ended first, with usage or without."""
    spans = Spans()
    agent = spans.agent("planner", 0, 30)
    outer = spans.chat(1, 5, usage, scope="framework", parent=agent)
    step = spans.add("step", 1.5, 8, parent=outer)
    spans.chat(2, 7, None, scope="client", parent=step)

    assert spans.settle().statuses == ["priced" if usage else "unpriced"]


def test_a_failed_call_counts_as_failed_and_is_not_unpriced():
    """Nothing was delivered, so there is nothing to price."""
    spans = Spans()
    spans.chat(0, 1, None, failed=True)

    assert spans.settle().statuses == ["failed"]


def test_a_failed_call_is_counted_once_through_nested_copies():
    """Framework, client and SDK all report the same error."""
    spans = Spans()
    outer = spans.chat(0, 10, None, scope="framework", failed=True)
    middle = spans.chat(1, 9, None, scope="client", parent=outer, failed=True)
    spans.chat(2, 8, None, scope="sdk", parent=middle, failed=True)

    assert spans.settle().statuses == ["failed"]


def test_a_failed_attempt_below_a_call_that_succeeds_counts_once_beside_it():
    """The first attempt failed on two spans, the second answered."""
    spans = Spans()
    outer = spans.chat(0, 20, (100, 10), scope="framework")
    attempt = spans.chat(1, 4, None, scope="client", parent=outer, failed=True)
    spans.chat(2, 3, None, scope="sdk", parent=attempt, failed=True)
    answer = spans.chat(5, 15, (100, 10), scope="client", parent=outer)
    spans.chat(6, 14, (100, 10), scope="sdk", parent=answer)

    assert spans.settle().statuses == ["failed", "priced"]


def test_a_failed_call_with_usage_is_billed_as_a_lower_bound():
    """A cut stream: what came was paid for, and there may be more."""
    spans = Spans()
    spans.chat(0, 5, (100, 1), failed=True)

    row = spans.settle().rows[0]

    assert row["status"] == "priced"
    assert row["flags"] == ["partial"]


def test_a_failed_outer_span_does_not_hide_the_usage_its_stream_brings_later():
    """The caller gave up; the client below still learned what was used."""
    spans = Spans()
    outer = spans.chat(0, 5, None, scope="framework", failed=True)
    spans.chat(1, 6, (100, 10), parent=outer)

    assert spans.settle().inputs == [100]


def test_usage_that_comes_after_a_call_was_counted_without_is_not_hidden():
    """The first verdict stands, and so does the bill."""
    spans = Spans()
    root = spans.add("request", 0, 10)
    outer = spans.chat(1, 5, None, scope="framework", parent=root)
    spans.chat(20, 25, (100, 10), parent=outer)

    assert spans.settle().inputs == [100]


def test_an_answer_from_a_response_cache_costs_nothing_and_says_so():
    """Its tokens are in the row all the same."""
    spans = Spans()
    spans.chat(0, 1, (100, 10), more={"gen_ai.response.cached": True})

    row = spans.settle().rows[0]

    assert (row["status"], row["cost_usd"], row["flags"]) == ("priced", "0", ["cached_response"])
    assert row["usage"]["input"] == 100


def test_a_cost_the_provider_reported_wins():
    """It is passed through as it is."""
    spans = Spans()
    reported = {"gen_ai.usage.cost.source": "provider", "gen_ai.usage.cost.amount": 0.125}
    spans.chat(0, 1, (100, 10), more=reported)

    settled = spans.settle()

    assert (settled.rows[0]["cost_usd"], settled.rows[0]["cost_source"]) == ("0.125", "provider")


def test_an_unknown_model_is_unpriced_and_never_zero():
    """No cost is no number."""
    spans = Spans()
    spans.chat(0, 1, model="nobody-knows-this-1")

    settled = spans.settle()

    assert isinstance(settled.calls[0].cost, Unpriced)
    assert settled.rows[0]["cost_usd"] is None


def test_an_error_on_an_agent_means_nothing():
    """A handoff raises; the call below was fine."""
    spans = Spans()
    agent = spans.agent("planner", 0, 20, failed=True)
    spans.chat(1, 9, (100, 10), parent=agent)

    settled = spans.settle()

    assert settled.statuses == ["priced"]
    assert settled.rows[0]["flags"] == []


# --- aggregates -----------------------------------------------------------------------------------


def test_an_aggregate_is_priced_and_flagged():
    """The agent's usage is all that anybody saw, and the cost says so."""
    spans = Spans()
    spans.add("planner.run", 0, 20, {"openinference.span.kind": "AGENT", "llm.model_name": "gpt-4o"} | TOKENS)

    call = spans.settle().calls[0]

    assert call.flags == ["aggregated"]
    assert isinstance(call.cost, Cost)


def test_a_call_that_ends_below_an_ended_aggregate_was_counted_with_it():
    """It starts when the agent is over and settled."""
    spans = Spans()
    agent = spans.agent("planner", 0, 5, (300, 30))
    late = spans.chat(8, 9, (100, 10), parent=agent)

    settled = spans.settle()

    assert settled.carriers == [agent.span_id]
    assert settled.outcome(late) == "duplicate"
    assert settled.call(late).flags == ["aggregated"]


def test_an_agent_that_ends_before_its_calls_waits_for_them():
    """Its children are still open, so nothing can be said yet."""
    spans = Spans()
    agent = spans.agent("planner", 0, 5, (100, 10))
    call = spans.chat(1, 9, (100, 10), parent=agent)

    settled = spans.settle()

    assert settled.carriers == [call.span_id]
    assert settled.outcome(agent) == "rollup"


def test_an_agent_that_sums_up_calls_in_other_traces_counts_nothing():
    """The client's spans are roots of their own; their numbers add up to the agent's."""
    spans = Spans()
    outer = spans.agent("leader", 0, 31, (300, 30))
    spans.agent("planner", 0, 30, (300, 30), parent=outer)
    spans.chat(1, 9, (100, 10))
    spans.chat(10, 19, (200, 20))

    assert spans.settle().inputs == [100, 200]


def test_an_agent_that_sums_up_calls_beside_it_counts_nothing():
    """A callback handler's agent span encloses its calls in time only, in one trace."""
    spans = Spans()
    root = spans.add("GET /", 0, 40)
    spans.agent("planner", 1, 30, (300, 30), parent=root)
    spans.chat(2, 9, (100, 10), parent=root)
    spans.chat(10, 19, (200, 20), parent=root)

    assert spans.settle().inputs == [100, 200]


def test_an_agent_whose_calls_show_no_usage_counts_what_it_sums_up():
    """The calls stay unpriced, the agent's usage is priced."""
    spans = Spans()
    agent = spans.agent("planner", 0, 20, (300, 30))
    spans.chat(1, 9, None, parent=agent)

    assert spans.settle().inputs == [300]
