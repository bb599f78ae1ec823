# SPDX-License-Identifier: Apache-2.0
"""
What must hold on every SDK that we support; `make test` runs this folder on each of `tools/verify.py`'s SDKS.

What differs between them is one thing: whether an exporter that was registered before the processor
sees costs by itself (from SDK 1.40 on), or inside a `CostSpanExporter`.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import weakref
from importlib.metadata import version

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    SpanLimits,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

import spancost
from spancost import CostSampler, CostSpanExporter, CostSpanProcessor
from spancost.processor import advice
from spancost.processor._sdk import rebuilt
from spancost.processor.quick import SILENT_AFTER
from spancost.processor.writer import Reach, choose
from spancost.testing import strict
from tests.kit import counts
from tests.live_kit import (
    AMOUNT,
    DUPLICATE_OF,
    PRICE,
    Copies,
    StartAndEndOnly,
    Tracers,
    agent_says,
    chat_says,
    in_threads,
    run_python,
)
from tests.live_kit import total as total_of
from tests.unit.test_processor_process import in_child

SDK = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])
REACHES_ALL = SDK >= (1, 40)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(autouse=True)
def _strict():
    """What fails inside a hook is an error of the test; what is said once is said in each test."""
    advice._said.clear()
    with strict():
        yield


class Pipeline:
    """A provider with an exporter before our processor, one after it, and one of ours before it."""

    def __init__(self, multi=SynchronousMultiSpanProcessor, exporting=SimpleSpanProcessor, **given):
        self.before, self.inside, self.after = Copies(), Copies(), Copies()
        wrapped = CostSpanExporter(self.inside, private=True)
        self.processor = CostSpanProcessor(private=True)  # last: only the latest engine has the quick way
        wrapped._known = self.processor._state
        wrapped._known.serve_exporters()
        self.provider = TracerProvider(active_span_processor=multi(), shutdown_on_exit=False, **given)
        self._tracers = Tracers(self.provider)
        for each in (exporting(self.before), exporting(wrapped), self.processor, exporting(self.after)):
            self.provider.add_span_processor(each)

    def tracer(self, scope="client"):
        return self._tracers.of(scope)

    def chat(self, name="chat", usage=(100, 10), scope="client", **given):
        span = self.tracer(scope).start_span(name, attributes=chat_says(), **given)
        span.set_attributes(counts(usage))
        span.end()
        return span

    @property
    def metered(self):
        self.provider.force_flush()
        return metered(self.processor)


def metered(door):
    """The sum of gen_ai_cost_usd_total that a door feeds."""
    from spancost.meter import names

    return total_of(door.meter, names.COST)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "spancost" and r.levelno == logging.WARNING]


# --- attributes ----------------------------------------------------------------------------------


def test_the_way_to_write_is_the_one_of_this_sdk():
    """Nobody may find out from a user that a release changed it."""
    assert choose().reach is (Reach.ALL if REACHES_ALL else Reach.BEHIND)


def test_finding_the_way_leaves_no_trace(caplog):
    """No log line, no global provider, and nothing on another provider's spans."""
    with caplog.at_level(logging.DEBUG, logger="opentelemetry"):
        choose()

    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)


