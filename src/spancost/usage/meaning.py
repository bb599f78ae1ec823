# SPDX-License-Identifier: Apache-2.0
"""What counts mean: from what a span writes to the one form of ``Usage``, by its dialect and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from spancost._values import maker
from spancost.usage import dialects
from spancost.usage.values import MAX_COUNT, Usage

if TYPE_CHECKING:
    from spancost.usage.counts import Counts
    from spancost.usage.dialects import Dialect

INCLUSIVE: Final = "inclusive"
EXCLUSIVE: Final = "exclusive"
SAFETY_NET: Final = "safety-net"
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What one span says of the usage of its call.

    Args:
        usage: The counts, in tokens, with everything cached inside the input and reasoning inside
            the output.
        rule: What decided the input's meaning: ``inclusive`` or ``exclusive`` (a row of the dialect
            table), ``safety-net`` (the span's own numbers), ``default`` (the semantic conventions).
        flags: From the closed list of the design: ``suspect``, ``estimated``, ``partial``, ...
        has_output: Whether the span has an output count at all (embeddings have none).
        trust: Rank among copies of a call whose numbers contradict each other; higher wins.
        reported_usd: A cost that the provider itself put beside the usage, in USD, or None.
        bad_usage: The span has counts, but none that can be: the call must stay unpriced.
        region: Where the provider says it ran the model, as it says it, or None.
        tier: The service tier that stands beside the usage, or None.
    """

    usage: Usage
    rule: str
    flags: tuple[str, ...] = ()
    has_output: bool = True
    trust: int = dialects.CLIENT
    reported_usd: Decimal | None = None
    bad_usage: bool = False
    region: str | None = None
    tier: str | None = None


make_usage: Final = maker(Usage)
make_reading: Final = maker(Reading)


class Settling:
    """Turns counts into a ``Usage`` by a dialect row, and by what the numbers themselves prove."""

    __slots__ = ("attributes", "counts", "dialect", "family", "flags", "rule")

    def __init__(self, counts: Counts, dialect: Dialect, family: str, attributes: Mapping[str, Any]) -> None:
        self.counts = counts
        self.dialect = dialect
        self.family = family
        self.attributes = attributes
        self.flags: list[str] = []
        self.rule = DEFAULT

    def reading(self, reported: Decimal | None) -> Reading:
        """Return what the span says; ``reported`` is a cost that stood in its objects."""
        counts, dialect = self.counts, self.dialect
        if counts.bad:
            return self._bad(reported)
        has_output = counts.output is not None
        if dialect.raw_units or counts.doubtful:
            self._suspect()
        output, reasoning = self._output()
        whole = self._input()
        read, write, hour = self._cached(whole)
        audio, image = counts.input_audio or 0, counts.input_image or 0
        if audio + image > whole:
            audio = image = 0
            self._suspect()
        out_audio, out_image = counts.output_audio or 0, counts.output_image or 0
        if out_audio + out_image > output:
            out_audio = out_image = 0
            self._suspect()
        if max(whole, output) > MAX_COUNT:
            return self._bad(reported)
        usage = make_usage(  # each part was compared with its whole above
            *(whole, read, write, hour, output, reasoning, audio, out_audio, image, out_image),
            min(counts.cache_read_audio or 0, read, audio),
            counts.web_searches or 0,
            counts.search_units or 0,
        )
        return make_reading(
            usage,
            self.rule,
            tuple(self.flags),
            has_output,
            dialect.trust,
            reported,
            bad_usage=False,
            region=counts.region,
            tier=counts.tier,
        )

    def _bad(self, reported: Decimal | None) -> Reading:
        return Reading(
            Usage(),
            self.rule,
            ("suspect",),
            has_output=False,
            trust=self.dialect.trust,
            reported_usd=reported,
            bad_usage=True,
        )

    def _suspect(self) -> None:
        if "suspect" not in self.flags:
            self.flags.append("suspect")

    def _output(self) -> tuple[int, int]:
        """Return the output with reasoning, and the reasoning inside it."""
        counts = self.counts
        output, reasoning = counts.output or 0, counts.reasoning or 0
        if self.dialect.reasoning_twice and 2 * reasoning <= output:
            return output - reasoning, reasoning
        missing = self._missing_in_total(output)
        if counts.output_has_reasoning is False or self.dialect.output_has_reasoning is False:
            if not reasoning and missing:
                reasoning = missing
                self._doubt_missing()
            return output + reasoning, reasoning
        if reasoning > output or (reasoning and missing == reasoning):
            return output + reasoning, reasoning
        if not reasoning and missing and self.family in (dialects.GOOGLE, dialects.XAI):
            self._doubt_missing()
            return output + missing, missing
        if self._xai_leaves_reasoning_out(missing):
            return output + reasoning, reasoning
        return output, reasoning

    def _missing_in_total(self, output: int) -> int:
        """Return the tokens that the total has and neither input nor output: thoughts, mostly."""
        counts = self.counts
        if counts.total is None or counts.input is None:
            return 0
        return max(0, counts.total - counts.input - output - self._outside(counts))

    def _outside(self, counts: Counts) -> int:
        """Return the cached tokens that a total counts beside the input."""
        has = counts.input_has or self.dialect.input_has
        if has == dialects.NONE or counts.cached() > (counts.input or 0):
            return counts.cached()
        return 0

    def _doubt_missing(self) -> None:
        # Gemini's total also has the tool-use prompt, which no attribute tells apart from thoughts.
        # MLflow's spans show the whole response and its totals were right throughout.
        if self.family == dialects.GOOGLE and "mlflow.chat.tokenUsage" not in self.attributes:
            self._suspect()

    def _xai_leaves_reasoning_out(self, missing: int) -> bool:
        """Tell xAI's chat API, which counts reasoning beside the completion; its Responses API does not."""
        counts = self.counts
        if self.family != dialects.XAI or not counts.reasoning or self.dialect.completes_output:
            return False
        if self.attributes.get("openai.api.type") == "responses" or counts.total is not None:
            return missing > 0
        return counts.output_has_reasoning is None

    def _input(self) -> int:
        """Return the input with everything cached, and note which rule decided."""
        counts, dialect = self.counts, self.dialect
        whole = counts.input or 0
        has = counts.input_has or dialect.input_has
        if dialect.billed:
            self.rule = INCLUSIVE
            return whole
        listed = counts.input_has is not None or dialect is not dialects.UNLISTED
        if has == dialects.NONE:
            self.rule = EXCLUSIVE
            return whole + counts.cached()
        if has == dialects.READ and dialect.input_has == dialects.READ:
            self.rule = EXCLUSIVE
            return whole + (counts.cache_write or 0)
        if self._numbers_exclude_cache(whole):
            self.rule = SAFETY_NET
            if listed:
                self._suspect()
            return whole + counts.cached()
        self.rule = INCLUSIVE if listed else DEFAULT
        return whole

    def _numbers_exclude_cache(self, whole: int) -> bool:
        """Tell whether the input is below its cached part, or the total counts that part beside it."""
        cached = self.counts.cached()
        if not cached:
            return False
        if cached > whole:
            return True
        total = self.counts.total
        output = self.counts.output or 0
        return total is not None and total == whole + cached + output

    def _cached(self, whole: int) -> tuple[int, int, int]:
        """Return the cached parts, none above its whole."""
        counts = self.counts
        read, write = counts.cache_read or 0, counts.cache_write or 0
        if read + write > whole:  # raw cached tokens beside billed units
            self._suspect()
            return 0, 0, 0
        return read, write, min(counts.cache_write_1h or 0, write)
