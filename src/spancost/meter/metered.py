# SPDX-License-Identifier: Apache-2.0
"""A settled call as the meter takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class MeteredCall(NamedTuple):
    """
    Everything about one settled call that a series shows.

    The first seven fields are its label set, in the order of the labels. Making one takes longer
    than counting it, so the calls that are nearly all of them go to `Meter.count` without one.

    Args:
        service_name: The service that made the call.
        agent: Who caused it; None when nobody said.
        provider: Who sold it, as on the span.
        response_model: The model that answered; None when only the requested one is known.
        request_model: The model that was asked for.
        operation: ``chat``, ``embeddings`` ...
        labels: The values of the configured extra labels, in their order; empty where missing.
        cost_parts: The cost by token type in 1e-15 USD; None when the call is unpriced.
        cost_source: ``local`` for our estimate, ``provider`` for what the provider reported.
        tokens: Counts by token type, the partition of `Usage.by_token_type`.
        reasoning: Output tokens that were reasoning.
        duration_ns: How long the call took; None when that is not known.
        error_type: The class of the error, empty when the call succeeded.
        unpriced_reason: Why a call that did not fail has no cost.
        flags: What a reader must know about the amount.
        failed: Whether the call failed; one that did and has a cost was billed.
        cache_read_savings: What cache reads saved, in 1e-15 USD.
        cache_write_premium: What cache writes cost above plain input, in 1e-15 USD.
        reported: The provider's amount in 1e-15 USD, only where ``estimated`` is known too.
        estimated: Our amount for the same call.
        trace_id: The carrier's trace id, as hex text or as the SDK's integer.
        span_id: Its span id, likewise.
        sampled: Whether the trace can be looked up, so that an exemplar may name it.
        ended_ns: When the call ended, in nanoseconds since the epoch, for the exemplar; None for now.
    """

    service_name: str | None
    agent: str | None
    provider: str | None
    response_model: str | None
    request_model: str | None
    operation: str | None
    labels: tuple[str, ...]
    cost_parts: Mapping[str, int] | None
    cost_source: Literal["local", "provider"]
    tokens: Mapping[str, int]
    reasoning: int = 0
    duration_ns: int | None = None
    error_type: str = ""
    unpriced_reason: str | None = None
    flags: tuple[str, ...] = ()
    failed: bool = False
    cache_read_savings: int = 0
    cache_write_premium: int = 0
    reported: int | None = None
    estimated: int | None = None
    trace_id: str | int = ""
    span_id: str | int = ""
    sampled: bool = False
    ended_ns: int | None = None
