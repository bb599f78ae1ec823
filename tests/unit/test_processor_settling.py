# SPDX-License-Identifier: Apache-2.0
"""What waits, and what becomes of it: flushes, spans that never end, finalisers, threads, runs."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span

from spancost.calls.facts import NOTHING
from spancost.processor._sdk import link_of
from spancost.processor.links import node_in
from spancost.processor.writer import Reach, Writer, nowhere
from tests.kit import counts
from tests.live_kit import AMOUNT, DUPLICATE_OF, PRICE, Live, chat_says, in_threads, run_python

OUTER = chat_says()


@pytest.fixture(autouse=True)
def _collected_when_asked():
    """Let the garbage collector run where a test asks for it, and not in the middle of what it prepares."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def finish(span, usage=(100, 10)):
    span.set_attributes(counts(usage))
    span.end()


def test_an_open_call_carries_the_amount_of_the_copy_below_it():
    live = Live()
    with live.span("outer", OUTER, scope="framework") as outer:
        live.chat(name="inner")
        assert live.metered == 0
        assert live.meter.pending() == 1

    assert live.before.named("inner")[DUPLICATE_OF] == format(outer.context.span_id, "016x")
    assert live.before.named("outer")[AMOUNT] == PRICE / 10**15
    assert (live.metered, live.counted, live.uncarried) == (PRICE, 1, 0)


@pytest.mark.parametrize("how", ["force_flush", "shutdown"])
def test_a_flush_settles_and_the_open_span_carries_exactly_that_later(how):
    """Its own usage, which costs more, changes nothing any more (5.1 f)."""
    live = Live()
    with live.span("outer", OUTER, scope="framework") as outer:
        live.chat(name="inner")
        getattr(live.processor, how)()
        assert (live.metered, live.meter.pending()) == (PRICE, 0)
        outer.set_attributes(counts((100, 10, 0)) | {"gen_ai.usage.reasoning.output_tokens": 5})

    assert live.before.named("outer")[AMOUNT] == PRICE / 10**15
    assert (live.metered, live.counted, live.uncarried) == (PRICE, 1, 0)


def test_an_amount_whose_span_never_ends_is_uncarried():
    """Settled early or not: no exported span carries it, and the metric says so."""
    for flush in (False, True):
        live = Live()
        outer = live.open_chat(name="outer", scope="framework")
        live.chat(name="inner", parent=outer)
        if flush:
            live.processor.force_flush()
            assert live.uncarried == 0
        del outer
        gc.collect()
        live.chat(name="next", usage=())  # whatever comes next

        assert AMOUNT not in live.before.named("inner")
        assert (live.metered, live.uncarried, live.counted) == (PRICE, PRICE, 1)
        call = live.calls[0]
        assert call.end >= call.copies[0].end


def test_a_dropped_call_that_never_ended_is_no_call():
    live = Live()
    span = live.open_chat()
    span.set_attributes(counts((100, 10)))
    del span
    gc.collect()

    assert (live.counted, live.metered, live.errors) == (0, 0, {})


def test_live_spans_are_held_weakly():
    live = Live()
    outer = live.start("agent", {"gen_ai.operation.name": "invoke_agent"})
    inner = live.open_chat(parent=outer)
    held = weakref.ref(outer)
    finish(inner)
    del outer, inner
    live.chat(usage=(7, 7))

    assert held() is None


def test_a_roll_up_does_not_wait_for_a_child_that_died_in_a_cycle():
    """The collector frees span and node together, and tells nobody who is freed with them."""
    live = Live()
    boss = live.start("boss", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "boss"})
    lost = live.start("lost", parent=boss)
    lost.itself = lost
    del lost
    boss.set_attributes(chat_says() | {"gen_ai.operation.name": "invoke_agent"} | counts((100, 10)))
    boss.end()
    assert live.counted == 0
    gc.collect()
    live.start("next").end()

    assert live.counted == 1


