# SPDX-License-Identifier: Apache-2.0
"""Whatever spans a program makes, ends, drops and flushes, and in whatever order, the accounts agree."""

from __future__ import annotations

import gc
import random

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace

import spancost
from spancost.testing import strict
from tests.kit import LANGSMITH, OPENINFERENCE_LANGCHAIN, counts
from tests.live_kit import AMOUNT, DUPLICATE_OF, Live, agent_says, chat_says

SCOPES = ["app", "client", "framework", OPENINFERENCE_LANGCHAIN, LANGSMITH]
KINDS: dict[str, dict[str, object]] = {
    "chat": chat_says(),
    "other model": chat_says("gpt-4o-mini"),
    "no such model": chat_says("no-such-model"),
    "embed": chat_says("text-embedding-3-small") | {"gen_ai.operation.name": "embeddings"},
    "by usage alone": {"gen_ai.request.model": "gpt-4o"},
    "openinference": {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai"},
    "agent": agent_says("a"),
    "other agent": agent_says("b"),
    "tool": {"gen_ai.operation.name": "execute_tool"},
    "http": {},
}
USAGES = [(), (100, 10), (100, 10), (100, 10), (200, 20), (300, 30), (100, 10, 50), (100,), (0, 0)]

programs = st.tuples(st.integers(0, 80), st.integers(0, 2**64))
"""How many steps, and the seed they come from: fewer steps of one seed are the beginning of more."""

PROGRAMS = 8
"""Programs for one example: an example alone is small."""


def steps_of(length, seed):
    """Yield what a program does; spans mostly end, some soon, some late, some never."""
    choose = random.Random(seed)
    kinds = [*sorted(KINDS), "chat", "chat", "chat", "agent"]
    for _ in range(length):
        what = choose.choices(["start", "end", "drop", "flush"], [10, 9, 1, 1])[0]
        number = choose.randrange(50)
        if what == "start":
            response_id = choose.choice(["", "", "", "r1", "r2"])
            yield (
                what,
                choose.choice(kinds),
                choose.choice(SCOPES),
                number,
                choose.random() < 0.3,
                response_id,
            )
        elif what == "end":
            yield what, number, choose.choice(USAGES), choose.random() < 0.1
        elif what == "drop":
            yield what, number
        else:
            yield (what,)


class Program:
    """A program that does what it is told; spans it drops are freed at once."""

    def __init__(self) -> None:
        self.live = Live(run_attributes=True)
        self.open: list = []
        self.ended: list = []

    def start(self, kind, scope, number, named_late, response_id):
        above = [*self.open, *self.ended, None]
        parent = above[number % len(above)]
        context = trace.set_span_in_context(parent or trace.INVALID_SPAN)
        says = KINDS[kind] | ({"gen_ai.response.id": response_id} if response_id else {})
        tracer = self.live.provider.get_tracer(scope)
        if named_late:
            span = tracer.start_span("x", context=context)
            span.set_attributes(says)
            span.update_name(kind)
        else:
            span = tracer.start_span(kind, context=context, attributes=says)
        self.open.append(span)

    def end(self, number, usage, failed):
        if self.open:
            span = self.open.pop(number % len(self.open))
            span.set_attributes(counts(usage))
            if failed:
                span.set_status(trace.StatusCode.ERROR)
            span.end()
            self.ended.append(span)

    def drop(self, number):
        if self.open:
            self.open.pop(number % len(self.open))

    def flush(self):
        self.live.processor.force_flush()


def check(live, *, finished):
    exported = live.before.spans
    assert live.before.femto == live.after.femto
    assert not [said for _, _, said in exported if AMOUNT in said and DUPLICATE_OF in said]
    assert live.errors == {}
    carriers = [call.carrier for call in live.calls]
    assert len(set(map(id, carriers))) == len(carriers) == live.counted
    assert len({id(call) for call in live.calls}) == len(live.calls)
    if finished:
        assert live.before.femto + live.uncarried == live.metered
        assert live.meter.pending() == 0
        assert live.metered == sum(getattr(call.cost, "femto", 0) for call in live.calls)


@given(programs)
def test_spans_and_uncarried_are_the_metrics_and_each_call_is_counted_once(drawn):
    length, seed = drawn
    for number in range(PROGRAMS):
        program = Program()
        with strict(), spancost.agent("block"):
            for what, *how in steps_of(length, seed + number):
                getattr(program, what)(*how)
                check(program.live, finished=False)
            program.open.clear()  # what never ended is dropped
            program.ended.clear()
            gc.collect(0)
            program.flush()

        check(program.live, finished=True)


@given(programs)
@example((65, 214137))
def test_a_flush_between_any_two_events_changes_no_sum(drawn):
    """It may settle a call before a copy came, but no money is lost or made."""
    length, seed = drawn
    for number in range(PROGRAMS):
        program = Program()
        with strict():
            for what, *how in steps_of(length, seed + number):
                getattr(program, what)(*how)
                program.flush()
            while program.open:
                program.end(0, (100, 10), failed=False)
                program.flush()
            # A dropped span lives as long as one below it, and carries its amount as far as anybody can tell.
            program.ended.clear()
            gc.collect(0)
            program.flush()

        check(program.live, finished=True)


def ran(length, seed, *, quick):
    """Return what a program left on its spans and in the accounts, without the ids that are drawn anew."""
    program = Program()
    if not quick:
        program.live.state.quick.switch_off()
    with strict(), spancost.agent("block"):
        for what, *how in steps_of(length, seed):
            if what != "drop":  # by the quick way, a span lives as long as what is open below it
                getattr(program, what)(*how)
        program.open.clear()
        program.ended.clear()
        gc.collect(0)
        program.flush()
    live = program.live
    names = {format(span_id, "016x"): n for n, (_, span_id, _) in enumerate(live.before.spans)}
    spans = [
        (
            name,
            {key: names.get(value, "gone") if key == DUPLICATE_OF else value for key, value in said.items()},
        )
        for name, _, said in live.before.spans
    ]
    calls = sorted(repr((c.status, c.agent, len(c.copies), c.flags)) for c in live.calls)
    return spans, calls, live.metered, live.uncarried


@given(programs)
def test_the_quick_way_and_the_other_say_the_same(drawn):
    length, seed = drawn
    for number in range(PROGRAMS // 4):
        assert ran(length, seed + number, quick=True) == ran(length, seed + number, quick=False)
