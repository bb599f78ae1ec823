# SPDX-License-Identifier: Apache-2.0
"""What Prometheus' own linter says about /metrics."""

from __future__ import annotations

import subprocess

import pytest
from prometheus_client import CollectorRegistry

from spancost.book import PriceBook
from spancost.meter import Meter
from spancost.meter.exposition import Document, choose_format
from tests.meter_kit import USD, a_call
from tests.waiting import LIMIT_S


@pytest.mark.needs("promtool")
def test_promtool_has_nothing_to_complain_about():
    """Every family has a sample in what it reads."""
    registry = CollectorRegistry()
    meter = Meter(registry=registry, extra_labels=["team"], max_label_values=2)
    meter.set_price_book(PriceBook.default())
    call = a_call(labels=("growth",))
    for one in (
        call._replace(sampled=True, reasoning=3, cache_read_savings=5, cache_write_premium=5),
        call._replace(failed=True, error_type="TimeoutError", flags=("partial",)),
        call._replace(cost_source="provider", reported=USD, estimated=USD, agent='say "hi"\n'),
        call._replace(cost_parts=None, unpriced_reason="unknown_model", agent="one too many"),
    ):
        meter.record(one)
    meter.record_run(service_name="shop", agent="planner", femto=USD, labels=("growth",))
    meter.internal_error("KeyError")
    assert len(meter.collect()) == len(meter.describe())

    answer = subprocess.run(
        ["promtool", "check", "metrics"],
        input=b"".join(Document(registry, choose_format("text/plain")).pieces()),
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
    )

    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")
