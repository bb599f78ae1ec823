# SPDX-License-Identifier: Apache-2.0
"""The instrumentor's entry point: idempotent, quiet, and never an error of the program."""

from __future__ import annotations

import pytest

from tests.live_kit import run_python

BEGIN = """
    import sys, logging
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import REGISTRY
    from tests.kit import counts
    from tests.live_kit import chat_says
    from spancost.instrumentor.zero_code import Configuration, SpancostInstrumentor

    def chat(tracer):
        span = tracer.start_span("chat", attributes=chat_says())
        span.set_attributes(counts((100, 10)))
        span.end()

    def calls():
        found = [s for f in REGISTRY.collect() for s in f.samples if s.name == "gen_ai_calls_total"]
        return sum(s.value for s in found), sorted({s.labels["gen_ai_agent_name"] for s in found})
    """


def run(code, **environment):
    done = run_python(BEGIN + code, SPANCOST_STRICT="1", **environment)
    assert done.returncode == 0, done.stderr
    return done


def test_a_second_time_changes_nothing():
    """A YAML configuration and `opentelemetry-instrument` both call it."""
    done = run("""
    SpancostInstrumentor().instrument(default_agent="main")
    SpancostInstrumentor().instrument(skip_dep_check=True)
    print(SpancostInstrumentor().is_instrumented_by_opentelemetry)
    provider = TracerProvider()
    print(len(provider._active_span_processor._span_processors))
    chat(provider.get_tracer("c"))
    print(calls())
    """)

    assert done.stdout.splitlines() == ["True", "1", "(1.0, ['main'])"]
    assert done.stderr == ""


def test_tracers_taken_before_any_provider_are_metered_before_and_after_one_is_set():
    done = run("""
    early = trace.get_tracer("early")
    SpancostInstrumentor().instrument()
    chat(early)
    trace.set_tracer_provider(TracerProvider())
    chat(early)
    chat(trace.get_tracer("late"))
    print(calls())
    """)

    assert done.stdout == "(3.0, ['unknown'])\n"


def test_a_program_with_a_processor_of_its_own_keeps_its_settings():
    done = run("""
    import spancost
    SpancostInstrumentor().instrument(default_agent="from-outside")
    provider = TracerProvider()
    provider.add_span_processor(spancost.CostSpanProcessor(default_agent="mine"))
    chat(provider.get_tracer("c"))
    print(calls())
    """)

    assert done.stdout == "(1.0, ['mine'])\n"


PORT = """
    import urllib.request
    from tests.ports import free_port
    port = free_port()

    def scrape():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            return [line for line in answer.read().decode().splitlines() if line.startswith("gen_ai_calls_total")]
    """


def test_metrics_are_served_before_the_first_span():
    """A scrape that finds no port is an alert; and the processor of the program opens no second one."""
    done = run(
        PORT
        + """
    import os, spancost, threading
    SpancostInstrumentor().instrument(metrics_port=port)
    print(scrape())
    provider = TracerProvider()
    provider.add_span_processor(spancost.CostSpanProcessor())
    chat(provider.get_tracer("c"))
    print(len(scrape()), calls())
    print(sum(thread.name == "spancost-metrics" for thread in threading.enumerate()))
    """
    )

    assert done.stdout == "[]\n1 (1.0, ['unknown'])\n1\n"
    assert done.stderr == ""


def test_a_program_may_choose_its_settings_where_metrics_are_served_already():
    done = run(
        PORT
        + """
    import spancost
    SpancostInstrumentor().instrument(default_agent="from-outside", metrics_port=port)
    scrape()
    provider = TracerProvider()
    provider.add_span_processor(spancost.CostSpanProcessor(default_agent="mine"))
    chat(provider.get_tracer("c"))
    print(calls())
    try:
        spancost.CostSpanProcessor(default_agent="another")
    except ValueError as error:
        print("other settings" in str(error))
    """
    )

    assert done.stdout == "(1.0, ['mine'])\nTrue\n"
    assert done.stderr == ""


def test_labels_cannot_change_once_metrics_are_served():
    done = run(
        PORT
        + """
    import spancost
    SpancostInstrumentor().instrument(metrics_port=port)
    provider = TracerProvider()
    provider.add_span_processor(spancost.CostSpanProcessor(labels=["team"]))
    chat(provider.get_tracer("c"))
    print(calls())
    """
    )

    assert done.stdout == "(1.0, ['unknown'])\n"
    assert "the former stay in force" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("label=['x']", "no options are label; there are cost_attribute, default_agent, labels"),
        ("metrics_port=70000", "a port is a number from 0 to 65535"),
        ("labels=['gen_ai_agent_name']", "extra labels"),
        ("cost_attribute='cost'", "is one of gen_ai.usage.cost.amount"),
    ],
)
def test_wrong_options_are_said_and_stop_nothing(options, said):
    done = run_python(
        BEGIN
        + f"""
    SpancostInstrumentor().instrument({options})
    chat(TracerProvider().get_tracer("c"))
    print("ran")
    """
    )

    assert done.stdout == "ran\n"
    assert said in done.stderr


def test_disabled_it_touches_nothing():
    done = run(
        """
    SpancostInstrumentor().instrument()
    print(len(TracerProvider()._active_span_processor._span_processors))
    """,
        SPANCOST_DISABLED="true",
    )

    assert done.stdout == "0\n"


def test_whatever_fails_is_logged():
    """An error would stop all further instrumentations."""
    done = run_python(
        BEGIN
        + """
    import spancost.instrumentor.zero_code as zero
    def fail(*_): raise RuntimeError("broken")
    zero.meter_everything = fail
    SpancostInstrumentor().instrument()
    print("ran")
    """
    )

    assert done.stdout == "ran\n"
    assert "runs unmetered" in done.stderr


def test_it_never_meters_the_throwaway_provider_of_our_own():
    """The way to write is tried on a provider of its own, which would try again, and so on."""
    done = run("""
    SpancostInstrumentor().instrument()
    from spancost.processor.writer import writer
    print(writer().reach.name)
    """)

    assert done.stdout in ("ALL\n", "BEHIND\n")


def test_switching_it_off_changes_nothing_and_says_so():
    done = run("""
    SpancostInstrumentor().instrument()
    SpancostInstrumentor().uninstrument()
    """)

    assert "stays so until it ends" in done.stderr
