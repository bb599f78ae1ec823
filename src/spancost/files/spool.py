# SPDX-License-Identifier: Apache-2.0
"""
Facts of spans, set aside between the two passes.

The first pass reads each span once and keeps a few numbers of it in memory. What the second pass
needs of the spans that matter goes here: kept as it is while it is little, packed into a temporary
file beyond.
"""

from __future__ import annotations

import dataclasses
import marshal
import tempfile
from decimal import Decimal
from typing import IO, Any, Final

from spancost._values import maker
from spancost.calls.agents import AgentName
from spancost.calls.facts import Facts
from spancost.calls.kinds import Classification, Kind
from spancost.usage import Reading, Usage
from spancost.usage.values import FIELDS

_PACKED_APART: Final = ("classification", "reading", "agent", "reported_usd")
_PLAIN: Final = tuple(f.name for f in dataclasses.fields(Facts) if f.name not in _PACKED_APART)
MAX_KEPT: Final = 100_000
"""Facts that are kept as they are, 600 bytes each: packing and unpacking would take 20 us a span."""

_make_usage: Final = maker(Usage)
_make_reading: Final = maker(Reading)


class Spool:
    """An append-only store of facts, read back by offset."""

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._kept: list[Facts] = []
        self._file: IO[bytes] | None = None
        self._size = 0

    def put(self, facts: Facts) -> int:
        """Set facts aside and return where they are, 1 or above."""
        kept = self._kept
        if len(kept) < self._max_kept:
            kept.append(facts)
            return len(kept)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        data = marshal.dumps(_pack(facts))
        offset = self._size
        self._file.write(len(data).to_bytes(4, "big") + data)
        self._size += 4 + len(data)
        return self._max_kept + offset + 1

    def get(self, position: int) -> Facts:
        """Return what ``put`` set aside at *position*."""
        if position <= self._max_kept or self._file is None:
            return self._kept[position - 1]
        self._file.seek(position - self._max_kept - 1)
        length = int.from_bytes(self._file.read(4), "big")
        return _unpack(marshal.loads(self._file.read(length)))  # noqa: S302 - our own bytes

    def close(self) -> None:
        """Drop the store."""
        self._kept = []
        if self._file is not None:
            self._file.close()


def _pack(facts: Facts) -> tuple[Any, ...]:
    reading = facts.reading
    packed = None
    if reading is not None:
        packed = (
            tuple(getattr(reading.usage, name) for name in FIELDS),
            reading.rule,
            reading.flags,
            reading.has_output,
            reading.trust,
            _text(reading.reported_usd),
            reading.bad_usage,
            reading.region,
            reading.tier,
        )
    kind, rule, call_type, fallback = facts.classification
    return (
        (int(kind), rule, call_type, fallback),
        packed,
        tuple(facts.agent) if facts.agent else None,
        _text(facts.reported_usd),
        *[getattr(facts, name) for name in _PLAIN],
    )


def _unpack(data: tuple[Any, ...]) -> Facts:
    (kind, rule, call_type, fallback), packed, agent, reported_usd, *plain = data
    reading = None
    if packed is not None:
        counts, reading_rule, flags, has_output, trust, reported, *rest = packed
        usage = _make_usage(*counts)
        reading = _make_reading(usage, reading_rule, flags, has_output, trust, _amount(reported), *rest)
    others: dict[str, Any] = dict(zip(_PLAIN, plain, strict=True))
    return Facts(
        classification=Classification(Kind(kind), rule, call_type, fallback),
        reading=reading,
        agent=AgentName(*agent) if agent else None,
        reported_usd=_amount(reported_usd),
        **others,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def _amount(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)
