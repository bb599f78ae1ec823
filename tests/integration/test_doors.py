# SPDX-License-Identifier: Apache-2.0
"""
The doors without code, as a user opens them: real processes under `opentelemetry-instrument`.

Real clients with their official instrumentations talk to the local provider, whose bill is the truth, and
spans go by OTLP to a server of ours. They run in the environment `.venvs/doors`.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from demo.provider import Provider, Reply
from spancost import PriceBook
from tests.ports import free_port
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]
BIN = Path(os.environ.get("SPANCOST_DOORS") or ROOT / ".venvs" / "doors" / "bin")
APP = Path(__file__).parent / "doors" / "app.py"
CALLS = 6
SCRIPTS = {"planner": [Reply("Tea.")], "writer": [Reply("Tea, then.")]}
AMOUNT = "gen_ai.usage.cost.amount"

pytestmark = pytest.mark.skipif(
    not (BIN / "opentelemetry-instrument").exists(), reason=f"needs {BIN} with the real libraries: make test"
)


class Collector:
    """Takes OTLP over HTTP, and keeps the attributes of each span."""

    def __init__(self):
        self.spans, self.headers = [], []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.headers.append(dict(self.headers))
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, request):
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    said = {a.key: a.value.double_value or a.value.string_value for a in span.attributes}
                    self.spans.append((span.name, said))

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def femto(self):
        amounts = [said[AMOUNT] for _, said in self.spans if AMOUNT in said]
        return sum(int(Decimal(repr(amount)) * 10**15) for amount in amounts), len(amounts)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


class Done:
    """What a run came to: the program's own account, the bill, and what was said on standard error."""

    def __init__(self, process, bill):
        assert process.returncode == 0, process.stderr
        self.told = json.loads(process.stdout.splitlines()[-1])
        self.stderr = process.stderr
        self.entries = len(bill.entries)
        self.bill = sum(cost.femto for _, cost in bill.priced(PriceBook.default()))

    @property
    def metered(self):
        return round(Decimal(repr(round(self.told["usd"], 12))) * 10**15)


def run(*options, port=None, **environment):
    """Run the program under `opentelemetry-instrument`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))}
    with Provider(SCRIPTS) as server:
        given = {
            "PATH": f"{BIN}:{kept.get('PATH', '')}",
            "OPENAI_URL": server.openai_url,
            "ANTHROPIC_URL": server.url,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_TRACES_EXPORTER": "none",
            "SPANCOST_STRICT": "1",
        }
        if port is not None:
            given |= {"APP_METRICS_PORT": str(port), "SPANCOST_METRICS_PORT": str(port)}
        process = subprocess.run(
            [BIN / "opentelemetry-instrument", *options, BIN / "python", APP],
            env={**kept, **given, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * LIMIT_S,
        )
    return Done(process, server.bill)


def test_a_program_is_metered_without_a_change_of_it():
    """Threads of a pool keep the agent, and /metrics is served by the program itself."""
    done = run(port=free_port())

    assert done.entries == CALLS
    assert done.told["calls"] == {"planner": CALLS}
    assert done.metered == done.bill
    assert "spancost" not in done.stderr


def test_a_provider_that_the_program_sets_itself_is_metered():
    done = run(port=free_port(), OTEL_PYTHON_CONFIGURATOR="none", APP_LATE_PROVIDER="1")

    assert done.told["calls"] == {"planner": CALLS}
    assert done.metered == done.bill


def test_it_is_off_where_that_is_said(collector):
    done = run(
        OTEL_TRACES_EXPORTER="otlp_proto_http",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="spancost",
    )

    assert done.entries == CALLS
    assert len(collector.spans) > CALLS
    assert collector.femto == (0, 0)


def test_an_exporter_by_its_name_prices_where_there_is_no_processor(collector):
    """The instrumentor is off, so nobody but the exporter can have done it."""
    done = run(
        OTEL_TRACES_EXPORTER="spancost_otlp_http",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="spancost",
    )

    assert collector.femto == (done.bill, CALLS)


def test_an_exporter_beside_the_processor_counts_once_and_the_environments_options_hold(collector):
    done = run(
        port=free_port(),
        OTEL_TRACES_EXPORTER="spancost_otlp_http",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        SPANCOST_LABELS="team, tenant",
        SPANCOST_RUN_ATTRIBUTES="true",
    )

    assert collector.femto == (done.bill, CALLS)
    assert done.metered == done.bill
    assert done.told["calls"] == {"planner": CALLS}
    assert {"team", "tenant"} <= set(done.told["labels"])
    (agent,) = [said for name, said in collector.spans if name == "invoke_agent planner"]
    assert round(Decimal(repr(agent["spancost.run.cost_usd"])) * 10**15) == done.bill


def test_a_sampler_by_its_name_loses_nothing_and_exports_nothing_more(collector):
    done = run(
        port=free_port(),
        OTEL_TRACES_EXPORTER="otlp_proto_http",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_TRACES_SAMPLER="spancost",
        OTEL_TRACES_SAMPLER_ARG="parentbased_traceidratio,0.0,mode=all",
    )

    assert done.metered == done.bill
    assert collector.spans == []
    assert "spancost" not in done.stderr


def test_a_sampler_that_drops_is_warned_of():
    done = run(port=free_port(), OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.0")

    assert done.told["calls"] == {}
    assert done.stderr.count("OTEL_TRACES_SAMPLER=spancost") == 1


YAML = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          spancost_otlp_http:
            endpoint: {url}/v1/traces
            timeout: 5000
            compression: gzip
            headers: [{{name: x-team, value: growth}}]
  sampler:
    spancost:
instrumentation/development:
  python:
    spancost: {{labels: [team], run_attributes: true, metrics_port: {port}}}
"""


def test_a_yaml_configuration_opens_every_door(collector, tmp_path):
    port, file = free_port(), tmp_path / "otel.yaml"
    file.write_text(YAML.format(url=collector.url, port=port), encoding="utf-8")
    done = run(
        OTEL_CONFIG_FILE=str(file),
        SPANCOST_SAMPLER="parentbased_traceidratio,1.0",
        APP_METRICS_PORT=str(port),
    )

    assert done.metered == done.bill
    assert done.told["calls"] == {"planner": CALLS}
    assert "team" in done.told["labels"]
    assert collector.femto == (done.bill, CALLS)
    assert {headers.get("x-team") for headers in collector.headers} == {"growth"}
    (agent,) = [said for name, said in collector.spans if name == "invoke_agent planner"]
    assert round(Decimal(repr(agent["spancost.run.cost_usd"])) * 10**15) == done.bill


def test_wrong_options_in_yaml_are_named_and_the_program_runs_metered(tmp_path):
    port, file = free_port(), tmp_path / "otel.yaml"
    file.write_text(
        'file_format: "1.0"\ntracer_provider: {processors: [{simple: {exporter: {console: {}}}}]}\n'
        "instrumentation/development: {python: {spancost: {label: [team]}}}\n",
        encoding="utf-8",
    )
    done = run(port=port, OTEL_CONFIG_FILE=str(file))

    assert "label" in done.stderr
    assert done.metered == done.bill