def test_spans_open_at_the_interpreters_end_are_no_noise():
    done = run_python(
        """
        from tests.live_kit import Live
        live = Live()
        spans = [live.open_chat(name="outer", scope="framework")]
        live.chat(parent=spans[0])
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


class Stream:
    """What a library's stream does that nobody reads to its end: its finaliser ends the span."""

    def __init__(self, span):
        self.span = span
        self.self = self  # freed by the garbage collector alone

    def __del__(self):
        finish(self.span)


def test_a_finaliser_that_ends_a_span_inside_the_lock_is_counted_and_never_stuck():
    """It ends while the engine works on another span of the same thread, and is exported without an amount."""
    live = Live()
    for index in range(50):
        Stream(live.open_chat(name=f"stream {index}"))
    pricer = live.state.settled.pricer

    def collect_then_price(call):
        gc.collect()
        return pricer(call)

    live.state.settled.pricer = collect_then_price
    live.chat(usage=(200, 20))

    assert live.counted == 51
    assert live.metered == 52 * PRICE
    assert live.before.femto + live.uncarried == live.metered
    assert live.errors == {}


def test_a_finaliser_outside_the_lock_puts_the_cost_on_its_span():
    live = Live()
    Stream(live.open_chat(name="stream"))
    gc.collect()

    assert live.before.femto == live.metered == PRICE


def test_a_step_that_fails_late_leaves_the_span_that_was_ending_its_amount():
    live = Live()
    Stream(live.open_chat(name="stream"))
    end, pricer = live.state.engine.end, live.state.settled.pricer
    first = []

    def failing(node, facts, moment):
        if node.name == "stream":
            raise ZeroDivisionError
        first.append(node)
        end(node, facts, moment)

    def collect_then_price(call):
        gc.collect()
        return pricer(call)

    live.state.engine.end, live.state.settled.pricer = failing, collect_then_price
    live.chat()

    assert live.before.named("chat")[AMOUNT] == PRICE / 10**15
    assert live.errors == {"late_ZeroDivisionError": 1}


def test_eight_threads_give_exact_totals():
    """Each with agents of its own below one that all share."""
    live = Live()
    sys.setswitchinterval(1e-5)
    try:
        with live.agent("boss") as boss:

            def work():
                for _ in range(60):
                    with trace.use_span(boss), live.agent("worker"):
                        live.chat()
                        boss.set_attribute(f"note.{time.perf_counter_ns()}", 1)

            in_threads(8, work)
    finally:
        sys.setswitchinterval(0.005)

    assert live.metered == live.before.femto == 480 * PRICE
    assert live.agents == {"worker": 480}
    assert live.runs["shop", "boss"] == (1, 480 * PRICE)
    assert live.runs["shop", "worker"] == (480, 480 * PRICE)
    assert live.errors == {}
    assert live.meter.pending() == 0


def test_gathered_tasks_have_the_agent_they_were_started_in():
    live = Live()

    async def one(name):
        with live.agent(name):
            await asyncio.sleep(0)
            live.chat()
            await asyncio.to_thread(live.chat)

    async def main():
        await asyncio.gather(*(one(f"agent {n}") for n in range(5)))

    asyncio.run(main())

    assert live.agents == {f"agent {n}": 2 for n in range(5)}
    assert live.metered == live.before.femto == 10 * PRICE


def test_a_scrape_settles_nothing_and_may_run_beside_calls():
    live = Live()
    with ThreadPoolExecutor() as pool, live.agent("boss"):
        done = []

        def scrape():
            while not done:
                live.meter.collect()

        scraping = pool.submit(scrape)
        for _ in range(300):
            outer = live.open_chat(scope="framework")
            live.open_chat(parent=outer).end()
            outer.end()
        done.append(True)
        scraping.result()
        assert live.counted == 0
        assert live.meter.pending() >= 300

    assert (live.counted, live.meter.pending()) == (300, 0)


# --- runs --------------------------------------------------------------------------------------


def test_an_agent_span_says_what_its_run_cost_when_asked_to():
    live = Live(run_attributes=True)
    with live.agent("boss"):
        live.chat()
        with live.agent("worker"):
            live.chat(usage=(1000, 100))
    boss, worker = live.before.named("invoke_agent boss"), live.before.named("invoke_agent worker")

    assert (worker["spancost.run.calls"], worker["spancost.run.cost_usd"]) == (1, 0.0035)
    assert (boss["spancost.run.calls"], boss["spancost.run.cost_usd"]) == (2, 0.00385)
    assert live.runs == {("shop", "boss"): (1, 11 * PRICE), ("shop", "worker"): (1, 10 * PRICE)}


def test_without_asking_an_agent_span_stays_as_it_is():
    live = Live()
    with live.agent("boss"):
        live.chat()

    assert not [key for key in live.before.named("invoke_agent boss") if key.startswith("spancost")]
    assert live.runs == {("shop", "boss"): (1, PRICE)}


def test_a_run_counts_a_call_once_however_late_its_copies_come():
    """The second copy ends after another call, in the same run."""
    live = Live()
    with live.agent("boss"), live.span("chain") as chain:
        copy = live.start("copy", chat_says() | {"gen_ai.response.id": "r1"}, scope="framework", parent=chain)
        live.chat(name="first", gen_ai__response__id="r1")
        live.chat(name="other", usage=(7, 7))
        finish(copy)

    assert live.before.named("copy")[DUPLICATE_OF]
    assert live.runs["shop", "boss"] == (1, live.metered)


def test_labels_are_on_runs_too():
    live = Live(labels=("team",))
    with live.agent("boss"):
        live.chat()

    assert live.runs == {("shop", "boss", ""): (1, PRICE)}
    assert live.errors == {}


def test_a_roll_up_alone_is_its_own_run():
    live = Live()
    with live.agent("far", **counts((100, 10))) as span:
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.provider.name", "openai")

    assert live.before.named("invoke_agent far")["spancost.flags"] == ("aggregated",)
    assert live.runs == {("shop", "far"): (1, live.metered)}
    assert live.metered == live.before.femto == PRICE


def test_a_copy_that_would_have_changed_a_settled_amount_says_so_itself():
    """The span with the amount has been exported by then (design 5.1 c)."""
    live = Live()
    with live.agent("planner"):
        copy = live.open_chat(name="copy", scope="other client")
        live.chat(name="first", gen_ai__response__id="r1")
        copy.set_attributes(counts((100, 10, 80)) | {"gen_ai.response.id": "r1"})
        copy.end()

    assert live.before.femto == live.metered == PRICE
    assert "spancost.flags" not in live.before.named("first")
    said = live.before.named("copy")
    assert DUPLICATE_OF in said
    assert said["spancost.flags"] == ("suspect",)


def test_an_amount_that_cannot_be_written_is_uncarried(monkeypatch):
    """An SDK of the future may keep its attributes elsewhere."""
    monkeypatch.setattr("spancost.processor.state.writer", lambda: Writer(nowhere, nowhere, Reach.NOBODY))
    live = Live()
    live.chat()

    assert (live.metered, live.uncarried) == (PRICE, PRICE)


def test_a_node_lets_go_of_what_its_span_said():
    """Messages can be long, and a node lives as long as what is below its span."""
    live = Live()
    with live.agent("boss") as boss:
        child = live.open_chat()
        child.end()
        node = node_in(link_of(boss, live.state.tree.slot, live.state))
        assert node.said is not None

    assert node.said is None
    assert node.facts is not NOTHING
    assert isinstance(boss, Span)


def test_a_thread_that_is_late_with_a_first_child_keeps_that_of_another():
    """It had seen none, was interrupted, and goes on: the child of the other thread is freed without an end."""
    live = Live()
    live.start("first").end()  # the hooks learn by it where they run
    boss = live.start("boss", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "boss"})
    child = live.start("step", parent=boss)
    live.state.quick._first_child(boss)
    del child
    boss.set_attributes(chat_says() | {"gen_ai.operation.name": "invoke_agent"} | counts((100, 10)))
    boss.end()
    live.start("next").end()

    assert live.counted == 1


@pytest.mark.parametrize("ends", ["in time", "late", "never"])
def test_open_children_are_counted_exactly_under_many_threads(ends):
    """A roll-up waits for them: one too many, and it would wait for ever; one too few, and it would not."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        live = Live()
        boss = live.start("boss", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "boss"})
        kept = []

        def work():
            for index in range(200):
                child = live.start("step", parent=boss)
                grandchild = live.start("inner", parent=child)
                if ends == "late" and index % 50 == 0:
                    kept.append(grandchild)
                    child.end()
                elif ends == "never" and index % 50 == 0:
                    del child, grandchild
                else:
                    grandchild.end()
                    child.end()

        in_threads(8, work)
    finally:
        sys.setswitchinterval(interval)
    boss.set_attributes(chat_says() | {"gen_ai.operation.name": "invoke_agent"} | counts((100, 10)))
    boss.end()
    live.start("next").end()
    assert live.counted == (0 if ends == "late" else 1)
    in_threads(8, lambda: [kept.pop().end() for _ in range(len(kept) // 8)])
    while kept:
        assert live.counted == 0
        kept.pop().end()

    assert live.counted == 1
