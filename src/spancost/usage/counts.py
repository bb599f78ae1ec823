# SPDX-License-Identifier: Apache-2.0
"""Counts as spans write them: any type, any spelling, any subset; and what they mean once whole."""

from __future__ import annotations

from typing import Final

from spancost.usage.values import MAX_COUNT

_NO_VALUE: Final = frozenset({"", "none", "null", "nan", "undefined", "not_given"})
_LONGEST_NUMBER: Final = 32


def count(value: object) -> int | None:
    """
    Return *value* as a token count, or None where it is none.

    Integers, whole doubles and numeric text (JSON-quoted or not) are counts; ``"None"``, ``""``,
    ``"<openai.Omit ...>"``, NaN, negatives, fractions and numbers above 2**53 are not.
    """
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    if type(value) is float:
        # NaN and infinities fail the comparison, so int() below cannot raise.
        return int(value) if 0 <= value <= MAX_COUNT and value == int(value) else None
    if type(value) is str and len(value) <= _LONGEST_NUMBER:
        return _count_in_text(value)
    return None


def _count_in_text(text: str) -> int | None:
    bare = text.strip().strip('"').strip()
    if bare.lower() in _NO_VALUE or not bare.isascii():
        return None
    if bare.isdigit():
        return count(int(bare))
    try:
        return count(float(bare))
    except ValueError:
        return None


def is_bad_count(value: object) -> bool:
    """Tell whether *value* claims to be a number but is no count: worth a flag, never a price."""
    if isinstance(value, bool) or value is None or count(value) is not None:
        return False
    if isinstance(value, str):
        return len(value) <= _LONGEST_NUMBER and _is_number(value.strip().strip('"').strip())
    return isinstance(value, (int, float))


def _is_number(bare: str) -> bool:
    if bare.lower() in _NO_VALUE or not bare.isascii():
        return False
    try:
        float(bare)
    except ValueError:
        return False
    return True


class Counts:
    """
    The counts one source on a span gives; None where it says nothing.

    ``input_has`` says which cached parts ``input`` includes and ``output_has_reasoning`` whether
    ``output`` includes reasoning; None means that the source does not tell and its dialect decides.
    """

    __slots__ = (
        "bad",
        "cache_read",
        "cache_read_audio",
        "cache_write",
        "cache_write_1h",
        "doubtful",
        "input",
        "input_audio",
        "input_has",
        "input_image",
        "output",
        "output_audio",
        "output_has_reasoning",
        "output_image",
        "reasoning",
        "region",
        "search_units",
        "tier",
        "total",
        "web_searches",
    )

    def __init__(self) -> None:
        self.input: int | None = None
        self.output: int | None = None
        self.cache_read: int | None = None
        self.cache_write: int | None = None
        self.cache_write_1h: int | None = None
        self.reasoning: int | None = None
        self.input_audio: int | None = None
        self.output_audio: int | None = None
        self.input_image: int | None = None
        self.output_image: int | None = None
        self.cache_read_audio: int | None = None
        self.web_searches: int | None = None
        self.search_units: int | None = None
        self.total: int | None = None
        self.region: str | None = None
        self.tier: str | None = None
        self.input_has: InputHas | None = None
        self.output_has_reasoning: bool | None = None
        self.bad = False
        """Numbers are claimed, and none of them can be a total."""
        self.doubtful = False
        """A number beside the counts can be none, and was ignored."""

    @property
    def present(self) -> bool:
        """Whether the source gives an input or an output, or what a reranker counts instead."""
        return self.input is not None or self.output is not None or self.search_units is not None

    @property
    def used(self) -> bool:
        """Whether the source gives any of them above zero."""
        return bool(self.input) or bool(self.output) or bool(self.search_units)

    def cached(self) -> int:
        """Return what was read from and written to a cache, in tokens."""
        return (self.cache_read or 0) + (self.cache_write or 0)


InputHas = str
"""Which cached parts an input count includes: ``"all"``, ``"none"``, or ``"read"`` (reads, not writes)."""

DETAILS: Final = (
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "cache_read_audio",
    "web_searches",
    "search_units",
    "region",
    "tier",
)
