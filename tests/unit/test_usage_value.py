# SPDX-License-Identifier: Apache-2.0
"""The value of a call's usage: what it refuses, and its partition by token type."""

from __future__ import annotations

from typing import Any

import pytest

from spancost.errors import UsageError
from spancost.usage import Usage, read_usage


@pytest.mark.parametrize("value", [-1, 2**53 + 1, 1.0, "1", None, True])
def test_field_that_is_no_count_is_refused_by_name(value: Any) -> None:
    """A count is an integer from 0 to 2**53, and nothing that merely looks like one."""
    with pytest.raises(UsageError, match=r"cache_read must be an integer from 0 to 2\*\*53"):
        Usage(cache_read=value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"input": 10, "cache_read": 6, "cache_write": 5},
            r"cache_read \+ cache_write \(11\) is above input \(10\)",
        ),
        ({"output": 10, "reasoning": 11}, r"reasoning \(11\) is above output \(10\)"),
        (
            {"input": 9, "cache_write": 2, "cache_write_1h": 3},
            r"cache_write_1h \(3\) is above cache_write \(2\)",
        ),
        (
            {"input": 9, "input_audio": 5, "input_image": 5},
            r"input_audio \+ input_image \(10\) is above input \(9\)",
        ),
        (
            {"output": 9, "output_audio": 5, "output_image": 5},
            r"output_audio \+ output_image \(10\) is above",
        ),
        (
            {"input": 9, "input_audio": 9, "cache_read_audio": 1},
            r"cache_read_audio \(1\) is above cache_read \(0\)",
        ),
    ],
)
def test_part_above_its_whole_is_refused_with_both_numbers(fields: dict[str, int], message: str) -> None:
    """Parts are inside their wholes, always."""
    with pytest.raises(UsageError, match=message):
        Usage(**fields)


def test_all_problems_are_told_at_once() -> None:
    """Whoever builds a usage by hand fixes it in one go."""
    with pytest.raises(UsageError, match=r"input must be .*; output must be "):
        Usage(input=-1, output=-2)


def test_token_types_are_a_partition() -> None:
    """Every token is of one type, and reasoning is inside the output."""
    usage = Usage(
        input=1000,
        cache_read=300,
        cache_write=200,
        cache_write_1h=50,
        output=400,
        reasoning=100,
        input_audio=120,
        cache_read_audio=20,
        output_audio=30,
        input_image=40,
        output_image=10,
    )
    parts = usage.by_token_type()
    assert parts == {
        "input": 360,
        "cache_read": 300,
        "cache_write": 150,
        "cache_write_1h": 50,
        "output": 360,
        "input_audio": 100,
        "output_audio": 30,
        "input_image": 40,
        "output_image": 10,
    }
    assert sum(parts.values()) == usage.input + usage.output


def test_cached_parts_stay_whole_where_modalities_overlap_them() -> None:
    """Audio that nobody says was cached gets what the cache leaves."""
    parts = Usage(input=100, cache_read=80, input_audio=60, input_image=30).by_token_type()
    assert (parts["input"], parts["cache_read"], parts["input_audio"], parts["input_image"]) == (0, 80, 20, 0)


@pytest.mark.parametrize(
    ("usage", "used"), [(Usage(), False), (Usage(input=1), True), (Usage(output=1), True)]
)
def test_usage_is_true_when_anything_was_used(usage: Usage, *, used: bool) -> None:
    """A usage of zeros is false."""
    assert bool(usage) is used


@pytest.mark.parametrize("side", ["input", "output"])
def test_modalities_above_their_whole_are_dropped_and_flagged(side: str) -> None:
    """Details that cannot be do not spoil the totals."""
    attributes = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        f"gen_ai.usage.audio.{side}_tokens": 101,
    }
    reading = read_usage(attributes)
    assert reading is not None
    assert (reading.usage, reading.flags) == (Usage(input=100, output=50), ("suspect",))


def test_listed_dialect_whose_numbers_contradict_it_is_corrected_and_flagged() -> None:
    """An input below its own cached part cannot include it, whatever was measured elsewhere."""
    attributes = {
        "gen_ai.usage.input_tokens": 6,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 600,
    }
    reading = read_usage(attributes, "opentelemetry.instrumentation.genai.anthropic", "1.3b0")
    assert reading is not None
    assert (reading.usage.input, reading.rule, reading.flags) == (606, "safety-net", ("suspect",))


def test_total_that_counts_cached_tokens_beside_the_input_corrects_a_listed_dialect() -> None:
    """Strands before strands-agents/harness-sdk#3886 wrote Bedrock's uncached input under a scope without a version."""
    attributes = {
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.total_tokens": 1650,
        "gen_ai.usage.cache_read_input_tokens": 600,
    }
    reading = read_usage(attributes, "strands.telemetry.tracer")
    assert reading is not None
    assert (reading.usage.input, reading.rule, reading.flags) == (1600, "safety-net", ("suspect",))
