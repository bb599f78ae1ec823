# SPDX-License-Identifier: Apache-2.0
"""Workers of a group that counts as one; only where processes can fork."""

from __future__ import annotations

import os
import time

from spancost.cost import Cost
from spancost.meter import Meter
from spancost.usage import Usage
from tests.meter_kit import by_label

if hasattr(os, "fork"):
    from spancost.meter.workers import join

KEY = ("shop", "planner", "openai", "gpt-4o-2024-08-06", "gpt-4o", "chat", ())
USAGE, COST = Usage(input=7, output=3), Cost(10, {"input": 6, "output": 4})


def a_worker(folder, **settings):
    meter = Meter(**settings)
    return meter, join(meter, folder)


def count(meter, agent="planner", times=1, trace_id=0):
    for _ in range(times):
        key = (KEY[0], agent, *KEY[2:])
        meter.count(key, USAGE, COST, 10**7, trace_id=trace_id, span_id=trace_id, ended_ns=time.time_ns())


def calls(meter):
    return by_label(meter, "gen_ai_calls_total", "gen_ai_agent_name")


def in_child(work):
    """Run something in a forked child; return its process id."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return child
