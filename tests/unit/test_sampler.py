# SPDX-License-Identifier: Apache-2.0
"""A sampler around another: what stays recorded, with what, and how it is named in variables and YAML."""

from __future__ import annotations

import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import TraceState

import spancost
from spancost import CostSampler
from spancost.processor import advice
from spancost.processor.advice import sampled_away, warn_of_sampler
from spancost.sampler.named import sampler_of_environment, sampler_of_yaml
from tests.live_kit import agent_says, chat_says


def decision(sampler, name="x", attributes=None, context=None):
    return sampler.should_sample(context, 1, name, attributes=attributes).decision


def test_what_the_root_keeps_stays_as_it_is():
    result = CostSampler(ALWAYS_ON).should_sample(None, 1, "x", attributes={"a": 1})

    assert result.decision is Decision.RECORD_AND_SAMPLE
    assert result.attributes == {"a": 1}


def test_what_the_root_drops_is_recorded_with_its_attributes():
    """The SDK's samplers leave the attributes out of what they drop, and nobody sets them again."""
    result = CostSampler(ALWAYS_OFF).should_sample(None, 1, "chat", attributes=chat_says())

    assert result.decision is Decision.RECORD_ONLY
    assert result.attributes == chat_says()


def test_the_trace_state_of_the_root_is_kept():
    class Stating(Sampler):
        def should_sample(self, *_, **__):
            return SamplingResult(Decision.DROP, None, TraceState([("ot", "th:8")]))

        def get_description(self):
            return "Stating"

    assert CostSampler(Stating()).should_sample(None, 1, "x").trace_state["ot"] == "th:8"


@pytest.mark.parametrize(
    ("name", "attributes", "kept"),
    [
        ("POST", None, set()),
        ("POST", {"http.method": "POST"}, set()),
        ("chat gpt-4o", None, {"genai", "subtree"}),
        ("x", chat_says(), {"genai", "subtree"}),
        ("x", agent_says("p"), {"genai", "subtree"}),
        ("x", {"openinference.span.kind": "LLM"}, {"genai", "subtree"}),
        ("x", {"gen_ai.system": "openai"}, {"genai", "subtree"}),
        ("x", {"traceloop.span.kind": "agent"}, {"genai", "subtree"}),
    ],
)
@pytest.mark.parametrize("mode", ["all", "subtree", "genai"])
def test_a_mode_keeps_what_it_says(mode, name, attributes, kept):
    wanted = Decision.RECORD_ONLY if mode == "all" or mode in kept else Decision.DROP

    assert decision(CostSampler(ALWAYS_OFF, mode), name, attributes) is wanted


@pytest.mark.parametrize(("mode", "kept"), [("all", 3), ("subtree", 3), ("genai", 1)])
def test_what_is_below_a_genai_span_is_kept_by_all_and_subtree(mode, kept):
    provider = TracerProvider(sampler=CostSampler(DEFAULT_OFF, mode), shutdown_on_exit=False)
    tracer, recorded = provider.get_tracer("x"), []
    with (
        tracer.start_as_current_span("invoke_agent p", attributes=agent_says("p")) as one,
        tracer.start_as_current_span("POST") as two,
        tracer.start_as_current_span("work") as three,
    ):
        recorded = [span.is_recording() for span in (one, two, three)]

    assert sum(recorded) == kept


def test_subtree_keeps_what_is_in_an_agent_block():
    sampler = CostSampler(ALWAYS_OFF, "subtree")
    outside = decision(sampler)
    with spancost.agent("planner"):
        inside = decision(sampler)

    assert (outside, inside) == (Decision.DROP, Decision.RECORD_ONLY)


def test_children_of_a_recorded_span_are_not_exported():
    """A sampled flag would reach other services."""
    provider = TracerProvider(sampler=CostSampler(ParentBased(ALWAYS_OFF)), shutdown_on_exit=False)
    tracer = provider.get_tracer("x")
    with tracer.start_as_current_span("a") as above, tracer.start_as_current_span("b") as below:
        flags = [span.get_span_context().trace_flags.sampled for span in (above, below)]

    assert above.is_recording() is False  # ended
    assert flags == [False, False]


