# SPDX-License-Identifier: Apache-2.0
"""What a meter counts as rows of a file, and back: MessagePack, 0.3 us for a label set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from spancost.meter import names
from spancost.meter.cells import COST_BOUNDS, Buckets, Count, RunCopy
from spancost.meter.gate import Gate
from spancost.meter.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spancost.meter.cells import Kept, Run
    from spancost.meter.records import Trace

RECORD: Final = 0
RUN: Final = 1
PROCESS: Final = 2
MEMBER: Final = 3

_BIG: Final = 1 << 63
_NO_GATE: Final = Gate(None)
"""Of records that are read, and never count anything."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


def pack_record(record: Record) -> bytes:
    """Return a row of a label set; numbers beyond 64 bits move to what is written when it changes."""
    record.fold()
    about = record.about
    if about is None:
        about = record.about = _about(record)
    try:
        return _encode((RECORD, about, record.cells, record.marks))
    except OverflowError:
        for at, value in enumerate(record.cells):
            if value >= _BIG:
                record.carried[at] = record.carried.get(at, 0) + value
                record.cells[at] = 0
        record.note()
        record.marks = [None if mark is None else _plain(mark) for mark in record.marks]
        return _encode((RECORD, _about(record), record.cells, record.marks))


def _about(record: Record) -> msgspec.Raw:
    """Return what of a label set changes seldom."""
    places = [list(place) for place in record.places or ()]
    carried = {at: str(value) for at, value in record.carried.items()}
    about = record.about = msgspec.Raw(_encode((record.values, record.born, record.births, places, carried)))
    return about


def _plain(mark: Trace) -> Trace:
    trace_id, span_id, ended, cost, duration = mark
    return (hex_of(trace_id, 32), hex_of(span_id, 16), ended, cost, duration)


def hex_of(identifier: str | int, digits: int) -> str:
    """Return an id of a trace or span as text."""
    return identifier if isinstance(identifier, str) else f"{identifier:0{digits}x}"


def pack_run(run: Run) -> bytes:
    """Return a row of the runs of one agent."""
    cost = run.cost
    marks = {
        at: (str(value), (hex_of(trace_id, 32), hex_of(span_id, 16), when))
        for at, (value, (trace_id, span_id, when)) in cost.marks.items()
    }
    return _encode((RUN, run.values, cost.born, cost.counts, str(cost.total), marks))


def pack_process(counts: Sequence[Count], pending: int) -> bytes:
    """Return a row of the counters that belong to no label set."""
    found = [(count.spec.name, count.own, str(count.value), count.born) for count in counts]
    return _encode((PROCESS, found, pending))


def pack_member(member: Sequence[object]) -> bytes:
    """Return the row that says whose file it is."""
    return _encode((MEMBER, *member))


def unpack(data: bytes) -> tuple[int, list[Any]]:
    """
    Return what kind of row it is, and what it says.

    Raises:
        ValueError: It is no row of ours.
    """
    kind, *said = _decode(data)
    return kind, said


def record_of(said: Sequence[Any]) -> Record:
    """Return a label set as its row has it."""
    (values, born, births, places, carried), cells, marks = said
    record = Record(tuple(values), lambda: born, _NO_GATE)
    record.cells = cells
    record.births = births
    record.places = {tuple(place): at for at, place in enumerate(places, len(cells) - len(places))} or None
    record.carried = {at: int(value) for at, value in carried.items()}
    record.marks = [None if mark is None else tuple(mark) for mark in marks]
    return record


def run_of(said: Sequence[Any], kept: Kept) -> RunCopy:
    """Return the runs of an agent as their row has them."""
    values, born, counts, total, marks = said
    buckets = Buckets(COST_BOUNDS, born)
    buckets.counts = counts
    buckets.total = int(total)
    buckets.marks = {at: (int(value), tuple(mark)) for at, (value, mark) in marks.items()}
    return RunCopy(tuple(values), buckets, kept)


def counts_of(said: Sequence[Any]) -> list[Count]:
    """Return counters as their row has them."""
    return [Count(names.BY_NAME[name], tuple(own), int(value), born) for name, own, value, born in said[0]]
