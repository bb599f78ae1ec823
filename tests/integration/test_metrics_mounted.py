# SPDX-License-Identifier: Apache-2.0
"""The metrics endpoint in real web servers: gunicorn for WSGI, uvicorn for ASGI, and Prometheus' own linter."""

from __future__ import annotations

import gzip
import http.client
import subprocess
import sys

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.ports import free_port
from tests.waiting import LIMIT_S, until

PROGRAM = """
import spancost
from spancost.meter import shared_meter
from tests.meter_kit import a_call

meter = shared_meter()
for number in range(150):
    meter.record(a_call(agent=f"agent-{number}", sampled=True))
wsgi = spancost.metrics_wsgi_app(auth="s3cret")
asgi = spancost.metrics_asgi_app(auth="s3cret")
"""
HEADERS = {"Authorization": "Bearer s3cret", "Accept": "application/openmetrics-text; version=1.0.0"}
SERVERS = {
    "gunicorn": ["gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error", "program:wsgi"],
    "uvicorn": ["uvicorn", "--port", "{port}", "--log-level", "error", "program:asgi"],
}


@pytest.fixture(scope="module", params=sorted(SERVERS))
def port(request, tmp_path_factory):
    """The port of a server that runs the program."""
    pytest.importorskip(request.param)
    home = tmp_path_factory.mktemp(request.param)
    (home / "program.py").write_text(PROGRAM)
    port = free_port()
    arguments = [argument.format(port=port) for argument in SERVERS[request.param]]
    paths = f"import sys; sys.path[:0] = {[str(home), *sys.path]!r}; import runpy; "
    start = f"{paths}sys.argv = {arguments!r}; runpy.run_module({arguments[0]!r}, run_name='__main__')"
    server = subprocess.Popen([sys.executable, "-c", start], cwd=home)
    try:

        def is_ready():
            assert server.poll() is None
            return ask(port, "/-/healthy")

        until(is_ready)
        yield port
    finally:
        server.terminate()
        server.wait(LIMIT_S)


def ask(port, path="/metrics", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def ours(text):
    return [line for line in text.splitlines() if b"gen_ai" in line or b"spancost" in line]


def test_a_scrape_is_whole_and_valid(port):
    response, body = ask(port, **HEADERS)

    assert response.status == 200
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert len(body) > 1_500_000
    calls = next(f for f in text_string_to_metric_families(body.decode()) if f.name == "gen_ai_calls")
    assert sum(sample.value for sample in calls.samples if sample.name.endswith("_total")) == 150


def test_a_packed_scrape_unpacks_to_the_same(port):
    response, body = ask(port, **HEADERS, **{"Accept-Encoding": "gzip"})

    assert response.getheader("Content-Encoding") == "gzip"
    assert len(body) < 150_000
    assert ours(gzip.decompress(body)) == ours(ask(port, **HEADERS)[1])


def test_everything_else_is_answered(port):
    assert ask(port, "/-/healthy")[1] == b"spancost is healthy\n"
    assert ask(port)[0].status == 401
    assert ask(port, "/nowhere", **HEADERS)[0].status == 404
    assert ask(port, method="POST", **HEADERS)[0].status == 405
    response, body = ask(port, method="HEAD", **HEADERS)
    assert (response.status, body) == (200, b"")


@pytest.mark.needs("promtool")
def test_promtool_has_nothing_to_complain_about(port):
    _, text = ask(port, Authorization=HEADERS["Authorization"])
    answer = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=LIMIT_S
    )

    assert ours(answer.stdout + answer.stderr) == []