@pytest.mark.parametrize("multi", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
@pytest.mark.parametrize("exporting", [SimpleSpanProcessor, BatchSpanProcessor])
def test_every_exporter_sees_the_cost_and_it_is_metered_once(multi, exporting):
    pipeline = Pipeline(multi, exporting)
    with pipeline.tracer().start_as_current_span("invoke_agent p", attributes=agent_says("p")):
        for _ in range(20):
            pipeline.chat()
    assert pipeline.metered == 20 * PRICE
    pipeline.provider.shutdown()

    assert pipeline.after.femto == 20 * PRICE
    assert pipeline.inside.femto == 20 * PRICE
    # Before 1.40 only an exporter that reads late, or by luck, sees anything.
    assert pipeline.before.femto == 20 * PRICE or not REACHES_ALL


def test_copies_carry_no_amount_wherever_they_are_exported():
    pipeline = Pipeline()
    with pipeline.tracer("framework").start_as_current_span("outer", attributes=chat_says()) as outer:
        pipeline.chat("inner")
        outer.set_attributes(counts((100, 10)))

    assert pipeline.metered == PRICE
    for exporter in (pipeline.after, pipeline.inside):
        assert AMOUNT not in exporter.named("inner")
        assert exporter.named("inner")[DUPLICATE_OF] == format(outer.context.span_id, "016x")
        assert exporter.named("outer")[AMOUNT] == PRICE / 10**15


@pytest.mark.parametrize("multi", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_a_wrapper_that_forwards_only_starts_and_ends_is_served(multi):
    processor, out = CostSpanProcessor(private=True), Copies()
    provider = TracerProvider(active_span_processor=multi(), shutdown_on_exit=False)
    provider.add_span_processor(StartAndEndOnly(processor))
    provider.add_span_processor(SimpleSpanProcessor(out))
    provider.get_tracer("c").start_span("chat", attributes=chat_says() | counts((100, 10))).end()

    assert metered(processor) == PRICE
    assert out.femto == PRICE or multi is ConcurrentMultiSpanProcessor


def test_a_processor_that_is_registered_twice_counts_once():
    pipeline = Pipeline()
    pipeline.provider.add_span_processor(pipeline.processor)
    pipeline.chat()

    assert pipeline.metered == pipeline.after.femto == PRICE


def test_engines_on_one_provider_count_each_for_itself():
    """A test's private one beside that of the process; only the latest has the quick way."""
    earlier, later = CostSpanProcessor(private=True), CostSpanProcessor(private=True)
    provider = TracerProvider(shutdown_on_exit=False)
    for each in (later, earlier):
        provider.add_span_processor(each)
    for _ in range(2):
        provider.get_tracer("c").start_span("chat", attributes=chat_says() | counts((100, 10))).end()

    assert metered(earlier) == metered(later) == 2 * PRICE


class Rebuilds(StartAndEndOnly):
    """A third party's wrapper that hands on spans of its own make, such as a redacting one."""

    def on_end(self, span):
        self.inner.on_end(rebuilt(span, {"redacted": True}))


@pytest.mark.parametrize("wrapped", [[Rebuilds], [StartAndEndOnly, Rebuilds]])
def test_a_span_that_was_rebuilt_on_its_way_counts_once(wrapped):
    processor = CostSpanProcessor(private=True)
    provider = TracerProvider(shutdown_on_exit=False)
    for wrapper in wrapped:
        provider.add_span_processor(wrapper(processor))
    for _ in range(3):
        with provider.get_tracer("c").start_as_current_span("invoke_agent p", attributes=agent_says("p")):
            span = provider.get_tracer("c").start_span("chat", attributes=chat_says())
            span.set_attributes(counts((100, 10)))
            span.end()

    assert metered(processor) == 3 * PRICE


def test_a_span_begun_before_the_processor_came_is_priced():
    out, processor = Copies(), CostSpanProcessor(private=True)
    provider = TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("c").start_span("chat", attributes=chat_says())
    provider.add_span_processor(processor)
    provider.add_span_processor(processor)
    provider.add_span_processor(SimpleSpanProcessor(out))
    span.set_attributes(counts((100, 10)))
    span.end()

    assert metered(processor) == out.femto == PRICE


def test_what_a_limit_drops_is_known_all_the_same():
    """A conversation of many messages fills a span, and the first to go is what says whose call it is."""
    pipeline = Pipeline(span_limits=SpanLimits(max_attributes=8))
    span = pipeline.tracer().start_span("chat", attributes=chat_says())
    span.set_attributes({f"gen_ai.prompt.{n}.content": "text" for n in range(20)})
    span.set_attributes(counts((100, 10)))
    span.end()

    assert "gen_ai.request.model" not in pipeline.after.named("chat")
    assert pipeline.metered == pipeline.after.femto == pipeline.inside.femto == PRICE


@pytest.mark.parametrize("late", ["gen_ai.prompt.{}.content", "app.{}"])
def test_a_conversation_that_fills_a_span_of_the_default_limit_loses_no_call(late):
    """Nothing of ours may be left at the end; all but the first span take the quick way of the hooks."""
    processor, out = CostSpanProcessor(private=True), Copies()
    provider = TracerProvider(shutdown_on_exit=False)
    for each in (processor, SimpleSpanProcessor(out)):
        provider.add_span_processor(each)
    for said in ({}, *[chat_says() | counts((100, 10))] * 3):
        span = provider.get_tracer("client").start_span("POST", attributes=said)
        for n in range(128):
            span.set_attribute(late.format(n), "text")
        span.end()

    _, _, said = out.spans[-1]
    assert len([key for key in said if key.startswith(late.split("{")[0])]) == 128
    assert "gen_ai.request.model" not in said
    assert metered(processor) == out.femto == 3 * PRICE


def test_a_scope_that_was_silent_for_long_is_heard_again():
    """Its starts are looked at again once one of its spans was a call."""
    processor, out = CostSpanProcessor(private=True), Copies()
    provider = TracerProvider(shutdown_on_exit=False)
    for each in (processor, SimpleSpanProcessor(out)):
        provider.add_span_processor(each)
    tracer = provider.get_tracer("client")
    for _ in range(2 * SILENT_AFTER):
        tracer.start_span("POST", attributes={"app": 1}).end()
    for number in (0, *[0] * SILENT_AFTER, 128):
        if number == 0 and out.femto:
            tracer.start_span("POST", attributes={"app": 1}).end()
            continue
        span = tracer.start_span("POST", attributes=chat_says() | counts((100, 10)))
        for n in range(number):
            span.set_attribute(f"app.{n}", "text")
        span.end()

    assert metered(processor) == out.femto == 2 * PRICE


def test_an_agent_whose_name_a_limit_drops_still_names_its_calls():
    pipeline = Pipeline(span_limits=SpanLimits(max_attributes=8))
    with pipeline.tracer().start_as_current_span("invoke_agent p", attributes=agent_says("p")) as agent:
        agent.set_attributes({f"message.{n}": "text" for n in range(20)})
        pipeline.chat()

    assert pipeline.after.named("chat")["gen_ai.agent.name"] == "p"


def test_spans_that_may_have_no_attributes_are_warned_of_once(caplog):
    """Nobody can read usage from them; a warning is better than a zero that looks like one."""
    pipeline = Pipeline(span_limits=SpanLimits(max_attributes=0))
    for _ in range(3):
        pipeline.chat()

    assert pipeline.metered == 0
    assert [each for each in warnings(caplog) if "may have no attributes" in each] != []
    assert len(warnings(caplog)) == 1


def test_dropped_counts_outlive_the_exporter():
    """A rebuilt span says of what was dropped what the SDK said."""
    seen = []

    class Counts(Copies):
        def export(self, spans):
            seen.extend((s.dropped_attributes, s.dropped_events, s.dropped_links) for s in spans)
            return super().export(spans)

    provider = TracerProvider(
        span_limits=SpanLimits(max_attributes=6, max_events=1, max_links=1), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(Counts()))
    provider.add_span_processor(SimpleSpanProcessor(CostSpanExporter(Counts(), private=True)))
    links = [trace.Link(trace.SpanContext(1, n, is_remote=False)) for n in (1, 2, 3)]
    span = provider.get_tracer("c").start_span("chat", attributes={"a": 1} | chat_says(), links=links)
    for name in ("one", "two", "three"):
        span.add_event(name)
    span.set_attributes(counts((100, 10)) | {"b": 2})
    span.end()

    plain, ours = seen
    assert ours == plain == (1, 2, 2)


# --- where the SDK lets nobody write for exporters before us ---------------------------------------


def test_one_warning_names_the_exporters_that_see_no_cost(caplog):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Copies()))
    provider.add_span_processor(CostSpanProcessor(private=True))
    for _ in range(3):
        provider.get_tracer("c").start_span("chat", attributes=chat_says()).end()

    said = warnings(caplog)
    if REACHES_ALL:
        assert said == []
    else:
        (warning,) = said
        assert f"opentelemetry-sdk {version('opentelemetry-sdk')}" in warning
        assert "SimpleSpanProcessor" in warning
        assert "CostSpanExporter" in warning


