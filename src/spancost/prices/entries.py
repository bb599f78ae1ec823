# SPDX-License-Identifier: Apache-2.0
"""
The rates of one model as a user gives them, in a file or in code: checked, and read into rate cards.

    {"input": 2.50, "output": 10, "cache_read": 1.25, "tiers": {"batch": {"multiplier": 0.5}}}

A list of such objects are spans of time, all but the first with ``from``.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from typing import TYPE_CHECKING, Any, Final

from spancost import money
from spancost.errors import PriceBookError
from spancost.prices import ids
from spancost.prices.cards import FEES, RATED
from spancost.prices.overrides import ANY, Entry, Origin
from spancost.prices.scalars import check_repeated, read_multiplier, read_number, read_text, said
from spancost.prices.table import Row

if TYPE_CHECKING:
    from spancost.prices.problems import Place, Problems

TIERS: Final = ("batch", "flex", "priority", "fast")
"""The service tiers that a user may give rates for, as `spancost.cost.tier_of` names them."""

_PARTS: Final = (*RATED, "above", "comment")
_KEYS: Final = (*RATED, "above", "tiers", "source", "comment", "from")
_SMALLEST, _LARGEST = Decimal("0.0001"), Decimal(1_000_000)
_SMALLEST_FEE, _LARGEST_FEE = Decimal(100), Decimal(1_000_000_000)
_THRESHOLD: Final = re.compile(r"[1-9][0-9]{0,14}")
_WIDE: Final = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[Inexact])


def read_entry(
    value: object, place: Place, problems: Problems, *, provider: str, model: str, origin: Origin
) -> Entry | None:
    """
    Return a model's rates, None where something is wrong with them.

    Args:
        value: An object of rates, or a list of them.
        place: Where it stands, for messages.
        problems: Takes what is wrong.
        provider: Key of the provider.
        model: The model id, as given.
        origin: Where it is from.
    """
    before = len(problems.all)
    if isinstance(value, Mapping):
        if "from" in value:
            problems.add(
                (*place, "from"), 'one object holds at any time; give a list, the first without "from"'
            )
        cards = [_card(value, place, problems)]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        cards = list(_dated(value, place, problems))
    else:
        problems.add(place, f"must be an object of rates or a list of them, not {said(value)}")
        return None
    if len(problems.all) > before:
        return None
    name = ids.clean(model)
    for card in cards:
        if "source" in card:
            card["source"] = f"{origin.text}: {card['source']}"
    row = Row(provider, name, _ids(provider, name), json.dumps({"source": origin.text, "cards": cards}))
    try:
        return Entry(row, tuple(replace(card, id=f"{origin.label}:{card.id}") for card in row.cards()))
    except PriceBookError as error:
        problems.add(place, str(error))
        return None


def read_default(value: object, place: Place, problems: Problems, origin: Origin) -> Entry | None:
    """Return the rates of calls that nothing else prices, None where something is wrong with them."""
    entry = read_entry(value, place, problems, provider=ANY, model="default", origin=origin)
    if entry is None:
        return None
    cards = (replace(card, id=card.id.replace(f"{ANY}/default", "default")) for card in entry.cards)
    return entry._replace(cards=tuple(cards))


def _dated(values: Sequence[object], place: Place, problems: Problems) -> Iterator[dict[str, Any]]:
    """Read spans of time, each with its rates; they begin one after the other."""
    last: dt.datetime | None = None
    if not values:
        problems.add(place, "is an empty list; give an object of rates")
    for number, value in enumerate(values):
        here = (*place, number)
        if not isinstance(value, Mapping):
            problems.add(here, f"must be an object of rates, not {said(value)}")
            continue
        card = _card(value, here, problems)
        if not number and "from" in value:
            problems.add((*here, "from"), "the first has no date: it holds for everything before the second")
        elif number and "from" not in value:
            problems.add(here, 'says not when it begins; give it "from", such as "2026-01-31"')
        elif number:
            start = _instant(value["from"], (*here, "from"), problems)
            if start is not None and last is not None and start <= last:
                problems.add((*here, "from"), "must be later than the one before")
            last = start or last
            card["from"] = start.isoformat() if start is not None else ""
        yield card


def _instant(value: object, place: Place, problems: Problems) -> dt.datetime | None:
    try:
        moment = dt.datetime.fromisoformat(value.replace("Z", "+00:00") if isinstance(value, str) else "")
    except ValueError:
        problems.add(
            place,
            f'must be a day or a UTC time such as "2026-01-31" or "2026-01-31T08:00Z", not {said(value)}',
        )
        return None
    return moment.replace(tzinfo=dt.timezone.utc) if moment.tzinfo is None else moment


def _card(value: Mapping[str, object], place: Place, problems: Problems) -> dict[str, Any]:
    """Read the rates of one span of time into the form of a card in a price table."""
    _check_keys(value, _KEYS, place, problems)
    card = _rates(value, place, problems)
    if not value.keys() & set(RATED):
        problems.add(place, 'has no rate; give "input" and "output" in USD per 1,000,000 tokens')
    if "source" in value:
        card["source"] = read_text(value["source"], (*place, "source"), problems)
    tiers = value.get("tiers")
    if isinstance(tiers, Mapping):
        check_repeated(tiers, (*place, "tiers"), problems)
        card["tiers"] = {
            tier: _tier(own, card, (*place, "tiers", tier), problems) for tier, own in tiers.items()
        }
    elif tiers is not None:
        problems.add((*place, "tiers"), f"must be an object, not {said(tiers)}")
    return card


def _check_keys(value: Mapping[str, object], valid: Sequence[str], place: Place, problems: Problems) -> None:
    check_repeated(value, place, problems)
    for key in value:
        if key not in valid:
            problems.unknown_key((*place, key), valid)


def _rates(value: Mapping[str, object], place: Place, problems: Problems) -> dict[str, Any]:
    rates = dict(_each_rate(value, place, problems))
    above = value.get("above")
    if above is None and "above" not in value:
        return {"rates": rates}
    if not isinstance(above, Mapping):
        problems.add((*place, "above"), f'must be an object such as {{"200000": rates}}, not {said(above)}')
        return {"rates": rates}
    check_repeated(above, (*place, "above"), problems)
    steps = []
    for text, own in above.items():
        here = (*place, "above", text)
        if not _THRESHOLD.fullmatch(text):
            problems.add(here, 'must be a number of input tokens such as "200000"')
        elif not isinstance(own, Mapping) or not own:
            problems.add(here, f"must be an object of rates, not {said(own)}")
        else:
            _check_keys(own, (*RATED, "comment"), here, problems)
            steps.append([int(text), dict(_each_rate(own, here, problems))])
    if not above:
        problems.add((*place, "above"), "is empty; leave it out")
    return {"rates": rates, "above": steps}


def _each_rate(value: Mapping[str, object], place: Place, problems: Problems) -> Iterator[tuple[str, str]]:
    for name in RATED:
        if name in value:
            rate = _rate(value[name], (*place, name), problems)
            if rate is not None:
                yield name, format(rate, "f")


def _rate(value: object, place: Place, problems: Problems) -> Decimal | None:
    """Return a rate in USD per 1,000,000, or note why it cannot be one."""
    number = read_number(value, place, problems)
    if not number:
        return number
    fee = place[-1] in FEES
    smallest, largest = (_SMALLEST_FEE, _LARGEST_FEE) if fee else (_SMALLEST, _LARGEST)
    if number < smallest:
        unit = "the fee of one, or of 1,000" if fee else "USD per token"
        problems.add(place, f"{said(value)} looks like {unit}; rates are USD per 1,000,000")
    elif number > largest:
        problems.add(place, f"{said(value)} USD per 1,000,000 is above {largest:,}: no price is so high")
    else:
        try:
            money.rate_from_per_million(number)
        except ValueError as error:
            problems.add(place, str(error))
        else:
            return number
    return None


def _tier(value: object, card: Mapping[str, Any], place: Place, problems: Problems) -> dict[str, Any]:
    """Read the rates of a service tier: given as such, or as a multiple of the ordinary ones."""
    if place[-1] not in TIERS:
        problems.unknown_key(place, TIERS)
        return {}
    if not isinstance(value, Mapping):
        problems.add(place, f'must be an object of rates, or {{"multiplier": 0.5}}, not {said(value)}')
        return {}
    if "multiplier" not in value:
        _check_keys(value, _PARTS, place, problems)
        own = _rates(value, place, problems)
        silent = [name for name in card["rates"] if name not in value and name not in FEES]
        if silent:
            problems.add(
                place,
                f"does not name {', '.join(silent)}, as the ordinary rates do; a tier names all of them",
            )
        return own
    _check_keys(value, ("multiplier", "comment"), place, problems)
    by = read_multiplier(value["multiplier"], (*place, "multiplier"), problems)
    return {} if by is None else _multiplied(card, by, place, problems)


def _multiplied(card: Mapping[str, Any], by: Decimal, place: Place, problems: Problems) -> dict[str, Any]:
    def each(rates: Mapping[str, str]) -> dict[str, str]:
        return {
            name: rate if name in FEES else format(_WIDE.multiply(Decimal(rate), by), "f")
            for name, rate in rates.items()
        }

    own: dict[str, Any] = {"rates": each(card["rates"])}
    if "above" in card:
        own["above"] = [[above, each(rates)] for above, rates in card["above"]]
    try:
        for rates in (own["rates"], *(step[1] for step in own.get("above", ()))):
            for rate in rates.values():
                money.rate_from_per_million(rate)
    except ValueError as error:
        problems.add((*place, "multiplier"), str(error))
    return own


def _ids(provider: str, name: str) -> tuple[str, ...]:
    """Return the id, and the id without the prefixes that the provider itself puts before it."""
    unwrapped = [
        spelling.id for spelling in ids.spellings(provider, name) if spelling.rule in ("exact", "unwrapped")
    ]
    return tuple(dict.fromkeys((name, *unwrapped)))
