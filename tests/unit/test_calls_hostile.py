# SPDX-License-Identifier: Apache-2.0
"""Recordings that cannot be, and recordings that are large: clocks, cycles, repeats, and the bounds of 5.12."""

from __future__ import annotations

import sys

import pytest

from spancost.calls import Call, Engine, Node, read_span
from spancost.cost import Unpriced
from tests.kit import SECOND, Spans, counts, settle


def test_a_child_that_starts_before_its_parent_is_still_its_child():
    """Two machines' clocks differ."""
    spans = Spans()
    outer = spans.chat(5, 20, (100, 10), scope="framework")
    spans.chat(1, 3, (100, 10), scope="client", parent=outer)

    assert spans.settle().carriers == [outer.span_id]


@pytest.mark.parametrize("below", [True, False])
def test_a_span_that_ends_before_it_starts_is_one_span(below):
    """It is settled once, and holds nothing above it open."""
    spans = Spans()
    root = spans.agent("planner", 0, 30, (100, 10))
    backwards = spans.chat(9, 4, (100, 10), parent=root if below else None)
    spans.chat(5, 6, None, parent=root)

    settled = spans.settle()

    assert settled.inputs == [100]
    assert settled.call(backwards).carrier.span_id == backwards.span_id
    assert settled.node(root).live_children == 0


def test_an_outer_span_that_ends_before_it_starts_is_counted_once():
    """Its child is started after it ended."""
    spans = Spans()
    outer = spans.chat(9, 4, (100, 10), scope="framework")
    spans.chat(5, 6, (100, 10), parent=outer)

    assert spans.settle().inputs == [100]


def test_parents_that_lead_back_to_the_span_are_cut():
    """Each span is its own grandparent."""
    spans = Spans()
    one = spans.chat(0, 9, (100, 10), scope="one")
    two = spans.chat(1, 8, (100, 10), scope="two", trace=one)
    one.parent_id, two.parent_id = two.span_id, one.span_id
    own = spans.chat(20, 29, (7, 7))
    own.parent_id = own.span_id

    assert spans.settle().inputs == [7, 100]


def test_a_span_that_is_there_twice_is_one_span():
    """The exporter sent it again."""
    spans = Spans()
    spans.chat(0, 9)
    spans.all *= 2

    assert len(spans.settle().rows) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_of_an_unfinished_and_a_finished_record_of_one_span_the_finished_counts(first):
    """A snapshot of the running span is in the file too."""
    spans = Spans()
    done = spans.chat(0, 9, (100, 10))
    running = spans.chat(0, None, None, trace=done)
    running.span_id = done.span_id
    order = [done, running] if first == 0 else [running, done]

    assert settle(order).inputs == [100]


def test_equal_span_ids_in_two_traces_are_two_spans():
    """Only trace and span id together name a span."""
    spans = Spans()
    one, two = spans.chat(0, 9), spans.chat(20, 29)
    two.span_id = one.span_id

    assert len(spans.settle().rows) == 2


def test_a_span_without_length_starts_before_it_ends():
    """Start and end fall on one tick, and so do its parent's."""
    spans = Spans()
    outer = spans.chat(5, 5, (100, 10), scope="framework")
    spans.chat(5, 5, (100, 10), parent=outer)

    assert spans.settle().carriers == [outer.span_id]


@pytest.mark.parametrize("starts", [(0, 1), (1, 0)])
def test_on_a_tie_the_child_ends_first(starts):
    """Whichever of the two started first by its clock."""
    spans = Spans()
    outer = spans.chat(starts[0], 9, (100, 10), scope="framework")
    spans.chat(starts[1], 9, (100, 10), parent=outer)

    assert spans.settle().carriers == [outer.span_id]


@pytest.mark.parametrize("when", [0, 2**63 - 2, 2**63 - 1, 2**64 - 1])
def test_times_at_the_edges_of_what_a_file_can_say_are_read(when):
    """A clock that was never set, or set wrongly."""
    spans = Spans()
    span = spans.chat(0, 9)
    span.start = span.end = when
    spans.chat(1, 2, (7, 7))

    assert spans.settle().inputs == [7, 100]


