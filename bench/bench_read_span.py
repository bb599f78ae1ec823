# SPDX-License-Identifier: Apache-2.0
"""
What reading one span costs, by kind of span: the quick reader beside the plain rules.

Every round measures each way once, so that a ratio compares what ran in the same seconds; shown are
medians, and of the ratios the lowest and highest too. Counts and response ids differ from span to span,
as they do in life; what names the span, its model and its agent repeats.

    python bench/bench_read_span.py
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness

sys.path.insert(0, str(Path(__file__).parents[1]))

from spancost.calls import read_span
from tests.oracle_reader import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable

Said = tuple[str, dict[str, Any], str, str]
SPANS = 2_000
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.response.model": "gpt-5-mini-2025-08-07",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.max_tokens": 500,
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.conversation.id": "c",
    "server.address": "api.openai.com",
    "server.port": 443,
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-5-mini",
    "llm.provider": "openai",
    "llm.invocation_parameters": '{"model": "gpt-5-mini", "temperature": 0.5}',
    "output.value": "hello",
    **{f"llm.input_messages.{n}.message.{part}": "x" for n in range(8) for part in ("role", "content")},
}
AGENT = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "planner",
    "gen_ai.request.model": "gpt-5",
}
HTTP = {
    "http.request.method": "GET",
    "server.address": "shop.example",
    "server.port": 443,
    "http.response.status_code": 200,
    "network.protocol.version": "1.1",
    "user_agent.original": "python-httpx/0.28.1",
}


def spans(count: int) -> dict[str, list[Said]]:
    """Return spans of each kind: name, attributes, scope, version."""

    def genai(n: int) -> dict[str, Any]:
        usage = {"input_tokens": 1000 + n, "output_tokens": 20 + n, "cache_read.input_tokens": 500}
        said = {f"gen_ai.usage.{key}": value for key, value in usage.items()}
        return CALL | said | {"gen_ai.response.id": f"resp_{n}"}

    def openinference(n: int) -> dict[str, Any]:
        usage = {"prompt": 1000 + n, "completion": 20 + n, "total": 1020 + 2 * n}
        return OPENINFERENCE | {f"llm.token_count.{key}": value for key, value in usage.items()}

    numbers = range(count)
    return {
        "call, semantic conventions": [("chat gpt-5-mini", genai(n), "my.scope", "1") for n in numbers],
        "call, OpenInference": [
            ("ChatCompletion", openinference(n), "openinference.instrumentation.openai", "1") for n in numbers
        ],
        "agent": [("invoke_agent planner", dict(AGENT), "my.scope", "1") for _ in numbers],
        "HTTP, not ours": [("GET", dict(HTTP) | {"url.full": f"https://{n}"}, "http", "1") for n in numbers],
    }


def read_all(read: Callable[..., object], some: list[Said]) -> None:
    """Read spans."""
    for name, attributes, scope, version in some:
        read(name, attributes, scope, version, failed=False)


def main() -> None:
    """Measure and print."""
    options = harness.options(__doc__)
    rows = []
    for kind, some in spans(SPANS).items():
        ways = {"quick": partial(read_all, read_span, some), "plain": partial(read_all, read_plain, some)}
        times = harness.interleave(ways, options.rounds)
        beside = harness.ratio(times["plain"], times["quick"])
        rows.append([kind, harness.per_repeat(times["quick"], SPANS), beside])
    report = harness.Report("read_span", __doc__)
    report.table(
        "Reading a span",
        ["span", "time here", "plain rules beside the quick reader"],
        rows,
        f"{options.rounds} rounds of {SPANS:,} spans",
    )
    report.finish(options)


if __name__ == "__main__":
    main()
