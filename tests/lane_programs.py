# SPDX-License-Identifier: Apache-2.0
"""Programs that make calls of a few kinds, and whatever else a program may do around them."""

from __future__ import annotations

import gc
import tempfile
from functools import lru_cache
from pathlib import Path

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision

import spancost
from spancost import CostSpanExporter, CostSpanProcessor, PriceBook
from spancost.context import BLOCKS_USED
from spancost.prices.table import load
from spancost.processor.settled import HINT_AFTER
from tests.kit import BASE
from tests.lane_kit import Decides, Exported, Names, Straight, close, exported, metered, told
from tests.live_kit import StartAndEndOnly
from tests.price_kit import newer

DAY = 1_740_846_600 * 10**9
"""2025-03-01 16:30, when DeepSeek's rates of the night began."""


class Settings:
    """
    What is the same for a whole program.

    Args:
        choose: Draws it.
        kinds: The kinds of calls there are.
        scopes: The scopes that may appear late.
        fixed: What is not drawn.
    """

    def __init__(self, choose, kinds, scopes, **fixed):
        def one_in(number):
            return choose.randrange(number) == 0

        self.wild = one_in(3)
        self.calls = choose.sample(sorted(kinds), choose.randint(1, 3 if self.wild else 2))
        self.warm = not one_in(8)
        self.listens = one_in(2)
        self.sampling = one_in(4)
        self.later_scope = choose.choice(scopes) if one_in(2) else None
        self.late_from = (1 + choose.random()) / 2
        self.surroundings = one_in(3)
        self.odd = one_in(4)
        self.drops = one_in(3)
        self.leaps = one_in(4)
        self.limit = choose.choice([6, 9]) if one_in(10) else None
        self.resource_agent = one_in(6)
        self.providers = 2 if one_in(12) else 1
        self.processors = 2 if one_in(6) else 1
        self.exporter = one_in(6)
        self.unseen = self.exporter and one_in(2)
        """Whether some spans come by the exporter alone."""
        self.replaces = one_in(6)
        self.begins = DAY - 60 * 10**9 if one_in(8) else BASE
        self.wrapped = one_in(8)
        self.by_ids = one_in(8)
        self.processor = {"run_attributes": one_in(2)}
        if one_in(4):
            self.processor["default_agent"] = "nobody"
        if one_in(24):
            self.processor["labels"] = ("team",)
        if one_in(24):
            self.processor["cost_attribute"] = "gen_ai.usage.cost"
        vars(self).update(fixed)