def test_a_processor_that_comes_first_or_has_an_exporter_of_ours_is_warned_of_nothing(caplog):
    first = TracerProvider(shutdown_on_exit=False)
    first.add_span_processor(CostSpanProcessor(private=True))
    first.add_span_processor(SimpleSpanProcessor(Copies()))
    first.get_tracer("c").start_span("chat").end()
    Pipeline().chat()

    assert warnings(caplog) == []


# --- an exporter alone -----------------------------------------------------------------------------


def test_an_exporter_alone_meters_and_prices_whole_batches_as_if_they_were_live():
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    app, framework = provider.get_tracer("app"), provider.get_tracer("framework")
    with (
        app.start_as_current_span("invoke_agent p", attributes=agent_says("p")),
        framework.start_as_current_span("outer", attributes=chat_says()) as outer,
    ):
        inner = provider.get_tracer("client").start_span("inner", attributes=chat_says())
        inner.set_attributes(counts((100, 10)))
        inner.end()
        outer.set_attributes(counts((100, 10)))
    provider.force_flush()

    assert out.femto == metered(exporter) == PRICE
    assert out.named("outer")["gen_ai.agent.name"] == "p"
    assert out.named("inner")[DUPLICATE_OF] == format(outer.context.span_id, "016x")


# --- sampling --------------------------------------------------------------------------------------


