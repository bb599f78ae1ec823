# SPDX-License-Identifier: Apache-2.0
"""What each series counts, and what it does not."""

from __future__ import annotations

import pytest

from spancost.book import PriceBook
from spancost.meter import names
from tests.meter_kit import USD, a_call, a_meter, by_label, metered, samples, value

NAMES = {
    "gen_ai_cost_usd_total": "counter",
    "gen_ai_operation_cost_usd": "histogram",
    "gen_ai_tokens_total": "counter",
    "gen_ai_reasoning_tokens_total": "counter",
    "gen_ai_calls_total": "counter",
    "gen_ai_operation_duration_seconds": "histogram",
    "gen_ai_unpriced_calls_total": "counter",
    "gen_ai_failed_cost_usd_total": "counter",
    "gen_ai_cache_read_savings_usd_total": "counter",
    "gen_ai_cache_write_premium_usd_total": "counter",
    "gen_ai_agent_run_cost_usd": "histogram",
    "spancost_reported_cost_usd_total": "counter",
    "spancost_estimated_cost_usd_total": "counter",
    "spancost_flagged_calls_total": "counter",
    "spancost_duplicates_total": "counter",
    "spancost_uncarried_cost_usd_total": "counter",
    "spancost_rate_usd_per_million": "gauge",
    "spancost_price_book_info": "info",
    "spancost_price_book_timestamp_seconds": "gauge",
    "spancost_pending_calls": "gauge",
    "spancost_internal_errors_total": "counter",
    "spancost_series_overflow_total": "counter",
}


def test_the_metrics_are_those_of_the_design():
    suffix = {"counter": "_total", "info": "_info"}

    assert {
        metric.name + suffix.get(metric.type, ""): metric.type for metric in a_meter().describe()
    } == NAMES


@pytest.mark.parametrize("spec", [names.COST, names.TOKENS])
def test_help_texts_say_what_the_partition_is(spec):
    assert "input is uncached text only" in spec.help
    assert "output includes reasoning" in spec.help
    assert "a sum over it is the whole" in spec.help


def test_every_help_text_is_a_sentence_on_one_line():
    for spec in names.SPECS:
        assert spec.help.endswith(".")
        assert "\n" not in spec.help
        assert spec.help[0].isupper()


def test_cost_is_split_by_token_type_and_source():
    meter = metered(
        a_call(),
        a_call(),
        a_call(cost_source="provider", cost_parts={"unallocated": 3 * USD}),
    )

    assert samples(meter, "gen_ai_cost_usd_total") == {
        ("input", "local"): 0.0005,
        ("output", "local"): 0.0002,
        ("unallocated", "provider"): 3.0,
    }


def test_cost_is_exact_where_a_sum_of_floats_is_not():
    """Ten thousand calls of 0.1 micro-USD are 0.001 USD to the last digit."""
    meter = a_meter()
    call = a_call(cost_parts={"input": 10**8})
    for _ in range(10_000):
        meter.record(call)

    assert value(meter, "gen_ai_cost_usd_total") == 0.001


def test_tokens_are_split_by_token_type_and_zeros_make_no_series():
    meter = metered(a_call(tokens={"input": 7, "cache_read": 3, "output": 2, "output_audio": 0}))

    assert samples(meter, "gen_ai_tokens_total") == {("input",): 7, ("cache_read",): 3, ("output",): 2}


def test_reasoning_is_its_own_counter_and_stays_inside_output():
    meter = metered(a_call(reasoning=4, tokens={"output": 10}))

    assert value(meter, "gen_ai_reasoning_tokens_total") == 4
    assert samples(meter, "gen_ai_tokens_total") == {("output",): 10}


def test_calls_are_counted_by_error():
    meter = metered(
        a_call(),
        a_call(),
        a_call(failed=True, error_type="TimeoutError", cost_parts=None, tokens={}),
        a_call(failed=True, cost_parts=None, tokens={}),
    )

    assert samples(meter, "gen_ai_calls_total") == {("",): 2, ("TimeoutError",): 1, ("_OTHER",): 1}


def test_an_unpriced_call_counts_with_its_reason_and_tokens_but_has_no_cost():
    meter = metered(a_call(cost_parts=None, unpriced_reason="unknown_model"))

    assert samples(meter, "gen_ai_unpriced_calls_total") == {("unknown_model",): 1}
    assert samples(meter, "gen_ai_tokens_total") == {("input",): 100, ("output",): 10}
    assert samples(meter, "gen_ai_cost_usd_total") == {}
    assert value(meter, "gen_ai_operation_cost_usd_count") == 0
    assert value(meter, "gen_ai_operation_duration_seconds_count") == 1


