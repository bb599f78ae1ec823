# SPDX-License-Identifier: Apache-2.0
"""Every bound of the live engine (design 5.12), flooded: what is kept stays flat, and what overflows is counted."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

import spancost
from spancost import CostSpanProcessor
from spancost.calls import pending, recent, settlement, silent
from spancost.meter import Meter, names
from spancost.processor import untold
from spancost.processor.links import ATOMIC
from spancost.processor.state import LiveState
from tests.kit import OPENINFERENCE_LANGCHAIN, counts
from tests.live_kit import PRICE, Live, chat_says


def flooded(live, number, *, usage=lambda index: (100 + index, 10), parent=None):
    for index in range(number):
        live.chat(usage=usage(index), parent=parent)
        if index % 500 == 0:
            forget(live)


def forget(live):
    """Let the exporters and the listener drop what they keep, which is not ours."""
    for kept in (live.before.spans, live.after.spans, live.calls):
        kept.clear()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The real bounds take seconds to flood; the numbers themselves are held by the first test."""
    monkeypatch.setattr(pending, "MAX_PENDING", 300)
    monkeypatch.setattr(silent, "MAX_WAITING", 300)
    monkeypatch.setattr(settlement, "MAX_HELD", 300)


BOUNDS = (pending.MAX_PENDING, silent.MAX_WAITING, settlement.MAX_HELD, recent.MAX_CALLS, recent.MAX_AGE_NS)


def test_the_bounds_are_the_designs():
    assert BOUNDS == (10_000, 10_000, 10_000, 4_096, 600 * 10**9)


@pytest.mark.parametrize("straight", [True, False] if ATOMIC else [False])
@pytest.mark.parametrize("inside", ["nothing", "an agent span", "a block", "a plain span"])
def test_memory_is_flat_under_calls_without_end(inside, straight, monkeypatch):
    """Also below one span or in one block that lasts for ever."""
    monkeypatch.setattr(untold, "MAX_CALLS", 400)
    live = Live()
    live.state.engine._recent._max_calls = 400
    if not straight:
        live.state.lane.close()
    with spancost.agent("block") if inside == "a block" else live.span("far"):
        boss = None
        if inside == "an agent span":
            boss = live.start("boss", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "boss"})
        elif inside == "a plain span":
            boss = live.start("GET /")
        tracemalloc.start()
        sizes = []
        for start in (1_000, 2_000, 3_000):
            flooded(live, 700, parent=boss, usage=lambda index, start=start: (start + index, 10))
            forget(live)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()

    kept = live.state.engine._recent
    if straight:
        assert len(live.state.lane.untold.rows) == 400
        assert len(kept) < 10
    else:
        assert len(kept) == 400
        assert kept.evicted == 3 * 700 - 400
    assert sizes[2] < sizes[1] * 1.05 < sizes[0] * 1.15
    assert live.counted == 3 * 700


def test_calls_that_wait_for_detached_spans_are_bounded():
    live = Live()
    chain = live.start("chain", {"openinference.span.kind": "CHAIN"}, scope=OPENINFERENCE_LANGCHAIN)
    for index in range(pending.MAX_PENDING + 100):
        live.chat(usage=(100 + index, 10))
        if index % 1000 == 0:
            forget(live)

    assert live.meter.pending() == pending.MAX_PENDING
    assert live.state.engine._calls.pending.overflowed == 100
    assert live.counted == 100
    chain.end()
    assert live.counted == pending.MAX_PENDING + 100


def test_calls_without_usage_that_wait_are_bounded():
    live = Live()
    with live.agent("boss"):
        for _ in range(silent.MAX_WAITING + 100):
            live.chat(usage=())

        assert live.meter.pending() == silent.MAX_WAITING
        assert live.state.engine._silent.overflowed == 100
        assert live.counted == 100

    assert live.counted == silent.MAX_WAITING + 100


