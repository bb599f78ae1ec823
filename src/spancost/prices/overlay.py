# SPDX-License-Identifier: Apache-2.0
"""
Resolution with what a user says on top of a price table.

The order is: an id exactly as the user gave it, another spelling of such an id by the rules of
`spancost.prices.ids`, then the table. What the user says for one provider comes before what is
said for any. Rates are looked up with the provider's id rules and never by a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Final

from spancost.prices import ids
from spancost.prices.cards import Line, RateCard, Rates
from spancost.prices.overrides import ANY, Alias, Key, Multiplier, Overrides
from spancost.prices.providers import own_key, provider_key, says_nothing
from spancost.prices.resolve import FALLBACKS, Resolution, Resolver, Unresolved, lookup
from spancost.prices.table import Provider, Table

if TYPE_CHECKING:
    from spancost.prices.problems import Problems

_WIDE: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)


class Overlay:
    """
    Finds rates in what a user says, then in a table.

    Args:
        table: The table below.
        said: What the user says.
    """

    __slots__ = ("_below", "_blocks", "_rows", "_said")

    def __init__(self, table: Table, said: Overrides) -> None:
        self._below = Resolver(table)
        self._said = said
        self._blocks = tuple(dict.fromkeys(provider for provider, _ in (*said.rates, *said.aliases)))
        self._rows: dict[str, Provider] = {}
        for (provider, _), entry in said.rates.items():
            self._rows.setdefault(provider, Provider()).add(entry.row)

    def resolve(self, provider: str | None, model: str | None) -> Resolution | Unresolved:
        """
        Return what prices a model id, or why nothing does.

        Args:
            provider: The provider's name as on the span, or None.
            model: The model id as on the span.
        """
        name = ids.clean(model)
        if name and (self._said.rates or self._said.aliases):
            nobody = says_nothing(provider)
            found = self._without_provider(name) if nobody else self._at(_key(provider), name)
            if found is not None:
                return found
        if provider is not None and provider_key(provider) is None and own_key(provider) in self._blocks:
            return Unresolved("unknown_model", f"the user's rates for {provider!r} have no {model!r}")
        return self._listed(provider, model)

    def _at(self, seller: str, name: str) -> Resolution | Unresolved | None:
        """Look a name up in what is said for a provider, and for any."""
        for look in (self._as_given, self._by_spelling):
            for block in (seller, ANY):
                found = look(block, seller, name)
                if found is not None:
                    return found
        return None

    def _without_provider(self, name: str) -> Resolution | Unresolved | None:
        """Look a name up at the provider that it names, else in every block."""
        implied = ids.implied_provider(name)
        if implied is not None:
            found = self._at(*implied)
            if found is not None:
                return found
        for look in (self._as_given, self._by_spelling):
            found = look(ANY, ANY, name)
            if found is not None:
                return found
            hits = {block: hit for block in self._blocks if (hit := look(block, block, name)) is not None}
            if hits:
                return _the_one_of(hits, name)
        return None

    def _as_given(self, block: str, seller: str, name: str) -> Resolution | Unresolved | None:
        """Find a name exactly as the user wrote it."""
        alias = self._said.aliases.get((block, name))
        if alias is not None:
            return self.stands_for(alias, seller, name)
        entry = self._said.rates.get((block, name))
        if entry is None:
            return None
        return Resolution(seller, _rule(block, seller), name, "exact", name, entry.cards)

    def _by_spelling(self, block: str, seller: str, name: str) -> Resolution | Unresolved | None:
        """Find a name by the id rules of its provider."""
        for spelling in ids.spellings(seller, name):
            alias = self._said.aliases.get((block, spelling.id))
            if alias is not None and spelling.rule == "unwrapped":
                return self.stands_for(alias, seller, name)
        rows = self._rows.get(block)
        hit = None if rows is None else lookup(rows, seller, name)
        if hit is None:
            return None
        row, spelling = hit
        cards = self._said.rates[block, row.model].cards
        return Resolution(seller, _rule(block, seller), name, spelling.rule, spelling.id, cards)

    def stands_for(self, alias: Alias, seller: str, name: str) -> Resolution | Unresolved:
        """
        Resolve what another name stands for; names do not chain.

        Args:
            alias: What it stands for.
            seller: Key of the provider of the call; `ANY` where nobody says.
            name: The other name.
        """
        provider = alias.provider or (None if seller == ANY else seller)
        found: Resolution | Unresolved | None = None
        block = ANY if provider is None else _key(provider)
        for at in dict.fromkeys((block, ANY)):
            entry = self._said.rates.get((at, alias.model))
            if entry is not None:
                found = Resolution(block, _rule(at, block), name, "exact", alias.model, entry.cards)
                break
        else:
            found = self._listed(provider, alias.model)
        if isinstance(found, Unresolved):
            return Unresolved(
                found.reason, f"{name!r} is {alias.model!r} by the {alias.origin.text}; {found.detail}"
            )
        rule = f"another name of {alias.model} by the {alias.origin.text}; {found.model_rule}"
        return replace(found, model=name, model_rule=rule)

    def _listed(self, provider: str | None, model: str | None) -> Resolution | Unresolved:
        """Resolve in the table, at the user's share of the list price."""
        found = self._below.resolve(provider, model)
        if isinstance(found, Unresolved):
            return found
        multipliers = self._said.multipliers
        own = multipliers.get(found.provider) or multipliers.get(ANY)
        if own is None:
            return found
        cards = tuple(discounted(card, own) for card in found.cards)
        return replace(found, cards=cards)


