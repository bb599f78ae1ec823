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
"""The port on which a program that is metered without code serves ``/metrics``."""

JOURNAL: Final = "SPANCOST_RUN_JOURNAL"
"""Set by ``spancost run`` for the program: the file its calls are written to."""

SKIP_REMOTE_CHILDREN: Final = "SPANCOST_SKIP_REMOTE_CHILDREN"
"""``true`` on a gateway: calls below a span of another service are counted by that service (design 5.1 d)."""

MAX_LABEL_VALUES: Final = "SPANCOST_MAX_LABEL_VALUES"
"""How many values each metric label may take before further ones count as ``__other__``; 200."""

MAX_LABEL_SETS: Final = "SPANCOST_MAX_LABEL_SETS"
"""How many combinations of label values there may be in all; 10,000."""

LABELS: Final = "SPANCOST_LABELS"
"""Names of extra metric labels, separated by commas; where the program names none itself."""

DEFAULT_AGENT: Final = "SPANCOST_DEFAULT_AGENT"
"""The agent of calls that name none; where the program does not say."""

RUN_ATTRIBUTES: Final = "SPANCOST_RUN_ATTRIBUTES"
"""``true`` puts the totals of each run on agent spans; where the program does not say."""

COST_ATTRIBUTE: Final = "SPANCOST_COST_ATTRIBUTE"
"""The attribute for amounts: ``gen_ai.usage.cost.amount``, or its alias ``gen_ai.usage.cost``."""

SAMPLER: Final = "SPANCOST_SAMPLER"
"""What the sampler ``spancost`` of a YAML configuration wraps: ``parentbased_traceidratio,0.1,mode=all``."""

METRICS_ADDR: Final = "SPANCOST_METRICS_ADDR"
"""The address that ``SPANCOST_METRICS_PORT`` is served on; 127.0.0.1."""

_OFF: Final = ("", "0", "false", "no", "off")


def is_on(name: str) -> bool:
    """Tell whether a switch is set and not set to off."""
    return os.environ.get(name, "").strip().lower() not in _OFF


def words(name: str) -> tuple[str, ...]:
    """Return the words that a variable lists, separated by commas."""
    return tuple(word.strip() for word in os.environ.get(name, "").split(",") if word.strip())


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
