# SPDX-License-Identifier: Apache-2.0
"""
Read the usage of one span, whatever instrumentation wrote it.

Three steps: find the counts (the first vocabulary that has any, completed by the details that
others on the same span give), look up what they mean (the dialect table), and put them into the one
form of ``Usage``: input with everything cached, output with reasoning (``meaning.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spancost.usage import dialects
from spancost.usage.amounts import reported_cost
from spancost.usage.counts import DETAILS, Counts, count, is_bad_count
from spancost.usage.estimates import is_estimate
from spancost.usage.identity import family_of
from spancost.usage.keys import (
    CLAUDE_CODE,
    FAMILIES,
    LANGFUSE_TOOLS,
    OBJECTS,
    OPENINFERENCE_ANTHROPIC,
    Family,
)
from spancost.usage.meaning import Reading, Settling
from spancost.usage.objects import (
    counts_of_object,
    parse_object,
    searches_of_openai,
    web_searches_in,
)

if TYPE_CHECKING:
    from spancost.usage.dialects import Dialect


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
    counts, objects = find_counts(attributes, scope_name)
    if counts is None:
        return None
    family = family_of(attributes)
    dialect = dialect_of(attributes, scope_name, scope_version, family)
    return settle(counts, objects, attributes, dialect, family, estimated=is_estimate(attributes, scope_name))


def settle(
    counts: Counts,
    objects: list[Mapping[str, Any]],
    attributes: Mapping[str, Any],
    dialect: Dialect,
    family: str,
    *,
    estimated: bool,
) -> Reading:
    """Return what found counts mean by a dialect row, with a cost that stood in one of the objects."""
    settling = Settling(counts, dialect, family, attributes)
    if estimated:
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


def find_counts(
    attributes: Mapping[str, Any], scope_name: str, families: tuple[Family, ...] = FAMILIES
) -> tuple[Counts | None, list[Mapping[str, Any]]]:
    """
    Return the counts of the first source that has any, completed by the others, and the objects read.

    *families* may leave out keys that are not on the span.
    """
    sources = [counts for family in families if (counts := _counts_of_family(attributes, family))]
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
    _extra_details(attributes, best, scope_name)
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


def _extra_details(attributes: Mapping[str, Any], best: Counts, scope_name: str) -> None:
    """Read details that stand under keys of one library only."""
    if scope_name == OPENINFERENCE_ANTHROPIC:
        best.web_searches = web_searches_in(parse_object(attributes.get("metadata")) or {})
    if LANGFUSE_TOOLS in attributes:
        best.web_searches = searches_of_openai(parse_object(attributes[LANGFUSE_TOOLS]) or {})
    if "metadata.usage.cached_prompt_tokens" in attributes and not best.cache_read:  # BeeAI
        best.cache_read = count(attributes["metadata.usage.cached_prompt_tokens"])
        best.cache_write = count(attributes.get("metadata.usage.cached_creation_tokens"))
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
