# SPDX-License-Identifier: Apache-2.0
"""The public names: few, pinned here, and free until they are used."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

import spancost

# A name that appears or goes changes what users can rely on: change it here on purpose,
# and say so in CHANGELOG.md.
PUBLIC = [
    "Cost",
    "CostSampler",
    "CostSpanExporter",
    "CostSpanProcessor",
    "InputError",
    "PriceBook",
    "PriceBookError",
    "SpancostError",
    "Unpriced",
    "Usage",
    "UsageError",
    "agent",
    "carry",
    "metrics_asgi_app",
    "metrics_wsgi_app",
    "serve_metrics",
]


def test_the_public_names_are_these():
    assert sorted(spancost.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_imports_and_is_documented(name):
    value = getattr(spancost, name)

    assert value.__name__ == name
    assert value.__doc__
    assert name in dir(spancost)


def test_a_name_that_is_not_there_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="'spancost' has no attribute 'Price'"):
        _ = spancost.Price


def test_the_version_is_the_distribution_s():
    assert spancost.__version__ == version("spancost")
    assert re.fullmatch(r"\d+\.\d+\.\d+", spancost.__version__)


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running *code*."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    return set(answer.stdout.split())


def test_importing_the_package_loads_only_its_version():
    loaded = loaded_after("import spancost")

    assert {name for name in loaded if name.startswith("spancost.")} == {"spancost._version"}


def test_the_money_part_loads_no_opentelemetry():
    loaded = loaded_after("import spancost; spancost.PriceBook, spancost.Cost, spancost.Usage")

    assert {name for name in loaded if name.split(".")[0] == "opentelemetry"} == set()
