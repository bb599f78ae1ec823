# SPDX-License-Identifier: Apache-2.0
"""
What every benchmark shares: interleaved rounds, instruction counts, tables and a file of results.

Two ways to measure, both meant for a busy machine:

* `interleave`: each round runs every way once, in one process, and a ratio compares what ran in the
  same round. Shown is the median of the rounds' ratios with the lowest and the highest.
* `instructions`: callgrind counts what N repetitions execute beyond none, in a process of its own. It
  repeats to 0.2 %, whatever else the machine does.

A benchmark is a script of this folder named ``bench_<name>.py``:

    options = harness.options(__doc__)              # --quick, --rounds, --json FILE
    report = harness.Report("scrape", __doc__)
    times = harness.interleave({"ours": render_ours, "prometheus_client": render_theirs}, options.rounds)
    report.table(
        "A scrape of 10,000 samples",
        ["way", "CPU beside prometheus_client"],
        [[way, ratio] for way, ratio in harness.ratios(times, "prometheus_client").items()],
    )
    report.finish(options)
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Ratio",
    "Report",
    "instructions",
    "interleave",
    "options",
    "per_repeat",
    "ratio",
    "ratios",
    "version",
]

Way = Callable[[], object]
Times = dict[str, list[float]]

HERE = Path(__file__).resolve().parent
COUNT_LIMIT_S = 900
_COLLECTED = re.compile(r"Collected : (\d+)")
# Nobody's settings may change what is counted, nor a random order of sets.
_FOREIGN = re.compile(r"OTEL_|SPANCOST_|PYTHON(HASHSEED|MALLOC)$")


class Ratio(NamedTuple):
    """How often one thing fits into another: the median over the rounds, and its spread."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 3 if self.median < 2 else 2 if self.median < 10 else 0
        middle, low, high = (f"{number:,.{digits}f}" for number in self)
        return f"{middle}x ({low} to {high})"


# --- time ----------------------------------------------------------------------------------------


def interleave(
    ways: Mapping[str, Way], rounds: int, *, clock: Callable[[], float] = time.process_time, warm: int = 1
) -> Times:
    """
    Run every way once a round, and return the seconds each took, round by round.

    The order turns by one each round, so that none always follows the same other. The garbage
    collector runs as it does in life; what earlier ways left is collected before each.

    Args:
        ways: What to measure, by name. Each should take some milliseconds.
        rounds: How many rounds.
        clock: Seconds; processor time of this process by default, background threads included.
        warm: How many rounds are run first and forgotten.
    """
    names = list(ways)
    times: Times = {name: [] for name in names}
    for number in range(warm + rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            way = ways[name]
            gc.collect()
            begun = clock()
            way()
            taken = clock() - begun
            if number >= warm:
                times[name].append(taken)
    return times


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Return how often *under* fits into *over*, both measured round by round."""
    found = [one / other for one, other in zip(over, under, strict=True) if other > 0]
    return Ratio(statistics.median(found), min(found), max(found))


def ratios(times: Mapping[str, Sequence[float]], base: str) -> dict[str, Ratio]:
    """Return the ratio of every way to one of them."""
    return {name: ratio(taken, times[base]) for name, taken in times.items()}


def per_repeat(times: Sequence[float], repeats: int) -> str:
    """Return a time per repetition as text, for a first idea; it says nothing about another machine."""
    seconds = statistics.median(times) / repeats
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


# --- instructions ---------------------------------------------------------------------------------


def has_valgrind() -> bool:
    """Tell whether instructions can be counted here."""
    return shutil.which("valgrind") is not None


def instructions(script: str | Path, case: str, repeats: int, *arguments: str) -> float:
    """
    Return how many instructions one repetition of a case takes.

    Runs ``script --count CASE N ARGUMENTS`` twice under callgrind, at once, with N = 0 and with
    N = *repeats*; both have to prepare and to warm up alike.

    Raises:
        RuntimeError: The script failed; its last words are in the message.
    """
    runs = [_count(script, case, number, arguments) for number in (0, repeats)]
    said = [run.communicate(timeout=COUNT_LIMIT_S)[0] for run in runs]
    without, whole = (_collected(run, text, case) for run, text in zip(runs, said, strict=True))
    return (whole - without) / repeats


def _count(script: str | Path, case: str, number: int, arguments: tuple[str, ...]) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    command = [*valgrind, sys.executable, str(script), "--count", case, str(number), *arguments]
    return subprocess.Popen(
        command,
        env={**environ, "PYTHONHASHSEED": "0", "SPANCOST_STRICT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _collected(run: subprocess.Popen[str], said: str, case: str) -> int:
    found = _COLLECTED.search(said)
    if run.returncode or found is None:
        raise RuntimeError(f"counting {case!r} failed:\n{said[-2000:]}")
    return int(found[1])


# --- the command line and the results -------------------------------------------------------------


def options(doc: str | None, *more: Callable[[argparse.ArgumentParser], Any]) -> argparse.Namespace:
    """
    Read the command line that all benchmarks share; each of *more* adds arguments of one benchmark.

    ``count`` is the pair of case and number where `instructions` runs the script, else None.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, only what takes seconds")
    parser.add_argument("--rounds", type=int, help="rounds of interleaved measuring; 25, or 7 with --quick")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--count", nargs=2, metavar=("CASE", "N"), help=argparse.SUPPRESS)
    for add in more:
        add(parser)
    chosen = parser.parse_args()
    if chosen.rounds is None:
        chosen.rounds = 7 if chosen.quick else 25
    return chosen


class Report:
    """
    The tables of one benchmark, printed as they come and written as JSON at the end.

    Args:
        name: The benchmark's, as in ``bench_<name>.py``.
        doc: Its docstring; the first paragraph goes into the results.
    """

    def __init__(self, name: str, doc: str | None) -> None:
        self.name = name
        self.about = " ".join((doc or "").strip().split("\n\n")[0].split())
        self.tables: list[dict[str, Any]] = []

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = ""
    ) -> None:
        """Print a table and keep it; a cell is text, a number or a `Ratio`."""
        kept = [list(row) for row in rows]
        self.tables.append(
            {
                "title": title,
                "note": note,
                "columns": list(columns),
                "rows": [[_cell(cell) for cell in row] for row in kept],
            }
        )
        print(f"\n{title}")
        print(as_text(columns, [[show(cell) for cell in row] for row in kept]))
        if note:
            print(note)
        sys.stdout.flush()

    def finish(self, chosen: argparse.Namespace) -> None:
        """Write the results where the command line says."""
        if chosen.json is None:
            return
        results = {
            "bench": self.name,
            "about": self.about,
            "quick": chosen.quick,
            "setting": setting(),
            "tables": self.tables,
        }
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def setting() -> dict[str, str]:
    """Return what the ratios may depend on."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    named = ("opentelemetry-sdk", "prometheus-client")
    return {"python": python, **{name: version(name) for name in named}}


def version(distribution: str) -> str:
    """Return the version of an installed distribution, or ``-``."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "-"


def _cell(cell: object) -> object:
    return {"median": cell.median, "low": cell.low, "high": cell.high} if isinstance(cell, Ratio) else cell


def show(cell: object) -> str:
    """Return a cell as people read it."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.3f}" if abs(cell) < 100 else f"{cell:,.0f}"
    if isinstance(cell, Mapping):  # as it comes back from a file of results
        return str(Ratio(**cell))
    return str(cell)


def as_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal."""
    lines = [list(columns), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
