# SPDX-License-Identifier: Apache-2.0
"""
Take what the price table needs from LiteLLM's price map (MIT), the second source.

usage: python tools/prices_litellm.py NEW.json OLD.json

NEW is `model_prices_and_context_window_backup.json` of a LiteLLM wheel, OLD the same map as it was
in 2025 (in tokencost 0.1.26, MIT), which still has the ids that LiteLLM pruned since. Writes
``prices_litellm.json``, one row per line, the input of `build_prices.py`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from spancost.prices.rate_text import text_of

OUT: Final = Path(__file__).with_name("prices_litellm.json")
NEW_NAME: Final = "litellm 1.109.1"
OLD_NAME: Final = "litellm of 2025-08 (tokencost 0.1.26)"

PROVIDERS: Final = {
    "ai21": "ai21",
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "baseten": "baseten",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "dashscope": "dashscope",
    "deepinfra": "deepinfra",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "fireworks_ai-embedding-models": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "hyperbolic": "hyperbolic",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "nebius": "nebius",
    "novita": "novita",
    "nscale": "nscale",
    "openai": "openai",
    "openrouter": "openrouter",
    "ovhcloud": "ovhcloud",
    "perplexity": "perplexity",
    "sambanova": "sambanova",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google-vertex",
    "vertex_ai-ai21_models": "google-vertex",
    "vertex_ai-anthropic_models": "google-vertex",
    "vertex_ai-deepseek_models": "google-vertex",
    "vertex_ai-embedding-models": "google-vertex",
    "vertex_ai-language-models": "google-vertex",
    "vertex_ai-llama_models": "google-vertex",
    "vertex_ai-minimax_models": "google-vertex",
    "vertex_ai-mistral_models": "google-vertex",
    "vertex_ai-moonshot_models": "google-vertex",
    "vertex_ai-openai_models": "google-vertex",
    "vertex_ai-qwen_models": "google-vertex",
    "vertex_ai-zai_models": "google-vertex",
    "voyage": "voyageai",
    "watsonx": "watsonx",
    "xai": "x-ai",
    "zai": "zai",
}
RATES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_1h",
    "cache_read_input_audio_token_cost": "cache_read_audio",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "reasoning",
}
TIERS: Final = {"batches": "batch", "flex": "flex", "priority": "priority"}
DISCOUNTS: Final = frozenset({"batch", "flex"})
"""Tiers that cost the same part of the list at every size of a call."""

COMMITMENTS: Final = re.compile(r"/\d+-month-commitment/")
"""Prices of capacity bought for months: no call shows them."""
_KEY: Final = re.compile(
    f"^({'|'.join(sorted(RATES, key=len, reverse=True))})"
    r"(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority))?$"
)
REGIONS: Final = {
    "regional_processing_uplift_multiplier_us": "us",
    "regional_processing_uplift_multiplier_eu": "eu",
    "regional_endpoint_uplift_multiplier": "regional",
}
"""Fields that say how much more a call costs in a class of regions (`spancost.prices.regions`)."""

_EMBEDDING_MODES: Final = frozenset({"embedding", "rerank", "moderation"})


def rows(data: dict[str, Any], source: str) -> Iterator[dict[str, Any]]:
    """
    Yield the rows of one price map; a model without rates per token, or with only zeros, is none.

    A zero in this map means unknown as often as free, so no row is made of zeros alone.
    """
    for name, entry in sorted(data.items(), key=lambda item: item[1].get("litellm_provider") == "azure"):
        # "azure_ai" before "azure": where both have a model, the latter's price is an old one
        provider = PROVIDERS.get(entry.get("litellm_provider", ""))
        if provider is None or " " in name:
            continue
        spec = _spec(entry, provider)
        if not any(rate != "0" for rate in spec["rates"].values()):
            continue
        model = _id(name, entry["litellm_provider"]).lower()
        if not COMMITMENTS.search(model):
            yield {"provider": provider, "model": model, "ids": [model], "source": source, "cards": [spec]}


def _id(name: str, provider: str) -> str:
    """Return a model's own id without LiteLLM's route in front."""
    routes = {
        provider,
        provider.partition("-")[0],
        "bedrock",
        "vertex_ai",
        "azure_ai",
        "text-completion-openai",
    }
    head, slash, rest = name.partition("/")
    name = rest if slash and head in routes else name
    return name.removeprefix("accounts/fireworks/models/")


def _spec(entry: dict[str, Any], provider: str) -> dict[str, Any]:
    """Return a card: rates, thresholds and the tiers that say the same at every threshold."""
    found: dict[str, dict[int, dict[str, str]]] = {}
    for key, value in entry.items():
        match = _KEY.match(key)
        if match is None or not isinstance(value, (int, float)):
            continue
        rate = text_of(Decimal(repr(value)) * 10**6)
        above = int(match[2] or 0) * 1000
        if above and provider == "x-ai":
            above -= 1  # "at or above": docs.x.ai writes ">= 200k"
        found.setdefault(TIERS.get(match[3], "standard"), {}).setdefault(above, {})[RATES[match[1]]] = rate
    standard = found.pop("standard", {})
    base = standard.get(0, {})
    for above in standard.keys() - {0}:  # a rate that begins at a threshold is a slip (Gemini's cache writes)
        standard[above] = {name: rate for name, rate in standard[above].items() if name in base}
    if entry.get("mode") == "rerank" and entry.get("input_cost_per_query"):
        base.clear()  # billed by search units: its zeros per token are no prices
    elif entry.get("mode") in _EMBEDDING_MODES and "input" in base:
        base.setdefault("output", "0")
    if base.get("reasoning") == base.get("output"):
        base.pop("reasoning", None)
    spec = {**_steps(standard), **_regions(entry, provider)}
    spec["rates"] = {**spec["rates"], **_fees(entry)}
    tiers = {
        tier: _steps(whole)
        for tier, own in found.items()
        if 0 in standard and (whole := _whole_tier(tier, standard, own))
    }
    return {**spec, **({"tiers": tiers} if tiers else {})}


def _regions(entry: dict[str, Any], provider: str) -> dict[str, dict[str, str]]:
    """
    Return what a call costs more in a class of regions, as a card has it.

    Where the United States and Europe cost the same, so does every other region: OpenAI has one
    uplift for data residency, wherever (developers.openai.com, data residency).
    """
    found = {region: entry[field] for field, region in REGIONS.items() if field in entry}
    if found.get("us") and found.get("us") == found.get("eu"):
        found = {"regional": found["us"]}
    own = entry.get("provider_specific_entry", {})
    if provider == "anthropic" and "us" in own:
        found["us"] = own["us"]
    return {"regions": {region: text_of(Decimal(repr(by))) for region, by in found.items()}} if found else {}


def _fees(entry: dict[str, Any]) -> dict[str, str]:
    """Return the rates of what is not counted in tokens: searches where the price has one size, rerank units."""
    sizes = set(entry.get("search_context_cost_per_query", {}).values())
    fees = {"web_search": sizes.pop()} if len(sizes) == 1 else {}
    if entry.get("mode") == "rerank" and entry.get("input_cost_per_query"):
        fees["search_unit"] = entry["input_cost_per_query"]
    return {name: text_of(Decimal(repr(fee)) * 10**6) for name, fee in fees.items() if fee}


def _whole_tier(
    tier: str, standard: dict[int, dict[str, str]], own: dict[int, dict[str, str]]
) -> dict[int, dict[str, str]] | None:
    """
    Return the rates of a tier at every threshold of the standard ones; None where they are not known.

    The map often names a tier's rates below the threshold only. Batch and flex are a discount on
    the whole list, so every rate above it is the same part of the standard one as below it; what
    a call of another tier costs above the threshold is then not known. A rate that a tier does
    not name at all (the cached input of some batches) is the standard one.
    """
    base = own.get(0, {})
    needed = {name for name in ("input", "output") if standard[0].get(name, "0") != "0"}
    if not needed or not needed <= base.keys():
        return None
    whole = {
        above: {**standard.get(above, {}), **_long_kept(standard.get(above, {}), own.get(above, {}))}
        for above in {*standard, *own}
    }
    missing = standard.keys() - own.keys()
    if missing and tier not in DISCOUNTS:
        return None
    for above in missing:
        whole[above] = {
            name: _times(rate, whole[0][name], standard[0][name]) for name, rate in standard[above].items()
        }
    return whole


def _times(rate: str, part: str, whole: str) -> str:
    """Return a rate times the ratio of two others, as text."""
    return rate if Fraction(whole) == 0 else _text(Fraction(rate) * Fraction(part) / Fraction(whole))


def _long_kept(plain: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """Return a tier's rates, and that of an hour's cache as many times the standard one as five minutes' is."""
    if (
        "cache_write_1h" in own
        or not {"cache_write", "cache_write_1h"} <= plain.keys()
        or "cache_write" not in own
    ):
        return own
    long = Fraction(plain["cache_write_1h"]) * Fraction(own["cache_write"]) / Fraction(plain["cache_write"])
    return {**own, "cache_write_1h": _text(long)}