def test_calls_without_usage_below_one_open_call_are_bounded():
    live = Live()
    with live.span("outer", chat_says(), scope="framework"):
        for _ in range(silent.MAX_UNSETTLED + 100):
            live.chat(usage=())

        assert live.meter.pending() == silent.MAX_UNSETTLED
        assert live.counted == 100


def test_held_calls_are_bounded():
    """As many open calls as that, each with a copy below: the oldest are settled, and carry just that later."""
    live = Live()
    outers = []
    for _ in range(settlement.MAX_HELD + 50):
        outers.append(live.open_chat(name="outer", scope="framework"))
        live.chat(parent=outers[-1])

    assert live.meter.pending() <= settlement.MAX_HELD + 1
    assert live.counted >= 49
    for outer in outers:
        outer.end()
    assert live.counted == settlement.MAX_HELD + 50
    assert live.before.femto == live.metered == PRICE * live.counted
    assert live.uncarried == 0


def test_spans_that_never_end_are_kept_by_nobody():
    live = Live()
    for _ in range(5_000):
        live.open_chat()
    gc.collect()
    live.processor.force_flush()

    assert len(live.state.tree.nodes) == len(live.state.tree.open) == 0
    assert live.meter.pending() == 0


def test_an_agent_label_has_room_for_so_many_values():
    live = Live()
    for index in range(230):
        with spancost.agent(f"agent {index}"):
            live.chat()

    assert live.agents["__other__"] == 30
    assert len(live.agents) == 201
    # The calls and the runs.
    assert {name: cell.value for name, cell in live.meter._series.overflow.items()} == {
        "gen_ai_agent_name": 60
    }
    assert live.metered == live.before.femto


def test_label_sets_have_a_bound_and_no_money_is_lost():
    live = Live()
    state = LiveState(Meter(max_label_sets=10), live.state.book)
    live.processor._bind(state)
    for index in range(15):
        with live.agent(f"agent {index}"):
            live.chat()

    assert len(state.meter._series.records) + len(state.meter._series.runs) <= 12
    assert state.meter._series.overflow[names.ALL_LABELS].value > 0
    assert live.metered == live.before.femto == 15 * PRICE


def test_labels_of_strangers_are_bounded():
    live = Live(labels=("tenant",))
    for index in range(230):
        with spancost.agent("planner", tenant=f"t{index}"):
            live.chat()

    assert live.meter._series.overflow["tenant"].value == 60
    assert len(live.meter._series.records) == 201


def test_causes_of_errors_are_bounded():
    live = Live()
    for index in range(230):
        live.meter.internal_error(f"cause {index}")

    assert len(live.errors) <= 201


def test_a_long_trace_keeps_nothing_of_spans_that_ended():
    """A child that ends lets go of its node, however long its parent lives."""
    live = Live()
    with live.span("job"):
        for _ in range(3_000):
            live.start("step").end()
        forget(live)
        gc.collect()

        assert len(live.state.tree.nodes) < 10


def test_usage_text_of_any_length_is_not_kept():
    live = Live()
    span = live.open_chat()
    span.set_attributes(counts((100, 10)) | {"gen_ai.input.messages": "x" * 1_000_000})
    span.end()
    forget(live)
    kept = live.state.engine._recent
    del span
    gc.collect()

    assert len(kept) == 1
    assert not [
        o
        for o in gc.get_objects()
        if isinstance(o, dict) and len(str(o.get("gen_ai.input.messages", ""))) > 9
    ]


def test_two_processors_of_one_provider_leave_no_span_open():
    """The first span of a pipeline has a node when the hook of the second processor sees it."""
    live = Live()
    again = CostSpanProcessor.__new__(CostSpanProcessor)
    again._bind(live.state)
    live.provider.add_span_processor(again)
    with live.span("a"), live.span("b"):
        pass
    assert not live.state.tree.open

    live.chat()
    assert live.counted == 1
