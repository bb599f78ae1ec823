# SPDX-License-Identifier: Apache-2.0
"""A call as a row: the JSON object of the design's section 6."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from spancost import money
from spancost.calls.pricing import models_of, provider_of, tier_and_region
from spancost.cost import Cost
from spancost.prices.providers import semconv_name

if TYPE_CHECKING:
    from spancost.calls.nodes import Call, Node
    from spancost.usage import Usage

USAGE_FIELDS: Final = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
    "web_searches",
    "search_units",
)
_counts_of: Final = attrgetter(*USAGE_FIELDS)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def row_of_call(call: Call) -> dict[str, Any]:
    """Return the row of a settled call."""
    cost = call.cost
    usage = call.reading.usage if call.reading is not None else None
    model, request_model = models_of(call)
    provider = provider_of(call)
    priced = cost if isinstance(cost, Cost) else None
    tier, region = tier_and_region(call)
    return {
        "trace_id": call.carrier.trace_id,
        "span_id": call.carrier.span_id,
        "start_time": timestamp(call.carrier.start),
        "provider": semconv_name(provider) if provider else None,
        "model": model,
        "request_model": request_model,
        "agent": call.agent.name if call.agent else None,
        "operation": call.first_fact("operation") or None,
        "service_name": call.carrier.resource or None,
        "usage": _usage(usage) if usage else None,
        "cost_usd": money.to_text(priced.femto) if priced else None,
        "cost_parts": {k: money.to_text(v) for k, v in priced.femto_parts.items()} if priced else None,
        "cost_source": priced.source if priced else None,
        "rate_card": (priced.rate_card or None) if priced else None,
        "price_book": (priced.price_book or None) if priced else None,
        "status": call.status,
        "duplicate_of": None,
        "reason": getattr(cost, "reason", None) if call.status == "unpriced" else None,
        "rule": call.reading.rule if call.reading is not None else None,
        "service_tier": tier,
        "region": region,
        "flags": list(call.flags),
    }


def row_of_span(node: Node) -> dict[str, Any]:
    """Return the row of a span that is a copy of a call, or a roll-up: it carries no amount."""
    facts = node.facts
    usage = facts.reading.usage if facts.reading is not None else None
    call = node.call
    flags = list(facts.reading.flags) if facts.reading is not None else []
    if call is not None and "suspect" in call.flags and "suspect" not in flags:
        flags.append("suspect")  # the row of the call may be out already, and cannot say it
    return {
        "trace_id": node.trace_id,
        "span_id": node.span_id,
        "start_time": timestamp(node.start),
        "provider": facts.providers[0] if facts.providers else None,
        "model": facts.model or facts.request_model,
        "request_model": facts.request_model,
        "agent": facts.agent.name if facts.agent else None,
        "operation": facts.operation or None,
        "service_name": node.resource or None,
        "usage": _usage(usage) if usage else None,
        "cost_usd": None,
        "cost_parts": None,
        "cost_source": None,
        "rate_card": None,
        "price_book": None,
        "status": "duplicate" if call is not None else "rollup",
        "duplicate_of": call.carrier.span_id if call is not None else None,
        "reason": None,
        "rule": facts.reading.rule if facts.reading is not None else None,
        "service_tier": facts.service_tier,
        "region": facts.region,
        "flags": flags,
    }


def _usage(usage: Usage) -> dict[str, int]:
    return dict(zip(USAGE_FIELDS, _counts_of(usage), strict=True))


def timestamp(nanoseconds: int) -> str:
    """Return a time as ISO 8601 in UTC, with as many digits of the second as it has."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    whole = _second(seconds)
    if whole is None:
        return str(nanoseconds)
    return f"{whole}.{fraction:09d}".rstrip("0") + "Z" if fraction else whole + "Z"


def instant_of(text: str) -> int:
    """
    Return what `timestamp` wrote as nanoseconds since the epoch.

    Raises:
        ValueError: It is no such text.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    whole, _, fraction = text.removesuffix("Z").partition(".")
    second = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.timezone.utc)
    return (second - _EPOCH) // dt.timedelta(seconds=1) * 10**9 + int(fraction.ljust(9, "0")[:9])


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str | None:
    """Return a second as text, or None where there is no such date; calls come many in one second."""
    try:
        return (_EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        return None