def calls_under(sampler):
    """Make 500 traces of an agent and a call under a sampler; return what was metered and exported."""
    processor, out = CostSpanProcessor(private=True), Copies()
    # The same trace ids in both runs, so that a ratio decides the same.
    provider = TracerProvider(sampler=sampler, id_generator=Numbers(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    provider.add_span_processor(SimpleSpanProcessor(out))
    tracer = provider.get_tracer("c")
    for _ in range(500):
        with tracer.start_as_current_span("invoke_agent p", attributes=agent_says("p")):
            span = tracer.start_span("POST", attributes={"http.method": "POST"})
            span.set_attributes(chat_says() | counts((100, 10)))  # says only at its end what it is
            span.end()
    return metered(processor), [(name, span_id) for name, span_id, _ in out.spans]


class Numbers:
    """Ids that are the same in every run, spread as random ones are."""

    def __init__(self):
        import random

        self._random = random.Random(7)

    def generate_span_id(self):
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self):
        return self._random.getrandbits(128) or 1

    def is_trace_id_random(self):
        return True


@pytest.mark.parametrize("root", [ParentBased(TraceIdRatioBased(0.1)), TraceIdRatioBased(0.1)])
def test_sampling_a_tenth_loses_no_cost_and_exports_no_span_more(root):
    lost, exported = calls_under(root)
    kept, exported_too = calls_under(CostSampler(root))

    assert kept == 500 * PRICE
    assert 0 < lost < 100 * PRICE
    assert exported_too == exported


def test_a_sampler_that_drops_is_warned_of_once(caplog):
    calls_under(ParentBased(TraceIdRatioBased(0.1)))
    calls_under(CostSampler(ParentBased(TraceIdRatioBased(0.1))))
    calls_under(ParentBased(TraceIdRatioBased(0.1)))

    (warning,) = [each for each in warnings(caplog) if "sampler" in each]
    assert "TraceIdRatioBased{0.1}" in warning
    assert "CostSampler" in warning


# --- the app never pays ----------------------------------------------------------------------------

BROKEN = [
    ("spancost.processor.tree", "remember_start"),
    ("spancost.processor.ends", "read_span"),
    ("spancost.processor.ends", "marks_of"),
    ("spancost.processor.settled", "meter_call"),
    ("spancost.processor.starts", "LiveNode"),
    ("spancost.calls", "Engine.start"),
    ("spancost.calls", "Engine.end"),
    ("spancost.processor.advice", "advise"),
    ("spancost.exporter", "spans_of"),
    ("spancost.exporter", "rebuilt"),
    ("spancost.processor.exported", "ExportedSpans._take"),
    ("spancost.processor.exported", "LiveNode"),
]


class InjectedError(Exception):
    """What a step raises."""


@pytest.mark.parametrize(("module", "name"), BROKEN)
def test_a_step_that_raises_reaches_no_program_and_loses_no_span(module, name, monkeypatch):
    from importlib import import_module

    from spancost.processor.guard import set_strict

    owner = import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)

    def fail(*_, **__):
        raise InjectedError

    monkeypatch.setattr(owner, last, fail)
    before = set_strict(False)
    try:
        pipeline, alone = Pipeline(), Copies()
        pipeline.provider.add_span_processor(SimpleSpanProcessor(CostSpanExporter(alone, private=True)))
        with pipeline.tracer().start_as_current_span("invoke_agent p", attributes=agent_says("p")):
            pipeline.chat()
        pipeline.provider.force_flush()
        pipeline.provider.shutdown()
    finally:
        set_strict(before)

    for exporter in (pipeline.before, pipeline.inside, pipeline.after, alone):
        assert [each for each, _, _ in exporter.spans] == ["chat", "invoke_agent p"]


# --- where calls come from -------------------------------------------------------------------------


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork among threads, since Python 3.12
def test_a_forked_child_counts_its_own():
    pipeline = Pipeline()
    pipeline.chat()

    def work():
        pipeline.chat(usage=(200, 20))
        return [metered(pipeline.processor), pipeline.after.femto - PRICE]

    assert in_child(work) == [str(2 * PRICE), str(2 * PRICE)]
    pipeline.chat()
    assert pipeline.metered == pipeline.after.femto == 2 * PRICE


def test_threads_lose_and_double_nothing():
    pipeline = Pipeline(exporting=BatchSpanProcessor)
    in_threads(8, lambda: [pipeline.chat() for _ in range(25)])

    assert pipeline.metered == 200 * PRICE
    pipeline.provider.shutdown()
    assert pipeline.after.femto == pipeline.inside.femto == 200 * PRICE


