# SPDX-License-Identifier: Apache-2.0
"""The push over OTLP, against receivers that speak it: the same series as the process itself shows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from spancost.book import PriceBook
from spancost.meter import Meter
from spancost.meter.workers import join
from spancost.push import Pusher, otlp_exporter
from spancost.push.pusher import EXIT_LIMIT_S
from tests.meter_kit import NOON, USD, a_call, metered
from tests.otlp_receiver import GrpcReceiver, HttpReceiver, points_of
from tests.waiting import LIMIT_S, until

LIMIT_MS = LIMIT_S * 1e3
RECEIVERS = [pytest.param(HttpReceiver, id="http"), pytest.param(GrpcReceiver, id="grpc")]

PROGRAM = """
import os, sys
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from spancost import CostSpanProcessor

processor = CostSpanProcessor()
provider = TracerProvider(resource=Resource({"service.name": "shop"}))
provider.add_span_processor(processor)

def calls(count):
    for number in range(count):
        with provider.get_tracer("test").start_as_current_span("chat gpt-4o") as span:
            span.set_attributes({
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
            })
"""


@pytest.fixture(autouse=True)
def _only_ours(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def pushed(receiver, meter, monkeypatch, **settings):
    """Push a meter once."""
    for name, value in receiver.variables.items():
        monkeypatch.setenv(name, value)
    pusher = Pusher(meter, otlp_exporter(), interval_s=3600, **settings)
    assert pusher.shutdown(LIMIT_MS)


def shown(meter):
    """Return all samples of a meter's own exposition, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in meter.collect()
        for sample in family.samples
    }


def busy_meter() -> Meter:
    """Return a meter with something in every family."""
    meter = Meter(extra_labels=("team_name",), clock=lambda: NOON)
    for changes in (
        {},
        {"trace_id": 0xABC << 100, "span_id": 0xDEF, "sampled": True, "cost_parts": {"input": 3 * USD}},
        {"cost_source": "provider", "reported": 7, "estimated": 9, "flags": ("suspect", "partial")},
        {"failed": True, "error_type": "timeout", "cache_read_savings": 11, "cache_write_premium": 13},
        {"cost_parts": None, "unpriced_reason": "unknown_model", "response_model": "none", "agent": None},
        {"service_name": "till", "reasoning": 3},
        {"service_name": None},
    ):
        meter.record(a_call(**{"labels": ("growth",), **changes}))
    meter.record_run(service_name="shop", agent="planner", femto=5 * USD, labels=("growth",))
    meter.duplicate()
    meter.uncarried(17)
    meter.internal_error("on_end_ValueError")
    meter.set_price_book(PriceBook.default())
    return meter


@pytest.mark.parametrize("kind", RECEIVERS)
def test_what_is_pushed_is_what_the_process_shows(kind, monkeypatch):
    meter = busy_meter()

    with kind() as receiver:
        pushed(receiver, meter, monkeypatch)

    (arrived,) = receiver.last().values()
    expected = shown(meter)
    born = {key: value for key, value in expected.items() if key[0].endswith("_created")}
    assert {key: value for key, value in arrived.items() if key not in born} == {
        key: value for key, value in expected.items() if key not in born
    }
    assert {key: arrived[key] / 1e9 for key in born} == born
    assert {name for name, *_ in expected} >= {"gen_ai_cost_usd_total", "spancost_price_book_info"}


def test_exemplars_are_kept_with_the_bucket_value_and_time(monkeypatch):
    meter = metered(a_call(sampled=True, trace_id=0xABC, span_id="00000000000000ef"))

    with HttpReceiver() as receiver:
        pushed(receiver, meter, monkeypatch)

    found = {
        metric.name: [(e.trace_id.hex(), e.span_id.hex(), e.as_double, e.time_unix_nano) for e in p.exemplars]
        for _, metric, p in points_of(receiver.requests[0])
        if metric.WhichOneof("data") == "histogram"
    }
    ids = (f"{0xABC:032x}", "00000000000000ef")
    assert found == {
        "gen_ai.operation.cost.usd": [(*ids, 0.00035, int(NOON * 1e9))],
        "gen_ai.operation.duration": [(*ids, 0.8, int(NOON * 1e9))],
    }


