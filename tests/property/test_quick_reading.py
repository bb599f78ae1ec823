# SPDX-License-Identifier: Apache-2.0
"""The quick reader says of every span exactly what the plain rules say, and remembers only so much."""

from __future__ import annotations

import json
import lzma
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spancost.calls import facts as quick
from spancost.calls import shapes
from spancost.calls.agents import agent_of
from spancost.calls.facts import NOTHING, examine, glance
from spancost.calls.kinds import classify
from spancost.otlp import read_spans
from spancost.usage import dialect_of
from spancost.usage.dialects import TABLE
from spancost.usage.identity import models_of
from tests.dialects import Row
from tests.oracle_reader import read_plain
from tests.unit import (
    test_dialects_agents,
    test_dialects_clients,
    test_dialects_platforms,
    test_dialects_traceloop,
)

CORPUS = Path(__file__).parents[1] / "data" / "corpus"
DIALECT_TESTS = (
    test_dialects_agents,
    test_dialects_clients,
    test_dialects_platforms,
    test_dialects_traceloop,
)
COUNTS = sorted(shapes.COUNTS)
KEYS = sorted(shapes.RELEVANT)
NEAR = [
    "gen_ai.usage.input_tokens_details",
    "gen_ai.usage.partial.input_tokens",
    "gen_ai.operation.name.raw",
    "ai.usage.inputTokenDetails.noCacheTokens",
    "gen_ai.usage.input_token",
    "gen_ai",
    "agent",
    "agentic",
    "llm.openai.usage",
    "llm.openai.model",
    "llm.openai.modelVersion",
    "llm.openai.id",
    "llm.gemini.responseId",
    "llm.x.y.id",
    "llm.x.y.usage",
    "llm.gemini.usageMetadata",
    "llm.openai.service_tier",
    "llm.input_messages.0.message.content",
    "http.request.method",
    "db.system",
    "",
]
SCOPES = sorted(
    {row.scope.replace("*", "x") for row in TABLE} | {"", "some.new.scope", "logfire.openai", "openrouter"}
)
NAMES = [
    *("chat gpt-5", "x", "call_llm", "claude_code.llm_request", "raw_gen_ai_request", "litellm_request"),
    *("invoke_agent planner", "agent_run [critic]", "agent run", "conversation 1", "running tool"),
    *("execute_tool search", "llm._prepare_chat_with_tools", "planner.run", "LangGraph"),
]
OBJECTS = [
    {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5},
    },
    {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 20},
    {"model": "gpt-5", "usage": {"input_tokens": 3, "output_tokens": 2}},
    {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2},
    {"lc_agent_name": "planner"},
    {
        "api_base": "https://openrouter.ai/api",
        "additional_headers": {"llm_provider-x-litellm-response-cost": 0.5},
    },
    {"openai": {"cachedPromptTokens": 3, "reasoningTokens": 1}},
    {"service_tier": "flex", "model": "claude-x"},
    {"completion_tokens_details": {"text_tokens": 1}},
]
WORDS = [
    *("chat", "embeddings", "invoke_agent", "execute_tool", "chain", "LLM", "CHAT_MODEL", "AGENT", "TOOL"),
    *("generation", "agent", "tool", "llm", "ai.streamText.doStream", "ai.toolCall", "usage", "log"),
    *(
        "openai",
        "anthropic",
        "aws.bedrock",
        "xai",
        "gcp.gemini",
        "cohere",
        "openrouter",
        "None",
        "",
        '"bedrock"',
    ),
    *("claude-sonnet-4-6", "gemini-3", "grok-4", "gpt-5", "us.anthropic.claude-x-v1:0", "command-r"),
    *("planner", "True", "true", "False", "provider", "USD", "EUR", "0.25", "12", "-3", "NaN", "responses"),
    *(
        "flex",
        "ValueError",
        "eu-west-1",
        "https://api.openai.com/v1",
        "<openai.Omit object>",
        "planner.Writer",
    ),
]
NUMBER = st.integers(0, 60) | st.sampled_from([-1, 2**53, 2**53 + 1, 2**60])
COUNT = (
    NUMBER | st.integers(0, 60) | NUMBER.map(float) | st.sampled_from([True, None, math.nan, "7", "x", 1.5])
)
TEXT = st.sampled_from(WORDS) | st.sampled_from(OBJECTS).map(json.dumps) | st.sampled_from(OBJECTS).map(repr)
VALUE = TEXT | TEXT | COUNT | st.lists(TEXT, max_size=2) | st.lists(COUNT, max_size=2).map(tuple)
ATTRIBUTES = st.builds(
    lambda *parts: {key: value for part in parts for key, value in part.items()},
    st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=6),
    st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 60), max_size=6),
    st.dictionaries(st.sampled_from(COUNTS), COUNT, max_size=2),
    st.dictionaries(st.sampled_from(NEAR) | st.text(max_size=5), VALUE, max_size=3),
    st.fixed_dictionaries({}, optional={"gen_ai.operation.name": TEXT, "gen_ai.request.model": TEXT}),
)


