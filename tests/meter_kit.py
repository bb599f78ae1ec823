# SPDX-License-Identifier: Apache-2.0
"""What the meter's tests share: a call in one line, a clock that stands still, samples by their series."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from spancost.meter import Meter, MeteredCall

NOON = 1_795_262_400.0
"""2026-11-21, noon."""

BASE = {
    "service_name": "shop",
    "gen_ai_agent_name": "planner",
    "gen_ai_provider_name": "openai",
    "gen_ai_response_model": "gpt-4o-2024-08-06",
    "gen_ai_request_model": "gpt-4o",
    "gen_ai_operation_name": "chat",
}
"""The labels of `a_call`."""

USD = 10**15


def a_call(**changes: Any) -> MeteredCall:
    """Return a call of 100 tokens in and 10 out for 350 micro-USD in 0.8 s, with some fields changed."""
    call = MeteredCall(
        service_name="shop",
        agent="planner",
        provider="openai",
        response_model="gpt-4o-2024-08-06",
        request_model="gpt-4o",
        operation="chat",
        labels=(),
        cost_parts={"input": 250 * 10**9, "output": 100 * 10**9},
        cost_source="local",
        tokens={"input": 100, "cache_read": 0, "output": 10},
        duration_ns=800_000_000,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
    )
    return call._replace(**changes)


def a_meter(**settings: Any) -> Meter:
    """Return a meter of its own, whose clock stands at noon."""
    return Meter(clock=lambda: NOON, **settings)


def metered(*calls: MeteredCall, **settings: Any) -> Meter:
    """Return a meter that has counted some calls."""
    meter = a_meter(**settings)
    for call in calls:
        meter.record(call)
    return meter


def samples(meter: Meter, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of the samples of one name by the values of the labels that are not `BASE`."""
    return {
        tuple(value for label, value in sample.labels.items() if label not in BASE): sample.value
        for family in meter.collect()
        for sample in family.samples
        if sample.name == name
    }


def by_label(meter: Meter, name: str, label: str) -> dict[str, float]:
    """Return the values of the samples of one name, summed by one label."""
    found: dict[str, float] = {}
    for family in meter.collect():
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels[label]] = found.get(sample.labels[label], 0) + sample.value
    return found


def value(meter: Meter, name: str) -> float:
    """Return the value of the only sample of one name."""
    (only,) = samples(meter, name).values()
    return only


def parsed(text: str) -> list[tuple[str, dict[str, str], float]]:
    """Return the samples of an exposition in the text format."""
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
