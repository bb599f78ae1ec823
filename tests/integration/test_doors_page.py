# SPDX-License-Identifier: Apache-2.0
"""docs/doors.md, done as a stranger would do it: its code runs and prices, its names exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spancost import _env
from spancost.exporter.otlp import OtlpGrpcCostExporter, OtlpHttpCostExporter
from spancost.instrumentor.zero_code import Configuration
from spancost.sampler import MODES
from spancost.sampler.named import sampler_of_environment
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doors.md").read_text(encoding="utf-8")
CALL = """
span = provider.get_tracer("client").start_span("chat", attributes={
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"})
span.set_attributes({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10})
span.end()
provider.shutdown()
"""


def blocks(language):
    """Return the page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", [each for each in blocks("python") if "add_span_processor" in each])
def test_a_pipeline_of_the_page_exports_the_cost(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + CALL],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )

    assert json.loads(done.stdout)["attributes"]["gen_ai.usage.cost.amount"] == 0.00035
    assert done.stderr == ""


def test_the_sampler_of_the_page_records_what_it_drops():
    (code,) = [each for each in blocks("python") if "CostSampler" in each]
    check = "\nprint(provider.get_tracer('x').start_span('x').is_recording())\n"
    done = subprocess.run(
        [sys.executable, "-c", code + check], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )

    assert done.stdout == "True\n"


def test_the_argument_of_the_page_is_one():
    (text,) = re.findall(r"OTEL_TRACES_SAMPLER_ARG=(\S+)", PAGE)

    assert "mode=all" in sampler_of_environment(text).get_description()


def test_every_variable_of_the_page_is_in_the_table():
    known = {value for value in vars(_env).values() if isinstance(value, str)}

    assert set(re.findall(r"SPANCOST_[A-Z_]+", PAGE)) <= known


def test_every_option_of_the_page_exists_and_the_other_way_round():
    fields = set(Configuration.__dataclass_fields__)
    (sentence,) = re.findall(r"the instrumentation takes\s+(.*?)\. What nobody", PAGE, re.DOTALL)

    assert set(re.findall(r"`(\w+)", sentence)) == fields


def test_every_mode_is_explained():
    (table,) = re.findall(r"^\| mode.*?\n\n", PAGE, re.DOTALL | re.MULTILINE)

    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(MODES)


@pytest.mark.parametrize("exporter", [OtlpGrpcCostExporter, OtlpHttpCostExporter])
def test_the_entry_points_take_the_options_of_the_page(exporter):
    exporter(endpoint="http://localhost:4318/v1/traces", timeout=10000).shutdown()
