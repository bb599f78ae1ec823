# SPDX-License-Identifier: Apache-2.0
"""What a program can say to a price book: rates of its own, other names, negotiated prices, a default."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spancost._fork import renew_each_after_fork
from spancost.cost import Cost, Unpriced
from spancost.prices import installed
from spancost.prices import table as price_table
from spancost.prices.layers import Layers, given_again, given_by_search

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from spancost.prices.overrides import Overrides
    from spancost.prices.registration import Number


ASSUMABLE: Final = frozenset({"unknown_provider", "unknown_model", "ambiguous_model", "opaque_deployment"})
"""
Why a call may have no rate so that the default stands in (design 5.9). Not for what runs on a local server,
which no provider bills, and never for usage that is not known or a part that has no rate.
"""


class Overridable(ABC):
    """
    A price book over whose table a user can say more, in a file or in code.

    What is said holds for calls that are priced from then on, in any thread; a cost that was given
    stays. Each change is made whole or not at all, and at most 10,000 models and names are kept.
    """

    def __init__(self) -> None:
        self._renew_locks()
        _BOOKS.add(self)

    def _renew_locks(self) -> None:
        self._lock = threading.Lock()
        """For what was found."""
        self._changing = threading.Lock()
        """For a change of the layers, which may read a file."""

    @classmethod
    @abstractmethod
    def _of(cls, layers: Layers) -> Self:
        """Return a new book of these layers."""

    @abstractmethod
    def _change(self, change: Callable[[Layers], Layers]) -> None:
        """Swap the layers for changed ones; one change at a time."""

    @property
    @abstractmethod
    def _layers(self) -> Layers: ...

    @classmethod
    def built_in(cls) -> Self:
        """Return a new price book of the built-in prices alone, whatever files there are."""
        return cls._of(Layers(price_table.load()))

    @classmethod
    def from_pricing_file(
        cls,
        path: str | Path | None = None,
        *,
        only: bool = False,
        default_rate: Mapping[str, Any] | None = None,
    ) -> Self:
        """
        Return a new price book of a pricing file over the built-in prices.

        Args:
            path: The file; `docs/pricing-file.md` describes it. None searches one as `PriceBook.default` does.
            only: Leave the built-in prices out: what the file does not name is unpriced.
            default_rate: What the file's ``default`` would say, and instead of it, such as
                ``{"input": 5, "output": 15}``.

        Raises:
            PriceBookError: The file cannot be used; the message has every problem with its place in it.
        """
        from spancost.prices.given import given_by_file  # noqa: PLC0415 - most programs say nothing
        from spancost.prices.registration import default  # noqa: PLC0415 - the same

        table = installed.table_in_force()
        given = given_by_search(table, only=only) if path is None else given_by_file(path, table, only=only)
        return cls._of(Layers(table, given, None if default_rate is None else default(default_rate)))

    @classmethod
    def named(cls, name: str, *, only: bool = False) -> Self:
        """
        Return a new price book of a named set over the built-in prices: the tables of our ancestors.

        Args:
            name: One of `named_sets`; `spancost.prices.named` tells which of their rates are outdated.
            only: Leave the built-in prices out.

        Raises:
            PriceBookError: There is no set of that name; the message lists them.
        """
        from spancost.prices.given import given_by_set  # noqa: PLC0415 - few programs want one

        return cls._of(Layers(installed.table_in_force(), given_by_set(name, only=only)))

    @property
    def source(self) -> str:
        """Where the prices are from: ``built-in``, and what lies over it, such as the path of a file."""
        return self._layers.source

    @staticmethod
    def named_sets() -> tuple[str, ...]:
        """Return the names of the sets of prices that `named` knows."""
        from spancost.prices.named import named_sets  # noqa: PLC0415 - few programs want one

        return named_sets()

    def register(
        self,
        model: str,
        *,
        provider: str | None = None,
        input: Number | None = None,  # noqa: A002 - the rate's name everywhere
        output: Number | None = None,
        cache_read: Number | None = None,
        cache_write: Number | None = None,
        cache_write_1h: Number | None = None,
        aliases: Iterable[str] = (),
        **more: Any,
    ) -> None:
        """
        Price a model at these rates from now on, whatever the table and the pricing file say.

        Rates are USD per 1,000,000 tokens: a `Decimal`, a text, an integer, or a float, which stands for
        its shortest spelling. They are what you pay: no multiplier is applied to them.

        Args:
            model: The model id; it also stands for its dated versions.
            provider: Who sells it, in any spelling, or a provider of your own; None for whoever does.
            input: Input tokens that were not cached.
            output: Output tokens, reasoning included.
            cache_read: Input tokens read from a cache; without it they cost what input costs.
            cache_write: Input tokens written to one; without it they cost what input costs.
            cache_write_1h: Those that are kept for an hour.
            aliases: Other names of the model.
            more: Everything else that a model of the pricing file may have, such as ``tiers``.

        Raises:
            PriceBookError: Something is wrong; the message has all of it, and nothing has changed.
        """
        from spancost.prices import registration  # noqa: PLC0415 - most programs say nothing

        rates = {
            "input": input,
            "output": output,
            "cache_read": cache_read,
            "cache_write": cache_write,
            "cache_write_1h": cache_write_1h,
        } | more
        given = {name: rate for name, rate in rates.items() if rate is not None}
        self._say(registration.rates(model, provider, given, aliases))

    def alias(
        self, name: str, model: str, *, provider: str | None = None, sold_by: str | None = None
    ) -> None:
        """
        Price a name that nobody else knows, such as a deployment or an ARN, as a model.

        Args:
            name: The name on the calls.
            model: The id of the model whose rates hold.
            provider: The provider of the calls; None for any.
            sold_by: The provider whose rates hold, where it is another.

        Raises:
            PriceBookError: The model has no rates, or something else is wrong; nothing has changed.
        """
        from spancost.prices import registration  # noqa: PLC0415 - most programs say nothing

        self._say(registration.alias(name, model, provider, sold_by))

    def multiply(self, by: Number, *, provider: str | None = None) -> None:
        """
        Price list rates at a negotiated share of them; rates of your own stay as they are.

        Args:
            by: The share: 0.85 is 15% off. From 0.01 to 10. Rates are rounded half to even to 1e-15
                USD per token where they have to be.
            provider: Whose list prices; None for all providers without a multiplier of their own.

        Raises:
            PriceBookError: It is no such number; nothing has changed.
        """
        from spancost.prices import registration  # noqa: PLC0415 - most programs say nothing

        self._say(registration.multiplier(by, provider))

    def set_default(self, **rates: Any) -> None:
        """
        Set the rates of calls that nothing else prices, for callers that ask for it with ``assume_default``.

        Args:
            rates: As for `register`, such as ``input=5, output=15``.

        Raises:
            PriceBookError: Something is wrong; the message has all of it, and nothing has changed.
        """
        from spancost.prices import registration  # noqa: PLC0415 - most programs say nothing

        self._say(registration.default(rates))

    def reload_pricing(self, path: str | Path | None = None) -> None:
        """
        Read a pricing file anew in place of the one in force; what was registered stays on top.

        Args:
            path: The file; None takes the one that was named in code, else searches again, and finds none where
                there is none any more.

        Raises:
            PriceBookError: The file cannot be used; nothing has changed.
        """
        from spancost.prices.given import given_by_file  # noqa: PLC0415 - few programs do

        def change(layers: Layers) -> Layers:
            if path is None:
                return replace(layers, given=given_again(layers.given, layers.table))
            only = layers.given is not None and layers.given.only
            return replace(layers, given=given_by_file(path, layers.table, only=only))

        self._change(change)

    def _say(self, said: Overrides) -> None:
        from spancost.prices.registration import said_too  # noqa: PLC0415 - who calls has it

        self._change(lambda layers: said_too(layers, said))


def assumed(cost: Cost | Unpriced) -> Cost | Unpriced:
    """Return a cost with the mark that its rate was assumed."""
    if not isinstance(cost, Cost):
        return cost
    flags = (*cost.flags, "assumed")
    return Cost(cost.femto, cost.femto_parts, cost.rate_card, cost.price_book, flags, cost.source, cost.rates)


_BOOKS: Final[weakref.WeakSet[Overridable]] = weakref.WeakSet()


renew_each_after_fork(_BOOKS, lambda book: book._renew_locks())  # noqa: SLF001 - it is ours
