# SPDX-License-Identifier: Apache-2.0
"""Calls that go straight meet scrapes, forks, threads, finalisers and other engines."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

import spancost
from spancost import CostSpanExporter
from spancost.meter import Meter
from tests.kit import counts
from tests.lane_kit import CHAT, Lane, Straight, close, target
from tests.live_kit import PRICE, Copies, Live, agent_says, in_threads
from tests.meter_kit import by_label

SMALL = 2_500 * 10**6 + 10_000 * 10**6
"""What a call of one token in and one out costs."""


# --- births ------------------------------------------------------------------------------------------


def values_of(live, agent):
    """Return what a scrape shows of an agent's calls."""
    return [
        sample.value
        for family in live.meter.collect()
        for sample in family.samples
        if sample.name == "gen_ai_calls_total" and sample.labels["gen_ai_agent_name"] == agent
    ]


@pytest.mark.parametrize("around", ["resource", "agent", "far agent", "late agent", "block", "default"])
def test_the_series_of_an_open_call_is_at_0_in_a_scrape(around):
    resource = {"service.name": "shop"} | ({"gen_ai.main_agent.name": "new"} if around == "resource" else {})
    settings = {"default_agent": "new"} if around == "default" else {}
    live = Live(provider={"resource": Resource(resource)}, **settings)
    with spancost.agent("first"):
        for _ in range(3):
            live.chat()
    parent = None
    if "agent" in around:
        parent = agent = live.start("a", {} if "late" in around else agent_says("new"))
        if around == "far agent":
            parent = live.start("GET /", parent=agent)
    with spancost.agent("new") if around == "block" else live.span("far"):
        if around != "block":
            otel_context.attach(otel_context.Context())
        span = live.open_chat(parent=parent)
    if around == "late agent":
        agent.set_attributes(agent_says("new"))

    assert values_of(live, "new") == [0]
    span.set_attributes(counts((100, 10)))
    span.end()
    assert values_of(live, "new") == [1]
    assert live.errors == {}


def test_each_model_that_answers_has_its_series_at_0_when_it_is_known():
    answered = "gen_ai.response.model"
    live = Lane(warm=0)
    live.call(**{answered: "gpt-4o-2024-08-06"})
    agent = live.start("a", agent_says("new"))
    open_call = live.start("chat", CHAT, scope="client", parent=agent)
    assert values_of(live, "new") == [0]
    live.call(**{answered: "gpt-4o-2024-11-20"})

    assert values_of(live, "new") == [0, 0]
    open_call.end()


