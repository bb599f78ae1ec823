# SPDX-License-Identifier: Apache-2.0
"""Whatever a program does, calls that go straight (`processor.lane`) leave what they leave by the engine."""

from __future__ import annotations

import gc
import random
import tempfile
from functools import lru_cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
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
from tests.kit import LANGSMITH, OPENINFERENCE_LANGCHAIN, SECOND
from tests.lane_kit import Decides, Exported, Names, Straight, close, exported, metered, told
from tests.price_kit import newer

BASE = 1_795_219_200 * 10**9  # 2026-11-21, a day with prices
SCOPE = "client"
LATER_SCOPES = ["framework", "gateway", OPENINFERENCE_LANGCHAIN, LANGSMITH]

GENAI = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
IN, OUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
READ, WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"
ID = "gen_ai.response.id"

# What calls say at their start, what they say at their end beside usage, and under which keys their usage is.
CALLS = {
    "chat": (GENAI, {}, (IN, OUT)),
    "answered": (GENAI, {"gen_ai.response.model": "gpt-4o-2024-08-06", ID: "id"}, (IN, OUT)),
    "mini": (GENAI | {"gen_ai.request.model": "gpt-4o-mini"}, {}, (IN, OUT, READ)),
    "claude": (
        GENAI | {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"},
        {ID: "id"},
        (IN, OUT, READ, WRITE),
    ),
    "embed": (
        GENAI | {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "text-embedding-3-small"},
        {},
        (IN,),
    ),
    "stream": (GENAI | {"gen_ai.request.stream": True, "server.address": "api.openai.com"}, {}, (IN, OUT)),
    "own name": (GENAI | {"gen_ai.agent.name": "own"}, {}, (IN, OUT)),
    "unknown": (GENAI | {"gen_ai.request.model": "no-such-model"}, {}, (IN, OUT)),
    "openinference": (
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai"},
        {},
        ("llm.token_count.prompt", "llm.token_count.completion"),
    ),
    "says all at its end": ({}, GENAI | {"http.status": 200}, (IN, OUT)),
    "by usage alone": ({}, {"gen_ai.request.model": "gpt-4o"}, (IN, OUT)),
}
OTHERS = {
    "agent": {"gen_ai.operation.name": "invoke_agent"},
    "tool": {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"},
    "http": {},
    "workflow": {"gen_ai.operation.name": "invoke_workflow"},
    "chain": {"openinference.span.kind": "CHAIN"},
}
PLAIN_USAGES = [(100, 10, 0, 0), (100, 10, 50, 0), (200, 20, 0, 60), (300, 30, 100, 100), (1, 1, 0, 0)]
ODD_USAGES = [
    (),
    (0, 0, 0, 0),
    (True, 10, 0, 0),
    (100.0, 10, 0, 0),
    ("100", 10, 0, 0),
    (-1, 10, 0, 0),
    (2**53 + 1, 3, 0, 0),
    (10**13, 10**13, 0, 0),
    (100, 10, 200, 300),
    (0, 10, 0, 0),
]

programs = st.tuples(st.integers(0, 70), st.integers(0, 2**64))
"""How many steps, and the seed they come from: fewer steps of one seed are the beginning of more."""


class Settings:
    """What is the same for a whole program, drawn from a seed."""

    def __init__(self, choose, **fixed):
        def one_in(number):
            return choose.randrange(number) == 0

        self.wild = one_in(3)
        self.calls = choose.sample(sorted(CALLS), choose.randint(1, 3 if self.wild else 2))
        self.warm = not one_in(4)
        self.listens = one_in(2)
        self.sampling = one_in(4)
        self.later_scope = choose.choice(LATER_SCOPES) if one_in(2) else None
        self.surroundings = one_in(3)
        self.odd = one_in(3)
        self.drops = one_in(3)
        self.leaps = one_in(4)
        self.limit = choose.choice([None] * 6 + [6, 9])
        self.resource_agent = one_in(6)
        self.providers = 2 if one_in(6) else 1
        self.processors = 2 if one_in(6) else 1
        self.exporter = one_in(6)
        self.replaces = one_in(6)
        self.processor = {"run_attributes": one_in(2)}
        if one_in(4):
            self.processor["default_agent"] = "nobody"
        if one_in(12):
            self.processor["labels"] = ("team",)
        if one_in(12):
            self.processor["cost_attribute"] = "gen_ai.usage.cost"
        vars(self).update(fixed)


class Program:
    """
    A program that does what it is told.

    Args:
        settings: What is the same for all of it.
        straight: Whether its calls may go straight.
    """

    def __init__(self, settings, *, straight):
        BLOCKS_USED[0] = False
        self.settings = settings
        # First, since its own engine, which it does not use, would have the quick way.
        self.exporter = CostSpanExporter(Exported(), private=True) if settings.exporter else None
        self.book = PriceBook.default().with_table(PriceBook.default().table)
        self.processor = CostSpanProcessor(private=True, price_book=self.book, **settings.processor)
        self.state = self.processor._state
        self.straight = Straight(self.state)
        if not straight:
            close(self.state)
        self.before, self.after = Exported(), Exported()
        if self.exporter is not None:
            self.exporter._known = self.state
            self.exporter._inner = self.after
            self.state.serve_exporters()
        self.sampler = Decides()
        self.providers = [self._provider(number) for number in range(settings.providers)]
        self.told = []
        if settings.listens:
            self.processor.on_call(self.told.append)
        self.names = Names()
        self.now = BASE
        self.calls = set()
        self.open, self.ended, self.around, self.scrapes, self.ids = [], [], [], [], []

    def _provider(self, number):
        resource = {"service.name": f"shop {number}"}
        if self.settings.resource_agent:
            resource["gen_ai.main_agent.name"] = f"main {number}"
        provider = TracerProvider(
            resource=Resource(resource),
            sampler=self.sampler,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=self.settings.limit),
        )
        after = self.exporter or self.after
        processors = [self.processor]
        if self.settings.processors > 1:
            second = CostSpanProcessor.__new__(CostSpanProcessor)
            second._bind(self.state)
            processors.append(second)
        for each in (SimpleSpanProcessor(self.before), *processors, SimpleSpanProcessor(after)):
            provider.add_span_processor(each)
        return provider

    # --- steps --------------------------------------------------------------------------------------

    def start(
        self,
        name,
        says,
        *,
        scope=SCOPE,
        where=0,
        provider=0,
        late=False,
        sample=None,
        bare=False,
        below_calls=False,
    ):
        above = [None, None, *self.open, *self.ended[-8:]]
        if not below_calls:
            above = [span for span in above if span is None or _id_of(span) not in self.calls][-6:]
        parent = above[where % len(above)]
        if parent is not None:
            context = trace.set_span_in_context(parent)
        else:
            context = trace.set_span_in_context(trace.INVALID_SPAN) if bare else None
        self.sampler.next = sample or Decision.RECORD_AND_SAMPLE
        tracer = self.providers[provider % len(self.providers)].get_tracer(scope)
        given = None if late else says
        span = tracer.start_span("x" if late else name, context, attributes=given, start_time=self.now)
        if late:
            span.set_attributes(says)
            span.update_name(name)
        self.names.started(span)
        if name in CALLS:
            self.calls.add(_id_of(span))
        self.open.append(span)
        return span

    def end(self, which, says=None, *, failed=False, rename=None):
        if not self.open:
            return
        span = self.open.pop(which % len(self.open))
        span.set_attributes(says or {})
        if rename is not None:
            span.update_name(rename)
        if failed:
            span.set_status(trace.StatusCode.ERROR)
        span.end(end_time=self.now)
        self.ended.append(span)

    def say(self, which, says):
        if self.open:
            self.open[which % len(self.open)].set_attributes(says)

    def rename(self, which, name):
        if self.open:
            self.open[which % len(self.open)].update_name(name)

    def drop(self, which):
        if self.open:
            self.open.pop(which % len(self.open))
            gc.collect(0)

    def flush(self):
        self.processor.force_flush()

    def scrape(self):
        for _ in self.processor.meter.collect():
            pass
        self.scrapes.append(metered(self.processor.meter, self.names))

    def enter(self, name, *, by_baggage=False):
        if by_baggage:
            context = baggage.set_baggage("gen_ai.agent.name", name)
            token = otel_context.attach(context)
            self.around.append(lambda: otel_context.detach(token))
        else:
            block = spancost.agent(name)
            block.__enter__()
            self.around.append(lambda: block.__exit__(None, None, None))

    def leave(self):
        if self.around:
            self.around.pop()()

    def replace(self, number):
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
        gc.collect(0)
        self.flush()
        self.scrape()
        return self.seen()

    def seen(self):
        errors = {name: cell.value for name, cell in self.processor.meter._errors.items()}
        assert errors == {}
        return {
            "before": exported(self.before.spans, self.names),
            "after": exported(self.after.spans, self.names),
            "scrapes": self.scrapes,
            "told": told(self.told, self.names),
            "hint": (self.state.calls, self.state.nameless),
        }


def _id_of(span):
    return span.get_span_context().span_id


@lru_cache(maxsize=1)
def tables():
    """Return the price table that is built in, and one in which every rate is another."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices"
        path.write_bytes(newer(changed={"openai/gpt-4o": "7", "openai/gpt-4o-mini": "9"}))
        return PriceBook.default().table, load(path)


def steps_of(length, choose, settings):
    """Yield what a program does."""
    number = 0

    def call(kind):
        at_start, at_end, keys = CALLS[kind]
        nonlocal number
        number += 1
        at_end = dict(at_end)
        if ID in at_end:
            at_end[ID] = choose.choice([f"id {number}"] * 3 + [f"id {max(1, number - choose.randrange(4))}"])
        usage = choose.choice(ODD_USAGES if settings.odd and choose.random() < 0.2 else PLAIN_USAGES)
        if "gen_ai.request.stream" in at_start and settings.odd:
            at_start = at_start | {"gen_ai.request.stream": choose.choice([True, True, True, 1, 1.0, "true"])}
        return at_start, at_end | dict(zip(keys, usage, strict=False))

    def start_of(scope):
        named = {"scope": scope, "where": choose.randrange(1000), "provider": choose.randrange(2)}
        if settings.sampling:
            named["sample"] = choose.choice(
                [Decision.RECORD_AND_SAMPLE] * 4 + [Decision.RECORD_ONLY] * 2 + [Decision.DROP]
            )
        named["bare"] = choose.random() < 0.2
        named["late"] = choose.random() < 0.1
        named["below_calls"] = choose.random() < (0.5 if settings.wild else 0.05)
        return named

    if settings.warm:
        for kind in settings.calls:
            for _ in range(2):
                at_start, at_end = call(kind)
                if not at_end.keys() - CALLS[kind][1].keys():
                    at_end |= dict(zip(CALLS[kind][2], PLAIN_USAGES[0], strict=False))
                yield "start", (kind, at_start), {}
                yield "wait", (SECOND,), {}
                yield "end", (-1, at_end), {}
    opened = {}
    for at in range(length):
        is_late = settings.later_scope is not None and at > length * 0.6
        scope = settings.later_scope if is_late and choose.random() < 0.5 else SCOPE
        what = choose.choices(
            ["call", "open", "end", "other", "say", "rename", "drop", "flush", "scrape", "around", "replace"],
            [12, 6, 10, 6, 2, 1, 1, 1, 1, 3, 1] if settings.wild else [40, 1, 7, 6, 1, 1, 1, 1, 1, 3, 1],
        )[0]
        if what in {"call", "open"}:
            kind = choose.choice(settings.calls)
            at_start, at_end = call(kind)
            named = start_of(scope)
            if what == "call":
                yield "start", (kind, at_start), named
                yield "wait", (choose.choice([0, 10**6, SECOND]),), {}
                yield "end", (-1, at_end), {"failed": choose.random() < 0.05}
            else:
                opened[at] = at_end
                yield "start", (kind, at_start), named
        elif what == "end":
            says = choose.choice([*opened.values(), {}]) if choose.random() < 0.7 else {}
            yield "end", (choose.randrange(1000), says), {"failed": choose.random() < 0.05}
        elif what == "other":
            kind = choose.choice(sorted(OTHERS))
            says = dict(OTHERS[kind])
            if kind == "agent" and choose.random() < 0.7:
                says["gen_ai.agent.name"] = choose.choice("ab")
            yield "start", (kind, says), start_of(scope if scope != SCOPE else choose.choice([SCOPE, "app"]))
        elif what == "say":
            says = choose.choice(
                [{"gen_ai.agent.name": "late"}, GENAI, OTHERS["agent"], {IN: 100, OUT: 10}, {"plain": 1}]
            )
            yield "say", (choose.randrange(1000), says), {}
        elif what == "rename":
            yield "rename", (choose.randrange(1000), choose.choice([*settings.calls, "x"])), {}
        elif what == "drop":
            if settings.drops:
                yield "drop", (choose.randrange(1000),), {}
        elif what == "around":
            if settings.surroundings and choose.random() < 0.5:
                yield "enter", (choose.choice("pq"),), {"by_baggage": choose.random() < 0.3}
            elif settings.surroundings:
                yield "leave", (), {}
        elif what == "replace":
            if settings.replaces:
                yield "replace", (choose.randrange(2),), {}
        else:
            yield what, (), {}
        yield (
            "wait",
            (choose.choice([0, 10**6, SECOND, 61 * SECOND, 601 * SECOND][: 5 if settings.leaps else 3]),),
            {},
        )


def ran(length, seed, *, straight, **fixed):
    """Run a program, its calls straight where they can or all by the engine; return it and what was seen."""
    settings = Settings(random.Random(seed), **fixed)
    program = Program(settings, straight=straight)
    seen = program.run(steps_of(length, random.Random(seed + 1), settings))
    return program, seen


def same_both_ways(length, seed, **fixed):
    """Run a program both ways, and hold together what was seen; return how many calls went straight."""
    one, by_lane = ran(length, seed, straight=True, **fixed)
    other, by_engine = ran(length, seed, straight=False, **fixed)
    for what, seen in by_lane.items():
        assert seen == by_engine[what], what
    assert other.straight.calls == 0
    return one.straight.calls, one.state.calls


@given(programs)
def test_calls_that_go_straight_leave_what_the_engine_leaves(drawn):
    length, seed = drawn
    for number in range(4):
        same_both_ways(length, seed + 2 * number)
