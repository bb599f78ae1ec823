# SPDX-License-Identifier: Apache-2.0
"""Which calls go straight, past the engine, and that nothing is lost, doubled or kept on that way."""

from __future__ import annotations

import gc
import importlib
import os
import weakref

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

import spancost
from spancost.context import BLOCKS_USED
from spancost.processor import lane
from spancost.testing import strict
from tests.kit import LANGSMITH, counts
from tests.lane_kit import Straight, close
from tests.live_kit import DUPLICATE_OF, PRICE, Live, agent_says, chat_says, in_threads
from tests.price_kit import newer

CHAT = chat_says()
SMALL = 2_500 * 10**6 + 10_000 * 10**6
"""What a call of one token in and one out costs."""
REMOTE = trace.NonRecordingSpan(trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1)))


@pytest.fixture(autouse=True)
def no_blocks():
    """Begin as a program does that never entered a block."""
    BLOCKS_USED[0] = False


class Lane(Live):
    """
    As `Live`, with calls of `CHAT` learnt.

    Args:
        warm: How many calls of nobody were made before; their costs are not in the accounts.
        settings: As for `Live`.
    """

    def __init__(self, warm=2, **settings):
        super().__init__(**settings)
        self.straight = Straight(self.state)
        for _ in range(warm):
            self.call(usage=(1, 1))

    def call(self, says=CHAT, *, usage=(100, 10), name="chat", scope="client", parent=None, **more):
        span = self.start(name, says, scope=scope, parent=parent)
        span.set_attributes(counts(usage) | more)
        span.end()
        return span

    def went_straight(self, *given, **named):
        before = self.straight.calls
        self.call(*given, **named)
        return self.straight.calls > before


def said(span):
    return dict(span.attributes)


# --- which ---------------------------------------------------------------------------------------


def test_the_third_call_of_a_kind_is_the_first_that_goes_straight():
    live = Lane(warm=0)

    assert [live.went_straight() for _ in range(4)] == [False, False, True, True]
    assert live.metered == live.before.femto == 4 * PRICE
    assert live.counted == len(live.calls) == 4


def test_an_agent_has_its_first_call_counted_by_the_engine():
    """Where it is counted has to be looked up once."""
    live = Lane()
    with live.agent("planner"):
        assert [live.went_straight() for _ in range(3)] == [False, True, True]
        assert live.agents == {"unknown": 2, "planner": 3}


@pytest.mark.parametrize(
    "around",
    ["nothing", "plain span", "tool", "agent", "nameless agent", "block", "baggage"],
)
def test_calls_go_straight_wherever_no_call_is_around_them(around):
    live = Lane()
    with spancost.agent("b") if around == "block" else live.span("far"):
        parent = None
        if around == "baggage":
            otel_context.attach(baggage.set_baggage("gen_ai.agent.name", "b"))
        elif around == "nothing":
            otel_context.attach(otel_context.Context())
        elif around == "plain span":
            parent = live.start("GET /")
        elif around == "tool":
            parent = live.start("t", {"gen_ai.operation.name": "execute_tool"})
        elif "agent" in around:
            named = {} if "nameless" in around else {"gen_ai.agent.name": "b"}
            parent = live.start("a", {"gen_ai.operation.name": "invoke_agent"} | named)
        live.call(parent=parent)
        first = live.agents.copy()

        assert live.went_straight(parent=parent)
        assert sum(live.agents.values()) == sum(first.values()) + 1
        assert max(live.agents, key=lambda name: live.agents[name] - first[name]) == (
            "b" if around in {"block", "baggage", "agent"} else "unknown"
        )


ODD = {
    "no usage": {"usage": ()},
    "only zeros": {"usage": (0, 0)},
    "a number that is none": {"usage": (True, 10)},
    "a fraction": {"usage": (100.0, 10)},
    "text": {"usage": ("100", 10)},
    "less than nothing": {"usage": (-1, 10)},
    "more than there can be": {"usage": (2**53 + 1, 10)},
    "another key": {"more": 1},
    "another model": {"says": chat_says("gpt-4o-mini")},
    "another name": {"name": "other"},
    "another scope": {"scope": "other"},
    "another operation": {"says": CHAT | {"gen_ai.operation.name": "text_completion"}},
    "the same in another type": {"says": CHAT | {"gen_ai.request.stream": 1}},
}


