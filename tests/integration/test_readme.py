# SPDX-License-Identifier: Apache-2.0
"""The README, done as a stranger would do it: its commands print what it shows, its code says what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRACES = (ROOT / "docs" / "traces.md").read_text(encoding="utf-8")
SPANCOST = Path(sys.executable).with_name("spancost")


def blocks(language, page=README):
    """Return a page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def run(*arguments):
    """Run the installed command in the repository, as the README says."""
    return subprocess.run([SPANCOST, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_first_command_prints_the_table_that_is_shown():
    """What a stranger sees first is what the README promises."""
    shown = blocks("text")[0]

    done = run("price", "examples/traces.jsonl")

    assert done.stderr == ""
    assert done.stdout.rstrip() == shown.rstrip()


def test_explain_shows_the_copies_of_the_example():
    """The example has calls on several spans, and explain says so."""
    done = run("explain", "examples/traces.jsonl")

    assert done.returncode == 0
    assert "spans are copies of it" in done.stdout
    assert "counted there" in done.stdout


def test_the_python_example_gives_the_values_in_its_comments(capsys):
    """The values that the comments state are the values printed."""
    (code,) = blocks("python")
    promised = [re.match(r"[\w.]+", c).group() for c in re.findall(r"\)\s+# (.*)", code)]

    exec(compile(code, "README.md", "exec"), {})

    assert capsys.readouterr().out.split() == promised


@pytest.mark.parametrize("verb", ["price", "explain"])
def test_every_option_in_the_readme_is_in_the_help(verb):
    """An option that the README or docs/traces.md names exists."""
    used = {
        option
        for line in "\n".join(blocks("sh") + blocks("sh", TRACES)).splitlines()
        if f"spancost {verb} " in line
        for option in re.findall(r"--[a-z-]+", line)
    }

    assert used <= set(re.findall(r"--[a-z-]+", run(verb, "--help").stdout))


def test_the_pricing_file_of_the_readme_can_be_used(tmp_path):
    """A stranger may copy it."""
    (shown,) = blocks("json")
    (tmp_path / "model_pricing.json").write_text(shown, encoding="utf-8")

    done = run("prices", "check", tmp_path / "model_pricing.json")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("line", re.findall(r"^spancost prices .*", README, re.MULTILINE))
def test_a_line_about_prices_is_one(line):
    """Its options exist; what it asks about the built-in list is answered."""
    verb, *words = line.partition("#")[0].split()[2:]

    assert {word for word in words if word.startswith("--")} <= set(
        re.findall(r"--[a-z-]+", run("prices", verb, "--help").stdout)
    )
    if verb in ("show", "compare"):
        assert run("prices", verb, *words).returncode == 0


def test_the_fields_and_flags_of_a_row_are_those_on_the_page():
    """docs/traces.md names each field of a row, in one line of its table, and no other."""
    table = TRACES.partition("| field |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:]))
    row = json.loads(run("price", "--format", "jsonl", "examples/traces.jsonl").stdout.splitlines()[0])

    assert sorted(named) == sorted(row)
