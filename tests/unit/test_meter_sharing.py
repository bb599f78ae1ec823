# SPDX-License-Identifier: Apache-2.0
"""One meter per registry, right under threads, from zero in a forked child."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
import threading

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spancost.meter import Meter, shared, shared_meter
from tests.meter_kit import USD, a_call, a_meter, by_label, value
from tests.waiting import LIMIT_S


def test_a_second_processor_gets_the_meter_that_is_there():
    registry = CollectorRegistry()

    assert shared_meter(registry=registry) is shared_meter(registry=registry)
    assert shared_meter(registry=CollectorRegistry()) is not shared_meter(registry=registry)


def test_a_reload_keeps_the_series():
    """As a development server or a notebook does it."""
    registry = CollectorRegistry()
    shared_meter(registry=registry).record(a_call())

    again = importlib.reload(shared).shared_meter(registry=registry)

    again.record(a_call())
    assert value(again, "gen_ai_calls_total") == 2
    assert generate_latest(registry).decode().count("# TYPE gen_ai_calls_total") == 1


def test_the_default_registry_shows_ours_beside_the_program_s_own():
    code = """
        import prometheus_client
        from spancost.meter import shared_meter
        prometheus_client.Counter("mine", "My own.").inc()
        shared_meter().duplicate()
        print(prometheus_client.generate_latest().decode())
    """
    text = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True, text=True
    ).stdout

    assert "\nspancost_duplicates_total 1.0\n" in text
    assert "\nmine_total 1.0\n" in text
    assert "python_info" in text


def test_other_settings_than_the_meter_that_is_there_has_are_refused():
    registry = CollectorRegistry()
    shared_meter(registry=registry, extra_labels=["team"])

    with pytest.raises(ValueError, match=r"has a meter already.*'team'.*not \(\(\), 200, 10000\)"):
        shared_meter(registry=registry)


def test_a_registry_that_has_such_a_series_from_somebody_else_refuses():
    registry = CollectorRegistry()
    prometheus_client.Counter("gen_ai_cost_usd", "Mine.", registry=registry)

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Meter(registry=registry)


def test_eight_threads_lose_nothing_while_others_collect():
    meter = a_meter()
    start = threading.Barrier(9)
    calls = [a_call(agent=f"a{n % 3}", sampled=n % 2 == 0, reasoning=1) for n in range(8)]

    def work(call):
        start.wait()
        for _ in range(2_000):
            meter.record(call)

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    start.wait()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(sum(samples_of(meter)))
    for thread in threads:
        thread.join()

    assert sum(samples_of(meter)) == 16_000
    assert by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name") == {
        "a0": 6_000,
        "a1": 6_000,
        "a2": 4_000,
    }
    assert sum(by_label(meter, "gen_ai_cost_usd_total", "gen_ai_agent_name").values()) == 5.6
    assert sum(by_label(meter, "gen_ai_operation_cost_usd_count", "gen_ai_agent_name").values()) == 16_000
    assert seen == sorted(seen)


def samples_of(meter):
    return by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name").values()


def test_each_copy_of_a_record_is_of_one_moment():
    """The calls, the histogram and the cost of a label set agree in every scrape."""
    meter = a_meter()
    meter.record(a_call(cost_parts={"input": USD}))
    stop = threading.Event()

    def work():
        while not stop.is_set():
            meter.record(a_call(cost_parts={"input": USD}))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(50):
            shown = {sample.name: sample.value for family in meter.collect() for sample in family.samples}
            assert shown["gen_ai_calls_total"] == shown["gen_ai_cost_usd_total"]
            assert shown["gen_ai_calls_total"] == shown["gen_ai_operation_cost_usd_count"]
    finally:
        stop.set()
        thread.join()


def test_a_gauge_that_takes_the_lock_of_whoever_records_does_not_wait_for_itself():
    """The engine records under its own lock, and its count of pending calls takes that lock too."""
    meter = a_meter()
    engine = threading.Lock()

    def pending():
        with engine:
            return 1

    def record():
        for _ in range(200):
            with engine:
                meter.record(a_call())

    meter.pending = pending
    thread = threading.Thread(target=record)
    thread.start()
    for _ in range(50):
        assert value(meter, "spancost_pending_calls") == 1
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_at_zero_even_when_the_lock_was_held():
    code = """
        import os
        from spancost.meter import shared_meter
        meter = shared_meter()
        meter.duplicate()
        with meter.gate.lock:
            child = os.fork()
        if not child:
            meter.duplicate()
            meter.duplicate()
        else:
            os.waitpid(child, 0)
        print([s.value for f in meter.collect() for s in f.samples if s.name == "spancost_duplicates_total"])
    """
    text = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        check=True,
        text=True,
        timeout=LIMIT_S,
    ).stdout

    assert text.split() == ["[2.0]", "[1.0]"]
