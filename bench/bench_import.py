# SPDX-License-Identifier: Apache-2.0
"""
What `import spancost` adds to a program that has the OpenTelemetry SDK, in ratios to the SDK's own import.

Goal: the package with its prices loaded adds at most 0.3 of what `import opentelemetry.sdk.trace` takes
above a bare interpreter. The engine and `prometheus_client` come with the first processor that is made;
they are shown on lines of their own.

Each way is a program run again and again in fresh processes, in turns; what counts is the least processor time
that each took, since everything that disturbs only adds. With ``--count`` it counts instructions instead
(needs valgrind; exact to 0.2%).

    python bench/bench_import.py [--rounds N] [--count]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SDK = "import opentelemetry.sdk.trace\n"
PRICES = SDK + "from spancost import CostSpanProcessor, PriceBook\nPriceBook.default()\n"
PRICED = "PriceBook.default().price(spancost.Usage(input=1), provider='openai', model='gpt-4o')\n"
WAYS = {
    "a bare interpreter": "pass",
    "the SDK": SDK,
    "+ prometheus_client": SDK + "import prometheus_client\n",
    "+ PriceBook, loaded": SDK + "from spancost import PriceBook\nPriceBook.default()\n",
    "+ CostSpanProcessor": PRICES,
    "  and a priced call": PRICES + "import spancost\n" + PRICED,
    "  and a processor": PRICES + "CostSpanProcessor(private=True)\n",
}
GOAL, OF = 0.3, "+ CostSpanProcessor"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", action="store_true", help="count instructions by valgrind")
    options = parser.parse_args()
    if options.count and not shutil.which("valgrind"):
        parser.error("--count needs valgrind")
    with tempfile.TemporaryDirectory() as folder:
        # Bytecode is written once, as an installation does, and read again.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": folder, "PYTHONHASHSEED": "0"}
        for code in WAYS.values():
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        if options.count:
            took = {name: instructions(code, environment, folder) for name, code in WAYS.items()}
        else:
            took = least(environment, options.rounds)
    bare, sdk = took["a bare interpreter"], took["the SDK"]
    unit = "million instructions" if options.count else "ms of processor time, the least"
    print(f"{'':22}{unit:>34}   added, of the SDK's")
    for name, number in took.items():
        ratio = f"{(number - sdk) / (sdk - bare):.2f}" if number > sdk else ""
        print(f"{name:22}{number / 1e6 if options.count else number * 1e3:34.1f}   {ratio}")
    added = (took[OF] - sdk) / (sdk - bare)
    print(f"goal {GOAL}: {'met' if added <= GOAL else 'missed'} ({added:.2f})")


def least(environment: dict[str, str], rounds: int) -> dict[str, float]:
    """Return the least processor seconds that each way took."""
    best = dict.fromkeys(WAYS, float("inf"))
    for _ in range(rounds):
        for name, code in WAYS.items():
            child = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment)
            _, status, used = os.wait4(child, 0)
            if status:
                raise SystemExit(f"{name} failed")
            best[name] = min(best[name], used.ru_utime + used.ru_stime)
    return best


def instructions(code: str, environment: dict[str, str], folder: str) -> float:
    """Return how many instructions a way takes."""
    out = Path(folder) / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(result.stderr.rpartition("Collected :")[2].split()[0])


if __name__ == "__main__":
    main()
