# SPDX-License-Identifier: Apache-2.0
"""
What a call's span costs on eight threads at once beside one, and whether the totals are exact.

All threads end calls of the same label sets through one processor, with the interpreter switching between
them every 0.1 ms so that they meet inside our locks. The work is the same in each way; processor time of
the whole process is compared, not wall time, for only one thread runs Python at a time.

    python bench/bench_threads.py
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

import harness
from bench_hook import MODELS, NoopProcessor, Stream, call_said, ours

from spancost import CostSpanProcessor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

THREADS: Final = 8
CALLS: Final = 2_000
"""Calls of all threads together in one round."""


def spread(streams: list[Stream]) -> None:
    """Run a round's calls, a share on each stream's thread."""
    share = CALLS // len(streams)
    threads = [threading.Thread(target=stream.run, args=(share,)) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def streams_of(processor: SpanProcessor, threads: int) -> list[Stream]:
    """Return one stream for each thread, all through one processor."""
    return [Stream(processor, "lone", CALLS) for _ in range(threads)]


def counted(processor: CostSpanProcessor) -> tuple[int, int]:
    """Return the calls and the input and output tokens that the meter counted."""
    found = {"gen_ai_calls_total": 0.0, "gen_ai_tokens_total": 0.0}
    for family in processor.meter.collect():
        for sample in family.samples:
            if sample.name in found:
                found[sample.name] += sample.value
    calls, tokens = found.values()
    return int(calls), int(tokens)


def true_totals(rounds: int, threads: int) -> tuple[int, int]:
    """Return what has to be counted after so many rounds."""
    share = CALLS // threads
    calls = tokens = 0
    for number in range(rounds * share):
        _, _, ends = call_said(number % CALLS)
        calls += 1
        tokens += ends["gen_ai.usage.input_tokens"] + ends["gen_ai.usage.output_tokens"]
    return calls * threads, tokens * threads


def main() -> None:
    """Measure and print."""
    options = harness.options(__doc__)
    sys.setswitchinterval(1e-4)
    makers = {"no-op processor": NoopProcessor, "spancost": ours}
    # One engine for both: of several in a process the latest alone has the quick way.
    processors = {name: make() for name, make in makers.items()}
    ways = {
        f"{name}/{threads}": partial(spread, streams_of(processor, threads))
        for name, processor in processors.items()
        for threads in (THREADS, 1)
    }
    times = harness.interleave(ways, options.rounds)
    rows: list[list[object]] = []
    for name in makers:
        one, eight = times[f"{name}/1"], times[f"{name}/{THREADS}"]
        exact = ""
        processor = processors[name]
        if isinstance(processor, CostSpanProcessor):
            processor.force_flush()
            has = counted(processor)
            calls, tokens = zip(
                *(true_totals(options.rounds + 1, each) for each in (THREADS, 1)), strict=True
            )
            should = sum(calls), sum(tokens)
            exact = "exact" if has == should else f"WRONG: {has} instead of {should}"
        rows.append([name, harness.ratio(eight, one), exact])
    report = harness.Report("threads", __doc__)
    report.table(
        f"{THREADS} threads beside one",
        ["processor", "processor time of a span", "calls and tokens counted"],
        rows,
        f"{options.rounds} rounds of {CALLS:,} spans over {len(MODELS)} models",
    )
    report.finish(options)
    if any("WRONG" in str(row[-1]) for row in rows):
        sys.exit("the totals are wrong")


if __name__ == "__main__":
    main()
