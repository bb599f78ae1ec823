# SPDX-License-Identifier: Apache-2.0
"""From a settled call to the meter: the short way for nearly all calls, the long one for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.calls.pricing import models_of, provider_of, seller
from spancost.cost import Cost, cache_effect
from spancost.meter import MeteredCall
from spancost.prices.providers import semconv_name

if TYPE_CHECKING:
    from spancost.calls import Call
    from spancost.calls.facts import Facts
    from spancost.meter import Meter
    from spancost.meter.records import Record


def meter_call(
    meter: Meter,
    call: Call,
    agent: str | None,
    labels: tuple[str, ...],
    sampled: bool,  # noqa: FBT001 - by name takes longer
) -> None:
    """
    Count a settled call; the caller holds the lock of the meter's gate, which is the engine's too.

    Args:
        meter: Where.
        call: The call.
        agent: The agent it is counted under, None for nobody.
        labels: Values of the configured extra labels.
        sampled: Whether its trace is exported, so that an exemplar may point there.
    """
    cost = call.cost
    reading = call.reading
    if call.flags or reading is None or cost.__class__ is not Cost or cost.source != "local":
        meter.record(metered_call(call, agent, labels, sampled=sampled))
        return
    carrier = call.carrier
    end = carrier.end
    duration = None if end is None else end - carrier.start
    copies = call.copies
    inner = copies[0]
    facts = inner.facts
    said = _said(carrier.resource, agent, facts, labels)
    gate = meter.gate
    try:
        record = meter.known[said]
    except KeyError:
        record = None
    if record is not None and not facts.failed and inner is copies[-1] and not gate.busy:
        trace_id = carrier.trace_id if sampled else 0
        record.count(reading.usage, cost, duration, trace_id, carrier.span_id, call.end)
        return
    if any(node.facts.failed for node in call.copies):
        meter.record(metered_call(call, agent, labels, sampled=sampled))
        return
    model, request_model = models_of(call)
    operation = str(call.first_fact("operation") or "") or None
    provider = _name_of(provider_of(call))
    meter.count(
        (str(carrier.resource or ""), agent, provider, model, request_model, operation, labels),
        reading.usage,
        cost,
        duration,
        trace_id=carrier.trace_id if sampled else 0,
        span_id=carrier.span_id,
        ended_ns=call.end,
        said=said if len(call.copies) == 1 else None,
    )


Asked = tuple["str | None", "str | None", "str | None"]
"""Provider, request model and operation, as labels have them."""


def asked_of(facts: Facts) -> Asked:
    """Return what a call that starts asks for, as its series will be known (`Meter.expect`)."""
    found, unknown = seller(facts.host, facts.providers)
    return _name_of(found or unknown), facts.request_model or facts.model, facts.operation or None


def known_record(meter: Meter, service: object, agent: str | None, facts: Facts) -> Record | None:
    """Return where the calls of one span without extra labels are counted, if the meter remembers it."""
    return meter.known.get(_said(service, agent, facts, ()))


def _said(service: object, agent: str | None, facts: Facts, labels: tuple[str, ...]) -> tuple[object, ...]:
    """Return what one span says as it says it, so that its label set has to be worked out only once."""
    return (
        service,
        agent,
        facts.host,
        facts.providers,
        facts.model,
        facts.request_model,
        facts.operation,
        labels,
    )


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
