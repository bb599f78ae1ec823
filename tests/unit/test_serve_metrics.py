# SPDX-License-Identifier: Apache-2.0
"""The built-in endpoint, over real HTTP."""

from __future__ import annotations

import base64
import gzip
import http.client
import logging
import os
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import spancost
from spancost.meter import Meter, serving
from spancost.meter.endpoint import KNOWN_LENGTH
from spancost.meter.serving import serve_metrics
from tests.meter_kit import a_call, parsed
from tests.waiting import LIMIT_S, until

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
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    try:
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_it_is_a_public_name_that_serves_the_default_registry():
    with spancost.serve_metrics(0) as server, urllib.request.urlopen(server.url, timeout=LIMIT_S) as response:
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


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_is_refused_in_plain_words(server, method):
    response, body = get(server, method=method)

    assert response.status == 405
    assert response.getheader("Allow") == "GET, HEAD"
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert body == b"Only GET and HEAD work here.\n"


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
    with server, urllib.request.urlopen(server.url, timeout=LIMIT_S) as response:
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
    until(lambda: threading.active_count() <= before)


def silent(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)


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
        assert clients[-1].recv(12) == b"HTTP/1.1 200"
    finally:
        for client in clients:
            client.close()


def test_a_client_that_takes_too_long_is_cut_however_it_drips(server, monkeypatch):
    monkeypatch.setattr(serving, "REQUEST_LIMIT_S", 0.5)
    with silent(server) as client:
        began = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 - which of the bytes meets the end is open
            while time.monotonic() - began < LIMIT_S:
                client.sendall(b"G")
                time.sleep(0.1)
        assert time.monotonic() - began < 20


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
    with caplog.at_level(logging.ERROR, "spancost"):
        response, body = get(server)
    registry.unregister(broken)

    assert (response.status, body) == (500, b"A collector failed; the log of the program says why.\n")
    assert "mine is broken" in caplog.text
    assert get(server)[0].status == 200


@pytest.fixture(scope="module")
def large():
    """A server of 9 MB, more than lies in the buffers of a connection."""
    registry = CollectorRegistry()
    meter = Meter(registry=registry, max_label_values=700)
    for number in range(700):
        meter.record(a_call(agent=f"agent-{number}"))
    with serve_metrics(0, registry=registry) as server:
        yield server, generate_latest(registry)


def test_a_long_answer_comes_in_chunks(large):
    server, text = large
    response, body = get(server)

    assert len(text) > KNOWN_LENGTH
    assert response.getheader("Transfer-Encoding") == "chunked"
    assert response.getheader("Content-Length") is None
    assert body == text
    assert get(server, method="HEAD")[1] == b""


def test_an_old_client_that_knows_no_chunks_gets_a_long_answer_as_a_whole(large):
    server, text = large
    with silent(server) as client, client.makefile("rb") as answer:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        head, _, body = answer.read().partition(b"\r\n\r\n")

    assert b"Content-Length: %d" % len(text) in head
    assert body == text


def test_a_client_can_tell_a_long_answer_that_was_cut(large, monkeypatch):
    """A counter that is missing for one scrape looks like a restart: half a document must not pass for one."""
    server, _ = large
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_S)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    response.read(1000)
    monkeypatch.setattr(serving, "REQUEST_LIMIT_S", 0)
    until(lambda: not server._server._open)

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()


def login(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_token_is_asked_for(registry):
    with serve_metrics(0, registry=registry, auth="s3cret") as server:
        refused, body = get(server)
        assert (refused.status, body) == (401, b"These metrics need credentials.\n")
        assert refused.getheader("WWW-Authenticate") == 'Bearer realm="spancost"'
        for wrong in ("Bearer", "Bearer s3cre", "Bearer s3crett", "s3cret", login("", "s3cret"), "Basic !"):
            assert get(server, Authorization=wrong)[0].status == 401, wrong
        assert get(server, Authorization="Bearer s3cret")[0].status == 200
        assert get(server, Authorization="bearer  s3cret")[0].status == 200
        assert get(server, "/-/healthy")[0].status == 200
        assert get(server, method="HEAD")[0].status == 401


def test_a_name_and_a_password_are_asked_for(registry):
    with serve_metrics(0, registry=registry, auth=("prom", "pä:ss")) as server:
        refused, _ = get(server)
        assert refused.status == 401
        assert refused.getheader("WWW-Authenticate") == 'Basic realm="spancost", charset="UTF-8"'
        for wrong in (login("prom", "pä"), login("Prom", "pä:ss"), "Bearer pä:ss".encode()):
            assert get(server, Authorization=wrong)[0].status == 401, wrong
        assert get(server, Authorization=login("prom", "pä:ss"))[0].status == 200


def test_credentials_come_from_the_environment_too(registry, monkeypatch, tmp_path):
    secret = tmp_path / "login"
    secret.write_text("prom:pass\n", encoding="utf-8")
    monkeypatch.setenv("SPANCOST_METRICS_TOKEN", "s3cret")
    monkeypatch.setenv("SPANCOST_METRICS_LOGIN_FILE", str(secret))
    with serve_metrics(0, registry=registry) as server:
        assert get(server)[0].status == 401
        assert get(server, Authorization="Bearer s3cret")[0].status == 200
        assert get(server, Authorization=login("prom", "pass"))[0].status == 200
    with serve_metrics(0, registry=registry, auth="mine") as server:
        assert get(server, Authorization="Bearer s3cret")[0].status == 401
        assert get(server, Authorization="Bearer mine")[0].status == 200


@pytest.mark.parametrize(
    ("auth", "environ", "message"),
    [
        ("", {}, "the token is empty"),
        ("two words", {}, "the token has characters that a header cannot have"),
        (("a:b", ""), {}, "the name or the password is empty; the name has a colon"),
        (("a", "b\n"), {}, "control characters"),
        (None, {"SPANCOST_METRICS_LOGIN": "prom"}, "LOGIN must be a name and a password with a colon"),
        (
            None,
            {"SPANCOST_METRICS_TOKEN": "a", "SPANCOST_METRICS_TOKEN_FILE": "b"},
            "both set: leave one out",
        ),
        (None, {"SPANCOST_METRICS_TOKEN_FILE": "/no/such"}, "names /no/such, which cannot be read"),
        (None, {"SPANCOST_METRICS_TOKEN_FILE": os.devnull}, "which is empty"),
    ],
)
def test_credentials_that_cannot_work_are_refused_before_anybody_listens(auth, environ, message, monkeypatch):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        serve_metrics(0, auth=auth)


@pytest.mark.parametrize(
    ("addr", "auth", "warns"),
    [("0.0.0.0", None, True), ("", None, True), ("0.0.0.0", "t", False), ("localhost", None, False)],
)
def test_listening_for_other_machines_without_credentials_is_warned_of(addr, auth, warns, registry, caplog):
    with caplog.at_level(logging.WARNING, "spancost"):
        serve_metrics(0, addr, registry=registry, auth=auth).close()

    assert ("everybody who reaches 0.0.0.0" in caplog.text) is warns


def test_requests_are_not_logged(server, capfd):
    get(server)
    get(server, "/nothing")

    assert capfd.readouterr() == ("", "")
