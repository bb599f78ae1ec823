# SPDX-License-Identifier: Apache-2.0
"""Which calls go straight, past the engine, and what it knows of them when it has to."""

from __future__ import annotations

import importlib

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

import spancost
from tests.kit import LANGSMITH, counts
from tests.lane_kit import CHAT, Lane, Straight, close, said
from tests.live_kit import DUPLICATE_OF, PRICE, agent_says, chat_says
from tests.price_kit import newer

REMOTE = trace.NonRecordingSpan(trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1)))


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


def test_calls_of_two_providers_that_take_turns_go_straight():
    """Each has a resource of its own, and so its own plans: none replaces the other's."""
    live = Lane()
    second = TracerProvider(resource=Resource({"service.name": "other"}), shutdown_on_exit=False)
    second.add_span_processor(live.processor)

    def went_straight_there():
        before = live.straight.calls
        span = second.get_tracer("client").start_span("chat", attributes=CHAT)
        span.set_attributes(counts((100, 10)))
        span.end()
        return live.straight.calls > before

    turns = [(live.went_straight(), went_straight_there()) for _ in range(5)]

    assert turns[2:] == [(True, True)] * 3
    assert live.counted == 12


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
    """It knows what was on the span at its start, which is as others of its kind now."""
    live = Lane(warm=3, provider={"span_limits": SpanLimits(max_span_attributes=5)})
    assert live.straight.calls == 1

    assert not live.went_straight({"gen_ai.agent.name": "own"} | CHAT)
    assert live.agents == {"unknown": 3, "own": 1}


def test_a_call_at_a_time_of_day_with_rates_of_its_own_is_the_engines():
    """There is something to be said about its price."""
    live = Lane(warm=0)
    midday = 1_740_830_400 * 10**9  # 2025-03-01, four and a half hours before the night's rates
    says = CHAT | {"gen_ai.provider.name": "deepseek", "gen_ai.request.model": "deepseek-chat"}
    for hours in (0, 1, 2, 5):
        span = live.start("chat", says, scope="client", start_time=midday + hours * 3_600 * 10**9)
        span.set_attributes(counts((100, 10)))
        span.end()

    assert live.straight.calls == 1
    assert [call.flags for call in live.calls] == [[], [], [], ["window"]]
    assert live.calls[3].cost.femto * 2 == live.calls[2].cost.femto


def test_a_resource_may_name_the_agent_of_calls_in_no_context():
    resource = Resource({"service.name": "shop", "gen_ai.main_agent.name": "main"})
    live = Lane(provider={"resource": resource})

    assert live.went_straight()
    assert live.agents == {"main": 3}


def test_a_key_in_place_of_another_makes_another_kind():
    live = Lane(warm=0)
    for _ in range(3):
        live.call(plain=1)
    assert live.straight.calls == 1

    assert not live.went_straight(**{"gen_ai.agent.name": "own"})
    assert live.agents == {"unknown": 3, "own": 1}


def test_a_call_whose_cost_is_reported_is_the_engines():
    """A cost of 0 is none; the next one that looks alike may have one."""
    live = Lane(warm=0)
    for cost in (0, 0, 0, 0, 0.5):
        live.call(scope="openrouter", **{"gen_ai.usage.cost": cost})

    assert live.straight.calls == 0
    assert [call.cost.source for call in live.calls] == ["local"] * 4 + ["provider"]


def test_the_nearest_name_wins():
    """The call's own, then the innermost of block and agent span; a blank one is none, and stays."""
    live = Lane()
    for _ in range(3):
        with live.agent("span"), spancost.agent("block"):
            in_block = live.call()
        with spancost.agent("block"), live.agent("span"):
            in_span = live.call()
            own = live.call(CHAT | {"gen_ai.agent.name": "own"})
            blank = live.call(CHAT | {"gen_ai.agent.name": " "})

    assert live.straight.calls == 6
    assert live.agents == {"unknown": 2, "block": 3, "span": 6, "own": 3}
    assert [said(span)["gen_ai.agent.name"] for span in (in_block, in_span, own, blank)] == [
        *("block", "span", "own", " ")
    ]


def test_a_calls_own_name_wins_right_below_an_agent():
    own = CHAT | {"gen_ai.agent.name": "own"}
    live = Lane()
    for _ in range(3):
        live.call(own)
    agent = live.start("a", agent_says("a"))

    assert live.went_straight(own, parent=agent)
    assert live.agents == {"unknown": 2, "own": 4}


@pytest.mark.parametrize("kind", ["execute_tool", "invoke_agent"])
def test_what_was_a_tool_or_an_agent_while_a_call_ended_below_is_no_copy_of_it(kind):
    live = Lane()
    outer = live.start("x", {"gen_ai.operation.name": kind}, scope="app")
    live.call(parent=outer)
    outer.set_attributes(CHAT | counts((7, 7)))
    outer.end()

    assert live.straight.calls == 1
    assert DUPLICATE_OF not in said(outer)
    assert live.counted == 4


