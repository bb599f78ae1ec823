# SPDX-License-Identifier: Apache-2.0
"""What else comes to calls that go straight: keys that are no plain text, other providers, a scrape in between."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import weakref
from enum import Enum

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import spancost
from spancost import CostSpanProcessor, PriceBook
from spancost.prices.table import Table, load
from spancost.processor._sdk import link_on
from spancost.processor.links import LOST, OPEN, SHARED
from spancost.processor.starts import outside_of
from spancost.processor.untold import Untold
from tests.kit import counts
from tests.lane_kit import CHAT, Lane
from tests.live_kit import PRICE, agent_says, in_threads
from tests.waiting import LIMIT_S

RAN: list[str] = []


class Key(str, Enum):
    """Names of attributes, as programs list them."""

    TENANT = "app.tenant"


class Hostile(str):
    """Text that writes itself as code."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"__import__({__name__!r}, fromlist='x').RAN.append(1) or 'app.tenant'"


@pytest.mark.parametrize("key", [Key.TENANT, Hostile("app.tenant")])
def test_a_key_that_is_no_plain_text_is_never_made_code_of(key):
    live = Lane(warm=0)
    for _ in range(4):
        span = live.start("chat", CHAT, scope="client")
        span.set_attributes(counts((100, 10)))
        span.set_attribute(key, "x")
        span.end()

    assert live.metered == 4 * PRICE
    assert live.errors == {}
    assert not RAN


@pytest.mark.parametrize("key", ["app.'", 'app."', "app.\n)", "app.\0", "app.\ud800", "app.\\", "app.{said}"])
def test_any_text_may_be_a_key(key):
    live = Lane(warm=0)
    went = [live.went_straight(**{key: "x"}) for _ in range(4)]

    assert went[2:] == [True, True]
    assert not live.went_straight(**{key + "x": "x"})
    assert live.errors == {}


def test_a_span_below_one_of_another_provider_asks_no_row():
    live, other = Lane(), TracerProvider(shutdown_on_exit=False).get_tracer("other")
    live.call()
    looked = []

    def watch(frame, event, _):
        if event == "call" and frame.f_code is Untold.node_with.__code__:
            looked.append(frame)

    with other.start_as_current_span("of another provider"):
        sys.setprofile(watch)
        try:
            live.start("x").end()
        finally:
            sys.setprofile(None)

    assert live.straight.calls > 0
    assert not looked  # there may be 4,096


# --- births: a scrape looks at what is open, on a thread of its own ------------------------------------


@pytest.fixture(name="live")
def _answered():
    live = Lane()
    live.call()
    return live


def test_the_series_of_a_call_is_at_0_after_the_span_above_it_ended(live):
    above = live.start("GET /", {"app": 1})
    agent = live.start("a", agent_says("new"), parent=above)
    span = live.open_chat(parent=agent)
    agent.end()
    above.end()

    live.meter.collect()
    assert live.agents["new"] == 0
    assert "new" in live.agents
    span.set_attributes(counts((100, 10)))
    span.end()
    assert live.agents["new"] == 1


def test_the_series_of_a_call_is_at_0_after_a_call_below_it_ended(live):
    agent = live.start("a", agent_says("new"))
    span = live.open_chat(parent=agent)
    live.chat(parent=live.start("POST", parent=span))
    live.meter.collect()
    assert live.agents["new"] == 0
    assert "new" in live.agents
    span.set_attributes(counts((100, 10)))
    span.end()
    assert live.agents["new"] == 1


def test_a_scrape_that_finds_a_call_ended_meanwhile_fails_at_nothing(live):
    parent = live.start("GET /", {"app": 1})
    span = live.open_chat(parent=parent)
    found = dict(CHAT), span._attributes._spancost_link
    span.set_attributes(counts((100, 10)))
    span.end()
    live.state.lane.bear(span, *found)

    assert live.errors == {}


