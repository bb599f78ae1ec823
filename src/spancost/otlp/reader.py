# SPDX-License-Identifier: Apache-2.0
"""Reading recorded spans: from sources to spans, and to problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from os import PathLike, fspath
from typing import Final, Literal

import msgspec

from spancost.errors import InputError
from spancost.otlp import _json_tolerant, _json_typed
from spancost.otlp._fields import BrokenError, OtherSignal
from spancost.otlp._formats import EXPECTED, HEAD_BYTES, Format, describe, detect
from spancost.otlp._records import Records, documents, frames, lines, requests
from spancost.otlp._streams import ZSTD_MAGIC, decompress, open_chunks, peek, unzstd
from spancost.otlp.values import MAX_RECORD_BYTES, OnProblem, Problem, ReadCounts, Span

MAX_FOREIGN_RECORDS: Final = 100
"""A source that begins with as many broken records and no good one is given up."""


def read_spans(
    sources: Iterable[str | PathLike[str]],
    *,
    on_problem: OnProblem | None = None,
    counts: ReadCounts | None = None,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Span]:
    """
    Yield the spans of recorded traces, in the order they were written.

    The format is told by content: OTLP JSON (lines, or documents over several lines) or OTLP
    protobuf (bare, or framed by the Collector's file exporter, its messages compressed or not),
    as a whole plain or compressed with gzip or zstd. Metrics, logs and profiles are passed over.

    Args:
        sources: Files in the order they are to be read, rotated ones oldest first; ``-`` is
            standard input.
        on_problem: Called with each problem; what it is about is skipped and reading goes on.
            Without it the first problem is raised.
        counts: Filled while reading.
        max_record_bytes: The most decompressed bytes that one line or message may have. Memory
            is bounded by a few times the largest one there is, whatever the size of the source.

    Raises:
        InputError: A problem, if there is no ``on_problem``.
        TypeError: ``sources`` is one path.
    """
    if isinstance(sources, (str, bytes, PathLike)):
        raise TypeError(f"sources must be a list of paths, not {sources!r}")
    counts = ReadCounts() if counts is None else counts
    for source in sources:
        yield from _Source(fspath(source), on_problem, counts, max_record_bytes).spans()


class _Source:
    """One source while it is read."""

    def __init__(self, name: str, on_problem: OnProblem | None, counts: ReadCounts, limit: int) -> None:
        self._name = name
        self._on_problem = on_problem
        self._counts = counts
        self._limit = limit
        self._unit: Literal["line", "message", "source"] = "source"
        self._number = 0
        self._is_ours = False

    def spans(self) -> Iterator[Span]:
        try:
            with open_chunks(self._name, self._counts) as stored:
                yield from self._records(stored)
        except OSError as error:
            self._give_up(f"cannot be read: {error.strerror or error}")
        except BrokenError as error:
            self._give_up(str(error))

    def _records(self, stored: Iterator[bytes]) -> Iterator[Span]:
        chunks = decompress(stored)
        head, found = b"", None
        # a pipe may bring its first bytes one by one, and a decision needs only few
        for size in (16, HEAD_BYTES):
            head, chunks = peek(chunks, size)
            found = detect(head)
            if found is not None:
                break
        if found is None:
            raise BrokenError(f"{describe(head)}; {EXPECTED}")
        records, decode = self._reading(found, chunks)
        for self._number, record in records:
            self._counts.records += 1
            if record is None:
                self._broken(f"above the limit of {self._limit:,} bytes, skipped")
                continue
            spans = self._decoded(decode, record)
            self._counts.spans += len(spans)
            yield from spans

    def _reading(
        self, found: Format, chunks: Iterator[bytes]
    ) -> tuple[Records, Callable[[bytes, OnBroken], list[Span]]]:
        if found is Format.JSON:
            self._unit = "line"
            return documents(lines(chunks, self._limit), self._limit), decode_json
        self._unit = "message"
        if found is Format.FRAMES:
            return frames(chunks, self._limit), self._decode_frame
        from spancost.otlp import _protobuf  # noqa: PLC0415  (JSON needs none of it, and it loads slowly)

        return requests(chunks, self._limit), _protobuf.spans_of

    def _decoded(self, decode: Callable[[bytes, OnBroken], list[Span]], record: bytes) -> list[Span]:
        try:
            spans = decode(record, self._broken)
        except OtherSignal:
            self._counts.other_signals += 1
            self._is_ours = True
            return []
        except BrokenError as error:
            self._broken(str(error))
            if self._number >= MAX_FOREIGN_RECORDS and not self._is_ours:
                raise BrokenError(f"given up after {self._number} that are none; {EXPECTED}") from None
            return []
        self._is_ours = True
        return spans

    def _decode_frame(self, message: bytes, broken: OnBroken) -> list[Span]:
        if message.startswith(ZSTD_MAGIC):
            parts, size = [], 0
            for part in unzstd([message]):
                size += len(part)
                if size > self._limit:
                    raise BrokenError(f"above the limit of {self._limit:,} bytes decompressed, skipped")
                parts.append(part)
            message = b"".join(parts)
        if message.startswith(b"{"):
            return decode_json(message, broken)
        from spancost.otlp import _protobuf  # noqa: PLC0415

        return _protobuf.spans_of(message, broken)

    def _broken(self, text: str) -> None:
        self._report(Problem(self._name, self._unit, self._number, text))

    def _give_up(self, text: str) -> None:
        if self._number:
            text = f"after {self._unit} {self._number}: {text}"
        self._report(Problem(self._name, "source", 0, text))

    def _report(self, problem: Problem) -> None:
        self._counts.problems += 1
        if self._on_problem is None:
            raise InputError(str(problem))
        self._on_problem(problem)


OnBroken = Callable[[str], None]


def decode_json(text: bytes, broken: OnBroken) -> list[Span]:
    """
    Return the spans of one JSON document: the typed decoder's, or else the tolerant one's.

    Args:
        text: An ExportTraceServiceRequest, or an array of them.
        broken: Called with the reason for each span that cannot be read.

    Raises:
        BrokenError: It is no such document.
        OtherSignal: It holds metrics, logs or profiles.
    """
    try:
        requests = _json_typed.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if _json_typed.is_other_signal(text):
            raise OtherSignal from None
        return _json_tolerant.spans_of(_json_tolerant.decode_document(text), broken)
    return _json_typed.spans_of(requests, broken)
