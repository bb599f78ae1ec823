# SPDX-License-Identifier: Apache-2.0
"""The bytes that leave: the text format and OpenMetrics, by our renderer and by `prometheus_client`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from spancost.meter import Meter, names
from spancost.meter.exposition import Document, choose_format
from tests.meter_kit import NOON, USD, a_call, metered, parsed

L = (
    'gen_ai_agent_name="planner",gen_ai_operation_name="chat",gen_ai_provider_name="openai",'
    'gen_ai_request_model="gpt-4o",gen_ai_response_model="gpt-4o-2024-08-06"'
)
S = 'service_name="shop"'
BORN = "1.7952624e+09"
TRACE = '# {span_id="b7ad6b7169203331",trace_id="0af7651916cd43dd8448eb211c80319c"}'


def exposed(write, *calls):
    registry = CollectorRegistry()
    meter = Meter(registry=registry, clock=lambda: NOON)
    for call in calls:
        meter.record(call)
    text = write(registry)
    accept = "application/openmetrics-text" if write is generate_openmetrics else "text/plain"
    assert b"".join(Document(registry, choose_format(accept)).pieces()) == text
    return text.decode()


def without_help(text):
    return [line for line in text.splitlines() if not line.startswith("# HELP")]


def histogram(name, bounds, first, total, label=L):
    """The lines of a histogram of one value, which is in the bucket with the index *first*."""
    bounds = [*bounds.split(), "+Inf"]
    lines = [
        f'{name}_bucket{{{label},le="{bound}",{S}}} {float(n >= first)}' for n, bound in enumerate(bounds)
    ]
    return [*lines, f"{name}_count{{{label},{S}}} 1.0", f"{name}_sum{{{label},{S}}} {total}"]


COST = "1e-05 0.0001 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0"
DURATION = "0.01 0.02 0.04 0.08 0.16 0.32 0.64 1.28 2.56 5.12 10.24 20.48 40.96 81.92"


def test_the_text_format_of_one_call_byte_for_byte():
    text = exposed(generate_latest, a_call())

    assert without_help(text) == [
        "# TYPE gen_ai_cost_usd_total counter",
        f'gen_ai_cost_usd_total{{{L},gen_ai_token_type="input",gen_ai_usage_cost_source="local",{S}}} 0.00025',
        f'gen_ai_cost_usd_total{{{L},gen_ai_token_type="output",gen_ai_usage_cost_source="local",{S}}} 0.0001',
        "# TYPE gen_ai_cost_usd_created gauge",
        f'gen_ai_cost_usd_created{{{L},gen_ai_token_type="input",gen_ai_usage_cost_source="local",{S}}} {BORN}',
        f'gen_ai_cost_usd_created{{{L},gen_ai_token_type="output",gen_ai_usage_cost_source="local",{S}}} {BORN}',
        "# TYPE gen_ai_operation_cost_usd histogram",
        *histogram("gen_ai_operation_cost_usd", COST, 2, "0.00035"),
        "# TYPE gen_ai_operation_cost_usd_created gauge",
        f"gen_ai_operation_cost_usd_created{{{L},{S}}} {BORN}",
        "# TYPE gen_ai_tokens_total counter",
        f'gen_ai_tokens_total{{{L},gen_ai_token_type="input",{S}}} 100.0',
        f'gen_ai_tokens_total{{{L},gen_ai_token_type="output",{S}}} 10.0',
        "# TYPE gen_ai_tokens_created gauge",
        f'gen_ai_tokens_created{{{L},gen_ai_token_type="input",{S}}} {BORN}',
        f'gen_ai_tokens_created{{{L},gen_ai_token_type="output",{S}}} {BORN}',
        "# TYPE gen_ai_calls_total counter",
        f'gen_ai_calls_total{{error_type="",{L},{S}}} 1.0',
        "# TYPE gen_ai_calls_created gauge",
        f'gen_ai_calls_created{{error_type="",{L},{S}}} {BORN}',
        "# TYPE gen_ai_operation_duration_seconds histogram",
        *histogram("gen_ai_operation_duration_seconds", DURATION, 7, "0.8"),
        "# TYPE gen_ai_operation_duration_seconds_created gauge",
        f"gen_ai_operation_duration_seconds_created{{{L},{S}}} {BORN}",
        *process_lines(),
    ]


def process_lines():
    return [
        "# TYPE spancost_duplicates_total counter",
        "spancost_duplicates_total 0.0",
        "# TYPE spancost_duplicates_created gauge",
        f"spancost_duplicates_created {BORN}",
        "# TYPE spancost_uncarried_cost_usd_total counter",
        "spancost_uncarried_cost_usd_total 0.0",
        "# TYPE spancost_uncarried_cost_usd_created gauge",
        f"spancost_uncarried_cost_usd_created {BORN}",
        "# TYPE spancost_pending_calls gauge",
        "spancost_pending_calls 0.0",
    ]


def test_openmetrics_of_one_sampled_call_byte_for_byte():
    text = exposed(generate_openmetrics, a_call(sampled=True))
    cost = histogram("gen_ai_operation_cost_usd", COST, 2, "0.00035")
    cost[2] += f" {TRACE} 0.00035 {NOON}"
    duration = histogram("gen_ai_operation_duration_seconds", DURATION, 7, "0.8")
    duration[7] += f" {TRACE} 0.8 {NOON}"

    assert without_help(text) == [
        "# TYPE gen_ai_cost_usd counter",
        "# UNIT gen_ai_cost_usd usd",
        f'gen_ai_cost_usd_total{{{L},gen_ai_token_type="input",gen_ai_usage_cost_source="local",{S}}} 0.00025',
        f'gen_ai_cost_usd_created{{{L},gen_ai_token_type="input",gen_ai_usage_cost_source="local",{S}}} {BORN}',
        f'gen_ai_cost_usd_total{{{L},gen_ai_token_type="output",gen_ai_usage_cost_source="local",{S}}} 0.0001',
        f'gen_ai_cost_usd_created{{{L},gen_ai_token_type="output",gen_ai_usage_cost_source="local",{S}}} {BORN}',
        "# TYPE gen_ai_operation_cost_usd histogram",
        "# UNIT gen_ai_operation_cost_usd usd",
        *cost,
        f"gen_ai_operation_cost_usd_created{{{L},{S}}} {BORN}",
        "# TYPE gen_ai_tokens counter",
        "# UNIT gen_ai_tokens tokens",
        f'gen_ai_tokens_total{{{L},gen_ai_token_type="input",{S}}} 100.0',
        f'gen_ai_tokens_created{{{L},gen_ai_token_type="input",{S}}} {BORN}',
        f'gen_ai_tokens_total{{{L},gen_ai_token_type="output",{S}}} 10.0',
        f'gen_ai_tokens_created{{{L},gen_ai_token_type="output",{S}}} {BORN}',
        "# TYPE gen_ai_calls counter",
        f'gen_ai_calls_total{{error_type="",{L},{S}}} 1.0',
        f'gen_ai_calls_created{{error_type="",{L},{S}}} {BORN}',
        "# TYPE gen_ai_operation_duration_seconds histogram",
        "# UNIT gen_ai_operation_duration_seconds seconds",
        *duration,
        f"gen_ai_operation_duration_seconds_created{{{L},{S}}} {BORN}",
        "# TYPE spancost_duplicates counter",
        "spancost_duplicates_total 0.0",
        f"spancost_duplicates_created {BORN}",
        "# TYPE spancost_uncarried_cost_usd counter",
        "# UNIT spancost_uncarried_cost_usd usd",
        "spancost_uncarried_cost_usd_total 0.0",
        f"spancost_uncarried_cost_usd_created {BORN}",
        "# TYPE spancost_pending_calls gauge",
        "spancost_pending_calls 0.0",
        "# EOF",
    ]


def test_every_family_has_its_help_in_both_formats():
    text = exposed(generate_latest, a_call())
    openmetrics = exposed(generate_openmetrics, a_call())

    assert f"# HELP gen_ai_cost_usd_total {names.COST.help}\n" in text
    assert f"# HELP gen_ai_cost_usd {names.COST.help}\n" in openmetrics
    for written in (text, openmetrics):
        typed = [line.split()[2] for line in written.splitlines() if line.startswith("# TYPE")]
        helped = [line.split()[2] for line in written.splitlines() if line.startswith("# HELP")]
        assert typed == helped


def test_only_a_sampled_call_leaves_an_exemplar():
    text = exposed(generate_openmetrics, a_call(), a_call(failed=True, error_type="E"))
    assert "trace_id" not in text

    text = exposed(generate_openmetrics, a_call(), a_call(sampled=True), a_call(trace_id="f" * 32))
    assert text.count("trace_id") == 2
    assert "f" * 32 not in text


def test_a_bucket_shows_its_last_exemplar_and_each_bucket_its_own():
    text = exposed(
        generate_openmetrics,
        a_call(sampled=True, trace_id="1" * 32, duration_ns=None),
        a_call(sampled=True, trace_id="2" * 32, duration_ns=None),
        a_call(sampled=True, trace_id="3" * 32, duration_ns=None, cost_parts={"fee": 7 * USD}),
    )

    marked = {
        line.split('le="')[1].split('"')[0]: line.split('trace_id="')[1][0]
        for line in text.splitlines()
        if "trace_id" in line
    }
    assert marked == {"0.0005": "2", "10.0": "3"}


def test_the_ids_of_an_exemplar_may_be_the_integers_of_the_sdk():
    text = exposed(generate_openmetrics, a_call(sampled=True, trace_id=0xABC, span_id=1))

    assert f'# {{span_id="{1:016x}",trace_id="{0xABC:032x}"}}' in text


def test_label_values_are_escaped():
    text = exposed(generate_latest, a_call(agent='say "hi"\\\nnow'))

    assert r'gen_ai_agent_name="say \"hi\"\\\nnow"' in text
    assert {
        labels["gen_ai_agent_name"] for name, labels, _ in parsed(text) if name == "gen_ai_calls_total"
    } == {'say "hi"\\\nnow'}


def test_a_restricted_scrape_gives_what_it_names():
    registry = CollectorRegistry()
    Meter(registry=registry).record(a_call())

    text = generate_latest(registry.restricted_registry(["gen_ai_calls_total"])).decode()

    assert [line.split("{")[0] for line in without_help(text)[1:]] == ["gen_ai_calls_total"]


def test_a_series_is_born_shortly_before_its_first_call_and_keeps_that_time():
    """
    A birth after the time of a scrape that shows the series would count it twice.

    Prometheus stamps a scrape when it begins, before we write it. With created timestamps as zeros, a series
    that is born in between got its value, and at the next scrape a zero after that value.
    """
    now = [100.0]
    meter = Meter(clock=lambda: now[0])
    now[0] = 150.0
    meter.record(a_call())
    now[0] = 200.0
    meter.record(a_call(tokens={"input": 1, "cache_read": 1}))

    assert births(meter) == {"input": 149, "output": 149, "cache_read": 199}


def test_no_series_is_older_than_its_process():
    """A zero from before the last value of the process before this one would be refused."""
    now = [100.0]
    meter = Meter(clock=lambda: now[0])
    now[0] = 100.5
    meter.record(a_call(tokens={"input": 1}))

    assert births(meter) == {"input": 100}


def births(meter):
    return {
        sample.labels["gen_ai_token_type"]: sample.value
        for family in meter.collect()
        for sample in family.samples
        if sample.name == "gen_ai_tokens_created"
    }


def test_what_was_collected_stays_as_it_was():
    """Families are copies: a call that comes while they are written changes nothing in them."""
    meter = metered(a_call())
    before = meter.collect()
    meter.record(a_call(agent="other"))
    meter.record(a_call())

    total = [s.value for f in before for s in f.samples if s.name == "gen_ai_calls_total"]
    assert total == [1]
