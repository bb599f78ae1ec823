# SPDX-License-Identifier: Apache-2.0
"""From a provider's name and a model id to the rate cards that price the call, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from spancost.prices import ids
from spancost.prices.providers import HUGGING_FACE, SELF_HOSTED, provider_key, says_nothing

if TYPE_CHECKING:
    from spancost.prices.cards import RateCard
    from spancost.prices.table import Provider, Row, Table

FALLBACKS: Final = {
    "azure": ("openai", "anthropic"),
    "google-vertex": ("google", "anthropic"),
}
"""Who else's rates hold where a provider sells the same model at the vendor's list price."""

FALLBACK_TIERS: Final = {"azure": frozenset({"batch"})}
"""Service tiers that exist at the reseller too: Azure's Global Batch is half price like OpenAI's."""

_CLOSED: Final = ("openai", "anthropic", "google", "x-ai", "cohere", "voyageai", "perplexity")
"""Vendors whose models have one list price wherever the span does not say who sold the call."""

_OPEN: Final = ("mistral", "deepseek", "moonshotai", "zai", "minimax")
"""Vendors of open weights: others sell the same models, at other prices."""

_HOSTS_OF_MANY: Final = frozenset(
    {
        "arcee",
        "avian",
        "baseten",
        "deepinfra",
        "groq",
        "hyperbolic",
        "nebius",
        "novita",
        "nscale",
        "openrouter",
        "together",
    }
)
"""Hosts whose ids are ``vendor/model``: instrumentations leave the vendor out at times."""

_NOT_GOOGLES: Final = ("claude", "gemma")


@dataclass(frozen=True, slots=True)
class Resolution:
    """
    Which rows price a model id, and how they were found.

    Args:
        provider: Key of the provider that sold the call.
        provider_rule: How it was found, for people.
        model: The id that was looked up, as on the span.
        model_rule: Which rule of `spancost.prices.ids` found the row.
        spelling: The id under which the row was found.
        cards: The rate cards of the row, the oldest first.
    """

    provider: str
    provider_rule: str
    model: str
    model_rule: str
    spelling: str
    cards: tuple[RateCard, ...]


class Unresolved(NamedTuple):
    """
    Why no row prices a model id.

    Args:
        reason: One of the closed list of unpriced reasons.
        detail: One sentence for people.
    """

    reason: str
    detail: str


class Resolver:
    """
    Finds rows of one table. It keeps the cards it has read: at most one entry per row.

    Args:
        table: The price table.
    """

    __slots__ = ("_cards", "_table")

    def __init__(self, table: Table) -> None:
        self._table = table
        self._cards: dict[tuple[str, str], tuple[RateCard, ...]] = {}

    def resolve(self, provider: str | None, model: str | None) -> Resolution | Unresolved:
        """
        Return what prices a model id, or why nothing does.

        Args:
            provider: The provider's name as on the span, or None.
            model: The model id as on the span.
        """
        name = ids.clean(model)
        key = provider_key(provider)
        if key == SELF_HOSTED:
            return Unresolved(
                "self_hosted", f"{provider} is a local server: nobody lists a price for {model!r}"
            )
        if not name:
            return Unresolved("unknown_model", "the call names no model")
        if key is None and not says_nothing(provider):
            return Unresolved("unknown_provider", f"{provider!r} is no provider that the price book knows")
        if ids.is_opaque(key, name):
            return Unresolved("opaque_deployment", f"only the owner of {model!r} knows which model it is")
        if key is None:
            return self._without_provider(name)
        if key == HUGGING_FACE:
            return self._behind_hugging_face(name)
        found = self._at(key, name, f"{provider!r} on the span")
        shaped = None if found else ids.provider_of_shape(name)
        if shaped not in (None, key):  # another's id on a span of this client: the client reached it
            found = self._at(shaped, name, f"the shape of the id; {provider!r} on the span made the client")
        return found or self._miss(key, name)

    def _behind_hugging_face(self, model: str) -> Resolution | Unresolved:
        hosted = ids.hugging_face_host(model)
        if hosted is None:
            return Unresolved(
                "ambiguous_model", f"Hugging Face's router chose the host of {model!r}: prices are by host"
            )
        return self._at(*hosted, "host named by the model id") or self._miss(*hosted)

    def _at(self, key: str, model: str, rule: str) -> Resolution | None:
        """Look an id up at one provider, then at those whose list prices it takes over."""
        for seller in (key, *FALLBACKS.get(key, ())):
            rows = self._table.providers.get(seller)
            if rows is None or (seller != key and ".ft-" in model):
                continue
            hit = lookup(rows, seller, model if seller == key else _as_sold_by(key, model))
            if hit is not None:
                row, spelling = hit
                cards = self._cards_of(row)
                if seller != key:
                    rule = f"{rule}; {key} sells it at the list price of {seller}"
                    cards = tuple(_as_resold(card, FALLBACK_TIERS.get(key)) for card in cards)
                return Resolution(key, rule, model, spelling.rule, spelling.id, cards)
        return None

    def _without_provider(self, model: str) -> Resolution | Unresolved:
        """Find the seller by the id alone: named in it, or its vendor where nobody else sells that id."""
        implied = ids.implied_provider(model)
        if implied is not None:
            key, rest = implied
            if key == SELF_HOSTED:
                return Unresolved("self_hosted", f"{model!r} runs on a local server: nobody lists a price")
            if ids.is_opaque(key, rest):
                return Unresolved("opaque_deployment", f"only the owner of {model!r} knows which model it is")
            if key == HUGGING_FACE:
                return self._behind_hugging_face(rest)
            found = self._at(key, rest, "named by the model id")
            if found is not None:
                return found
            if key == "azure":
                return self._miss(key, rest)
        vendors = [found for key in (*_CLOSED, *_OPEN) if (found := self._at_vendor(key, model)) is not None]
        if len(vendors) == 1:
            return vendors[0]
        if vendors or self._somebody_sells(model):
            return Unresolved("ambiguous_model", f"{model!r} has several sellers, and the span names none")
        return Unresolved("unknown_model", f"{model!r} is in no price list")

    def _at_vendor(self, key: str, model: str) -> Resolution | None:
        rows = self._table.providers.get(key)
        if rows is None or (key == "google" and any(word in model for word in _NOT_GOOGLES)):
            return None
        hit = lookup(rows, key, model)
        if hit is None or (key in _OPEN and self._others_sell(key, model)):
            return None
        row, spelling = hit
        return Resolution(key, "vendor of the model", model, spelling.rule, spelling.id, self._cards_of(row))

    def _others_sell(self, key: str, model: str) -> bool:
        others = self._table.providers.items()
        return any(model in rows.exact for other, rows in others if other not in (key, "azure"))

    def _somebody_sells(self, model: str) -> bool:
        tail = model.rpartition("/")[2]
        return any(
            model in rows.exact or tail in rows.exact or tail in rows.tails
            for rows in self._table.providers.values()
        )

    def _miss(self, key: str, model: str) -> Unresolved:
        if key == "azure":
            return Unresolved(
                "opaque_deployment", f"{model!r} is no model of Azure's: a name its owner gave it"
            )
        if self._somebody_sells(model):
            return Unresolved(
                "ambiguous_model", f"{key} lists no {model!r}, others do: who sold it is not said"
            )
        return Unresolved("unknown_model", f"{key} lists no {model!r}")

    def _cards_of(self, row: Row) -> tuple[RateCard, ...]:
        name = (row.provider, row.model)
        cards = self._cards.get(name)
        if cards is None:
            cards = self._cards[name] = row.cards()
        return cards


def lookup(rows: Provider, key: str, model: str) -> tuple[Row, ids.Spelling] | None:
    """
    Return the row of one provider that has a model id in one of its spellings, and which.

    Args:
        rows: The provider's rows.
        key: The provider's key.
        model: A cleaned id.
    """
    for spelling in ids.spellings(key, model):
        if spelling.versioned and spelling.id not in rows.versioned:
            continue
        row = rows.exact.get(spelling.id)
        if row is not None:
            return row, spelling
    if key not in _HOSTS_OF_MANY:
        return None
    for spelling in ids.spellings(key, model):
        row = None if spelling.versioned or "/" in spelling.id else rows.tails.get(spelling.id)
        if row is not None:
            return row, spelling._replace(rule=f"{spelling.rule}, vendor left out")
    return None


def _as_sold_by(key: str, model: str) -> str:
    """Return the id as the vendor spells it: without what the reseller wraps round it."""
    plain = [
        spelling.id
        for spelling in ids.spellings(key, model)
        if spelling.rule in ("unwrapped", "azure spelling")
    ]
    return plain[-1] if plain else model


def _as_resold(card: RateCard, tiers: frozenset[str] | None) -> RateCard:
    """Return a vendor's card as a reseller has it: its regions are its own, and so are most service tiers."""
    if not card.regions and (tiers is None or card.tiers.keys() <= tiers):
        return card
    kept = card.tiers if tiers is None else {n: rates for n, rates in card.tiers.items() if n in tiers}
    return replace(card, tiers=kept, regions={})
