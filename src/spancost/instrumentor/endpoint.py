# SPDX-License-Identifier: Apache-2.0
"""``/metrics`` of a program that was not changed for it."""

from __future__ import annotations

import os
from typing import Final

from spancost._env import METRICS_ADDR, METRICS_PORT

_TAKEN: Final = "SPANCOST_RUN_JOURNAL_METRICS_TAKEN"
"""Tells the children of a process that one of their parents serves, or has said why it cannot."""

_LOCALHOST: Final = "127.0.0.1"


def serve_if_asked(port: int | None = None, addr: str | None = None) -> None:
    """
    Serve ``/metrics`` where a port is named; what fails is said on standard error, once a tree of processes.

    Args:
        port: The port; None for ``SPANCOST_METRICS_PORT``.
        addr: The address; None for ``SPANCOST_METRICS_ADDR``.
    """
    text = str(port) if port is not None else os.environ.get(METRICS_PORT, "").strip()
    if not text:
        return
    from spancost.meter.serving import serve_metrics  # noqa: PLC0415 - only where asked for

    # A port that cannot be had must not stop the program; another process of it may well have it.
    try:
        serve_metrics(int(text), addr or os.environ.get(METRICS_ADDR, "").strip() or _LOCALHOST)
    except (OSError, ValueError, RuntimeError) as error:
        if _TAKEN not in os.environ:
            os.write(2, f"spancost: /metrics is not served: {error}\n".encode())
    os.environ[_TAKEN] = "1"
