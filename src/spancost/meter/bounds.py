# SPDX-License-Identifier: Apache-2.0
"""Which values a label may take: a bound per label, and one on all label sets (design 5.12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from spancost.meter import names

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_VALUE_CHARS: Final = 256
"""A label value is cut to this: memory is bounded in bytes, not only in values."""

_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN: Final = frozenset({"le", "quantile"}).union(
    names.BASE_LABELS, *(spec.labels for spec in names.SPECS if spec.per_call)
)
"""What series of a call have already, or what has a meaning of its own in Prometheus."""


def check_extra_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """
    Return the configured extra labels.

    Raises:
        ValueError: One is no name of a Prometheus label, is taken, or comes twice; all are named.
    """
    problems = [f"{name!r} is no label name" for name in labels if not _LABEL.fullmatch(name)]
    problems += [f"{name!r} is taken" for name in labels if name in _TAKEN]
    problems += [f"{name!r} comes twice" for name in sorted({n for n in labels if labels.count(n) > 1})]
    if problems:
        raise ValueError(f"extra labels: {'; '.join(problems)}")
    return tuple(labels)


def clean(value: str) -> str:
    """Return a label value that can be written as UTF-8 and is not too long."""
    return value[:MAX_VALUE_CHARS].encode("utf-8", "replace").decode("utf-8")


class ValueBounds:
    """
    The values that labels have taken so far.

    Args:
        limit: How many values each label may take, `names.OTHER` not counted.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[str, set[str]] = {}

    def fit(self, labels: Sequence[str], values: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
        """Return the values with those that have no room as `names.OTHER`, and the labels of these."""
        fitting = []
        full = []
        for label, value in zip(labels, values, strict=True):
            seen = self._seen.get(label, ())
            if value in seen or len(seen) < self._limit or value == names.OTHER:
                fitting.append(value)
            else:
                fitting.append(names.OTHER)
                full.append(label)
        return tuple(fitting), full

    def admit(self, labels: Sequence[str], values: Sequence[str]) -> None:
        """Remember values that `fit` returned: from now on a series has them."""
        for label, value in zip(labels, values, strict=True):
            if value != names.OTHER:
                self._seen.setdefault(label, set()).add(value)
