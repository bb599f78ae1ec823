# SPDX-License-Identifier: Apache-2.0
"""`with spancost.agent("planner")`: who made the calls inside, in every shape that code has."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import get_current

import spancost
from spancost.context import current_block
from tests.kit import counts
from tests.live_kit import AMOUNT, PRICE, Live, chat_says, femto, in_threads


def run_of(live, name):
    return live.runs["shop", name]


def test_calls_in_a_block_are_its_agents():
    live = Live()
    with spancost.agent("planner"):
        live.chat()
    live.chat(usage=(101, 10))

    assert live.before.spans[0][2]["gen_ai.agent.name"] == "planner"
    assert live.agents == {"planner": 1, "unknown": 1}


def test_a_block_makes_no_span():
    live = Live()
    before = get_current()
    with spancost.agent("planner"):
        pass

    assert live.before.spans == []
    assert get_current() == before
    assert live.runs == {}


def test_the_end_of_a_block_observes_what_its_run_cost():
    live = Live()
    for times in (1, 2):
        with spancost.agent("planner"):
            for _ in range(times):
                live.chat()

    assert run_of(live, "planner") == (2, 3 * PRICE)


def test_a_block_that_raises_ends_like_any_other():
    live = Live()
    with contextlib.suppress(ZeroDivisionError), spancost.agent("planner"):
        live.chat()
        raise ZeroDivisionError

    assert current_block() is None
    assert run_of(live, "planner") == (1, PRICE)


def test_a_block_works_without_any_processor():
    with spancost.agent("planner"):
        assert current_block().name == "planner"


# --- nesting -----------------------------------------------------------------------------------


def test_a_block_inside_an_agent_span_wins():
    live = Live()
    with live.agent("span"), spancost.agent("block"):
        live.chat()

    assert live.agents == {"block": 1}


def test_an_agent_span_inside_a_block_wins():
    live = Live()
    with spancost.agent("block"), live.agent("span"):
        live.chat()

    assert live.agents == {"span": 1}


def test_the_innermost_of_many_wins_and_every_run_has_the_cost_once():
    live = Live()
    with spancost.agent("a"), live.agent("b"), spancost.agent("c"), spancost.agent("d"), live.span("tool"):
        live.chat()

    assert live.agents == {"d": 1}
    assert {key[1]: run for key, run in live.runs.items()} == dict.fromkeys("abcd", (1, PRICE))


def test_a_block_around_a_span_that_is_no_agent_names_the_call():
    live = Live()
    with live.agent("far"), spancost.agent("near"), live.span("http"), live.span("chain"):
        live.chat()

    assert live.agents == {"near": 1}


def test_the_calls_own_name_beats_blocks_and_agents():
    live = Live()
    with spancost.agent("block"), live.agent("span"):
        live.chat(gen_ai__agent__name="own")

    assert live.agents == {"own": 1}


def test_a_call_with_the_context_of_its_parent_span_alone_has_the_block_of_that_span():
    """LangChain passes a context of its own."""
    live = Live()
    with spancost.agent("planner"), live.span("chain") as chain:
        pass
    context = trace.set_span_in_context(chain, context={})
    live.tracer().start_span("chat", context=context, attributes=chat_says() | counts((100, 10))).end()

    assert live.agents == {"planner": 1}


# --- decorators --------------------------------------------------------------------------------


def test_every_call_of_a_decorated_function_is_a_run():
    live = Live()

    @spancost.agent("worker")
    def work(times, *, then):
        """Works."""
        for _ in range(times):
            live.chat()
        return then

    assert work(1, then="x") == "x"
    assert work(2, then="y") == "y"
    assert (work.__name__, work.__doc__) == ("work", "Works.")
    assert run_of(live, "worker") == (2, 3 * PRICE)
    assert live.agents == {"worker": 3}


def test_a_decorated_function_may_call_itself():
    live = Live()

    @spancost.agent("worker")
    def work(depth):
        live.chat()
        if depth:
            work(depth - 1)

    work(2)

    assert live.agents == {"worker": 3}
    assert run_of(live, "worker") == (3, 6 * PRICE)


def test_a_decorated_coroutine_function_is_a_block_while_it_is_awaited():
    live = Live()

    @spancost.agent("worker")
    async def work():
        await asyncio.sleep(0)
        live.chat()
        return current_block().name

    async def main():
        waiting = work()
        live.chat(usage=(101, 10))
        return await asyncio.gather(waiting, work())

    assert asyncio.run(main()) == ["worker", "worker"]
    assert live.agents == {"worker": 2, "unknown": 1}
    assert run_of(live, "worker")[0] == 2


def test_async_with():
    live = Live()

    async def main():
        async with spancost.agent("planner"):
            await asyncio.sleep(0)
            live.chat()

    asyncio.run(main())

    assert live.agents == {"planner": 1}


def test_a_decorated_generator_is_a_block_in_its_own_code_only():
    live = Live()

    @spancost.agent("writer")
    def write():
        live.chat()
        got = yield "one"
        live.chat(usage=(101, 10))
        try:
            yield got
        except KeyError:
            live.chat(usage=(102, 10))
        yield "three"
        return "done"

    def caller():
        return (yield from write())

    steps = caller()
    assert next(steps) == "one"
    assert current_block() is None
    live.chat(usage=(103, 10))
    assert steps.send("two") == "two"
    assert steps.throw(KeyError("x")) == "three"
    with pytest.raises(StopIteration) as stop:
        next(steps)

    assert stop.value.value == "done"
    assert live.agents == {"writer": 3, "unknown": 1}
    assert run_of(live, "writer")[0] == 1


def test_a_decorated_generator_that_is_not_read_to_its_end_ends_its_run():
    live = Live()
    closed = []

    @spancost.agent("writer")
    def write():
        try:
            live.chat()
            yield 1
        finally:
            closed.append(current_block().name)

    steps = write()
    next(steps)
    steps.close()

    assert closed == ["writer"]
    assert run_of(live, "writer") == (1, PRICE)


def test_a_generators_own_span_stays_current_in_its_next_step():
    """As without the decorator; and its caller does not see it between the steps."""
    live = Live()

    @spancost.agent("writer")
    def write():
        with live.span("work"):
            yield 1
            live.chat()
            yield 2
        live.chat(name="after", usage=(101, 10))
        yield 3

    with live.span("caller") as caller:
        for _ in write():
            assert trace.get_current_span() is caller
    work = next(span_id for name, span_id, _ in live.before.spans if name == "work")
    chat, after = (node.carrier.parent for node in live.calls)

    assert (chat.span_id, chat.name) == (format(work, "016x"), "work")
    assert after.name == "caller"
    assert live.agents == {"writer": 2}


def test_a_generators_calls_are_below_the_span_of_the_step_in_which_they_are_made():
    live = Live()

    @spancost.agent("writer")
    def write():
        while True:
            live.chat()
            yield

    steps = write()
    for name in ("one", "two"):
        with live.span(name):
            next(steps)

    assert [call.carrier.parent.name for call in live.calls] == ["one", "two"]


def test_a_decorated_asynchronous_generator_is_a_block_in_its_own_code_only():
    live = Live()

    @spancost.agent("writer")
    async def write():
        with live.span("work"):
            live.chat()
            await asyncio.sleep(0)
            got = yield "one"
            live.chat(usage=(101, 10))
            try:
                yield got
            except KeyError:
                live.chat(usage=(102, 10))
            yield "three"

    async def main():
        steps = write()
        found = [await steps.asend(None)]
        assert current_block() is None
        live.chat(usage=(103, 10))
        found.append(await steps.asend("two"))
        found.append(await steps.athrow(KeyError("x")))
        found += [each async for each in steps]
        stopped = write()
        await stopped.asend(None)
        await stopped.aclose()
        return found

    assert asyncio.run(main()) == ["one", "two", "three"]
    assert live.agents == {"writer": 4, "unknown": 1}
    assert run_of(live, "writer")[0] == 2


# --- one object, many entries ------------------------------------------------------------------


def test_one_object_may_be_entered_again_and_again():
    live = Live()
    planner = spancost.agent("planner")
    with planner:
        live.chat()
        with planner:
            live.chat()
        live.chat()
    with planner:
        live.chat()

    assert live.agents == {"planner": 4}
    assert run_of(live, "planner") == (3, 5 * PRICE)
    assert current_block() is None


def test_one_object_may_be_entered_by_many_threads_and_tasks_at_once(caplog):
    live = Live()
    planner = spancost.agent("planner")

    def work():
        for _ in range(20):
            with planner:
                live.chat()

    in_threads(4, work)

    async def one():
        async with planner:
            await asyncio.sleep(0)
            live.chat()
            await asyncio.sleep(0)
            assert current_block().name == "planner"

    async def main():
        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(main())

    assert run_of(live, "planner") == (100, 100 * PRICE)
    assert live.agents == {"planner": 100}
    assert caplog.records == []


def test_leaving_what_was_never_entered_does_nothing():
    spancost.agent("planner").__exit__(None, None, None)


# --- threads, pools, services ------------------------------------------------------------------


def test_a_bare_thread_carries_no_block_and_carry_does():
    live = Live()
    with ThreadPoolExecutor(1) as pool, live.agent("boss"), spancost.agent("planner"):
        pool.submit(live.chat, name="bare").result()
        pool.submit(spancost.carry(live.chat), name="carried", usage=(101, 10)).result()
        pool.submit(live.chat, name="after", usage=(102, 10)).result()

    assert live.before.named("carried")["gen_ai.agent.name"] == "planner"
    assert live.agents == {"planner": 1, "unknown": 2}
    assert live.calls[1].carrier.parent.agent.name == "boss"
    assert run_of(live, "planner") == (1, femto(live.before.named("carried")[AMOUNT]))


def test_carry_keeps_name_arguments_result_and_errors():
    @spancost.carry
    def work(one, *, two):
        """Works."""
        if one == two:
            raise ZeroDivisionError
        return one, two

    assert work(1, two=2) == (1, 2)
    assert (work.__name__, work.__doc__) == ("work", "Works.")
    with pytest.raises(ZeroDivisionError):
        work(1, two=1)


def test_carry_binds_a_coroutine_function_for_as_long_as_it_is_awaited():
    live = Live()

    async def work():
        await asyncio.sleep(0)
        live.chat()

    with spancost.agent("planner"):
        carried = spancost.carry(work)
    asyncio.run(carried())

    assert live.agents == {"planner": 1}


def test_tasks_and_to_thread_carry_a_block():
    live = Live()

    async def main():
        with spancost.agent("planner"):
            task = asyncio.create_task(asyncio.to_thread(live.chat))
        await task

    asyncio.run(main())

    assert live.agents == {"planner": 1}


def headers():
    carrier = {}
    propagate.inject(carrier)
    return carrier


def test_a_block_leaves_the_process_only_when_asked_to():
    with spancost.agent("planner", team="growth"):
        assert headers() == {}
    with spancost.agent("planner", across_services=True, team="growth"):
        assert headers()["baggage"] == "gen_ai.agent.name=planner,spancost.label.team=growth"
        with spancost.agent("inner"):
            assert baggage.get_baggage("gen_ai.agent.name") == "planner"
    assert headers() == {}


def test_another_service_takes_agent_and_labels_from_baggage():
    live = Live(labels=("team",))
    with spancost.agent("planner", across_services=True, team="growth"):
        sent = headers()
    context = propagate.extract(sent)
    span = live.tracer().start_span("chat", context=context, attributes=chat_says())
    span.set_attributes(counts((100, 10)))
    span.end()

    assert live.before.named("chat")["gen_ai.agent.name"] == "planner"
    assert [copy.values[-1] for copy in live.meter._series.copies()] == ["growth"]


def test_blocks_and_spans_beat_baggage():
    live = Live()
    context = baggage.set_baggage("gen_ai.agent.name", "far")
    for name, inside in (("block", spancost.agent("block")), ("span", live.agent("span"))):
        with attached(context), inside:
            live.chat(name=name)

    assert live.agents == {"block": 1, "span": 1}


@contextlib.contextmanager
def attached(context):
    from opentelemetry.context import attach, detach

    token = attach(context)
    try:
        yield
    finally:
        detach(token)


# --- labels ------------------------------------------------------------------------------------


def label_sets(live):
    return sorted(copy.values[6:] for copy in live.meter._series.copies())


def test_labels_of_blocks_are_metric_labels():
    """An inner block inherits what it does not say itself; what is not configured is no label."""
    live = Live(labels=("team", "tier"))
    with spancost.agent("planner", team="growth", tier="gold", color="red"):
        live.chat()
        with spancost.agent("inner", tier="iron"), live.span("tool"):
            live.chat()
    live.chat()

    assert label_sets(live) == [("", ""), ("growth", "gold"), ("growth", "iron")]
    assert set(live.runs) == {("shop", "planner", "growth", "gold"), ("shop", "inner", "growth", "iron")}
    assert live.errors == {}


def test_a_block_says_what_it_says_and_baggage_the_rest():
    live = Live(labels=("team", "tenant"))
    with attached(baggage.set_baggage("spancost.label.tenant", "acme")), spancost.agent("p", team="growth"):
        live.chat()

    assert label_sets(live) == [("growth", "acme")]


def test_labels_from_outside_that_are_no_text_are_empty():
    live = Live(labels=("team",))
    with attached(baggage.set_baggage("spancost.label.team", 7)):
        live.chat()

    assert label_sets(live) == [("",)]


@pytest.mark.parametrize("name", ["", " ", "\n"])
def test_an_empty_name_is_refused(name):
    with pytest.raises(ValueError, match="needs a name"):
        spancost.agent(name)


@pytest.mark.parametrize(("name", "labels"), [(None, {}), (7, {}), (b"x", {}), ("x", {"team": 7})])
def test_names_and_labels_that_are_no_strings_are_refused(name, labels):
    with pytest.raises(TypeError, match="are strings"):
        spancost.agent(name, **labels)


def test_a_long_name_is_cut_in_the_metrics_alone():
    live = Live()
    with spancost.agent("x" * 5000):
        live.chat()

    assert live.before.named("chat")["gen_ai.agent.name"] == "x" * 5000
    assert list(live.agents) == ["x" * 256]


def test_the_block_of_another_engine_is_no_run_of_this_one():
    one, other = Live(), Live()
    with spancost.agent("planner"):
        one.chat()

    assert run_of(one, "planner") == (1, PRICE)
    assert other.runs == {}


def test_a_block_left_on_another_thread_ends_its_run():
    """A framework may enter and leave in different contexts; OpenTelemetry logs what it makes of that."""
    live = Live()
    block = spancost.agent("planner")

    def enter_here_and_leave_there():
        block.__enter__()
        live.chat()
        thread = threading.Thread(target=block.__exit__, args=(None, None, None))
        thread.start()
        thread.join()

    contextvars.copy_context().run(enter_here_and_leave_there)

    assert run_of(live, "planner") == (1, PRICE)