def test_a_failed_call_without_usage_is_a_call_and_not_unpriced():
    meter = metered(a_call(failed=True, error_type="APIError", cost_parts=None, tokens={}))

    assert samples(meter, "gen_ai_calls_total") == {("APIError",): 1}
    assert samples(meter, "gen_ai_unpriced_calls_total") == {}
    assert samples(meter, "gen_ai_failed_cost_usd_total") == {}


def test_a_failed_call_with_usage_is_billed():
    meter = metered(a_call(failed=True, error_type="APIError", flags=("partial",)), a_call())

    assert value(meter, "gen_ai_failed_cost_usd_total") == 0.00035
    assert sum(samples(meter, "gen_ai_cost_usd_total").values()) == 0.0007
    assert samples(meter, "spancost_flagged_calls_total") == {("partial",): 1}


def test_an_answer_from_a_response_cache_is_a_call_for_nothing_whose_tokens_do_not_count():
    meter = metered(a_call(cost_parts={}, flags=("cached_response",), reasoning=5))

    assert samples(meter, "gen_ai_calls_total") == {("",): 1}
    assert samples(meter, "gen_ai_tokens_total") == {}
    assert samples(meter, "gen_ai_reasoning_tokens_total") == {}
    assert value(meter, "gen_ai_operation_cost_usd_count") == 1
    assert value(meter, "gen_ai_operation_cost_usd_sum") == 0
    assert samples(meter, "spancost_flagged_calls_total") == {("cached_response",): 1}


def test_an_aggregate_counts_once_with_its_tokens_and_cost_and_its_flag():
    meter = metered(a_call(flags=("aggregated", "suspect"), operation="invoke_agent"))

    assert samples(meter, "spancost_flagged_calls_total") == {("aggregated",): 1, ("suspect",): 1}
    assert by_label(meter, "gen_ai_calls_total", "gen_ai_operation_name") == {"invoke_agent": 1}
    assert sum(samples(meter, "gen_ai_tokens_total").values()) == 110


