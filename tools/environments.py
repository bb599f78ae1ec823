# SPDX-License-Identifier: Apache-2.0
"""Finds the Pythons of the machine and makes the virtual environments that the steps run in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / ".venv"
OTHERS = ROOT / ".venvs"

# What decides whether an environment is still right.
_INPUTS = (
    "pyproject.toml",
    "requirements-contract.txt",
    "requirements-demo.txt",
    "requirements-dev.txt",
    "requirements-doors.txt",
    "requirements-live.txt",
    "requirements-prices.txt",
    "requirements-test.txt",
)
# A variable of the person at the keyboard must not change what the tests see.
_FOREIGN = re.compile(r"PYTHON(PATH|HOME|STARTUP|WARNINGS)$|VIRTUAL_ENV$|OTEL_|SPANCOST_|PYTEST_")
# Where an interpreter is although it is not on PATH.
_FOLDERS = (
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/Library/Frameworks/Python.framework/Versions/*/bin",
)
_PROBE = """
import json, sys, sysconfig
try:
    import ensurepip, venv
    can_venv = True
except ImportError:
    can_venv = False
v = sys.version_info
plain = sys.implementation.name == "cpython" and v.releaselevel == "final"
plain = plain and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([v[:3], plain, can_venv]))
"""


class SetupError(Exception):
    """The machine lacks something without which nothing runs; the message says what to do."""


class Python(NamedTuple):
    """An interpreter of the machine."""

    version: tuple[int, int, int]
    path: str

    @property
    def name(self) -> str:
        """Its version as people write it."""
        return ".".join(map(str, self.version))

    @property
    def minor(self) -> tuple[int, int]:
        """The part of its version that we support or do not."""
        return self.version[:2]


def clean_environ(**extra: str) -> dict[str, str]:
    """Return the environment of every step: the machine's, less what would change a result."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", **extra}


def supported_minors() -> list[tuple[int, int]]:
    """Return the versions that the classifiers of pyproject.toml promise, oldest first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.findall(r'"Programming Language :: Python :: (\d+)\.(\d+)"', text)
    return sorted((int(major), int(minor)) for major, minor in found)


def find_pythons() -> list[Python]:
    """Return one usable interpreter of each supported minor version, oldest first."""
    wanted = supported_minors()
    best: dict[tuple[int, int], Python] = {}
    for path in _candidates(wanted):
        python, usable = probe(path)
        if python is None or not usable or python.minor not in wanted:
            continue
        if python.minor not in best or python.version > best[python.minor].version:
            best[python.minor] = python
    return [best[minor] for minor in sorted(best)]


def _candidates(wanted: list[tuple[int, int]]) -> list[str]:
    """List files that may be interpreters: this one, PATH, usual folders, pyenv's and uv's."""
    names = ["python3", *(f"python{major}.{minor}" for major, minor in wanted)]
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders = [*on_path, *(found for pattern in _FOLDERS for found in _glob(pattern))]
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    managed = [
        Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python"),
        # A pyenv that is elsewhere shows by its shims on PATH, or as the home of this interpreter.
        *(folder.parent / "versions" for folder in on_path if folder.name == "shims"),
        *(parent for parent in [Path(sys.base_prefix).parent] if parent.name == "versions"),
    ]
    folders += [found for versions in managed for found in sorted(versions.glob("*/bin"))]
    files = [sys.executable, *(str(folder / name) for folder in folders for name in names)]
    # Many names lead to one interpreter; a shim leads to whichever its manager chooses.
    real = {os.path.realpath(file): file for file in reversed(files) if os.access(file, os.X_OK)}
    return list(real.values())


def _glob(pattern: str) -> list[Path]:
    """Return the folders that an absolute pattern names."""
    return sorted(Path("/").glob(pattern.lstrip("/")))


def probe(path: str) -> tuple[Python | None, bool]:
    """Ask an interpreter for its version, and whether it is a release that can make environments."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", _PROBE], capture_output=True, check=True, timeout=60, env=clean_environ()
        )
        version, plain, can_venv = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, False
    major, minor, patch = version
    return Python((major, minor, patch), path), plain and can_venv


def executable(venv: Path) -> str:
    """Return the interpreter of a virtual environment."""
    return str(venv / "bin" / "python")


def ensure_dev() -> str:
    """Return the interpreter of `.venv`: every tool, and the package as an editable install."""
    python = Python((sys.version_info[0], sys.version_info[1], sys.version_info[2]), sys.executable)
    _ensure(DEV, python, "-e", f"{ROOT}[all]", "-r", "requirements-dev.txt")
    return executable(DEV)


