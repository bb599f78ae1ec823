# SPDX-License-Identifier: Apache-2.0
"""The metrics endpoint to mount, by the rules of WSGI and ASGI."""

from __future__ import annotations

import asyncio
import gzip
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

import spancost
from spancost.meter import Meter
from tests.meter_kit import a_call


@pytest.fixture(scope="module")
def registry():
    registry = CollectorRegistry()
    Gauge("jobs", "Jobs that wait.", registry=registry).set(3)
    Meter(registry=registry).record(a_call())
    return registry


@pytest.fixture(scope="module")
def large():
    """A registry whose metrics are too long to be made as a whole."""
    registry = CollectorRegistry()
    meter = Meter(registry=registry)
    for number in range(60):
        meter.record(a_call(agent=f"agent-{number}"))
    return registry


def wsgi(app, path="/metrics", method="GET", **environ):
    """Ask an application as a server does that minds every rule."""
    environ = {"QUERY_STRING": "", "SCRIPT_NAME": "", **environ, "PATH_INFO": path, "REQUEST_METHOD": method}
    setup_testing_defaults(environ)
    started = []

    def start_response(status, headers, _exc_info=None):
        started.append((status, dict(headers)))
        return started.append

    body = validator(app)(environ, start_response)
    try:
        content = b"".join(body)
    finally:
        body.close()
    ((status, headers),) = started
    return int(status[:3]), headers, content


def asgi(app, path="/metrics", method="GET", root_path="", query=b"", **headers):
    """Ask an application as a server does."""
    sent = []

    async def receive():
        raise AssertionError("a GET has no body to wait for")

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": query,
        "headers": [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    start, *bodies = sent
    assert [message.get("more_body", False) for message in bodies] == [True] * (len(bodies) - 1) + [False]
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(message["body"] for message in bodies)


def both(registry, **arguments):
    """Both applications, each as a function of path, method and headers that gives the answer."""
    on_wsgi = spancost.metrics_wsgi_app(registry=registry, **arguments)
    on_asgi = spancost.metrics_asgi_app(registry=registry, **arguments)

    def ask_wsgi(path="/metrics", method="GET", query="", **headers):
        environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        status, found, body = wsgi(on_wsgi, path, method, QUERY_STRING=query, **environ)
        return status, {name.lower(): value for name, value in found.items()}, body

    def ask_asgi(path="/metrics", method="GET", query="", **headers):
        return asgi(on_asgi, path, method, query=query.encode(), **headers)

    return [ask_wsgi, ask_asgi]


@pytest.mark.parametrize("path", ["/metrics", "/", ""])
def test_the_metrics_are_where_it_is_mounted_and_below(registry, path):
    for ask in both(registry):
        status, headers, body = ask(path)
        assert (status, body) == (200, generate_latest(registry))
        assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert int(headers["content-length"]) == len(body)


def test_formats_and_packing_are_negotiated(registry):
    for ask in both(registry):
        _, headers, body = ask(accept="application/openmetrics-text;version=1.0.0", accept_encoding="gzip")
        assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert headers["vary"] == "Accept, Accept-Encoding"
        assert gzip.decompress(body).endswith(b"# EOF\n")


def test_some_metrics_can_be_asked_for(registry):
    for ask in both(registry):
        assert ask(query="name[]=jobs")[2] == b"# HELP jobs Jobs that wait.\n# TYPE jobs gauge\njobs 3.0\n"


def test_a_long_answer_is_streamed(large):
    for ask in both(large):
        _, headers, body = ask()
        assert "content-length" not in headers
        assert body == generate_latest(large)


def test_a_head_has_no_body(registry):
    for ask in both(registry):
        status, headers, body = ask(method="HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) == len(generate_latest(registry))


def test_health_other_paths_and_other_methods(registry):
    for ask in both(registry, auth="s3cret"):
        assert ask("/-/healthy")[::2] == (200, b"spancost is healthy\n")
        assert ask("/other")[0] == 404
        assert ask(method="DELETE")[0] == 405
        assert ask(method="DELETE")[1]["allow"] == "GET, HEAD"


def test_credentials_are_asked_for(registry):
    for ask in both(registry, auth="s3cret"):
        status, headers, _ = ask()
        assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="spancost"')
        assert ask(authorization="Bearer s3cret")[0] == 200


def test_credentials_that_cannot_work_are_refused_when_it_is_made():
    for make in (spancost.metrics_wsgi_app, spancost.metrics_asgi_app):
        with pytest.raises(ValueError, match="the token is empty"):
            make(auth="")


@pytest.mark.parametrize(
    ("path", "root"),
    [("/ops/metrics", "/ops"), ("/metrics", "/ops"), ("/ops", "/ops"), ("/ops/", "/ops"), ("/", "/ops")],
)
def test_a_mount_s_own_path_may_be_in_the_path_or_not(registry, path, root):
    """Starlette since 0.33 and uvicorn since 0.26 leave it in, older ones did not."""
    app = spancost.metrics_asgi_app(registry=registry)

    assert asgi(app, path, root_path=root)[0] == 200


def test_an_asgi_server_whose_only_application_it_is_may_start_and_stop():
    app = spancost.metrics_asgi_app()
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent = []

    async def receive():
        return next(events)

    async def send(message):
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_websocket_is_refused():
    app = spancost.metrics_asgi_app()
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(app({"type": "websocket"}, receive, send))
    assert sent == ["websocket.close"]


def test_the_event_loop_goes_on_while_a_long_answer_is_written(large):
    """Collectors run in a thread: one that blocks stops nobody."""
    release = []

    class Slow:
        def describe(self):
            return []

        def collect(self):
            while not release:
                pass
            return []

    slow = Slow()
    large.register(slow)
    app = spancost.metrics_asgi_app(registry=large)
    sent = []

    async def send(message):
        sent.append(message)

    async def main():
        scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
        answering = asyncio.create_task(app(scope, None, send))
        await asyncio.sleep(0.05)
        assert not sent
        release.append(True)
        await answering

    try:
        asyncio.run(main())
    finally:
        release.append(True)
        large.unregister(slow)
    assert sent[0]["status"] == 200
