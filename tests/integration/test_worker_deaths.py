# SPDX-License-Identifier: Apache-2.0
"""Workers that are killed in the middle of counting, and the port that another one takes over."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request

import pytest

from tests.ports import free_port
from tests.waiting import LIMIT_S, until
from tests.workers_kit import a_worker, calls, count, in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "group"


def test_kill_9_loses_no_call_that_had_returned_and_tears_none(folder):
    """Eight workers count as fast as they can; some are killed and replaced, all in the end."""
    returned = memoryview(mmap.mmap(-1, 8 * 32)).cast("Q")
    watch, group = a_worker(folder)

    def work(number):
        meter, _ = a_worker(folder)
        while True:
            count(meter, f"a{number % 3}", trace_id=number + 1)
            returned[number] += 1

    workers = {number: in_child(lambda number=number: work(number)) for number in range(8)}
    before = 0
    for killed in range(16):
        time.sleep(0.05)
        os.kill(workers[killed], signal.SIGKILL)
        os.waitpid(workers.pop(killed), 0)
        workers[killed + 8] = in_child(lambda number=killed + 8: work(number))
        now = sum(calls(watch).values())
        assert now >= before
        before = now
        if killed % 3 == 0:
            group.fold()
    until(lambda: sum(returned) > 100)
    for worker in workers.values():
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)

    total = sum(calls(watch).values())
    # What a worker was about to return from when it was killed may be in or not.
    assert 0 <= total - sum(returned) <= 24
    assert sum(returned) > 100
    for copy in watch.snapshot().records:
        counts = {(count.spec.name, *count.own): count.value for count in copy.counts}
        number = counts["gen_ai_calls", ""]
        assert counts["gen_ai_tokens", "input"] == 7 * number
        assert counts["gen_ai_cost_usd", "output", "local"] == 4 * number
        assert copy.cost.total == 10 * number
        assert copy.duration.total == number * 10**7


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
        return answer.read().decode()


SERVER = """
    import sys, time
    from pathlib import Path
    from prometheus_client import REGISTRY
    from spancost.meter import shared_meter
    from spancost.meter.workers import join
    from spancost.meter.workers_port import SharedPort
    meter = shared_meter()
    port = SharedPort(meter, join(meter, Path(sys.argv[1])), int(sys.argv[2]))
    meter.duplicate()
    print("serves" if port.serves else "waits", flush=True)
    while True:
        time.sleep(1)
"""


def test_another_worker_takes_the_port_over_and_the_sum_goes_on(folder):
    port = free_port()
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(folder), str(port)]
    servers = []
    try:
        for _ in range(3):
            servers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            servers[-1].stdout.readline()
        for left in (3, 2, 1):
            assert "\nspancost_duplicates_total 3.0\n" in until(lambda: scraped(port))
            if left > 1:
                servers[3 - left].kill()
                servers[3 - left].wait()
    finally:
        for server in servers:
            server.kill()
            server.wait()
            server.stdout.close()


def test_a_million_names_leave_memory_flat():
    code = """
        import resource
        from spancost.cost import Cost
        from spancost.meter import Meter
        from spancost.usage import Usage
        meter, usage, cost = Meter(), Usage(input=7, output=3), Cost(10, {"input": 6, "output": 4})
        def count(n):
            key = ("shop", f"agent {n}", "openai", f"m {n}", "m", "chat", ())
            meter.count(key, usage, cost, 10**7, said=("raw", n))
        for n in range(60_000):
            count(n)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for n in range(60_000, 1_000_000):
            count(n)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(done.stdout) < 1_024, "KiB that 940,000 names added"
