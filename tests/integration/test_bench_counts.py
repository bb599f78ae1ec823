# SPDX-License-Identifier: Apache-2.0
"""Instructions as the benchmarks count them, by callgrind itself."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"

COUNTED = """
import sys
case, number = sys.argv[2:4]
if case == "broken":
    sys.exit("it is broken")
total = 0
for _ in range(int(number)):
    total += sum([1] * (1_000 if case == "long" else 100))
"""


@pytest.mark.needs("valgrind")
def test_instructions_are_those_of_the_repetitions_alone(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH))
    import harness

    script = tmp_path / "counted.py"
    script.write_text(COUNTED)

    long, short = (harness.instructions(script, case, 300) for case in ("long", "short"))

    assert 5 < long / short < 15
    with pytest.raises(RuntimeError, match="it is broken"):
        harness.instructions(script, "broken", 1)