def test_a_call_by_a_clock_that_went_back_took_no_time():
    live = Lane()
    span = live.start("chat", CHAT, scope="client", start_time=10**18)
    span.set_attributes(counts((100, 10)))
    span.end(end_time=10**18 - 1)

    assert live.straight.calls == 1
    assert (live.calls[-1].start, live.calls[-1].end) == (10**18, 10**18)
    assert min(record.duration.total for record in live.meter._series.copies()) >= 0
    assert live.errors == {}


def test_an_agent_that_names_itself_anew_has_the_calls_that_follow():
    live = Lane()
    with live.agent("first") as agent:
        live.call()
        live.call()
        agent.set_attribute("gen_ai.agent.name", "second")
        live.call()
        live.call()
        agent.set_attribute("gen_ai.agent.name", "first")
        live.call()

    assert live.straight.calls == 3
    assert live.agents == {"unknown": 2, "first": 3, "second": 2}


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
    assert {copy.values[0] for copy in live.meter._series.copies()} == {"shop", "other"}


def test_settings_that_the_program_chooses_later_hold_for_all_calls():
    """An engine may be there before the processor that says how: for an exporter, or by the instrumentor."""
    live = Lane(warm=0)
    book = spancost.PriceBook.built_in()
    live.state.choose(book, "chosen", "gen_ai.usage.cost.amount", False)  # noqa: FBT003 - as it is called
    live.straight = Straight(live.state)
    open_call = live.open_chat()
    assert [live.went_straight() for _ in range(4)] == [False, False, True, True]
    live.processor.meter.expecting()

    assert live.agents == {"chosen": 4}
    assert [call.agent.name for call in live.calls] == ["chosen"] * 4
    assert open_call.is_recording()


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
    live.processor._state.settled.listeners = ()
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
        (node,) = live.state.tree.open.values()
        assert len(node.rows or ()) <= 256
        outer.set_attributes(CHAT | counts((5, 5)))
        outer.end()
        found.append((live.metered, live.counted, said(outer), live.errors))
        assert (live.straight.calls == 300) is straight

    assert found[0] == found[1]


@pytest.mark.parametrize("at_start", [True, False])
@pytest.mark.parametrize("kind", ["execute_tool", "invoke_agent"])
def test_a_call_beyond_a_tool_or_an_agent_is_no_copy(kind, at_start):
    live = Lane()
    for _ in range(2):
        outer = live.start("outer", scope="client")
        between = live.start("b", {"gen_ai.operation.name": kind} if at_start else {}, parent=outer)
        live.call(parent=between)
        between.set_attribute("gen_ai.operation.name", kind)
        between.end()
        outer.set_attributes(CHAT | counts((100, 10)))
        outer.end()

    assert live.straight.calls >= 2
    assert live.counted == 6


def test_what_waits_for_a_call_to_end_is_told():
    """A roll-up that ends before the calls below it counts only if none of them shows usage."""
    live = Lane()
    agent = live.start("a", agent_says("a"))
    live.call(parent=agent)
    call = live.start("chat", CHAT, scope="client", parent=live.start("GET /", parent=agent))
    agent.end()
    call.set_attributes(counts((100, 10)))
    call.end()
    boss = live.start("b", agent_says("a"))
    late = live.start("chat", CHAT, scope="client", parent=boss)
    boss.set_attributes(counts((5, 5)))
    boss.end()
    assert live.meter.pending() == 1
    straight = live.straight.calls
    late.set_attributes(counts((100, 10)))
    late.end()

    assert live.straight.calls == straight + 1
    assert live.meter.pending() == 0
    assert live.counted == 5


def test_a_span_knows_of_the_types_of_all_calls_below_it():
    """By its usage alone it is a call only where none of its type is below, beyond agents too."""
    embed = chat_says("text-embedding-3-small") | {"gen_ai.operation.name": "embeddings"}
    live = Lane(warm=0)
    for _ in range(3):
        straight = live.straight.calls
        outer = live.start("outer", scope="client")
        agent = live.start("a", agent_says("a"), parent=outer)
        live.call(embed, name="embed", usage=(1,), parent=agent)
        live.call(parent=agent)
        agent.end()
        outer.set_attributes({"gen_ai.request.model": "gpt-4o"} | counts((7, 7)))
        outer.end()

    assert live.straight.calls - straight == 2
    assert live.counted == 6


def test_what_names_an_ended_call_by_its_ids_alone_finds_it():
    """As a context does that came through a carrier of the program's own."""
    live = Lane()
    outer = live.call()
    assert live.straight.calls == 1
    by_ids = trace.NonRecordingSpan(outer.get_span_context())
    inner = live.call(chat_says("gpt-4o-mini"), parent=by_ids)

    assert said(inner)[DUPLICATE_OF] == format(outer.get_span_context().span_id, "016x")
    assert live.counted == 3


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
    assert live.state.tree.open == {}


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
