# SPDX-License-Identifier: Apache-2.0
"""The short way of counting a call gives what the long way gives, and series are born before they count."""

from __future__ import annotations

import threading
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spancost.cost import Cost, cache_effect, make_cost
from spancost.meter import Meter, MeteredCall
from spancost.meter.cells import COST_BOUNDS, DURATION_BOUNDS
from spancost.prices.cards import RATED
from spancost.usage import Usage
from tests.meter_kit import NOON, a_meter, by_label, samples

KEY = ("shop", "planner", "openai", "gpt-4o-2024-08-06", "gpt-4o", "chat", ())
RATES = (3, 1, 4, 6, 15, 10, 20, 3, 30, 2, 15)
OTHER_RATES = (6, 2, 8, 12, 30, 10, 20, 3, 30, 2, 15)
DEARER_CACHE = (3, 5, 2, 1, 0, 10, 20, 3, 30, 2, 15)

few = st.integers(0, 3) | st.integers(0, 2**40)


@st.composite
def calls(draw):
    """A usage, a cost that adds up, a duration, and where the call is from."""
    fresh, audio, read, write, hour, output, spoken, reasoning = (draw(few) for _ in range(8))
    usage = Usage(
        input=fresh + audio + read + write + hour,
        input_audio=audio,
        cache_read=read,
        cache_write=write + hour,
        cache_write_1h=hour,
        output=output + spoken + reasoning,
        output_audio=spoken,
        reasoning=reasoning,
    )
    rates = draw(st.sampled_from([RATES, OTHER_RATES, DEARER_CACHE]))
    if audio or spoken:
        parts = {name: count * draw(few) for name, count in usage.by_token_type().items()}
        parts = {name: femto for name, femto in parts.items() if femto}
        cost = Cost(sum(parts.values()), parts, rates=rates)
    else:  # as a route gives it
        by_type = usage.by_token_type()
        amounts = tuple(by_type[name] * rate for name, rate in zip(RATED[:5], rates, strict=False))
        cost = make_cost(amounts, sum(amounts), "", "", (), "local", rates)
    duration = draw(st.none() | st.integers(0, 10**12))
    agent = draw(st.sampled_from(["a", "b", None, "x" * 300]))
    traced = draw(st.booleans())
    return usage, cost, duration, agent, traced


def as_metered(key, usage, cost, duration, trace_id):
    savings, premium = cache_effect(usage, cost.rates)
    return MeteredCall(
        *key,
        cost_parts=cost.femto_parts,
        cost_source="local",
        tokens=usage.by_token_type(),
        reasoning=usage.reasoning,
        duration_ns=duration,
        cache_read_savings=savings,
        cache_write_premium=premium,
        trace_id=trace_id,
        span_id=trace_id,
        sampled=bool(trace_id),
        ended_ns=int(NOON) * 10**9,
    )


def shown(meter):
    return sorted(
        (sample.name, tuple(sorted(sample.labels.items())), sample.value, sample.exemplar)
        for family in meter.collect()
        for sample in family.samples
    )


@given(st.lists(calls(), max_size=12))
@settings(max_examples=200)
def test_the_short_way_gives_what_the_long_way_gives(found):
    short, long = a_meter(), a_meter()
    for number, (usage, cost, duration, agent, traced) in enumerate(found, 1):
        key = ("shop", agent, *KEY[2:])
        trace_id = number if traced else 0
        short.count(
            key,
            usage,
            cost,
            duration,
            trace_id=trace_id,
            span_id=trace_id,
            ended_ns=int(NOON) * 10**9,
            said=("as", agent),
        )
        long.record(as_metered(key, usage, cost, duration, trace_id))

    assert shown(short) == shown(long)