def test_a_chain_of_ten_thousand_calls_is_settled_without_recursion():
    """Nested calls without usage, to any depth."""
    spans = Spans()
    parent = None
    for i in range(10_000):
        parent = spans.chat(
            i / 1000, 30 - i / 1000, None, scope=f"s{i % 7}", parent=parent, failed=i % 3 == 0
        )

    assert len(spans.settle().rows) >= 1


def steps_per_call(spans, count):
    """Return how many functions are entered for each of *count* calls: work, whatever the machine is doing."""
    entered = 0

    def count_it(_frame, event, _argument):
        nonlocal entered
        entered += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count_it)
    try:
        rows = spans.settle().rows
    finally:
        sys.setprofile(before)
    assert len(rows) in (count, 2 * count)
    return entered / count


def test_a_deep_chain_costs_each_call_the_same_however_many_there_are():
    """Many calls at the bottom of two hundred spans."""

    def steps(count):
        spans = Spans()
        parent = spans.agent("planner", 0, 9000)
        for i in range(200):
            parent = spans.add("step", i / 1000, 9000 - i / 1000, parent=parent)
        for i in range(count):
            spans.chat(10 + i, 11 + i, (100 + i, 10), parent=parent)
        return steps_per_call(spans, count)

    assert steps(800) < 1.5 * steps(200)


@pytest.mark.parametrize("usage", [(100, 10), (50,), None])
def test_many_equal_calls_below_one_span_cost_no_more_each(usage):
    """A worker that loops for hours: no list of its calls is searched for every one."""

    def steps(count):
        spans = Spans()
        root = spans.add("worker", 0, 3 * count + 10)
        for i in range(count):
            spans.chat(3 * i, 3 * i + 1, usage, scope="one", parent=root)
            spans.chat(3 * i + 0.1, 3 * i + 0.9, usage, scope="two", parent=root)
        return steps_per_call(spans, count)

    assert steps(4000) < 2 * steps(1000)


def test_an_open_detached_span_does_not_slow_down_the_calls_beside_it():
    """A graph that runs for an hour: what waits for it is not searched for every call."""

    def steps(count):
        spans = Spans()
        spans.langchain("graph", 0, 100_000, "CHAIN")
        for i in range(count):
            spans.chat(0.1 + i / 20, 0.12 + i / 20, (100 + i, 10))
        return steps_per_call(spans, count)

    assert steps(4000) < 1.5 * steps(1000)


def test_what_waits_is_bounded():
    """One span of a callback handler never ends; the calls of the days after do not pile up."""
    engine, settled = engine_of()
    engine.start(Node("0", "0", None, is_root=True, name="graph", scope="langsmith", start=0, detached=True))
    for i in range(12_000):
        end_call(engine, i, start=i * SECOND // 1000)

    assert engine.waiting <= 10_000
    engine.flush()

    assert sorted(call.carrier.span_id for call in settled) == sorted(str(i) for i in range(12_000))


def test_what_waits_longer_than_ten_minutes_is_settled():
    """By the time of the spans, whoever looks at a clock."""
    engine, settled = engine_of()
    engine.start(Node("0", "0", None, is_root=True, name="graph", scope="langsmith", start=0, detached=True))
    end_call(engine, 1, start=SECOND)
    end_call(engine, 2, start=700 * SECOND)

    assert [call.carrier.span_id for call in settled] == ["1"]


def test_what_is_remembered_of_recent_calls_is_dropped_whole():
    """A copy changed the numbers and brought an id; a later one finds nothing of it."""
    engine, settled = engine_of()
    for i in range(50):
        start = 1000 * i * SECOND
        end_call(engine, i, start=start, trace=f"t{i}", usage=(100, 10))
        end_call(engine, i, start=start, trace=f"u{i}", usage=(100, 10, 90), scope="two", response_id=f"r{i}")

    assert len(settled) == 50
    assert engine.remembered <= 8


def engine_of():
    """An engine without prices, and the list of what it emits."""
    settled: list[Call] = []
    return Engine(lambda _: Unpriced("no_usage"), settled.append), settled


def end_call(engine, number, *, start, trace="0", usage=(100, 10), scope="client", response_id=None):
    """Start and end a call that is the root of a trace."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.response.id": response_id} | counts(usage)
    facts = read_span("chat", attributes, scope, "", failed=False)
    node = Node(
        trace, str(number), None, is_root=True, name="chat", scope=scope, start=start, call_type="chat"
    )
    engine.start(node)
    engine.end(node, facts, start + SECOND)
