# SPDX-License-Identifier: Apache-2.0
"""
Read the usage of one span, whatever instrumentation wrote it.

Three steps: find the counts (the first vocabulary that has any, completed by the details that
others on the same span give), look up what they mean (the dialect table), and put them into the one
form of ``Usage``: input with everything cached, output with reasoning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from spancost.usage import dialects
from spancost.usage.counts import DETAILS, Counts, count, is_bad_count
from spancost.usage.estimates import is_estimate
from spancost.usage.identity import family_of
from spancost.usage.keys import CLAUDE_CODE, FAMILIES, GEN_AI, OBJECTS, Family
from spancost.usage.objects import counts_of_object, parse_object, reported_cost
from spancost.usage.values import MAX_COUNT, Usage

if TYPE_CHECKING:
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
    """

    usage: Usage
    rule: str
    flags: tuple[str, ...] = ()
    has_output: bool = True
    trust: int = dialects.CLIENT
    reported_usd: Decimal | None = None
    bad_usage: bool = False


def read_usage(
    attributes: Mapping[str, Any], scope_name: str = "", scope_version: str = ""
) -> Reading | None:
    """
    Read the usage that *attributes* of a span give, or None where they give none.

    Never raises, whatever the attributes hold.

    Args:
        attributes: A span's attributes, as the SDK or an OTLP file has them.
        scope_name: Name of the instrumentation scope; it decides what the counts mean.
        scope_version: Its version, ``""`` where unknown.
    """
    counts, objects = _find(attributes, scope_name)
    if counts is None:
        return None
    family = family_of(attributes)
    dialect = dialect_of(attributes, scope_name, scope_version, family)
    settling = _Settling(counts, dialect, family, attributes)
    if is_estimate(attributes, scope_name):
        settling.flags.append("estimated")
    return settling.reading(_reported(objects))


def dialect_of(
    attributes: Mapping[str, Any], scope_name: str, scope_version: str, family: str | None = None
) -> Dialect:
    """Return the row of the dialect table that fits a span, or ``UNLISTED``."""
    for row in dialects.dialects_of(scope_name, scope_version):
        if row.when:
            family = family or family_of(attributes)
            if family not in row.when:
                continue
        if row.needs_absent and any(key.startswith(row.needs_absent) for key in attributes):
            continue
        return row
    return dialects.UNLISTED


# --- finding counts -----------------------------------------------------------------------------


def _find(attributes: Mapping[str, Any], scope_name: str) -> tuple[Counts | None, list[Mapping[str, Any]]]:
    """Return the counts of the first source that has any, completed by the others, and the objects read."""
    sources = [counts for family in FAMILIES if (counts := _counts_of_family(attributes, family))]
    if not sources and "input_tokens" in attributes and "claude_code" in scope_name:
        flat = _counts_of_family(attributes, CLAUDE_CODE)
        sources = [flat] if flat else []
    objects = _objects(attributes, scope_name)
    for found in objects:
        counts = counts_of_object(found)
        if counts is not None:
            if "mlflow.chat.tokenUsage" in attributes:
                counts.input_has = "all"  # MLflow sums what the provider keeps apart
                counts.output_has_reasoning = None
            sources.append(counts)
    totals = [source for source in sources if source.present or source.bad]
    if not totals:
        return None, objects
    best = next((source for source in totals if source.used), totals[0])
    for other in sources:
        if other is not best:
            _complete(best, other)
    _extra_details(attributes, best)
    return best, objects


def _counts_of_family(attributes: Mapping[str, Any], family: Family) -> Counts | None:
    found = _total(attributes, family.input)
    output = _total(attributes, family.output)
    if found is None and output is None and not _claims(attributes, family):
        return None
    counts = Counts()
    counts.input, counts.output = found, output
    counts.bad = not counts.present
    counts.total = _total(attributes, family.total)
    counts.doubtful = (found is None or output is None) and _claims(attributes, family)
    for name, keys in family.details:
        for key in keys:
            if key in attributes:
                _add_detail(counts, name, attributes[key])
    return counts


def _claims(attributes: Mapping[str, Any], family: Family) -> bool:
    """Tell whether a total is there as a number that can be no count (negative, NaN, beyond 2**53)."""
    return any(is_bad_count(attributes.get(key)) for key in (*family.input, *family.output))


