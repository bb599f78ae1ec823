# SPDX-License-Identifier: Apache-2.0
"""Open calls adopt the first call below them (design 5.1 a, g); everything else carries its own amount."""

from __future__ import annotations

import pytest

from tests.kit import Spans


def framework(spans, start=0, end=30, usage=(100, 10), **more):
    return spans.chat(start, end, usage, scope="framework", **more)


def test_a_retry_below_carries_its_own_amount():
    """Two attempts of one client are two bills, even with equal numbers."""
    spans = Spans()
    outer = framework(spans)
    first = spans.chat(1, 9, (100, 10), parent=outer)
    retry = spans.chat(10, 19, (100, 10), parent=outer)

    settled = spans.settle()

    assert sorted(settled.carriers) == [outer.span_id, retry.span_id]
    assert settled.outcome(first) == "duplicate"


def test_a_fallback_to_another_client_carries_its_own_amount():
    """The second call has other numbers: it is no copy of the first."""
    spans = Spans()
    outer = framework(spans, usage=(120, 12))
    spans.chat(1, 9, (100, 10), scope="one", parent=outer)
    fallback = spans.chat(10, 19, (120, 12), scope="two", parent=outer)

    settled = spans.settle()

    assert sorted(settled.carriers) == [outer.span_id, fallback.span_id]
    assert settled.inputs == [100, 120]


def test_a_guardrail_below_is_adopted_first_and_the_answer_carries_its_own():
    """The ancestor takes the first that ends, whatever it was for; the money is right either way."""
    spans = Spans()
    outer = framework(spans, usage=(500, 50))
    spans.chat(1, 4, (20, 1), parent=outer, model="gpt-4o-mini")
    spans.chat(5, 9, (500, 50), parent=outer)

    settled = spans.settle()

    assert settled.inputs == [20, 500]
    assert all("suspect" not in row["flags"] for row in settled.rows)


def test_an_embedding_below_a_chat_is_no_copy():
    """Another kind of call is never adopted."""
    spans = Spans()
    outer = framework(spans)
    embedding = spans.embed(1, 2, 50, parent=outer)

    settled = spans.settle()

    assert sorted(settled.carriers) == [outer.span_id, embedding.span_id]
    assert settled.inputs == [50, 100]


def test_an_embedding_below_a_call_known_only_at_its_end_hides_no_money():
    """A call by the fallback that encloses an embedding alone is no roll-up of it."""
    spans = Spans()
    outer = spans.chat(0, 10, (100, 10), operation=None, scope="unknown")
    spans.embed(1, 2, 50, parent=outer)

    assert spans.settle().inputs == [50, 100]


def test_an_ancestor_without_usage_carries_the_amount_it_adopted():
    """The outer span shows nothing and still carries what the client below it saw."""
    spans = Spans()
    outer = framework(spans, usage=None)
    spans.chat(1, 9, (100, 10), parent=outer)

    settled = spans.settle()

    assert settled.carriers == [outer.span_id]
    assert settled.inputs == [100]


@pytest.mark.parametrize("response_id", ["r1", None])
def test_further_copies_of_the_adopted_call_join_it(response_id):
    """A second instrumentation of the same client call, beside the first."""
    spans = Spans()
    outer = framework(spans, response_id=response_id)
    one = spans.chat(1, 9, (100, 10), scope="one", parent=outer, response_id=response_id)
    two = spans.chat(1.5, 9.5, (100, 10, 60), scope="two", parent=outer, response_id=response_id)

    settled = spans.settle()

    assert settled.carriers == [outer.span_id]
    assert settled.rows[0]["usage"]["cache_read"] == 60
    assert {settled.outcome(one), settled.outcome(two)} == {"duplicate"}


def test_a_further_copy_with_the_same_response_id_joins_though_its_numbers_are_some_tokens_off():
    """A response id is surer than any number."""
    spans = Spans()
    outer = framework(spans)
    spans.chat(1, 9, (100, 10), scope="one", parent=outer, response_id="r1")
    spans.chat(2, 9.5, (103, 12), scope="two", parent=outer, response_id="r1")

    assert spans.settle().carriers == [outer.span_id]


