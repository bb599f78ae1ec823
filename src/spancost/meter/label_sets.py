# SPDX-License-Identifier: Apache-2.0
"""Under which label set something is counted: as calls give it, where there is room, else under `names.OTHER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.meter import names
from spancost.meter.bounds import ValueBounds, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Key = tuple[
    "str | None", "str | None", "str | None", "str | None", "str | None", "str | None", "tuple[str, ...]"
]
"""A label set as calls give it: the first fields of `MeteredCall`."""


def values_of(key: Key, write: Callable[[str], str] = clean) -> tuple[str, ...]:
    """Return the values that a label set asks for, each as *write* makes it."""
    service, agent, provider, response_model, request_model, operation, labels = key
    given = (service, agent, provider, response_model or request_model, request_model, operation)
    return (*(write(value) if value else names.UNKNOWN for value in given), *map(write, labels))


class LabelSets:
    """
    All label sets, of calls and runs, of a process and of its group as it found it.

    Args:
        max_values: How many values each label may take.
        max_sets: How many combinations of values there may be in all.
        overflowed: Told of a label that has no room for a value, or of `names.ALL_LABELS`.
    """

    def __init__(self, max_values: int, max_sets: int, overflowed: Callable[[str], None]) -> None:
        self._bounds = ValueBounds(max_values)
        self._max_sets = max_sets
        self._overflowed = overflowed
        self._sets: set[tuple[str, ...]] = set()

    def fit(self, labels: Sequence[str], wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Return the label set under which something is counted, and remember its values."""
        values, full = self._bounds.fit(labels, wanted)
        for label in full:
            self._overflowed(label)
        if values in self._sets:
            return values
        if len(self._sets) >= self._max_sets:
            self._overflowed(names.ALL_LABELS)
            return (names.OTHER,) * len(labels)
        self._sets.add(values)
        self._bounds.admit(labels, values)
        return values

    def have_room(self, labels: Sequence[str], wanted: tuple[str, ...]) -> bool:
        """Tell whether a label set would be admitted as it stands."""
        _, full = self._bounds.fit(labels, wanted)
        return not full and len(self._sets) < self._max_sets

    def one_value(self, label: str, wanted: str) -> str:
        """Return the value under which a label beyond the label set is counted."""
        ((value,), full) = self._bounds.fit((label,), (clean(wanted),))
        if full:
            self._overflowed(label)
        self._bounds.admit((label,), (value,))
        return value

    def take(self, labels: Sequence[str], found: Iterable[tuple[str, ...]]) -> None:
        """Count label sets that others have for the bounds here."""
        for values in found:
            self._sets.add(values)
            self._bounds.admit(labels, values)
