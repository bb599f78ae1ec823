# SPDX-License-Identifier: Apache-2.0
"""The driver behind the verbs: what it counts, when it fails, which Pythons it finds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def verify(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import verify

    return verify


@pytest.fixture
def environments(verify):
    return verify.environments


REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_good"/>
<testcase classname="tests.unit.test_a" name="test_known"><skipped type="pytest.xfail" message="later"/></testcase>
<testcase classname="tests.unit.test_a" name="test_bad"><failure message="assert"/></testcase>
<testcase classname="tests.unit.test_a" name="test_broken"><error message="fixture"/></testcase>
<testcase classname="tests.unit.test_a" name="test_go"><skipped type="pytest.skip" message="needs go"/></testcase>
</testsuite></testsuites>"""


def test_counts_come_from_the_report(verify, tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    part = verify.Part("unit")

    verify.count_tests(report, part)

    assert (part.passed, part.failed) == (2, 2)
    assert part.skips == ["tests.unit.test_a::test_go: needs go"]


@pytest.mark.parametrize(
    ("parts", "require_all", "status", "last"),
    [
        ([{"passed": 3}], False, 0, "3 passed, 0 failed, 0 skipped"),
        ([{"passed": 3}, {"passed": 2}], True, 0, "5 passed, 0 failed, 0 skipped"),
        ([{"passed": 3}, {"ok": False, "failed": 1}], False, 1, "3 passed, 1 failed, 0 skipped"),
        ([{"passed": 3, "skips": ["needs go"]}], False, 0, "3 passed, 0 failed, 1 skipped"),
        ([{"passed": 3, "skips": ["needs go"]}], True, 1, "3 passed, 0 failed, 1 skipped"),
    ],
)
def test_the_end_says_how_it_went(verify, capsys, parts, require_all, status, last):
    run = verify.Run(require_all=require_all)
    run.parts = [verify.Part("unit", **part) for part in parts]

    assert run.finish() == status
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == last
    assert ("  unit: needs go" in printed) == ("1 skipped" in last)


def test_a_failing_program_fails_its_part(verify, capfd):
    run = verify.Run(require_all=False)

    assert run.command("good", [sys.executable, "-c", ""]).ok
    assert not run.command("bad", [sys.executable, "-c", "raise SystemExit(3)"]).ok
    assert [(part.ok, part.failed) for part in run.parts] == [(True, 0), (False, 1)]
    assert "== bad" in capfd.readouterr().out


def test_a_table_that_is_not_what_its_sources_give_fails(verify, monkeypatch, tmp_path, capfd):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/build_prices.py").write_text("import sys; open(sys.argv[2], 'w').write('new')")
    table = tmp_path / "table.tsv"
    monkeypatch.setattr(verify, "ROOT", tmp_path)
    monkeypatch.setattr(verify, "PRICE_TABLE", table)
    monkeypatch.setattr(verify, "_python_for_prices", lambda _run: sys.executable)
    run = verify.Run(require_all=False)

    for content in ("new", "old"):
        table.write_text(content)
        verify.price_drift(run)

    assert [(part.ok, part.failed) for part in run.parts] == [(True, 0), (False, 1)]
    assert "table.tsv is not what its sources give: make prices" in capfd.readouterr().out


def test_a_folder_without_tests_is_a_skip(verify, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(verify, "ROOT", tmp_path)
    run = verify.Run(require_all=False)

    run.pytest("unit", sys.executable, "3.10", "fast")

    assert run.parts[0].skips == ["tests/unit: no tests"]
    assert "unit, Python 3.10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("root", "installed", "status", "ran"),
    [
        (True, False, 0, ["-qq update", "-qq install -y --no-install-recommends prometheus"]),
        (True, False, 1, ["-qq update"]),
        (True, True, 0, []),
        (False, False, 0, []),
    ],
    ids=["as root", "without a network", "nothing to do", "as nobody"],
)
def test_debian_packages_that_tests_need_are_installed_by_root_alone(
    verify, monkeypatch, tmp_path, capsys, root, installed, status, ran
):
    log = tmp_path / "log"
    programs = {"apt-get": f'echo "$@" >>{log}; exit {status}'} | ({"promtool": ""} if installed else {})
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(verify.os, "geteuid", lambda: 0 if root else 1000)

    verify.install_programs()

    assert (log.read_text().splitlines() if log.exists() else []) == ran
    assert ("will be skipped" in capsys.readouterr().out) == bool(status)


def test_the_supported_pythons_are_those_of_the_classifiers(environments):
    assert environments.supported_minors()[0] == (3, 10)
    assert sys.version_info[:2] in environments.supported_minors()


def test_the_running_python_is_found_and_can_be_asked(environments):
    python, usable = environments.probe(sys.executable)

    assert usable
    assert python.version == sys.version_info[:3]


@pytest.mark.parametrize("script", ["exit 1", "echo not a version", "echo '[1]'"])
def test_what_is_no_python_is_passed_over(environments, tmp_path, script):
    fake = tmp_path / "python3.10"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)

    assert environments.probe(str(fake)) == (None, False)


def test_pythons_are_found_on_path_and_in_the_folders_of_their_managers(environments, monkeypatch, tmp_path):
    def install(folder: str, name: str) -> str:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True)
        path.write_text("")
        path.chmod(0o755)
        return str(path)

    expected = {
        install("path", "python3.12"),
        install("pyenv/versions/3.10.13/bin", "python3"),
        install("uv/cpython-3.13/bin", "python3"),
        install("elsewhere/versions/3.14.0/bin", "python3.14"),
    }
    path = f"{tmp_path}/path:{tmp_path}/elsewhere/shims"
    environ = {"PATH": path, "PYENV_ROOT": f"{tmp_path}/pyenv", "UV_PYTHON_INSTALL_DIR": f"{tmp_path}/uv"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert expected <= set(environments._candidates(environments.supported_minors()))


def test_the_steps_do_not_see_what_would_change_a_result(environments, monkeypatch):
    for name in ("PYTHONPATH", "OTEL_TRACES_EXPORTER", "SPANCOST_STRICT", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("REQUIRE_ALL", "1")

    environ = environments.clean_environ(HYPOTHESIS_PROFILE="fast")

    assert {"PYTHONPATH", "OTEL_TRACES_EXPORTER", "SPANCOST_STRICT", "PYTEST_ADDOPTS"}.isdisjoint(environ)
    assert environ["REQUIRE_ALL"] == "1"
    assert environ["HYPOTHESIS_PROFILE"] == "fast"
