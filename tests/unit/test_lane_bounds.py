# SPDX-License-Identifier: Apache-2.0
"""Nothing that fails on the straight way of calls reaches the program, and nothing is kept beyond its bounds."""

from __future__ import annotations

import gc
import weakref

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context

import spancost
from spancost.processor import births, plans, untold
from spancost.testing import strict
from tests.kit import counts
from tests.lane_kit import CHAT, Lane, target
from tests.live_kit import PRICE, chat_says
from tests.waiting import until

# --- what fails ----------------------------------------------------------------------------------------


class InjectedError(Exception):
    pass


BEFORE = [  # then the engine takes the call, as if nothing had been
    "spancost.processor.lane:agent_around",
    "spancost.processor.lane:current_block",
    "spancost.processor.lane:agent_from_outside",
    "spancost.processor.lane:Lane._agent_and_line",
    "spancost.processor.lane:Lane._around",
    "spancost.processor.plans:Plans.turn_to",
    "spancost.processor.plans:Plan.find_route",
    "spancost.processor.plans:Table.find",
]
AFTER = [  # the call is counted or not, but never twice, and the error is
    "spancost.meter.records:Record.count_text",
    "spancost.processor.lane:runs_from",
    "spancost.processor.untold:Untold.keep_below",
    "spancost.processor.untold:Untold.call_of",
    "spancost.processor.state:LiveState.end_below",
    "spancost.processor.ended:EndedSpans.add",
]


def use_all(live):
    """Let a call go every way there is to go straight."""
    live.state.serve_exporters()
    plain = live.start("GET /", scope="http")
    with spancost.agent("block"):
        live.call()
        live.call(parent=plain)
        orphan = live.start("chat", CHAT, scope="client", parent=plain)
        plain.end()
        orphan.set_attributes(counts((100, 10)))
        orphan.end()
    token = otel_context.attach(baggage.set_baggage("tenant", "acme"))
    live.call()
    otel_context.detach(token)


@pytest.mark.parametrize("step", BEFORE + AFTER)
def test_a_step_that_fails_never_reaches_the_program_and_counts_no_call_twice(step, monkeypatch):
    live = Lane()
    use_all(live)
    use_all(live)
    owner, name = target(step)
    calls, cost = live.counted, live.metered
    happened = []

    def injected(*_, **__):
        happened.append(1)
        raise InjectedError

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, injected)
        if name in {"turn_to", "find"}:
            live.start("tool", {"gen_ai.operation.name": "execute_tool"}, scope="tools").end()
            live.call(chat_says("gpt-4o-mini"), usage=())
        if name == "find_route":
            live.state.book.replace_table(live.state.book.table)
        use_all(live)

    assert happened
    if step in AFTER:
        assert sum(live.errors.values()) >= 1
        assert all(cause.endswith("_InjectedError") for cause in live.errors)
    assert live.counted - calls <= 5
    assert live.metered - cost <= 4 * PRICE
    calls, cost = live.counted, live.metered
    use_all(live)
    live.processor.force_flush()
    assert 4 <= live.counted - calls <= 5  # a call without usage waited for the flush
    assert live.metered - cost == 4 * PRICE
    assert live.meter.pending() == 0
    if step in BEFORE:
        assert live.before.femto + live.uncarried == live.metered
        assert live.errors.keys() <= ({"on_end_InjectedError"} if name == "find" else set())


@pytest.mark.parametrize("step", AFTER[:2])
def test_what_fails_in_it_does_under_strict(step, monkeypatch):
    live = Lane()
    use_all(live)
    owner, name = target(step)

    def injected(*_, **__):
        raise InjectedError

    monkeypatch.setattr(owner, name, injected)
    with pytest.raises(InjectedError), strict():
        use_all(live)


def test_an_interrupt_leaves_the_engine_free(monkeypatch):
    live = Lane()
    owner, name = target("spancost.meter.records:Record.count_text")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            live.call()
    before = live.counted

    assert live.went_straight()
    assert live.counted == before + 1
    assert not live.state.is_busy


# --- what is kept --------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """The real bounds take long to reach."""
    monkeypatch.setattr(plans, "MAX_PLANS", 64)
    monkeypatch.setattr(plans, "MAX_RECORDS", 128)
    monkeypatch.setattr(births, "MAX_KINDS", 64)
    monkeypatch.setattr(births, "MAX_BORN", 128)
    for module in (births, untold):
        monkeypatch.setattr(module, "MAX_CALLS", 256)


def kept(live):
    """Return how much is kept, and by what it is bounded."""
    lane = live.state.lane
    known, askers = lane._plans, lane.births._askers
    all_plans = [plan for table in known._tables.values() for plan in table._by_key.values()]
    return {
        "plans": (max(len(all_plans), len(known._once)), plans.MAX_PLANS),
        "last": (sum(len(table.last) for table in known._tables.values()), plans.MAX_PLANS),
        "scopes": (len(known._tables), plans.MAX_PLANS),
        "records": (sum(len(plan.records) for plan in all_plans), plans.MAX_RECORDS + 1),
        "askers": (len(askers), births.MAX_KINDS),
        "births": (sum(len(asker.born) for asker in askers.values()), births.MAX_BORN + 1),
        "calls": (max(len(lane.untold.rows), len(lane.births.started)), untold.MAX_CALLS),
    }


NAMED = [
    *("names", "models", "versions", "versions used once", "keys"),
    *("agents", "agents of open calls", "agents around", "agents around open calls"),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("what", NAMED)
def test_nothing_that_programs_vary_grows_without_bound(what):
    live = Lane()
    live.state.settled.listeners = ()
    tracer = live.provider.get_tracer
    times = 1 if "once" in what else 3
    for index in range(1_000):
        says = CHAT | ({"gen_ai.request.model": f"gpt-4o-{index}"} if what == "models" else {})
        says |= {f"key {index}": 1} if what == "keys" else {}
        says |= {"gen_ai.agent.name": f"agent {index}"} if what in {"agents", "agents of open calls"} else {}
        scope = tracer("client", f"{index}" if "versions" in what else "1")
        with spancost.agent(f"agent {index}" if "around" in what else "a"):
            for _ in range(times):
                span = scope.start_span(f"chat {index}" if what == "names" else "chat", attributes=says)
                if "open" in what:
                    live.meter.expecting()
                span.set_attributes(counts((1, 1)))
                span.end()
        live.before.spans.clear()
        live.after.spans.clear()
        for name, (number, bound) in kept(live).items() if index % 50 == 0 else ():
            assert number <= bound, name

    assert live.counted == 2 + 1_000 * times


def test_an_ended_call_leaves_nothing_of_its_span():
    """Attributes may hold a whole conversation."""
    live = Lane()
    live.state.settled.listeners = ()
    with live.agent("a"):
        live.call()
        span = live.call()
    root = live.call()
    assert live.straight.calls == 2
    of_spans = [weakref.ref(thing) for each in (span, root) for thing in (each, each._attributes)]
    live.before.spans.clear()
    live.after.spans.clear()
    del span, root

    assert live.state.lane.untold.rows
    # Another thread may be in the middle of a collection, and then ours does nothing.
    until(lambda: gc.collect() >= 0 and not any(reference() for reference in of_spans))