@pytest.mark.parametrize("what", ODD)
def test_a_call_that_is_not_quite_as_those_before_is_the_engines(what):
    says = CHAT | ({"gen_ai.request.stream": True} if "type" in what else {})
    live = Lane(warm=0)
    for _ in range(2):
        live.call(says)

    assert not live.went_straight(**({"says": says} | ODD[what]))
    assert live.errors == {}


def test_one_scope_alone_shows_calls_or_none_goes_straight():
    live = Lane()
    assert live.went_straight()
    live.call(scope="other")

    assert not live.state.lane.is_open
    assert not live.went_straight()


def test_a_plain_span_of_another_scope_changes_nothing():
    live = Lane()
    live.start("GET /", scope="http").end()
    live.call({"gen_ai.operation.name": "execute_tool"}, usage=(), scope="tools")

    assert live.went_straight()


def test_a_failed_call_is_the_engines():
    live = Lane()
    span = live.start("chat", CHAT, scope="client")
    span.set_attributes(counts((100, 10)))
    span.set_status(trace.StatusCode.ERROR)
    span.end()

    assert live.straight.calls == 0
    assert live.calls[-1].flags == ["partial"]


def test_a_call_with_something_open_below_is_the_engines():
    live = Lane()
    span = live.start("chat", CHAT, scope="client")
    below = live.start("GET /", parent=span)
    span.set_attributes(counts((100, 10)))
    span.end()

    assert live.straight.calls == 0
    below.end()
    assert live.went_straight()


@pytest.mark.parametrize("is_open", [True, False])
def test_a_call_below_a_call_is_the_engines(is_open):
    live = Lane()
    outer = live.start("chat", CHAT, scope="client")
    if not is_open:
        outer.set_attributes(counts((100, 10)))
        outer.end()
    straight = live.straight.calls
    inner = live.call(parent=live.start("GET /", parent=outer))

    assert live.straight.calls == straight
    if is_open:
        outer.end()
        assert said(inner)[DUPLICATE_OF] == format(outer.get_span_context().span_id, "016x")


def test_a_call_below_an_ended_span_is_the_engines():
    """Its link has to be made anew."""
    live = Lane()
    agent = live.start("a", agent_says("a"))
    agent.end()

    assert not live.went_straight(parent=agent)
    assert live.agents["a"] == 1


def test_a_call_that_only_turns_out_to_be_below_one_becomes_its_copy():
    live = Lane()
    outer = live.start("http", scope="app")
    inner = live.call(parent=outer)
    assert live.straight.calls == 1
    outer.set_attributes(CHAT | counts((100, 10)))
    outer.end()

    assert said(outer)[DUPLICATE_OF] == format(inner.get_span_context().span_id, "016x")
    assert live.counted == 3
    assert live.metered == live.before.femto


@pytest.mark.parametrize(
    "settings", [{"labels": ("team",)}, {"cost_attribute": "gen_ai.usage.cost"}], ids=["labels", "alias"]
)
def test_with_these_settings_all_calls_are_the_engines(settings):
    live = Lane(**settings)

    assert not live.went_straight()
    assert live.metered > PRICE


def test_a_call_of_a_span_that_lost_attributes_is_the_engines():
    live = Lane(warm=3, provider={"span_limits": SpanLimits(max_span_attributes=5)})
    assert live.straight.calls == 1

    assert not live.went_straight(plain=1)
    assert live.counted == 4


def test_a_remote_callers_calls_are_the_engines(monkeypatch):
    """A gateway leaves them to the caller, who counts them."""
    monkeypatch.setenv("SPANCOST_SKIP_REMOTE_CHILDREN", "1")
    live = Lane()
    mine = live.counted
    server = live.start("POST /", scope="server", parent=REMOTE)
    span = live.call(parent=server)

    assert said(span)[DUPLICATE_OF] == format(8, "016x")
    assert live.counted == mine


def test_a_span_of_a_detached_scope_ends_it():
    live = Lane()
    live.start("chain", {"langsmith.span.kind": "chain"}, scope=LANGSMITH)

    assert not live.state.lane.is_open


def test_a_roll_up_that_is_all_that_was_seen_ends_it():
    live = Lane()
    live.call(agent_says("a"), name="invoke_agent a", usage=(7, 7))

    assert not live.state.lane.is_open
    assert live.calls[-1].flags == ["aggregated"]


def test_each_resource_is_a_kind_of_its_own():
    live = Lane()
    other = TracerProvider(resource=Resource({"service.name": "other"}), shutdown_on_exit=False)
    other.add_span_processor(live.processor)
    span = other.get_tracer("client").start_span("chat", attributes=CHAT)
    span.set_attributes(counts((100, 10)))
    span.end()

    assert live.straight.calls == 0
    assert {copy.values[0] for copy in live.meter._copies()} == {"shop", "other"}


