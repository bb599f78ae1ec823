# SPDX-License-Identifier: Apache-2.0
"""From a settled call to the meter: the short way for nearly all calls, the long one for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spancost.calls.pricing import models_of, provider_of
from spancost.cost import Cost, cache_effect
from spancost.meter import MeteredCall
from spancost.prices.providers import semconv_name

if TYPE_CHECKING:
    from spancost.calls import Call
    from spancost.calls.facts import Facts
    from spancost.meter import Meter


def meter_call(
    meter: Meter, call: Call, agent: str | None, labels: tuple[str, ...], *, sampled: bool
) -> None:
    """
    Count a settled call.

    Args:
        meter: Where.
        call: The call.
        agent: The agent it is counted under, None for nobody.
        labels: Values of the configured extra labels.
        sampled: Whether its trace is exported, so that an exemplar may point there.
    """
    cost = call.cost
    reading = call.reading
    if call.flags or reading is None or type(cost) is not Cost or cost.source != "local":
        meter.record(metered_call(call, agent, labels, sampled=sampled))
        return
    copies = call.copies
    if len(copies) == 1:
        facts = copies[0].facts
        failed = facts.failed
        request_model = facts.request_model
        model = facts.model or request_model
        operation: object = facts.operation
        provider = _seller(call, facts)
    else:
        failed = any(node.facts.failed for node in copies)
        model, request_model = models_of(call)
        operation = call.first_fact("operation")
        provider = _name_of(provider_of(call))
    if failed:
        meter.record(metered_call(call, agent, labels, sampled=sampled))
        return
    carrier = call.carrier
    end = carrier.end
    meter.count(
        (carrier.resource or "", agent, provider, model, request_model, operation or None, labels),  # type: ignore[arg-type]
        reading.usage,
        cost,
        None if end is None else end - carrier.start,
        carrier.trace_id if sampled else 0,
        carrier.span_id,
        call.end,
    )


def _seller(call: Call, facts: Facts) -> str | None:
    """Return who sold a call that one span shows, as labels name it."""
    key = (facts.host, facts.providers)
    found = _SELLERS.get(key, "")
    if found == "":
        if len(_SELLERS) >= _MAX_SELLERS:
            _SELLERS.clear()
        found = _SELLERS[key] = _name_of(provider_of(call))
    return found


_SELLERS: Final[dict[tuple[str | None, tuple[str, ...]], str | None]] = {}
_MAX_SELLERS: Final = 512


def _name_of(provider: str | None) -> str | None:
    """Return a provider as labels name it."""
    return semconv_name(provider) if provider else None


def metered_call(call: Call, agent: str | None, labels: tuple[str, ...], *, sampled: bool) -> MeteredCall:
    """Return all that the meter counts of a call; the arguments are those of `meter_call`."""
    cost = call.cost
    priced = cost if isinstance(cost, Cost) else None
    reading = call.reading
    response_model, request_model = models_of(call)
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
        provider=_name_of(provider_of(call)),
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
        ended_ns=call.end,
    )


def _error_type(call: Call) -> str:
    return next((node.facts.error_type for node in reversed(call.copies) if node.facts.error_type), "_OTHER")
