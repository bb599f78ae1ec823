# SPDX-License-Identifier: Apache-2.0
"""
What is counted for one label set: integers that only grow, in one list.

The counters that most calls touch have fixed places in the list, the same in every record; what
few calls have gets a place behind these when it is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spancost.cost import cache_effect
from spancost.meter.cells import Kept
from spancost.meter.places import (
    AT,
    CALL_AT,
    COST_AT,
    COST_ENDS,
    COSTS_FROM,
    DURATION_AT,
    DURATION_ENDS,
    DURATION_SUM,
    FIXED,
    HOUR_AT,
    HOUR_COST_AT,
    INPUT_AT,
    INPUT_COST_AT,
    LOCAL_AT,
    OUTPUT_AT,
    OUTPUT_COST_AT,
    PREMIUM_AT,
    READ_AT,
    READ_COST_AT,
    REASONING_AT,
    SAVINGS_AT,
    TEXT_AT,
    TOKENS_AT,
    WIDTH,
    WRITE_AT,
    WRITE_COST_AT,
)
from spancost.prices.cards import CACHE_READ, INPUT, OUTPUT
from spancost.usage.meaning import make_usage
from spancost.usage.values import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spancost.cost import Cost
    from spancost.meter.gate import Gate
    from spancost.meter.places import Place
    from spancost.prices.cards import Line
    from spancost.usage import Usage

_NO_MORE: Final = (0,) * (len(FIELDS) - 4)

Trace = tuple["str | int", "str | int", int, int, int]
"""A call as a record remembers it for exemplars: trace id, span id, end in ns, cost, duration."""

_ZEROS: Final = [0] * WIDTH
_UNMARKED: Final[list[Trace | None]] = [None] * WIDTH


class Record:
    """
    Everything that is counted for one label set. Its owner holds the lock.

    Args:
        values: The values of the base labels and of the extra labels.
        clock: Seconds since 1970.
        gate: Guards it.
    """

    __slots__ = (
        "about",
        "births",
        "born",
        "carried",
        "cells",
        "clock",
        "gate",
        "kept",
        "marks",
        "noted",
        "places",
        "rates",
        "row",
        "values",
    )

    def __init__(self, values: tuple[str, ...], clock: Callable[[], float], gate: Gate) -> None:
        self.values = values
        self.gate = gate
        self.clock = clock
        self.born = clock()
        self.cells = _ZEROS.copy()
        self.births: dict[int, float] = {}
        """When each counter was born, by its place; the histograms are as old as the record."""
        self.places: dict[Place, int] | None = None
        """Where the counters are that have no fixed place; None while there are none."""
        self.marks: list[Trace | None] = _UNMARKED.copy()
        """The last sampled call of each bucket, by the bucket's place, as long as the list of all places."""
        self.carried: dict[int, int] = {}
        """What a place had when it became too big for a group's file (`workers`); it belongs to the value."""
        self.row: object = None
        """Where it is in a group's file; None outside of a group."""
        self.about: object = None
        """What a group's file says of it beside the numbers; None where that has to be made anew."""
        self.kept = Kept()
        self.rates: Line | None = None
        """The line of rates of the last call of text alone."""
        self.noted = [0] * len(TEXT_AT)
        """The tokens of text, by type, up to which the costs are right (`fold`)."""

    def count(  # noqa: PLR0917 - see `count_text`
        self,
        usage: Usage,
        cost: Cost,
        duration: int | None,
        trace_id: str | int,
        span_id: str | int,
        ended: int,
    ) -> None:
        """
        Count a call as nearly all are: it succeeded, has our own price, and nothing is to be said about it.

        `count_any` gives the same numbers. The caller holds the gate's lock, and the gate is not busy or the
        caller made it so.

        Args:
            usage: What it used.
            cost: Its cost, by our rates.
            duration: How long it took, in nanoseconds; None when that is not known. Below 0, where a clock went
                back, it counts as 0.
            trace_id: Where its exemplar is from; 0 unless the trace can be looked up.
            span_id: Likewise.
            ended: When it ended, in nanoseconds since the epoch.
        """
        gate = self.gate
        gate.busy = True
        try:
            self.count_text(
                cost.rates,
                cost.femto,
                usage.input,
                usage.cache_read,
                usage.cache_write,
                usage.cache_write_1h,
                usage.output,
                usage.reasoning,
                0 if duration is not None and duration < 0 else duration,
                trace_id,
                span_id,
                ended,
                (usage, cost) if cost.amounts.__class__ is not tuple else None,
            )
        finally:
            gate.busy = False
        if gate.late:
            gate.catch_up()

    def count_text(  # noqa: C901, PLR0912, PLR0915, PLR0917 - straight-line code: a step of its own costs as much
        self,
        rates: Line,
        total: int,
        whole: int,
        read: int,
        write: int,
        hour: int,
        output: int,
        reasoning: int,
        duration: int | None,
        trace_id: str | int,
        span_id: str | int,
        ended: int,
        parts: tuple[Usage, Cost] | None = None,
    ) -> None:
        """
        Count a call that used text alone, by its numbers.

        Straight-line code, since it is on the path of every call. The caller holds the gate's lock and has made
        the gate busy.

        Args:
            rates: The line of rates that priced it.
            total: Its cost in 1e-15 USD.
            whole: Its input tokens, cached ones included.
            read: Those of them that were read from a cache.
            write: Those of them that were written to one.
            hour: Those of the written that are kept for an hour or longer.
            output: Its output tokens, reasoning included.
            reasoning: Those of them that were reasoning.
            duration: As for `count`, and so are the next three; not below 0.
            trace_id: See there.
            span_id: See there.
            ended: See there.
            parts: Usage and cost of a call that used more than text.
        """
        cells = self.cells
        bucket = COST_AT[total.bit_length()]
        if total > COST_ENDS[bucket]:
            bucket += 1
        before = cells[bucket]
        if not before:
            self.bear(CALL_AT)
        cells[bucket] = before + 1
        if parts is not None:
            self._count_parts(*parts)
        else:
            if rates is not self.rates:
                self._begin(rates)
            if read or write:
                whole -= read + write
                if read:
                    before = cells[READ_AT]
                    if not before:
                        self._bear_both(READ_AT, READ_COST_AT, rates[CACHE_READ])
                    cells[READ_AT] = before + read
                if write:
                    self.add(HOUR_AT, hour)
                    self.add(WRITE_AT, write - hour)
            if whole:
                before = cells[INPUT_AT]
                if not before:
                    self._bear_both(INPUT_AT, INPUT_COST_AT, rates[INPUT])
                cells[INPUT_AT] = before + whole
            if output:
                before = cells[OUTPUT_AT]
                if not before:
                    self._bear_both(OUTPUT_AT, OUTPUT_COST_AT, rates[OUTPUT])
                cells[OUTPUT_AT] = before + output
        if reasoning:
            before = cells[REASONING_AT]
            if not before:
                self.bear(REASONING_AT)
            cells[REASONING_AT] = before + reasoning
        if duration is not None:
            slot = DURATION_AT[duration.bit_length()]
            if duration > DURATION_ENDS[slot]:
                slot += 1
            cells[slot] += 1
            cells[DURATION_SUM] += duration
            if trace_id:
                marks = self.marks
                marks[slot] = marks[bucket] = (trace_id, span_id, ended, total, duration)
        elif trace_id:
            self.marks[bucket] = (trace_id, span_id, ended, total, 0)
        store = self.gate.store
        if store is not None:
            store.put(self)

    # --- the cost of text tokens: their number times their rate, worked out when somebody asks ------

    def fold(self) -> None:
        """
        Bring the costs up to date with the tokens that were counted since they were.

        Calls of text alone at one line of rates only count tokens: what those cost, and what a cache
        saved, is the same for their sum, in integers. Whoever reads the cells calls this first.
        """
        rates = self.rates
        if rates is None:
            return
        # Straight-line code too: in a group this is done for each call.
        cells, noted = self.cells, self.noted
        plain, read_rate, write_rate, hour_rate, output_rate = rates[: OUTPUT + 1]
        fresh = cells[INPUT_AT] - noted[0]
        read = cells[READ_AT] - noted[1]
        write = cells[WRITE_AT] - noted[2]
        hour = cells[HOUR_AT] - noted[3]
        output = cells[OUTPUT_AT] - noted[4]
        if fresh:
            noted[0] += fresh
            self.add(INPUT_COST_AT, fresh * (plain or 0))
        if output:
            noted[4] += output
            self.add(OUTPUT_COST_AT, output * (output_rate or 0))
        if read:
            noted[1] += read
            self.add(READ_COST_AT, read * (read_rate or 0))
        if write or hour:
            noted[2] += write
            noted[3] += hour
            self.add(WRITE_COST_AT, write * (write_rate or 0))
            self.add(HOUR_COST_AT, hour * (hour_rate or 0))
            cached = write + hour
            self._count_effect(make_usage(read + cached, read, cached, hour, *_NO_MORE), rates)
        elif read and plain is not None and read_rate is not None:
            saved = read * (plain - read_rate)
            self.add(SAVINGS_AT if saved > 0 else PREMIUM_AT, abs(saved))

    def note(self) -> None:
        """Note that the costs are right up to the tokens there are now."""
        cells = self.cells
        self.noted = [cells[at] for at in TEXT_AT]

    def _begin(self, rates: Line) -> None:
        """Count at other rates from now on."""
        self.fold()
        self.rates = rates
        self.note()

    def _count_parts(self, usage: Usage, cost: Cost) -> None:
        """Count the tokens and the cost of a call that used more than text."""
        self.fold()
        for name, number in usage.by_token_type().items():
            self.add(TOKENS_AT[name], number)
        for part, femto in cost.femto_parts.items():
            self.add(LOCAL_AT[part], femto)
        self._count_effect(usage, cost.rates)
        self.note()

    def _count_effect(self, usage: Usage, rates: Line) -> None:
        saved, premium = cache_effect(usage, rates)
        if saved:
            self.add(SAVINGS_AT, saved)
        if premium:
            self.add(PREMIUM_AT, premium)

    def expect(self, places: Iterable[Place]) -> None:
        """Let counters be born at 0, before the first call of theirs."""
        for place in places:
            self.bear(self.place(*place))

    def shape(self) -> list[Place]:
        """Return the places of the counters that exist; the caller holds the lock."""
        self.fold()
        behind = list(self.places or ())
        return [FIXED[at] if at < COSTS_FROM else behind[at - WIDTH] for at in self.births]

    def place(self, *place: str) -> int:
        """Return where a counter is, after making room for it."""
        at = AT.get(place)
        if at is not None:
            return at
        if self.places is None:
            self.places = {}
        at = self.places.get(place)
        if at is None:
            at = self.places[place] = len(self.cells)
            self.cells.append(0)
        return at

    def add(self, at: int, amount: int) -> None:
        """Add to a counter that may have to be born first; nothing leaves it unborn."""
        if amount:
            if not self.cells[at]:
                self.bear(at)
            self.cells[at] += amount

    def _bear_both(self, at: int, cost_at: int, rate: int | None) -> None:
        """Let a counter of tokens be born, and with it that of what they cost."""
        self.bear(at)
        if rate:
            self.bear(cost_at)
            if cost_at == READ_COST_AT:
                self.bear(SAVINGS_AT)

    def bear(self, at: int) -> None:
        """Let a counter be born, unless it was before."""
        if at not in self.births:
            self.births[at] = self.clock()
            self.about = None