def test_a_new_price_table_prices_the_next_call(tmp_path):
    book = spancost.PriceBook.built_in().with_table(spancost.PriceBook.built_in().table)
    live = Lane(price_book=book)
    live.call()
    path = tmp_path / "prices"
    path.write_bytes(newer(changed={"openai/gpt-4o-alias": "5"}))
    book.replace_table(importlib.import_module("spancost.prices.table").load(path))

    assert live.went_straight()
    assert live.calls[-1].cost.femto == PRICE + 100 * 2_500 * 10**6
    assert live.calls[-1].cost.price_book == "2999.01.01"
    assert live.metered == live.before.femto


# --- what the engine is told of it ---------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 300, 5_000])
def test_a_second_scope_finds_the_last_4096_calls_by_their_ids(number):
    live = Lane(warm=0)
    live.processor._state.listeners = ()
    key = "gen_ai.response.id"
    spans = [live.call(**{key: f"r{index}"}) for index in range(number + 2)]
    last = live.start("chat", CHAT, scope="framework")
    last.set_attributes(counts((100, 10)) | {key: f"r{number + 1}"})
    last.end()
    old = live.call(scope="framework", **{key: "r0"})

    assert said(last)[DUPLICATE_OF] == format(spans[-1].get_span_context().span_id, "016x")
    assert (DUPLICATE_OF in said(old)) is (0 < number < 4_096)
    assert live.metered == live.before.femto


def test_more_calls_than_a_span_remembers_are_believed_to_be_its_sum():
    """As by the engine: beyond 256 its own usage is no call more."""
    found = []
    for straight in (True, False):
        live = Lane()
        if not straight:
            close(live.state)
        outer = live.start("http", scope="app")
        for index in range(300):
            live.call(parent=outer, usage=(100 + index, 10))
        outer.set_attributes(CHAT | counts((5, 5)))
        outer.end()
        found.append((live.metered, live.counted, said(outer), live.errors))
        assert (live.straight.calls == 300) is straight

    assert found[0] == found[1]


@pytest.mark.parametrize("where", ["the call", "what stood below it"])
def test_what_begins_below_an_ended_call_finds_it(where):
    live = Lane()
    outer = live.start("chat", CHAT, scope="client")
    below = live.start("GET /", scope="http", parent=outer)
    below.end()
    outer.set_attributes(counts((100, 10)))
    outer.end()
    assert live.straight.calls == 1
    live.start("late", parent=below).end()
    inner = live.call(chat_says("gpt-4o-mini"), parent=outer if where == "the call" else below)

    assert said(inner)[DUPLICATE_OF] == format(outer.get_span_context().span_id, "016x")
    assert live.counted == 3
    assert live.state._open == {}


def test_a_run_has_the_calls_that_went_straight_in_it():
    live = Lane(run_attributes=True)
    with spancost.agent("block"), live.agent("outer") as outer:
        with live.span("between"), live.agent("inner") as inner:
            for _ in range(3):
                live.call()
        for _ in range(3):
            live.call()

    assert live.straight.calls == 4
    assert live.runs == {
        ("shop", "inner"): (1, 3 * PRICE),
        ("shop", "outer"): (1, 6 * PRICE),
        ("shop", "block"): (1, 6 * PRICE),
    }
    assert [said(span)["spancost.run.calls"] for span in (inner, outer)] == [3, 6]


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