def test_each_service_has_a_resource_of_its_own_and_all_the_same_instance(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")

    with HttpReceiver() as receiver:
        pushed(receiver, busy_meter(), monkeypatch)

    named = {resource["service.name"]: resource for resource in receiver.resources()}
    assert {name.split(":")[0] for name in named} == {"shop", "till", "unknown_service"}
    assert len({resource["service.instance.id"] for resource in named.values()}) == 1
    assert {resource["deployment.environment.name"] for resource in named.values()} == {"prod"}


def test_an_instance_from_the_environment_tells_workers_apart(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7")

    with HttpReceiver() as receiver:
        pushed(receiver, metered(a_call()), monkeypatch)

    assert set(receiver.last()) == {f"pod-7/{os.getpid()}"}


def test_a_worker_of_a_group_pushes_its_own_counts_though_a_scrape_shows_the_groups(tmp_path, monkeypatch):
    meter, other = metered(a_call()), metered(a_call(), a_call())
    tmp_path.chmod(0o700)
    for each in (meter, other):
        join(each, tmp_path)

    with HttpReceiver() as receiver:
        pushed(receiver, meter, monkeypatch)

    assert [amount for key, amount in shown(meter).items() if key[0] == "gen_ai_calls_total"] == [3]
    assert list(totals(receiver).values()) == [1]


def test_five_thousand_label_sets_fit_into_messages_of_grpc(monkeypatch):
    meter = Meter(max_label_values=5_000, clock=lambda: NOON)
    for number in range(5_000):
        meter.record(a_call(agent=f"agent-{number}"))

    with GrpcReceiver() as receiver:
        pushed(receiver, meter, monkeypatch)

    calls = [
        amount
        for key, amount in next(iter(receiver.last().values())).items()
        if key[0] == "gen_ai_calls_total"
    ]
    assert (len(calls), sum(calls)) == (5_000, 5_000)
    assert max(receiver.sizes) < 4 * 2**20 / 2


def test_a_receiver_that_is_not_there_costs_nothing_but_the_count(monkeypatch, caplog):
    meter = metered(a_call())

    with HttpReceiver() as receiver:
        for name, value in receiver.variables.items():
            monkeypatch.setenv(name, value)
        pusher = Pusher(meter, otlp_exporter(), interval_s=3600)
        receiver.refuses = True
        refused = [pusher.force_flush(LIMIT_MS) for _ in range(2)]
        receiver.refuses = False
        accepted = pusher.force_flush(LIMIT_MS)
        pusher.shutdown(LIMIT_MS)

    assert refused == [False, False]
    assert accepted
    (arrived,) = receiver.last().values()
    assert arrived["spancost_internal_errors_total", ("cause", "otlp_push")] == 2
    assert [r.name for r in caplog.records if "could not push" in r.message] == ["spancost"]


def test_an_exporter_that_hangs_holds_nobody_beyond_the_time_asked_for():
    gate = threading.Event()

    class Hanging:
        def export(self, *_: object, **__: object) -> None:
            gate.wait()

        def shutdown(self) -> None:
            pass

    pusher = Pusher(metered(a_call()), Hanging, interval_s=3600)

    assert not pusher.force_flush(50)
    assert not pusher.shutdown(50)
    gate.set()
    pusher._thread.join()  # it complains of the push that failed: not in the next test


def test_it_pushes_by_itself(monkeypatch):
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
    meter = metered(a_call())

    with HttpReceiver() as receiver:
        for name, value in receiver.variables.items():
            monkeypatch.setenv(name, value)
        pusher = Pusher(meter, otlp_exporter())
        until(lambda: len(receiver.requests) > 2)
        pusher.shutdown(LIMIT_MS)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "nan"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "carrier pigeon"),
    ],
)
def test_a_setting_that_cannot_be_is_named_at_once(variable, value, monkeypatch):
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValueError, match=variable) as error:
        Pusher(Meter(), otlp_exporter())

    assert value in str(error.value)


def program(receiver, code, before="", source=PROGRAM, **variables):
    """Run a program that is metered, to its end."""
    source = before + source + textwrap.dedent(code)
    environ = {**os.environ, **receiver.variables, "SPANCOST_OTLP_METRICS": "true", **variables}
    return subprocess.run(
        [sys.executable, "-c", source],
        env=environ,
        check=True,
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
    )


def totals(receiver, name="gen_ai_calls_total"):
    """Return the sum of a counter of each instance."""
    return {
        instance: sum(amount for key, amount in samples.items() if key[0] == name)
        for instance, samples in receiver.last().items()
    }


@pytest.mark.parametrize("kind", RECEIVERS)
def test_the_end_of_a_program_pushes_what_it_counted(kind):
    with kind() as receiver:
        program(receiver, "calls(3)")

    assert list(totals(receiver).values()) == [3]
    assert list(totals(receiver, "gen_ai_cost_usd_total").values()) == [pytest.approx(3 * 0.0035, abs=1e-15)]


def test_a_flush_pushes_for_a_function_that_is_frozen_afterwards():
    with HttpReceiver() as receiver:
        program(receiver, "calls(2); assert provider.force_flush(60_000); os._exit(0)")

    assert list(totals(receiver).values()) == [2]


@pytest.mark.parametrize("kind", RECEIVERS)
def test_a_forked_child_pushes_its_own_counts_under_a_name_of_its_own(kind):
    with kind() as receiver:
        program(
            receiver,
            """
            calls(5)
            assert provider.force_flush(60_000)
            if os.fork() == 0:
                calls(2)
                ok = provider.force_flush(60_000)
                os._exit(0 if ok else 1)
            status = os.wait()[1]
            assert status == 0, status
            """,
            GRPC_ENABLE_FORK_SUPPORT="1",
        )

    assert sorted(totals(receiver).values()) == [2, 5]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_worker_of_multiprocessing_pushes_what_it_counted_at_its_end(method, tmp_path):
    (tmp_path / "metered.py").write_text(PROGRAM, encoding="utf-8")
    code = f"""
        import multiprocessing
        from metered import calls
        if __name__ == "__main__":
            calls(5)
            worker = multiprocessing.get_context("{method}").Process(target=calls, args=(2,))
            worker.start()
            worker.join()
            """

    with HttpReceiver() as receiver:
        program(
            receiver, code, source="", PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        )

    assert sorted(totals(receiver).values()) == [2, 5]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_receiver_that_never_answers_holds_the_exit_for_some_seconds_only(protocol):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        receiver = HttpReceiver()
        receiver.variables = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        # What was registered first runs last.
        result = program(
            receiver,
            "calls(1); began.append(time.monotonic())",
            before="import atexit, time; began = []\n"
            "atexit.register(lambda: print(time.monotonic() - began[0]))",
        )

    assert float(result.stdout) < 3 * EXIT_LIMIT_S
    assert "Traceback" not in result.stderr
