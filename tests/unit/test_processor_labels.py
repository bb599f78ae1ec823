# SPDX-License-Identifier: Apache-2.0
"""Extra metric labels: which there are, and where their values are found."""

from __future__ import annotations

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from spancost import CostSpanProcessor, agent
from spancost._env import LABELS
from spancost.meter.bounds import MAX_VALUE_CHARS
from spancost.processor.labels import labels_from_text, read_labels
from tests.meter_kit import by_label

SAYS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
}
WHERE = {"deployment.environment.name": "prod", "replicas": 3}


def shown(label, spec, *, attributes=None, carried=None, block=None):
    """The value that a call gets for a label."""
    processor = CostSpanProcessor(private=True, labels=spec)
    provider = TracerProvider(resource=Resource(WHERE))
    provider.add_span_processor(processor)
    context = otel_context.get_current()
    for key, value in (carried or {}).items():
        context = baggage.set_baggage(key, value, context)
    token = otel_context.attach(context)
    try:
        if block is None:
            provider.get_tracer("t").start_span("chat", attributes=SAYS | (attributes or {})).end()
        else:
            with agent("planner", **block):
                provider.get_tracer("t").start_span("chat", attributes=SAYS | (attributes or {})).end()
    finally:
        otel_context.detach(token)
    processor.force_flush()
    (value,) = by_label(processor.meter, "gen_ai_calls_total", label)
    return value


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (["team"], "from the block"),
        ({"team": "agent"}, "from the block"),
        ({"team": "agent:squad"}, "another name"),
        ({"team": "baggage:tenant.id"}, "from baggage"),
        ({"team": "span:app.feature"}, "from the span"),
        ({"team": "resource:deployment.environment.name"}, "prod"),
        ({"team": "resource:replicas"}, "3"),
        ({"team": "span:app.beta"}, "true"),
        ({"team": "span:app.list"}, ""),
        ({"team": ["span:app.nothing", "baggage:nothing", "resource:replicas", "agent"]}, "3"),
        ({"team": ["agent", "span:app.feature"]}, "from the block"),
        ({"team": ["span:app.feature", "agent"]}, "from the span"),
        ({"team": "span:nothing"}, ""),
    ],
)
def test_the_first_source_that_has_a_value_gives_it(spec, value):
    assert value == shown(
        "team",
        spec,
        attributes={"app.feature": "from the span", "app.beta": True, "app.list": ["a"]},
        carried={"tenant.id": "from baggage"},
        block={"team": "from the block", "squad": "another name"},
    )


def test_a_name_alone_is_asked_of_the_block_and_then_of_baggage():
    carried = {"spancost.label.team": "from baggage"}

    assert shown("team", ["team"], carried=carried, block={"team": "mine"}) == "mine"
    assert shown("team", ["team"], carried=carried) == "from baggage"


def test_what_a_span_says_only_at_its_end_counts():
    processor = CostSpanProcessor(private=True, labels={"feature": "span:app.feature"})
    provider = TracerProvider()
    provider.add_span_processor(processor)
    span = provider.get_tracer("t").start_span("chat", attributes=SAYS)
    span.set_attribute("app.feature", "search")
    span.end()

    assert by_label(processor.meter, "gen_ai_calls_total", "feature") == {"search": 1}


def test_a_value_from_outside_is_cut():
    assert shown("tenant", {"tenant": "baggage:t"}, carried={"t": "x" * 10_000}) == "x" * MAX_VALUE_CHARS


def test_the_environment_names_labels_and_their_sources(monkeypatch):
    monkeypatch.setenv(LABELS, "team, env=resource:deployment.environment.name|span:env")

    assert shown("env", None) == "prod"
    assert repr(labels_from_text("team,tenant=baggage:tenant.id|agent")) == (
        "{'team': ['agent:team', 'baggage:spancost.label.team'], 'tenant': ['baggage:tenant.id', 'agent:tenant']}"
    )
    assert not labels_from_text("")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"team": "agnet"}, "label 'team' has the source 'agnet', which is none; did you mean 'agent'?"),
        (
            {"team": "x"},
            "label 'team' has the source 'x', which is none: one of agent, baggage, span, resource",
        ),
        ({"team": "span"}, "label 'team' has the source 'span', which does not say of which span key"),
        ({"team": []}, "label 'team' has no source"),
        (
            {"le": "agent", "a b": "spam:x"},
            "'a b' is no label name; 'le' is taken; label 'a b' has the source",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_all_problems(spec, problem):
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        read_labels(spec)


def test_problems_in_the_environment_name_its_variable():
    with pytest.raises(ValueError, match="SPANCOST_LABELS: 'team' comes twice; label 'x' has the source 'y'"):
        labels_from_text("team,team,x=y")
