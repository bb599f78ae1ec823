# SPDX-License-Identifier: Apache-2.0
"""What holds for any list of calls: /metrics says what the list says."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from spancost.cost import Cost, cache_effect, price_usage
from spancost.meter import Meter, MeteredCall
from spancost.prices.cards import read_cards
from spancost.usage import Usage

(CARD,) = read_cards(
    "acme",
    "m",
    {
        "source": "a test",
        "cards": [
            {
                "rates": {
                    "input": "3",
                    "cache_read": "0.3",
                    "cache_write": "3.75",
                    "cache_write_1h": "6",
                    "output": "15",
                    "input_audio": "10",
                    "output_audio": "20",
                    "output_image": "30",
                },
                "above": [[100_000, {"input": "6", "output": "22.5"}]],
            }
        ],
    },
)
FEMTO = 10**15

counts = st.integers(0, 10**6)
names = st.sampled_from(["a", "b", "", None, "__other__"]) | st.text(max_size=5)


@st.composite
def usages(draw):
    fresh, audio, read, write, hour, output, reasoning = (draw(counts) for _ in range(7))
    return Usage(
        input=fresh + audio + read + write + hour,
        input_audio=audio,
        cache_read=read,
        cache_write=write + hour,
        cache_write_1h=hour,
        output=output + reasoning,
        reasoning=reasoning,
    )


@st.composite
def calls(draw):
    usage = draw(usages())
    cost = price_usage(usage, CARD, at=0)
    assert isinstance(cost, Cost)
    priced = draw(st.booleans())
    failed = draw(st.booleans())
    savings, premium = cache_effect(usage, cost.rates)
    return MeteredCall(
        service_name=draw(names),
        agent=draw(names),
        provider=draw(names),
        response_model=draw(names),
        request_model=draw(names),
        operation=draw(names),
        labels=(draw(st.text(max_size=3)),),
        cost_parts=cost.femto_parts if priced else None,
        cost_source=draw(st.sampled_from(["local", "provider"])),
        tokens=usage.by_token_type(),
        reasoning=usage.reasoning,
        duration_ns=draw(st.none() | st.integers(0, 10**12)),
        error_type=draw(names) or "" if failed else "",
        unpriced_reason=None if priced or failed else "unknown_model",
        flags=tuple(draw(st.sets(st.sampled_from(["cached_response", "partial", "suspect"])))),
        failed=failed,
        cache_read_savings=savings,
        cache_write_premium=premium,
        trace_id=draw(st.integers(1, 2**128 - 1)),
        span_id=draw(st.integers(1, 2**64 - 1)),
        sampled=draw(st.booleans()),
    )


def exposed(recorded, **settings):
    """What the parser reads back: from the text format, and from OpenMetrics."""
    registry = CollectorRegistry()
    meter = Meter(extra_labels=["team"], registry=registry, **settings)
    for call in recorded:
        meter.record(call)
    text = list(text_string_to_metric_families(generate_latest(registry).decode()))
    openmetrics = list(parse_openmetrics(generate_openmetrics(registry).decode()))
    return text, openmetrics


def samples(families, name):
    return [sample for family in families for sample in family.samples if sample.name == name]


def total(families, name):
    return sum((Fraction(sample.value) for sample in samples(families, name)), Fraction(0))


def close(shown, femto):
    """A series is a correctly rounded float; so many of them are this near to the exact sum."""
    return abs(shown - Fraction(femto, FEMTO)) <= Fraction(femto, FEMTO) * Fraction(1, 2**53) + Fraction(
        1, 10**30
    )


@given(calls())
def test_the_token_types_of_one_call_sum_to_its_cost_and_its_tokens(call):
    families, _ = exposed([call])
    femto = sum((call.cost_parts or {}).values())
    cached = "cached_response" in call.flags

    assert close(total(families, "gen_ai_cost_usd_total"), femto)
    assert total(families, "gen_ai_tokens_total") == (0 if cached else sum(call.tokens.values()))
    assert close(total(families, "gen_ai_operation_cost_usd_sum"), femto)


@given(st.lists(calls(), max_size=15), st.sampled_from([(200, 10_000), (2, 10_000), (200, 3)]))
def test_what_the_parser_reads_back_is_the_list_of_calls_whatever_the_bounds(recorded, bounds):
    values, sets = bounds
    families, _ = exposed(recorded, max_label_values=values, max_label_sets=sets)

    priced = [call for call in recorded if call.cost_parts is not None]
    costs = [sum(call.cost_parts.values()) for call in priced]
    counted = [call for call in recorded if "cached_response" not in call.flags]
    assert total(families, "gen_ai_calls_total") == len(recorded)
    assert close(total(families, "gen_ai_cost_usd_total"), sum(costs))
    assert total(families, "gen_ai_operation_cost_usd_count") == len(priced)
    assert total(families, "gen_ai_tokens_total") == sum(sum(call.tokens.values()) for call in counted)
    assert total(families, "gen_ai_reasoning_tokens_total") == sum(call.reasoning for call in counted)
    assert total(families, "gen_ai_unpriced_calls_total") == sum(
        call.unpriced_reason is not None for call in recorded
    )
    assert total(families, "spancost_flagged_calls_total") == sum(len(call.flags) for call in recorded)
    failed = sum(cost for cost, call in zip(costs, priced, strict=True) if call.failed)
    assert close(total(families, "gen_ai_failed_cost_usd_total"), failed)
    saved = sum(call.cache_read_savings for call in recorded)
    assert close(total(families, "gen_ai_cache_read_savings_usd_total"), saved)


@given(st.lists(calls(), max_size=8))
def test_costs_by_token_type_and_source_are_those_of_the_list(recorded):
    families, _ = exposed(recorded)
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for call in recorded:
        for name, femto in (call.cost_parts or {}).items():
            expected[name, call.cost_source] += femto

    shown: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for sample in samples(families, "gen_ai_cost_usd_total"):
        key = (sample.labels["gen_ai_token_type"], sample.labels["gen_ai_usage_cost_source"])
        shown[key] += Fraction(sample.value)
    assert shown.keys() == expected.keys()
    assert all(close(shown[key], expected[key]) for key in expected)


@given(st.lists(calls(), max_size=8))
def test_both_formats_give_the_same_samples(recorded):
    text, openmetrics = exposed(recorded)

    def key(families):
        found = [
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in families
            for sample in family.samples
        ]
        assert len(found) == len({(name, labels) for name, labels, _ in found})
        return sorted(found)

    assert key(text) == key(openmetrics)


@given(st.lists(calls(), max_size=8))
def test_no_series_goes_back_or_vanishes(recorded):
    meter = Meter(extra_labels=["team"], max_label_values=2, max_label_sets=4)
    before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for call in recorded:
        meter.record(call)
        now = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in meter.collect()
            for sample in family.samples
        }
        assert all(key in now and now[key] >= value for key, value in before.items())
        before = now


@given(usages())
def test_the_cost_with_the_cache_is_the_cost_without_it_less_what_it_saved(usage):
    cost = price_usage(usage, CARD, at=0)
    plain = price_usage(
        Usage(input=usage.input, input_audio=usage.input_audio, output=usage.output), CARD, at=0
    )
    assert isinstance(cost, Cost)
    assert isinstance(plain, Cost)
    savings, premium = cache_effect(usage, cost.rates)

    assert cost.femto == plain.femto - savings + premium
    assert savings >= 0
    assert premium >= 0
