# SPDX-License-Identifier: Apache-2.0
"""The usage of one call: counts of billable units, and their partition by token type."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Final

from spancost.errors import UsageError

MAX_COUNT: Final = 2**53
"""Counts above this are not trusted: JSON and doubles cannot carry them exactly."""

FIELDS: Final = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "cache_read_audio",
    "web_searches",
    "search_units",
)

_PARTS: Final = (
    (("cache_read", "cache_write"), "input"),
    (("input_audio", "input_image"), "input"),
    (("cache_write_1h",), "cache_write"),
    (("reasoning",), "output"),
    (("output_audio", "output_image"), "output"),
    (("cache_read_audio",), "cache_read"),
    (("cache_read_audio",), "input_audio"),
)


@dataclass(frozen=True, slots=True)
class Usage:
    """
    Counts of what one call used.

    ``input`` includes everything cached, ``output`` includes reasoning, as in the
    OpenTelemetry GenAI conventions; every other count of tokens is a part of one of the two.
    The last two fields are no tokens and stand outside. A field is a count from 0 to 2**53.

    Args:
        input: All input tokens: uncached, read from a cache and written to one.
        cache_read: Part of ``input`` that was read from a cache.
        cache_write: Part of ``input`` that was written to a cache, whatever its lifetime.
        cache_write_1h: Part of ``cache_write`` that is kept for an hour or longer (Anthropic's
            hour, OpenAI's retention beyond 12 hours).
        output: All output tokens, reasoning included.
        reasoning: Part of ``output`` that was reasoning or thinking.
        input_audio: Part of ``input`` that was audio, cached audio included.
        output_audio: Part of ``output`` that was audio.
        input_image: Part of ``input`` that was images.
        output_image: Part of ``output`` that was images.
        cache_read_audio: Part of both ``cache_read`` and ``input_audio``.
        web_searches: Web searches that the provider's own tool made.
        search_units: Units in which rerankers are billed (Cohere).

    Raises:
        UsageError: A count is no integer from 0 to 2**53, or a part is above its whole
            (the message has both numbers). All problems are in one message.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    input_image: int = 0
    output_image: int = 0
    cache_read_audio: int = 0
    web_searches: int = 0
    search_units: int = 0

    def __post_init__(self) -> None:
        problems = []
        for name in FIELDS:
            value = getattr(self, name)
            try:
                count = None if isinstance(value, bool) else operator.index(value)
            except TypeError:
                count = None
            if count is None or not 0 <= count <= MAX_COUNT:
                problems.append(f"{name} must be an integer from 0 to 2**53, not {value!r}")
        if not problems:
            for parts, whole in _PARTS:
                total = sum(getattr(self, part) for part in parts)
                limit = getattr(self, whole)
                if total > limit:
                    problems.append(f"{' + '.join(parts)} ({total}) is above {whole} ({limit})")
        if problems:
            raise UsageError("; ".join(problems))

    def __bool__(self) -> bool:
        """Tell whether anything was used."""
        return bool(self.input or self.output or self.web_searches or self.search_units)

    def by_token_type(self) -> dict[str, int]:
        """
        Return the partition of the tokens by token type; the values sum to input + output.

        What is counted outside tokens is not in it.

        Where audio or image parts overlap cached parts in a way the usage does not say,
        the cached parts are kept whole and the modality gets what is left.
        """
        fresh = self.input - self.cache_read - self.cache_write
        audio = min(self.input_audio - self.cache_read_audio, fresh)
        image = min(self.input_image, fresh - audio)
        return {
            "input": fresh - audio - image,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write - self.cache_write_1h,
            "cache_write_1h": self.cache_write_1h,
            "output": self.output - self.output_audio - self.output_image,
            "input_audio": audio,
            "output_audio": self.output_audio,
            "input_image": image,
            "output_image": self.output_image,
        }
