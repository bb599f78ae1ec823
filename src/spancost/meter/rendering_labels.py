# SPDX-License-Identifier: Apache-2.0
"""The labels of series as text, sorted by name: written once per label set, and kept with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spancost.meter.cells import Copy, RunCopy
    from spancost.meter.families import Family

LE: Final = "le"
"""The label of a bucket's upper bound."""


class LabelText(NamedTuple):
    """
    The labels of a label set as text.

    Args:
        text: ``,a="1",b="2",``: a comma before each, and one at the end.
        commas: Where the commas are.
    """

    text: str
    commas: tuple[int, ...]

    @classmethod
    def of(cls, names: Sequence[str], values: Sequence[str]) -> LabelText:
        """Write labels, given in the order of their names."""
        text = ","
        commas = [0]
        for name, value in zip(names, values, strict=True):
            text += f"{pair(name, value)},"
            commas.append(len(text) - 1)
        return cls(text, tuple(commas))


_NO_LABELS: Final = LabelText(",", (0,))


class Labels:
    """
    Writes the labels of a family's series.

    What all series of a label set share is written here at once, before lines are made of it: it
    outlives the lines, and among them it would keep their memory from being given back.

    Args:
        family: The family.
    """

    def __init__(self, family: Family) -> None:
        self._order = sorted(range(len(family.labels)), key=family.labels.__getitem__)
        self._names = [family.labels[index] for index in self._order]
        own = sorted(enumerate(family.spec.labels), key=lambda label: label[1])
        # How many of the common labels stand before each of the metric's own.
        self._own = [(self._place(name), index, name) for index, name in own]
        self._le = self._place(LE)
        self._own_texts: dict[tuple[str, ...], list[tuple[int, str]]] = {}
        for owner, _ in family.series:
            if owner is not None and owner.kept.text is None:
                values = [owner.values[index] for index in self._order]
                owner.kept.text = LabelText.of(self._names, values)

    def complete(self, owner: Copy | RunCopy | None, own: tuple[str, ...]) -> str:
        """Return all labels in braces, those of the metric's own included; nothing where there are none."""
        text, commas = _NO_LABELS if owner is None else owner.kept.text
        inserts = self._own_texts.get(own)
        if inserts is None:
            inserts = self._own_texts[own] = self._inserts(own)
        if len(inserts) == 1:
            ((place, insert),) = inserts
            comma = commas[place]
            return f"{{{text[1 : comma + 1]}{insert}{text[comma:-1]}}}"
        if not inserts:
            return f"{{{text[1:-1]}}}" if owner is not None else ""
        since = 0
        found = ""
        for place, insert in inserts:
            found += f"{text[since : commas[place]]},{insert}"
            since = commas[place]
        found += text[since:-1]
        return f"{{{found[1:]}}}"

    def around_le(self, owner: Copy | RunCopy | None) -> tuple[str, str]:
        """Return what stands before and what after the label ``le``, the commas included."""
        text, commas = _NO_LABELS if owner is None else owner.kept.text
        comma = commas[self._le]
        return text[1 : comma + 1], text[comma:-1]

    def _place(self, name: str) -> int:
        return sum(other < name for other in self._names)

    def _inserts(self, own: tuple[str, ...]) -> list[tuple[int, str]]:
        """Return the labels of the metric's own as text, each with its place; neighbours are one text."""
        found: list[tuple[int, str]] = []
        for place, index, name in self._own:
            text = pair(name, own[index])
            if found and found[-1][0] == place:
                found[-1] = (place, f"{found[-1][1]},{text}")
            else:
                found.append((place, text))
        return found


def pair(name: str, value: str) -> str:
    """Return a label as text."""
    return f'{name}="{escaped(value)}"'


def escaped(text: str) -> str:
    """Return text as it stands between quotation marks."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
