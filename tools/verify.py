# SPDX-License-Identifier: Apache-2.0
"""
Runs the steps behind the verbs of the Makefile, times them and says what was skipped.

usage: python3 tools/verify.py VERB: check, test, bench, bench-quick, coverage, demo [--once], format, fuzz or prices

It needs a Python and nothing else: it makes the virtual environments that the steps run in.
The exit status is 0 only if every part passed. With REQUIRE_ALL=1 a skip is a failure.
The last line of `check` and `test` is `N passed, N failed, N skipped`, over all tests; a part
that is no test run (format, types, ...) counts there when it failed or was skipped.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import environments
from environments import ROOT, Python, SetupError

ON_EACH_PYTHON = ("unit", "property", "corpus")
ON_NEWEST_PYTHON = ("integration",)
# A part that hangs must not use up the whole time that CI has.
PART_LIMIT_S = 30 * 60
NO_TESTS_COLLECTED = 5
PRICE_TABLE = ROOT / "src" / "spancost" / "prices" / "table.tsv"
PRICES_NEED = LIVE_NEEDS = (3, 11)
# Releases of opentelemetry-sdk that differ in what they let a span processor do, and the newest.
SDKS = ("1.30.0", "1.38.0", "1.40.0", "1.42.1", "1.43.0", "1.45.2")
# The newest Python that the oldest of them knows.
SDKS_RUN_ON = (3, 13)
# Benchmarks that install other libraries or take minutes.
ONLY_IN_FULL = ("bench_peers", "bench_price_files")
# Programs that tests are marked to need, and the Debian package that has each.
DEBIAN_PACKAGES = {"promtool": "prometheus"}
SETUP_FAILS = (SetupError, subprocess.CalledProcessError)


@dataclass
class Part:
    """One line of the table at the end."""

    name: str
    seconds: float = 0.0
    ok: bool = True
    passed: int = 0
    failed: int = 0
    skips: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """What the table says about it."""
        counts = ((self.passed, "passed"), (self.failed, "failed"), (len(self.skips), "skipped"))
        said = ", ".join(f"{number} {word}" for number, word in counts if number)
        return ("ok" if self.ok else "FAILED") + (f": {said}" if said else "")

    def fail(self, why: object) -> None:
        """Say why it failed, and count that once."""
        print(f"{self.name}: {why}", flush=True)
        self.ok = False
        self.failed += 1


class Run:
    """The parts of one verb, run one after the other; a failed one does not stop the next."""

    def __init__(self, *, require_all: bool) -> None:
        self.require_all = require_all
        self.parts: list[Part] = []
        # One order of tests for all parts, named where one fails, so that it can be repeated.
        self.seed = int(os.environ.get("TEST_SEED") or random.randrange(2**32))  # noqa: S311 - no secret
        self._start = time.monotonic()

    def command(self, name: str, arguments: list[str], **extra: str) -> Part:
        """Run a program whose exit status is its verdict."""
        part = self._begin(name)
        status = _call(arguments, part, **extra)
        self._end(part, ok=status == 0)
        part.failed += not part.ok
        return part

    def pytest(
        self, group: str, python: str, on: str, profile: str, *, named: str = "", **extra: str
    ) -> None:
        """Run the tests of one folder and count them."""
        folder = ROOT / "tests" / group
        part = self._begin(named or (f"{group}, Python {on}" if on else group))
        if not any(folder.rglob("test_*.py")):
            part.skips.append(f"tests/{group}: no tests")
            self._end(part, ok=True)
            return
        with tempfile.TemporaryDirectory() as scratch:
            report = Path(scratch) / "report.xml"
            arguments = [python, "-m", "pytest", str(folder), "-q", f"--junitxml={report}"]
            arguments += [f"--randomly-seed={self.seed}", f"--hypothesis-seed={self.seed}"]
            status = _call(arguments, part, HYPOTHESIS_PROFILE=profile, **extra)
            if report.is_file():
                count_tests(report, part)
        if status == NO_TESTS_COLLECTED:
            part.skips.append(f"tests/{group}: no tests")
        ok = status in (0, NO_TESTS_COLLECTED)
        if not ok:
            print(f"Order and examples of these tests: TEST_SEED={self.seed}", flush=True)
        # A run that broke before it could report still failed once.
        part.failed = part.failed or int(not ok)
        self._end(part, ok=ok)

    def skip(self, name: str, why: str) -> None:
        """Note a part that this machine cannot run."""
        self.parts.append(Part(name, skips=[why]))

    def fail(self, name: str, why: object) -> None:
        """Note a part that could not even start."""
        self.parts.append(Part(name))
        self.parts[-1].fail(why)

    def _begin(self, name: str) -> Part:
        print(f"\n== {name}", flush=True)
        part = Part(name, seconds=time.monotonic())
        self.parts.append(part)
        return part

    @staticmethod
    def _end(part: Part, *, ok: bool) -> None:
        part.seconds = time.monotonic() - part.seconds
        part.ok = ok

    def finish(self) -> int:
        """Print the table, what was skipped and the totals; return the exit status."""
        width = max(len(part.name) for part in self.parts)
        print()
        for part in self.parts:
            print(f"{part.name:<{width}}  {part.seconds:7.1f} s  {part.verdict}")
        print(f"{'all':<{width}}  {time.monotonic() - self._start:7.1f} s, set-up included")
        skips = [f"{part.name}: {why}" for part in self.parts for why in part.skips]
        if skips:
            print("\nSkipped" + (" (REQUIRE_ALL=1: a skip is a failure)" if self.require_all else ""))
            for skip in skips:
                print(f"  {skip}")
        failed = sum(part.failed for part in self.parts)
        print(f"\n{sum(part.passed for part in self.parts)} passed, {failed} failed, {len(skips)} skipped")
        sys.stdout.flush()
        return int(any(not part.ok for part in self.parts) or (self.require_all and bool(skips)))


def count_tests(report: Path, part: Part) -> None:
    """Add the numbers of a JUnit report, and each skip by the test's name and its reason."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            part.failed += 1
        elif skipped is not None and skipped.get("type") != "pytest.xfail":
            why = skipped.get("message", "").removeprefix("Skipped: ")
            part.skips.append(f"{case.get('classname')}::{case.get('name')}: {why}")
        else:
            # An expected failure passed: it did what the test says.
            part.passed += 1


