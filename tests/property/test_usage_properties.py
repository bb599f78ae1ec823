# SPDX-License-Identifier: Apache-2.0
"""What holds for every span: nothing raises, parts stay within wholes, and one thing said twice is one thing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spancost.calls.facts import read_span
from spancost.usage import Usage, read_usage
from spancost.usage.amounts import reported_cost
from spancost.usage.dialects import TABLE
from spancost.usage.keys import CLAUDE_CODE, FAMILIES, GEN_AI, OBJECTS, OPENINFERENCE, VERCEL
from spancost.usage.objects import counts_of_object, parse_object

KEYS = sorted(
    {key for family in (*FAMILIES, CLAUDE_CODE) for key in (*family.input, *family.output, *family.total)}
    | {key for family in (*FAMILIES, CLAUDE_CODE) for _, keys in family.details for key in keys}
)
OTHER_KEYS = [
    *OBJECTS,
    "usage",
    "response_data",
    "request_data",
    "llm.openai.usage",
    "llm.gemini.usageMetadata",
    "llm.a.b.usage",
    "ai.response.providerMetadata",
    "metadata.usage.cached_prompt_tokens",
    "metadata.usage.cached_creation_tokens",
    "hidden_params",
    "metadata",
    "gen_ai.operation.name",
    "gen_ai.agent.name",
    "gen_ai.provider.name",
    "gen_ai.system",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "llm.provider",
    "llm.model_name",
    "mlflow.llm.provider",
    "mlflow.message.format",
    "openinference.span.kind",
    "ai.operationId",
    "langfuse.observation.type",
    "langfuse.observation.model.parameters",
    "traceloop.span.kind",
    "graph.node.id",
    "model",
    "server.address",
    "service_tier",
    "gen_ai.usage.cost",
    "gen_ai.usage.cost.amount",
    "gen_ai.usage.cost.source",
    "gen_ai.usage.cost.currency",
]
OBJECT_KEYS = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cached_tokens",
        "input_tokens",
        "output_tokens",
        "input_tokens_details",
        "input_token_details",
        "output_token_details",
        "cache_creation",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "ephemeral_5m_input_tokens",
        "ephemeral_1h_input_tokens",
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "cachedContentTokenCount",
        "promptTokensDetails",
        "modality",
        "tokenCount",
        "inputTokens",
        "outputTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        "cacheDetails",
        "ttl",
        "billed_units",
        "input",
        "output",
        "total",
        "input_cache_read",
        "input_cache_creation",
        "output_reasoning",
        "input_audio",
        "input_priority",
        "input_flex",
        "reasoning_tokens",
        "audio_tokens",
        "inputTokenDetails",
        "cachedInputTokens",
        "cost",
        "is_byok",
        "cost_details",
        "total_cost",
        "usage",
        "cost_in_usd_ticks",
        "upstream_inference_cost",
        "citation_tokens",
        "openai",
        "anthropic",
    ]
)
SCOPES = st.sampled_from(sorted({row.scope.replace("*", "x") for row in TABLE} | {"", "some.new.scope"}))
VERSIONS = st.sampled_from(["", "0.1.11", "0.3b0", "2.13.0", "x", "1..2"])
COUNTS = st.integers(0, 10**7)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | COUNTS
    | st.floats()
    | st.text(max_size=12)
    | COUNTS.map(str)
    | st.sampled_from(
        ["None", "NaN", "claude-sonnet-4-6", "gemini-3", "grok-4", "openai", "provider", "chat", "USD"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(OBJECT_KEYS | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=12,
)
TEXTS = VALUES.map(json.dumps) | VALUES.map(repr) | VALUES.map(lambda found: json.dumps(json.dumps(found)))
ATTRIBUTES = st.dictionaries(
    st.sampled_from(KEYS) | st.sampled_from(OTHER_KEYS) | st.text(max_size=10), VALUES | TEXTS, max_size=12
)
COUNTED = st.dictionaries(st.sampled_from(KEYS), COUNTS, max_size=10)


def consistent(usage: Usage) -> None:
    """Check what a price relies on: no negative part, and the partition sums to the whole."""
    parts = usage.by_token_type()
    assert all(count >= 0 for count in parts.values())
    assert sum(parts.values()) == usage.input + usage.output
    assert usage.reasoning <= usage.output
    assert usage.cache_read + usage.cache_write <= usage.input


@given(ATTRIBUTES, SCOPES, VERSIONS)
def test_reading_never_raises_and_is_consistent(attributes: dict[str, Any], scope: str, version: str) -> None:
    """Whatever is on a span, reading it gives a usage that holds together, or none."""
    reading = read_usage(attributes, scope, version)
    if reading is not None:
        consistent(reading.usage)
        assert not (reading.bad_usage and reading.usage)
        assert reading.reported_usd is None or reading.reported_usd >= 0


@given(
    name=st.text(max_size=20) | st.sampled_from(["invoke_agent x", "call_llm", "chat m"]),
    attributes=ATTRIBUTES,
    scope=SCOPES,
    failed=st.booleans(),
)
def test_reading_a_whole_span_never_raises(
    name: str, attributes: dict[str, Any], scope: str, *, failed: bool
) -> None:
    """Kind, agent, provider, models, tier and reported cost are read from anything."""
    facts = read_span(name, attributes, scope, "", failed=failed)
    assert facts.agent is None or facts.agent.name.strip()
    assert facts.reported_usd is None or facts.reported_usd > 0


@given(VALUES, TEXTS)
def test_object_of_any_shape_is_read_or_is_none(found: Any, text: str) -> None:
    """Provider objects with missing, foreign and absurd values never raise."""
    for each in (found, parse_object(text)):
        if isinstance(each, dict):
            counts_of_object(each)
            reported_cost(each)


@given(st.text(max_size=60))
def test_any_text_is_an_object_or_none(text: str) -> None:
    """Text from outside is parsed, never run, and never raises."""
    assert parse_object(text) is None or isinstance(parse_object(text), dict)


@given(COUNTED, SCOPES, st.randoms())
def test_order_of_attributes_changes_nothing(attributes: dict[str, int], scope: str, random: Any) -> None:
    """A span's attributes have no order."""
    shuffled = list(attributes.items())
    random.shuffle(shuffled)
    assert read_usage(dict(shuffled), scope) == read_usage(attributes, scope)