def test_a_copy_below_another_open_call_joins_the_call_adopted_further_up():
    """Two instrumentations wrap the client beside each other, and the SDK reports below the second."""
    spans = Spans()
    outer = framework(spans)
    spans.chat(1, 8, (100, 10), scope="one", parent=outer)
    two = spans.chat(1, 9, (100, 10), scope="two", parent=outer)
    spans.chat(2, 8.5, (100, 10), scope="sdk", parent=two)

    assert spans.settle().carriers == [outer.span_id]


def test_a_retry_with_a_native_span_of_its_own_stays_a_second_call():
    """Its client's scope reported the first attempt already."""
    spans = Spans()
    outer = framework(spans)
    spans.chat(1, 4, (100, 10), scope="client", parent=outer)
    retry = spans.chat(5, 9, (100, 10), scope="client", parent=outer)
    spans.chat(6, 8, (100, 10), scope="sdk", parent=retry)

    assert sorted(spans.settle().carriers) == [outer.span_id, retry.span_id]


def test_an_ancestor_whose_usage_is_the_sum_of_several_below_adds_nothing():
    """A call in its own words, a roll-up by its numbers."""
    spans = Spans()
    outer = framework(spans, usage=(300, 30))
    spans.chat(1, 9, (100, 10), parent=outer)
    spans.chat(10, 19, (200, 20), parent=outer)

    settled = spans.settle()

    assert settled.inputs == [100, 200]
    assert not any(row["flags"] for row in settled.rows)


def test_a_sum_counts_what_later_copies_added():
    """The first copy lacked reasoning in its output; the sum above has it."""
    spans = Spans()
    outer = framework(spans, usage=(300, 60))
    middle = spans.chat(
        1, 9, (100, 40), scope="client", parent=outer, more={"gen_ai.usage.reasoning.output_tokens": 30}
    )
    spans.chat(2, 8, (100, 10), scope="sdk", parent=middle)
    spans.chat(10, 19, (200, 20), scope="client", parent=outer)

    settled = spans.settle()

    assert settled.inputs == [100, 200]
    assert not any("suspect" in row["flags"] for row in settled.rows)


def test_an_embedding_below_does_not_spoil_the_sum():
    """Only calls of its own kind are what a call can sum up."""
    spans = Spans()
    outer = framework(spans, usage=(300, 30))
    spans.chat(1, 9, (100, 10), parent=outer)
    spans.embed(10, 11, 7, parent=outer)
    spans.chat(12, 19, (200, 20), parent=outer)

    settled = spans.settle()

    assert settled.inputs == [7, 100, 200]
    assert not any("suspect" in row["flags"] for row in settled.rows)


def test_an_ancestor_that_agrees_with_nothing_below_is_suspect_and_adds_nothing():
    """Its numbers are neither a call's nor their sum."""
    spans = Spans()
    outer = framework(spans, usage=(999, 99))
    spans.chat(1, 9, (100, 10), parent=outer)
    spans.chat(10, 19, (200, 20), parent=outer)

    settled = spans.settle()

    assert settled.inputs == [100, 200]
    assert [row["flags"] for row in settled.rows if row["span_id"] == outer.span_id] == [["suspect"]]


def test_facts_come_from_the_innermost_copy_and_the_agent_from_the_outermost():
    """Model, host and tier are known near the wire; who called is known far from it."""
    spans = Spans()
    outer = framework(spans, model="my-alias", more={"gen_ai.agent.name": "planner"})
    spans.chat(
        1, 9, (100, 10), parent=outer, answered_by="gpt-4o-2024-08-06", response_id="r1",
        more={"gen_ai.agent.name": "inner"},
    )  # fmt: skip

    row = spans.settle().rows[0]

    assert (row["model"], row["agent"]) == ("gpt-4o-2024-08-06", "planner")


def test_nested_copies_may_share_a_scope():
    """MLflow and Langtrace report a call at two levels of one library."""
    spans = Spans()
    outer = spans.chat(0, 10, (100, 10), scope="mlflow")
    middle = spans.chat(1, 9, (100, 10), scope="mlflow", parent=outer)
    spans.chat(2, 8, (100, 10), scope="mlflow", parent=middle)

    assert spans.settle().carriers == [outer.span_id]