@given(st.lists(st.tuples(calls(), st.booleans()), max_size=12))
def test_the_short_way_gives_what_a_plain_sum_gives(drawn):
    """Also where somebody scrapes in between."""
    meter = a_meter()
    found = [call for call, _ in drawn]
    for (usage, cost, duration, agent, _), is_scraped in drawn:
        meter.count(("shop", agent, *KEY[2:]), usage, cost, duration)
        if is_scraped:
            meter.snapshot()
    copies = meter.snapshot().records

    def total(metric, *own):
        return sum(c.value for copy in copies for c in copy.counts if (c.spec.name, *c.own) == (metric, *own))

    for name in Usage().by_token_type():
        tokens = sum(usage.by_token_type()[name] for usage, *_ in found)
        femto = sum(cost.femto_parts.get(name, 0) for _, cost, *_ in found)
        assert total("gen_ai_tokens", name) == tokens
        assert total("gen_ai_cost_usd", name, "local") == femto
    assert total("gen_ai_calls", "") == len(found) == sum(sum(copy.cost.counts) for copy in copies)
    assert sum(copy.cost.total for copy in copies) == sum(cost.femto for _, cost, *_ in found)
    assert sum(copy.duration.total for copy in copies) == sum(duration or 0 for *_, duration, _, _ in found)
    assert total("gen_ai_reasoning_tokens") == sum(usage.reasoning for usage, *_ in found)


@pytest.mark.parametrize("around", [-1, 0, 1])
def test_a_number_at_a_bound_is_in_its_bucket_and_one_more_in_the_next(around):
    for bounds, of in ((COST_BOUNDS, "cost"), (DURATION_BOUNDS, "duration")):
        for bound in (0, 1, *bounds, bounds[-1] * 1_000):
            number = max(bound + around, 0)
            meter = a_meter()
            meter.count(KEY, Usage(input=1), Cost(number, {"input": number}), number)
            (copy,) = meter.snapshot().records

            assert getattr(copy, of).counts.index(1) == bisect_left(bounds, number)


def test_a_clock_that_went_back_makes_a_call_of_the_least_duration():
    meter = a_meter()
    meter.count(KEY, Usage(input=1), Cost(1, {"input": 1}), -(10**12))

    assert meter.snapshot().records[0].duration.counts[0] == 1


def test_a_call_that_fails_and_is_billed_is_not_among_those_that_succeeded():
    meter = a_meter()
    usage, cost = Usage(input=1), Cost(5, {"input": 5})
    meter.count(KEY, usage, cost)
    failed = as_metered(KEY, usage, cost, None, 0)._replace(failed=True, error_type="Timeout")
    meter.record(failed)
    meter.record(failed._replace(failed=False, error_type="", cost_parts=None))

    assert by_label(meter, "gen_ai_calls_total", "error_type") == {"": 2, "Timeout": 1}


