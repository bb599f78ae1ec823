# SPDX-License-Identifier: Apache-2.0
"""Whatever forest of spans comes: every call is counted once, and what has nothing to do with it changes nothing."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import OPENINFERENCE_LANGCHAIN, Spans, counts, settle

KINDS = ("chat", "embeddings", "invoke_agent", "execute_tool", "chain", None)
SCOPES = ("framework", "client", "sdk", "pydantic-ai", "@mastra/otel", "langsmith", OPENINFERENCE_LANGCHAIN)
USAGES = (None, None, (100, 10), (100, 10), (200, 20), (300, 30), (100, 10, 80), (50,), (0, 0))
RESOURCES = ({}, {"service.name": "a"}, {"service.name": "b", "process.pid": 1}, {"process.pid": 2})
TIMES = st.integers(0, 40)


@st.composite
def forests(draw, *, max_size=14):
    """Spans of every kind below each other in any way; clocks, scopes and numbers clash on purpose."""
    spans = Spans()
    for _ in range(draw(st.integers(1, max_size))):
        above = draw(st.sampled_from([None, *spans.all]))
        start = draw(TIMES)
        kind = draw(st.sampled_from(KINDS))
        attributes = {"gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
        attributes |= {"gen_ai.operation.name": kind} if kind else {}
        attributes |= (
            {"gen_ai.response.id": draw(st.sampled_from(["r1", "r2"]))} if draw(st.booleans()) else {}
        )
        attributes |= (
            {"gen_ai.agent.name": draw(st.sampled_from(["alpha", "beta"]))} if draw(st.booleans()) else {}
        )
        attributes |= counts(draw(st.sampled_from(USAGES)))
        spans.add(
            kind or "span",
            start,
            draw(st.one_of(st.none(), TIMES)) if not draw(st.integers(0, 9)) else start + draw(TIMES),
            attributes if draw(st.integers(0, 5)) else {},
            parent=above,
            scope=draw(st.sampled_from(SCOPES)),
            remote=draw(st.sampled_from([None, False, True])),
            failed=not draw(st.integers(0, 5)),
            resource=draw(st.sampled_from(RESOURCES)),
        )
    return spans


@given(forests())
def test_every_span_is_in_one_call_at_most_and_every_call_has_one_carrier(spans):
    settled = spans.settle()
    members = [
        id(node)
        for call in settled.calls
        for node in {id(n): n for n in (*call.copies, call.carrier)}.values()
    ]
    carriers = [(call.carrier.trace_id, call.carrier.span_id) for call in settled.calls]

    assert len(members) == len(set(members))
    assert len(carriers) == len(set(carriers))


@given(forests())
def test_every_ended_span_with_usage_is_a_call_a_copy_or_a_roll_up(spans):
    settled = spans.settle()
    emitted = {id(call) for call in settled.calls}

    for span in spans.all:
        if span.end is None:
            continue
        node = settled.node(span)
        if node.facts.reading is not None:
            assert node.call is not None or node.outcome == "rollup"
        if node.facts.kind.name == "CALL":
            assert node.call is not None or node.outcome == "rollup"
        if node.call is not None:
            assert id(node.call) in emitted


@given(forests())
def test_no_span_is_both_a_carrier_and_a_duplicate(spans):
    settled = spans.settle()

    for call in settled.calls:
        outcomes = [node.outcome for node in call.copies if node is not call.carrier]
        assert set(outcomes) <= {"duplicate"}
        assert call.carrier.outcome in {"amount", "unpriced", "failed"}


@given(forests(), st.randoms(use_true_random=False))
def test_the_order_of_a_file_changes_nothing(spans, random):
    mixed = list(spans.all)
    random.shuffle(mixed)

    assert facts_of(settle(mixed)) == facts_of(settle(spans.all))


@given(forests(), forests())
def test_unrelated_traces_change_nothing(spans, others):
    """Of another process, in the same minutes, with the same numbers, ids and models."""
    for span in spans.all:
        span.resource = {"process.pid": 7, "host.name": "here"}
    strangers = [
        msgspec.structs.replace(
            span,
            trace_id="f" + span.trace_id[1:],
            resource={"process.pid": 8, "host.name": "here"},
        )
        for span in others.all
    ]
    ours = {span.trace_id for span in spans.all}

    together = settle([*strangers, *spans.all])

    assert [f for f in facts_of(together) if f[0] in ours] == facts_of(spans.settle())


@given(forests(max_size=10), st.data())
def test_one_more_copy_inside_a_call_never_changes_the_total(spans, data):
    """A copy with the same numbers, from an instrumentation of its own, within the call that shows them."""
    start = data.draw(TIMES)
    above = data.draw(st.sampled_from([None, *spans.all]))
    usage = data.draw(st.sampled_from([(100, 10), (123, 45), (300, 30)]))
    # Half a second off: a roll-up that ends on the very tick of the call may be its sum or not.
    call = spans.chat(start + 0.5, start + 0.5 + data.draw(TIMES), usage, parent=above)
    before = spans.settle()
    if len(before.call(call).copies) > 1:
        return  # copies beside it decide as much as the one below

    copy = spans.chat(0, 0, usage, scope="one more", parent=call)
    copy.start, copy.end = call.start, call.end
    after = spans.settle()

    assert after.femto == before.femto
    assert len(after.calls) == len(before.calls)


def facts_of(settled):
    return sorted(
        (call.carrier.trace_id, call.carrier.span_id, call.status, getattr(call.cost, "femto", None))
        for call in settled.calls
    )