@given(COUNTS, COUNTS, COUNTS, SCOPES)
def test_old_names_mean_what_new_names_mean(fresh: int, read: int, output: int, scope: str) -> None:
    """Renaming an attribute changes no price; only LiteLLM's old release has a meaning of its own."""
    if scope == "litellm":
        return
    new = {
        "gen_ai.usage.input_tokens": fresh + read,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.cache_read.input_tokens": read,
    }
    old = {
        "gen_ai.usage.prompt_tokens": fresh + read,
        "gen_ai.usage.completion_tokens": output,
        "gen_ai.usage.cache_read_input_tokens": read,
    }
    assert read_usage(new, scope) == read_usage(old, scope) == read_usage(new | old, scope)


@given(COUNTS, COUNTS, SCOPES)
def test_cache_writes_have_one_meaning_under_all_their_names(fresh: int, write: int, scope: str) -> None:
    """Semantic conventions renamed creation to write; both mean the same, and both at once too."""
    names = dict(GEN_AI.details)["cache_write"]
    base = {"gen_ai.usage.input_tokens": fresh + write, "gen_ai.usage.output_tokens": 1}
    readings = [read_usage(base | {name: write}, scope) for name in names]
    readings.append(read_usage(base | dict.fromkeys(names, write), scope))
    assert all(reading == readings[0] for reading in readings)


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.sampled_from(["", "pydantic-ai", "strands.telemetry.tracer"]),
)
def test_families_are_never_added(prompt: int, output: int, scope: str) -> None:
    """A span that says its usage in three vocabularies says it once."""
    attributes: dict[str, int] = {}
    for family in (GEN_AI, OPENINFERENCE, VERCEL):
        attributes |= {family.input[0]: prompt, family.output[0]: output}
    reading = read_usage(attributes, scope)
    assert reading is not None
    assert reading.usage == Usage(input=prompt, output=output)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), SCOPES)
def test_more_fresh_input_is_as_much_more_usage(fresh: int, more: int, output: int, scope: str) -> None:
    """Tokens that are neither cached nor reasoned count one by one, in every dialect."""
    one = read_usage({"gen_ai.usage.input_tokens": fresh, "gen_ai.usage.output_tokens": output}, scope)
    other = read_usage(
        {"gen_ai.usage.input_tokens": fresh + more, "gen_ai.usage.output_tokens": output}, scope
    )
    assert one is not None
    assert other is not None
    assert (other.usage.input - one.usage.input, other.usage.output) == (more, one.usage.output)
