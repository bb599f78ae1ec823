# SPDX-License-Identifier: Apache-2.0
"""
Runs one benchmark and keeps its results for docs/performance.md: what `make bench` does with each script.

A script that takes ``--json`` (see harness.py) writes its own results; of any other, what it prints is kept.

    python bench/run.py bench/bench_hook.py --into bench/results
    python bench/run.py bench/bench_hook.py --into /tmp/quick --quick
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import harness


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("script", type=Path)
    parser.add_argument("--into", type=Path, required=True, help="the folder of results")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    name = chosen.script.stem.removeprefix("bench_")
    results = chosen.into / f"{name}.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    command = [sys.executable, str(chosen.script)]
    source = chosen.script.read_text(encoding="utf-8")
    if "harness.options(" in source:
        command += ["--json", str(results), *(["--quick"] if chosen.quick else [])]
        return subprocess.run(command, check=False).returncode
    if chosen.quick and '"--rounds"' in source:
        command += ["--rounds", "7"]
    run = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    print(run.stdout, flush=True)
    doc = source.split('"""')[1]
    report = harness.Report(name, doc)
    kept = {"bench": name, "about": report.about, "quick": chosen.quick, "setting": harness.setting()}
    results.write_text(json.dumps({**kept, "text": run.stdout}, indent=1) + "\n", encoding="utf-8")
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
