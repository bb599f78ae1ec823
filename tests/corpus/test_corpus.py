# SPDX-License-Identifier: Apache-2.0
"""Recorded runs of real libraries, priced as files: no library's score may drop (tests/corpus_scores.json)."""

from __future__ import annotations

import pytest

from tests.corpus.scoring import VARIANTS, cases, drops, kept_scores, score


@pytest.mark.parametrize(("family", "variant"), list(cases()))
def test_no_librarys_score_drops(family, variant):
    """A rise is kept by `python -m tests.corpus.scoring --write`, and its difference reviewed."""
    wrong = []
    now = score(family, VARIANTS[variant], wrong.append)
    worse = drops(kept_scores()[f"{family}, {variant}"], now)

    assert not worse, "\n".join([*worse, "", *wrong])


@pytest.mark.parametrize(("family", "variant"), list(cases()))
def test_the_kept_scores_are_what_was_promised(family, variant):
    """Calls found once and usage right at least 99.5%, agents too, and nothing counted twice or made up."""
    kept = kept_scores()[f"{family}, {variant}"]
    total = {
        key: sum(tally.get(key, 0) for tally in kept.values())
        for key in ("calls", "found", "usage", "agents", "agent")
    }

    assert total["found"] >= 0.995 * total["calls"] > 0
    assert total["usage"] >= 0.995 * total["found"]
    assert total["agent"] >= 0.995 * total["agents"]
    assert not any(tally.get("extra") or tally.get("invented") for tally in kept.values())