def test_a_call_by_the_fallback_that_encloses_a_call_is_a_roll_up_whatever_its_numbers():
    """LiteLLM writes a call's usage onto its caller's own span."""
    spans = Spans()
    request = spans.chat(0, 20, (100, 10), operation=None, scope="web")
    first = spans.chat(1, 9, (100, 10), parent=request)
    second = spans.chat(10, 19, (200, 20), parent=request)

    settled = spans.settle()

    assert settled.carriers == [first.span_id, second.span_id]
    assert settled.outcome(request) == "rollup"


def test_a_call_by_the_fallback_that_encloses_an_agents_calls_is_a_roll_up():
    """A boundary between does not make it a call."""
    spans = Spans()
    request = spans.chat(0, 20, (100, 10), operation=None, scope="web")
    agent = spans.agent("planner", 1, 19, parent=request)
    call = spans.chat(2, 9, (100, 10), parent=agent)

    assert spans.settle().carriers == [call.span_id]


def test_a_duplicate_carries_no_amount():
    """Not 0 either: only the carriers have rows."""
    spans = Spans()
    outer = framework(spans)
    inner = spans.chat(1, 9, (100, 10), parent=outer)

    settled = spans.settle()

    assert len(settled.rows) == 1
    assert settled.call(inner) is settled.call(outer)


def test_an_ancestor_that_never_ends_loses_no_call():
    """The program died: what it adopted is settled from what showed."""
    spans = Spans()
    outer = framework(spans, end=None)
    inner = spans.chat(1, 9, (100, 10), parent=outer)

    assert spans.settle().carriers == [inner.span_id]


def test_an_ancestor_that_ends_hours_later_carries_exactly_what_was_settled_early():
    """After ten minutes the amount is final, and it is counted once (5.1 f)."""
    spans = Spans()
    outer = framework(spans, end=7200, usage=(100, 10, 80))
    spans.chat(1, 9, (100, 10), parent=outer)
    spans.chat(1000, 1001, (7, 7))

    settled = spans.settle()

    assert settled.inputs == [7, 100]
    assert settled.carriers[0] == outer.span_id
    assert settled.outcome(outer) == "amount"
    assert settled.rows[0]["usage"]["cache_read"] == 0


def test_a_parallel_call_in_the_adopters_scope_is_another_call():
    """The one has an SDK's span below it and is still open when the other, with equal numbers, ends."""
    spans = Spans()
    agent = spans.agent("planner", 0, 30)
    slow = spans.chat(1, 20, (100, 10), scope="client", parent=agent)
    spans.chat(3, 8, (100, 10), scope="sdk", parent=slow)
    quick = spans.chat(2, 9, (100, 10), scope="client", parent=agent)

    assert spans.settle().carriers == [quick.span_id, slow.span_id]


def test_two_copies_below_an_ended_call_are_copies_of_it():
    """The outermost ended first, and the middle one is still open when the innermost ends."""
    for usage in ((100, 10), None):
        spans = Spans()
        outer = framework(spans, end=5, usage=usage)
        middle = spans.chat(1, 7, (100, 10), scope="client", parent=outer)
        inner = spans.chat(2, 6, (100, 10), scope="sdk", parent=middle)

        assert spans.settle().carriers == [outer.span_id if usage else inner.span_id]


def test_of_two_late_calls_of_one_scope_one_is_a_copy():
    """Siblings never share a scope, below a call that ended as below an open one."""
    spans = Spans()
    outer = framework(spans, end=5)
    spans.chat(1, 6, (100, 10), parent=outer)
    second = spans.chat(7, 8, (100, 10), parent=outer)

    assert spans.settle().carriers == [outer.span_id, second.span_id]


def test_a_retry_below_a_call_that_ended_is_no_copy_even_with_a_copy_of_its_own():
    """What holds for the span between, of a scope that the ended call has already, holds for what is below it."""
    spans = Spans()
    outer = spans.chat(0, 2, scope="framework", failed=True)
    spans.chat(0, 1, (100, 10), scope="client", parent=outer)
    retry = spans.chat(5, 9, (100, 10), scope="client", parent=outer)
    inner = spans.chat(6, 8, (100, 10), scope="other", parent=retry)

    settled = spans.settle()

    assert len(settled.calls) == 2
    assert settled.call(inner) is settled.call(retry)
    assert settled.call(retry) is not settled.call(outer)
