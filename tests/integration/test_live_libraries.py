# SPDX-License-Identifier: Apache-2.0
"""
The real libraries, live: the provider's bill, the exported spans, /metrics and `spancost price` agree.

Each library of `live/libraries.py` runs its program in a process of its own, in the environment
`.venvs/live`, against the local provider. Amounts are compared in 1e-15 USD.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.live.libraries import LIBRARIES
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("SPANCOST_LIVE") or ROOT / ".venvs" / "live" / "bin" / "python")


@functools.cache
def observed(library, *options):
    """Run a library's program, once; return what each account says."""
    if not PYTHON.exists():
        pytest.skip(f"needs {PYTHON} with the real libraries: make test, and Python 3.11 or newer")
    done = subprocess.run(
        [PYTHON, ROOT / "tests" / "integration" / "live" / "run.py", library, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * LIMIT_S,
        # A mistake inside a hook has to show here.
        env={**os.environ, "SPANCOST_STRICT": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def calls(account):
    """Return the calls of an account, to be compared in any order."""
    return Counter(map(tuple, account))


def without_agents(account):
    """Return the calls of an account by model and cost."""
    return Counter((model, cost) for _, model, cost in account.elements())


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_exported_spans_carry_what_the_provider_billed(library):
    """Each call once, with its agent, model and exact cost."""
    result = observed(library)
    exported, bill = calls(result["exported"]), calls(result["bill"])
    if LIBRARIES[library].late:
        exported, bill = without_agents(exported), without_agents(bill)

    assert exported == bill
    assert result["carriers_marked_duplicate"] == 0


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_a_file_of_the_exported_spans_gives_the_same_rows(library):
    result = observed(library)

    assert calls(result["rows"]) == calls(result["bill"])


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_the_metrics_are_the_sums_of_the_bill(library):
    """Per agent and model, and as many calls as the file has rows; series of what came to nothing are at 0."""
    result = observed(library)
    sums = Counter()
    for agent, model, cost in result["bill"]:
        sums[agent, model] += cost

    assert {(agent, model): cost for agent, model, cost in result["metrics"] if cost} == sums
    assert result["metrics_calls"] == sum(result["row_statuses"].values())


@pytest.mark.parametrize("library", LIBRARIES)
def test_calls_that_failed_or_showed_no_usage_are_counted_without_a_cost(library):
    """Once each, as far as the library's spans let anybody tell."""
    result = observed(library)
    statuses = result["row_statuses"]

    assert statuses.get("unpriced", 0) + statuses.get("failed", 0) == (
        result["costless"] + LIBRARIES[library].phantoms
    )


@pytest.mark.parametrize(
    "library",
    [
        "otel-anthropic",
        "openllmetry-anthropic",
        "openinference-langchain+otel-openai",
        "openinference-openai+otel-openai",
        "openinference-openai-agents+openai",
        "pydantic-ai+otel-anthropic",
    ],
)
def test_equal_numbers_do_not_make_two_calls_one(library):
    """Copies of a call are found by where they are: here all calls, at once or not, have the same usage."""
    result = observed(library, "--equal")
    priced = {name: without_agents(calls(result[name])) for name in ("bill", "exported", "rows")}

    assert priced["exported"] == priced["rows"] == priced["bill"]
    assert calls(result["rows"]) == calls(result["bill"])
