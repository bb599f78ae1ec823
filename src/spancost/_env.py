# SPDX-License-Identifier: Apache-2.0
"""The environment variables that spancost reads, in one table."""

from __future__ import annotations

import os
from typing import Final

DISABLED: Final = "SPANCOST_DISABLED"
"""``true`` switches all of spancost off, at any door."""

STRICT: Final = "SPANCOST_STRICT"
"""``1`` lets errors inside our hooks reach the program: for our own tests."""

METRICS_PORT: Final = "SPANCOST_METRICS_PORT"
"""The port on which the program serves ``/metrics``: one of its workers, with the sum of all of them."""

METRICS_ADDR: Final = "SPANCOST_METRICS_ADDR"
"""The address for that port; 127.0.0.1."""

WORKERS_DIR: Final = "SPANCOST_WORKERS_DIR"
"""The folder that makes the processes that have it one group, whose sum any scrape shows; by port else."""

OTLP_METRICS: Final = "SPANCOST_OTLP_METRICS"
"""``true`` pushes the metrics over OTLP, as ``OTEL_EXPORTER_OTLP_*`` and ``OTEL_METRIC_EXPORT_*`` say."""

JOURNAL: Final = "SPANCOST_RUN_JOURNAL"
"""Set by ``spancost run`` for the program: the file its calls are written to."""

SKIP_REMOTE_CHILDREN: Final = "SPANCOST_SKIP_REMOTE_CHILDREN"
"""``true`` on a gateway: calls below a span of another service are counted by that service (design 5.1 d)."""

LABELS: Final = "SPANCOST_LABELS"
"""Extra metric labels and their sources: ``team,tenant=baggage:tenant.id|agent,env=resource:deployment.environment.name``."""

MAX_LABEL_VALUES: Final = "SPANCOST_MAX_LABEL_VALUES"
"""How many values each metric label may take before further ones count as ``__other__``; 200."""

MAX_LABEL_SETS: Final = "SPANCOST_MAX_LABEL_SETS"
"""How many combinations of label values there may be in all; 10,000."""

_OFF: Final = ("", "0", "false", "no", "off")


def is_on(name: str) -> bool:
    """Tell whether a switch is set and not set to off."""
    return os.environ.get(name, "").strip().lower() not in _OFF


def whole_number(name: str, default: int) -> int:
    """
    Return a number from 1 up, or *default* where the variable is not set.

    Raises:
        ValueError: It is set to anything else.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ValueError(f"{name} must be a whole number from 1 up, not {text!r}")
    return int(text)


def is_disabled() -> bool:
    """Tell whether everything of ours is switched off."""
    return is_on(DISABLED)
