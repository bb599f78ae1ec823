# SPDX-License-Identifier: Apache-2.0
"""
The configured metric labels, and where their values are found.

A label has one source or several; the first one that has a value gives it. A source is one of

    agent                   the label of the same name in ``spancost.agent(..., team="growth")``
    agent:<name>            a label of another name there
    baggage:<key>           W3C baggage at the start of the call's span
    span:<key>              an attribute of the call's own span, or of a copy of it
    resource:<key>          an attribute of the resource that made the span

Baggage and span attributes may come from outside: they fill a label, which is bounded, and nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import baggage

from spancost.context import LABEL_BAGGAGE, Block
from spancost.meter.bounds import MAX_VALUE_CHARS, check_extra_labels

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from spancost.calls import Node

KINDS: Final = ("agent", "baggage", "span", "resource")
"""The kinds of sources."""

Spec = Sequence[str] | Mapping[str, "str | Sequence[str]"]
"""Names of labels, whose values come from the agent block, else from baggage ``spancost.label.<name>``; or
the sources by the names of the labels."""


class Source(NamedTuple):
    """One place where a value is looked for."""

    kind: str
    key: str


class Labels:
    """
    The labels of a process.

    Args:
        sources: The sources of each label, by its name, first the one that is asked first.
    """

    def __init__(self, sources: Mapping[str, Sequence[Source]]) -> None:
        self.sources = {name: tuple(each) for name, each in sources.items()}
        self.names = tuple(self.sources)
        # What spans are asked for, each once; nodes keep the values in this order.
        found = {source for each in self.sources.values() for source in each if source.kind != "agent"}
        self._asked = tuple(sorted(found))
        self._at = {source: number for number, source in enumerate(self._asked)}
        self._span_keys = tuple((self._at[s], s.key) for s in self._asked if s.kind == "span")
        self._nothing = ("",) * len(self._asked)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.names)

    def __eq__(self, other: object) -> bool:
        """Tell whether two processors ask for the same."""
        return isinstance(other, Labels) and self.sources == other.sources

    def __hash__(self) -> int:
        """Hash by what `__eq__` compares."""
        return hash(tuple(self.sources.items()))

    def __repr__(self) -> str:
        """Write them as they can be configured."""
        return repr({name: [":".join(source) for source in each] for name, each in self.sources.items()})

    def at_start(self, context: Context, resource: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what is known when a span starts; a node keeps it."""
        if not self._asked:
            return ()
        return tuple(
            _carried(context, source.key)
            if source.kind == "baggage"
            else _text(resource.get(source.key))
            if source.kind == "resource"
            else ""
            for source in self._asked
        )

    def at_end(self, known: tuple[str, ...], attributes: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what was known, and what the span says at its end."""
        if not self._span_keys:
            return known
        found = list(known or self._nothing)
        for at, key in self._span_keys:
            found[at] = _text(attributes.get(key))
        return tuple(found)

    def values(self, nodes: Iterable[Node]) -> tuple[str, ...]:
        """Return the values for a call, by its copies from the outermost on; empty where nothing says one."""
        if not self.names:
            return ()
        block: Block | None = None
        found = list(self._nothing)
        for node in nodes:
            known: tuple[str, ...] = getattr(node, "labels", ())
            found = [one or more for one, more in zip(found, known, strict=True)] if known else found
            for each in (node, *node.ancestors()):
                if (block is None or not block.labels) and isinstance(each.block, Block):
                    block = each.block
        return self._choose(block, found)

    def of_block(self, block: Block) -> tuple[str, ...]:
        """Return the values for a run of an agent block: no span says anything of it."""
        return self._choose(block, self._nothing)

    def _choose(self, block: Block | None, found: Sequence[str]) -> tuple[str, ...]:
        said: Mapping[str, str] = block.labels if block is not None else {}
        return tuple(
            next(
                filter(
                    None, (said.get(s.key, "") if s.kind == "agent" else found[self._at[s]] for s in each)
                ),
                "",
            )
            for each in self.sources.values()
        )


NO_LABELS: Final = Labels({})


def read_labels(spec: Spec) -> Labels:
    """
    Return the labels that a program configures.

    Args:
        spec: Names of labels, or their sources by name.

    Raises:
        ValueError: A name cannot be, or a source is none; all problems are in one message.
    """
    if not isinstance(spec, Mapping):
        names = check_extra_labels(tuple(spec))
        return Labels({n: (Source("agent", n), Source("baggage", LABEL_BAGGAGE + n)) for n in names})
    problems: list[str] = []
    try:
        check_extra_labels(tuple(spec))
    except ValueError as error:
        problems.append(str(error))
    sources = {}
    for name, given in spec.items():
        each = (given,) if isinstance(given, str) else tuple(given)
        if not each:
            problems.append(f"label {name!r} has no source")
        sources[name] = [found for text in each if (found := _source(name, text, problems)) is not None]
    if problems:
        raise ValueError("; ".join(problems))
    return Labels(sources)


def labels_from_text(text: str) -> Labels:
    """
    Return the labels that ``SPANCOST_LABELS`` says: ``team,tenant=baggage:tenant.id|agent``.

    Args:
        text: Labels, separated by commas; each may name its sources, separated by ``|``.

    Raises:
        ValueError: As for `read_labels`.
    """
    spec: dict[str, str | Sequence[str]] = {}
    problems = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, sources = (each.strip() for each in part.partition("="))
        if name in spec:
            problems.append(f"{name!r} comes twice")
        default = ("agent", f"baggage:{LABEL_BAGGAGE}{name}")
        spec[name] = [each.strip() for each in sources.split("|")] if equals else default
    try:
        labels = read_labels(spec)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError(f"SPANCOST_LABELS: {'; '.join(problems)}")
    return labels


def _source(name: str, text: str, problems: list[str]) -> Source | None:
    kind, _, key = text.partition(":")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f": one of {', '.join(KINDS)}"
        problems.append(f"label {name!r} has the source {text!r}, which is none{hint}")
        return None
    if kind == "agent":
        key = key or name
    if not key:
        problems.append(f"label {name!r} has the source {text!r}, which does not say of which {kind} key")
        return None
    return Source(kind, key)


def _carried(context: Context, key: str) -> str:
    """Return what baggage says; it holds text, whatever a program may have put there."""
    value = baggage.get_baggage(key, context)
    return value[:MAX_VALUE_CHARS] if isinstance(value, str) else ""


def _text(value: object) -> str:
    """Return a value as a label can have it."""
    if isinstance(value, str):
        return value[:MAX_VALUE_CHARS]
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else ""
