# SPDX-License-Identifier: Apache-2.0
"""
What `CostSampler` costs: instructions per span that the root sampler drops, counted by callgrind.

usage: python bench/bench_sampler.py

Against the root alone, which makes no span at all; with a `CostSpanProcessor`, of ordinary spans and of
calls. Needs valgrind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FEW, MANY = 100, 500
CASES = ("root alone", "genai", "subtree", "all")
SPANS = ("ordinary", "call")
STEP = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from spancost import CostSampler, CostSpanProcessor
case, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
root = ParentBased(TraceIdRatioBased(0.0))
sampler = root if case == "root alone" else CostSampler(root, case)
provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
provider.add_span_processor(CostSpanProcessor(private=True))
tracer = provider.get_tracer("client")
ordinary = {f"http.request.{n}": "value" for n in range(6)}, {f"http.response.{n}": "value" for n in range(6)}
call = (
    {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
        "server.address": "api.openai.com", "server.port": 443, "gen_ai.request.stream": False,
    },
    {
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "gen_ai.response.model": "gpt-4o",
        "gen_ai.request.top_k": 1, "gen_ai.response.finish_reasons": ("stop",), "gen_ai.output.type": "text",
    },
)
first, later = ordinary if kind == "ordinary" else call
for _ in range(count):
    span = tracer.start_span("span", attributes=first)
    span.set_attributes(later)
    span.end()
"""


def instructions(case: str, kind: str, count: int) -> int:
    """Count the instructions of a whole process that makes so many spans."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, "-c", STEP]
        done = subprocess.run(
            [*command, case, kind, str(count)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(done.stderr)
    return int(found[1])


def main() -> int:
    """Print a table."""
    if shutil.which("valgrind") is None:
        print("needs valgrind")
        return 0
    for kind in SPANS:
        per_span = {
            case: (instructions(case, kind, MANY) - instructions(case, kind, FEW)) / (MANY - FEW)
            for case in CASES
        }
        for case, count in per_span.items():
            print(f"{kind:<9} {case:<11} {count:10,.0f} instructions, {count / per_span['root alone']:5.1f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
