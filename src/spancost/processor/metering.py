# SPDX-License-Identifier: Apache-2.0
"""A settled call as the meter takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.calls.pricing import models_of, provider_of
from spancost.cost import Cost, cache_effect
from spancost.meter import MeteredCall
from spancost.prices.providers import semconv_name

if TYPE_CHECKING:
    from spancost.calls import Call


def metered_call(call: Call, agent: str | None, labels: tuple[str, ...], *, sampled: bool) -> MeteredCall:
    """
    Return what the meter counts of a call.

    Args:
        call: The settled call.
        agent: The agent it is counted under, None for nobody.
        labels: Values of the configured extra labels.
        sampled: Whether its trace is exported, so that an exemplar may point there.
    """
    cost = call.cost
    priced = cost if isinstance(cost, Cost) else None
    reading = call.reading
    response_model, request_model = models_of(call)
    provider = provider_of(call)
    failed = any(node.facts.failed for node in call.copies)
    unpriced = None if priced is not None or call.status == "failed" else getattr(cost, "reason", None)
    estimate = call.estimate
    saved = premium = 0
    if priced is not None and reading is not None:
        saved, premium = cache_effect(reading.usage, priced.rates)
    both = priced is not None and priced.source == "provider" and isinstance(estimate, Cost)
    return MeteredCall(
        service_name=str(call.carrier.resource or ""),
        agent=agent,
        provider=semconv_name(provider) if provider else None,
        response_model=response_model,
        request_model=request_model,
        operation=str(call.first_fact("operation") or "") or None,
        labels=labels,
        cost_parts=priced.femto_parts if priced is not None else None,
        cost_source=priced.source if priced is not None else "local",
        tokens=reading.usage.by_token_type() if reading is not None else {},
        reasoning=reading.usage.reasoning if reading is not None else 0,
        duration_ns=call.carrier.end - call.carrier.start if call.carrier.end is not None else None,
        error_type=_error_type(call) if failed else "",
        unpriced_reason=unpriced,
        flags=tuple(call.flags),
        failed=failed,
        cache_read_savings=saved,
        cache_write_premium=premium,
        reported=priced.femto if both and priced is not None else None,
        estimated=estimate.femto if both and isinstance(estimate, Cost) else None,
        trace_id=call.carrier.trace_id,
        span_id=call.carrier.span_id,
        sampled=sampled,
    )


def _error_type(call: Call) -> str:
    return next((node.facts.error_type for node in reversed(call.copies) if node.facts.error_type), "_OTHER")