def _total(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    """Return the first count above zero among old and new names of one total, else a zero that is there."""
    zero = None
    for key in keys:
        if key in attributes:
            number = count(attributes[key])
            if number:
                return number
            zero = number if zero is None else zero
    return zero


def _add_detail(counts: Counts, name: str, value: object) -> None:
    """Take the largest count among names of one detail: a library that writes 0 knows nothing of it."""
    number = count(value)
    if number is None:
        counts.doubtful = counts.doubtful or is_bad_count(value)
        return
    best = getattr(counts, name)
    if best is None or number > best:
        setattr(counts, name, number)


def _objects(attributes: Mapping[str, Any], scope_name: str) -> list[Mapping[str, Any]]:
    """Return the usage objects that stand as text on the span."""
    found = [parse_object(attributes[key]) for key in OBJECTS if key in attributes]
    if scope_name.startswith("logfire"):
        found.append(parse_object(attributes.get("usage")))
        response = parse_object(attributes.get("response_data"))
        if response is not None:
            found.append(parse_object(response.get("usage")))
    if scope_name == "litellm":
        for key, value in attributes.items():
            if key.startswith("llm.") and key.endswith((".usage", ".usageMetadata")):
                found.append(parse_object(value))
    if "ai.response.providerMetadata" in attributes:
        found.extend(_provider_metadata(attributes["ai.response.providerMetadata"]))
    return [each for each in found if each]


def _provider_metadata(value: object) -> list[Mapping[str, Any]]:
    """Return the usage objects inside the AI SDK's provider metadata, which has one entry a provider."""
    found: list[Mapping[str, Any]] = []
    for entry in (parse_object(value) or {}).values():
        if isinstance(entry, Mapping):
            for key in ("usage", "usageMetadata"):
                inner = entry.get(key)
                if isinstance(inner, Mapping):
                    found.append(inner)
    return found


def _complete(best: Counts, other: Counts) -> None:
    """Add the details that another source on the same span has, if it is of the same call."""
    if other.used and not _same_call(best, other):
        return
    for name in DETAILS:
        if not getattr(best, name) and getattr(other, name):
            setattr(best, name, getattr(other, name))
    if best.total is None:
        best.total = other.total


def _same_call(best: Counts, other: Counts) -> bool:
    if best.output is not None and best.output == other.output:
        return True
    if best.output and other.output and other.reasoning:
        return best.output == other.output + other.reasoning and bool(best.input)
    return best.input is not None and best.input == other.input


def _extra_details(attributes: Mapping[str, Any], best: Counts) -> None:
    """Read details that stand under keys of one library only."""
    if "metadata.usage.cached_prompt_tokens" in attributes and not best.cache_read:  # BeeAI
        best.cache_read = count(attributes["metadata.usage.cached_prompt_tokens"])
        best.cache_write = count(attributes.get("metadata.usage.cached_creation_tokens"))
    if (
        best.cache_write_1h is None
        and "anthropic.usage.cache_creation.ephemeral_1h_input_tokens" in attributes
    ):
        best.cache_write_1h = count(attributes["anthropic.usage.cache_creation.ephemeral_1h_input_tokens"])
    metadata = parse_object(attributes.get("ai.response.providerMetadata"))
    openai = metadata.get("openai") if metadata else None
    if isinstance(openai, Mapping):
        if not best.cache_read:
            best.cache_read = count(openai.get("cachedPromptTokens"))
        if not best.reasoning:
            best.reasoning = count(openai.get("reasoningTokens"))


def _reported(objects: list[Mapping[str, Any]]) -> Decimal | None:
    for found in objects:
        cost = reported_cost(found)
        if cost is not None:
            return cost
    return None


# --- what the counts mean -------------------------------------------------------------------------


class _Settling:
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
        usage = Usage(
            input=whole,
            cache_read=read,
            cache_write=write,
            cache_write_1h=hour,
            output=output,
            reasoning=reasoning,
            input_audio=audio,
            output_audio=out_audio,
            input_image=image,
            output_image=out_image,
            cache_read_audio=min(counts.cache_read_audio or 0, read, audio),
        )
        return Reading(usage, self.rule, tuple(self.flags), has_output, dialect.trust, reported)

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
        if self._numbers_exclude_cache(whole, listed=listed):
            self.rule = SAFETY_NET
            if listed:
                self._suspect()
            return whole + counts.cached()
        self.rule = INCLUSIVE if listed else DEFAULT
        return whole

    def _numbers_exclude_cache(self, whole: int, *, listed: bool) -> bool:
        cached = self.counts.cached()
        if not cached:
            return False
        if cached > whole:
            return True
        total = self.counts.total
        output = self.counts.output or 0
        return not listed and total is not None and total == whole + cached + output

    def _cached(self, whole: int) -> tuple[int, int, int]:
        """Return the cached parts, none above its whole."""
        counts = self.counts
        read, write = counts.cache_read or 0, counts.cache_write or 0
        if read + write > whole:  # raw cached tokens beside billed units
            self._suspect()
            return 0, 0, 0
        return read, write, min(counts.cache_write_1h or 0, write)


def has_usage_keys(attributes: Mapping[str, Any]) -> bool:
    """Tell quickly whether the two totals of the semantic conventions are on a span."""
    return any(key in attributes for key in (*GEN_AI.input, *GEN_AI.output))