def _text(rate: Fraction) -> str:
    return text_of(Decimal(rate.numerator) / rate.denominator)


def _steps(by_threshold: dict[int, dict[str, str]]) -> dict[str, Any]:
    above = [[start, rates] for start, rates in sorted(by_threshold.items()) if start]
    return {"rates": by_threshold.get(0, {}), **({"above": above} if above else {})}


def _join(card: dict[str, Any], other: dict[str, Any]) -> None:
    """
    Add to a card what the map says of the same model under another route, where their prices agree.

    The other route's tiers win: those of `azure` are from the retail price list, those of
    `azure_ai` from the catalogue.
    """
    if any(card["rates"].get(name) != other["rates"].get(name) for name in ("input", "output")):
        return
    card["rates"] = {**other["rates"], **card["rates"]}
    if other.get("above") and "above" not in card:
        card["above"] = other["above"]
    tiers = {**card.get("tiers", {}), **other.get("tiers", {})}
    if tiers:
        card["tiers"] = tiers


def main(new: str, old: str) -> None:
    """Write the extract of two price maps; of an id in both, the newer one counts."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path, source in ((new, NEW_NAME), (old, OLD_NAME)):
        for row in rows(json.loads(Path(path).read_text(encoding="utf-8")), source):
            name = row["provider"], row["model"]
            same = found.setdefault(name, row)
            if same is not row and same["source"] == source:
                _join(same["cards"][0], row["cards"][0])
    lines = [json.dumps(found[name], sort_keys=True, separators=(",", ":")) for name in sorted(found)]
    body = ",\n".join(lines)
    OUT.write_text(f'{{"version":"{NEW_NAME}","rows":[\n{body}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