def test_what_caching_saved_and_what_it_cost_are_two_counters():
    meter = metered(a_call(cache_read_savings=2 * USD), a_call(cache_write_premium=USD // 2))

    assert value(meter, "gen_ai_cache_read_savings_usd_total") == 2
    assert value(meter, "gen_ai_cache_write_premium_usd_total") == 0.5


def test_reported_and_estimated_count_only_together():
    meter = metered(
        a_call(reported=3 * USD, estimated=2 * USD),
        a_call(reported=USD, estimated=None),
        a_call(reported=None, estimated=USD),
    )

    assert value(meter, "spancost_reported_cost_usd_total") == 3
    assert value(meter, "spancost_estimated_cost_usd_total") == 2


@pytest.mark.parametrize(
    ("femto", "bucket"),
    [
        (0, "1e-05"),
        (10**10, "1e-05"),
        (10**10 + 1, "0.0001"),
        (5 * 10**11, "0.0005"),
        (10 * USD, "10.0"),
        (10 * USD + 1, "+Inf"),
    ],
)
def test_a_cost_on_a_bound_is_in_its_bucket_and_one_femto_more_in_the_next(femto, bucket):
    meter = metered(a_call(cost_parts={"input": femto}))

    buckets = samples(meter, "gen_ai_operation_cost_usd_bucket")
    below = [bound for (bound,), count in buckets.items() if not count]
    assert list(buckets)[len(below)] == (bucket,)
    assert value(meter, "gen_ai_operation_cost_usd_sum") == femto / USD


@pytest.mark.parametrize(
    ("ns", "bucket"),
    [(0, "0.01"), (10_000_000, "0.01"), (10_000_001, "0.02"), (81_920_000_000, "81.92"), (10**11, "+Inf")],
)
def test_a_duration_on_a_bound_is_in_its_bucket_and_one_nanosecond_more_in_the_next(ns, bucket):
    meter = metered(a_call(duration_ns=ns))

    buckets = samples(meter, "gen_ai_operation_duration_seconds_bucket")
    below = [bound for (bound,), count in buckets.items() if not count]
    assert list(buckets)[len(below)] == (bucket,)


def test_a_call_whose_duration_is_not_known_is_in_no_bucket():
    meter = metered(a_call(duration_ns=None))

    assert value(meter, "gen_ai_operation_duration_seconds_count") == 0
    assert value(meter, "gen_ai_operation_cost_usd_count") == 1


def test_the_buckets_are_those_of_the_design():
    meter = metered(a_call())

    def bounds(name):
        return " ".join(bound for (bound,) in samples(meter, name))

    assert bounds("gen_ai_operation_cost_usd_bucket") == (
        "1e-05 0.0001 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1.0 2.5 5.0 10.0 +Inf"
    )
    assert bounds("gen_ai_operation_duration_seconds_bucket") == (
        "0.01 0.02 0.04 0.08 0.16 0.32 0.64 1.28 2.56 5.12 10.24 20.48 40.96 81.92 +Inf"
    )


def test_a_run_of_an_agent_has_the_service_the_agent_and_the_extra_labels():
    meter = a_meter(extra_labels=["team"])
    meter.record_run(service_name="shop", agent="planner", femto=2 * USD, labels=("growth",))
    meter.record_run(service_name="shop", agent="planner", femto=USD, labels=("growth",))
    meter.record_run(service_name="shop", agent=None, femto=0, labels=("",))

    (family,) = [family for family in meter.collect() if family.name == "gen_ai_agent_run_cost_usd"]
    sums = [(sample.labels, sample.value) for sample in family.samples if sample.name.endswith("_sum")]
    assert sums == [
        ({"service_name": "shop", "gen_ai_agent_name": "planner", "team": "growth"}, 3.0),
        ({"service_name": "shop", "gen_ai_agent_name": "unknown", "team": ""}, 0.0),
    ]


def test_what_belongs_to_no_call_counts_from_zero():
    meter = a_meter()
    assert value(meter, "spancost_duplicates_total") == 0
    assert value(meter, "spancost_uncarried_cost_usd_total") == 0
    assert value(meter, "spancost_pending_calls") == 0

    meter.duplicate()
    meter.uncarried(USD // 4)
    meter.internal_error("KeyError")
    meter.pending = lambda: 3

    assert value(meter, "spancost_duplicates_total") == 1
    assert value(meter, "spancost_uncarried_cost_usd_total") == 0.25
    assert samples(meter, "spancost_internal_errors_total") == {("KeyError",): 1}
    assert value(meter, "spancost_pending_calls") == 3


def test_the_price_book_and_the_rates_of_models_in_use_and_of_candidates_are_shown():
    book = PriceBook.default()
    meter = metered(a_call(), a_call(response_model="nobody-knows", request_model=None))
    meter.set_price_book(book, candidates=[("anthropic", "claude-sonnet-4-5")])

    assert samples(meter, "spancost_price_book_info") == {(book.version, book.digest, "built-in"): 1}
    assert value(meter, "spancost_price_book_timestamp_seconds") > 1_790_000_000
    (family,) = [family for family in meter.collect() if family.name == "spancost_rate_usd_per_million"]
    rates = {tuple(sample.labels.values()): sample.value for sample in family.samples}
    assert rates["openai", "gpt-4o-2024-08-06", "input"] == 2.5
    assert rates["openai", "gpt-4o-2024-08-06", "output"] == 10
    assert rates["anthropic", "claude-sonnet-4-5", "cache_write_1h"] == 6
    assert {(provider, model) for provider, model, _ in rates} == {
        ("openai", "gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-5"),
    }


def test_a_reloaded_price_book_replaces_the_one_before():
    meter = a_meter()
    meter.set_price_book(PriceBook.default())
    meter.set_price_book(PriceBook.default(), source="/etc/spancost/prices.toml")

    ((_, _, source),) = samples(meter, "spancost_price_book_info")
    assert source == "/etc/spancost/prices.toml"


def test_a_response_model_that_only_the_requested_one_explains_has_its_rates():
    meter = metered(a_call(response_model="my-deployment", request_model="gpt-4o"))
    meter.set_price_book(PriceBook.default())

    assert by_label(meter, "spancost_rate_usd_per_million", "gen_ai_response_model")


def test_what_a_call_does_not_say_is_unknown():
    """The response model falls back to the requested one; extra labels stay empty, as absent ones do."""
    nothing = a_call(
        service_name=None,
        agent=None,
        provider="",
        response_model=None,
        request_model="gpt-4o",
        operation=None,
        labels=("",),
    )
    meter = metered(nothing, nothing._replace(request_model=None), extra_labels=["team"])

    labels = [
        list(sample.labels.values())[:7]
        for family in meter.collect()
        for sample in family.samples
        if sample.name == "gen_ai_calls_total"
    ]
    unknown = "unknown"
    assert labels == [
        [unknown, unknown, unknown, "gpt-4o", "gpt-4o", unknown, ""],
        [unknown, unknown, unknown, unknown, unknown, unknown, ""],
    ]