def ensure_prices(python: Python) -> str:
    """Return the interpreter of the environment that builds the price table."""
    venv = OTHERS / "prices"
    _ensure(venv, python, "-r", "requirements-prices.txt")
    return executable(venv)


def ensure_demo(python: Python) -> str:
    """Return the interpreter of the environment that runs the demo; it has the tree as it is."""
    venv = OTHERS / "demo"
    _ensure(venv, python, "-e", f"{ROOT}[all]", "-r", "requirements-demo.txt")
    return executable(venv)


def ensure_peer(requirements: Path) -> str:
    """
    Return the interpreter of the environment of one library that `bench/` measures beside the tree.

    Raises:
        SetupError: It cannot be installed; the message ends with pip's.
    """
    venv = OTHERS / f"bench-{requirements.stem}"
    python = Python((sys.version_info[0], sys.version_info[1], sys.version_info[2]), sys.executable)
    pinned = requirements.read_text(encoding="utf-8").split()
    _ensure(venv, python, "-e", f"{ROOT}[all]", *pinned, says=True)
    return executable(venv)


def ensure_installed(python: Python, wheel: Path) -> str:
    """Return the interpreter of the environment that tests the wheel on *python*; it has this wheel."""
    return _ensure_wheel(OTHERS / "py{}{}".format(*python.minor), python, wheel, "requirements-test.txt")


def ensure_live(python: Python, wheel: Path) -> str:
    """Return the interpreter of the environment of the real libraries; it has this wheel."""
    return _ensure_wheel(OTHERS / "live", python, wheel, "requirements-live.txt")


def ensure_doors(python: Python, wheel: Path) -> str:
    """Return the interpreter of the environment in which programs are metered without code; it has this wheel."""
    return _ensure_wheel(OTHERS / "doors", python, wheel, "requirements-doors.txt")


def ensure_sdk(python: Python, version: str, wheel: Path) -> str:
    """Return the interpreter of an environment with an SDK of one version; it has this wheel."""
    venv = OTHERS / f"sdk-{version}"
    _ensure(venv, python, f"opentelemetry-sdk=={version}", "-r", "requirements-contract.txt")
    _pip(venv, "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    return executable(venv)


def _ensure_wheel(venv: Path, python: Python, wheel: Path, requirements: str) -> str:
    if not _ensure(venv, python, f"{wheel}[all]", "-r", requirements):
        _pip(venv, "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    return executable(venv)


def _ensure(venv: Path, python: Python, *content: str, says: bool = False) -> bool:
    """Make an environment unless it is there and right; say whether it was made."""
    key = _key(python.path, python.name, *(content if says else ()))
    stamp = venv / "spancost-key"
    # An environment whose making was interrupted has no stamp, one whose Python is gone no interpreter.
    if stamp.is_file() and stamp.read_text(encoding="ascii") == key and Path(executable(venv)).exists():
        return False
    print(f"-- set up {venv.relative_to(ROOT)} with {python.path}", flush=True)
    _require_venv(python.path)
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([python.path, "-m", "venv", str(venv)], check=True, env=clean_environ())
    _pip(venv, *content, says=says)
    stamp.write_text(key, encoding="ascii")
    return True


def _key(*parts: str) -> str:
    """Return a digest of all that an environment was made from, its place included."""
    digest = hashlib.sha256("\0".join((str(ROOT), *parts)).encode())
    for name in _INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _require_venv(python: str) -> None:
    """See that the interpreter can make environments; Debian packs that apart from Python."""
    found, usable = probe(python)
    package = "python{}.{}-venv".format(*found.minor) if found else "python3-venv"
    if not usable and python.startswith("/usr/bin/") and shutil.which("apt-get") and os.geteuid() == 0:
        print(f"-- apt-get install {package}", flush=True)
        environ = clean_environ(DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environ)
        subprocess.run(["apt-get", "install", "-y", "-qq", package], check=True, env=environ)
        usable = probe(python)[1]
    if not usable:
        raise SetupError(
            f"{python} cannot make virtual environments. On Debian and Ubuntu: apt-get install {package}. "
            "Elsewhere install a CPython release that has the modules venv and ensurepip, "
            "or name another one: make PYTHON=/path/to/python3."
        )


def _pip(venv: Path, *arguments: str, says: bool = False) -> None:
    """Install with the pip of an environment; with *says* its last words are in the error."""
    command = [executable(venv), "-m", "pip", "install", "--quiet", *arguments]
    words = subprocess.PIPE if says else None
    run = subprocess.run(command, cwd=ROOT, check=False, env=clean_environ(), stderr=words, text=True)
    if run.returncode:
        why = (run.stderr or "").strip().splitlines()[-1:] or ["its message is above"]
        raise SetupError(f"pip could not fill {venv.relative_to(ROOT)}; {why[0]}")
