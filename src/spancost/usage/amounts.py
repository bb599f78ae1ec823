# SPDX-License-Identifier: Apache-2.0
"""Amounts of money that stand in usage objects: what a provider itself says a call cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from spancost.usage.counts import count


def reported_cost(found: Mapping[str, Any]) -> Decimal | None:
    """
    Return the USD amount a provider put into its own usage object, or None.

    OpenRouter's ``cost`` (for calls on the user's own key it is the fee, and the upstream cost
    stands beside it), xAI's ``cost_in_usd_ticks`` (1e-10 USD) and Perplexity's ``cost.total_cost``.
    """
    ticks = count(found.get("cost_in_usd_ticks"))
    if ticks is not None:
        return Decimal(ticks).scaleb(-10)
    cost = found.get("cost")
    details = found.get("cost_details")
    if isinstance(cost, Mapping):
        return amount(cost.get("total_cost"))
    if not isinstance(details, Mapping) and "is_byok" not in found:
        return None  # some libraries put an estimate of their own under the same key
    total = amount(cost)
    if total is not None and found.get("is_byok") is True:
        upstream = amount(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
        return total + upstream if upstream else None  # the fee alone is not what the call costs
    return total


def amount(value: object) -> Decimal | None:
    """Return *value* as a finite amount of USD from 0 up, exactly as its shortest text says, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    text = str(value)
    if len(text) > 64:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or not 0 <= number < 10**12:
        return None
    return number
