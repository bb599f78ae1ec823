# SPDX-License-Identifier: Apache-2.0
"""Price a call from what its copies say: the provider and model nearest to the wire, the merged usage."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from spancost.cost import Cost, Unpriced
from spancost.prices.providers import is_local_host, provider_key, provider_of_host, says_nothing
from spancost.prices.regions import class_of

if TYPE_CHECKING:
    from spancost.book import PriceBook
    from spancost.calls.nodes import Call
    from spancost.explanation import Explanation


def provider_of(call: Call) -> str | None:
    """
    Return the provider that sold a call, as the price book knows it, or None.

    The host that was called beats the attribute: behind an OpenAI client stand Azure, OpenRouter,
    Groq and others. Names of frameworks are no providers. A name that nobody knows is returned as it
    is, so that the call is unpriced for the right reason.
    """
    unknown: str | None = None
    for node in call.copies:
        facts = node.facts
        found, named = seller(facts.host, facts.providers)
        if found is not None:
            return found
        unknown = unknown or named
    return unknown


@lru_cache(maxsize=512)
def seller(host: str | None, providers: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return who sold a call by host or names, else the first name that nobody knows; 8 us where not remembered."""
    by_host = provider_of_host(host)
    if by_host is not None:
        return by_host, None
    unknown = None
    for name in providers:
        if says_nothing(name):
            continue
        key = provider_key(name)
        if key is not None:
            return key, None
        unknown = unknown or name
    return None, unknown


def models_of(call: Call) -> tuple[str | None, str | None]:
    """Return the response and request model of a call, each from the innermost copy that has one."""
    model = request = None
    for node in call.copies:
        model = model or node.facts.model
        request = request or node.facts.request_model
    return model or request, request


def tier_and_region(call: Call) -> tuple[str | None, str | None]:
    """Return the service tier and the class of region of a call: what its usage object says, else its spans."""
    reading = call.reading
    tier = (reading.tier if reading is not None else None) or call.first_fact("service_tier")
    region = (class_of(reading.region) if reading is not None else None) or call.first_fact("region")
    return tier if isinstance(tier, str) else None, region if isinstance(region, str) else None


class Pricer:
    """
    Prices calls with one price book.

    Args:
        book: The price book.
        assume_default: Price calls without a rate at the book's default rate, if it has one (design 5.9).
        at: Price every call as if it were made then, in nanoseconds since the epoch; None for when it was.
    """

    def __init__(self, book: PriceBook, *, assume_default: bool = False, at: int | None = None) -> None:
        self._book = book
        self._assume_default = assume_default
        self._at = at

    def explain(self, call: Call) -> Explanation:
        """Return how the call's rates were found."""
        model, request = models_of(call)
        tier, region = tier_and_region(call)
        return self._book.resolve(
            provider=provider_of(call),
            model=model,
            request_model=request,
            at=call.start if self._at is None else self._at,
            service_tier=tier,
            region=region,
            assume_default=self._assume_default,
        )

    def __call__(self, call: Call) -> Cost | Unpriced:
        """Return what a call costs, or why it has no cost; a cost the provider reported wins."""
        reading = call.reading
        if reading is None:
            if call.first_fact("cached_response"):
                call.flag("cached_response")
                return Cost(0, {})
            return Unpriced("no_usage", "no span of the call shows usage")
        for flag in reading.flags:
            call.flag(flag)
        # The copy nearest to the wire that shows usage: a wrapper may fail on an answer that was whole.
        shown = next((node.facts for node in call.copies if node.facts.reading is not None), call.facts)
        if shown.failed and shown.streaming is not False:
            call.flag("partial")
        if call.first_fact("cached_response"):
            call.flag("cached_response")
            return Cost(0, {})
        reported = next(
            (node.facts.reported_usd for node in call.copies if node.facts.reported_usd is not None), None
        )
        if reported is not None:
            if not reading.bad_usage:
                call.estimate = self._estimate(call)
            return Cost.reported(reported)
        if reading.bad_usage:
            return Unpriced("bad_usage", "the counts on the span cannot be")
        return self._estimate(call)

    def _estimate(self, call: Call) -> Cost | Unpriced:
        reading = call.reading
        if reading is None:
            return Unpriced("no_usage")
        provider = provider_of(call)
        model, request = models_of(call)
        if provider is None and any(is_local_host(node.facts.host) for node in call.copies) and not model:
            return Unpriced("self_hosted", "a local server answered")
        tier, region = tier_and_region(call)
        cost = self._book.price(
            reading.usage,
            provider=provider,
            model=model,
            request_model=request,
            at=call.start if self._at is None else self._at,
            service_tier=tier,
            region=region,
            aggregated="aggregated" in call.flags,
            assume_default=self._assume_default,
        )
        if isinstance(cost, Cost):
            for flag in cost.flags:
                call.flag(flag)
        return cost
