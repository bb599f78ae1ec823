# SPDX-License-Identifier: Apache-2.0
"""The series of a call are there at 0 while it is open, once its model has answered anybody in the process."""

from __future__ import annotations

import pytest

import spancost
from tests.live_kit import Live, chat_says

HOST = {"server.address": "api.openai.com"}


def samples(live, name):
    return [s for family in live.meter.collect() for s in family.samples if s.name == name]


def calls_of(live, agent):
    return [
        sample.value
        for sample in samples(live, "gen_ai_calls_total")
        if sample.labels["gen_ai_agent_name"] == agent
    ]


@pytest.mark.parametrize("settings", [{}, {"labels": ("team",)}, {"default_agent": "main"}])
def test_a_series_is_born_at_0_when_a_call_of_its_key_starts(settings):
    live = Live(**settings)
    answered = {"gen_ai__response__model": "gpt-4o-2024-08-06"}
    with live.agent("first"):
        live.chat(**answered)
    with spancost.agent("second"):
        span = live.start("chat", chat_says() | HOST)

        assert calls_of(live, "second") == [0]
        (cost,) = (
            s
            for s in samples(live, "gen_ai_cost_usd_total")
            if s.labels["gen_ai_agent_name"] == "second" and s.labels["gen_ai_token_type"] == "input"
        )
        assert cost.labels["gen_ai_response_model"] == "gpt-4o-2024-08-06"
        assert cost.value == 0
        span.set_attributes(
            {
                "gen_ai.usage.input_tokens": 1,
                "gen_ai.usage.output_tokens": 1,
                "gen_ai.response.model": "gpt-4o-2024-08-06",
            }
        )
        span.end()

    assert calls_of(live, "second") == [1]


def test_no_series_is_born_for_a_model_that_nobody_was_answered_by():
    live = Live()
    live.start("chat", chat_says())

    assert not (samples(live, "gen_ai_calls_total"))


def test_an_agent_that_is_no_call_bears_nothing():
    live = Live()
    live.chat()
    with live.agent("boss", **{"gen_ai.request.model": "gpt-4o"}):
        assert calls_of(live, "boss") == []
