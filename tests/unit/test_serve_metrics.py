# SPDX-License-Identifier: Apache-2.0
"""The built-in endpoint, over real HTTP."""

from __future__ import annotations

import gzip
import http.client
import logging
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import spancost
from spancost.meter import Meter, serving
from spancost.meter.serving import serve_metrics
from tests.meter_kit import a_call, parsed

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture(scope="module")
def registry():
    registry = CollectorRegistry()
    Meter(registry=registry).record(a_call(sampled=True))
    return registry


@pytest.fixture(scope="module")
def server(registry):
    with serve_metrics(0, registry=registry) as server:
        yield server


def get(server, path="/metrics", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_it_is_a_public_name_that_serves_the_default_registry():
    with spancost.serve_metrics(0) as server, urllib.request.urlopen(server.url, timeout=20) as response:
        assert b"python_info" in response.read()
        assert server.url == f"http://127.0.0.1:{server.port}/metrics"


def test_the_metrics_are_what_prometheus_client_writes(server, registry):
    response, body = get(server)

    assert response.status == 200
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert body == generate_latest(registry)
    assert ("gen_ai_tokens_total", 100.0) in {(name, value) for name, _, value in parsed(body.decode())}


def test_openmetrics_with_exemplars_is_there_for_who_accepts_it(server):
    response, body = get(server, Accept=f"{OPENMETRICS},text/plain;q=0.5")

    assert response.getheader("Content-Type").startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert b'trace_id="0af7651916cd43dd8448eb211c80319c"' in body


def test_it_is_packed_for_who_accepts_that(server):
    response, body = get(server, Accept_Encoding="gzip, deflate")

    assert response.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == get(server)[1]


def test_a_head_has_the_headers_alone(server):
    response, body = get(server, method="HEAD")

    assert (response.status, body) == (200, b"")
    assert int(response.getheader("Content-Length")) == len(get(server)[1])


def test_some_metrics_can_be_asked_for(server):
    _, body = get(server, "/metrics?name[]=gen_ai_calls_total")

    assert {name for name, _, _ in parsed(body.decode())} == {"gen_ai_calls_total"}


def test_it_says_that_it_is_healthy(server):
    response, body = get(server, "/-/healthy")

    assert (response.status, body) == (200, b"spancost is healthy\n")


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/favicon.ico", "//x"])
def test_elsewhere_there_is_a_hint(server, path):
    response, body = get(server, path)

    assert response.status == 404
    assert b"/metrics" in body


def test_another_method_is_refused_in_plain_words(server):
    response, body = get(server, method="POST")

    assert response.status == 501
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert b"Unsupported method" in body


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(
        OSError, match=f"cannot serve metrics on 127.0.0.1 port {server.port}: .*; choose another"
    ):
        serve_metrics(server.port)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(ValueError, match=f"0 to 65535, not {port}"):
        serve_metrics(port)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(OSError, match=r"cannot serve metrics on 192\.0\.2\.1 port 0"):
        serve_metrics(0, "192.0.2.1")


def test_the_next_protocol_version_works_too(registry):
    try:
        server = serve_metrics(0, "::1", registry=registry)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server, urllib.request.urlopen(server.url, timeout=20) as response:
        assert server.url.startswith("http://[::1]:")
        assert response.status == 200


def test_closing_frees_the_port_and_may_be_done_twice(registry):
    before = threading.active_count()
    server = serve_metrics(0, registry=registry)
    port = server.port
    get(server)
    server.close()
    server.close()

    with pytest.raises(ConnectionError):
        get(server)
    serve_metrics(port, registry=registry).close()
    assert threading.active_count() <= before


def silent(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def test_silent_and_slow_clients_harm_nobody(server):
    clients = [silent(server) for _ in range(10)]
    clients[0].sendall(b"GET /met")
    try:
        assert get(server)[0].status == 200
    finally:
        for client in clients:
            client.close()
    assert get(server)[0].status == 200


def test_more_silent_clients_than_there_is_room_for_are_cut_oldest_first(server):
    clients = [silent(server) for _ in range(serving.MAX_CONNECTIONS + 5)]
    try:
        assert get(server)[0].status == 200
        assert clients[0].recv(1) == b""
        assert clients[4].recv(1) == b""
        clients[-1].sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert clients[-1].recv(12) == b"HTTP/1.0 200"
    finally:
        for client in clients:
            client.close()


def test_a_client_that_takes_too_long_is_cut_however_it_drips(server, monkeypatch):
    monkeypatch.setattr(serving, "REQUEST_LIMIT_S", 0.5)
    with silent(server) as client:
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the bytes meets the end is open
            while time.monotonic() - began < 15:
                client.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() - began < 10


def test_a_client_that_does_not_read_is_cut_when_the_server_closes(registry):
    server = serve_metrics(0, registry=registry)
    with silent(server) as client:
        get(server)
        server.close()
        assert client.recv(1) == b""


def test_a_collector_that_raises_is_logged_and_the_next_request_is_served(server, registry, caplog):
    class Broken:
        def describe(self):
            return []

        def collect(self):
            raise RuntimeError("mine is broken")

    broken = Broken()
    registry.register(broken)
    with caplog.at_level(logging.ERROR, "spancost"), pytest.raises(http.client.HTTPException):
        get(server)
    registry.unregister(broken)

    assert get(server)[0].status == 200
    assert "mine is broken" in caplog.text


def test_requests_are_not_logged(server, capfd):
    get(server)
    get(server, "/nothing")

    assert capfd.readouterr() == ("", "")
