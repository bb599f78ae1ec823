# SPDX-License-Identifier: Apache-2.0
"""
What a scrape costs, beside `prometheus_client`'s own instruments with the same series and values.

One process holds both, and every round scrapes each way once. Memory is measured in a process of its own
for each way: what the series take once they were scraped, and what a scrape takes at its peak beyond that.

    python bench/bench_scrape.py --samples 100000
"""

from __future__ import annotations

import argparse
import gc
import gzip
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import harness
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
THEIRS = "prometheus_client"
PAIRS = {
    "text": ("ours, text", f"{THEIRS}, text"),
    "OpenMetrics": ("ours, OpenMetrics", f"{THEIRS}, OpenMetrics"),
    "text, gzip": ("ours, text, gzip", f"{THEIRS}, text, gzip"),
    "only our snapshot": ("snapshot", f"{THEIRS}, text"),
    "prometheus_client on our collector": ("collector", f"{THEIRS}, text"),
}
WAYS = {"theirs": "prometheus_client, its own instruments", "ours": "ours"}


def main() -> None:
    """Print the tables."""
    chosen = harness.options(__doc__, _add_samples, _add_memory)
    if chosen.samples is None:
        chosen.samples = 20_000 if chosen.quick else 100_000
    sets = max(1, chosen.samples // PER_SET)
    if chosen.memory:
        print(*memory(chosen.memory, sets))
        return
    report = harness.Report("scrape", __doc__)
    cpu(report, sets, chosen.rounds)
    show_memory(report, chosen.samples, sets * PER_SET)
    report.finish(chosen)


def _add_samples(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, help="about so many; 100,000, or 20,000 with --quick")


def _add_memory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", choices=WAYS, help=argparse.SUPPRESS)


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


def cpu(report: harness.Report, sets: int, rounds: int) -> None:
    """Add what each way of scraping takes."""
    own, meter = ours(sets)
    native = theirs(sets)
    document = partial(scraped, own)
    times = harness.interleave(
        {
            f"{THEIRS}, text": lambda: generate_latest(native),
            "ours, text": lambda: document(TEXT),
            f"{THEIRS}, OpenMetrics": lambda: generate_openmetrics(native),
            "ours, OpenMetrics": lambda: document(OPENMETRICS),
            f"{THEIRS}, text, gzip": lambda: gzip.compress(generate_latest(native)),
            "ours, text, gzip": lambda: sum(map(len, packed(Document(own, choose_format(TEXT)).pieces()))),
            "snapshot": meter.snapshot,
            "collector": lambda: generate_latest(own),
        },
        rounds,
    )
    samples = sets * PER_SET
    report.table(
        f"A scrape of {samples:,} samples ({sets:,} label sets, births and exemplars included)",
        ["what", "CPU beside prometheus_client's own instruments", "a sample"],
        [
            [what, harness.ratio(times[one], times[other]), harness.per_repeat(times[one], samples)]
            for what, (one, other) in PAIRS.items()
        ],
        f"{document(TEXT):,} bytes. prometheus_client packs at its level 9, we at 1.",
    )
    report.table(
        "The longest pause of another thread during a scrape, in ms",
        ["what", "ms"],
        [
            ["ours", round(waits(lambda: document(TEXT)))],
            ["prometheus_client", round(waits(lambda: generate_latest(native)))],
        ],
        "On a busy machine mostly what other programs take.",
    )


def scraped(registry: CollectorRegistry, accept: str) -> int:
    """Scrape as the endpoint does, and return the length."""
    return sum(len(piece) for piece in Document(registry, choose_format(accept)).pieces())


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


def show_memory(report: harness.Report, target: int, samples: int) -> None:
    """Add what each way takes, each in a process of its own."""
    found = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--samples", str(target), "--memory", way]
        answer = subprocess.run(command, capture_output=True, check=True, text=True)
        found[way] = [int(word) / samples for word in answer.stdout.split()]
    report.table(
        "Memory per sample, in bytes",
        ["what", "series", "beside prometheus_client", "series, once scraped", "beside", "peak of a scrape"],
        [
            [
                WAYS[way],
                round(born),
                f"{born / found['theirs'][0]:.2f}x",
                round(rested),
                f"{rested / found['theirs'][1]:.2f}x",
                round(peak),
            ]
            for way, (born, rested, peak) in found.items()
        ],
    )


def memory(way: str, sets: int) -> tuple[int, int, int]:
    """Return what the series take, what they take after a scrape, and its peak beyond that."""
    theirs(2)  # what is loaded once
    ours(2)
    before = resident()
    if way == "theirs":
        native = theirs(sets)
        scrape: Callable[[], object] = partial(generate_latest, native)
    else:
        own, _ = ours(sets)
        scrape = partial(scraped, own, TEXT)
    born = resident() - before
    scrape()
    rested = resident() - before
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    scrape()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.findall(r"VmHWM:\s*(\d+)", status)[0]) * 1024
    return born, rested, peak - before - rested


def resident() -> int:
    """Return the memory of this process, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
