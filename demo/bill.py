# SPDX-License-Identifier: Apache-2.0
"""
The bill of the local provider: what it answered, and what it told the client about usage.

It is kept apart from everything that spancost reads: it never sees a span. So a bill, the amounts on
the spans and the counters of ``/metrics`` are three accounts of the same calls that can be compared.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

    from spancost import Cost, PriceBook, Unpriced, Usage


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One answered call.

    Args:
        number: Its place on the bill, from 1.
        at: When it was asked, UTC.
        api: ``openai.chat``, ``openai.responses``, ``openai.embeddings``, ``anthropic.messages``
            or ``gemini.generate``.
        provider: Who would send the bill, by its OpenTelemetry name.
        requested_model: The model in the request.
        model: The model in the answer.
        caller: The marker in the system prompt, such as ``planner`` for ``[[planner]]`` (of embeddings:
            the request's ``user``); None without.
        turn: How many turns of the assistant were in the request.
        response_id: As in the answer.
        streamed: Whether the answer was a stream.
        service_tier: As in the answer; None where the API has none.
        delivered: Whether the client was told the whole usage, a part of it or nothing.
        usage: What the client was told, so what any metering can know; None for nothing.
        used: What the call used, told or not.
    """

    number: int
    at: dt.datetime
    api: str
    provider: str
    requested_model: str
    model: str
    caller: str | None
    turn: int
    response_id: str
    streamed: bool
    service_tier: str | None
    delivered: Literal["full", "partial", "none"]
    usage: Usage | None
    used: Usage


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was answered with an error: nobody pays for it."""

    at: dt.datetime
    api: str
    caller: str | None
    status: int


class Priced(NamedTuple):
    """An entry and what its client can know of its cost."""

    entry: Entry
    cost: Cost | Unpriced


@dataclass(slots=True)
class Bill:
    """All calls of one provider, in the order they were answered. Safe to use from several threads."""

    _entries: list[Entry] = field(default_factory=list)
    _refusals: list[Refusal] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def entries(self) -> list[Entry]:
        """The answered calls so far."""
        with self._lock:
            return list(self._entries)

    @property
    def refusals(self) -> list[Refusal]:
        """The requests that got an error so far."""
        with self._lock:
            return list(self._refusals)

    def refuse(self, refusal: Refusal) -> None:
        """Note a request that got an error."""
        with self._lock:
            self._refusals.append(refusal)

    def add(self, entry: Entry) -> None:
        """Note an answered call; it is noted before its answer leaves."""
        with self._lock:
            self._entries.append(entry)

    def priced(self, book: PriceBook, *, after: int = 0) -> list[Priced]:
        """
        Price the entries, exactly.

        Args:
            book: The rates; each call is priced by those of its own time.
            after: Leave out so many entries at the beginning.
        """
        return [
            Priced(
                entry,
                book.price(
                    entry.usage,
                    provider=entry.provider,
                    model=entry.model,
                    request_model=entry.requested_model,
                    at=entry.at,
                    service_tier=entry.service_tier,
                ),
            )
            for entry in self.entries[after:]
        ]
