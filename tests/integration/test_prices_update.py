# SPDX-License-Identifier: Apache-2.0
"""Newer tables in real processes: fetched over real HTTP, installed by the command, followed by running programs."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from spancost.errors import PriceBookError
from spancost.prices import fetch
from spancost.prices.compare import compare
from spancost.prices.from_genai_prices import merge
from spancost.prices.installed import load_whole
from spancost.prices.writing import write
from tests.price_kit import BUILT_IN, LATER, newer, small
from tests.waiting import LIMIT_S, until

SPANCOST = Path(sys.executable).with_name("spancost")
GOOD = newer(version="2999.01.02")


class Handler(BaseHTTPRequestHandler):
    """Serves a table well, and in every way that a server can get it wrong."""

    def do_GET(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, "do_" + self.path.strip("/").split("/")[0])()

    def do_good(self):
        self.answer(GOOD)

    def do_older(self):
        self.answer(newer(version="2020.01.01", date="2020-01-01"))

    def do_edited(self):
        self.answer(GOOD.replace(b'"input":"0.15"', b'"input":"0.14"'))

    def do_truncated(self):
        self.answer(GOOD[: len(GOOD) // 2], length=len(GOOD))

    def do_huge(self):
        self.answer(b"", length=10**12)

    def do_endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 2**20)

    def do_dripping(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def do_silent(self):
        self.rfile.read()  # until the client has gone

    def do_away(self):
        self.send_error(404)

    def do_moved(self):
        self.redirect("/good")

    def do_tofile(self):
        self.redirect("file:///etc/passwd")

    def do_circle(self):
        self.redirect("/circle")

    def redirect(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.end_headers()

    def answer(self, data, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def server():
    """The address of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def path(tmp_path):
    """Where tables are installed; nothing is there yet."""
    return tmp_path / "home" / "prices" / "table.tsv"


@pytest.fixture
def prices(path):
    """Run ``spancost prices`` as a user does, with tables in a place of its own."""

    def run(*arguments):
        return subprocess.run(
            [SPANCOST, "prices", *map(str, arguments)],
            env=os.environ | {"SPANCOST_PRICE_TABLE": str(path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )

    return run


def test_a_table_from_a_server_is_installed_seen_and_rolled_back(server, prices, path):
    done = prices("update", f"{server}/good")

    assert done.returncode == 0, done.stderr
    assert f"{BUILT_IN.version} (built-in) -> 2999.01.02" in done.stdout
    assert f"installed as {path}" in done.stdout
    assert path.read_bytes() == GOOD
    assert f"table 2999.01.02 ({path})" in prices("show", "gpt-4o").stdout
    assert "nothing to do" in prices("update", f"{server}/good").stdout
    back = prices("update", "--rollback")
    assert back.returncode == 0
    assert f"in force is table {BUILT_IN.version} (built-in)" in back.stdout
    assert not path.exists()


def test_a_redirect_to_http_is_followed(server, prices, path):
    assert prices("update", f"{server}/moved").returncode == 0
    assert path.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("older", "older than the table in force"),
        ("edited", "do not match the digest"),
        ("truncated", "came only in part"),
        ("huge", "no price table"),
        ("endless", "larger than"),
        ("away", "404"),
        ("tofile", "not allowed"),
        ("circle", "cannot be fetched"),
    ],
)
def test_what_is_no_good_newer_table_is_refused_and_changes_nothing(server, prices, path, what, why):
    prices("update", f"{server}/good")

    done = prices("update", f"{server}/{what}")

    assert done.returncode == 1
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == GOOD


@pytest.mark.parametrize("what", ["silent", "dripping"])
def test_a_slow_server_is_given_up(server, what):
    start = time.monotonic()

    with pytest.raises(PriceBookError, match=r"too long|cannot be fetched"):
        fetch.fetch(f"{server}/{what}", silence=0.5, whole=0.5)

    assert time.monotonic() - start < fetch.SILENCE_SECONDS


