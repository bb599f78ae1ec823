# SPDX-License-Identifier: Apache-2.0
"""One engine a process: its settings, forks, switches, and what it says once."""

from __future__ import annotations

import logging
import os

import pytest
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, TracerProvider

import spancost
from spancost import CostSpanProcessor, PriceBook
from tests.kit import counts
from tests.live_kit import PRICE, Live, chat_says, run_python

SHARED = """
    import spancost
    from prometheus_client import REGISTRY, generate_latest
    from tests.live_kit import Live
    """


def said(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_processors_of_a_process_share_engine_and_registry():
    done = run_python(
        SHARED
        + """
    one, two = Live(spancost.CostSpanProcessor()), Live(spancost.CostSpanProcessor())
    one.chat(); two.chat(usage=(101, 10))
    print(one.state is two.state, one.counted)
    print(generate_latest(REGISTRY).decode().count("gen_ai_operation_cost_usd_count{"))
    """
    )

    assert said(done) == ["True", "2", "1"]


@pytest.mark.parametrize(
    "other",
    [
        'labels=["team"]',
        'default_agent="main"',
        "price_book=OTHER",
    ],
)
def test_other_settings_than_the_process_has_are_refused(other):
    """Not ignored: they would be in force nowhere."""
    done = run_python(
        f"""
        import spancost
        class OTHER:
            digest = "another"
        spancost.CostSpanProcessor(price_book=spancost.PriceBook.default())
        try:
            spancost.CostSpanProcessor({other})
        except ValueError as error:
            print("refused:", error)
        spancost.CostSpanProcessor(run_attributes=True)
        """
    )

    assert said(done)[0] == "refused:"
    assert "has a cost processor with other settings already" in done.stdout


def test_a_label_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="extra labels"):
        CostSpanProcessor(private=True, labels=("gen_ai_agent_name",))


def test_a_price_book_of_ones_own_is_shown():
    live = Live(price_book=PriceBook.default())
    live.chat()

    assert "spancost_price_book" in {family.name for family in live.meter.collect()}


@pytest.mark.parametrize("value", ["true", "1", "TRUE", "yes"])
def test_disabled_switches_the_processor_off(value):
    done = run_python(
        SHARED
        + """
    live = Live(spancost.CostSpanProcessor())
    with spancost.agent("planner", across_services=True):
        from opentelemetry import baggage
        print(dict(baggage.get_all()))
        live.chat()
    print(live.before.femto, generate_latest(REGISTRY).decode().count("gen_ai"))
    """,
        SPANCOST_DISABLED=value,
    )

    assert said(done) == ["{}", "0", "0"]


# --- fork --------------------------------------------------------------------------------------


