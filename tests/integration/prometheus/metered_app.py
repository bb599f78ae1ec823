# SPDX-License-Identifier: Apache-2.0
"""
A program whose calls are metered: it serves /metrics, and makes calls as its standard input says.

usage: python metered_app.py PORT ACCOUNT

It answers ``ready`` when it is loaded, and the first line of its input lets it begin. Each line after that is
a JSON object: ``{"calls": 3, "agents": ["a"], "pause": 0.02}`` makes so many calls of each agent,
``{"fork": PORT, ...}`` the same in a forked child that serves metrics of its own and goes on living.
ACCOUNT gets a line for each call that the engine settled, with its amounts in 1e-15 USD: the list that
Prometheus has to agree with. Each line of input is answered by ``done``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import spancost

EARLIER_SCRAPES_S = 0.5
"""
How long nothing is counted at first, so that a scrape is over that began before this process did.

Its samples would be older than the birth of their series, which is never said to be before the process.
A scrape may take half of this; on a busy machine that is how late it may come here.
"""

MODELS = ("gpt-4o", "gpt-4o-mini", "no-such-model-of-anybody")


def main() -> None:
    """Serve, and do what the input says."""
    port, account = int(sys.argv[1]), sys.argv[2]
    book = os.open(account, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(call) -> None:
        priced = isinstance(call.cost, spancost.Cost)
        row = {
            "agent": call.agent.name if call.agent else None,
            "model": call.facts.model or call.facts.request_model,
            "parts": dict(call.cost.femto_parts) if priced else None,
            "tokens": dict(call.reading.usage.by_token_type()),
            "duration": call.carrier.end - call.carrier.start,
            "at": time.time(),
            "pid": os.getpid(),
        }
        os.write(book, json.dumps(row).encode() + b"\n")

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    processor = spancost.CostSpanProcessor()
    processor.on_call(write)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("client")
    number = Counter[str]()

    def work(order) -> None:
        for _ in range(order["calls"]):
            for agent in order["agents"]:
                number["calls"] += 1
                chat(tracer, agent, number["calls"])
                time.sleep(order.get("pause", 0))
        processor.force_flush()

    serve(port)
    for line in sys.stdin:
        order = json.loads(line)
        if "fork" in order:
            if os.fork() == 0:
                serve(order["fork"])
                work(order)
                sys.stdout.write("done\n")
                sys.stdout.flush()
                signal.pause()
        else:
            work(order)
            sys.stdout.write("done\n")
            sys.stdout.flush()


def serve(port: int) -> None:
    """Serve the metrics, and wait until whoever scrapes is in step."""
    spancost.serve_metrics(port)
    time.sleep(EARLIER_SCRAPES_S)


def chat(tracer, agent: str, number: int) -> None:
    """Make one call, no two of the same size."""
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": MODELS[number % len(MODELS)],
        "gen_ai.agent.name": agent,
    }
    with tracer.start_as_current_span("chat", attributes=asked) as span:
        span.set_attributes(
            {
                "gen_ai.usage.input_tokens": 100 + 17 * number,
                "gen_ai.usage.output_tokens": 10 + 3 * number,
                "gen_ai.usage.cache_read.input_tokens": number % 7,
            }
        )


if __name__ == "__main__":
    main()
