# SPDX-License-Identifier: Apache-2.0
"""What an exporter gets: the cost of every call on its span, whatever stands where in the pipeline."""

from __future__ import annotations

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    SpanLimits,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, Sampler, SamplingResult

from spancost import CostSpanProcessor
from spancost.usage import Usage
from tests.kit import counts
from tests.live_kit import (
    AMOUNT,
    DUPLICATE_OF,
    HAS_ON_ENDING,
    PRICE,
    Copies,
    Live,
    StartAndEndOnly,
    chat_says,
)

needs_on_ending = pytest.mark.skipif(not HAS_ON_ENDING, reason="needs SDK 1.40")


def test_exporters_before_and_after_see_the_cost():
    live = Live()
    live.chat()

    for exporter in (live.before, live.after):
        said = exporter.named("chat")
        assert said[AMOUNT] == PRICE / 10**15
        assert said["gen_ai.usage.cost.currency"] == "USD"
        assert said["gen_ai.usage.cost.source"] == "local"
        assert "spancost.flags" not in said
        assert "spancost.unpriced" not in said
    assert live.metered == PRICE


@pytest.mark.parametrize("multi", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
@pytest.mark.parametrize("exporting", [SimpleSpanProcessor, BatchSpanProcessor])
def test_every_pipeline_of_the_sdk_exports_the_cost(multi, exporting):
    """Batches are copied on a thread of their own, and hooks may run on one, too."""
    processor, before, after = CostSpanProcessor(private=True), Copies(), Copies()
    provider = TracerProvider(active_span_processor=multi(), shutdown_on_exit=False)
    for each in (exporting(before), processor, exporting(after)):
        provider.add_span_processor(each)
    tracer = provider.get_tracer("client")
    with tracer.start_as_current_span("invoke_agent p", attributes={"gen_ai.operation.name": "invoke_agent"}):
        for _ in range(20):
            tracer.start_span("chat", attributes=chat_says() | counts((100, 10))).end()
    provider.force_flush()
    provider.shutdown()

    assert after.femto == 20 * PRICE
    assert before.femto == 20 * PRICE or not HAS_ON_ENDING


def test_the_same_processor_twice_counts_once():
    live = Live()
    live.provider.add_span_processor(live.processor)
    live.chat()

    assert live.metered == live.before.femto == PRICE
    assert live.counted == 1


def test_two_processors_of_one_engine_on_one_provider_count_once():
    live = Live()
    second = CostSpanProcessor(private=True)
    second._state = live.state
    live.provider.add_span_processor(second)
    live.chat()

    assert live.metered == live.before.femto == PRICE


def test_two_engines_on_one_provider_both_meter():
    """A test's private processor works in a program that is metered itself."""
    live = Live()
    second = CostSpanProcessor(private=True)
    live.provider.add_span_processor(second)
    with live.agent("planner"):
        live.chat()

    assert live.metered == PRICE
    assert Live.metered.fget(Live(processor=second)) == PRICE


def test_copies_of_a_call_cross_providers():
    """Two providers share the engine: the inner span is a copy of the outer one, in another provider."""
    live = Live()
    other = Live(processor=live.processor)
    with live.tracer("framework").start_as_current_span("outer", attributes=chat_says()) as outer:
        inner = other.chat(scope="client", name="inner")
        outer.set_attributes(counts((100, 10)))

    assert other.before.named("inner")[DUPLICATE_OF] == format(outer.context.span_id, "016x")
    assert AMOUNT not in other.before.named("inner")
    assert live.before.named("outer")[AMOUNT] == PRICE / 10**15
    assert live.metered == PRICE
    assert inner.context.trace_id == outer.context.trace_id


def test_a_wrapper_that_forwards_only_starts_and_ends_is_served():
    """What its `on_end` gets is a copy of the span, without anything we attached; exporters behind it see the cost."""
    inner = CostSpanProcessor(private=True)
    live = Live(processor=StartAndEndOnly(inner))
    with live.agent("planner"):
        live.chat()

    assert live.after.named("chat")[AMOUNT] == PRICE / 10**15
    assert live.after.named("chat")["gen_ai.agent.name"] == "planner"
    assert sum(copy.cost.total for copy in inner.meter._series.copies()) == PRICE


@needs_on_ending
def test_a_span_begun_before_the_processor_came_is_priced():
    live = Live(provider={})
    late = CostSpanProcessor(private=True)
    span = live.open_chat()
    live.provider.add_span_processor(late)
    span.set_attributes(counts((100, 10)))
    span.end()

    assert sum(copy.cost.total for copy in late.meter._series.copies()) == PRICE


def test_the_cost_evicts_no_attribute_and_is_not_evicted():
    live = Live(provider={"span_limits": SpanLimits(max_attributes=5)})
    live.chat()
    said = live.before.named("chat")

    assert said[AMOUNT] == PRICE / 10**15
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.usage.output_tokens"] == 10


def test_a_span_that_may_have_no_attributes_is_exported_as_it_is():
    live = Live(provider={"span_limits": SpanLimits(max_attributes=0)})
    live.chat()

    assert live.before.named("chat") == {}
    assert live.errors == {}


def test_names_and_attributes_set_late_count():
    live = Live()
    span = live.start("x", scope="client")
    span.set_attributes(chat_says() | counts((100, 10)))
    span.update_name("chat gpt-4o")
    span.end()

    assert live.before.named("chat gpt-4o")[AMOUNT] == PRICE / 10**15


def test_an_agent_named_and_renamed_while_its_span_is_open_names_later_calls():
    """The number of attributes stays the same: what was read once is read again when it changed."""
    live = Live()
    with live.span("work", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "first"}) as span:
        live.chat(name="one")
        span.set_attribute("gen_ai.agent.name", "second")
        live.chat(name="two", usage=(101, 10))

    assert live.before.named("one")["gen_ai.agent.name"] == "first"
    assert live.before.named("two")["gen_ai.agent.name"] == "second"


