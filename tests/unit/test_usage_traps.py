# SPDX-License-Identifier: Apache-2.0
"""Values that are not what they seem, and numbers that look like usage and are none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from spancost.usage import Usage, read_usage
from spancost.usage.counts import count, is_bad_count
from spancost.usage.identity import models_of, providers_of, tier_of

IN, OUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHE_READ = "gen_ai.usage.cache_read.input_tokens"


@pytest.mark.parametrize("value", [1200, 1200.0, "1200", " 1200 ", '"1200"', "1200.0", "1.2e3"])
def test_count_is_read_from_every_spelling(value: object) -> None:
    """Integers, whole doubles and numeric text, quoted or not, are the same count."""
    assert count(value) == 1200


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "None",
        "null",
        "NaN",
        "NOT_GIVEN",
        "<openai.Omit object at 0x7f>",
        "twelve",
        "١٢",
        True,
        False,
        [1],
        {"a": 1},
        b"12",
        "9" * 40,
    ],
)
def test_value_that_says_nothing_is_no_count(value: object) -> None:
    """Nothing, text, truth values and collections are no counts, and are no claims of a number either."""
    assert count(value) is None
    assert not is_bad_count(value)


@pytest.mark.parametrize(
    "value", [-1, -1.0, "-1", 1.5, math.nan, math.inf, -math.inf, 2**53 + 1, 2.0**60, 10**30, "1e300"]
)
def test_number_that_can_be_no_count_is_bad(value: object) -> None:
    """Negatives, fractions, NaN, infinities and numbers above 2**53 claim to be counts and are none."""
    assert count(value) is None
    assert is_bad_count(value)


@pytest.mark.parametrize("value", [-1, math.nan, 2**53 + 1, "-7"])
def test_only_total_that_cannot_be_leaves_the_call_unpriced(value: object) -> None:
    """A span whose only total is impossible has bad usage, which is never a zero."""
    reading = read_usage({IN: value})
    assert reading is not None
    assert (reading.bad_usage, reading.flags, bool(reading.usage)) == (True, ("suspect",), False)


@pytest.mark.parametrize("key", [IN, CACHE_READ, "gen_ai.usage.reasoning.output_tokens"])
@pytest.mark.parametrize("value", [-1, math.nan, 2**53 + 1])
def test_impossible_count_beside_good_ones_is_ignored_and_flagged(key: str, value: object) -> None:
    """What is left is read, and the flag says that a number was dropped."""
    reading = read_usage({IN: 1000, OUT: 50} | {key: value})
    assert reading is not None
    assert (reading.usage.output, reading.bad_usage, reading.flags) == (50, False, ("suspect",))
    assert reading.usage.input == (0 if key == IN else 1000)


def test_counts_whose_sum_is_too_large_leave_the_call_unpriced() -> None:
    """Two counts near the limit do not overflow into a price."""
    attributes = {IN: 2**53, CACHE_READ: 2**53, OUT: 1}
    reading = read_usage(attributes, "opentelemetry.instrumentation.genai.bedrock")
    assert reading is not None
    assert reading.bad_usage


def test_empty_any_value_says_nothing() -> None:
    """LiteLLM's metadata attributes are often empty; they hide no count beside them."""
    attributes = {
        IN: None,
        "gen_ai.usage.prompt_tokens": 1000,
        OUT: 50,
        CACHE_READ: None,
        "metadata.usage_object": None,
    }
    reading = read_usage(attributes, "litellm")
    assert reading is not None
    assert reading.usage == Usage(input=1000, output=50)


def test_zero_loses_against_a_number_under_another_name() -> None:
    """A library that writes 0 in one name and the count in another knows the count."""
    reading = read_usage(
        {IN: 0, "gen_ai.usage.prompt_tokens": 1000, OUT: 0, "gen_ai.usage.completion_tokens": 5}
    )
    assert reading is not None
    assert (reading.usage.input, reading.usage.output) == (1000, 5)


CHAT = {"gen_ai.operation.name": "chat", IN: 24, OUT: 9}
STREAMED_BY_LITELLM = CHAT | {"gen_ai.system": "openai", "llm.is_streaming": True}
OPENAIS = {"text_tokens": None, "accepted_prediction_tokens": 0, "reasoning_tokens": 192}
LITELLMS = {"text_tokens": 5, "accepted_prediction_tokens": None, "reasoning_tokens": 0}


