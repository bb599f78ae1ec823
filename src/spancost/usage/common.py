# SPDX-License-Identifier: Apache-2.0
"""
The short way to a reading, for what nearly every span writes: one vocabulary, each count once, plain integers.

It takes 0.7 us where the long way (``reader.py``, ``meaning.py``) takes 8, and gives the same or nothing:
whatever could need a rule of the long way is left to it. ``tests/property/test_quick_reading.py`` holds
the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from spancost.usage import dialects
from spancost.usage.keys import Family
from spancost.usage.meaning import DEFAULT, EXCLUSIVE, INCLUSIVE, Reading, make_reading, make_usage
from spancost.usage.values import MAX_COUNT

if TYPE_CHECKING:
    from spancost.usage.dialects import Dialect


class Layout(NamedTuple):
    """
    Under which key each count of a span stands; empty for none.

    ``twins`` are old and new names of one count, which must say the same; ``zeros`` are details that the
    short way knows only as 0: audio and images.
    """

    input: str = ""
    output: str = ""
    total: str = ""
    cache_read: str = ""
    cache_write: str = ""
    cache_write_1h: str = ""
    reasoning: str = ""
    twins: tuple[tuple[str, str], ...] = ()
    zeros: tuple[str, ...] = ()


Plain = tuple[int, int, int, int, int, int]
"""Counts of text: input, cache_read, cache_write, cache_write_1h, output, reasoning; the first fields of `Usage`."""

_COUNTS: Final = frozenset(Layout._fields) - {"twins", "zeros"}


class Meaning(NamedTuple):
    """What counts mean by a dialect row, where the short way knows."""

    rule: str
    exclusive: bool
    adds_reasoning: bool
    flags: tuple[str, ...]
    trust: int


def present_in(family: Family, attributes: Mapping[str, Any]) -> Family:
    """Return a family with those of its keys that are on a span."""

    def kept(keys: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(key for key in keys if key in attributes)

    return Family(
        family.name,
        kept(family.input),
        kept(family.output),
        kept(family.total),
        tuple((name, keys) for name, all_keys in family.details if (keys := kept(all_keys))),
    )


def layout_of(family: Family) -> Layout | None:
    """Return where the counts of a family stand, given only those of its keys that are on the span."""
    if not (family.input or family.output):
        return None
    found = {"input": family.input, "output": family.output, "total": family.total, **dict(family.details)}
    known = {name: keys for name, keys in found.items() if keys and name in _COUNTS}
    return Layout(
        **{name: keys[0] for name, keys in known.items()},
        twins=tuple((keys[0], other) for keys in known.values() for other in keys[1:]),
        zeros=tuple(key for name, keys in found.items() if name not in _COUNTS for key in keys),
    )


def meaning_of(dialect: Dialect, family: str, *, estimated: bool) -> Meaning | None:
    """Return what a dialect row says, or None where the numbers of a span have to be looked at closer."""
    if dialect.raw_units or dialect.billed or dialect.reasoning_twice or family == dialects.XAI:
        return None
    if dialect.input_has == dialects.READ:
        return None
    exclusive = dialect.input_has == dialects.NONE
    listed = INCLUSIVE if dialect is not dialects.UNLISTED else DEFAULT
    return Meaning(
        EXCLUSIVE if exclusive else listed,
        exclusive,
        dialect.output_has_reasoning is False,
        ("estimated",) if estimated else (),
        dialect.trust,
    )


Counter = Callable[[Mapping[str, Any]], "Plain | None"]


@lru_cache(maxsize=1024)
def counter_of(layout: Layout, meaning: Meaning) -> Counter:
    """
    Return a function that gives the counts of a span, or None where only the long way can tell.

    It is written for the keys and the meaning at hand: of all the questions that counts raise, most spans
    leave three or four. To ask all of them each time takes three times as long.
    """
    return compiled(layout, meaning)


def compiled(  # noqa: C901 - one look at each count
    layout: Layout, meaning: Meaning, conditions: Iterable[str] = (), more: str = ""
) -> Callable[[Mapping[str, Any]], Any]:
    """
    Return a function like that of `counter_of`, which gives None as well where a condition does not hold.

    Args:
        layout: Where the counts stand.
        meaning: What they mean.
        conditions: Python expressions over ``said``, made of literals.
        more: Likewise, what it gives after the counts.
    """
    named = {
        name: key
        for name, key in (
            ("whole", layout.input),
            ("output", layout.output),
            ("read", layout.cache_read),
            ("write", layout.cache_write),
            ("hour", layout.cache_write_1h),
            ("stated", layout.total),
            ("reasoning", layout.reasoning),
        )
        if key
    }
    lines = ["def counts(said):"]

    def demand(condition: str) -> None:
        lines.extend((f"    if not ({condition}):", "        return None"))

    for condition in conditions:
        demand(condition)
    lines += [f"    {name} = said[{key!r}]" for name, key in named.items()]
    for name in named:
        demand(f"type({name}) is int")  # exactly: True is no count
    if named:
        # None is below 0 or too big. (What comes close to that is for the long way, too.)
        demand(f"0 <= {' | '.join(named)} <= {MAX_COUNT}")
    write = "write" if "write" in named else "0"
    if "hour" in named:
        demand(f"hour <= {write}")
    cached = " + ".join(name for name in ("read", "write") if name in named)
    if cached and meaning.exclusive:
        lines.append(f"    whole = {'whole + ' if 'whole' in named else ''}{cached}")
        named["whole"] = ""
        demand(f"whole <= {MAX_COUNT}")
    elif cached:
        demand(f"{cached} <= {_or_zero('whole', named)}")  # else the numbers exclude the cache
    whole, output = _or_zero("whole", named), _or_zero("output", named)
    if "stated" in named:
        demand(f"stated <= {whole} + {output}")  # else something is in it: reasoning, thoughts, cached tokens
    if "reasoning" in named and meaning.adds_reasoning:
        lines.append(f"    output = {output} + reasoning")
        named["output"] = ""
        demand(f"output <= {MAX_COUNT}")
    elif "reasoning" in named:
        demand(f"reasoning <= {output}")
    for one, other in layout.twins:
        demand(f"type(said[{other!r}]) is int and said[{other!r}] == said[{one!r}]")
    for key in layout.zeros:
        demand(f"type(said[{key!r}]) is int and not said[{key!r}]")
    given = [_or_zero(name, named) for name in _PLAIN]
    lines.append(f"    return {', '.join((*given, more) if more else given)}")
    space: dict[str, Any] = {}
    exec("\n".join(lines), space)  # noqa: S102 - the text is made of literals
    return space["counts"]  # type: ignore[no-any-return]


def _or_zero(name: str, named: Mapping[str, str]) -> str:
    """Return the name of a count that a span has, or a zero."""
    return name if name in named else "0"


_PLAIN: Final = ("whole", "read", "write", "hour", "output", "reasoning")


def reading_of(layout: Layout, meaning: Meaning, counts: Iterable[int]) -> Reading:
    """Return the reading that a span's counts are."""
    usage = make_usage(*counts, 0, 0, 0, 0, 0, 0, 0)
    has_output = bool(layout.output)
    return make_reading(
        usage,
        meaning.rule,
        meaning.flags,
        has_output,
        meaning.trust,
        None,
        bad_usage=False,
        region=None,
        tier=None,
    )


def quick_reading(layout: Layout, attributes: Mapping[str, Any], meaning: Meaning) -> Reading | None:
    """Return the reading of a span, or None where only the long way can tell."""
    counts = counter_of(layout, meaning)(attributes)
    return reading_of(layout, meaning, counts) if counts is not None else None
