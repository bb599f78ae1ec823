# SPDX-License-Identifier: Apache-2.0
"""What strangers name costs a bounded amount of memory, and no money is lost by it."""

from __future__ import annotations

import threading
import tracemalloc

import pytest

from spancost.meter.bounds import MAX_VALUE_CHARS
from tests.meter_kit import USD, a_call, a_meter, by_label, metered, samples
from tests.waiting import LIMIT_S


def agents(meter):
    return by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name")


def overflow(meter):
    return {label: count for (label,), count in samples(meter, "spancost_series_overflow_total").items()}


def test_a_label_with_as_many_values_as_it_may_have_is_whole():
    meter = metered(*(a_call(agent=f"a{n}") for n in range(3)), max_label_values=3)

    assert agents(meter) == {"a0": 1, "a1": 1, "a2": 1}
    assert overflow(meter) == {}


def test_one_value_more_is_counted_as_other_and_the_known_ones_go_on():
    meter = metered(*(a_call(agent=f"a{n}") for n in (0, 1, 2, 3, 4, 3, 0)), max_label_values=3)

    assert agents(meter) == {"a0": 2, "a1": 1, "a2": 1, "__other__": 3}
    assert overflow(meter) == {"gen_ai_agent_name": 3}


def test_only_the_full_label_becomes_other():
    meter = metered(
        a_call(agent="a"),
        a_call(agent="b", response_model="gpt-4o"),
        a_call(agent="c", response_model="gpt-4o"),
        max_label_values=2,
    )

    assert by_label(meter, "gen_ai_calls_total", "gen_ai_response_model") == {
        "gpt-4o-2024-08-06": 1,
        "gpt-4o": 2,
    }
    assert agents(meter) == {"a": 1, "b": 1, "__other__": 1}


def test_as_many_label_sets_as_there_may_be_are_whole_and_one_more_is_other_in_every_label():
    calls = [a_call(agent=f"a{n}") for n in range(4)]
    meter = metered(*calls[:3], max_label_sets=3)
    assert overflow(meter) == {}

    for call in (calls[3], calls[3], calls[0]):
        meter.record(call)

    assert agents(meter) == {"a0": 2, "a1": 1, "a2": 1, "__other__": 2}
    assert by_label(meter, "gen_ai_calls_total", "service_name") == {"shop": 4, "__other__": 2}
    assert overflow(meter) == {"__all__": 2}


def test_a_value_that_found_no_room_for_its_label_set_takes_none_in_its_label():
    meter = metered(*(a_call(agent=f"a{n}") for n in range(50)), max_label_sets=2, max_label_values=3)

    assert overflow(meter) == {"__all__": 48}


def test_runs_and_errors_have_the_same_bounds():
    meter = a_meter(max_label_values=2)
    for n in range(4):
        meter.record_run(service_name="shop", agent=f"a{n}", femto=USD)
        meter.internal_error(f"E{n}")
        meter.record(a_call(agent="a0", failed=True, error_type=f"E{n}", cost_parts=None))

    runs = by_label(meter, "gen_ai_agent_run_cost_usd_count", "gen_ai_agent_name")
    assert runs == {"a0": 1, "a1": 1, "__other__": 2}
    assert samples(meter, "spancost_internal_errors_total") == {("E0",): 1, ("E1",): 1, ("__other__",): 2}
    assert by_label(meter, "gen_ai_calls_total", "error_type") == {"E0": 1, "E1": 1, "__other__": 2}
    assert overflow(meter) == {"gen_ai_agent_name": 2, "cause": 2, "error_type": 2}


def test_no_money_is_lost_to_a_bound():
    meter = metered(
        *(a_call(agent=f"a{n}", response_model=f"m{n % 7}") for n in range(300)),
        max_label_values=20,
        max_label_sets=50,
    )

    assert round(sum(samples_of_cost(meter)), 12) == round(300 * 0.00035, 12)
    assert sum(agents(meter).values()) == 300


def samples_of_cost(meter):
    return by_label(meter, "gen_ai_cost_usd_total", "gen_ai_agent_name").values()


def test_tens_of_thousands_of_names_leave_memory_flat():
    meter = metered(*(a_call(agent=f"agent {n}") for n in range(500)))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(20_000):
            meter.record(a_call(agent=f"other agent {n}"))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 50_000
    assert len(agents(meter)) == 201


def test_a_long_value_is_cut_and_no_long_key_is_kept():
    long = "x" * 1_000_000
    meter = metered(a_call(agent=long), a_call(agent=long + "y"))

    assert agents(meter) == {"x" * MAX_VALUE_CHARS: 2}
    assert not meter.by_key


def test_a_value_that_is_no_unicode_does_not_break_the_scrape():
    meter = metered(a_call(agent="\ud800 half"))

    assert agents(meter) == {"? half": 1}


def test_a_stranger_who_calls_an_agent_other_fills_nothing():
    meter = metered(a_call(agent="__other__"), a_call(agent="a"), max_label_values=1)

    assert agents(meter) == {"__other__": 1, "a": 1}
    assert overflow(meter) == {}


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["team-name"], "'team-name' is no label name"),
        (["__team"], "'__team' is no label name"),
        ([""], "'' is no label name"),
        (["service_name"], "'service_name' is taken"),
        (["gen_ai_token_type"], "'gen_ai_token_type' is taken"),
        (["le"], "'le' is taken"),
        (["team", "team"], "'team' comes twice"),
    ],
)
def test_a_label_that_cannot_be_is_refused_by_name(labels, problem):
    with pytest.raises(ValueError, match=problem):
        a_meter(extra_labels=labels)


def test_a_call_with_the_wrong_number_of_labels_is_refused_and_counted_nowhere():
    meter = a_meter(extra_labels=["team"])
    with pytest.raises(ValueError, match="argument 2"):
        meter.record(a_call())

    assert samples(meter, "gen_ai_calls_total") == {}


def test_a_finaliser_that_counts_while_its_thread_copies_neither_blocks_nor_is_lost():
    """A scrape can set garbage collection off, and that can end a span and so count a call."""
    meter = metered(a_call())
    record = next(iter(meter._series.records.values()))
    counted = []

    class Dropped:
        def __del__(self):
            meter.record(a_call(agent="late"))
            counted.append(1)

    class Costs(dict):
        """Copied in the middle of a scrape, when the garbage collector happens to run."""

        def items(self):
            if dropped:
                dropped.pop()
            return super().items()

    dropped = [Dropped()]
    record.births = Costs(record.births)
    scraping = threading.Thread(target=meter.collect, daemon=True)
    scraping.start()
    scraping.join(LIMIT_S)

    assert not scraping.is_alive()
    assert counted == [1]
    assert {r.values[1] for r in meter._series.records.values()} >= {"late"}
