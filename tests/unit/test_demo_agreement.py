# SPDX-License-Identifier: Apache-2.0
"""The demo's proof: it is silent where bill, spans and /metrics agree, and names each way to differ."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from demo.agreement import AMOUNT, DUPLICATE, Accounts, Scrape
from demo.bill import Bill, Entry, Refusal
from demo.report import table
from spancost import PriceBook, Usage

AT = dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc)
USAGE = Usage(input=3_001, cache_read=1_003, output=211, reasoning=90)
LABELS = (
    'service_name="newsroom",gen_ai_agent_name="{agent}",gen_ai_provider_name="openai",'
    'gen_ai_request_model="gpt-5-mini",gen_ai_response_model="gpt-5-mini-2025-08-07",'
    'gen_ai_operation_name="chat"'
)


def entry(number, caller, usage=USAGE, delivered="full"):
    """Return an entry of the bill."""
    return Entry(
        number=number,
        at=AT,
        api="openai.chat",
        provider="openai",
        requested_model="gpt-5-mini",
        model="gpt-5-mini-2025-08-07",
        caller=caller,
        turn=0,
        response_id=f"chatcmpl-{number}",
        streamed=False,
        service_tier="default",
        delivered=delivered,
        usage=usage,
        used=USAGE,
    )


class World:
    """Two agents, three calls and a refused one, and what spans and /metrics say of them."""

    def __init__(self):
        self.bill = Bill()
        for number, caller in enumerate(("planner", "planner", "writer"), 1):
            self.bill.add(entry(number, caller))
        self.bill.add(entry(4, "writer", usage=None, delivered="none"))
        self.bill.refuse(Refusal(AT, "openai.chat", "writer", 429))
        self.bill.refuse(Refusal(AT, "openai.chat", "writer", 500))
        cost = PriceBook.default().price(USAGE, provider="openai", model="gpt-5-mini-2025-08-07", at=AT)
        self.spans = [
            {
                "gen_ai.agent.name": agent,
                "gen_ai.response.model": "gpt-5-mini-2025-08-07",
                AMOUNT: float(cost),
            }
            for agent in ("planner", "planner", "writer")
        ]
        self.spans.append({"gen_ai.agent.name": "planner", DUPLICATE: "1"})
        self.metrics = {}
        for agent, times in (("planner", 2), ("writer", 1)):
            labels = LABELS.format(agent=agent)
            self.metrics[f'gen_ai_calls_total{{{labels},error_type=""}}'] = float(times)
            for kind, amount in cost.parts.items():
                self.metrics[f'gen_ai_cost_usd_total{{{labels},gen_ai_token_type="{kind}"}}'] = float(
                    amount * times
                )
            for kind, count in USAGE.by_token_type().items():
                self.metrics[f'gen_ai_tokens_total{{{labels},gen_ai_token_type="{kind}"}}'] = float(
                    count * times
                )
        labels = LABELS.format(agent="writer")
        self.metrics[f'gen_ai_calls_total{{{labels},error_type="timeout"}}'] = 2.0

    @property
    def scrape(self):
        """The text of /metrics, read."""
        return Scrape("".join(f"{series} {value!r}\n" for series, value in self.metrics.items()))

    def differences(self):
        """Return what the demo would say."""
        return Accounts(self.bill).compare(self.spans, self.scrape)

    def series(self, *words):
        """Return the one series with these words."""
        (found,) = (name for name in self.metrics if all(word in name for word in words))
        return found


def test_accounts_that_agree_differ_in_nothing():
    assert World().differences() == []


def test_a_second_round_is_compared_on_its_own_and_metrics_with_both():
    """Spans are compared a round at a time, counters are those of all rounds."""
    world = World()
    accounts = Accounts(world.bill)
    assert accounts.compare(world.spans, world.scrape) == []
    world.bill.add(entry(5, "writer"))

    late = accounts.compare([world.spans[2]], world.scrape)

    assert len(late) == 7  # input, cache_read and output, in USD and in tokens, and the number of calls
    assert all("writer" in said for said in late[:-1])


def amount_off_by_one_bit(world):
    world.spans[0][AMOUNT] = math.nextafter(world.spans[0][AMOUNT], 1)


def call_on_no_span(world):
    del world.spans[2][AMOUNT]


def call_on_two_spans(world):
    world.spans.append(dict(world.spans[2]))


def other_agent(world):
    world.spans[0]["gen_ai.agent.name"] = "writer"


def amount_on_a_copy(world):
    world.spans[1][DUPLICATE] = "1"


def counter_off_by_one_bit(world):
    name = world.series("cost", "planner", '"output"')
    world.metrics[name] = math.nextafter(world.metrics[name], 1)


def counter_missing(world):
    del world.metrics[world.series("cost", "writer", '"cache_read"')]


def counter_of_an_agent_too_many(world):
    world.metrics[f'gen_ai_cost_usd_total{{{LABELS.format(agent="x")},gen_ai_token_type="output"}}'] = 1.0


def token_too_many(world):
    world.metrics[world.series("tokens", "writer", '"input"')] += 1


def failed_call_not_counted(world):
    world.metrics[world.series("timeout")] = 1.0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (amount_off_by_one_bit, "on the bill and on no span"),
        (call_on_no_span, "on the bill and on no span"),
        (call_on_two_spans, "on a span and not on the bill"),
        (other_agent, "on a span and not on the bill"),
        (amount_on_a_copy, "is marked as a copy"),
        (counter_off_by_one_bit, "planner, gpt-5-mini-2025-08-07, output: the bill has"),
        (counter_missing, "writer, gpt-5-mini-2025-08-07, cache_read: the bill has"),
        (counter_of_an_agent_too_many, "x, gpt-5-mini-2025-08-07, output: the bill has 0 USD"),
        (token_too_many, "tokens, /metrics has"),
        (failed_call_not_counted, "3 calls and 2 failed; /metrics counts 3 and 1"),
    ],
)
def test_each_way_to_differ_is_named(spoil, says):
    world = World()
    spoil(world)

    assert any(says in said for said in world.differences())


def test_the_table_has_the_dearest_agent_first_with_its_models():
    lines = table(World().scrape).splitlines()

    assert [line.split()[0] for line in lines if not line.startswith("-")] == [
        "agent,",
        "planner",
        "gpt-5-mini-2025-08-07",
        "writer",
        "gpt-5-mini-2025-08-07",
        "total",
    ]
    assert lines[-1].split() == ["total", "5", "9,003", "3,009", "633", "0.002840"]
