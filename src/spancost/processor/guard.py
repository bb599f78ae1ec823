# SPDX-License-Identifier: Apache-2.0
"""
The one guard: nothing of ours raises into the app.

What fails inside it is counted by cause and logged once a cause; the span itself goes on to its
exporters untouched. Under ``SPANCOST_STRICT=1`` and ``spancost.testing.strict()`` it re-raises.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final

from spancost._env import STRICT, is_on

_log: Final = logging.getLogger("spancost")
_strict = [is_on(STRICT)]


def set_strict(on: bool) -> bool:  # noqa: FBT001 - a switch
    """Make guards re-raise, or not; return what was set before."""
    before, _strict[0] = _strict[0], on
    return before


class Guard:
    """
    Swallow, count and log what goes wrong; used as ``with guard:``, from any thread.

    Args:
        where: What is guarded, the first part of a cause: ``on_end`` ...
        count: Called with each cause, for the counter of internal errors.
    """

    __slots__ = ("_count", "_logged", "_where")

    def __init__(self, where: str, count: Callable[[str], None]) -> None:
        self._where = where
        self._count = count
        self._logged: set[str] = set()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is None:
            return False
        if not issubclass(kind, Exception) or _strict[0]:
            return False  # KeyboardInterrupt and the like are the app's
        cause = f"{self._where}_{kind.__name__}"
        # Whatever is broken, be it the counter or somebody's log handler, the app must not see it.
        with contextlib.suppress(Exception):
            self._count(cause)
        if cause not in self._logged:
            self._logged.add(cause)
            with contextlib.suppress(Exception):
                _log.error(
                    "spancost failed in %s; the app is not affected, but a call may have gone uncounted or a "
                    "span without its cost. Further failures of this kind are only counted "
                    "(spancost_internal_errors_total).",
                    self._where,
                    exc_info=error,
                )
        return True