@pytest.mark.parametrize(
    "source", ["file:///etc/passwd", "ftp://127.0.0.1/t", "http://127.0.0.1:1/t", "http://[/t", "/no/file"]
)
def test_a_source_that_cannot_be_had_is_an_error_in_one_line(prices, source):
    done = prices("update", source)

    assert done.returncode == 1
    assert source in done.stderr
    assert "Traceback" not in done.stderr


def test_wild_moves_and_a_digest_that_was_not_expected_are_refused_together(prices, path, tmp_path):
    table = tmp_path / "new.tsv"
    table.write_bytes(newer(changed={"openai/gpt-4o-mini": "1.5"}))

    done = prices("update", table, "--digest", "sha256:00")

    assert done.returncode == 1
    assert "its digest is sha256:" in done.stderr
    assert "openai/gpt-4o-mini: input 0.15 -> 1.5" in done.stderr
    assert not path.exists()
    digest = load_whole(table).digest
    assert "not installed: --dry-run" in prices("update", table, "--accept-moves", "--dry-run").stdout
    assert prices("update", table, "--accept-moves", "--digest", digest).returncode == 0
    assert path.read_bytes() == table.read_bytes()


def test_the_update_mends_a_broken_installed_table(server, prices, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"broken")

    assert prices("show", "gpt-4o").returncode == 1
    assert prices("update", f"{server}/good").returncode == 0
    assert prices("show", "gpt-4o").returncode == 0


# --- genai-prices -------------------------------------------------------------------------------------


def test_an_installed_newer_genai_prices_adds_its_changes_as_new_cards(prices, path, tmp_path, monkeypatch):
    """A copy of the package with one changed price and a later version, as pip would install it."""
    import genai_prices

    site = tmp_path / "site"
    shutil.copytree(Path(genai_prices.__file__).parent, site / "genai_prices")
    (site / "genai_prices-99.0.0.dist-info").mkdir()
    (site / "genai_prices-99.0.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: genai-prices\nVersion: 99.0.0\n"
    )
    with (site / "genai_prices" / "data.py").open("a") as data:
        data.write(
            "\nfrom decimal import Decimal\n"
            "for _provider in providers:\n"
            "    for _model in _provider.models:\n"
            "        if (_provider.id, _model.id) == ('anthropic', 'claude-opus-4-5'):\n"
            "            _model.prices.input_mtok = Decimal('4.5')\n"
        )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))

    done = prices("update", "genai-prices")

    assert done.returncode == 0, done.stderr
    assert "0 models came, 0 went, 1 changed" in done.stdout
    assert "input 5 -> 4.5 (since " in done.stdout
    table = load_whole(path)
    assert table.sources["genai-prices"] == "99.0.0"
    cards = table.providers["anthropic"].exact["claude-opus-4-5"].cards()
    assert [card.rates_per_million()["input"] for card in cards[-2:]] == [5, 4.5]
    assert cards[-1].source == "genai-prices 99.0.0"
    assert cards[-1].rates_per_million("batch") == cards[-2].rates_per_million("batch")


def test_the_genai_prices_that_the_table_was_made_of_is_no_newer_one(prices):
    done = prices("update", "genai-prices")

    assert done.returncode == 1
    assert "pip install -U genai-prices" in done.stderr


@pytest.mark.parametrize("days", [0, 7, 400])
def test_the_data_that_the_table_was_made_of_adds_nothing(tmp_path, days):
    """On the real package, on the day of the table or later: neither a model nor a rate."""
    from spancost.prices import genai_rows

    day = (dt.date.fromisoformat(BUILT_IN.date) + dt.timedelta(days)).isoformat()
    rows = merge(BUILT_IN, list(genai_rows.rows("genai-prices 9.9.9")), day)
    path = tmp_path / "t.tsv"
    path.write_bytes(write(rows, version=LATER, date=BUILT_IN.date, sources={}))

    assert list(compare(BUILT_IN, load_whole(path)).lines()) == []


# --- running processes ----------------------------------------------------------------------------------

