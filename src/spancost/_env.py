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

METRICS_TOKEN: Final = "SPANCOST_METRICS_TOKEN"  # noqa: S105 - the name of a variable
"""The bearer token that a client of ``/metrics`` must show; ``..._FILE`` names a file with it."""

METRICS_LOGIN: Final = "SPANCOST_METRICS_LOGIN"
"""Or the ``name:password`` that it must show by basic authentication; ``..._FILE`` likewise."""

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

DEFAULT_AGENT: Final = "SPANCOST_DEFAULT_AGENT"
"""The agent of calls that name none; where the program does not say."""

RUN_ATTRIBUTES: Final = "SPANCOST_RUN_ATTRIBUTES"
"""``true`` puts the totals of each run on agent spans; where the program does not say."""

COST_ATTRIBUTE: Final = "SPANCOST_COST_ATTRIBUTE"
"""The attribute for amounts: ``gen_ai.usage.cost.amount``, or its alias ``gen_ai.usage.cost``."""

SAMPLER: Final = "SPANCOST_SAMPLER"
"""What the sampler ``spancost`` of a YAML configuration wraps: ``parentbased_traceidratio,0.1,mode=all``."""

PRICE_TABLE: Final = "SPANCOST_PRICE_TABLE"
"""The file of a newer price table, for reading and for ``spancost prices update``; without it
``~/.spancost/prices/table.tsv``. ``built-in``: only the table that comes with the package."""

PRICE_RELOAD_SECONDS: Final = "SPANCOST_PRICE_RELOAD_SECONDS"
"""How often a running process looks whether that file has changed; 60. ``off``: never."""

PRICE_MAX_AGE_DAYS: Final = "SPANCOST_PRICE_MAX_AGE_DAYS"
"""How old the prices may be before a process says so when it starts; 60. ``off``: it never does."""

PRICING_CONFIG: Final = "SPANCOST_PRICING_CONFIG"
"""The pricing file, in place of one found by search; ``built-in`` for none. See `docs/pricing-file.md`."""

SPARK_PRICING_CONFIG: Final = "SPARK_PRICING_CONFIG"
"""The same under the name it had in an ancestor; ours wins where both are set."""

PRICING_ONLY: Final = "SPANCOST_PRICING_ONLY"
"""``true``: only the pricing file prices calls, and not the built-in book below it."""

ASSUME_DEFAULT: Final = "SPANCOST_ASSUME_DEFAULT"
"""``true``: calls on spans that have no rate cost the pricing file's ``default``, flagged ``assumed``."""

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


def whole_number_or_off(name: str, default: int) -> int | None:
    """
    Return a number from 1 up, *default* where the variable is not set, None where it says off.

    Raises:
        ValueError: It is set to anything else.
    """
    text = os.environ.get(name, "").strip()
    if text and text.lower() in _OFF:
        return None
    try:
        return whole_number(name, default)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def is_disabled() -> bool:
    """Tell whether everything of ours is switched off."""
    return is_on(DISABLED)