def check_names(table: Table, said: Overrides, names: Mapping[Key, Alias], problems: Problems) -> None:
    """
    Note every name that stands for a model without rates, or for another such name.

    Args:
        table: The table below; an empty one where there is none.
        said: What the user says, these names included.
        names: The names to look at.
        problems: Takes what is wrong.
    """
    from spancost.prices.problems import nearest  # noqa: PLC0415 - not before something is said

    resolver = Overlay(table, said)
    for (block, name), alias in names.items():
        place = alias.place or ("name",)
        seller = None if block == ANY else block
        sold_by = seller if alias.provider is None else _key(alias.provider)
        if any((at, alias.model) in said.aliases for at in (sold_by or ANY, ANY)):
            problems.add(
                place, f'stands for "{alias.model}", which stands for another; name the model itself'
            )
            continue
        found = resolver.stands_for(alias, block, name)
        if isinstance(found, Resolution) or (sold_by is None and found.reason == "ambiguous_model"):
            continue
        near = nearest(alias.model, _ids_of(table, said, sold_by))
        hint = f'; did you mean "{near}"?' if near else ""
        problems.add(place, f'"{alias.model}" has no rates{hint} ({found.reason})')


def discounted(card: RateCard, multiplier: Multiplier) -> RateCard:
    """
    Return a card with every rate multiplied, rounded half to even to 1e-15 USD where it has to be.

    Args:
        card: The card of a price table. Its id and source tell of the multiplier afterwards.
        multiplier: What to multiply with.
    """
    by = multiplier.by

    def one(rate: int | None) -> int | None:
        return (
            None if rate is None else int(_WIDE.multiply(Decimal(rate), by).to_integral_value(context=_WIDE))
        )

    def line(rates: Line) -> Line:
        return tuple(map(one, rates))

    def every(rates: Rates) -> Rates:
        return Rates(line(rates.base), tuple((above, line(own)) for above, own in rates.steps))

    return replace(
        card,
        id=f"{card.id}*{by}",
        source=f"{card.source}; list price x {by} by the {multiplier.origin.text}",
        standard=every(card.standard),
        tiers={tier: every(rates) for tier, rates in card.tiers.items()},
        windows=tuple(replace(window, rates=every(window.rates)) for window in card.windows),
        regions={name: discounted(own, multiplier) for name, own in card.regions.items()},
    )


def _key(provider: str | None) -> str:
    return provider_key(provider) or own_key(provider or "")


def _rule(block: str, seller: str) -> str:
    return "the user's rates for any provider" if block == ANY != seller else "the user's rates"


def _the_one_of(hits: dict[str, Resolution | Unresolved], name: str) -> Resolution | Unresolved:
    """Return what all blocks agree on, or that the name is ambiguous."""
    found = list(hits.values())
    resolved = [hit for hit in found if isinstance(hit, Resolution)]
    if len(found) == 1:
        return found[0]
    rates = {_rates_only(hit.cards) for hit in resolved}
    if len(rates) == 1 and len(resolved) == len(found):
        return replace(resolved[0], provider_rule=f"the user's rates, the same for {', '.join(hits)}")
    return Unresolved(
        "ambiguous_model",
        f"the user's rates for {name!r} differ by provider ({', '.join(hits)}), and the span names none",
    )


def _rates_only(cards: Sequence[RateCard]) -> str:
    """Return what two lists of cards have in common where all of their rates and dates are the same."""
    return repr([replace(card, id="", provider="", model="", source="") for card in cards])


def _ids_of(table: Table, said: Overrides, key: str | None) -> Iterator[str]:
    """Yield the ids that a provider's calls may have; those of all where nobody says."""
    sellers = table.providers.keys() if key is None else (key, *FALLBACKS.get(key, ()))
    for seller in sellers:
        if seller in table.providers:
            yield from table.providers[seller].exact
    for provider, name in said.rates:
        if key in (None, provider) or provider == ANY:
            yield name
