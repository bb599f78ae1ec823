# SPDX-License-Identifier: Apache-2.0
"""What the demo prints: which agent spent what, as /metrics has it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from demo.agreement import Scrape

_BAR: Final = 20
_HEADER: Final = ("agent, model", "calls", "input", "cached", "output", "USD", "")


@dataclass(slots=True)
class Spent:
    """What an agent, or one of its models, used."""

    calls: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    usd: float = 0.0

    def cells(self) -> list[str]:
        """Return the numbers for people."""
        counts = (self.calls, self.input, self.cached, self.output)
        return [*(f"{count:,}" if count else "-" for count in counts), f"{self.usd:.6f}"]


def table(scrape: Scrape) -> str:
    """Return a table of agents, the dearest first, each with its models."""
    agents, models, total = _sums(scrape)
    rows = [list(_HEADER)]
    for agent in sorted(agents, key=lambda name: -agents[name].usd):
        share = agents[agent].usd / total.usd if total.usd else 0.0
        rows.append([agent or "unknown", *agents[agent].cells(), f"{share:4.0%} {'#' * round(share * _BAR)}"])
        own = [key for key in models if key[0] == agent]
        own.sort(key=lambda key: -models[key].usd)
        rows += [[f"  {model}", *models[agent, model].cells(), ""] for _, model in own]
    rows.append(["total", *total.cells(), ""])
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            cell.rjust(width) if 0 < column < len(_HEADER) - 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _sums(scrape: Scrape) -> tuple[dict[str, Spent], dict[tuple[str, str], Spent], Spent]:
    """Return what was spent by agent, by agent and model, and in all."""
    agents: dict[str, Spent] = defaultdict(Spent)
    models: dict[tuple[str, str], Spent] = defaultdict(Spent)
    total = Spent()
    for key, count in scrape.calls.items():
        for spent in (agents[key.agent], models[key.agent, key.model], total):
            spent.calls += count
    for key, value in scrape.tokens.items():
        for spent in (agents[key.agent], models[key.agent, key.model], total):
            spent.output += int(value) if key.token_type.startswith("output") else 0
            spent.input += 0 if key.token_type.startswith("output") else int(value)
            spent.cached += int(value) if key.token_type.startswith("cache_read") else 0
    for key, usd in scrape.cost.items():
        for spent in (agents[key.agent], models[key.agent, key.model], total):
            spent.usd += usd
    return agents, models, total
