# SPDX-License-Identifier: Apache-2.0
"""
How fast `spancost price` prices a recording, beside only reading and decoding the same file.

Goal: at least 0.5 of the speed of decoding. Every round measures each way once, in one process; a
ratio is the median of the rounds' ratios, with their lowest and highest. Times of garbage collection
and of the output (rows as JSON) are in.

    python bench/bench_price_files.py                      the recorded corpus (tests/data/corpus)
    python bench/bench_price_files.py --lines spans.jsonl  a file of OTLP JSON lines
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from spancost.book import PriceBook
from spancost.cli import main as spancost
from spancost.otlp import _json_typed, read_spans

CORPUS = Path("/work/shared/corpus")

Step = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=Path, help="OTLP JSON lines to price instead of the corpus")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    PriceBook.default()
    with tempfile.TemporaryDirectory() as folder:
        if options.lines is not None:
            measure(options.lines, options.rounds)
            return
        for family in ("clients", "agents"):
            path = Path(folder) / f"{family}.jsonl"
            write_recording(CORPUS / f"{family}.jsonl.gz", path)
            measure(path, options.rounds)


def write_recording(corpus: Path, path: Path, repeats: int = 10) -> None:
    """Write the corpus as one recording, its traces again and again under new ids."""
    runs = [json.loads(line) for line in gzip.decompress(corpus.read_bytes()).splitlines()]
    lines = [json.dumps(request) for run in runs for request in run["spans"]]
    traces = sorted({part[:32] for line in lines for part in line.split('"traceId": "')[1:]})
    with path.open("w", encoding="utf-8") as out:
        for again in range(repeats):
            renamed = {trace: f"{again:02x}{trace[2:]}" for trace in traces}
            for line in lines:
                first, *rest = line.split('"traceId": "')
                out.write(first + "".join('"traceId": "' + renamed[p[:32]] + p[32:] for p in rest) + "\n")


def measure(path: Path, rounds: int) -> None:
    """Print what each way takes for one file."""
    spans = sum(1 for _ in read_spans([path]))
    steps: dict[str, Step] = {
        "decode: typed msgspec": lambda: each(_json_typed.decode, path),
        "decode: json": lambda: each(json.loads, path),
        "read_spans": lambda: sum(1 for _ in read_spans([path])),
        "price, rows as JSON": lambda: price(path, "--format", "jsonl"),
        "price, table": lambda: price(path),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begun)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {spans:,} spans, {rounds} rounds")
    base = times["decode: typed msgspec"]
    for name, taken in times.items():
        ratios = [b / t for b, t in zip(base, taken, strict=True)]
        print(
            f"  {name:24s} {spans / statistics.median(taken):>10,.0f} spans/s   speed "
            f"{statistics.median(ratios):.2f} of decoding ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def each(decode: Callable[[bytes], object], path: Path) -> None:
    """Read a file and decode each line."""
    with path.open("rb") as stream:
        for line in stream:
            decode(line)


def price(path: Path, *options: str) -> None:
    """Run the command in this process, its output to memory."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(out):
        spancost(["price", *options, str(path)])


if __name__ == "__main__":
    sys.exit(main())
