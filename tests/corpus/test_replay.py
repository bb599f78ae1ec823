# SPDX-License-Identifier: Apache-2.0
"""Live, by its own threads and tasks, every recorded run gives the money, the calls and the agents its file gives."""

from __future__ import annotations

import json
from collections import Counter

from spancost.calls.pricing import models_of
from spancost.files.rows import USAGE_FIELDS
from spancost.otlp import read_spans
from spancost.testing import strict
from tests.corpus.live_replay import Replay, is_real
from tests.corpus.test_live_order import recorded_runs
from tests.kit import settle
from tests.live_kit import AMOUNT, DUPLICATE_OF


def test_every_run_replayed_live_is_what_its_file_says(tmp_path):
    """Rule 6 of the design, for what an exporter registered before the processor copied inside export()."""
    wrong = {}
    runs = calls = femto = 0
    for record in recorded_runs():
        path = tmp_path / "run.jsonl"
        path.write_text("".join(json.dumps(request) + "\n" for request in record["spans"]), encoding="utf-8")
        spans = list(read_spans([path]))
        with strict():
            replay = Replay(record["starts"], spans)
            live = replay.run()
        faults = differences(live, settle(spans))
        if faults:
            wrong[record["id"]] = faults
        runs += 1
        calls += live.counted
        femto += live.metered
        assert is_real(live.provider)

    assert not wrong
    assert runs > 160
    assert calls > 400
    assert femto > 10**12


def differences(live, file):
    """Return what is not the same on spans, metrics and file; nothing where all is."""
    faults = {}
    accounts = {
        "before": live.before.femto,
        "after": live.after.femto,
        "metrics": live.metered,
        "file": file.femto,
    }
    if len(set(accounts.values())) != 1 or live.uncarried:
        faults["money"] = accounts | {"uncarried": live.uncarried}
    both = [
        name
        for name, _, attributes in live.before.spans
        if AMOUNT in attributes and DUPLICATE_OF in attributes
    ]
    if both:
        faults["both marks"] = both
    ours, theirs = Counter(map(facts_of, live.calls)), Counter(map(facts_of, file.calls))
    if ours != theirs:
        faults["calls"] = {"live": ours - theirs, "file": theirs - ours}
    if live.counted != len(file.calls):
        faults["counted"] = (live.counted, len(file.calls))
    agents = Counter(call.agent.name if call.agent else "unknown" for call in file.calls)
    if live.agents != agents:
        faults["agents"] = {"live": live.agents - agents, "file": agents - live.agents}
    return faults


def facts_of(call):
    usage = call.reading.usage if call.reading is not None else None
    return (
        models_of(call)[0],
        tuple(getattr(usage, field) for field in USAGE_FIELDS) if usage is not None else None,
        call.agent.name if call.agent else None,
        getattr(call.cost, "femto", None),
    )
