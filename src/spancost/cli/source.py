# SPDX-License-Identifier: Apache-2.0
"""What the verbs that read traces share: the FILE arguments, problems, progress, and the reading itself."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from spancost.files.recording import Recording
from spancost.files.window import Window
from spancost.otlp import Problem, ReadCounts, read_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spancost.calls.nodes import Call, Node
    from spancost.calls.pricing import Pricer
    from spancost.otlp import Span

MAX_PROBLEMS_SHOWN: Final = 20
_OBJECTS_PER_COLLECTION: Final = 20_000
_PROGRESS_SECONDS: Final = 0.2
STDIN: Final = "-"

FILES_HELP: Final = (
    "recorded spans: OTLP JSON lines (as the Collector's file exporter writes them) or OTLP protobuf, "
    "plain, gzip or zstd; several files are one recording; - is standard input"
)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what to read and how."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    parser.add_argument(
        "--across-services",
        action="store_true",
        help="treat a parent span in another service as any other parent, so that a service and its "
        "gateway count a call once and agents are inherited; without it a remote parent is a boundary",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


class Problems:
    """Shows what could not be read, the first few one by one, and counts the rest."""

    def __init__(self, stream: TextIO) -> None:
        self.count = 0
        self._stream = stream

    def __call__(self, problem: Problem) -> None:
        """Take one problem."""
        self.count += 1
        if self.count <= MAX_PROBLEMS_SHOWN:
            print(f"spancost: {problem}", file=self._stream)

    def close(self) -> None:
        """Say how much was not shown, and that the result lacks it."""
        if self.count > MAX_PROBLEMS_SHOWN:
            print(f"spancost: {self.count - MAX_PROBLEMS_SHOWN} more problems not shown", file=self._stream)
        if self.count:
            print("spancost: what could not be read is missing from the result", file=self._stream)


class Progress:
    """One line on a terminal that says how far reading is; silent anywhere else."""

    def __init__(self, files: list[str], counts: ReadCounts, *, quiet: bool) -> None:
        self._counts = counts
        self._shown = False
        self._next = time.monotonic() + _PROGRESS_SECONDS
        self._on = not quiet and sys.stderr.isatty()
        self._total = 0 if STDIN in files else sum(p.stat().st_size for p in map(Path, files) if p.is_file())

    def tick(self) -> None:
        """Show the line anew, a few times a second."""
        if not self._on or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PROGRESS_SECONDS
        counts = self._counts
        share = f" {100 * counts.bytes_read // self._total}%" if self._total else ""
        sys.stderr.write(
            f"\rreading{share}  {counts.spans:,} spans  {counts.bytes_read / 1e6:,.0f} MB \x1b[K"
        )
        sys.stderr.flush()
        self._shown = True

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def read_and_replay(
    options: argparse.Namespace,
    price: Pricer,
    problems: Problems,
    emit: Callable[[Call], None],
    on_end: Callable[[Node], None] | None = None,
    *,
    keep_names: bool = False,
) -> tuple[ReadCounts, list[tuple[str, str]]]:
    """
    Read every file and run its spans through the engine.

    Args:
        options: The arguments that say what to read and how.
        price: Prices the calls.
        problems: Takes what cannot be read.
        emit: Takes each settled call.
        on_end: Takes each span, if wanted.
        keep_names: Keep the spans' names.

    Returns:
        What was read, and what to know about the instrumentations seen.
    """
    with _calm_collector():
        return _read_and_replay(options, price, problems, emit, on_end, keep_names=keep_names)


def _read_and_replay(
    options: argparse.Namespace,
    price: Pricer,
    problems: Problems,
    emit: Callable[[Call], None],
    on_end: Callable[[Node], None] | None,
    *,
    keep_names: bool,
) -> tuple[ReadCounts, list[tuple[str, str]]]:
    counts = ReadCounts()
    settings = {"across_services": options.across_services, "keep_names": keep_names}
    if STDIN in options.files:
        # It cannot be read twice, and may never end.
        window = Window(price, emit, on_end, **settings)
        _read(options, problems, counts, window.add)
        window.finish()
        return counts, window.stack_notes()
    recording = Recording(**settings)
    _read(options, problems, counts, recording.add)
    recording.replay(price, emit, on_end)
    return counts, recording.stack_notes()


@contextmanager
def _calm_collector() -> Iterator[None]:
    """
    Collect cyclic garbage less often while it lasts: a call and its spans refer to each other.

    Decoding makes so many objects that by default it is collected every few hundred spans, over
    everything that is alive: 5% of the time where every span is of interest.
    """
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _read(
    options: argparse.Namespace, problems: Problems, counts: ReadCounts, add: Callable[[Span], None]
) -> None:
    progress = Progress(options.files, counts, quiet=options.quiet)
    try:
        for span in read_spans(options.files, on_problem=problems, counts=counts):
            add(span)
            if not counts.spans & 0x3FF:
                progress.tick()
    finally:
        progress.close()
