# SPDX-License-Identifier: Apache-2.0
"""Any call counted into a record, whatever there is to say about it; nearly all go by `Record.count`."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from spancost.meter import names
from spancost.meter.cells import COST_BOUNDS, DURATION_BOUNDS
from spancost.meter.places import (
    CALL_AT,
    CALLS,
    COST,
    COSTS_FROM,
    DURATION_SUM,
    DURATIONS_FROM,
    PREMIUM_AT,
    REASONING_AT,
    SAVINGS_AT,
    TOKENS,
)

if TYPE_CHECKING:
    from spancost.meter.metered import MeteredCall
    from spancost.meter.records import Record


def count_any(record: Record, call: MeteredCall, error_type: str) -> None:
    """Count any call, its error type given as the label has it."""
    record.fold()
    _count_outcome(record, error_type, priced=call.cost_parts is not None)
    trace = None
    if call.sampled:
        end = call.ended_ns
        trace = (call.trace_id, call.span_id, round(record.clock() * 10**9) if end is None else end)
    total = 0
    if call.cost_parts is not None:
        total = sum(call.cost_parts.values())
        for part, femto in call.cost_parts.items():
            if femto:
                record.add(record.place(COST, part, call.cost_source), femto)
        _observe(record, COSTS_FROM, COST_BOUNDS, total, trace, both=(total, call.duration_ns or 0))
    if call.duration_ns is not None:
        both = (total, call.duration_ns)
        record.cells[DURATION_SUM] += call.duration_ns
        _observe(record, DURATIONS_FROM, DURATION_BOUNDS, call.duration_ns, trace, both=both)
    if "cached_response" not in call.flags:
        for name, number in call.tokens.items():
            if number:
                record.add(record.place(TOKENS, name), number)
        record.add(REASONING_AT, call.reasoning)
    record.add(SAVINGS_AT, call.cache_read_savings)
    record.add(PREMIUM_AT, call.cache_write_premium)
    _count_rare(record, call, total)
    record.note()


def _count_outcome(record: Record, error_type: str, *, priced: bool) -> None:
    """Count that a call succeeded or failed."""
    if error_type:
        record.add(record.place(CALLS, error_type), 1)
        if priced:
            # Born with it, since the next call that succeeds looks only whether its bucket has any.
            record.bear(CALL_AT)
            record.cells[CALL_AT] -= 1
    else:
        record.bear(CALL_AT)
        record.cells[CALL_AT] += not priced


def _count_rare(record: Record, call: MeteredCall, total: int) -> None:
    """Count what few calls have."""
    for flag in call.flags:
        record.add(record.place(names.FLAGGED.name, flag), 1)
    if call.unpriced_reason:
        record.add(record.place(names.UNPRICED.name, call.unpriced_reason), 1)
    if call.failed and total:
        record.add(record.place(names.FAILED_COST.name), total)
    if call.reported is not None and call.estimated is not None:
        record.bear(record.place(names.REPORTED.name))
        record.bear(record.place(names.ESTIMATED.name))
        record.add(record.place(names.REPORTED.name), call.reported)
        record.add(record.place(names.ESTIMATED.name), call.estimated)


def _observe(
    record: Record,
    first: int,
    bounds: tuple[int, ...],
    value: int,
    trace: tuple[str | int, str | int, int] | None,
    *,
    both: tuple[int, int],
) -> None:
    """Count a value in the histogram whose buckets begin at a place."""
    bucket = first + bisect_left(bounds, value)
    record.cells[bucket] += 1
    if trace is not None:
        record.marks[bucket] = (*trace, *both)