class Program:
    """
    A program that does what it is told, by a clock of its own.

    Args:
        settings: What is the same for all of it.
        straight: Whether its calls may go straight.
    """

    def __init__(self, settings, *, straight):
        BLOCKS_USED[0] = False
        self.settings = settings
        # Made first: the engine that it comes with, and does not use, would have the quick way.
        self.exporter = CostSpanExporter(Exported(), private=True) if settings.exporter else None
        self.book = PriceBook.default().with_table(tables()[0])
        self.processor = CostSpanProcessor(private=True, price_book=self.book, **settings.processor)
        self.state = self.processor._state
        self.straight = Straight(self.state)
        if not straight:
            close(self.state)
        self.before, self.after = Exported(), Exported()
        if self.exporter is not None:
            self.exporter._known, self.exporter._inner = self.state, self.after
            self.state.serve_exporters()
        self.sampler = Decides()
        self.providers = [self._provider(number) for number in range(settings.providers)]
        if settings.unseen:
            self.providers.append(self._provider(len(self.providers), is_seen=False))
        self.told = []
        if settings.listens:
            self.processor.on_call(self.told.append)
        self.names = Names()
        self.now = settings.begins
        self.open, self.ended, self.around, self.scrapes = [], [], [], []
        self.named = {}
        self.calls = set()

    def _provider(self, number, *, is_seen=True):
        resource = {"service.name": f"shop {number}"}
        if self.settings.resource_agent:
            resource["gen_ai.main_agent.name"] = f"main {number}"
        provider = TracerProvider(
            resource=Resource(resource),
            sampler=self.sampler,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=self.settings.limit),
        )
        processors = [StartAndEndOnly(self.processor) if self.settings.wrapped else self.processor]
        if self.settings.processors > 1:
            second = CostSpanProcessor.__new__(CostSpanProcessor)
            second._bind(self.state)
            processors.append(second)
        after = SimpleSpanProcessor(self.exporter or self.after)
        if not is_seen:
            processors = []
        for each in (SimpleSpanProcessor(self.before), *processors, after):
            provider.add_span_processor(each)
        return provider

    def _above(self, where, *, below_calls):
        """Return a span by its name, or any of those that are open or ended a while ago, or None."""
        if isinstance(where, str):
            return self.named[where]
        above = [None, None, *self.open, *self.ended[-6:]]
        if not below_calls:
            above = [span for span in above if span is None or _id_of(span) not in self.calls]
        return above[where % len(above)]

    # --- steps --------------------------------------------------------------------------------------

    def start(
        self,
        name,
        says,
        *,
        scope,
        where=0,
        called="",
        is_call=False,
        provider=0,
        late=False,
        sample=None,
        bare=False,
        below_calls=False,
        by_ids=False,
    ):
        """Start a span; *called* is under what name a later step finds it."""
        parent = self._above(where, below_calls=below_calls)
        context = None
        if parent is not None and by_ids:
            parent = trace.NonRecordingSpan(parent.get_span_context())
        if parent is not None or bare:
            context = trace.set_span_in_context(parent or trace.INVALID_SPAN)
        self.sampler.next = sample or Decision.RECORD_AND_SAMPLE
        tracer = self.providers[provider % len(self.providers)].get_tracer(scope)
        if late:
            span = tracer.start_span("x", context, start_time=self.now)
            span.set_attributes(says)
            span.update_name(name)
        else:
            span = tracer.start_span(name, context, attributes=says, start_time=self.now)
        self.names.started(span)
        if is_call:
            self.calls.add(_id_of(span))
        if called:
            self.named[called] = span
        self.open.append(span)

    def end(self, which, says=None, *, failed=False, back=0):
        """End an open span, by a clock that may have gone back."""
        span = self._open(which)
        if span is None:
            return
        self.open.remove(span)
        span.set_attributes(says or {})
        if failed:
            span.set_status(trace.StatusCode.ERROR)
        span.end(end_time=self.now - back)
        self.ended.append(span)

    def _open(self, which):
        if isinstance(which, str):
            span = self.named[which]
            return span if span in self.open else None
        return self.open[which % len(self.open)] if self.open else None

    def say(self, which, says):
        span = self._open(which)
        if span is not None:
            span.set_attributes(says)

    def rename(self, which, name):
        span = self._open(which)
        if span is not None:
            span.update_name(name)

    def drop(self, which):
        """Lose an open span without ending it."""
        span = self._open(which)
        if span is not None:
            self.open.remove(span)
            for name in [name for name, each in self.named.items() if each is span]:
                del self.named[name]
            del span
            gc.collect(0)

    def flush(self):
        self.processor.force_flush()

    def scrape(self):
        for _ in self.processor.meter.collect():
            pass
        self.scrapes.append(metered(self.processor.meter, self.names))

    def enter(self, name, *, by_baggage=False):
        if by_baggage:
            token = otel_context.attach(baggage.set_baggage("gen_ai.agent.name", name))
            self.around.append(lambda: otel_context.detach(token))
        else:
            block = spancost.agent(name)
            block.__enter__()
            self.around.append(lambda: block.__exit__(None, None, None))

    def leave(self):
        if self.around:
            self.around.pop()()

    def replace(self, number):
        """Price by another table from now on."""
        self.book.replace_table(tables()[number % 2])

    def wait(self, time):
        self.now += time

    # --- the whole ----------------------------------------------------------------------------------

    def run(self, steps):
        """Run it all, and return everything that can be seen of it."""
        try:
            for what, given, named in steps:
                getattr(self, what)(*given, **named)
        finally:
            while self.around:
                self.leave()
        self.open.clear()  # what never ended is dropped
        self.ended.clear()
        self.named.clear()
        gc.collect(0)
        self.flush()
        self.scrape()
        return self.seen()

    def seen(self):
        """Return everything that can be seen of it."""
        errors = {name: cell.value for name, cell in self.processor.meter._series.errors.items()}
        assert errors == {}
        return {
            "before": exported(self.before.spans, self.names),
            "after": exported(self.after.spans, self.names),
            "told": told(self.told, self.names),
            "scrapes": self.scrapes,
            "hint": (min(self.state.settled.calls, HINT_AFTER), self.state.settled.is_hinted),
        }


def _id_of(span):
    return span.get_span_context().span_id


@lru_cache(maxsize=1)
def tables():
    """Return the price table that is built in, and one by which some models cost something else."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices"
        path.write_bytes(newer(changed={"openai/gpt-4o-alias": "7", "openai/gpt-4o": "7", "openai/o3": "9"}))
        return PriceBook.default().table, load(path)