def test_tasks_keep_their_agents():
    pipeline = Pipeline()

    async def work(name):
        with spancost.agent(name):
            await asyncio.sleep(0)
            pipeline.chat(name)
            await asyncio.to_thread(pipeline.chat, f"{name} in a thread")

    async def all_of_them():
        await asyncio.gather(*(work(f"a{n}") for n in range(5)))

    asyncio.run(all_of_them())

    assert pipeline.metered == 10 * PRICE
    agents = {name: said["gen_ai.agent.name"] for name, _, said in pipeline.after.spans}
    assert agents == {f"a{n}{where}": f"a{n}" for n in range(5) for where in ("", " in a thread")}


def stream(pipeline, *, with_usage):
    """A stream as instrumentations make it: the span ends when the stream is drained, closed or collected."""
    span = pipeline.tracer().start_span("chat", attributes=chat_says())
    try:
        yield from ("a", "b", "c")
        with_usage = True
    finally:
        if with_usage:
            span.set_attributes(counts((100, 10)))
        span.end()


def test_streams_are_priced_when_they_end_however_they_end():
    pipeline = Pipeline()
    drained = list(stream(pipeline, with_usage=False))
    left = stream(pipeline, with_usage=True)
    next(left)
    left.close()
    abandoned = stream(pipeline, with_usage=True)
    next(abandoned)
    del abandoned
    gc.collect()
    empty = stream(pipeline, with_usage=False)
    next(empty)
    del empty
    gc.collect()

    assert len(drained) == 3
    assert pipeline.metered == pipeline.after.femto == 3 * PRICE
    assert len(pipeline.after.spans) == 4


def test_a_finaliser_that_ends_a_span_inside_our_lock_waits_its_turn():
    """The collector runs where it likes, so on a thread that is in the engine."""
    pipeline = Pipeline()

    class Cycle:
        def __init__(self, span):
            self.me, self.span = self, span

        def __del__(self):
            self.span.end()

    def collect(_):
        pipeline.processor._state.settled.listeners = ()  # once
        Cycle(pipeline.tracer().start_span("late", attributes=chat_says() | counts((100, 10))))
        gc.collect()

    pipeline.processor._state.settled.listeners = (collect,)
    pipeline.chat("first")
    pipeline.chat("second")

    assert [name for name, _, _ in pipeline.after.spans] == ["late", "first", "second"]
    assert pipeline.metered == 3 * PRICE
    assert AMOUNT in pipeline.after.named("second")


def test_spans_that_are_never_ended_are_freed():
    pipeline = Pipeline()
    span = pipeline.tracer().start_span("chat", attributes=chat_says())
    gone = weakref.ref(span)
    del span
    gc.collect()

    assert gone() is None


def test_a_context_that_is_left_in_another_order_breaks_nothing():
    """Generators and callbacks detach contexts wherever they end."""
    pipeline = Pipeline()

    def work():
        agent = pipeline.tracer().start_span("one", attributes=agent_says("p"))
        first = otel_context.attach(trace.set_span_in_context(agent))
        second = otel_context.attach(otel_context.Context())
        otel_context.detach(first)
        pipeline.chat()
        otel_context.detach(second)

    contextvars.copy_context().run(work)  # what is left behind is no matter of other tests

    assert pipeline.metered == PRICE


def test_calls_that_end_as_the_interpreter_exits_are_exported_with_their_cost():
    done = run_python(
        """
        import atexit, sys
        import spancost
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from prometheus_client import REGISTRY
        from tests.kit import counts
        from tests.live_kit import Copies, chat_says

        class Printing(Copies):
            def export(self, spans):
                result = super().export(spans)
                for name, _, said in self.spans[-len(spans):]:
                    print(name, said.get("gen_ai.usage.cost.amount"))
                sys.stdout.flush()
                return result

        provider = TracerProvider()  # shuts down at exit
        provider.add_span_processor(spancost.CostSpanProcessor())
        provider.add_span_processor(BatchSpanProcessor(Printing()))
        tracer = provider.get_tracer("c")
        def chat(name):
            span = tracer.start_span(name, attributes=chat_says())
            span.set_attributes(counts((100, 10)))
            span.end()
        chat("before")
        span = tracer.start_span("open", attributes=chat_says() | counts((100, 10)))
        atexit.register(lambda: (span.end(), chat("at-exit")))
        """,
        SPANCOST_STRICT="1",
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(done.stdout.split("\n")) == ["", "at-exit 0.00035", "before 0.00035", "open 0.00035"]
