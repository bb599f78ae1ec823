# SPDX-License-Identifier: Apache-2.0
"""Rows of the price table from the data of the genai-prices package (MIT), the primary source."""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

import genai_prices.data
from genai_prices import types

from spancost.prices.rate_text import text_of

Card = dict[str, Any]
Row = dict[str, Any]

RATES: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
    "cache_audio_read_mtok": "cache_read_audio",
    "output_reasoning_mtok": "reasoning",
}
FEES: Final = {"web_searches_kcount": "web_search"}
"""Rates of what is not counted in tokens, in this data per 1,000."""

CONTEXTS: Final = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}
SKIPPED_PROVIDERS: Final = frozenset({"openai-decisions"})
"""Names that no span carries."""

_EMBEDDING: Final = re.compile(r"embed|\bbge-|\bgte-|\be5-|voyage-|rerank|clef|nomic|minilm|mpnet|moderation")
_FIREWORKS: Final = "accounts/fireworks/models/"
_GEMINI: Final = re.compile(r"gemini-\d")


def rows(source: str) -> Iterator[Row]:
    """
    Yield one row per provider and model.

    Args:
        source: What the rows name as their source.
    """
    for provider in genai_prices.data.providers:
        if provider.id in SKIPPED_PROVIDERS:
            continue
        for model in provider.models:
            if provider.id != "openrouter" and model.id.endswith(":free"):
                continue  # taken over from OpenRouter's list, never an id of the vendor's own API
            yield {
                "provider": provider.id,
                "model": model.id.lower().rstrip("-.@"),
                "ids": _ids(model),
                "source": source,
                "cards": _cards(provider.id, model),
            }


def _ids(model: types.ModelInfo) -> list[str]:
    """
    Return every id that the match rules of a model name.

    An `equals` is an id. What a model's id starts with, contains or ends with stands for itself
    and for its versions, which the runtime's own anchored rules recognise. A regular expression
    adds nothing: those of the data all mean "the id and a date".
    """
    found: dict[str, None] = {}
    loose = False
    for kind, text in _literals(model.match):
        name = text.lower()
        if kind == "equals":
            found.setdefault(name)
            found.setdefault(name.removeprefix(_FIREWORKS))  # as the runtime shortens it, and LiteLLM has it
            continue
        loose = True
        name = re.sub(r"(?:-20\d\d|-0)$", "", name.rstrip("-.@/:"))
        if name and not name.startswith("ft:") and ".ft" not in name:
            found.setdefault(name + "*")
    own = model.id.lower().rstrip("-.@")
    found.setdefault(own + "*" if loose else own)
    return [name for name in found if " " not in name and (name.endswith("*") or name + "*" not in found)]


def _literals(match: Any) -> Iterator[tuple[str, str]]:
    for part in getattr(match, "or_", None) or getattr(match, "and_", None) or [match]:
        if part is not match:
            yield from _literals(part)
        elif isinstance(part, types.ClauseEquals):
            yield "equals", part.equals
        elif isinstance(part, types.ClauseStartsWith):
            yield "starts", part.starts_with
        elif isinstance(part, types.ClauseContains):
            yield "contains", part.contains
        elif isinstance(part, types.ClauseEndsWith):
            yield "ends", part.ends_with


def _cards(provider: str, model: types.ModelInfo) -> list[Card]:
    """Return the cards of a model: one per span of time in which nothing changes."""
    names = " ".join([model.id, *(text for _, text in _literals(model.match))]).lower()
    model = copy.copy(model)
    prices = model.prices
    if isinstance(prices, list):
        # Hours of the day have no date in this data; the overrides have those rows whole.
        prices = [price for price in prices if not isinstance(price.constraint, types.TimeOfDateConstraint)]
        model.prices = prices
        constraints = [price.constraint for price in prices]
        starts = {own.start_date for own in constraints if isinstance(own, types.StartDateConstraint)}
    else:
        starts = set()
    model.price_variants = [_since_price(variant, starts) for variant in model.price_variants or ()]
    for variant in model.price_variants:
        if isinstance(variant.constraint, types.StartDateConstraint):
            starts.add(variant.constraint.start_date)
    cards: list[Card] = []
    for start in [None, *sorted(starts)]:
        at = dt.datetime.combine(start or dt.date(2000, 1, 1), dt.time(12), dt.timezone.utc)
        card = _spec(provider, names, model.get_prices(at))
        tiers = {}
        for tier, context in CONTEXTS.items():
            for key, value in context.items():
                spec = _spec(provider, names, model.get_prices(at, {key: value}))
                if spec != card:
                    tiers[tier] = _without(spec, FEES.values())  # a tier asks the same for them
        card = {
            **({"from": start.isoformat()} if start else {}),
            **card,
            **({"tiers": tiers} if tiers else {}),
        }
        if not cards or {**cards[-1], "from": None} != {**card, "from": None}:
            cards.append(card)
    return cards


def _since_price(variant: types.PriceVariant, starts: set[dt.date]) -> types.PriceVariant:
    """
    Return a variant that holds as long as the standard price it was published beside.

    The data dates most variants by the day somebody verified them (its comments say so, and that
    earlier history is not modelled), not by the day they began.
    """
    if not isinstance(variant.constraint, types.StartDateConstraint):
        return variant
    before = [start for start in starts if start <= variant.constraint.start_date]
    since = types.StartDateConstraint(start_date=max(before)) if before else None
    return types.PriceVariant(when=variant.when, prices=variant.prices, constraint=since)


def _spec(provider: str, names: str, price: types.ModelPrice) -> Card:
    rates: dict[str, str] = {}
    above: dict[int, dict[str, str]] = {}
    stepped: list[tuple[str, types.TieredPrices]] = []
    for key, name in RATES.items():
        value = getattr(price, key)
        if isinstance(value, types.TieredPrices):
            rates[name] = text_of(value.base)
            stepped.append((name, value))
        elif value is not None:
            rates[name] = text_of(value)
    for key, name in FEES.items():
        value = getattr(price, key, None)
        if isinstance(value, Decimal):
            rates[name] = text_of(value * 1000)
    starts = sorted({tier.start for _, value in stepped for tier in value.tiers})
    for start in starts:
        for name, value in stepped:
            reached = [tier.price for tier in value.tiers if tier.start <= start]
            if reached:
                above.setdefault(start, {})[name] = text_of(reached[-1])
    _add_known(provider, names, rates, above)
    return {"rates": rates, **({"above": [[start, above[start]] for start in starts]} if starts else {})}


def _without(spec: Card, names: Iterable[str]) -> Card:
    return {**spec, "rates": {name: rate for name, rate in spec["rates"].items() if name not in names}}


def _add_known(provider: str, names: str, rates: dict[str, str], above: dict[int, dict[str, str]]) -> None:
    """Add the rates that the data leaves out because they follow from what the model is."""
    if "output" not in rates and "input" in rates and _EMBEDDING.search(names):
        rates["output"] = (
            "0"  # these models have no output tokens; some instrumentations count them all the same
        )
    if provider == "google" and _GEMINI.match(names) and "input" in rates and "input_audio" not in rates:
        rates["input_audio"] = rates["input"]  # Google lists audio on its own where it costs something else
        for higher in above.values():
            if "input" in higher:
                higher["input_audio"] = higher["input"]
    if provider == "openrouter" and not rates and ":free" in names:
        rates |= {"input": "0", "output": "0"}  # a real 0: the suffix names OpenRouter's free tier
