# SPDX-License-Identifier: Apache-2.0
"""What our renderer writes is what `prometheus_client` writes, byte for byte, whatever the labels."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from spancost.book import PriceBook
from spancost.meter import Meter, MeteredCall
from spancost.meter.exposition import Document, choose_format, packed
from spancost.meter.rendering import number

HOSTILE = ['"', "\\", "\n", '\\"', "\\n", "%s", "{}", ",", '",x="', "=", "\r", "\t", " ", "#", "\x00", "\x7f"]
HOSTILE += ["# EOF", "é", "\u2028", "\U0001f4b8", "a" * 300]

values = st.none() | st.sampled_from(HOSTILE) | st.text(max_size=6) | st.just("gpt-4o")
amounts = st.integers(0, 10**19) | st.sampled_from([0, 1, 10**9 - 1, 10**9, 10**15, 10**21, 10**21 - 1])
label_names = st.lists(
    st.sampled_from(
        ["a", "z", "team", "gen_ai_tz", "gen_ai_usage", "error", "flag_2", "ld", "lf", "service"]
    ),
    max_size=3,
    unique=True,
)


@st.composite
def calls(draw, labels):
    priced = draw(st.booleans())
    return MeteredCall(
        service_name=draw(values),
        agent=draw(values),
        provider=draw(values),
        response_model=draw(values),
        request_model=draw(values),
        operation=draw(values),
        labels=tuple(draw(values) or "" for _ in labels),
        cost_parts={"input": draw(amounts), "fee": draw(amounts)} if priced else None,
        cost_source=draw(st.sampled_from(["local", "provider"])),
        tokens={"input": draw(st.integers(0, 10**16)), "output": draw(st.integers(0, 2 * 10**6))},
        reasoning=draw(st.integers(0, 5)),
        duration_ns=draw(st.none() | st.integers(0, 10**12)),
        error_type=draw(values) or "",
        unpriced_reason=None if priced else "unknown_model",
        flags=tuple(draw(st.sets(st.sampled_from(["partial", "suspect"])))),
        failed=draw(st.booleans()),
        cache_read_savings=draw(amounts),
        reported=draw(amounts),
        estimated=draw(amounts),
        trace_id=draw(st.integers(1, 2**128 - 1)),
        span_id=draw(st.integers(1, 2**64 - 1)),
        sampled=draw(st.booleans()),
    )


@st.composite
def registries(draw):
    """A registry with a meter that stands still, and a metric of the program's own."""
    labels = draw(label_names)
    now = draw(st.floats(1.0, 4e9))
    registry = CollectorRegistry()
    meter = Meter(extra_labels=labels, registry=registry, clock=lambda: now)
    if draw(st.booleans()):
        meter.set_price_book(PriceBook.default(), source=draw(st.sampled_from(HOSTILE)))
    for call in draw(st.lists(calls(labels), max_size=6)):
        meter.record(call)
        if draw(st.booleans()):
            meter.record_run(
                service_name=call.service_name,
                agent=call.agent,
                femto=draw(amounts),
                labels=call.labels,
                trace_id=call.trace_id,
                span_id=call.span_id,
                sampled=call.sampled,
            )
    meter.internal_error(draw(st.sampled_from(HOSTILE)))
    Counter("jobs", 'Jobs "done" \\ here.', ["kind"], registry=registry).labels(draw(values) or "").inc()
    return registry


def ours(registry, accept):
    return b"".join(Document(registry, choose_format(accept)).pieces())


def parsed(families):
    return [
        (family.name, family.type, family.documentation, family.unit, family.samples) for family in families
    ]


@given(registries())
def test_the_text_format_is_what_prometheus_client_writes(registry):
    text = ours(registry, "text/plain")

    assert text == generate_latest(registry)
    assert parsed(text_string_to_metric_families(text.decode())) == parsed(
        text_string_to_metric_families(generate_latest(registry).decode())
    )


@given(registries())
def test_openmetrics_is_what_prometheus_client_writes(registry):
    text = ours(registry, "application/openmetrics-text")

    assert text == generate_openmetrics(registry)
    assert parsed(parse_openmetrics(text.decode())) == parsed(
        parse_openmetrics(generate_openmetrics(registry).decode())
    )


@given(st.lists(st.binary(max_size=1000)))
def test_what_is_packed_unpacks_to_itself(pieces):
    assert zlib.decompress(b"".join(packed(pieces)), 31) == b"".join(pieces)


@given(st.integers(0, 10**25) | st.floats(0, 1e25) | st.floats(0, 2e6))
def test_a_number_is_written_as_prometheus_client_writes_it(value):
    assert number(value) == floatToGoString(value)
