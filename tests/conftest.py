# SPDX-License-Identifier: Apache-2.0
"""What every test shares: Hypothesis profiles, and skips by the name of what the machine lacks."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
from hypothesis import HealthCheck, settings

# No deadline: the machine is shared, and a slow example is no wrong answer.
settings.register_profile("fast", max_examples=25, deadline=None)
settings.register_profile(
    "thorough",
    max_examples=400,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# Neither a table that this machine has installed nor the day of the test changes what tests see.
os.environ["SPANCOST_PRICE_TABLE"] = "built-in"
os.environ["SPANCOST_PRICE_MAX_AGE_DAYS"] = "off"

# On CPython 3.10, which has no quick way, no call goes straight, and there is nothing to test of it.
collect_ignore_glob = ["unit/test_lane*.py"] if sys.version_info < (3, 11) else []

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs("go")` on a machine without it; `make test` lists it at its end."""
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")