def in_child(work):
    """Run *work* in a forked child; return its output as a list of words."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.write(write, " ".join(map(str, work())).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as output:
        words = output.read().split()
    assert os.waitpid(pid, 0)[1] == 0
    return words


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork among threads, since Python 3.12
def test_a_forked_child_begins_at_zero_and_its_parent_goes_on():
    live = Live()
    boss = live.start("boss", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "boss"})
    live.chat(parent=boss)
    outer = live.open_chat(name="outer", scope="framework", parent=boss)
    live.chat(name="inner", usage=(7, 7), parent=outer)
    assert live.meter.pending() == 1

    def work():
        found = [live.counted, live.metered, live.meter.pending(), live.meter.collect() is not None]
        outer.set_attributes(counts((7, 7)))
        outer.end()  # the parent's call: it ends there too
        found += [live.counted, live.metered]
        live.chat(name="mine", usage=(200, 20), parent=boss)
        boss.end()
        found += [live.counted, live.metered, *live.agents, *live.runs.values()]
        return found

    words = in_child(work)
    outer.end()
    boss.end()

    assert words[:6] == ["0", "0", "0", "True", "0", "0"]
    assert words[6:9] == ["1", str(2 * PRICE), "boss"]
    assert "".join(words[9:]) == f"(1,{2 * PRICE})"
    assert (live.counted, live.uncarried) == (2, 0)
    assert live.metered == live.before.femto == live.runs["shop", "boss"][1]


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_block_open_across_a_fork_is_a_run_of_its_own_in_the_child():
    live = Live()
    with spancost.agent("planner"):
        live.chat()

        def work():
            live.chat(usage=(200, 20))
            return [live.agents["planner"]]

        def all_of_it():
            words = work()
            # What the `with` statement does at its end in the child.
            block = spancost.context.current_block()
            block.ended()
            return [*words, *live.runs.values()]

        words = in_child(all_of_it)

    assert "".join(words) == f"1(1,{2 * PRICE})"
    assert live.runs == {("shop", "planner"): (1, PRICE)}


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_the_lock_is_held_leaves_the_child_free():
    live = Live()
    words = []

    def in_the_child():
        live.state.settled.listeners = ()  # a fork inside a fork may hang in the SDK's own thread pool
        return [live.chat(usage=(1, 1)).name, live.counted]

    def fork(_):
        words.extend(in_child(in_the_child))

    live.processor.on_call(fork)
    live.state.settled.listeners = live.state.settled.listeners[-1:]
    live.chat()

    assert words[:1] == ["chat"]
    assert live.errors == {}


# --- said once ---------------------------------------------------------------------------------


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and r.name == "spancost"]


def test_a_hint_comes_once_when_many_calls_name_no_agent(caplog):
    live = Live()
    second = Live(processor=live.processor)
    for _ in range(30):
        live.chat()
        second.chat()

    (hint,) = warnings(caplog)
    assert "50 of the first 50 LLM calls name no agent" in hint


def test_no_hint_comes_where_few_calls_name_no_agent(caplog):
    """A fifth is few, and the first fifty calls decide."""
    live = Live()
    for _ in range(10):
        live.chat()
    with live.agent("planner"):
        for _ in range(60):
            live.chat()
    for _ in range(30):
        live.chat()

    assert warnings(caplog) == []


def concurrent():
    provider = TracerProvider(active_span_processor=ConcurrentMultiSpanProcessor(), shutdown_on_exit=False)
    processor = CostSpanProcessor(private=True)
    provider.add_span_processor(processor)
    return provider, processor


def two_calls(provider):
    tracer = provider.get_tracer("client")
    for _ in range(2):
        with tracer.start_as_current_span("work"):
            tracer.start_span("chat", attributes=chat_says() | counts((100, 10))).end()
    provider.shutdown()


def test_hooks_on_other_threads_are_warned_of_once_where_blocks_are_used(caplog):
    provider, processor = concurrent()
    with spancost.agent("planner"):
        two_calls(provider)

    (warning,) = warnings(caplog)
    assert "ConcurrentMultiSpanProcessor" in warning
    assert processor._state.settled.calls == 2


def test_hooks_on_other_threads_are_no_matter_where_no_blocks_are_used(caplog, monkeypatch):
    monkeypatch.setattr("spancost.context.BLOCKS_USED", [False])
    provider, _ = concurrent()
    two_calls(provider)

    assert warnings(caplog) == []


def test_blocks_under_the_usual_pipeline_are_warned_of_never(caplog):
    live = Live()
    with spancost.agent("planner"), live.agent("inner") as above:
        live.chat()
        live.chat(parent=above)

    assert warnings(caplog) == []


def test_the_environment_bounds_the_labels(monkeypatch):
    """An operator who pays per series sets the bounds without a change of code."""
    monkeypatch.setenv("SPANCOST_MAX_LABEL_VALUES", "3")
    monkeypatch.setenv("SPANCOST_MAX_LABEL_SETS", "7")

    meter = CostSpanProcessor(private=True).meter

    assert (meter.max_label_values, meter.max_label_sets) == (3, 7)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_bound_that_is_no_number_is_refused_by_name(monkeypatch, value):
    """A wrong setting says which one and what it may be."""
    monkeypatch.setenv("SPANCOST_MAX_LABEL_VALUES", value)

    with pytest.raises(ValueError, match="SPANCOST_MAX_LABEL_VALUES must be a whole number from 1 up"):
        CostSpanProcessor(private=True)
