# SPDX-License-Identifier: Apache-2.0
"""A short run of the fuzzer in every `make test`; `make fuzz` runs a million spans."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.run import DEFAULT_SPANS, fuzz


@pytest.mark.parametrize("door", ["processor", "exporter"])
def test_spoilt_spans_raise_nothing_and_add_up(door):
    """Each run tells another story; a failure names its seed."""
    seed = int(os.environ.get("FUZZ_SEED") or int.from_bytes(os.urandom(4), "big"))
    spans = int(os.environ.get("FUZZ_SPANS") or DEFAULT_SPANS)

    assert fuzz(spans, seed, door) == [], f"FUZZ_SEED={seed} repeats it"
