# SPDX-License-Identifier: Apache-2.0
"""Live and file agree by construction (design 5.1 e): recorded runs in the order in which things happened."""

from __future__ import annotations

import json
import lzma

from spancost.otlp import read_spans
from tests.corpus.replay import replay
from tests.corpus.scoring import DATA
from tests.kit import settle


def test_the_order_of_events_gives_the_calls_that_the_file_gives(tmp_path):
    """The same carriers with the same money, agents and status, knowing only what was known by then."""
    compared = 0
    different = {}
    for record in recorded_runs():
        path = tmp_path / "run.jsonl"
        path.write_text("".join(json.dumps(request) + "\n" for request in record["spans"]), encoding="utf-8")
        spans = list(read_spans([path]))
        live, file = facts_of(replay(record["starts"], spans)), facts_of(settle(spans).calls)
        compared += len(file)
        if live != file:
            different[record["id"]] = {
                "live": sorted(live - file, key=str),
                "file": sorted(file - live, key=str),
            }

    assert not different
    assert compared > 400


def recorded_runs():
    with lzma.open(DATA / "agents.jsonl.xz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [record for record in records if record["starts"]]


def facts_of(calls):
    return {
        (
            call.carrier.span_id,
            call.status,
            getattr(call.cost, "femto", None),
            call.agent.name if call.agent else None,
            tuple(call.flags),
        )
        for call in calls
    }
