# SPDX-License-Identifier: Apache-2.0
"""An exporter around another: what it prices, what it passes on, and what it never does twice."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import SpanContext, TraceFlags

from spancost import CostSpanExporter, CostSpanProcessor
from spancost.exporter.otlp import OtlpGrpcCostExporter, OtlpHttpCostExporter
from spancost.meter import names
from spancost.processor import exported
from spancost.testing import strict
from tests.kit import BASE, SECOND, counts
from tests.live_kit import (
    AMOUNT,
    DUPLICATE_OF,
    PRICE,
    Copies,
    Live,
    Tracers,
    agent_says,
    chat_says,
    in_threads,
    run_python,
    total,
)


@pytest.fixture(autouse=True)
def _strict():
    with strict():
        yield


class Alone:
    """A provider whose only processor exports, each span by itself or in batches, through an exporter of ours."""

    def __init__(self, exporting=SimpleSpanProcessor, **settings):
        self.out = Copies()
        self.exporter = CostSpanExporter(self.out, private=True, **settings)
        self.calls = []
        self.exporter.on_call(self.calls.append)
        self.provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
        self.provider.add_span_processor(exporting(self.exporter))
        self._tracers = Tracers(self.provider)

    start = Live.start
    span = Live.span
    agent = Live.agent
    chat = Live.chat
    open_chat = Live.open_chat
    tracer = Live.tracer

    @property
    def metered(self):
        return total(self.exporter.meter, names.COST)

    @property
    def pending(self):
        return self.exporter.meter.pending()

    @property
    def agents(self):
        return [call.agent.name if call.agent else None for call in self.calls]

    @property
    def runs(self):
        return {
            values: (sum(run.cost.counts), run.cost.total)
            for values, run in self.exporter.meter._series.runs.items()
        }


def ended(name, start, end, attributes=None, *, span=1, parent=None, trace_id=1, remote=False):
    """Make a span as exporters get it; times are seconds."""
    flags = TraceFlags(TraceFlags.SAMPLED)
    return ReadableSpan(
        name,
        SpanContext(trace_id, span, is_remote=False, trace_flags=flags),
        parent=SpanContext(trace_id, parent, is_remote=remote) if parent else None,
        resource=Resource({"service.name": "shop"}),
        attributes=attributes,
        start_time=None if start is None else BASE + round(start * SECOND),
        end_time=None if end is None else BASE + round(end * SECOND),
    )


def call(usage=(100, 10), **more):
    return chat_says() | counts(usage) | more


# --- alone ---------------------------------------------------------------------------------------


def test_calls_are_priced_and_metered_without_a_processor():
    alone = Alone()
    alone.chat()

    assert alone.out.femto == alone.metered == PRICE
    assert alone.out.named("chat")["gen_ai.usage.cost.source"] == "local"


def test_a_call_waits_for_its_agent_in_the_metrics_not_on_the_way_out():
    """Children are exported before their parents."""
    alone = Alone()
    with alone.agent("planner"), alone.span("step"):
        alone.chat()
        assert alone.out.femto == PRICE
        assert (alone.metered, alone.pending) == (0, 1)

    assert alone.metered == PRICE
    assert alone.agents == ["planner"]
    assert alone.runs == {("shop", "planner"): (1, PRICE)}


def test_a_batch_is_priced_as_if_its_spans_were_live():
    alone, live = Alone(BatchSpanProcessor), Live()
    for door in (alone, live):
        with door.agent("planner"):
            with door.span("outer", chat_says(), scope="framework") as outer:
                door.chat(name="inner")
                outer.set_attributes(counts((100, 10)))
            door.chat(name="next", usage=(200, 20))
        door.provider.force_flush()

    for name in ("inner", "outer", "next", "invoke_agent planner"):
        ours, theirs = alone.out.named(name), live.before.named(name)
        assert {key: ours[key] for key in ours if key != DUPLICATE_OF} == {
            key: theirs[key] for key in theirs if key != DUPLICATE_OF
        }
        assert (DUPLICATE_OF in ours) == (DUPLICATE_OF in theirs)
    assert alone.metered == alone.out.femto == live.metered


def test_a_wrapper_that_comes_a_batch_later_is_a_copy():
    alone = Alone()
    with alone.span("outer", chat_says(), scope="framework") as outer:
        inner = alone.chat(name="inner")
        outer.set_attributes(counts((100, 10)))

    assert alone.out.named("inner")[AMOUNT] == PRICE / 10**15
    assert alone.out.named("outer")[DUPLICATE_OF] == format(inner.context.span_id, "016x")
    assert alone.metered == alone.out.femto == PRICE


def test_a_roll_up_that_comes_later_adds_nothing():
    """Its calls came before it, below a span that had not come either."""
    alone = Alone()
    with alone.agent("planner") as agent:
        with alone.span("step"):
            alone.chat()
            alone.chat(usage=(200, 20))
        agent.set_attributes(counts((300, 30)))

    assert alone.metered == alone.out.femto == 3 * PRICE


def test_a_parent_that_never_comes_is_waited_for_ten_minutes_of_span_time():
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    exporter.export([ended("chat", 0, 1, call(), span=2, parent=9)])
    exporter.export([ended("work", 2, 599, span=3)])
    waiting = exporter.meter.pending()
    exporter.export([ended("work", 2, 602, span=4)])
    exporter.export([ended("work", 2, 603, span=5)])

    assert waiting == 1
    assert exporter.meter.pending() == 0
    assert total(exporter.meter, names.COST) == out.femto == PRICE


def test_what_is_waited_for_is_bounded(monkeypatch):
    monkeypatch.setattr(exported, "MAX_AWAITED", 50)
    monkeypatch.setattr(exported, "MAX_ENDED", 50)
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    for n in range(1, 500):
        exporter.export([ended("chat", n, n + 0.5, call(), trace_id=n, span=n, parent=n + 1000)])
    spans = exported.spans_of(exporter._state)

    assert len(spans._awaited) <= 51
    assert len(spans._ended) <= 50
    assert len(exporter._state.tree.open) <= 52
    exporter.force_flush()
    assert total(exporter.meter, names.COST) == out.femto == 499 * PRICE


@pytest.mark.parametrize("ends", ["force_flush", "shutdown"])
def test_what_waits_is_settled_at_the_end(ends):
    alone = Alone()
    with alone.agent("planner"):
        alone.chat()
        getattr(alone.exporter, ends)()

        assert alone.metered == PRICE
    assert alone.metered == PRICE


def test_a_late_child_finds_its_ended_parent():
    """Asynchronous work outlives the span that began it."""
    alone = Alone()
    boss = alone.start("invoke_agent boss", agent_says("boss"))
    child = alone.open_chat(parent=boss)
    boss.end()
    child.set_attributes(counts((100, 10)))
    child.end()

    assert alone.agents == ["boss"]
    assert alone.out.named("chat")["gen_ai.agent.name"] == "boss"


def test_a_remote_parent_is_not_waited_for():
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    exporter.export([ended("chat", 0, 1, call(), span=2, parent=9, remote=True)])

    assert total(exporter.meter, names.COST) == PRICE


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param(
            [ended("chat", 5, 6, call(), span=2, parent=1), ended("a", 7, 8, span=1)], id="parent-later"
        ),
        pytest.param([ended("chat", 9, 6, call())], id="ends-before-it-starts"),
        pytest.param([ended("chat", 5, 6, call()), ended("chat", 5, 6, call())], id="twice-in-a-batch"),
        pytest.param(
            [ended("chat", 5, 6, call(), span=1, parent=2), ended("b", 5, 6, span=2, parent=1)], id="circle"
        ),
        pytest.param([ended("chat", 5, 6, call(), span=1, parent=1)], id="its-own-parent"),
        pytest.param([ended("chat", 5, 5, call())], id="no-time"),
    ],
)
def test_clocks_and_ids_that_cannot_be_count_a_call_once(spans):
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    exporter.export(spans)
    exporter.force_flush()

    assert len(out.spans) == len(spans)
    assert total(exporter.meter, names.COST) == PRICE


def test_a_span_that_is_none_is_exported_as_it_is():
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    without_times = ended("chat", None, None, call())
    exporter.export([without_times])

    assert [name for name, _, _ in out.spans] == ["chat"]
    assert AMOUNT not in out.named("chat")


def test_the_spans_of_others_stay_as_they_are():
    """What another exporter holds is not changed under its hands."""
    span = ended("chat", 0, 1, call())
    exporter = CostSpanExporter(Copies(), private=True)
    exporter.export([span])

    assert AMOUNT not in span.attributes


# --- never twice -----------------------------------------------------------------------------------


def test_two_exporters_of_one_engine_price_a_span_once_and_both_carry_it():
    alone, second = Alone(), Copies()
    other = CostSpanExporter(second, private=True)
    other._known = alone.exporter._state
    alone.provider.add_span_processor(SimpleSpanProcessor(other))
    alone.chat()

    assert alone.metered == alone.out.femto == second.femto == PRICE


def test_a_processor_of_the_process_and_an_exporter_count_once():
    done = run_python(
        """
        import spancost
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from prometheus_client import REGISTRY
        from tests.kit import counts
        from tests.live_kit import Copies, chat_says

        def chat(provider):
            span = provider.get_tracer("c").start_span("chat", attributes=chat_says())
            span.set_attributes(counts((100, 10)))
            span.end()

        one, two, three = Copies(), Copies(), Copies()
        both = TracerProvider()
        both.add_span_processor(BatchSpanProcessor(spancost.CostSpanExporter(one)))
        both.add_span_processor(spancost.CostSpanProcessor(default_agent="main"))
        both.add_span_processor(SimpleSpanProcessor(spancost.CostSpanExporter(two)))
        alone = TracerProvider()
        alone.add_span_processor(SimpleSpanProcessor(spancost.CostSpanExporter(three)))
        for _ in range(3):
            chat(both)
        chat(alone)
        both.force_flush()
        print(one.femto, two.femto, three.femto)
        samples = [s for f in REGISTRY.collect() for s in f.samples if s.name == "gen_ai_calls_total"]
        print([(s.labels["gen_ai_agent_name"], s.value) for s in samples])
        """,
        SPANCOST_STRICT="1",
    )

    assert done.stderr == ""
    amounts, calls = done.stdout.splitlines()
    assert amounts == f"{3 * PRICE} {3 * PRICE} {PRICE}"
    assert calls == "[('main', 4.0)]"


def test_what_the_processor_could_not_write_is_carried_by_the_exporter(monkeypatch):
    """An SDK of the future may keep its attributes elsewhere."""
    from spancost.processor.writer import Reach, Writer, nowhere

    monkeypatch.setattr("spancost.processor.state.writer", lambda: Writer(nowhere, nowhere, Reach.NOBODY))
    processor, plain, ours = CostSpanProcessor(private=True), Copies(), Copies()
    exporter = CostSpanExporter(ours, private=True)
    exporter._known = processor._state
    processor._state.serve_exporters()
    provider = TracerProvider(shutdown_on_exit=False)
    for each in (processor, SimpleSpanProcessor(plain), BatchSpanProcessor(exporter)):
        provider.add_span_processor(each)
    provider.get_tracer("c").start_span("chat", attributes=call()).end()
    provider.force_flush()

    assert plain.femto == 0
    assert ours.femto == total(processor.meter, names.COST) == PRICE
    assert total(processor.meter, names.UNCARRIED) == 0


def test_threads_that_export_at_once_count_each_call_once():
    alone = Alone(BatchSpanProcessor)

    def work():
        for _ in range(50):
            with alone.agent("planner"):
                alone.chat()

    in_threads(4, work)
    alone.provider.force_flush()

    assert alone.metered == alone.out.femto == 200 * PRICE
    assert set(alone.agents) == {"planner"}


# --- the inner exporter ------------------------------------------------------------------------------


class Inner(SpanExporter):
    """Notes what it is asked, and fails as told."""

    def __init__(self, result=SpanExportResult.FAILURE, *, flushed=False):
        self.result, self.flushed, self.asked = result, flushed, []

    def export(self, spans):
        self.asked.append(("export", len(spans)))
        return self.result

    def force_flush(self, timeout_millis=30_000):
        self.asked.append(("force_flush", timeout_millis))
        return self.flushed

    def shutdown(self):
        self.asked.append(("shutdown",))


@pytest.mark.parametrize("result", list(SpanExportResult))
@pytest.mark.parametrize("flushed", [True, False])
def test_everything_is_the_inner_exporters(result, flushed):
    inner = Inner(result, flushed=flushed)
    exporter = CostSpanExporter(inner, private=True)

    assert exporter.export([ended("chat", 0, 1, call())]) is result
    assert exporter.force_flush(123) is flushed
    exporter.shutdown()
    assert inner.asked == [("export", 1), ("force_flush", 123), ("shutdown",)]


@pytest.mark.parametrize("wrong", [None, "otlp", Copies, CostSpanProcessor])
def test_what_is_no_exporter_is_refused(wrong):
    with pytest.raises(TypeError, match="wraps an exporter"):
        CostSpanExporter(wrong)


def test_a_disabled_exporter_passes_spans_on(monkeypatch):
    monkeypatch.setenv("SPANCOST_DISABLED", "true")
    out = Copies()
    exporter = CostSpanExporter(out)
    exporter.export([ended("chat", 0, 1, call())])

    assert out.femto == 0
    exporter.force_flush()
    exporter.shutdown()
    assert len(out.spans) == 1


# --- entry points ------------------------------------------------------------------------------------


def test_the_http_entry_point_takes_what_the_yaml_says():
    exporter = OtlpHttpCostExporter(
        endpoint="http://collector:4318/v1/traces",
        headers=[{"name": "x-team", "value": "growth"}],
        headers_list="x-team=other,x-key=1",
        timeout=2500,
        compression="gzip",
    )
    inner = exporter._inner

    assert inner._endpoint == "http://collector:4318/v1/traces"
    assert inner._compression.value == "gzip"
    said = vars(inner._client) if hasattr(inner, "_client") else vars(inner)
    assert any(value == 2.5 for key, value in said.items() if "timeout" in key)
    exporter.shutdown()


def test_the_grpc_entry_point_takes_what_the_yaml_says():
    exporter = OtlpGrpcCostExporter(
        endpoint="http://collector:4317", timeout=2500, compression="none", tls={"insecure": True}
    )

    assert exporter._inner._endpoint == "collector:4317"
    assert exporter._inner._timeout == 2.5
    exporter.shutdown()


@pytest.mark.parametrize("kind", [OtlpGrpcCostExporter, OtlpHttpCostExporter])
def test_wrong_options_are_named_all_at_once(kind):
    with pytest.raises(ValueError, match="no option") as error:
        kind(endpont="x", compression="zip", timeout="soon", tls={"ca": "x"})

    for said in ("endpont", "did you mean endpoint?", "compression cannot be 'zip'", "timeout", "tls.ca"):
        assert said in str(error.value)


def test_a_call_below_an_invalid_parent_counts():
    alone = Alone()
    alone.start("chat", call(), parent=trace.INVALID_SPAN).end()

    assert alone.metered == PRICE


def test_a_span_that_fails_leaves_the_others_of_its_batch_priced(monkeypatch):
    from spancost.processor.ends import read_span
    from spancost.processor.guard import set_strict

    def failing(name, *given, **more):
        if name == "broken":
            raise ZeroDivisionError
        return read_span(name, *given, **more)

    monkeypatch.setattr("spancost.processor.ends.read_span", failing)
    out = Copies()
    exporter = CostSpanExporter(out, private=True)
    set_strict(False)
    exporter.export(
        [ended(name, n, n + 1, call(), span=n + 1) for n, name in enumerate(("a", "broken", "c"))]
    )
    exporter.export([ended("broken", 1, 2, call(), span=2)])

    assert [name for name, _, _ in out.spans] == ["a", "broken", "c", "broken"]
    assert out.femto == total(exporter.meter, names.COST) == 2 * PRICE


def test_a_call_whose_marks_fail_in_the_processor_is_not_priced_again_by_the_exporter(monkeypatch):
    """It is counted already: a span without its cost is better than a call counted twice."""
    from spancost.processor.guard import set_strict

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("spancost.processor.ends.marks_of", fail)
    set_strict(False)
    processor, out = CostSpanProcessor(private=True), Copies()
    exporter = CostSpanExporter(out, private=True)
    exporter._known = processor._state
    processor._state.serve_exporters()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("c").start_span("chat", attributes=call()).end()

    assert total(processor.meter, names.COST) == PRICE
    assert len(out.spans) == 1


def test_a_span_that_ends_inside_an_export_waits_its_turn():
    """A finaliser may run while a batch is settled, on the same thread."""
    alone = Alone()

    def once_more(_):
        alone.exporter._state.settled.listeners = ()
        alone.chat(name="inside")

    alone.exporter.on_call(once_more)
    alone.chat(name="first")
    alone.chat(name="next")

    assert sorted(name for name, _, _ in alone.out.spans) == ["first", "inside", "next"]
    assert alone.metered == 3 * PRICE
