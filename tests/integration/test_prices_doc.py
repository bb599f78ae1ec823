# SPDX-License-Identifier: Apache-2.0
"""docs/prices.md, done as a reader would do it: the commands print what the page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spancost import _env
from tests.price_kit import newer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "prices.md").read_text(encoding="utf-8")
SPANCOST = Path(sys.executable).with_name("spancost")
EXAMPLES = re.findall(r"^```console\n\$ spancost (.*)\n((?:.*\n)*?)```", PAGE, re.MULTILINE)
COMMANDS = [shlex.split(line) for line in re.findall(r"spancost (prices .*)", PAGE) if "`" not in line]


def run(arguments, folder):
    """Run the installed command in a folder."""
    environment = os.environ | {"SPANCOST_PRICE_TABLE": "built-in"}
    return subprocess.run(
        [SPANCOST, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def dateless(text):
    """Take out which table it was: the page is not written anew with every table."""
    return re.sub(r"2\d\d\d\.\d\d\.\d\d|data of \S+", "...", text).rstrip()


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_prints_what_the_page_shows(command, shown, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "new.tsv").write_bytes(newer(changed={"openai/gpt-5-mini": "0.3"}))

    done = run(shlex.split(command), tmp_path)

    assert dateless(done.stdout) == dateless(shown)
    assert done.stderr == ""


def test_the_page_has_examples():
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_on_the_page_is_in_the_help(words, tmp_path):
    used = {word for word in words if word.startswith("--")}

    assert used <= set(re.findall(r"--[a-z-]+", run([*words[:2], "--help"], tmp_path).stdout))


def test_every_variable_on_the_page_exists():
    named = set(re.findall(r"SPANCOST_[A-Z_]+", PAGE))

    assert named <= {value for value in vars(_env).values() if isinstance(value, str)}