def test_a_disabled_sampler_is_its_root(monkeypatch):
    monkeypatch.setenv("SPANCOST_DISABLED", "true")

    assert decision(CostSampler(ALWAYS_OFF)) is Decision.DROP


@pytest.mark.parametrize("wrong", [None, 0.1, "always_on", TraceIdRatioBased])
def test_what_is_no_sampler_is_refused(wrong):
    with pytest.raises(TypeError, match="wraps a sampler"):
        CostSampler(wrong)


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(ValueError, match="all, subtree, genai, not 'some'"):
        CostSampler(ALWAYS_ON, "some")


# --- by name -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (None, f"CostSampler{{{DEFAULT_ON.get_description()},mode=all}}"),
        ("", f"CostSampler{{{DEFAULT_ON.get_description()},mode=all}}"),
        ("always_off", "CostSampler{AlwaysOffSampler,mode=all}"),
        ("traceidratio,0.1", "CostSampler{TraceIdRatioBased{0.1},mode=all}"),
        ("traceidratio, 0.1 , mode=genai", "CostSampler{TraceIdRatioBased{0.1},mode=genai}"),
        ("mode=subtree,traceidratio,1", "CostSampler{TraceIdRatioBased{1.0},mode=subtree}"),
        (
            "parentbased_traceidratio,0.1,mode=all",
            f"CostSampler{{{ParentBased(TraceIdRatioBased(0.1)).get_description()},mode=all}}",
        ),
    ],
)
def test_the_argument_names_any_sampler_and_a_mode(text, description):
    assert sampler_of_environment(text).get_description() == description


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("traceidratoi,0.1", "did you mean traceidratio?"),
        ("spancost", "there is no sampler 'spancost'"),
        ("traceidratio,1.1", "a ratio is a number from 0 to 1, not '1.1'"),
        ("traceidratio,x,mode=some", "mode is one of all, subtree, genai, not 'some'"),
        ("traceidratio,x,mode=some", "a ratio is a number"),
    ],
)
def test_a_wrong_argument_is_named_with_its_variable(text, said):
    with pytest.raises(ValueError, match=r"OTEL_TRACES_SAMPLER_ARG=") as error:
        sampler_of_environment(text)

    assert said in str(error.value)


def test_yaml_has_its_argument_in_a_variable(monkeypatch):
    monkeypatch.setenv("SPANCOST_SAMPLER", "traceidratio,0.25,mode=genai")

    assert sampler_of_yaml().get_description() == "CostSampler{TraceIdRatioBased{0.25},mode=genai}"


# --- the warning without it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sampler", [ALWAYS_ON, DEFAULT_ON, TraceIdRatioBased(1.0), CostSampler(ALWAYS_OFF, "genai"), None]
)
def test_a_sampler_that_drops_nothing_of_this_process_is_no_matter(sampler):
    assert sampled_away(sampler) == ""


@pytest.mark.parametrize(
    "sampler",
    [
        ALWAYS_OFF,
        DEFAULT_OFF,
        TraceIdRatioBased(0.5),
        ParentBased(TraceIdRatioBased(0.999)),
    ],
)
def test_a_sampler_that_drops_is_known(sampler):
    assert sampled_away(sampler) == sampler.get_description()


def test_it_is_said_once(caplog):
    advice._said.clear()
    for ratio in (0.1, 0.2):
        warn_of_sampler(TraceIdRatioBased(ratio))

    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    assert "OTEL_TRACES_SAMPLER=spancost" in caplog.text


def test_an_unsampled_remote_parent_is_recorded_all_the_same():
    flags = trace.TraceFlags(0)
    remote = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True, trace_flags=flags))
    context = trace.set_span_in_context(remote)

    assert decision(CostSampler(DEFAULT_ON), context=context) is Decision.RECORD_ONLY
