# SPDX-License-Identifier: Apache-2.0
"""The harness of the benchmarks: what it measures, and what it says about it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def harness(monkeypatch):
    return load("harness", monkeypatch)


@pytest.fixture
def write_docs(harness, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "harness", harness)
    module = load("write_docs", monkeypatch)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(module, "PAGE", tmp_path / "performance.md")
    return module


def load(name, monkeypatch):
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_a_ratio_compares_what_ran_in_the_same_round(harness):
    found = harness.ratio([2.0, 40.0, 6.0], [1.0, 10.0, 2.0])

    assert found == (3.0, 2.0, 4.0)
    assert str(found) == "3.00x (2.00 to 4.00)"


def test_every_round_runs_every_way_once_and_the_order_turns(harness):
    ran = []
    ways = {name: lambda name=name: ran.append(name) for name in "abc"}

    times = harness.interleave(ways, 3, warm=1)

    assert ["".join(ran[at : at + 3]) for at in range(0, 12, 3)] == ["abc", "bca", "cab", "abc"]
    assert {name: len(taken) for name, taken in times.items()} == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.0, "2.0 s"), (0.0021, "2.1 ms"), (3.4e-6, "3.4 us"), (5.6e-8, "56 ns")]
)
def test_a_time_has_a_unit_that_fits(harness, seconds, text):
    assert harness.per_repeat([seconds * 10], 10) == text


def test_the_page_shows_what_a_benchmark_reported(harness, write_docs, tmp_path, capsys):
    report = harness.Report("scrape", "What a scrape costs.\n\nMore.")
    row = ["ours|fast", 12_345, 0.25, harness.Ratio(0.05, 0.04, 0.06)]
    report.table("A scrape", ["way", "instructions", "share", "beside"], [row], "9 rounds")
    report.finish(argparse.Namespace(json=tmp_path / "results" / "scrape.json", quick=False))
    plain = {"bench": "import", "about": "An import.", "quick": False, "setting": {"python": "CPython 3.11"}}
    (tmp_path / "results" / "import.json").write_text(json.dumps({**plain, "text": "0.2x\n"}))

    write_docs.main()

    page = (tmp_path / "performance.md").read_text()
    assert "| ours\\|fast | 12,345 | 0.250 | 0.050x (0.040 to 0.060) |" in page
    assert "What a scrape costs.\n" in page
    assert "```text\n0.2x\n```" in page
    assert page.index("## Scrape") < page.index("## Import")
    assert "12,345" in capsys.readouterr().out
