# SPDX-License-Identifier: Apache-2.0
"""What a program says about prices, checked as a pricing file is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from spancost.errors import PriceBookError
from spancost.prices import ids
from spancost.prices.entries import read_default, read_entry
from spancost.prices.overlay import check_names
from spancost.prices.overrides import ANY, MAX_ENTRIES, Alias, Entry, Key, Multiplier, Origin, Overrides
from spancost.prices.problems import Problems
from spancost.prices.providers import own_key, provider_key
from spancost.prices.scalars import read_multiplier

if TYPE_CHECKING:
    from spancost.prices.layers import Layers

Number = Decimal | str | int | float
"""An amount. A float stands for its shortest spelling: 0.1 is a tenth."""

ORIGIN: Final = Origin("registered", "program")


def said_too(layers: Layers, said: Overrides) -> Layers:
    """
    Return layers with something more said on top.

    Raises:
        PriceBookError: That is more than a program may say, or another name has no rates.
    """
    registered = said if layers.registered is None else said.over(layers.registered)
    if len(registered.rates) + len(registered.aliases) > MAX_ENTRIES:
        raise PriceBookError(f"a program may register at most {MAX_ENTRIES:,} models and names")
    after = replace(layers, registered=registered)
    problems = Problems()
    check_names(after.below, after.said or said, said.aliases, problems)
    problems.raise_if_any("it cannot be another name")
    return after


def rates(
    model: str, provider: str | None, given: Mapping[str, Any], aliases: Iterable[str] = ()
) -> Overrides:
    """
    Return a model's rates, and other names for it.

    Args:
        model: The model id.
        provider: Who sells it; None for whoever does.
        given: What an object of the pricing file would say.
        aliases: Other names of the model.

    Raises:
        PriceBookError: Something is wrong; the message has all of it.
    """
    problems = Problems()
    key = _key(provider, problems)
    _check_name(model, "model", problems)
    entry = read_entry(given, (), problems, provider=key, model=str(model), origin=ORIGIN)
    names = (aliases,) if isinstance(aliases, str) else tuple(aliases)
    for name in names:
        _check_name(name, "aliases", problems)
    problems.raise_if_any(f"{model!r} cannot be registered")
    target = ids.clean(model)
    others: dict[Key, Alias] = {
        (key, name): Alias(target, None, ORIGIN) for name in map(ids.clean, names) if name != target
    }
    return Overrides({(key, target): entry} if entry is not None else {}, others)


def alias(name: str, model: str, provider: str | None, sold_by: str | None) -> Overrides:
    """
    Return another name of a model.

    Args:
        name: The other name.
        model: The id that is priced.
        provider: On whose calls the name may stand; None for anybody's.
        sold_by: Whose rates hold; None for those of the call's provider.

    Raises:
        PriceBookError: Something is wrong; the message has all of it.
    """
    problems = Problems()
    key = _key(provider, problems)
    _check_name(name, "name", problems)
    _check_name(model, "model", problems)
    problems.raise_if_any(f"{name!r} cannot be another name")
    return Overrides(aliases={(key, ids.clean(name)): Alias(ids.clean(model), sold_by, ORIGIN)})


def multiplier(by: Number, provider: str | None) -> Overrides:
    """
    Return a negotiated share of list prices.

    Args:
        by: What to multiply with, from 0.01 to 10.
        provider: Whose list prices; None for all that have no multiplier of their own.

    Raises:
        PriceBookError: Something is wrong; the message has all of it.
    """
    problems = Problems()
    key = _key(provider, problems)
    number = read_multiplier(by, ("multiplier",), problems)
    problems.raise_if_any("the multiplier cannot be used")
    return Overrides(multipliers={key: Multiplier(number or Decimal(1), ORIGIN)})


def default(given: Mapping[str, Any]) -> Overrides:
    """
    Return the rates of calls that nothing else prices.

    Args:
        given: What the ``default`` of a pricing file would say.

    Raises:
        PriceBookError: Something is wrong; the message has all of it.
    """
    problems = Problems()
    entry: Entry | None = read_default(given, ("default",), problems, ORIGIN)
    problems.raise_if_any("the default rate cannot be used")
    return Overrides(default=entry)


def _key(provider: str | None, problems: Problems) -> str:
    if provider is None or provider == ANY:
        return ANY
    key = provider_key(provider) or own_key(provider)
    if not key:
        problems.add(("provider",), "is no name of a provider; None stands for any")
    return key


def _check_name(name: object, what: str, problems: Problems) -> None:
    if not isinstance(name, str) or not ids.clean(name) or not name.isprintable() or "*" in name:
        problems.add(
            (what,), f"must be a text of 1 to {ids.MAX_LENGTH} printable characters without *, not {name!r}"
        )
