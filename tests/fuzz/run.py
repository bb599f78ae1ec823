# SPDX-License-Identifier: Apache-2.0
"""
Feeds spoilt spans to real pipelines, and holds the promises against what came out.

usage: python -m tests.fuzz.run [--spans N] [--seed N] [--door processor|exporter]

Nothing may raise (every guard is open), what is remembered stays bounded, and the amounts on the
exported spans are those in the metrics, but for what is counted as carried by none.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from spancost import CostSpanExporter, CostSpanProcessor, money
from spancost.cost import Cost
from spancost.meter import names
from spancost.testing import strict
from tests.fuzz.mutator import Mutator, Story
from tests.live_kit import AMOUNT, process_total, total

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_SPANS = 8_000
BATCH = 64


class Accounts(SpanExporter):
    """Compares each exported amount with the call it belongs to, and keeps neither."""

    def __init__(self) -> None:
        self.exported = self.femto = self.spans = 0
        self.wrong: list[str] = []
        self._amounts: dict[int, float] = {}
        self._costs: dict[int, int] = {}

    def export(self, spans: Any) -> SpanExportResult:
        for span in spans:
            self.spans += 1
            said = span.attributes
            if said.get("gen_ai.usage.cost.currency") == "USD" and AMOUNT in said:
                if span.context.span_id in self._amounts:
                    self.wrong.append(f"{span.name} is exported twice")
                self._amounts[span.context.span_id] = said[AMOUNT]
                self._compare(span.context.span_id)
        return SpanExportResult.SUCCESS

    def settled(self, call: Any) -> None:
        """Take a settled call."""
        if isinstance(call.cost, Cost):
            self._costs[int(call.carrier.span_id, 16)] = call.cost.femto
            self._compare(int(call.carrier.span_id, 16))

    def _compare(self, span_id: int) -> None:
        if span_id not in self._amounts or span_id not in self._costs:
            return
        amount, femto = self._amounts.pop(span_id), self._costs.pop(span_id)
        self.exported += 1
        self.femto += femto
        if amount != money.to_float(femto):
            self.wrong.append(f"{span_id:016x} carries {amount}, its call cost {femto} femto")

    @property
    def uncarried(self) -> int:
        """The cost of calls whose carrier was not exported."""
        return sum(self._costs.values())

    @property
    def foreign(self) -> int:
        """How many exported amounts belong to no settled call."""
        return len(self._amounts)


ANY_ONE = ("", "")
"""Stands for the scope of the next span."""


class Pipeline:
    """
    A provider with a door of ours.

    Args:
        door: ``processor`` or ``exporter``.
        max_attributes: The limit of its spans.
    """

    def __init__(self, door: str, max_attributes: int) -> None:
        self.accounts = Accounts()
        self.provider = TracerProvider(
            span_limits=SpanLimits(max_attributes=max_attributes), shutdown_on_exit=False
        )
        self.door: Any
        if door == "processor":
            self.door = CostSpanProcessor(private=True, run_attributes=True)
            self.provider.add_span_processor(SimpleSpanProcessor(self.accounts))
            self.provider.add_span_processor(self.door)
        else:
            self.door = CostSpanExporter(self.accounts, private=True)
            self.provider.add_span_processor(SimpleSpanProcessor(self.door))
        self.scope: tuple[str, str] | None = None
        """The scope that all spans have; None for each its own."""
        self.straight = 0
        """How many calls went straight (`spancost.processor.lane`)."""
        self.state = self.door._state
        self._keep, self.state.lane.keep = self.state.lane.keep, self._kept
        self.door.on_call(self.accounts.settled)

    def _kept(self, row: Any) -> None:
        self.straight += 1
        self._keep(row)

    def tell(self, story: Story) -> int:
        """Make the spans of a story, all of one scope if that was asked for; return how many started."""
        open_spans: dict[int, Any] = {}
        made: dict[int, Any] = {}
        for number in story.order:
            step = story.steps[number]
            if number in open_spans:
                span = open_spans.pop(number)
                span.set_attributes(step.later)
                if step.failed:
                    span.set_status(trace.StatusCode.ERROR)
                span.end(step.end)
            elif number not in made:
                made[number] = open_spans[number] = self._start(story, number, made)
        return len(made)

    def _start(self, story: Story, number: int, made: dict[int, Any]) -> Any:
        step = story.steps[number]
        parent = made.get(step.parent) if step.parent is not None else None
        if parent is None:
            above: Any = trace.INVALID_SPAN
        elif step.remote:
            ids = parent.get_span_context()
            above = trace.NonRecordingSpan(
                trace.SpanContext(ids.trace_id, ids.span_id, is_remote=True, trace_flags=ids.trace_flags)
            )
        else:
            above = parent
        scope, version = self.scope if self.scope is not None else (step.scope, step.version)
        return self.provider.get_tracer(scope, version or None).start_span(
            step.name,
            context=trace.set_span_in_context(above),
            attributes=step.at_start,
            start_time=step.start,
        )

    def check_bounds(self) -> list[str]:
        """Return what is more than it may be."""
        state, meter = self.state, self.door.meter
        found = {
            "open spans": (len(state.tree.open), 10_100),
            "waiting calls": (state.engine.waiting, 20_100),
            "remembered keys": (state.engine.remembered, 6 * 4096),
            "label sets": (len(list(meter._series.copies())), 10_001),
        }
        return [f"{name}: {is_now} > {bound}" for name, (is_now, bound) in found.items() if is_now > bound]

    def verdict(self) -> list[str]:
        """Settle everything, and return what does not hold."""
        self.door.force_flush()
        wrong = list(self.accounts.wrong[:10]) + self.check_bounds()
        metered = total(self.door.meter, names.COST)
        carried, left = self.accounts.femto, self.accounts.uncarried
        if carried + left != metered:
            wrong.append(
                f"spans carry {carried} femto and {left} are carried by none, the metrics say {metered}"
            )
        counted = process_total(self.door.meter, names.UNCARRIED)
        if isinstance(self.door, CostSpanProcessor) and counted != left:
            wrong.append(
                f"{left} femto are carried by none, spancost_uncarried_cost_usd_total says {counted}"
            )
        if self.door.meter._series.errors:
            wrong.append(
                f"internal errors: { {k: v.value for k, v in self.door.meter._series.errors.items()} }"
            )
        return wrong


def fuzz(spans: int, seed: int, door: str, say: Any = None) -> list[str]:
    """
    Feed so many spans to a door.

    Returns:
        What does not hold; nothing where everything does.
    """
    pipelines = [Pipeline(door, 128), Pipeline(door, 12)]
    fresh = Pipeline(door, 128)
    started, began, told, straight = 0, time.monotonic(), 0, 0
    stories = Mutator(seed).stories()
    with strict(), quiet():
        while started < spans:
            story = next(stories)
            if fresh.scope is ANY_ONE:
                fresh.scope = (story.steps[0].scope, story.steps[0].version)
            pipeline = (*pipelines, fresh)[told % 3]
            # A kind of call goes straight from its third time on.
            for _ in range(8 if pipeline.scope is not None else 1):
                started += pipeline.tell(story)
            told += 1
            if told % 1000 == 0:
                wrong = [each for pipeline in pipelines for each in pipeline.check_bounds()]
                straight += fresh.straight
                wrong += fresh.verdict()
                if wrong:
                    return wrong
                # Of the engines of a process the latest has the quick way, and as long as one scope alone shows
                # calls they go straight: every other one is told all as if by one library.
                fresh = Pipeline(door, 128)
                fresh.scope = ANY_ONE if told % 2000 else None
            if told % 2000 == 0 and say is not None:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                rate = started / (time.monotonic() - began)
                say(f"{started} spans, {rate:.0f}/s, peak {peak} MB, {straight} went straight\n")
        return [each for pipeline in (*pipelines, fresh) for each in pipeline.verdict()]


@contextmanager
def quiet() -> Iterator[None]:
    """Have nothing said meanwhile: of odd attribute values by the SDK, of calls without an agent by us."""
    sdk, ours = logging.getLogger("opentelemetry"), logging.getLogger("spancost")
    before = sdk.level, ours.level
    sdk.setLevel(logging.CRITICAL)
    ours.setLevel(logging.ERROR)
    try:
        yield
    finally:
        sdk.setLevel(before[0])
        ours.setLevel(before[1])


def main() -> int:
    """Run, print what does not hold, and return 1 if anything does not."""
    cli = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    cli.add_argument("--spans", type=int, default=int(os.environ.get("FUZZ_SPANS", DEFAULT_SPANS)))
    cli.add_argument("--seed", type=int, default=int(os.environ.get("FUZZ_SEED", "1")))
    cli.add_argument("--door", choices=("processor", "exporter"), default="processor")
    options = cli.parse_args()
    wrong = fuzz(options.spans, options.seed, options.door, sys.stdout.write)
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{options.spans} spans, seed {options.seed}, {options.door}: {len(wrong)} problems\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
