# SPDX-License-Identifier: Apache-2.0
"""The price book: the dated collection of rate cards, and the one call that prices a usage."""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spancost.cost import Cost, Unpriced
from spancost.explanation import Explanation
from spancost.overriding import ASSUMABLE, Overridable, assumed
from spancost.prices import installed
from spancost.prices import table as price_table
from spancost.prices.layers import Layers, given_by_search
from spancost.prices.resolve import Resolution, Unresolved
from spancost.prices.tiers import tier_of
from spancost.route import Route

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spancost.prices.given import Given
    from spancost.prices.overrides import Overrides
    from spancost.usage.values import Usage

MAX_RESOLUTIONS: Final = 4_096
"""How many resolved model ids are kept, misses included (design 5.12)."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MAX_KEY: Final = 1_024
_DEFAULT_LOCK: Final = threading.Lock()

Key = tuple["str | None", "str | None", "str | None"]


class _View:
    """
    What a price book is at one moment: its layers, and what was found in them.

    It is swapped as a whole, so a call sees one table from its look-up to its version.
    """

    __slots__ = ("default", "found", "layers", "mark", "resolver", "version")

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.mark: object = object()
        """Tells this one from others, and keeps no table alive for whoever remembers it."""
        self.version = layers.version
        self.resolver = layers.resolver()
        self.found: dict[Key, Route | Unpriced] = {}
        self.default = layers.default()


class PriceBook(Overridable):
    """
    The dated collection of rate cards with their sources, and what a user says over it.

    It is safe to use from several threads. What it remembers is bounded: one entry per row of
    the table, and `MAX_RESOLUTIONS` model ids.

    Args:
        table: A price table; see `spancost.prices.table`.
        given: A pricing file or named set over it; see `spancost.prices.given`.
        registered: What the program says over both.
    """

    _default: PriceBook | None = None

    def __init__(
        self, table: price_table.Table, given: Given | None = None, registered: Overrides | None = None
    ) -> None:
        super().__init__()
        self.moment = _View(Layers(table, given, registered))
        """What the book is now; another object once anything of it changed."""

    @classmethod
    def default(cls) -> PriceBook:
        """
        Return the price book of the process, made on first use and then kept.

        It is the built-in one, or a newer table that was installed (`spancost.prices.installed`), with
        the pricing file over it that the environment names or that is found
        (`docs/pricing-file.md` has the order), if there is one.

        Raises:
            PriceBookError: There is a pricing file, and it cannot be used.
        """
        book = PriceBook._default
        if book is None:
            with _DEFAULT_LOCK:
                book = PriceBook._default
                if book is None:
                    table = installed.table_in_force()
                    book = PriceBook._default = PriceBook(table, given_by_search(table))
        return book

    @classmethod
    def from_file(cls, path: Path) -> PriceBook:
        """
        Return the price book of a table file.

        Raises:
            PriceBookError: The file cannot be read, or is not what its digest says.
        """
        return cls(price_table.load(path))

    def replace_table(self, table: price_table.Table) -> None:
        """
        Price by another table from now on; a call that is being priced finishes with the one it has.

        Args:
            table: The table, read whole. What lies over the old one lies over it.
        """
        self._change(lambda layers: replace(layers, table=table))

    def with_table(self, table: price_table.Table) -> PriceBook:
        """Return a new price book of another table, with what lies over this one's."""
        return PriceBook._of(replace(self.moment.layers, table=table))

    @property
    def table(self) -> price_table.Table:
        """The table, without what lies over it."""
        return self.moment.layers.table

    @classmethod
    def _of(cls, layers: Layers) -> PriceBook:
        return cls(layers.table, layers.given, layers.registered)

    @property
    def _layers(self) -> Layers:
        return self.moment.layers

    def _change(self, change: Callable[[Layers], Layers]) -> None:
        with self._changing:
            self.moment = _View(change(self.moment.layers))

    @property
    def version(self) -> str:
        """The version of the table, and of what lies over it."""
        return self.moment.version

    @property
    def digest(self) -> str:
        """The SHA-256 of the table's rows, or of all layers where something lies over them."""
        return self.moment.layers.digest

    @property
    def date(self) -> str:
        """The day of the data, ISO."""
        return self.moment.layers.date

    def price(
        self,
        usage: Usage | None,
        *,
        provider: str | None,
        model: str | None,
        at: dt.datetime | int | None = None,
        service_tier: str | None = None,
        region: str | None = None,
        request_model: str | None = None,
        aggregated: bool = False,
        assume_default: bool = False,
    ) -> Cost | Unpriced:
        """
        Price one usage at the rates of the time of the call.

        Args:
            usage: What the call used; None when nobody said.
            provider: The provider's name as on the span; None when unknown.
            model: The model of the response, or the only one known.
            at: Start of the call: an aware datetime, or nanoseconds since the epoch. None is now.
            service_tier: As on the span; the response's, else the request's.
            region: Class of the region that served the call (`spancost.prices.regions`): ``us``,
                ``eu``, ``regional``, ``global``. None, and a class that the list does not know,
                change nothing. Bedrock's regions are in the model id, not here.
            request_model: Looked up when ``model`` leads to no rates.
            aggregated: The usage is a sum over several calls.
            assume_default: Price a call whose provider or model is not known at the default rate, if
                there is one; such a cost has the flag ``assumed``.

        Returns:
            The cost, or `Unpriced` with the reason. Never 0 for what is not known.

        Raises:
            ValueError: ``at`` is a datetime without a time zone.
        """
        view = self.moment
        found = view.found.get((provider, model, request_model)) or self._find(
            view, provider, model, request_model
        )
        moment = at if type(at) is int else _nanoseconds(at)
        if usage is None:
            return Unpriced("no_usage", "the call says nothing about what it used")
        if not isinstance(found, Route):
            default = self._default_route(found, model) if assume_default else None
            if default is None:
                return found
            return assumed(default.price(usage, moment, service_tier, aggregated=aggregated))
        route = found if region is None else found.in_region(region)
        return route.price(usage, moment, service_tier, aggregated=aggregated)

    def route(
        self, provider: str | None, model: str | None, request_model: str | None = None
    ) -> Route | Unpriced:
        """
        Return what prices the calls of a model id, for code that has integers and makes integers.

        It belongs to the table of the moment: ask again for each call, a look-up in one dict.

        Args:
            provider: As for `price`, and so are the others.
            model: See there.
            request_model: See there.
        """
        view = self.moment
        try:
            return view.found[provider, model, request_model]
        except KeyError:
            return self._find(view, provider, model, request_model)

    def resolve(
        self,
        *,
        provider: str | None,
        model: str | None,
        at: dt.datetime | int | None = None,
        service_tier: str | None = None,
        region: str | None = None,
        request_model: str | None = None,
        assume_default: bool = False,
    ) -> Explanation:
        """
        Explain how a call would be priced: provider, id rule, row, card, tier.

        Args:
            provider: As for `price`, and so are the others.
            model: See there.
            at: See there.
            service_tier: See there.
            region: See there.
            request_model: See there.
            assume_default: See there.

        Raises:
            ValueError: ``at`` is a datetime without a time zone.
        """
        moment = _nanoseconds(at)
        tier = tier_of(service_tier)
        found = self.route(provider, model, request_model)
        if isinstance(found, Unpriced) and assume_default:
            found = self._default_route(found, model) or found
        if isinstance(found, Unpriced):
            return Explanation("", "", model or "", "", "", None, tier, tier_assumed=False, unpriced=found)
        resolution = found.resolution
        card = found.card_at(moment).in_region(region)
        return Explanation(
            resolution.provider,
            resolution.provider_rule,
            resolution.model,
            resolution.model_rule,
            resolution.spelling,
            card,
            tier,
            tier_assumed=tier != "standard" and tier not in card.tiers,
            unpriced=None,
            cards=resolution.cards,
        )

    def _default_route(self, why: Unpriced, model: str | None) -> Route | None:
        """Return the default rate where it may stand in for the one that is missing."""
        view = self.moment
        if view.default is None or why.reason not in ASSUMABLE:
            return None
        rule = f"the default rate, for {why.reason}: {why.detail}"
        return Route(replace(view.default, model=model or "", model_rule=rule), view.version)

    def _find(
        self, view: _View, provider: str | None, model: str | None, request_model: str | None
    ) -> Route | Unpriced:
        """Resolve a call that is not remembered, and remember it within the bound."""
        found = view.resolver.resolve(provider, model)
        if isinstance(found, Unresolved) and request_model and request_model != model:
            second = view.resolver.resolve(provider, request_model)
            if isinstance(second, Resolution) or not model:
                found = second
        result: Route | Unpriced
        if isinstance(found, Unresolved):
            result = Unpriced(found.reason, found.detail)
        else:
            result = Route(found, view.version)
        if sum(map(len, filter(None, (provider, model, request_model)))) <= _MAX_KEY:
            with self._lock:
                if len(view.found) >= MAX_RESOLUTIONS:
                    del view.found[next(iter(view.found))]
                view.found[provider, model, request_model] = result
        return result


def _nanoseconds(at: dt.datetime | int | None) -> int:
    if at is None:
        return time.time_ns()
    if isinstance(at, int):
        return at
    if at.utcoffset() is None:
        raise ValueError(
            f"a time without a time zone has no rates: {at.isoformat()}; give it one, such as UTC"
        )
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
