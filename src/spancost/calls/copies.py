# SPDX-License-Identifier: Apache-2.0
"""When two readings are of one call, and what they say together."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from spancost.prices.regions import GLOBAL, class_of
from spancost.usage.meaning import make_usage
from spancost.usage.values import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spancost.calls.nodes import Call, Node
    from spancost.usage import Reading, Usage

_DATE: Final = re.compile(r"[-@:]?(?:20\d\d-?[01]\d-?[0-3]\d)(?:-v\d+(?::\d+)?)?$")


def agree(one: Reading, other: Reading) -> bool:
    """
    Tell whether two readings can be of one call.

    Outputs are equal, or differ by the reasoning that one of them lacks or has twice; inputs are
    equal, or differ by cached tokens. Cached parts that differ, both above zero, are two calls; so
    are equal totals of which one wrote to a cache and the other read from it. A reading without an
    output goes with any.
    """
    mine, theirs = one.usage, other.usage
    if one.has_output and other.has_output and mine.output != theirs.output:
        difference = abs(mine.output - theirs.output)
        if difference not in (mine.reasoning, theirs.reasoning):
            return False
    difference = abs(mine.input - theirs.input)
    if difference and difference not in cached_sums(mine) | cached_sums(theirs):
        return False
    return not _caches_differ(mine, theirs)


def cached_sums(usage: Usage) -> set[int]:
    """Return by how much an input may differ from one that lacks cached tokens."""
    if not usage.cache_read and not usage.cache_write:
        return set()
    return {usage.cache_read, usage.cache_write, usage.cache_read + usage.cache_write} - {0}


def _caches_differ(mine: Usage, theirs: Usage) -> bool:
    for part in ("cache_read", "cache_write"):
        ours, others = getattr(mine, part), getattr(theirs, part)
        if ours and others and ours != others:
            return True
    crossed = bool(mine.cache_read and not mine.cache_write and theirs.cache_write and not theirs.cache_read)
    return crossed or bool(
        theirs.cache_read and not theirs.cache_write and mine.cache_write and not mine.cache_read
    )


def is_sum(one: Reading, others: Iterable[Reading]) -> bool:
    """Tell whether a reading is the sum of others."""
    whole_input = whole_output = 0
    for other in others:
        whole_input += other.usage.input
        whole_output += other.usage.output
    return one.usage.output == whole_output and one.usage.input == whole_input


def merge(one: Reading, other: Reading) -> Reading:
    """
    Put two readings of one call together.

    The more detailed number wins: of two outputs the one with reasoning, of two inputs the one with
    everything cached, of two details the one above zero. Where totals contradict each other, the
    copy nearer to the wire is taken whole.
    """
    best, rest = (one, other) if one.trust >= other.trust else (other, one)
    if not agree(best, rest):
        if not best.usage.output and rest.usage.output:
            best, rest = rest, best  # a copy that lost its output knows less, however near the wire
        return _with_flags(best, rest)
    wide = best if best.usage.input >= rest.usage.input else rest
    whole = max(best.usage.input, rest.usage.input)
    output = max(best.usage.output, rest.usage.output)
    if best.has_output and rest.has_output and best.usage.output != rest.usage.output:
        output = best.usage.output if best.usage.reasoning else output
    numbers = {name: max(getattr(best.usage, name), getattr(rest.usage, name)) for name in FIELDS}
    numbers["input"], numbers["output"] = whole, output
    if numbers["cache_read"] + numbers["cache_write"] > whole or not _fits(numbers):
        return _with_flags(best, rest)
    merged = replace(
        best,
        usage=make_usage(*numbers.values()),  # in the order of FIELDS; the parts were just compared
        rule=wide.rule,
        has_output=best.has_output or rest.has_output,
        reported_usd=best.reported_usd if best.reported_usd is not None else rest.reported_usd,
        region=best.region or rest.region,
        tier=best.tier or rest.tier,
    )
    return _with_flags(merged, rest)


def billed(reading: Reading) -> tuple[object, ...]:
    """Return everything of a reading that its call's price depends on."""
    usage, region = reading.usage, class_of(reading.region)
    region = None if region == GLOBAL else region
    return usage.by_token_type(), usage.web_searches, usage.search_units, region, reading.tier


def _fits(numbers: dict[str, int]) -> bool:
    return (
        numbers["reasoning"] <= numbers["output"]
        and numbers["input_audio"] + numbers["input_image"] <= numbers["input"]
        and numbers["output_audio"] + numbers["output_image"] <= numbers["output"]
        and numbers["cache_write_1h"] <= numbers["cache_write"]
        and numbers["cache_read_audio"] <= min(numbers["cache_read"], numbers["input_audio"])
    )


def _with_flags(best: Reading, rest: Reading) -> Reading:
    flags = tuple(dict.fromkeys((*best.flags, *(f for f in rest.flags if f != "suspect"))))
    reported = best.reported_usd if best.reported_usd is not None else rest.reported_usd
    return replace(best, flags=flags, reported_usd=reported)


def is_another_copy(call: Call, node: Node, reading: Reading, between: list[Node]) -> bool:
    """Tell whether a further call below an adopter is one more copy of what it adopted."""
    if call.reading is None:
        return False
    mine = node.facts.response_id
    known = bool(mine and call.response_ids)
    if known and mine not in call.response_ids:
        return False
    if not known and not agree(call.reading, reading):
        return False
    if node.scope not in call.scopes and not any(each.scope in call.scopes for each in between):
        return True
    return any(copy.is_below(node) or node.is_below(copy) for copy in call.copies)


def is_late_copy(call: Call, above: Node, node: Node, reading: Reading, between: list[Node]) -> bool:
    """Tell whether a call that ends below an ended call is a copy of it, with the open calls between."""
    if call.reading is None:
        return above.facts.cached_response  # else it was counted without usage, and this is the bill
    below = [copy for copy in call.copies if copy.is_below(above)]
    if any(
        copy.scope == each.scope and not copy.is_below(each) and not each.is_below(copy)
        for copy in below
        for each in (node, *between)
    ):
        return False  # siblings never share a scope
    return not below or agree(call.reading, reading)


def same_model(one: str | None, other: str | None) -> bool:
    """Tell whether two model names are equal up to vendor prefix and date; an unknown one goes with any."""
    return not one or not other or bare_model(one) == bare_model(other)


def same_models(one: Node, other: Node) -> bool:
    """Tell whether two spans can be of one model: one may know the alias, the other what answered."""
    mine, theirs = _models(one), _models(other)
    return not mine or not theirs or bool(mine & theirs)


def _models(node: Node) -> set[str]:
    facts = node.facts
    return {bare_model(name) for name in (facts.model, facts.request_model) if name}


@lru_cache(maxsize=1024)
def bare_model(name: str) -> str:
    """Return a model's name without vendor prefix, date suffix and case."""
    bare = name.strip().lower().rpartition("/")[2]
    head, dot, tail = bare.rpartition(".")
    if dot and not tail[:1].isdigit() and not head[-1:].isdigit():
        bare = tail  # us.anthropic.claude-x: the version dots of gpt-5.1 stay
    return _DATE.sub("", bare)