def test_a_call_is_counted_once_where_a_scrape_looks_at_it_just_as_it_ends(live):
    second = CostSpanProcessor.__new__(CostSpanProcessor)
    second._bind(live.state)  # its hooks look at the span once more
    span = live.open_chat()
    span.set_attributes(counts((100, 10)))
    before, looked, ended = live.metered, threading.Event(), threading.Event()

    def trace(frame, _event, _):
        return stop if frame.f_code is link_on.__code__ else None

    def stop(frame, _event, _):
        link = frame.f_locals.get("link")
        if link is not None and link[LOST] is SHARED and not looked.is_set():
            looked.set()
            ended.wait(LIMIT_S)
        return stop

    def scrape():
        sys.settrace(trace)
        live.state.expect(span)

    thread = threading.Thread(target=scrape)
    thread.start()
    assert looked.wait(LIMIT_S)
    live.processor._on_ending(span)
    ended.set()
    thread.join()
    second._on_ending(span)

    assert live.metered - before == PRICE
    assert span._attributes._spancost_link[OPEN] is None
    assert live.errors == {}


def test_a_call_that_a_child_joins_just_as_it_ends_is_the_engines(live):
    span = live.open_chat()
    span.set_attributes(counts((100, 10)))
    link = span._attributes._spancost_link
    child = live.start(
        "POST", {"app": 1}, parent=span
    )  # on another thread, after the hook looked at the link
    before, span._end_time = live.metered, span.start_time + 1  # as the SDK does before the hook

    assert not live.state.lane.end(span, span._attributes, span._attributes._dict, link)
    span._end_time = None
    child.end()
    span.end()
    assert live.metered - before == PRICE


# --- prices ------------------------------------------------------------------------------------------


def tables_alive():
    gc.collect()
    return sum(type(each) is Table for each in gc.get_objects())


def test_a_kind_of_call_keeps_no_price_table_that_was_replaced():
    book = PriceBook(load())
    live = Lane(warm=0, price_book=book)
    before = tables_alive()
    for number in range(3):
        for _ in range(3):
            live.call(name=f"chat {number}")
        book.replace_table(load())

    assert live.straight.calls == 3
    assert tables_alive() == before


# --- other engines -----------------------------------------------------------------------------------


def test_the_straight_way_is_closed_by_nobody_while_a_call_is_on_it():
    live = Lane(warm=0)
    lane = live.state.lane
    with live.state.lock:  # as `Lane.end`, which has seen that it is open
        thread = threading.Thread(target=live.state.give_way)  # a second engine is made
        thread.start()
        thread.join(0.1)
        assert lane.is_open
    thread.join()

    assert not lane.is_open


# --- kinds of calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [2, 3])
def test_a_call_may_say_more_than_the_first_ones_of_its_kind(later):
    live = Lane(warm=0)
    went = [live.went_straight(**({"app.session": "x"} if number >= later else {})) for number in range(8)]

    assert went[-2:] == [True, True]
    assert live.metered == 8 * PRICE
    assert live.errors == {}


def test_calls_of_a_kind_that_say_now_more_now_less_all_go_straight():
    live = Lane(warm=0)
    went = [live.went_straight(**({"app.session": "x"} if number % 2 else {})) for number in range(8)]

    assert went[4:] == [True] * 4
    assert live.metered == 8 * PRICE


def test_names_of_attributes_that_vary_make_no_code_at_each_call():
    live = Lane(warm=0)
    for number in range(20):
        live.call(**{f"app.session.{number}": "x"})

    assert live.state.lane._plans._number == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_bears_no_series_for_calls_that_its_parent_counts(live):
    agent = live.start("a", agent_says("the parent's"))
    with_node, without = live.open_chat(parent=agent), live.open_chat(parent=agent)
    live.start("POST", CHAT, parent=with_node)
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            live.call()
            live.meter.collect()
            os.write(theirs, repr(sorted(live.agents)).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(ours, 1000).decode() == "['unknown']"
    without.end()


def test_engines_ask_resources_at_once():
    resources, failed = [Resource({"number": number}) for number in range(20)], []

    def ask():  # as two engines do, each under a lock of its own
        try:
            for _ in range(400):
                for resource in resources:
                    outside_of(resource)
        except RuntimeError as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        in_threads(4, ask)
    finally:
        sys.setswitchinterval(interval)

    assert failed == []


def test_a_call_in_a_block_keeps_no_span_in_which_the_block_was_entered(live):
    with live.span("GET /", {"app": 1}) as span, spancost.agent("a"):
        for _ in range(3):
            live.call()
    freed = weakref.ref(span._attributes)
    live.before.spans.clear()
    del span
    gc.collect()

    assert freed() is None
