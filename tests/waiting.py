# SPDX-License-Identifier: Apache-2.0
"""What a test waits with: for something to be so, never for a time, since a busy machine takes its time."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import TypeVar

LIMIT_S = 120.0
"""How long a test waits for what takes a moment before it fails: more than the busiest machine needs."""

_Answer = TypeVar("_Answer")


def until(question: Callable[[], _Answer], *, every: float = 0.05) -> _Answer:
    """
    Ask again until the answer is true, and return it; what is not there yet may raise as a server that is down.

    Raises:
        AssertionError: The answer is still untrue, after `LIMIT_S`.
        Exception: What the question raised last, after as long.
    """
    deadline = time.monotonic() + LIMIT_S
    while True:
        is_last = time.monotonic() > deadline
        try:
            if answer := question():
                return answer
        except (OSError, ValueError, http.client.HTTPException):
            if is_last:
                raise
        if is_last:
            raise AssertionError(f"it did not come to be in {LIMIT_S:.0f} s")
        time.sleep(every)