PROGRAM = """
import json, os, sys, threading, time
from opentelemetry.sdk.trace import TracerProvider
from spancost import CostSpanProcessor

processor = CostSpanProcessor()
seen = []
processor.on_call(lambda call: seen.append((call.cost.price_book, call.cost.femto)))
provider = TracerProvider()
provider.add_span_processor(processor)
tracer = provider.get_tracer("app")
ended = []
stop = threading.Event()


def work():
    count = 0
    while not stop.is_set():
        span = tracer.start_span("chat m", attributes={
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
            "gen_ai.response.model": "m", "gen_ai.usage.input_tokens": 1000000,
        })
        span.end()
        count += 1
        time.sleep(0.001)
    ended.append(count)


def figure(name):
    return {
        tuple(sample.labels.get(key, "") for key in ("version", "cause")): sample.value
        for family in processor.meter.collect() for sample in family.samples if sample.name == name
    }


def report():
    processor.force_flush()
    kinds = {}
    for kind in seen:
        kinds[kind] = kinds.get(kind, 0) + 1
    print(json.dumps({
        "calls": len(seen), "ended": sum(ended),
        "kinds": sorted([*kind, count] for kind, count in kinds.items()),
        "metered": sum(figure("gen_ai_calls_total").values()),
        "info": [key[0] for key in figure("spancost_price_book_info")],
        "time": list(figure("spancost_price_book_timestamp_seconds").values()),
        "errors": [key[1] for key in figure("spancost_internal_errors_total")],
    }), flush=True)
"""

FLOOD = (
    PROGRAM
    + """
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
print("ready", flush=True)
while sys.stdin.readline() == "what is in force?\\n":
    last = seen[-1][0] if len(seen) > 100 else ""
    print(json.dumps([last, *(key[1] for key in figure("spancost_internal_errors_total"))]), flush=True)
stop.set()
for thread in threads:
    thread.join()
report()
"""
)

FORKED = (
    PROGRAM
    + """
child = os.fork()
if child == 0:
    print("ready", flush=True)
    end = time.monotonic() + 100
    while figure("spancost_price_book_info").keys() != {("2999.01.02", "")} and time.monotonic() < end:
        time.sleep(0.1)
    report()
    os._exit(0)
os.waitpid(child, 0)
"""
)


@pytest.fixture
def running(path):
    """Start a program that follows the installed table every second."""

    @contextlib.contextmanager
    def start(code):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small("2999.01.01", "2026-11-25", rate="1"))
        program = subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"SPANCOST_PRICE_TABLE": str(path), "SPANCOST_PRICE_RELOAD_SECONDS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with program:
            assert program.stdout.readline() == "ready\n", program.stderr.read()
            yield program

    return start


def replace(path, data):
    """Put a file in the place of another at once, as the command does."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.replace(path)


def test_a_running_process_takes_new_tables_without_losing_a_call(running, path):
    """Calls end in four threads all the while; each has the amount of the table whose version it names."""

    def wait_for(*in_force):
        def is_so():
            program.stdin.write("what is in force?\n")
            program.stdin.flush()
            return json.loads(program.stdout.readline()) == list(in_force)

        until(is_so)

    with running(FLOOD) as program:
        wait_for("2999.01.01")
        replace(path, small("2999.01.02", "2026-11-26", rate="2"))
        wait_for("2999.01.02")
        replace(path, b"broken")
        wait_for("2999.01.02", "price_table_unusable")
        replace(path, small("2999.01.03", "2026-11-27", rate="3"))
        wait_for("2999.01.03", "price_table_unusable")
        out, err = program.communicate("stop\n", timeout=LIMIT_S)

    found = json.loads(out)
    assert found["calls"] == found["ended"] == found["metered"] > 100
    assert [kind[:2] for kind in found["kinds"]] == [
        [f"2999.01.0{rate}", rate * 10**15] for rate in (1, 2, 3)
    ]
    assert found["info"] == ["2999.01.03"]
    assert found["time"] == [1_795_737_600.0]  # 2026-11-27
    assert found["errors"] == ["price_table_unusable"]
    assert err.count("prices stay those of table 2999.01.02") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_follows_the_table_too(running, path):
    with running(FORKED) as program:
        replace(path, small("2999.01.02", rate="2"))
        out, err = program.communicate(timeout=LIMIT_S)

    assert json.loads(out)["info"] == ["2999.01.02"], err
