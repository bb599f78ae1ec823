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
from tests.workers_kit import a_free_port

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
            while True:
                app.call()
                time.sleep(0.001)
        children.add(child)
        print(child, flush=True)
    done, _ = os.wait()
    children.discard(done)
"""

SERVERS = {
    "gunicorn": [
        "gunicorn",
        "--workers",
        "8",
        "--log-level",
        "error",
        "--bind",
        "127.0.0.1:{port}",
        "app:wsgi",
    ],
    "gunicorn, app loaded before it forks": [
        *("gunicorn", "--workers", "8", "--log-level", "error", "--preload", "--bind", "127.0.0.1:{port}"),
        "app:wsgi",
    ],
    "uvicorn": ["uvicorn", "--workers", "4", "--log-level", "error", "--port", "{port}", "app:asgi"],
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the app, and an environment that makes its workers a group."""
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    (tmp_path / "prefork.py").write_text(textwrap.dedent(PREFORK))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("RETURNED", str(tmp_path / "returned"))
    monkeypatch.setenv(METRICS_PORT, str(a_free_port()))
    monkeypatch.setenv(WORKERS_DIR, str(tmp_path / "group"))
    return tmp_path


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def until(question, seconds=20):
    """Ask again until something answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return question()
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def calls_shown():
    text = get(f"http://127.0.0.1:{os.environ[METRICS_PORT]}/metrics").decode()
    found = re.search(r"^gen_ai_calls_total\{[^}]*\} (\S+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError("no call is shown yet")
    return float(found[1])


def check(place, killed):
    """Nothing that returned is missing; what a worker died in the middle of may be in or not."""
    time.sleep(0.5)
    returned = (place / "returned").stat().st_size
    shown = until(calls_shown)
    assert returned <= shown <= returned + killed
    assert returned > 50


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_whose_workers_are_killed_under_load_shows_every_call(server, place):
    command = SERVERS[server]
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    port = a_free_port()
    arguments = [each.format(port=port) for each in command[1:]]
    process = subprocess.Popen([sys.executable, "-m", command[0], *arguments], cwd=place)
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
            time.sleep(0.7)
            victim = max(pids - killed)
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
        process.terminate()
        process.wait(20)


def test_a_pool_that_forks_its_workers_shows_every_call_of_those_that_were_killed(place):
    process = subprocess.Popen(
        [sys.executable, "prefork.py"], cwd=place, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        workers = [int(process.stdout.readline()) for _ in range(8)]
        before = 0
        for victim in workers[:5]:
            time.sleep(0.5)
            os.kill(victim, signal.SIGKILL)
            workers.append(int(process.stdout.readline()))
            now = until(calls_shown)
            assert now >= before
            before = now
        time.sleep(1)  # the last one has joined
        for worker in workers[5:]:
            os.kill(worker, signal.SIGSTOP)
        check(place, 13)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