def test_a_call_that_ended_before_a_scrape_bears_nothing_else():
    live = Lane()
    live.call()

    assert values_of(live, "unknown") == [3]
    assert len(live.meter._series.copies()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_in_a_group_of_workers_the_series_is_written_at_the_start(tmp_path):
    from spancost.meter.workers import join

    live = Lane()
    join(live.meter, tmp_path)
    agent = live.start("a", agent_says("new"))
    live.open_chat(parent=agent)

    assert [c.values[1] for c in live.meter._series.copies()] == ["unknown", "new"]
    assert live.errors == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_group_of_workers_has_the_calls_that_went_straight(tmp_path):
    from spancost.meter.workers import join

    live, other = Lane(), Meter()
    for meter in (live.meter, other):
        join(meter, tmp_path)
    live.call()
    live.call()

    assert live.straight.calls == 2
    assert by_label(other, "gen_ai_calls_total", "gen_ai_agent_name") == {"unknown": 4}
    assert sum(by_label(other, "gen_ai_cost_usd_total", "gen_ai_token_type").values()) == pytest.approx(
        live.metered / 10**15
    )


# --- exporters -----------------------------------------------------------------------------------------


def test_a_span_that_went_straight_is_not_priced_again_by_an_exporter_that_gets_another_object():
    """Processors that redact rebuild spans; what they rebuild is known by its ids alone."""
    exporter = CostSpanExporter(Copies(), private=True)  # its engine is not used
    live = Lane()
    exporter._known = live.state
    live.state.serve_exporters()
    before = live.metered
    span = live.call()
    assert live.straight.calls == 1
    for attributes in (dict(span.attributes), {**CHAT, **counts((100, 10))}):
        given = {"context": span.context, "resource": span.resource, "attributes": attributes}
        times = {"start_time": span.start_time, "end_time": span.end_time}
        exporter.export(
            [ReadableSpan("chat", instrumentation_scope=span.instrumentation_scope, **given, **times)]
        )

    assert live.metered == before + PRICE


# --- forks, threads and finalisers -------------------------------------------------------------------


def in_child(work):
    """Run *work* in a forked child; return its output as text."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.write(write, repr(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as output:
        found = output.read()
    assert os.waitpid(pid, 0)[1] == 0
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_knows_no_call_of_its_parents_and_learns_its_own():
    found = []
    for straight in (True, False):
        live = Lane()
        if not straight:
            close(live.state)
        found.append(in_child_and_parent(live, straight=straight))

    assert found[0] == found[1]
    assert found[0][1:] == (5, (1, 2 * PRICE), {})


def in_child_and_parent(live, *, straight):
    done, agent = live.call(), live.start("a", agent_says("a"))
    live.call(parent=agent)
    open_call = live.start("chat", CHAT, scope="client", parent=agent)

    def work():
        assert live.counted == len(live.state.lane.untold.rows) == 0
        assert live.state.lane.is_open
        if not straight:
            close(live.state)
        live.straight = Straight(live.state)
        open_call.set_attributes(counts((100, 10)))
        open_call.end()  # the parent's call
        assert live.counted == 0
        live.call(parent=done)  # below the parent's
        found = [live.counted]
        ways = [live.went_straight(parent=agent) for _ in range(4)]
        assert ways == [False, False, straight, straight]
        agent.end()
        return [*found, live.counted, live.runs["shop", "a"], live.errors]

    child = in_child(work)
    open_call.set_attributes(counts((100, 10)))
    open_call.end()
    agent.end()
    return child, live.counted, live.runs["shop", "a"], live.errors


def test_threads_lose_nothing():
    live = Lane()
    live.state.settled.listeners = ()

    def work():
        agent = live.start("a", agent_says("a"))
        for index in range(200):
            live.call(parent=agent if index % 2 else None)
        agent.end()

    in_threads(8, work)

    assert live.counted == 2 + 8 * 200
    assert live.metered == live.before.femto == 8 * 200 * PRICE + 2 * SMALL
    assert live.agents["a"] == 8 * 100
    assert live.runs["shop", "a"] == (8, 8 * 100 * PRICE)
    assert live.straight.calls > 1_000
    assert live.errors == {}


@pytest.mark.parametrize("are_alike", [True, False])
def test_a_second_engine_made_while_calls_are_made_takes_over_from_the_first(are_alike):
    """It asks the first for what it knows, while other threads add to that."""
    live = Lane()
    live.state.settled.listeners = ()
    switch, done = sys.getswitchinterval(), threading.Event()

    def work():
        while not done.is_set():
            live.call(name="chat" if are_alike else f"chat {live.state.settled.calls}")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    sys.setswitchinterval(1e-6)
    try:
        while len(live.before.spans) < 1_500:
            time.sleep(0.01)
        others = [Live() for _ in range(3)]
        done.set()
    finally:
        done.set()
        sys.setswitchinterval(switch)
        for thread in threads:
            thread.join()

    assert live.metered == live.before.femto
    assert live.counted == len(live.before.spans)
    assert [live.errors, *(each.errors for each in others)] == [{}] * 4


@pytest.mark.parametrize(
    "step",
    [
        "spancost.meter.records:Record.bear",
        "spancost.meter.records:Record.count_text",
        "spancost.route:Route.amounts",
    ],
)
def test_a_finaliser_that_ends_a_call_inside_a_call_loses_none(step, monkeypatch):
    live = Lane()
    owner, name = target(step)
    was, waiting = getattr(owner, name), [live.start("chat", CHAT, scope="client") for _ in range(3)]
    for span in waiting:
        span.set_attributes(counts((100, 10)))

    def ends_another(*given):
        if waiting:
            waiting.pop().end()
        return was(*given)

    monkeypatch.setattr(owner, name, ends_another)
    before = live.counted
    live.call()

    assert waiting == []
    assert live.counted - before == 4
    assert live.metered == live.before.femto + live.uncarried
    assert live.errors == {}


def test_what_the_collector_ends_while_calls_go_straight_is_counted_once():
    live = Lane()
    before = live.counted

    class EndsLate:
        def __init__(self):
            self.me = self
            self.span = live.start("chat", CHAT, scope="client")
            self.span.set_attributes(counts((100, 10)))

        def __del__(self):
            self.span.end()

    threshold = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for _ in range(300):
            EndsLate()
            live.call()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()

    assert live.counted - before == 600
    assert live.metered == live.before.femto + live.uncarried
    assert live.errors == {}