def test_a_call_that_ended_before_a_scrape_bears_nothing_else():
    live = Lane()
    live.call()

    assert values_of(live, "unknown") == [3]
    assert len(live.meter._copies()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_in_a_group_of_workers_the_series_is_written_at_the_start(tmp_path):
    from spancost.meter.workers import join

    live = Lane()
    join(live.meter, tmp_path)
    agent = live.start("a", agent_says("new"))
    live.open_chat(parent=agent)

    assert [c.values[1] for c in live.meter._copies()] == ["unknown", "new"]
    assert live.errors == {}


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
    live.state.listeners = ()

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


@pytest.mark.parametrize("step", ["spancost.meter.records:Record.count_text", "spancost.route:Route.amounts"])
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


# --- what fails ----------------------------------------------------------------------------------------


class InjectedError(Exception):
    pass


def target(step):
    module, _, path = step.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    return owner, name


BEFORE = [  # then the engine takes the call, as if nothing had been
    "spancost.processor.lane:agent_around",
    "spancost.processor.lane:current_block",
    "spancost.processor.lane:agent_from_outside",
    "spancost.processor.lane:Lane._agent_and_line",
    "spancost.processor.lane:Lane._around",
    "spancost.processor.lane:Lane._turn_to",
    "spancost.processor.plans:Plan.find_route",
    "spancost.processor.plans:Table.find",
]
AFTER = [  # the call is counted or not, but never twice, and the error is
    "spancost.meter.records:Record.count_text",
    "spancost.processor.lane:runs_from",
    "spancost.processor.lane:Lane.keep_below",
    "spancost.processor.lane:Lane.call_of",
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


@pytest.mark.parametrize("step", BEFORE + AFTER)
def test_a_step_that_fails_never_reaches_the_program_and_counts_no_call_twice(step, monkeypatch, caplog):
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
        if name in {"_turn_to", "find"}:
            live.start("tool", {"gen_ai.operation.name": "execute_tool"}, scope="tools").end()
            live.call(chat_says("gpt-4o-mini"), usage=())
        if name == "find_route":
            live.state.book.replace_table(live.state.book.table)
        use_all(live)

    if not happened:
        pytest.skip("not a step of this way")
    if step in AFTER:
        assert sum(live.errors.values()) >= 1
        assert all(cause.endswith("_InjectedError") for cause in live.errors)
    assert live.counted - calls <= 4
    assert live.metered - cost <= 3 * PRICE
    calls, cost = live.counted, live.metered
    use_all(live)
    live.processor.force_flush()
    assert live.counted - calls >= 3
    assert live.metered - cost >= 3 * PRICE
    assert live.meter.pending() == 0
    if step in BEFORE:
        assert live.before.femto + live.uncarried == live.metered
        assert live.errors == {}


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
    monkeypatch.setattr(lane, "MAX_PLANS", 64)
    monkeypatch.setattr(lane, "MAX_RECORDS", 128)
    monkeypatch.setattr(lane, "MAX_CALLS", 256)


def kept(live):
    """Return how much is kept, by what it is bounded."""
    own = live.state.lane
    plans = [plan for table in own._tables.values() for plan in table._by_key.values()]
    return {
        "plans": (max(len(plans), len(own._once), len(own._askers)), lane.MAX_PLANS),
        "last": (sum(len(table.last) for table in own._tables.values()), lane.MAX_PLANS),
        "records": (sum(len(plan.records) for plan in plans), lane.MAX_RECORDS + 1),
        "births": (sum(len(asker.born) for asker in own._askers.values()), lane.MAX_RECORDS + 1),
        "calls": (max(len(own.rows), len(own.started)), lane.MAX_CALLS),
        "scopes": (len(own._tables), lane.MAX_PLANS),
    }


NAMED = ["names", "models", "agents", "versions", "versions used once", "keys", "agents of open calls"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("what", NAMED)
def test_nothing_that_programs_vary_grows_without_bound(what):
    live = Lane()
    live.state.listeners = ()
    tracer = live.provider.get_tracer
    for index in range(1_000):
        for _ in range(1 if "once" in what else 3):
            scope = tracer("client", f"{index}" if "versions" in what else "1")
            says = CHAT | ({"gen_ai.request.model": f"gpt-4o-{index}"} if what == "models" else {})
            says |= {f"key {index}": 1} if what == "keys" else {}
            says |= {"gen_ai.agent.name": f"agent {index}"} if "agents" in what else {}
            span = scope.start_span(f"chat {index}" if what == "names" else "chat", attributes=says)
            if "open" in what:
                live.meter.expecting()
            span.set_attributes(counts((1, 1)))
            span.end()
        live.before.spans.clear()
        live.after.spans.clear()

    assert live.counted == 2 + 1_000 * (1 if "once" in what else 3)
    for name, (number, bound) in kept(live).items():
        assert number <= bound, name


def test_an_ended_call_leaves_nothing_of_its_span():
    """Attributes may hold a whole conversation."""
    live = Lane()
    live.state.listeners = ()
    with live.agent("a"):
        live.call()
        span = live.call()
    root = live.call()
    assert live.straight.calls == 2
    of_spans = [weakref.ref(thing) for each in (span, root) for thing in (each, each._attributes)]
    live.before.spans.clear()
    live.after.spans.clear()
    del span, root
    gc.collect()

    assert [reference() for reference in of_spans] == [None] * 4
    assert len(live.state.lane.untold.rows) == 2
