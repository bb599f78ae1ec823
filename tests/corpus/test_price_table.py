# SPDX-License-Identifier: Apache-2.0
"""The vendored price table is what its inputs give."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from spancost.prices import table

TOOLS = Path(__file__).parents[2] / "tools"


def test_the_table_is_what_the_build_makes(monkeypatch):
    """Building from the pinned sources gives the committed bytes, twice."""
    pytest.importorskip("tomllib")
    genai_prices = pytest.importorskip("genai_prices")
    spec = importlib.util.spec_from_file_location("build_prices", TOOLS / "build_prices.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    spec.loader.exec_module(module)
    if genai_prices.__version__ != module.GENAI_PRICES:
        pytest.skip(f"genai-prices {module.GENAI_PRICES} is not installed")
    assert module.build() == table.DEFAULT_PATH.read_bytes()
    assert module.build() == table.DEFAULT_PATH.read_bytes()
