# SPDX-License-Identifier: Apache-2.0
"""Real servers with several workers, scraped on one port while workers are killed under load."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request

import pytest

from spancost._env import METRICS_PORT, WORKERS_DIR
from tests.ports import free_port
from tests.waiting import LIMIT_S, until

APP = '''
import os
from opentelemetry.sdk.trace import TracerProvider
from spancost import CostSpanProcessor

provider = TracerProvider()
provider.add_span_processor(CostSpanProcessor())
tracer = provider.get_tracer("opentelemetry.instrumentation.openai_v2")
journal = os.open(os.environ["RETURNED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def call():
    """Make one LLM call, and write down that its span's end returned."""
    span = tracer.start_span(
        "chat gpt-4o",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100,
        },
    )
    span.end()
    os.write(journal, b".")
    return b"%d" % os.getpid()


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [call()]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": call()})
'''

PREFORK = """
import os, signal, sys, time
import app

# As Celery's prefork pool does it: the parent imports everything, its children work and are replaced.
children = set()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    while len(children) < 8:
        child = os.fork()
        if not child:
            app.call()
            os.write(1, b"%d\\n" % os.getpid())
            while not os.path.exists("stop"):
                app.call()
                time.sleep(0.001)
            os.write(1, b"stopped\\n")
            signal.pause()
        children.add(child)
    done, _ = os.wait()
    children.discard(done)
"""

# With time for a worker that a busy machine holds up: whoever is killed, the test is to know of.
GUNICORN = "gunicorn --workers 8 --log-level error --timeout 0 --bind 127.0.0.1:{port}"
UVICORN = "uvicorn --workers 4 --log-level error --timeout-worker-healthcheck 120 --port {port}"
SERVERS = {
    "gunicorn": f"{GUNICORN} app:wsgi",
    "gunicorn, app loaded before it forks": f"{GUNICORN} --preload app:wsgi",
    "uvicorn": f"{UVICORN} app:asgi",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the app, and an environment that makes its workers a group."""
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    (tmp_path / "prefork.py").write_text(textwrap.dedent(PREFORK))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("RETURNED", str(tmp_path / "returned"))
    monkeypatch.setenv(METRICS_PORT, str(free_port()))
    monkeypatch.setenv(WORKERS_DIR, str(tmp_path / "group"))
    return tmp_path


def get(url):
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return answer.read()


def calls_shown():
    text = get(f"http://127.0.0.1:{os.environ[METRICS_PORT]}/metrics").decode()
    found = re.search(r"^gen_ai_calls_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError("no call is shown yet")
    return float(found[1])


def returned(place):
    return (place / "returned").stat().st_size


def wait_for_more_calls(place):
    enough = returned(place) + 100
    until(lambda: returned(place) > enough)


def check(place, killed):
    """Nothing that returned is missing; what a worker died in the middle of may be in or not."""
    assert returned(place) <= until(calls_shown) <= returned(place) + killed
    assert returned(place) > 50


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_whose_workers_are_killed_under_load_shows_every_call(server, place):
    port = free_port()
    command = SERVERS[server].format(port=port).split()
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=place, start_new_session=True)
    stop = threading.Event()
    pids = set()

    def load():
        while not stop.is_set():
            try:
                pids.add(int(get(f"http://127.0.0.1:{port}/")))
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.02)  # its worker was killed in the middle

    clients = [threading.Thread(target=load) for _ in range(6)]
    try:
        until(lambda: get(f"http://127.0.0.1:{port}/"))
        for client in clients:
            client.start()
        before = 0
        killed = set()
        for _ in range(3):
            wait_for_more_calls(place)
            victim = until(lambda: max(pids - killed, default=None))
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
            now = until(calls_shown)
            assert now >= before
            before = now
        stop.set()
        for client in clients:
            client.join()
        check(place, len(killed))
    finally:
        stop.set()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_pool_that_forks_its_workers_shows_every_call_of_those_that_were_killed(place):
    process = subprocess.Popen(
        [sys.executable, "prefork.py"], cwd=place, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        workers = [int(process.stdout.readline()) for _ in range(8)]
        before = 0
        for victim in workers[:5]:
            wait_for_more_calls(place)
            os.kill(victim, signal.SIGKILL)
            workers.append(int(process.stdout.readline()))
            now = until(calls_shown)
            assert now >= before
            before = now
        (place / "stop").touch()
        assert [process.stdout.readline() for _ in workers[5:]] == ["stopped\n"] * 8
        check(place, 5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
