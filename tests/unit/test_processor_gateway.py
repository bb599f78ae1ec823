# SPDX-License-Identifier: Apache-2.0
"""A gateway whose callers count their calls themselves (design 5.1 d)."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from spancost.meter import names
from tests.kit import counts
from tests.live_kit import AMOUNT, DUPLICATE_OF, PRICE, Live, chat_says, process_total

CALLER = trace.NonRecordingSpan(
    trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))
)
CALLER_ID = format(2, "016x")


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setenv("SPANCOST_SKIP_REMOTE_CHILDREN", "true")
    return Live()


def serve(live):
    """Serve a request as a gateway does: a server span below the caller's, an agent, a call, a copy of it."""
    with (
        live.tracer().start_as_current_span("POST /v1/chat", context=trace.set_span_in_context(CALLER)),
        live.agent("router"),
        live.span("outer", chat_says() | counts((100, 10)), scope="client"),
    ):
        live.chat(name="inner", scope="other client")


def test_calls_below_a_remote_parent_are_the_callers(live):
    serve(live)

    for name in ("outer", "inner"):
        assert live.before.named(name)[DUPLICATE_OF] == CALLER_ID
        assert AMOUNT not in live.before.named(name)
    assert live.calls == []
    assert live.counted == live.metered == live.uncarried == 0
    assert process_total(live.meter, names.DUPLICATES) == 2
    assert live.runs == {}
    assert live.errors == {}


def test_one_that_has_no_usage_or_settles_late_is_the_callers_too(live):
    live.open_chat(name="silent", parent=CALLER).end()
    open_call = live.open_chat(name="open", parent=CALLER)
    live.chat(name="inner", scope="other client", parent=open_call)
    live.processor.force_flush()
    open_call.end()

    assert live.calls == []
    assert live.counted == live.metered == live.uncarried == 0
    assert {AMOUNT, "spancost.unpriced"}.isdisjoint(live.before.named("open"))
    assert live.before.named("open")[DUPLICATE_OF] == CALLER_ID


def test_the_gateways_own_calls_count(live):
    serve(live)
    with live.agent("warmer"):
        live.chat()

    assert live.before.named("chat")[AMOUNT] == PRICE / 10**15
    assert live.metered == live.before.femto == PRICE
    assert live.agents == {"warmer": 1}
    assert list(live.runs.values()) == [(1, PRICE)]


def test_both_count_without_the_switch():
    live = Live()
    serve(live)

    assert live.metered == live.before.femto == PRICE
    assert live.before.named("inner")[DUPLICATE_OF] != CALLER_ID
    assert process_total(live.meter, names.DUPLICATES) == 1
