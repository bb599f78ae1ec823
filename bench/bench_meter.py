# SPDX-License-Identifier: Apache-2.0
"""
What counting one call costs, as a share of the bare span: by instructions, so that neither noise nor
the machine matters.

Each case runs in a process of its own under valgrind, once with calls and once without; the
difference is what the calls took.

    python bench/bench_meter.py                  every case; valgrind must be on PATH
    python bench/bench_meter.py --seconds        by CPU time instead, where there is no valgrind
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from spancost.meter import Meter
from spancost.meter.workers import join
from spancost.processor import CostSpanProcessor
from spancost.processor.metering import meter_call, metered_call

if TYPE_CHECKING:
    from spancost.calls import Call

CALLS = 1_000
START = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.1,
    "server.address": "api.openai.com",
    "server.port": 443,
}
END = {
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 300,
    "gen_ai.response.service_tier": "default",
}
CACHED = {"gen_ai.usage.cache_read.input_tokens": 1024, "gen_ai.usage.reasoning.output_tokens": 100}

Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", action="store_true", help="measure CPU time")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--calls", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        step = CASES[options.case]()
        for _ in range(20 + options.calls):
            step()
        return
    measure = seconds if options.seconds else instructions
    empty = measure(EMPTY)
    floor = measure(FLOOR) - empty
    print(f"{FLOOR:58} {floor:12,.0f} {'ns' if options.seconds else 'instructions'}")
    for case in CASES:
        if case not in (FLOOR, EMPTY):
            cost = measure(case) - empty
            print(f"{case:58} {cost:12,.0f} {cost / floor:7.1%} of the span")


def instructions(case: str) -> float:
    """Return how many instructions one call takes."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("valgrind is not on PATH; --seconds measures without it")
    with tempfile.TemporaryDirectory() as folder:
        totals = []
        for calls in (0, CALLS):
            command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={folder}/out", sys.executable]
            command += [__file__, "--case", case, "--calls", str(calls)]
            # The order of sets must be the same in both, or starting Python takes more or less by chance.
            environment = os.environ | {"PYTHONHASHSEED": "0"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found = re.search(r"Collected : (\d+)", done.stderr)
            if found is None:
                raise SystemExit(done.stderr)
            totals.append(int(found[1]))
    return (totals[1] - totals[0]) / CALLS


def seconds(case: str) -> float:
    """Return how many nanoseconds of CPU one call takes, the best of many rounds."""
    step = CASES[case]()
    best = float("inf")
    for _ in range(50):
        start = time.process_time_ns()
        for _ in range(CALLS):
            step()
        best = min(best, (time.process_time_ns() - start) / CALLS)
    return best


def span() -> Step:
    """Return what starts, fills and ends a span that nobody looks at."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SpanProcessor())
    tracer = provider.get_tracer("opentelemetry.instrumentation.openai_v2")

    def step() -> None:
        span = tracer.start_span("chat gpt-4o", attributes=START)
        span.set_attributes(END)
        span.end()

    return step


def a_call(**more: object) -> Call:
    """Return a call as the engine settles it."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    processor = CostSpanProcessor(private=True)
    provider.add_span_processor(processor)
    found: list[Call] = []
    processor.on_call(found.append)
    tracer = provider.get_tracer("opentelemetry.instrumentation.openai_v2")
    open_span = tracer.start_span("chat gpt-4o", attributes=START)
    open_span.set_attributes(END | more)
    open_span.end()
    processor.force_flush()
    return found[0]


def counted(meter: Meter | None = None, **more: object) -> Step:
    """Return what counts a call the short way, from the engine's call on."""
    call, home = a_call(**more), meter if meter is not None else Meter()
    return lambda: meter_call(home, call, "planner", (), True)  # noqa: FBT003 - as the engine does


def recorded() -> Step:
    """Return what counts the same call the long way."""
    call, home = a_call(), Meter()
    return lambda: home.record(metered_call(call, "planner", (), sampled=True))


def overflowing() -> Step:
    """Return what counts a call of an agent for which there is no room."""
    call, home = a_call(), Meter(max_label_values=1)
    meter_call(home, call, "planner", (), True)  # noqa: FBT003 - as the engine does
    return lambda: meter_call(home, call, "stranger", (), True)  # noqa: FBT003 - as the engine does


def expected() -> Step:
    """Return what a start costs whose series exist already."""
    call, home = a_call(), Meter()
    meter_call(home, call, "planner", (), True)  # noqa: FBT003 - as the engine does
    return lambda: home.expect("shop", "planner", "openai", "gpt-4o", "chat", ())


def shared() -> Step:
    """Return what counts a call in one of several workers, so that it survives `kill -9`."""
    meter = Meter()
    join(meter, Path(tempfile.mkdtemp()))
    return counted(meter)


EMPTY = "a step that does nothing"
FLOOR = "span with 12 attributes, no-op processor"
CASES: dict[str, Callable[[], Step]] = {
    EMPTY: lambda: lambda: None,
    FLOOR: span,
    "count a call, exemplars on": counted,
    "count a call that read from a cache and reasoned": lambda: counted(**CACHED),
    "count a call, one of several workers": shared,
    "the same call the long way (errors, flags, unpriced)": recorded,
    "count a call of a stranger's name (overflow)": overflowing,
    "expect a call whose series exist": expected,
}

if __name__ == "__main__":
    main()
