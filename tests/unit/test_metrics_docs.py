# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spancost import _env
from spancost.meter import names

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
SUFFIXES = {"counter": "_total", "info": "_info"}
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def shown(spec):
    return spec.name + SUFFIXES.get(spec.kind, "")


@pytest.mark.parametrize("spec", names.SPECS, ids=lambda spec: spec.name)
def test_a_series_is_listed_with_its_labels(spec):
    (row,) = [row for row in ROWS if f"`{shown(spec)}`" in row.split("|")[1]]

    assert all(f"`{label}`" in row for label in spec.labels)
    assert spec.kind == "info" or f"| {spec.kind}" in row


def test_no_other_series_is_named():
    named = set(re.findall(r"\b(?:gen_ai|spancost)_[a-z_]+(?:_total|_usd|_seconds)\b", PAGE))
    extra = named - {shown(spec) for spec in names.SPECS} - set(names.BASE_LABELS)

    assert not extra


@pytest.mark.parametrize("variable", [_env.METRICS_TOKEN, _env.METRICS_LOGIN, _env.MAX_LABEL_SETS])
def test_the_variables_are_named(variable):
    assert f"`{variable}`" in PAGE