def test_eight_threads_that_count_the_short_way_lose_nothing_and_no_scrape_goes_back():
    meter = a_meter()
    usage, cost = Usage(input=7, output=3), Cost(10, {"input": 6, "output": 4})
    start = threading.Barrier(9)

    def work(agent):
        start.wait()
        for _ in range(2_000):
            meter.count((KEY[0], agent, *KEY[2:]), usage, cost, 10**7, trace_id=1, span_id=1, ended_ns=1)

    threads = [threading.Thread(target=work, args=(f"a{n % 3}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    before = {}
    while any(thread.is_alive() for thread in threads):
        now = {
            (copy.values, count.spec.name, count.own): count.value
            for copy in meter.snapshot().records
            for count in copy.counts
        }
        assert all(now[key] >= value for key, value in before.items())
        before = now
    for thread in threads:
        thread.join()

    assert sum(by_label(meter, "gen_ai_calls_total", "error_type").values()) == 16_000
    assert by_label(meter, "gen_ai_tokens_total", "gen_ai_token_type") == {"input": 112_000, "output": 48_000}
    assert sum(copy.cost.total for copy in meter.snapshot().records) == 160_000


# --- births -------------------------------------------------------------------------------------


def count(meter, agent="planner"):
    meter.count(("shop", agent, *KEY[2:]), Usage(input=7, output=3), Cost(10, {"input": 6, "output": 4}))


def test_the_series_of_a_call_that_starts_are_born_at_zero_once_its_model_has_answered_anybody():
    clock = iter(range(100))
    meter = Meter(clock=lambda: float(next(clock)))
    meter.expect("shop", "writer", "openai", "gpt-4o", "chat")
    assert samples(meter, "gen_ai_calls_total") == {}

    count(meter)
    meter.expect("shop", "writer", "openai", "gpt-4o", "chat")

    assert by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name") == {"planner": 1, "writer": 0}
    assert by_label(meter, "gen_ai_tokens_total", "gen_ai_agent_name") == {"planner": 10, "writer": 0}
    born = by_label(meter, "gen_ai_cost_usd_created", "gen_ai_agent_name")["writer"]
    count(meter, "writer")
    assert by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name") == {"planner": 1, "writer": 1}
    assert by_label(meter, "gen_ai_cost_usd_created", "gen_ai_agent_name")["writer"] == born


def births_of_calls(meter):
    return by_label(meter, "gen_ai_calls_created", "gen_ai_agent_name")


def test_a_series_is_born_a_second_ago_but_not_before_the_scrape_in_which_it_was_not():
    now = 50.0
    meter = Meter(clock=lambda: now)
    now = 50.4
    count(meter, "at once")
    now = 70.0
    count(meter, "late")
    meter.snapshot()
    now = 70.25
    count(meter, "just after a scrape")
    now = 70.002
    count(meter, "at a clock that went back")

    assert births_of_calls(meter) == {
        "at once": 50.0,
        "late": 69.0,
        "just after a scrape": 70.005,
        "at a clock that went back": 70.002,
    }


def test_a_series_that_is_born_while_a_scrape_is_answered_keeps_its_second():
    """It may be in the answer, whose time is that at which the scrape began: a zero must be older."""
    now = 70.0
    meter = Meter(clock=lambda: now)
    now = 90.0

    def call_that_ends_meanwhile():
        nonlocal now
        now += 0.5
        count(meter)

    meter.expecting = call_that_ends_meanwhile
    meter.snapshot()
    meter.expecting = lambda: None

    assert births_of_calls(meter) == {"planner": 89.5}


def test_a_model_that_answers_as_another_one_lets_the_series_of_that_one_be_born_too():
    meter = a_meter()
    count(meter)
    meter.expect("shop", "writer", "openai", "gpt-4o", "chat")
    meter.count(
        ("shop", "planner", "openai", "gpt-4o-mini", "gpt-4o", "chat", ()), Usage(input=1), Cost(0, {})
    )

    meter.expect("shop", "writer", "openai", "gpt-4o", "chat")

    models = {
        sample.labels["gen_ai_response_model"]
        for family in meter.collect()
        for sample in family.samples
        if sample.name == "gen_ai_calls_total" and sample.labels["gen_ai_agent_name"] == "writer"
    }
    assert models == {"gpt-4o-2024-08-06", "gpt-4o-mini"}


def test_nothing_is_born_for_a_name_that_has_no_room():
    meter = a_meter(max_label_values=1)
    count(meter)
    for n in range(10):
        meter.expect("shop", f"stranger {n}", "openai", "gpt-4o", "chat")

    assert by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name") == {"planner": 1}
    assert samples(meter, "spancost_series_overflow_total") == {}


def test_a_success_after_a_billed_failure_of_the_same_amount_is_counted():
    """Both are in one cost bucket, which the success looks at to tell whether its counter is born."""
    meter = a_meter()
    usage, cost = Usage(input=100), Cost(300, {"input": 300}, rates=RATES)
    meter.record(as_metered(KEY, usage, cost, 5, 0)._replace(failed=True, error_type="timeout"))
    meter.count(KEY, usage, cost, 5)

    assert by_label(meter, "gen_ai_calls_total", "error_type") == {"": 1.0, "timeout": 1.0}