def litellm(details: dict[str, int | None]) -> dict[str, str]:
    """Return LiteLLM's usage object, as Python text."""
    return {"metadata.usage_object": repr({"completion_tokens": 5, "completion_tokens_details": details})}


@pytest.mark.parametrize(
    ("scope", "attributes", "estimated"),
    [
        ("openlit.instrumentation.openai", CHAT | {"gen_ai.request.stream": True}, True),
        ("openlit.instrumentation.openai", CHAT | {"gen_ai.request.stream": True, CACHE_READ: 0}, False),
        ("openlit.instrumentation.openai", CHAT | {"gen_ai.request.stream": False}, False),
        ("openlit.instrumentation.groq", CHAT | {"gen_ai.request.stream": True}, False),
        ("litellm", STREAMED_BY_LITELLM | litellm(LITELLMS), True),
        ("litellm", STREAMED_BY_LITELLM | {"llm.is_streaming": "True"} | litellm(LITELLMS), True),
        ("litellm", STREAMED_BY_LITELLM | litellm(OPENAIS), False),
        ("litellm", STREAMED_BY_LITELLM | {"llm.is_streaming": False} | litellm(LITELLMS), False),
        ("litellm", STREAMED_BY_LITELLM | {"gen_ai.system": "anthropic"} | litellm(LITELLMS), False),
        ("litellm", STREAMED_BY_LITELLM, False),
    ],
)
def test_usage_that_a_library_made_up_is_flagged(
    scope: str, attributes: dict[str, Any], *, estimated: bool
) -> None:
    """A stream without usage is estimated by two libraries; what a real answer has beside it tells."""
    reading = read_usage(attributes, scope)
    assert reading is not None
    assert ("estimated" in reading.flags) is estimated


NO_USAGE = [
    {"gen_ai.client.token.usage": 100},
    {"gen_ai.streaming.token_count": 17},
    {"anthropic.message.count_tokens.input_tokens": 900},
    {"mistral_ai.request.total_tokens": 100},
    {"llm.token_count.total": 100},
    {"gen_ai.usage.total_tokens": 100},
    {"llm.usage.total_tokens": 100},
    {"logfire.metrics": '{"gen_ai.client.token.usage": {"details": [{"total": 100}], "total": 100}}'},
    {"gen_ai.aggregated_usage.input_tokens": 100, "gen_ai.aggregated_usage.output_tokens": 5},
    {"gen_ai.usage.partial.input_tokens": 275, "gen_ai.usage.partial.output_tokens": 1},
    {"gen_ai.usage.details.reasoning_tokens": 64, "operation.cost": 0.0},
    {"gen_ai.usage.cost": 0.01},
    {"crewai.crew.token_usage": "total_tokens=100 prompt_tokens=90 completion_tokens=10"},
    {"input_tokens": 100, "output_tokens": 5},
    {"metadata.usage.prompt_tokens": "242", "metadata.usage.completion_tokens": "48"},
    {"usage": '{"input_tokens": 100, "output_tokens": 5}'},
    {"gen_ai.request.max_tokens": 1024.0},
]


@pytest.mark.parametrize("attributes", NO_USAGE, ids=lambda found: next(iter(found)))
def test_number_that_looks_like_usage_is_none(attributes: dict[str, Any]) -> None:
    """Metrics, totals, roll-ups, chunks and first events are not the usage of a call."""
    assert read_usage(attributes, "some.scope") is None


@pytest.mark.parametrize(
    "value",
    ["None", "", "<openai.Omit object at 0x7f>", '"<openai.Omit object at 0x7f>"', "NOT_GIVEN", None, 3],
)
def test_tier_that_nobody_asked_for_is_none(value: object) -> None:
    """What libraries write for an argument that was not given is no tier."""
    assert tier_of({"openai.request.service_tier": value, "service_tier": value}) is None


