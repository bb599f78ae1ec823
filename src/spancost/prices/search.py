# SPDX-License-Identifier: Apache-2.0
"""
Where a pricing file is looked for when none is named in code.

The order: ``SPANCOST_PRICING_CONFIG``, ``SPARK_PRICING_CONFIG``, ``./model_pricing.json``,
``~/.spancost/model_pricing.json``, ``~/.spark/model_pricing.json``. The first that is there is the one; a
bad one is an error, and the next is not tried.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spancost._env import PRICING_CONFIG, SPARK_PRICING_CONFIG

FILE_NAME: Final = "model_pricing.json"
BUILT_IN: Final = "built-in"
"""The value of the variable that stands for no file at all, searched or named."""

HOW_TO_LEAVE_OUT: Final = f"{PRICING_CONFIG}={BUILT_IN} leaves it out"
"""For messages about a file."""

_FOLDERS: Final = (".spancost", ".spark")
_MAX_TOLD: Final = 256

_log: Final = logging.getLogger("spancost")
_lock: Final = threading.Lock()
_told: Final[set[tuple[str, str]]] = set()


@dataclass(frozen=True, slots=True)
class Found:
    """
    A pricing file to be read.

    Args:
        path: The file.
        named_by: The variable that names it; empty where it was found by search.
    """

    path: Path
    named_by: str = ""


def find() -> Found | None:
    """
    Return the pricing file that the environment or a folder has, None where there is none.

    One that the environment names is returned whether it is there or not: reading it then fails.
    """
    for variable in (PRICING_CONFIG, SPARK_PRICING_CONFIG):
        value = os.environ.get(variable, "").strip()
        if value == BUILT_IN:
            return None
        if value:
            return Found(_expanded(value), variable)
    for path in _places():
        if _is_there(path):
            return Found(path)
    return None


def tell(path: Path, digest: str) -> None:
    """
    Log once that prices are from a file nobody named, and warn where other users may write it.

    Args:
        path: The file.
        digest: SHA-256 of what was read, in hexadecimal.
    """
    with _lock:
        mark = (str(path), digest)
        if mark in _told or len(_told) >= _MAX_TOLD:
            return
        _told.add(mark)
    why = _open_to_others(path)
    _log.log(
        logging.WARNING if why else logging.INFO,
        "spancost: prices of %s (sha256:%s) are in force, found by search%s; %s",
        path,
        digest,
        f": {why}" if why else "",
        HOW_TO_LEAVE_OUT,
    )


def _places() -> list[Path]:
    places = []
    with contextlib.suppress(OSError):  # a working folder that is gone
        places.append(Path.cwd() / FILE_NAME)
    with contextlib.suppress(RuntimeError):  # a user without a home
        places += [Path.home() / folder / FILE_NAME for folder in _FOLDERS]
    return places


def _is_there(path: Path) -> bool:
    """Tell whether something has the name, be it readable or not; not in a folder that we may not enter."""
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        return Path(value)


def _open_to_others(path: Path) -> str:
    """Return who else may change a file, empty where nobody can."""
    if not hasattr(os, "getuid"):  # Windows has other means
        return ""
    trusted = {0, os.getuid()}
    try:
        for each, name in ((path, "the file"), (path.parent, "its folder")):
            found = each.stat()
            if found.st_mode & stat.S_IWOTH:
                return f"any user may write {name}"
            if found.st_uid not in trusted:
                return f"another user owns {name}"
    except OSError:
        return ""
    return ""
