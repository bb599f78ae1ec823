# SPDX-License-Identifier: Apache-2.0
"""
Where a pricing file is looked for when none is named in code.

The order: ``SPANCOST_PRICING_CONFIG``, ``SPARK_PRICING_CONFIG``, ``./model_pricing.json``,
``~/.spancost/model_pricing.json``, ``~/.spark/model_pricing.json``. The first that is there is the one; a
bad one is an error, and the next is not tried. Paths are texts: `pathlib` would be a tenth of what the
package adds to a program's start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import threading
from typing import Final, NamedTuple

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


class Found(NamedTuple):
    """
    A pricing file to be read.

    Args:
        path: The file.
        named_by: The variable that names it; empty where it was found by search.
    """

    path: str
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
            return Found(os.path.expanduser(value), variable)
    for path in _places():
        if os.path.lexists(path):  # readable or not; not in a folder that we may not enter
            return Found(path)
    return None


def tell(path: str, digest: str) -> None:
    """
    Log once that prices are from a file nobody named, and warn where other users may write it.

    Args:
        path: The file.
        digest: SHA-256 of what was read, in hexadecimal.
    """
    with _lock:
        mark = (path, digest)
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


def _places() -> list[str]:
    places = []
    with contextlib.suppress(OSError):  # a working folder that is gone
        places.append(os.path.join(os.getcwd(), FILE_NAME))
    home = os.path.expanduser("~")
    if home != "~":  # else a user without a home
        places += [os.path.join(home, folder, FILE_NAME) for folder in _FOLDERS]
    return places


def _open_to_others(path: str) -> str:
    """Return who else may change a file, empty where nobody can."""
    if not hasattr(os, "getuid"):  # Windows has other means
        return ""
    trusted = {0, os.getuid()}
    try:
        for each, name in ((path, "the file"), (os.path.dirname(path), "its folder")):
            found = os.stat(each)
            if found.st_mode & stat.S_IWOTH:
                return f"any user may write {name}"
            if found.st_uid not in trusted:
                return f"another user owns {name}"
    except OSError:
        return ""
    return ""
