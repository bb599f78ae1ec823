# SPDX-License-Identifier: Apache-2.0
"""
What a scrape costs, beside `prometheus_client`'s own instruments with the same series and values.

One process holds both; every round scrapes each way once, so that a ratio compares what ran in the same
seconds. Shown are medians of CPU time, and of the ratios the lowest and highest too. Memory is measured in
a process of its own for each way: what the series take, and what the scrape takes at its peak beyond them.

    python bench/bench_scrape.py --samples 100000
"""

from __future__ import annotations

import argparse
import gc
import gzip
import itertools
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from spancost.meter import Meter, MeteredCall, names
from spancost.meter.cells import COST_BOUNDS, DURATION_BOUNDS
from spancost.meter.exposition import Document, choose_format, packed

FEMTO = 10**15
CALLS_PER_SET = 8
TOKENS = {"input": 812, "cache_read": 4096, "output": 377}
PER_SET = 2 * (len(TOKENS) * 2 + 1) + len(COST_BOUNDS) + len(DURATION_BOUNDS) + 2 + 6
"""Samples of one label set: counters with their births, and two histograms."""

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text; version=1.0.0"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", choices=("ours", "theirs", "collector"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sets = max(1, arguments.samples // PER_SET)
    if arguments.memory:
        print(*memory(arguments.memory, sets))
        return
    print(f"{sets} label sets, {sets * PER_SET} samples with their births; {sys.version.split()[0]}\n")
    cpu(sets, arguments.rounds)
    print()
    show_memory(arguments.samples, sets * PER_SET)


# --- the same series both ways ------------------------------------------------------------------------


def keys(sets: int) -> list[tuple[str, str]]:
    """Return pairs of agent and model."""
    agents = -(-sets // 100)
    pairs = itertools.product(
        (f"agent-{n:03}" for n in range(agents)), (f"gpt-5-mini-{n:02}" for n in range(100))
    )
    return list(itertools.islice(pairs, sets))


def call(agent: str, model: str, turn: int, number: int) -> MeteredCall:
    """Return one call; every fourth is sampled, so that its trace is an exemplar."""
    return MeteredCall(
        service_name="shop",
        agent=agent,
        provider="openai",
        response_model=f"{model}-2025-08-07",
        request_model=model,
        operation="chat",
        labels=(),
        cost_parts=dict.fromkeys(TOKENS, (number * 7919 + turn) * 10**10),
        cost_source="local",
        tokens=TOKENS,
        duration_ns=(turn + 1) * 370_000_000,
        trace_id=number * 2**90 + turn + 1,
        span_id=number * 2**20 + turn + 1,
        sampled=turn % 4 == 0,
    )


def calls(sets: int) -> Iterator[MeteredCall]:
    """Yield the calls that both ways count."""
    for number, (agent, model) in enumerate(keys(sets), 1):
        yield from (call(agent, model, turn, number) for turn in range(CALLS_PER_SET))


def ours(sets: int) -> tuple[CollectorRegistry, Meter]:
    """Return a registry whose meter has counted the calls."""
    registry = CollectorRegistry()
    meter = Meter(registry=registry, max_label_values=10_000, max_label_sets=1_000_000)
    for one in calls(sets):
        meter.record(one)
    return registry, meter


def theirs(sets: int) -> CollectorRegistry:
    """Return a registry of `prometheus_client`'s own instruments that have counted the calls."""
    registry = CollectorRegistry()
    base = names.BASE_LABELS
    cost = Counter("gen_ai_cost_usd", "c", (*base, *names.COST.labels), registry=registry)
    tokens = Counter("gen_ai_tokens", "t", (*base, *names.TOKENS.labels), registry=registry)
    count = Counter("gen_ai_calls", "n", (*base, *names.CALLS.labels), registry=registry)
    bounds = [bound / FEMTO for bound in COST_BOUNDS]
    costs = Histogram("gen_ai_operation_cost_usd", "h", base, buckets=bounds, registry=registry)
    bounds = [bound / 10**9 for bound in DURATION_BOUNDS]
    durations = Histogram("gen_ai_operation_duration_seconds", "d", base, buckets=bounds, registry=registry)
    for one in calls(sets):
        values = ("shop", one.agent, one.provider, one.response_model, one.request_model, one.operation)
        exemplar = None
        if one.sampled:
            exemplar = {"trace_id": f"{one.trace_id:032x}", "span_id": f"{one.span_id:016x}"}
        parts = one.cost_parts or {}
        for name, femto in parts.items():
            cost.labels(*values, name, "local").inc(femto / FEMTO)
        for name, number in one.tokens.items():
            tokens.labels(*values, name).inc(number)
        count.labels(*values, "").inc()
        costs.labels(*values).observe(sum(parts.values()) / FEMTO, exemplar)
        durations.labels(*values).observe((one.duration_ns or 0) / 10**9, exemplar)
    return registry


# --- CPU ----------------------------------------------------------------------------------------------


def cpu(sets: int, rounds: int) -> None:
    """Print what each way of scraping takes."""
    own, meter = ours(sets)
    native = theirs(sets)

    def document(accept: str) -> int:
        return sum(len(piece) for piece in Document(own, choose_format(accept)).pieces())

    base = "prometheus_client, its own instruments"
    ways: dict[str, Callable[[], object]] = {
        f"{base}, text": lambda: generate_latest(native),
        "ours, text": lambda: document(TEXT),
        f"{base}, OpenMetrics": lambda: generate_openmetrics(native),
        "ours, OpenMetrics": lambda: document(OPENMETRICS),
        "prometheus_client on our collector, text": lambda: generate_latest(own),
        "only our snapshot": meter.snapshot,
        f"{base}, text, gzip": lambda: gzip.compress(generate_latest(native)),
        "ours, text, gzip": lambda: sum(map(len, packed(Document(own, choose_format(TEXT)).pieces()))),
    }
    gc.disable()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, scrape in ways.items():
            gc.collect()
            began = time.process_time()
            scrape()
            taken[name].append(time.process_time() - began)
    bases = {"OpenMetrics": f"{base}, OpenMetrics", "gzip": f"{base}, text, gzip"}
    samples = sets * PER_SET
    print(f"{'':48} {'us/sample':>9} {'ratio':>7}  lowest..highest")
    for name, times in taken.items():
        against = taken[bases.get(name.rsplit(", ", 1)[-1], f"{base}, text")]
        ratios = [one / other for one, other in zip(times, against, strict=True)]
        median = statistics.median(times) / samples * 1e6
        print(
            f"{name:48} {median:9.3f} {statistics.median(ratios):6.3f}x  {min(ratios):.3f}..{max(ratios):.3f}"
        )
    print(
        f"\nlongest wait of another thread during a scrape: ours {waits(lambda: document(TEXT)):.0f} ms,",
        end=" ",
    )
    print(f"prometheus_client {waits(lambda: generate_latest(native)):.0f} ms")
    print(f"bytes: {len(generate_latest(native)):,} theirs, {document(TEXT):,} ours")


def waits(scrape: Callable[[], object]) -> float:
    """Return the longest pause of a thread that wants to run every millisecond, in ms."""
    pauses = [0.0]
    done = threading.Event()

    def watch() -> None:
        before = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            pauses.append(now - before)
            before = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    scrape()
    done.set()
    watcher.join()
    return max(pauses) * 1000


# --- memory -------------------------------------------------------------------------------------------


def show_memory(target: int, samples: int) -> None:
    """Print what each way takes, each in a process of its own."""
    print(f"{'bytes of memory per sample':48} {'series':>9} {'scrape':>9}")
    for name, way in (
        ("prometheus_client, its own instruments", "theirs"),
        ("ours", "ours"),
        ("prometheus_client on our collector", "collector"),
    ):
        command = [sys.executable, __file__, "--samples", str(target), "--memory", way]
        answer = subprocess.run(command, capture_output=True, check=True, text=True)
        series, peak = (int(word) / samples for word in answer.stdout.split())
        print(f"{name:48} {series:9.0f} {peak:9.0f}")


def memory(way: str, sets: int) -> tuple[int, int]:
    """Return what the series take after a scrape, and what a scrape takes at its peak beyond them."""
    theirs(2)  # what is loaded once
    ours(2)
    before = resident()
    if way == "theirs":
        native = theirs(sets)
        scrape: Callable[[], object] = lambda: len(generate_latest(native))  # noqa: E731
    else:
        own, _ = ours(sets)
        form = choose_format(TEXT)
        scrape = (
            (lambda: len(generate_latest(own)))
            if way == "collector"
            else lambda: sum(map(len, Document(own, form).pieces()))
        )
    scrape()  # what a scrape leaves behind stays as long as the series do
    gc.collect()
    at_rest = resident()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    scrape()
    peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))[1]) * 1024
    return at_rest - before, peak - at_rest


def resident() -> int:
    """Return the memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
