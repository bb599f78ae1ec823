# SPDX-License-Identifier: Apache-2.0
"""
What is counted for one label set: integers that only grow, in one list.

The counters that most calls touch have fixed places in the list, the same in every record; what
few calls have gets a place behind these when it is first needed.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from spancost.cost import COST_PARTS, cache_effect
from spancost.meter import names
from spancost.meter.cells import COST_BOUNDS, DURATION_BOUNDS, Buckets, Copy, Count, Kept
from spancost.meter.gate import Gate
from spancost.prices.cards import CACHE_READ, INPUT, OUTPUT, TOKEN_TYPES
from spancost.usage.meaning import make_usage
from spancost.usage.values import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spancost.cost import Cost
    from spancost.meter.metered import MeteredCall
    from spancost.prices.cards import Line
    from spancost.usage import Usage

Place = tuple[str, ...]
"""What a counter is called inside a record: its metric, then the values of its own labels."""

_CALLS: Final = names.CALLS.name
_TOKENS: Final = names.TOKENS.name
_COST: Final = names.COST.name
_REASONING: Final = names.REASONING.name
_SAVINGS: Final = names.CACHE_SAVINGS.name
_PREMIUM: Final = names.CACHE_PREMIUM.name

FIXED: Final[tuple[Place, ...]] = (
    (_CALLS, ""),
    *((_TOKENS, token_type) for token_type in TOKEN_TYPES),
    *((_COST, part, "local") for part in COST_PARTS),
    (_REASONING,),
    (_SAVINGS,),
    (_PREMIUM,),
)
"""The counters with fixed places, in their order from place 0."""

_AT: Final = {place: index for index, place in enumerate(FIXED)}
# What is in the cell of calls that succeeded comes on top of the calls in the cost buckets: nearly all
# calls succeed and are priced, and are counted by their bucket alone.
_CALL_AT: Final = _AT[_CALLS, ""]
_TOKENS_AT: Final = {name: _AT[_TOKENS, name] for name in TOKEN_TYPES}
_LOCAL_AT: Final = {name: _AT[_COST, name, "local"] for name in COST_PARTS}
_INPUT_AT, _OUTPUT_AT = _TOKENS_AT["input"], _TOKENS_AT["output"]
_READ_AT = _TOKENS_AT["cache_read"]
_WRITE_AT, _HOUR_AT = _TOKENS_AT["cache_write"], _TOKENS_AT["cache_write_1h"]
_REASONING_AT, _SAVINGS_AT, _PREMIUM_AT = _AT[_REASONING,], _AT[_SAVINGS,], _AT[_PREMIUM,]
_TEXT: Final = TOKEN_TYPES[: OUTPUT + 1]
_TEXT_AT: Final = tuple(_TOKENS_AT[name] for name in _TEXT)
_INPUT_COST_AT, _READ_COST_AT, _WRITE_COST_AT, _HOUR_COST_AT, _OUTPUT_COST_AT = (
    _LOCAL_AT[name] for name in _TEXT
)
_NO_MORE: Final = (0,) * (len(FIELDS) - 4)

COSTS_FROM: Final = len(FIXED)
"""Where the cost buckets begin; their sum is that of the costs by token type, and kept nowhere else."""
DURATIONS_FROM: Final = COSTS_FROM + len(COST_BOUNDS) + 1
"""Where the duration buckets begin; behind the last one is the sum."""
DURATION_SUM: Final = DURATIONS_FROM + len(DURATION_BOUNDS) + 1
WIDTH: Final = DURATION_SUM + 1
"""How many places are the same in every record."""

Trace = tuple["str | int", "str | int", int, int, int]
"""A call as a record remembers it for exemplars: trace id, span id, end in ns, cost, duration."""

# A search among the bounds takes 5 % of all of this. Each bound is at least twice the one before, so a
# number's length in bits leaves two buckets, and one comparison decides.
_BITS: Final = 1_024


def _places_by_bits(first: int, bounds: tuple[int, ...]) -> list[int]:
    """Return, by a number's length in bits, the place of the bucket of the least number of that length."""
    return [first, *(first + bisect_left(bounds, 1 << bits) for bits in range(_BITS))]


