# SPDX-License-Identifier: Apache-2.0
"""Reading recorded spans: from sources to spans, and to problems."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import IO, Any, cast

import msgspec

from spancost.errors import InputError
from spancost.otlp import _json_tolerant, _json_typed
from spancost.otlp._fields import BrokenError
from spancost.otlp.values import MAX_RECORD_BYTES, OnProblem, Problem, ReadCounts, Span


def read_spans(
    sources: Iterable[str | PathLike[str]],
    *,
    on_problem: OnProblem | None = None,
    counts: ReadCounts | None = None,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Span]:
    """
    Yield the spans of recorded traces, in the order they were written.

    Args:
        sources: Files in the order they are to be read; ``-`` is standard input.
        on_problem: Called with each problem; what it is about is skipped and reading goes on.
            Without it the first problem is raised.
        counts: Filled while reading.
        max_record_bytes: The most decompressed bytes that one line or message may have.

    Raises:
        InputError: A problem, if there is no ``on_problem``.
    """
    counts = ReadCounts() if counts is None else counts

    def report(problem: Problem) -> None:
        counts.problems += 1
        if on_problem is None:
            raise InputError(str(problem))
        on_problem(problem)

    for source in sources:
        name = str(source)
        stream: IO[bytes] = sys.stdin.buffer if name == "-" else open(source, "rb")  # noqa: SIM115
        head = cast("Any", stream).peek(2)[:2]
        if head == b"\x1f\x8b":
            stream = cast("IO[bytes]", gzip.open(stream))
        for number, line in enumerate(stream, 1):
            if line.isspace():
                continue
            spans = _line_spans(line, lambda text, number=number: report(Problem(name, "line", number, text)))
            counts.spans += len(spans)
            yield from spans


def _line_spans(line: bytes, broken):
    try:
        request = _json_typed.decode_request(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        return _json_typed.spans_of(request, broken)
    try:
        return _json_tolerant.spans_of(_json_tolerant.decode_document(line), broken)
    except _json_tolerant.OtherSignal:
        return []
    except BrokenError as error:
        broken(str(error))
        return []
