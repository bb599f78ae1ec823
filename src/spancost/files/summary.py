# SPDX-License-Identifier: Apache-2.0
"""Totals over calls by any of their keys, in integers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from spancost.calls.pricing import models_of, provider_of
from spancost.cost import Cost
from spancost.files.rows import timestamp
from spancost.prices.providers import semconv_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spancost.calls.nodes import Call

UNKNOWN: Final = "unknown"


def _provider(call: Call) -> str:
    provider = provider_of(call)
    return semconv_name(provider) if provider else UNKNOWN


KEYS: Final[dict[str, Callable[[Call], str]]] = {
    "agent": lambda call: call.agent.name if call.agent else UNKNOWN,
    "model": lambda call: models_of(call)[0] or UNKNOWN,
    "provider": _provider,
    "operation": lambda call: str(call.first_fact("operation") or UNKNOWN),
    "service": lambda call: str(call.carrier.resource or UNKNOWN),
    "tier": lambda call: str(call.first_fact("service_tier") or "standard"),
    "status": lambda call: call.status,
    "day": lambda call: timestamp(call.carrier.start)[:10],
    "month": lambda call: timestamp(call.carrier.start)[:7],
    "trace": lambda call: call.carrier.trace_id,
}
"""What calls can be grouped by; days and months are UTC."""


@dataclass(slots=True)
class Totals:
    """
    The totals of some calls.

    Args:
        calls: How many.
        input: Input tokens, everything cached included.
        cache_read: Part of ``input`` read from a cache.
        cache_write: Part of ``input`` written to one.
        output: Output tokens, reasoning included.
        reasoning: Part of ``output``.
        femto: Costs in 1e-15 USD, of the calls that have one.
        unpriced: Calls without a cost that did not fail, by reason.
        failed: Calls that failed without usage.
        flags: Calls by flag.
    """

    calls: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    femto: int = 0
    failed: int = 0
    unpriced: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)

    def add(self, call: Call) -> None:
        """Add one call."""
        self.calls += 1
        if call.reading is not None:
            usage = call.reading.usage
            self.input += usage.input
            self.cache_read += usage.cache_read
            self.cache_write += usage.cache_write
            self.output += usage.output
            self.reasoning += usage.reasoning
        if isinstance(call.cost, Cost):
            self.femto += call.cost.femto
        elif call.status == "failed":
            self.failed += 1
        elif call.cost is not None:
            self.unpriced[call.cost.reason] += 1
        for flag in call.flags:
            self.flags[flag] += 1


class Summary:
    """
    Totals over calls, by key.

    Args:
        by: Names from ``KEYS``, in the order of the columns.
    """

    def __init__(self, by: Sequence[str]) -> None:
        self.by = tuple(by)
        self.total = Totals()
        self.unpriced_models: Counter[tuple[str, str, str]] = Counter()
        self._keys = [KEYS[name] for name in by]
        self._totals: dict[tuple[str, ...], Totals] = {}

    def add(self, call: Call) -> None:
        """Add one call."""
        key = tuple(of(call) for of in self._keys)
        totals = self._totals.get(key)
        if totals is None:
            totals = self._totals[key] = Totals()
        totals.add(call)
        self.total.add(call)
        if not isinstance(call.cost, Cost) and call.status != "failed" and call.cost is not None:
            self.unpriced_models[call.cost.reason, _provider(call), models_of(call)[0] or UNKNOWN] += 1

    def rows(self) -> list[tuple[tuple[str, ...], Totals]]:
        """Return the groups, most expensive first, then by name."""
        return sorted(self._totals.items(), key=lambda item: (-item[1].femto, -item[1].calls, item[0]))