def agree(name: str, attributes: dict[str, Any], scope: str, version: str, *, failed: bool) -> None:
    """Read a span both ways, the quick one cold and warm."""
    plain = read_plain(name, attributes, scope, version, failed=failed)
    has_model = any(model is not None for model in models_of(attributes))
    classification = classify(name, attributes, scope, has_usage=False, has_model=has_model)
    agent = agent_of(name, attributes, scope, classification.kind)
    for _ in range(2):
        seen = glance(name, attributes, scope, version)
        assert seen == (classification, agent, dialect_of(attributes, scope, version))
        facts, dialect = examine(name, attributes, scope, version, failed=failed)
        assert facts == plain
        assert (facts is NOTHING) == (plain is NOTHING)
        assert dialect is (None if plain is NOTHING else dialect_of(attributes, scope, version))


@given(
    name=st.sampled_from(NAMES),
    attributes=ATTRIBUTES,
    scope=st.sampled_from(SCOPES),
    version=st.sampled_from(["", "0.3b0", "9.1"]),
    failed=st.booleans(),
)
def test_any_span_reads_the_same_both_ways(
    name: str, attributes: dict[str, Any], scope: str, version: str, *, failed: bool
) -> None:
    """Whatever is on a span, and whatever spans were read before it."""
    agree(name, attributes, scope, version, failed=failed)


@example(
    {"error.type": "chat", "gen_ai.request.model": "gpt-5"}, "opentelemetry.instrumentation.openai.v1", {}
)
@given(ATTRIBUTES, st.sampled_from(SCOPES), st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=6))
def test_a_span_with_the_same_keys_and_other_values_is_read_by_its_own(
    attributes: dict[str, Any], scope: str, others: dict[str, Any]
) -> None:
    """What is remembered of one span says nothing false of the next with the same keys."""
    agree("x", attributes, scope, "", failed=False)
    agree("x", {key: others.get(key, value) for key, value in attributes.items()}, scope, "", failed=False)


@pytest.mark.parametrize("one", [1, 1.0, True, "1"])
@pytest.mark.parametrize("other", [1, 1.0, True, "1"])
def test_values_that_are_equal_and_not_the_same_are_told_apart(one: object, other: object) -> None:
    """True, 1 and 1.0 are one key of a dictionary, and say different things."""
    for value in (one, other):
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.stream": value, "model": value}
        agree("chat", attributes, "", "", failed=False)


class Asked(dict[str, Any]):
    """Attributes that note which keys are asked for."""

    keys_asked: ClassVar[set[object]] = set()

    def get(self, key: object, default: Any = None) -> Any:
        self.keys_asked.add(key)
        return super().get(key, default)  # type: ignore[arg-type]

    def __contains__(self, key: object) -> bool:
        self.keys_asked.add(key)
        return super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        self.keys_asked.add(key)
        return super().__getitem__(key)


@given(st.sampled_from(NAMES), ATTRIBUTES, st.sampled_from(SCOPES))
def test_the_rules_ask_for_no_key_that_the_quick_reader_overlooks(
    name: str, attributes: dict[str, Any], scope: str
) -> None:
    """Who adds a key to a rule adds it to the table of relevant keys."""
    read_plain(name, Asked(attributes), scope, "", failed=True)
    assert not Asked.keys_asked - shapes.RELEVANT


@pytest.mark.parametrize("family", ["clients", "agents"])
def test_every_recorded_span_reads_the_same_both_ways(family: str, tmp_path: Path) -> None:
    """Over all spans of the packed corpus, forwards and then once more with everything remembered."""
    path = tmp_path / "spans.jsonl"
    with lzma.open(CORPUS / f"{family}.jsonl.xz", "rt", encoding="utf-8") as runs, path.open("w") as out:
        out.writelines(json.dumps(request) + "\n" for run in runs for request in json.loads(run)["spans"])
    spans = list(read_spans([path]))
    assert len(spans) > 1000
    for span in spans:
        agree(span.name, span.attributes, span.scope_name, span.scope_version, failed=span.failed)


def dialect_rows() -> list[Row]:
    """Return the cases of the dialect tests."""
    tables = [value for module in DIALECT_TESTS for value in vars(module).values() if isinstance(value, list)]
    found = [getattr(case, "values", [None])[0] for table in tables for case in table]
    return [row for row in found if isinstance(row, Row)]


def test_every_measured_dialect_reads_the_same_both_ways() -> None:
    """Rows that no recorded run shows are among them."""
    rows = dialect_rows()
    assert len(rows) > 100
    for row in rows:
        agree("chat", row.attributes, row.scope, row.version, failed=False)


def test_what_is_remembered_is_bounded() -> None:
    """Neither new keys, nor new values, nor long ones grow memory, and what comes after reads the same."""
    for number in range(shapes.MAX_SHAPES + quick.MAX_PROFILES + 10):
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": f"m{number}", f"k{number}": 1}
        examine(f"chat {number}", attributes, "scope", "", failed=False)
        assert len(shapes._by_all_keys) <= shapes.MAX_SHAPES
        assert len(shapes._by_our_keys) <= shapes.MAX_SHAPES
        assert len(quick._profiles) <= quick.MAX_PROFILES
    before = len(shapes._by_all_keys), len(quick._profiles)
    for length in range(20):
        long = "x" * (10**5 + length)
        agree(
            "chat", {"gen_ai.request.model": long, "gen_ai.operation.name": "chat"}, "scope", "", failed=False
        )
        agree(long, {"gen_ai.operation.name": "chat"}, "scope", "", failed=False)
        agree("chat", {"gen_ai.operation.name": "chat", long: 1}, "scope", "", failed=False)
    assert len(shapes._by_all_keys) <= before[0] + 2
    assert len(quick._profiles) <= before[1] + 1
