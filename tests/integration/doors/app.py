# SPDX-License-Identifier: Apache-2.0
"""
A program that knows nothing of spancost: two real clients, a thread pool, and a tracer that names agents.

It prints what its `/metrics` says, where a port is served, as one JSON object.
"""

from __future__ import annotations

import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
from opentelemetry import trace
from prometheus_client.parser import text_string_to_metric_families

ROUNDS = 3


def ask(_):
    """One call to each provider."""
    chat = openai.OpenAI(base_url=os.environ["OPENAI_URL"], api_key="none").chat.completions
    chat.create(
        model="gpt-4o",
        messages=[{"role": "system", "content": "[[planner]]"}, {"role": "user", "content": "hi"}],
    )
    messages = anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key="none").messages
    messages.create(
        model="claude-haiku-4-5",
        max_tokens=50,
        system="[[writer]]",
        messages=[{"role": "user", "content": "hi"}],
    )


def late_provider():
    """Do what many programs do: set up tracing themselves, after everything was imported."""
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())


def metrics():
    """Return calls and USD by agent."""
    port = os.environ.get("APP_METRICS_PORT")
    if not port:
        return {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=100) as answer:
        text = answer.read().decode()
    found = {"calls": {}, "usd": 0.0, "labels": []}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "gen_ai_calls_total":
                agent = sample.labels["gen_ai_agent_name"]
                found["calls"][agent] = found["calls"].get(agent, 0) + int(sample.value)
                found["labels"] = sorted(sample.labels)
            elif sample.name == "gen_ai_cost_usd_total":
                found["usd"] += sample.value
    return found


def main():
    """Work, then tell."""
    if os.environ.get("APP_LATE_PROVIDER"):
        late_provider()
    tracer = trace.get_tracer("app")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    with (
        tracer.start_as_current_span("invoke_agent planner", attributes=agent),
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(ask, range(ROUNDS)))
    provider = trace.get_tracer_provider()
    if hasattr(provider, "force_flush"):
        provider.force_flush()
    print(json.dumps(metrics()))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
