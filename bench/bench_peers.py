# SPDX-License-Identifier: Apache-2.0
"""
An LLM call end to end: with a plain span, with spancost, with the naive processor, and as the peers do it.

Every peer has an environment of its own (its pinned requirements are in bench/peers) with spancost beside
it; all ways run in one process, in turns. genai-prices and LiteLLM price in a naive processor; OpenLIT,
genai-otel-instrument and Logfire instrument the OpenAI client themselves. Exporters send nothing.

The peers that instrument a client also capture messages and durations, which the plain span does not: their
ratios compare what a team adds to its program, not one and the same work. That of LiteLLM and genai-prices
is the price alone. What cannot be installed is shown with its error.

    python bench/bench_peers.py
    python bench/bench_peers.py --peer openlit
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import harness

HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))

import environments  # noqa: E402 - it is no package

PEERS: Final = {
    "genai-prices": "calc_price in a naive processor",
    "litellm": "cost_per_token in a naive processor",
    "openlit": "instruments the client: spans, metrics, cost",
    "genai-otel-instrument": "instruments the client: spans, metrics, cost",
    "logfire": "instruments the client's HTTP: spans, cost by genai-prices",
}
LIMIT_S: Final = 900


def measure(peer: str, rounds: int) -> dict[str, Any]:
    """
    Return what one peer's process printed.

    Raises:
        RuntimeError: It cannot be installed or run; the message is the last words.
    """
    try:
        python = environments.ensure_peer(HERE / "peers" / f"{peer}.txt")
    except (environments.SetupError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"cannot be installed: {error}") from error
    run = subprocess.run(
        [python, str(HERE / "peer_run.py"), peer, "--rounds", str(rounds)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env=environments.clean_environ(),
    )
    if run.returncode:
        raise RuntimeError(f"cannot be run: {(run.stderr or run.stdout).strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def row(peer: str, rounds: int) -> list[object]:
    """Return a peer's row of the table."""
    try:
        found = measure(peer, rounds)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return [peer, PEERS[peer], f"failed: {error}", "", "", ""]
    times = found["times"]
    added = {
        way: [max(one - other, 1e-9) for one, other in zip(times[way], times["span"], strict=True)]
        for way in ("ours", "naive")
    }
    bare = [max(one - other, 1e-9) for one, other in zip(times["peer"], times["bare"], strict=True)]
    with_span = [max(one - other, 1e-9) for one, other in zip(times["ours"], times["bare"], strict=True)]
    return [
        f"{peer} {found['version']}",
        PEERS[peer],
        harness.ratio(times["peer"], times["ours"]),
        harness.ratio(bare, with_span),
        harness.ratio(added["naive"], added["ours"]),
        ", ".join(found["cost"]) or "no cost on its spans" if "client" in PEERS[peer] else "",
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer", choices=PEERS, action="append", help="these only")


def main() -> None:
    """Measure and print."""
    options = harness.options(__doc__, _add_options)
    report = harness.Report("peers", __doc__)
    report.table(
        "A call end to end, the peer's whole beside ours",
        [
            "peer",
            "what it does",
            "whole: peer / (span + spancost)",
            "added to the bare call: peer / (span + spancost)",
            "added to the span: naive / spancost",
            "its attributes of cost",
        ],
        [row(peer, options.rounds) for peer in options.peer or PEERS],
        f"{options.rounds} rounds in one process per peer; processor time, background threads included",
    )
    report.finish(options)


if __name__ == "__main__":
    main()
