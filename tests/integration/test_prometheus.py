# SPDX-License-Identifier: Apache-2.0
"""
Real Prometheus servers against the engine's own list of calls, through restarts, forks and overflow.

A program is metered by our processor and scraped four times a second by two servers at once: Debian's, and
the newer one with created timestamps as zeros. What their raw samples add up to is the list of calls.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.integration.prometheus.servers import ZERO_INJECTION, Prometheus, newer_prometheus
from tests.ports import free_ports
from tests.waiting import LIMIT_S, until

HERE = Path(__file__).parent
INTERVAL_S = 0.25
WINDOW_S = 8
FEMTO = 10**15
MAX_VALUES = 10
TOKEN = "s3cret"
AGENTS = ["planner", "writer", "critic"]


class App:
    """The metered program."""

    def __init__(self, port: int, account: Path):
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "prometheus" / "metered_app.py"), str(port), str(account)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "SPANCOST_MAX_LABEL_VALUES": str(MAX_VALUES),
                "SPANCOST_STRICT": "1",
                "SPANCOST_METRICS_TOKEN": TOKEN,
            },
        )
        assert self.process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        """Let it meter and serve."""
        self.process.stdin.write("begin\n")
        self.process.stdin.flush()

    def tell(self, **order) -> None:
        """Have it make calls, and wait until they are counted."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(LIMIT_S)
        self.process.stdin.close()
        self.process.stdout.close()


class Story:
    """What happened: the servers that saw it, the list of calls, and the window of steady work."""

    def __init__(self, servers: dict[str, Prometheus], account: Path):
        self.servers = servers
        self.account = account
        self.steady_end = 0.0

    @property
    def calls(self) -> list[dict]:
        return [json.loads(line) for line in self.account.read_text().splitlines()]

    def wait_scraped(self, living: int) -> None:
        """Wait until every server has scraped each of so many programs that live, twice since now."""
        second = f"count(timestamp(up == 1) > {time.time() + INTERVAL_S})"
        for server in self.servers.values():
            until(lambda server=server: server.value(second) == living)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Tell the story once, to all servers."""
    home = tmp_path_factory.mktemp("prometheus")
    port, *children = ports = free_ports(3)
    programs = {"debian": "prometheus"}
    if newer := newer_prometheus():
        programs["newer"] = str(newer)
    servers = {
        name: Prometheus(
            program, home / name, ports, INTERVAL_S, TOKEN, (ZERO_INJECTION,) if name == "newer" else ()
        )
        for name, program in programs.items()
    }
    story = Story(servers, home / "calls.jsonl")
    app = App(port, story.account)
    forked = []
    try:
        for server in servers.values():
            server.wait_ready()
        app.begin()
        # Of the same size in each life, as its first call: the counter does not fall at a restart.
        app.tell(calls=1, agents=["reborn"])
        # Births: each agent's series shows more than one call when it is first seen.
        app.tell(calls=5, agents=AGENTS[:2])
        story.wait_scraped(1)
        app.tell(calls=4, agents=AGENTS)
        # Forks: a child counts from zero what is its own.
        for child in children:
            app.tell(fork=child, calls=7, agents=AGENTS)
        app.tell(calls=2, agents=AGENTS)
        app.tell(calls=1, agents=["steady"])
        # Overflow: more agents than the label has room for.
        app.tell(calls=3, agents=[f"stranger-{number}" for number in range(2 * MAX_VALUES)])
        # Steady work, whose rate is known.
        began = time.time()
        while time.time() < began + WINDOW_S + 1.5:
            app.tell(calls=5, agents=["steady"], pause=0.02)
        story.steady_end = time.time()
        forked = sorted({call["pid"] for call in story.calls} - {app.process.pid})
        story.wait_scraped(1 + len(children))
        # Restarts, hard and soft: the counters fall, since a new life begins with fewer calls. It begins at once, so
        # that no scrape fails in between: what the first one does not find, the servers mark as gone at its time.
        for how in (signal.SIGKILL, signal.SIGTERM):
            heir = App(port, story.account)
            app.end(how)
            for pid in forked:
                os.kill(pid, signal.SIGKILL)
            forked, app = [], heir
            app.begin()
            app.tell(calls=1, agents=["reborn"])
            app.tell(calls=1, agents=AGENTS)
            story.wait_scraped(1)
            app.tell(calls=9, agents=AGENTS)
            story.wait_scraped(1)
        for server in servers.values():
            server.until = time.time()
        time.sleep(2 * INTERVAL_S)  # what was scraped until then is stored by now
        yield story
    finally:
        app.end(signal.SIGKILL)
        for pid in forked:
            os.kill(pid, signal.SIGKILL)
        for server in servers.values():
            server.close()


@pytest.fixture(params=["debian", "newer"])
def server(request, story):
    if request.param not in story.servers:
        pytest.skip("needs Prometheus 3 from Debian's pool, by apt-get as root")
    return story.servers[request.param]


def by(calls, of, value):
    """Sum over calls by what *of* gives: exact integers."""
    found = defaultdict(int)
    for call in calls:
        for key, amount in value(call).items():
            found[of(call), key] += amount
    return dict(found)


def once(_call):
    return {"": 1}


def scraped(server, name, *labels):
    """What a server's raw samples of one name add up to, by labels."""
    found = defaultdict(float)
    for metric, value in server.counted(name):
        found[tuple(metric.get(label, "") for label in labels)] += value
    return {key: value for key, value in found.items() if value}


