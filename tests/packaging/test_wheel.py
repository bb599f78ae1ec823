# SPDX-License-Identifier: Apache-2.0
"""
What a user gets: the built wheel, installed bare (no extra, no tool) where nothing else is.

`make test` builds first and names the folder in SPANCOST_DIST; without it the tests build.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program away from the source tree and return what it printed."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPANCOST_"))
    }
    answer = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory) -> Path:
    """The folder with one source archive and one wheel."""
    if given := os.environ.get("SPANCOST_DIST"):
        return Path(given)
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(dist) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def files(wheel) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def metadata(wheel, files):
    (name,) = [name for name in files if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="session")
def bare(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment that holds the wheel and its required dependencies only."""
    home = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    run(home / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=home)
    return home / "venv/bin"


def test_the_wheel_is_pure_and_of_this_version(wheel):
    assert re.fullmatch(r"spancost-\d+\.\d+\.\d+-py3-none-any\.whl", wheel.name)


def test_the_wheel_holds_the_package_and_nothing_else(files):
    others = [name for name in files if not name.startswith(("spancost/", "spancost-"))]

    assert others == []
    assert [name for name in files if "test" in name.split("/")[1].split("_")] == []


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_the_wheel_carries_the_licence_and_whose_data_it_holds(files, name):
    assert [file for file in files if file.endswith(f".dist-info/licenses/{name}")]


@pytest.mark.parametrize("name", ["py.typed", "prices/table.tsv"])
def test_the_wheel_carries_what_is_no_code(files, name):
    assert f"spancost/{name}" in files


def test_the_source_archive_holds_what_the_wheel_is_built_and_tested_from(dist):
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}

    assert {
        "pyproject.toml",
        "LICENSE",
        "NOTICE",
        "Makefile",
        "tests/conftest.py",
        "tools/verify.py",
    } <= names


def test_the_extra_all_takes_every_extra(metadata):
    needed_by = {extra: set() for extra in metadata.get_all("Provides-Extra")}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, marker = line.partition(";")
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", marker):
            needed_by[extra[1]].add(requirement.strip())

    taken = needed_by.pop("all")

    assert taken == set().union(*needed_by.values())


def test_the_bare_install_imports(bare, tmp_path):
    code = (
        "import spancost; print(spancost.__version__); [getattr(spancost, name) for name in spancost.__all__]"
    )

    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run(bare / "python", "-W", "error", "-c", code, cwd=tmp_path))


def test_the_bare_install_prices_from_its_own_table(bare, tmp_path):
    code = """
from datetime import datetime, timezone
from spancost import PriceBook, Usage
at = datetime(2025, 6, 1, tzinfo=timezone.utc)
cost = PriceBook.default().price(Usage(input=1_000_000), provider="openai", model="gpt-4o", at=at)
print(cost.total)
"""
    # 2.50 USD per 1,000,000 input tokens.
    assert float(run(bare / "python", "-W", "error", "-c", code, cwd=tmp_path)) == 2.5


def test_the_bare_command_explains_itself(bare, tmp_path):
    assert "usage" in run(bare / "spancost", "--help", cwd=tmp_path).lower()


def test_the_bare_install_has_what_it_requires(bare, tmp_path):
    assert "No broken requirements" in run(bare / "python", "-m", "pip", "check", cwd=tmp_path)