def _call(arguments: list[str], part: Part, **extra: str) -> int:
    """Run a program from the root of the repository and return its exit status."""
    environ = environments.clean_environ(**extra)
    try:
        return subprocess.run(
            arguments, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, check=False, timeout=PART_LIMIT_S
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"{part.name}: stopped after {PART_LIMIT_S // 60} minutes", flush=True)
        return 1


def static_parts(run: Run, python: str) -> None:
    """Format, lint and types."""
    run.command("format", [python, "-m", "ruff", "format", "--check"])
    run.command("lint", [python, "-m", "ruff", "check", "--quiet"])
    run.command("types", [python, "-m", "mypy", "--no-error-summary"])


def check(run: Run) -> None:
    """Format, lint, types and the unit tests, on the editable install."""
    python = environments.ensure_dev()
    static_parts(run, python)
    run.pytest("unit", python, "", "fast")


def test(run: Run) -> None:
    """Run everything; the tests run against the built wheel, on the oldest and the newest Python."""
    dev = environments.ensure_dev()
    static_parts(run, dev)
    install_programs()
    price_drift(run)
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    # From the source archive, so that the archive is known to be complete.
    if not run.command("build", [dev, "-m", "build", "--no-isolation", "--outdir", str(dist)]).ok:
        run.skip("tests", "there is no wheel to test")
        return
    (wheel,) = dist.glob("*.whl")
    pythons = environments.find_pythons()
    real_libraries(run, _ends(pythons)[-1], wheel)
    contract(run, pythons, wheel)
    for python in _ends(pythons):
        try:
            installed = environments.ensure_installed(python, wheel)
        except SETUP_FAILS as error:
            run.fail(f"set-up, Python {python.name}", error)
            continue
        groups = ON_EACH_PYTHON + (ON_NEWEST_PYTHON if python is pythons[-1] else ())
        for group in groups:
            run.pytest(group, installed, python.name, "thorough")
    if len(pythons) == 1:
        run.skip("a second Python", f"this machine has no supported Python beside {pythons[0].name}")
    run.pytest("packaging", dev, "", "thorough", SPANCOST_DIST=str(dist))