def _ends_by_place(first: int, bounds: tuple[int, ...]) -> list[int]:
    """Return the upper bounds by place; the last bucket ends above every number there is."""
    return [0] * first + [*bounds, 1 << _BITS]


_COST_AT: Final = _places_by_bits(COSTS_FROM, COST_BOUNDS)
_COST_ENDS: Final = _ends_by_place(COSTS_FROM, COST_BOUNDS)
_DURATION_AT: Final = _places_by_bits(DURATIONS_FROM, DURATION_BOUNDS)
_DURATION_ENDS: Final = _ends_by_place(DURATIONS_FROM, DURATION_BOUNDS)

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
        self.noted = [0] * len(_TEXT_AT)
        """The tokens of text, by type, up to which the costs are right (`fold`)."""

    def count(  # noqa: C901, PLR0912, PLR0915, PLR0917 - straight-line code: a step of its own costs as much
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

        Straight-line code, since it is on the path of every call; `count_any` gives the same numbers.
        The caller holds the gate's lock, and the gate is not busy or the caller made it so.

        Args:
            usage: What it used.
            cost: Its cost, by our rates.
            duration: How long it took, in nanoseconds; None when that is not known.
            trace_id: Where its exemplar is from; 0 unless the trace can be looked up.
            span_id: Likewise.
            ended: When it ended, in nanoseconds since the epoch.
        """
        gate = self.gate
        gate.busy = True
        try:
            cells = self.cells
            total = cost.femto
            bucket = _COST_AT[total.bit_length()]
            if total > _COST_ENDS[bucket]:
                bucket += 1
            before = cells[bucket]
            if not before:
                self._bear(_CALL_AT)
            cells[bucket] = before + 1
            if cost.amounts.__class__ is not tuple:
                self._count_parts(usage, cost)
            else:
                if cost.rates is not self.rates:
                    self._begin(cost.rates)
                fresh = usage.input
                read = usage.cache_read
                if read or usage.cache_write:
                    fresh -= read + usage.cache_write
                    if read:
                        before = cells[_READ_AT]
                        if not before:
                            self._bear_both(_READ_AT, _READ_COST_AT, cost.rates[CACHE_READ])
                        cells[_READ_AT] = before + read
                    if usage.cache_write:
                        self._add(_HOUR_AT, usage.cache_write_1h)
                        self._add(_WRITE_AT, usage.cache_write - usage.cache_write_1h)
                if fresh:
                    before = cells[_INPUT_AT]
                    if not before:
                        self._bear_both(_INPUT_AT, _INPUT_COST_AT, cost.rates[INPUT])
                    cells[_INPUT_AT] = before + fresh
                output = usage.output
                if output:
                    before = cells[_OUTPUT_AT]
                    if not before:
                        self._bear_both(_OUTPUT_AT, _OUTPUT_COST_AT, cost.rates[OUTPUT])
                    cells[_OUTPUT_AT] = before + output
            reasoning = usage.reasoning
            if reasoning:
                before = cells[_REASONING_AT]
                if not before:
                    self._bear(_REASONING_AT)
                cells[_REASONING_AT] = before + reasoning
            if duration is not None:
                slot = _DURATION_AT[duration.bit_length()] if duration > 0 else DURATIONS_FROM
                if duration > _DURATION_ENDS[slot]:
                    slot += 1
                cells[slot] += 1
                cells[DURATION_SUM] += duration
                if trace_id:
                    marks = self.marks
                    marks[slot] = marks[bucket] = (trace_id, span_id, ended, total, duration)
            elif trace_id:
                self.marks[bucket] = (trace_id, span_id, ended, total, 0)
            if gate.store is not None:
                gate.store.put(self)
        finally:
            gate.busy = False
        if gate.late:
            gate.catch_up()

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
        fresh = cells[_INPUT_AT] - noted[0]
        read = cells[_READ_AT] - noted[1]
        write = cells[_WRITE_AT] - noted[2]
        hour = cells[_HOUR_AT] - noted[3]
        output = cells[_OUTPUT_AT] - noted[4]
        if fresh:
            noted[0] += fresh
            self._add(_INPUT_COST_AT, fresh * (plain or 0))
        if output:
            noted[4] += output
            self._add(_OUTPUT_COST_AT, output * (output_rate or 0))
        if read:
            noted[1] += read
            self._add(_READ_COST_AT, read * (read_rate or 0))
        if write or hour:
            noted[2] += write
            noted[3] += hour
            self._add(_WRITE_COST_AT, write * (write_rate or 0))
            self._add(_HOUR_COST_AT, hour * (hour_rate or 0))
            cached = write + hour
            self._count_effect(make_usage(read + cached, read, cached, hour, *_NO_MORE), rates)
        elif read and plain is not None and read_rate is not None:
            saved = read * (plain - read_rate)
            self._add(_SAVINGS_AT if saved > 0 else _PREMIUM_AT, abs(saved))

    def note(self) -> None:
        """Note that the costs are right up to the tokens there are now."""
        cells = self.cells
        self.noted = [cells[at] for at in _TEXT_AT]

    def _begin(self, rates: Line) -> None:
        """Count at other rates from now on."""
        self.fold()
        self.rates = rates
        self.note()

    def _count_parts(self, usage: Usage, cost: Cost) -> None:
        """Count the tokens and the cost of a call that used more than text."""
        self.fold()
        for name, number in usage.by_token_type().items():
            self._add(_TOKENS_AT[name], number)
        for part, femto in cost.femto_parts.items():
            self._add(_LOCAL_AT[part], femto)
        self._count_effect(usage, cost.rates)
        self.note()

    def _count_effect(self, usage: Usage, rates: Line) -> None:
        saved, premium = cache_effect(usage, rates)
        if saved:
            self._add(_SAVINGS_AT, saved)
        if premium:
            self._add(_PREMIUM_AT, premium)

    def count_any(self, call: MeteredCall, error_type: str) -> None:
        """Count any call, its error type given as the label has it."""
        self.fold()
        self._count_outcome(error_type, priced=call.cost_parts is not None)
        trace = None
        if call.sampled:
            end = call.ended_ns
            trace = (call.trace_id, call.span_id, round(self.clock() * 10**9) if end is None else end)
        total = 0
        if call.cost_parts is not None:
            total = sum(call.cost_parts.values())
            for part, femto in call.cost_parts.items():
                if femto:
                    self._add(self._place(_COST, part, call.cost_source), femto)
            self._observe(COSTS_FROM, COST_BOUNDS, total, trace, (total, call.duration_ns or 0))
        if call.duration_ns is not None:
            both = (total, call.duration_ns)
            self.cells[DURATION_SUM] += call.duration_ns
            self._observe(DURATIONS_FROM, DURATION_BOUNDS, call.duration_ns, trace, both)
        if "cached_response" not in call.flags:
            for name, number in call.tokens.items():
                if number:
                    self._add(self._place(_TOKENS, name), number)
            self._add(_REASONING_AT, call.reasoning)
        self._add(_SAVINGS_AT, call.cache_read_savings)
        self._add(_PREMIUM_AT, call.cache_write_premium)
        self._count_rare(call, total)
        self.note()

    def _count_outcome(self, error_type: str, *, priced: bool) -> None:
        """Count that a call succeeded or failed."""
        if error_type:
            self._add(self._place(_CALLS, error_type), 1)
            if priced:
                # Born with it, since the next call that succeeds looks only whether its bucket has any.
                self._bear(_CALL_AT)
                self.cells[_CALL_AT] -= 1
        else:
            self._bear(_CALL_AT)
            self.cells[_CALL_AT] += not priced

    def _count_rare(self, call: MeteredCall, total: int) -> None:
        """Count what few calls have."""
        for flag in call.flags:
            self._add(self._place(names.FLAGGED.name, flag), 1)
        if call.unpriced_reason:
            self._add(self._place(names.UNPRICED.name, call.unpriced_reason), 1)
        if call.failed and total:
            self._add(self._place(names.FAILED_COST.name), total)
        if call.reported is not None and call.estimated is not None:
            self._bear(self._place(names.REPORTED.name))
            self._bear(self._place(names.ESTIMATED.name))
            self._add(self._place(names.REPORTED.name), call.reported)
            self._add(self._place(names.ESTIMATED.name), call.estimated)

    def _observe(
        self,
        first: int,
        bounds: tuple[int, ...],
        value: int,
        trace: tuple[str | int, str | int, int] | None,
        both: tuple[int, int],
    ) -> None:
        """Count a value in the histogram whose buckets begin at a place."""
        bucket = first + bisect_left(bounds, value)
        self.cells[bucket] += 1
        if trace is not None:
            self.marks[bucket] = (*trace, *both)

    def expect(self, places: Iterable[Place]) -> None:
        """Let counters be born at 0, before the first call of theirs."""
        for place in places:
            self._bear(self._place(*place))

    def shape(self) -> list[Place]:
        """Return the places of the counters that exist; the caller holds the lock."""
        self.fold()
        behind = list(self.places or ())
        return [FIXED[at] if at < COSTS_FROM else behind[at - WIDTH] for at in self.births]

    def _place(self, *place: str) -> int:
        """Return where a counter is, after making room for it."""
        at = _AT.get(place)
        if at is not None:
            return at
        if self.places is None:
            self.places = {}
        at = self.places.get(place)
        if at is None:
            at = self.places[place] = len(self.cells)
            self.cells.append(0)
        return at

    def _add(self, at: int, amount: int) -> None:
        """Add to a counter that may have to be born first; nothing leaves it unborn."""
        if amount:
            if not self.cells[at]:
                self._bear(at)
            self.cells[at] += amount

    def _bear_both(self, at: int, cost_at: int, rate: int | None) -> None:
        """Let a counter of tokens be born, and with it that of what they cost."""
        self._bear(at)
        if rate:
            self._bear(cost_at)
            if cost_at == _READ_COST_AT:
                self._bear(_SAVINGS_AT)

    def _bear(self, at: int) -> None:
        if at not in self.births:
            self.births[at] = self.clock()
            self.about = None

    def copy(self) -> Copy:
        """Return the record as it is now; the caller holds the lock."""
        self.fold()
        counts = [
            Count(*_SPECS[place] if place in _SPECS else spec_of(place), self._value(at), born)
            for place, (at, born) in zip(self.shape(), self.births.items(), strict=True)
        ]
        cost = self._buckets(COSTS_FROM, COST_BOUNDS)
        cost.total = sum(count.value for count in counts if count.spec is names.COST)
        duration = self._buckets(DURATIONS_FROM, DURATION_BOUNDS)
        duration.total = self._value(DURATION_SUM)
        return Copy(self.values, counts, cost, duration, self.kept)

    @classmethod
    def of(cls, copy: Copy) -> Record:
        """Return a record that says what a copy of one says."""
        record = cls(copy.values, lambda: copy.cost.born, Gate(None))
        for count in copy.counts:
            at = record._place(count.spec.name, *count.own)
            record.births[at] = count.born
            record.cells[at] = count.value
        for first, buckets, is_cost in (
            (COSTS_FROM, copy.cost, True),
            (DURATIONS_FROM, copy.duration, False),
        ):
            record.cells[first : first + len(buckets.counts)] = buckets.counts
            for index, (value, (trace_id, span_id, at_s)) in buckets.marks.items():
                both = (value, 0) if is_cost else (0, value)
                record.marks[first + index] = (trace_id, span_id, round(at_s * 10**9), *both)
        record.cells[_CALL_AT] -= sum(copy.cost.counts)
        record.cells[DURATION_SUM] = copy.duration.total
        record.kept = copy.kept
        return record

    def _value(self, at: int) -> int:
        if at == _CALL_AT:
            return self.cells[at] + sum(self.cells[COSTS_FROM:DURATIONS_FROM])
        return self.cells[at] + self.carried[at] if at in self.carried else self.cells[at]

    def _buckets(self, first: int, bounds: tuple[int, ...]) -> Buckets:
        """Return the histogram whose buckets begin at a place."""
        buckets = Buckets(bounds, self.born)
        end = first + len(bounds) + 1
        buckets.counts = self.cells[first:end]
        for at, trace in enumerate(self.marks[first:end], first):
            if trace is not None:
                trace_id, span_id, ended, cost, duration = trace
                value = cost if first == COSTS_FROM else duration
                buckets.marks[at - first] = (value, (trace_id, span_id, ended / 10**9))
        return buckets


def spec_of(place: Place) -> tuple[names.Spec, tuple[str, ...]]:
    """Return a counter's metric and its own label values."""
    return names.BY_NAME[place[0]], place[1:]


_SPECS: Final = {place: spec_of(place) for place in FIXED}