def same(shown, exact, scale=1):
    assert shown.keys() == exact.keys()
    for key, value in exact.items():
        assert math.isclose(shown[key], value / scale, rel_tol=1e-9), key


@pytest.mark.needs("prometheus")
def test_raw_samples_add_up_to_the_list_of_calls(server, story):
    calls = story.calls
    assert len({call["pid"] for call in calls}) == 5

    money = by(calls, lambda call: call["model"], lambda call: call["parts"] or {})
    same(scraped(server, "gen_ai_cost_usd_total", "gen_ai_response_model", "gen_ai_token_type"), money, FEMTO)
    tokens = by(
        calls, lambda call: call["model"], lambda call: {n: c for n, c in call["tokens"].items() if c}
    )
    same(scraped(server, "gen_ai_tokens_total", "gen_ai_response_model", "gen_ai_token_type"), tokens)
    numbers = by(calls, lambda call: call["model"], once)
    same(scraped(server, "gen_ai_calls_total", "gen_ai_response_model", "error_type"), numbers)


@pytest.mark.needs("prometheus")
def test_histograms_add_up_to_the_list_of_calls(server, story):
    priced = [call for call in story.calls if call["parts"] is not None]
    model = "gen_ai_response_model"
    costs = by(priced, lambda call: call["model"], lambda call: {"": sum(call["parts"].values())})
    seconds = by(story.calls, lambda call: call["model"], lambda call: {"": call["duration"]})
    counts = by(priced, lambda call: call["model"], once)

    same(scraped(server, "gen_ai_operation_cost_usd_sum", model, "none"), costs, FEMTO)
    same(scraped(server, "gen_ai_operation_duration_seconds_sum", model, "none"), seconds, 10**9)
    same(scraped(server, "gen_ai_operation_cost_usd_count", model, "none"), counts)
    same(scraped(server, 'gen_ai_operation_cost_usd_bucket{le="+Inf"}', model, "none"), counts)


@pytest.mark.needs("prometheus")
def test_calls_without_a_price_are_counted_and_never_cost_nothing(server, story):
    unpriced = sum(call["parts"] is None for call in story.calls)

    assert unpriced
    assert scraped(server, "gen_ai_unpriced_calls_total", "reason") == {("unknown_model",): unpriced}


@pytest.mark.needs("prometheus")
def test_agents_that_had_room_have_their_own_sum_and_the_rest_is_the_other(server, story):
    shown = scraped(server, "gen_ai_calls_total", "gen_ai_agent_name")
    exact = defaultdict(int)
    for call in story.calls:
        exact[(call["agent"],)] += 1
    own = shown.keys() - {("__other__",)}

    assert len(own) == MAX_VALUES
    assert {key: shown[key] for key in own} == {key: exact[key] for key in own}
    assert shown["__other__",] == sum(number for key, number in exact.items() if key not in own)
    assert scraped(server, "spancost_series_overflow_total", "label")["gen_ai_agent_name",] > 0


@pytest.mark.needs("prometheus")
def test_increase_over_many_scrapes_is_near_the_truth(server, story):
    """It extrapolates to the edges of the window: so far, and no further, it may be off."""
    end = story.steady_end
    query = f'sum(increase(gen_ai_calls_total{{gen_ai_agent_name="steady"}}[{WINDOW_S}s]))'
    true = sum(end - WINDOW_S <= call["at"] <= end for call in story.calls if call["agent"] == "steady")

    assert WINDOW_S / INTERVAL_S >= 20
    assert true > 50
    assert abs(server.value(query, end) - true) <= true * 2 * INTERVAL_S / WINDOW_S


@pytest.mark.needs("prometheus")
def test_a_server_that_takes_births_as_zeros_sees_the_first_value(server, story):
    """The other loses it, unless the series was born before its first call."""
    first = server.first_values("gen_ai_calls_total")

    assert len(first) > 30
    assert set(first) == {0} or server is story.servers["debian"]


@pytest.mark.needs("prometheus")
def test_exemplars_name_the_trace(server, story):
    data = server.ask(
        "query_exemplars",
        query="gen_ai_operation_cost_usd_bucket",
        start=story.steady_end - 60,
        end=story.steady_end + 60,
    )

    labels = [exemplar["labels"] for series in data for exemplar in series["exemplars"]]
    assert labels
    assert all(len(each["trace_id"]) == 32 and len(each["span_id"]) == 16 for each in labels)
