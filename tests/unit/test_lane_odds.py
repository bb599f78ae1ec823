# SPDX-License-Identifier: Apache-2.0
"""What else comes to calls that go straight: keys that are no plain text, other providers, a scrape in between."""

from __future__ import annotations

import sys
from enum import Enum

import pytest
from opentelemetry.sdk.trace import TracerProvider

from spancost.processor.untold import Untold
from tests.kit import counts
from tests.lane_kit import CHAT, Lane
from tests.live_kit import PRICE, agent_says

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