def real_libraries(run: Run, python: Python, wheel: Path) -> None:
    """Run the demo once, and set up the environment of the libraries that the integration tests drive."""
    try:
        run.command("demo", [environments.ensure_demo(python), "-m", "demo", "--once"], SPANCOST_STRICT="1")
        # On an older Python the tests that need it are skipped, and say so.
        if python.minor >= LIVE_NEEDS:
            environments.ensure_live(python, wheel)
        environments.ensure_doors(python, wheel)
    except SETUP_FAILS as error:
        run.fail("set-up, real libraries", error)


def contract(run: Run, pythons: list[Python], wheel: Path) -> None:
    """Run what must hold on every SDK on each of them."""
    python = [each for each in pythons if each.minor <= SDKS_RUN_ON][-1:] or pythons[-1:]
    for version in SDKS:
        try:
            installed = environments.ensure_sdk(python[0], version, wheel)
        except SETUP_FAILS as error:
            run.fail(f"set-up, SDK {version}", error)
            continue
        run.pytest("contract", installed, "", "fast", named=f"contract, SDK {version}")


def install_programs(packages: dict[str, str] = DEBIAN_PACKAGES) -> None:
    """
    Install programs that the machine lacks, where that is ours to do: as root on Debian.

    Where it is not, or fails, what needs them is skipped by name.
    """
    wanted = [package for program, package in packages.items() if shutil.which(program) is None]
    if not wanted or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    # The run level of rescue keeps a package from starting its service.
    environ = environments.clean_environ(DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *wanted]):
        print(f"-- apt-get {' '.join(arguments)}", flush=True)
        command = ["apt-get", "-qq", *arguments]
        if subprocess.run(command, stdin=subprocess.DEVNULL, check=False, env=environ).returncode:
            print(f"apt-get failed: what needs {', '.join(wanted)} will be skipped", flush=True)
            return


def _ends(pythons: list[Python]) -> list[Python]:
    """The oldest and the newest, once if they are the same."""
    if not pythons:
        raise SetupError("this machine has no CPython release that spancost supports")
    return [pythons[0], pythons[-1]] if len(pythons) > 1 else pythons


def bench(run: Run) -> None:
    """Run every benchmark and write docs/performance.md from the results."""
    install_programs({"valgrind": "valgrind"})
    python = environments.ensure_dev()
    results = ROOT / "bench" / "results"
    for script in sorted((ROOT / "bench").glob("bench_*.py")):
        run.command(script.stem, [python, "bench/run.py", str(script), "--into", str(results)])
    run.command("docs/performance.md", [python, "bench/write_docs.py"])


def bench_quick(run: Run) -> None:
    """Run the benchmarks that take seconds, in fewer rounds; installs no peer and writes no page."""
    install_programs({"valgrind": "valgrind"})
    python = environments.ensure_dev()
    with tempfile.TemporaryDirectory() as scratch:
        for script in sorted((ROOT / "bench").glob("bench_*.py")):
            if script.stem in ONLY_IN_FULL:
                run.skip(script.stem, "only in make bench")
                continue
            run.command(script.stem, [python, "bench/run.py", str(script), "--into", scratch, "--quick"])


