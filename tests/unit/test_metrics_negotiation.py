# SPDX-License-Identifier: Apache-2.0
"""Which format and packing a client gets, by what it says; and one valid document of all collectors."""

from __future__ import annotations

import logging
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from spancost.meter import Meter
from spancost.meter.exposition import Document, accepts_gzip, choose_format
from tests.meter_kit import a_call
from tests.waiting import LIMIT_S

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3_5 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    + PROMETHEUS_3_5
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        (BROWSER, TEXT),
        ("application/json", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"; q=0.5', OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text; version=2.0.0, text/plain; q=0.1", TEXT),
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3_5, OPENMETRICS),
        (PROTOBUF, OPENMETRICS),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.2", TEXT),
        ("application/openmetrics-text;q=0,text/plain;q=0", TEXT),
        ("application/openmetrics-text;q=nan,,;;,text/plain;q=x", TEXT),
        ("text/plain, application/openmetrics-text", TEXT),
    ],
)
def test_the_format_is_the_one_the_client_likes_best(accept, answered):
    form = choose_format(accept)

    assert form.content_type.partition("; escaping")[0] == answered
    assert form.openmetrics is (answered == OPENMETRICS)


@pytest.mark.parametrize(
    ("accept", "escaping"),
    [
        (PROMETHEUS_3_5, "allow-utf-8"),
        ("application/openmetrics-text; version=1.0.0; escaping=dots", "dots"),
        ("application/openmetrics-text; version=1.0.0; escaping=none-such", "underscores"),
        ("text/plain; version=1.0.0; escaping=values", "values"),
    ],
)
def test_a_way_to_escape_names_is_confirmed_and_changes_none_of_ours(accept, escaping):
    registry = CollectorRegistry()
    Meter(registry=registry, clock=lambda: 1.0).record(a_call())
    form = choose_format(accept)
    plain = choose_format("application/openmetrics-text" if form.openmetrics else "text/plain")

    assert form.content_type.endswith(f"; escaping={escaping}")
    assert [*Document(registry, form).pieces()] == [*Document(registry, plain).pieces()]


@pytest.mark.parametrize(
    ("accept_encoding", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("gzip;q=0.001", True),
        ("gzip;q=2", False),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
    ],
)
def test_packing_is_asked_for_by_its_weight(accept_encoding, wanted):
    assert accepts_gzip(accept_encoding) is wanted


def document(registry, accept):
    return b"".join(Document(registry, choose_format(accept)).pieces()).decode()


class Brings:
    """A collector that does not say beforehand what it brings."""

    def __init__(self, *metrics):
        self.metrics = metrics

    def describe(self):
        return []

    def collect(self):
        return self.metrics


def test_metrics_of_the_program_stand_beside_ours_in_one_document():
    registry = CollectorRegistry(target_info={"region": "eu"})
    before = Counter("before", "B.", registry=registry)
    before.inc(exemplar={"trace_id": "abc"})
    Meter(registry=registry).record(a_call(sampled=True))
    Gauge("after", "A.", ["x"], registry=registry).labels('"').set(1.5)

    openmetrics = document(registry, "application/openmetrics-text")
    names = [family.name for family in parse_openmetrics(openmetrics)]
    assert names[:2] == ["target", "before"]
    assert names[-1] == "after"
    assert "gen_ai_cost_usd" in names
    assert openmetrics.count("# EOF\n") == 1
    text = document(registry, "text/plain")
    assert {f.name for f in text_string_to_metric_families(text)} >= {"before", "gen_ai_cost_usd", "after"}


def test_a_family_that_two_collectors_bring_stands_there_once():
    registry = CollectorRegistry()
    one, two = (GaugeMetricFamily("queue", "Q.", labels=["name"]) for _ in range(2))
    one.add_metric(["a"], 1)
    two.add_metric(["b"], 2)
    more = CounterMetricFamily("gen_ai_calls", "Somebody else's.", labels=["error_type"])
    more.add_metric(["mine"], 5)
    registry.register(Brings(one))
    Meter(registry=registry).record(a_call())
    registry.register(Brings(more, two))

    for accept in ("text/plain", "application/openmetrics-text"):
        text = document(registry, accept)
        typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(typed) == len(set(typed))
        assert 'queue{name="a"} 1.0\nqueue{name="b"} 2.0\n' in text
        assert 'gen_ai_calls_total{error_type="mine"} 5.0\n' in text
        assert 'gen_ai_calls_total{error_type="",' in text
    assert [*parse_openmetrics(document(registry, "application/openmetrics-text"))]


def test_a_family_that_comes_with_another_type_is_left_out_and_named(caplog):
    registry = CollectorRegistry()
    registry.register(Brings(GaugeMetricFamily("queue", "Q.", value=1)))
    registry.register(Brings(CounterMetricFamily("queue", "Q.", value=7)))

    with caplog.at_level(logging.WARNING, "spancost"):
        text = document(registry, "text/plain")
        document(registry, "text/plain")

    assert text == "# HELP queue Q.\n# TYPE queue gauge\nqueue 1.0\n"
    assert caplog.text.count("two collectors have a metric queue, a gauge and a counter") == 1


def test_a_large_document_comes_in_small_pieces():
    registry = CollectorRegistry()
    meter = Meter(registry=registry)
    for number in range(150):
        meter.record(a_call(agent=f"agent-{number}"))

    pieces = [len(piece) for piece in Document(registry, choose_format("")).pieces()]

    assert sum(pieces) > 1_500_000
    assert max(pieces) < 150_000


def test_a_document_is_of_the_moment_when_it_was_asked_for():
    registry = CollectorRegistry()
    meter = Meter(registry=registry)
    meter.record(a_call())
    found = Document(registry, choose_format(""))
    meter.record(a_call())
    meter.record(a_call(agent="late"))

    text = b"".join(found.pieces()).decode()
    assert "late" not in text
    assert next(line for line in text.splitlines() if line.startswith("gen_ai_calls_total")).endswith(" 1.0")


def test_no_call_waits_for_a_scrape():
    registry = CollectorRegistry()
    meter = Meter(registry=registry)
    for number in range(100):
        meter.record(a_call(agent=f"agent-{number}"))
    pieces = Document(registry, choose_format("")).pieces()
    next(pieces)

    call = threading.Thread(target=meter.record, args=(a_call(),), daemon=True)
    call.start()
    call.join(LIMIT_S)

    assert not call.is_alive()
    assert sum(1 for _ in pieces) > 10