TIERS = [
    ({"openai.response.service_tier": "default", "openai.request.service_tier": "priority"}, "default"),
    ({"gen_ai.openai.response.service_tier": "flex"}, "flex"),
    ({"gen_ai.openai.request.service_tier": "flex"}, "flex"),
    ({"anthropic.response.service_tier": "priority"}, "priority"),
    ({"gen_ai.cost.service_tier": "priority"}, "priority"),
    ({"service_tier": '"flex"', "mlflow.spanType": '"CHAT_MODEL"'}, "flex"),
    ({"langfuse.observation.model.parameters": '{"temperature": 1, "service_tier": "flex"}'}, "flex"),
    ({"langfuse.observation.model.parameters": '{"temperature": 1, "max_tokens": "Infinity"}'}, None),
]


@pytest.mark.parametrize(("attributes", "tier"), TIERS)
def test_tier_is_the_one_served_wherever_it_stands(attributes: dict[str, Any], tier: str | None) -> None:
    """The tier that was served beats the one that was asked for."""
    assert tier_of(attributes) == tier


def test_mlflow_names_are_unquoted() -> None:
    """MLflow quotes each of its strings once more."""
    attributes = {"mlflow.llm.provider": '"anthropic"', "mlflow.llm.model": '"claude-sonnet-4-6"'}
    assert providers_of(attributes) == ("anthropic",)
    assert models_of(attributes) == ("claude-sonnet-4-6", None)


@pytest.mark.parametrize(
    ("provider", "model", "bedrock"),
    [
        ("anthropic", "anthropic.claude-3-5-sonnet-20240620-v1:0", True),
        ("anthropic", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("Anthropic", "eu.anthropic.claude-sonnet-4-6", True),
        ("amazon", "amazon.nova-pro-v1:0", True),
        ("openai", "openai.gpt-oss-120b-1:0", True),
        ("anthropic", "claude-sonnet-4-6", False),
        ("openai", "gpt-5.6", False),
        ("openrouter", "anthropic/claude-sonnet-4.6", False),
        ("openai", None, False),
    ],
)
def test_model_named_after_its_maker_was_sold_by_bedrock(
    provider: str, model: str | None, *, bedrock: bool
) -> None:
    """Langtrace, and clients of Anthropic that talk to Bedrock, name the maker where the seller belongs."""
    found = providers_of({"gen_ai.system": provider, "gen_ai.request.model": model})
    assert found == (("aws.bedrock", provider) if bedrock else (provider,))


MODELS = [
    ({"gen_ai.request.model": "gpt-5.6", "gen_ai.response.model": "gpt-5.6-sol"}, ("gpt-5.6-sol", "gpt-5.6")),
    (
        {"llm.request.model_name": "claude-x", "llm.response.model_name": "claude-x-1"},
        ("claude-x-1", "claude-x"),
    ),
    (
        {"llm.model_name": "gpt-5.6-sol", "llm.invocation_parameters": '{"model": "gpt-5.6"}'},
        ("gpt-5.6-sol", "gpt-5.6"),
    ),
    ({"llm.model_name": "m", "llm.invocation_parameters": '{"temperature": 1}'}, ("m", None)),
    (
        {"llm.model_name": "m", "llm.invocation_parameters": '{"model": "x", "tools": "' + "t" * 9999 + '"}'},
        ("m", None),
    ),
    ({"ai.model.id": "gpt-5.6", "ai.response.model": "gpt-5.6-sol"}, ("gpt-5.6-sol", "gpt-5.6")),
    ({"embedding.model_name": "text-embedding-3-small"}, ("text-embedding-3-small", None)),
    ({"langfuse.observation.model.name": "gpt-5.6-sol"}, ("gpt-5.6-sol", None)),
    ({"request_data": '{"model": "gpt-4o"}'}, (None, "gpt-4o")),
    ({"llm.openai.model": "gpt-5-mini", "llm.openai.id": "x"}, ("gpt-5-mini", None)),
    ({"llm.gemini.modelVersion": "gemini-3-flash"}, ("gemini-3-flash", None)),
    ({"model": "claude-sonnet-4-5"}, ("claude-sonnet-4-5", None)),
    ({"langsmith.metadata.ls_model_name": "gpt-5-mini"}, (None, "gpt-5-mini")),
    ({"gen_ai.response.model": "None", "gen_ai.request.model": ""}, (None, None)),
]


@pytest.mark.parametrize(("attributes", "expected"), MODELS)
def test_models_are_found_in_every_vocabulary(
    attributes: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    """The model that answered, and the one that was asked for, wherever a library writes them."""
    assert models_of(attributes) == expected