def coverage(run: Run) -> None:
    """Measure which lines and branches the unit and property tests reach."""
    python = environments.ensure_dev()
    run.command(
        "tests", [python, "-m", "coverage", "run", "-m", "pytest", "-q", "tests/unit", "tests/property"]
    )
    run.command("report", [python, "-m", "coverage", "report"])


def reformat(run: Run) -> None:
    """Format the code and mend what the linter can mend."""
    python = environments.ensure_dev()
    run.command("lint", [python, "-m", "ruff", "check", "--fix", "--quiet"])
    run.command("format", [python, "-m", "ruff", "format", "--quiet"])


def prices(run: Run) -> None:
    """Build the price table anew from its sources; KEEP=1 adds to the history what they forgot."""
    python = _python_for_prices(run)
    if python:
        keep = ["--keep"] if os.environ.get("KEEP", "") not in ("", "0") else []
        run.command("prices", [python, "tools/build_prices.py", *keep])


def price_drift(run: Run) -> None:
    """Check that the table in the tree is what its sources give."""
    python = _python_for_prices(run)
    if python is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / PRICE_TABLE.name
        part = run.command("prices", [python, "tools/build_prices.py", "--out", str(built)])
        if part.ok and built.read_bytes() != PRICE_TABLE.read_bytes():
            part.fail(f"{PRICE_TABLE.relative_to(ROOT)} is not what its sources give: make prices")


def _python_for_prices(run: Run) -> str | None:
    """The interpreter that can read the sources of the price table, if the machine has one."""
    pythons = [python for python in environments.find_pythons() if python.minor >= PRICES_NEED]
    if pythons:
        return environments.ensure_prices(pythons[-1])
    run.skip("prices", "building the table needs Python {}.{} or newer".format(*PRICES_NEED))
    return None


def demo(arguments: list[str]) -> NoReturn:
    """Become the demo, so that Ctrl-C and its exit status are its own."""
    python = environments.ensure_demo(_ends(environments.find_pythons())[-1])
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execve(python, [python, "-m", "demo", *arguments], environments.clean_environ())  # noqa: S606 - no shell


def fuzz(run: Run) -> None:
    """Feed spoilt spans to the processor, and a tenth as many to the exporter."""
    python = environments.ensure_dev()
    spans = int(os.environ.get("FUZZ_SPANS") or 1_000_000)
    for door, share in (("processor", spans), ("exporter", max(1, spans // 10))):
        fed = ["--door", door, "--spans", str(share), "--seed", os.environ.get("FUZZ_SEED") or "1"]
        run.command(f"fuzz, {door}", [python, "-m", "tests.fuzz.run", *fed])


VERBS = {
    "check": check,
    "test": test,
    "bench": bench,
    "bench-quick": bench_quick,
    "coverage": coverage,
    "format": reformat,
    "fuzz": fuzz,
    "prices": prices,
}


def main(arguments: list[str]) -> int:
    """Run one verb, under a Python that is new enough."""
    verb, *more = arguments or [""]
    if verb != "demo" and (more or verb not in VERBS):
        print(__doc__, file=sys.stderr)
        return 2
    run = Run(require_all=os.environ.get("REQUIRE_ALL", "") not in ("", "0"))
    try:
        if sys.version_info[:2] < environments.supported_minors()[0]:
            return _with_newer_python(arguments)
        if verb == "demo":
            demo(more)
        VERBS[verb](run)
    except SETUP_FAILS as error:
        run.fail("set-up", error)
    return run.finish()


def _with_newer_python(arguments: list[str]) -> int:
    """Start again under a Python of the machine that spancost supports (macOS ships an old one)."""
    pythons = environments.find_pythons()
    if not pythons:
        raise SetupError(f"spancost needs Python 3.10 or newer; {sys.executable} is {sys.version.split()[0]}")
    return subprocess.run([pythons[-1].path, __file__, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
