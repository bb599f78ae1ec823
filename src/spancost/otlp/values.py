# SPDX-License-Identifier: Apache-2.0
"""What reading gives: a span, a problem, and the counts of a reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec import Struct

MAX_RECORD_BYTES: Final = 256 * 1024 * 1024
"""A line or message above this many decompressed bytes is reported and skipped, never held."""


class Span(Struct, gc=False):
    """
    One recorded span, without its events and links.

    Args:
        trace_id: 32 lower-case hex digits.
        span_id: 16 lower-case hex digits.
        parent_id: 16 lower-case hex digits, empty for a root.
        name: The span's name.
        kind: OTLP's enum, 0 (unspecified) to 5 (consumer).
        start: Nanoseconds since 1970, UTC.
        end: The same; None for a span that never ended.
        is_remote_parent: Whether the parent is in another process; None if not recorded.
        failed: Whether the status code is ERROR.
        attributes: Decoded values by key; of a key written twice the last counts.
        resource: The resource's attributes, one object shared by all its spans.
        scope_name: Name of the instrumentation scope, empty if absent.
        scope_version: Version of the instrumentation scope, empty if absent.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: int
    end: int | None
    is_remote_parent: bool | None
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope_name: str
    scope_version: str


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Something that could not be read, and was skipped.

    Args:
        source: The file as it was named, ``-`` for standard input.
        unit: What ``number`` counts from 1: a line or a message; ``source`` if all of it is meant.
        number: Which line or message, 0 for the source as a whole.
        text: What was seen and what was expected.
    """

    source: str
    unit: Literal["line", "message", "source"]
    number: int
    text: str

    def __str__(self) -> str:
        """Return the problem as one line of text."""
        where = "" if self.unit == "source" else f"{self.unit} {self.number}: "
        return f"{self.source}: {where}{self.text}"


@dataclass(slots=True)
class ReadCounts:
    """
    What one reading met so far; pass one in to have it filled.

    Args:
        bytes_read: Bytes as stored, compressed ones where the source is compressed.
        records: Lines and messages that were read.
        spans: Spans that were given out.
        other_signals: Lines and messages of metrics, logs or profiles, skipped.
        problems: Problems reported.
    """

    bytes_read: int = 0
    records: int = 0
    spans: int = 0
    other_signals: int = 0
    problems: int = 0


OnProblem = Callable[[Problem], object]