def test_a_call_that_ends_after_its_agent_still_has_its_name():
    live = Live()
    with live.agent("planner"):
        span = live.open_chat()
    span.set_attributes(counts((100, 10)))
    span.end()

    assert live.before.named("chat")["gen_ai.agent.name"] == "planner"
    assert live.agents == {"planner": 1}


def remote_parent():
    context = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1))
    return trace.NonRecordingSpan(context)


def test_nothing_is_inherited_across_a_remote_parent_but_baggage():
    live = Live()
    with live.agent("planner") as above:
        far = trace.NonRecordingSpan(
            trace.SpanContext(
                above.context.trace_id, above.context.span_id, is_remote=True, trace_flags=trace.TraceFlags(1)
            )
        )
        live.chat(name="silent", parent=far)
    context = baggage.set_baggage("gen_ai.agent.name", "caller", trace.set_span_in_context(remote_parent()))
    live.tracer().start_span("told", context=context, attributes=chat_says() | counts((101, 10))).end()

    assert "gen_ai.agent.name" not in live.before.named("silent")
    assert live.before.named("told")["gen_ai.agent.name"] == "caller"
    assert live.metered == live.before.femto


def test_the_resource_names_the_agent_where_nobody_else_does():
    live = Live(provider={"resource": Resource({"service.name": "bot", "gen_ai.main_agent.name": "bot"})})
    live.chat()
    with live.agent("planner"):
        live.chat(usage=(101, 10))

    assert live.agents == {"bot": 1, "planner": 1}


def test_a_default_agent_is_on_the_span_and_in_the_metrics():
    live = Live(default_agent="main")
    live.chat()

    assert live.before.named("chat")["gen_ai.agent.name"] == "main"
    assert live.agents == {"main": 1}
    assert live.calls[0].agent.name == "main"


def test_what_the_program_wrote_as_agent_stays():
    """A placeholder names nobody, but it is the program's."""
    live = Live()
    with live.agent("planner"):
        live.chat(gen_ai__agent__name="unknown")

    assert live.before.named("chat")["gen_ai.agent.name"] == "unknown"
    assert live.agents == {"planner": 1}


class RecordOnly(Sampler):
    def should_sample(self, *given, **_):
        return SamplingResult(Decision.RECORD_ONLY, given[4])

    def get_description(self):
        return "records and exports nothing"


def exemplars(live):
    return [mark for copy in live.meter._series.copies() for mark in copy.cost.marks.values()]


def test_a_sampled_call_is_the_exemplar_and_an_unsampled_one_is_counted_without():
    sampled, unsampled, dropped = (
        Live(),
        Live(provider={"sampler": RecordOnly()}),
        Live(provider={"sampler": ALWAYS_OFF}),
    )
    span = sampled.chat()
    unsampled.chat()
    dropped.chat()

    assert [mark[1][1] for mark in exemplars(sampled)] == [format(span.context.span_id, "016x")]
    assert exemplars(unsampled) == []
    assert unsampled.before.spans == []
    assert unsampled.metered == PRICE
    assert dropped.metered == 0


def test_an_unpriced_call_says_why_and_carries_no_amount():
    live = Live()
    span = live.open_chat(model="no-such-model")
    span.set_attributes(counts((100, 10)))
    span.end()
    said = live.before.named("chat")

    assert said["spancost.unpriced"] == "unknown_model"
    assert AMOUNT not in said
    assert (live.counted, live.metered) == (1, 0)


def test_a_failed_call_without_usage_carries_nothing_and_is_counted():
    live = Live()
    span = live.open_chat()
    span.set_status(trace.StatusCode.ERROR)
    span.set_attribute("error.type", "RateLimitError")
    span.end()
    said = live.before.named("chat")

    assert AMOUNT not in said
    assert "spancost.unpriced" not in said
    assert [c.own for copy in live.meter._series.copies() for c in copy.counts] == [("RateLimitError",)]


def test_a_failed_call_with_usage_is_billed_and_flagged():
    live = Live()
    span = live.open_chat()
    span.set_attributes(counts((100, 10)))
    span.set_status(trace.StatusCode.ERROR)
    span.end()

    assert live.before.named("chat")["spancost.flags"] == ("partial",)
    assert live.metered == live.before.femto == PRICE


def test_a_call_without_usage_is_counted_when_its_parent_ended():
    live = Live()
    with live.agent("planner"):
        live.chat(usage=())
        assert live.counted == 0
        assert live.meter.pending() == 1

    assert (live.counted, live.meter.pending()) == (1, 0)


def test_span_and_metric_are_what_the_price_book_says():
    live = Live()
    live.chat(usage=(1_234_567, 4_321, 1_000_000))
    cost = live.state.book.price(
        Usage(input=1_234_567, output=4_321, cache_read=1_000_000),
        provider="openai",
        model="gpt-4o",
        at=live.calls[0].start,
    )

    assert live.metered == live.before.femto == cost.femto


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_parent_named_by_its_ids_alone_is_found(earlier):
    """Some libraries carry a context on by hand, as ids in a span that records nothing."""
    live = Live()
    for _ in range(earlier):
        live.start("GET /").end()  # the pipeline is known by now
    with live.agent("boss") as boss:
        by_ids = trace.NonRecordingSpan(boss.get_span_context())
        for _ in range(2):
            live.chat(parent=by_ids)

    assert live.agents == {"boss": 2}
