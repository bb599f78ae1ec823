# SPDX-License-Identifier: Apache-2.0
"""
Pricing against an oracle that shares no line with it: decimals instead of integers, dates instead of nanoseconds.

The oracle reads the row of a table as a person would: which card is in force, is it in the middle of a
window, which tier, which side of the threshold; then rate x count / 1,000,000, summed as decimals.
"""

from __future__ import annotations

import datetime as dt
import random
from decimal import Context, Decimal

from spancost import Cost, Usage
from spancost.prices.cards import RATED
from tests.kit import route_of

CARDS, CALLS = 500, 200
"""Random rows of a table, and calls priced with each: 100,000 in all."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
DAY_ZERO = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
WIDE = Context(prec=200)
TIERS = ("batch", "flex", "priority")
SPELLINGS = {
    None: None,
    "default": None,
    "BATCH": "batch",
    "flex": "flex",
    "ServiceTier.PRIORITY": "priority",
    "scale": "scale",
}
REGIONS = (None, "us", "eu", "regional", "global")
MULTIPLIERS = ("1.1", "0.95", "1.25", "2")
TOKENS = RATED[:11]
FEES = ("web_search", "search_unit", "request")
THRESHOLDS = (1, 1000, 128_000, 200_000, 272_000)


def decimal_rate(rng):
    """A rate as lists have them, with few enough digits that every multiplier stays exact."""
    return str(Decimal(rng.randrange(10_000)).scaleb(-rng.choice((0, 1, 2, 4, 6))))


def rates(rng, *, fees):
    named = {
        name: decimal_rate(rng)
        for name in TOKENS
        if rng.random() < (0.9 if name in ("input", "output") else 0.4)
    }
    if fees:
        named |= {name: decimal_rate(rng) for name in FEES if rng.random() < 0.3}
    return named


def sized(rng, *, fees=False):
    """Rates of a tier, sometimes with thresholds above which some of them differ."""
    spec = {"rates": rates(rng, fees=fees)}
    if rng.random() < 0.4:
        sizes = rng.sample(THRESHOLDS, rng.randint(1, 2))
        spec["above"] = [[size, rates(rng, fees=False)] for size in sizes]
    return spec


def window(rng):
    minutes = rng.sample(range(0, 1440, 30), 2)
    start, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in minutes)
    days = "".join(rng.sample("1234567", rng.randint(1, 7)))
    holiday = (DAY_ZERO + dt.timedelta(days=rng.randrange(400))).date().isoformat()
    return {"start": start, "end": end, "days": days, "holidays": [holiday], **sized(rng)}


def row(rng):
    """A row of the table: one to three cards in order of time."""
    hours = sorted(rng.sample(range(9_000), rng.randint(0, 2)))
    dates = [(DAY_ZERO + dt.timedelta(hours=hour)).isoformat() for hour in hours]
    cards = []
    for date in [None, *dates]:
        spec = sized(rng, fees=True)
        if date:
            spec["from"] = date
        if rng.random() < 0.5:
            spec["tiers"] = {
                tier: sized(rng, fees=rng.random() < 0.3) for tier in TIERS if rng.random() < 0.6
            }
        if rng.random() < 0.3:
            spec["windows"] = [window(rng) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.3:
            spec["regions"] = {
                region: rng.choice(MULTIPLIERS) for region in REGIONS[1:4] if rng.random() < 0.6
            }
        cards.append(spec)
    return cards


def usage(rng, sizes):
    """Counts with every part inside its whole; the input often just at a threshold, most often plain text."""
    top = rng.choice((0, 1, 10, 10**5, 10**6, 10**12))
    whole = rng.choice([rng.randint(0, top), *(size + by for size in sizes for by in (0, 1))])
    read = rng.randint(0, whole) if rng.random() < 0.5 else 0
    write = rng.randint(0, whole - read) if rng.random() < 0.5 else 0
    output = rng.randint(0, top)
    counts = {
        "input": whole,
        "cache_read": read,
        "cache_write": write,
        "cache_write_1h": rng.randint(0, write) if rng.random() < 0.3 else 0,
        "output": output,
        "reasoning": rng.randint(0, output) if rng.random() < 0.3 else 0,
    }
    if rng.random() < 0.2:
        audio = rng.randint(0, whole)
        counts |= {"input_audio": audio, "cache_read_audio": rng.randint(0, min(audio, read))}
        counts |= {"input_image": rng.randint(0, whole - audio)}
        counts |= {"output_audio": rng.randint(0, output)}
        counts |= {"output_image": rng.randint(0, output - counts["output_audio"])}
    if rng.random() < 0.1:
        counts |= {"web_searches": rng.randint(0, 9), "search_units": rng.randint(0, 2)}
    return counts


def in_force(specs, at):
    """The card whose date is the last that has come; the first before that."""
    started = [spec for spec in specs if "from" not in spec or dt.datetime.fromisoformat(spec["from"]) <= at]
    return started[-1]


def in_window(spec, at):
    clock, start, end = at.strftime("%H:%M"), spec["start"], spec["end"]
    inside = start <= clock < end if start <= end else clock >= start or clock < end
    return inside and str(at.isoweekday()) in spec["days"] and at.date().isoformat() not in spec["holidays"]


def filled(named, own):
    """What follows where a list is silent, in the words of the price book's documentation."""
    named = dict(named)
    named.setdefault("cache_read", named.get("input"))
    if "cache_write" not in named:
        named["cache_write"] = named.get("input")
        named.setdefault("cache_write_1h", named.get("input"))
    named.setdefault("input_image", named.get("input"))
    if "cache_read_audio" not in named:
        same = named.get("input_audio") == named.get("input") or (
            None not in (named.get("input_audio"), named.get("input"))
            and Decimal(named["input_audio"]) == Decimal(named["input"])
        )
        named["cache_read_audio"] = named["cache_read"] if same else named.get("input_audio")
    for fee in FEES:
        named.setdefault(fee, own.get(fee))
    return named


def rates_of(spec, size, at, tier):
    """The rates that hold for a call of a size, at a time, in a tier; and what has to be said of the choice."""
    flags, chosen = (), spec
    for each in spec.get("windows", ()):
        if in_window(each, at):
            chosen, flags = each, ("window",)
    if tier is not None:
        own = spec.get("tiers", {}).get(tier)
        chosen, flags = (chosen, (*flags, "tier_assumed")) if own is None else (own, ())
    passed = [(above, more) for above, more in chosen.get("above", ()) if size > above]
    differing = max(passed, key=lambda step: step[0])[1] if passed else {}
    return filled(chosen["rates"] | differing, spec["rates"]), flags


def multiplier_of(spec, region):
    regions = spec.get("regions", {})
    return regions.get(region) or (regions.get("regional") if region in ("us", "eu") else None) or "1"


def expected(spec, counts, at, tier, region, *, aggregated):
    """The cost by token type in USD, or the names of the rates that are missing; and the flags."""
    named, flags = rates_of(spec, 0 if aggregated else counts["input"], at, tier)
    used, fee = partition(counts)
    if not aggregated and named["request"] is not None:
        fee["request"] = 1
    missing = sorted(name for name, count in (used | fee).items() if count and named.get(name) is None)
    if missing:
        return missing, flags

    def usd(name, count):
        return WIDE.multiply(Decimal(count), Decimal(named[name])).scaleb(-6, WIDE) if count else Decimal(0)

    parts = {name: usd(name, count) for name, count in used.items()}
    audio = counts.get("cache_read_audio", 0)
    if named["cache_read_audio"] is not None and audio:
        parts["cache_read"] = usd("cache_read", used["cache_read"] - audio) + usd("cache_read_audio", audio)
    thought = min(counts["reasoning"], used["output"])
    if named.get("reasoning") is not None and used["output"]:
        parts["output"] = usd("output", used["output"] - thought) + usd("reasoning", thought)
    by = Decimal(multiplier_of(spec, region))
    parts = {name: WIDE.multiply(part, by) for name, part in parts.items()}
    parts["fee"] = sum((usd(name, count) for name, count in fee.items()), Decimal(0))
    return {name: part for name, part in parts.items() if part}, flags


def partition(counts):
    """The tokens by token type, and what is counted outside tokens."""
    of = counts.get
    fresh = of("input") - of("cache_read") - of("cache_write")
    audio = min(of("input_audio", 0) - of("cache_read_audio", 0), fresh)
    image = min(of("input_image", 0), fresh - audio)
    tokens = {
        "input": fresh - audio - image,
        "cache_read": of("cache_read"),
        "cache_write": of("cache_write") - of("cache_write_1h"),
        "cache_write_1h": of("cache_write_1h"),
        "output": of("output") - of("output_audio", 0) - of("output_image", 0),
        "input_audio": audio,
        "output_audio": of("output_audio", 0),
        "input_image": image,
        "output_image": of("output_image", 0),
    }
    return tokens, {"web_search": of("web_searches", 0), "search_unit": of("search_units", 0)}


def moments(rng, specs):
    """Times of calls: anywhere in the years round the cards, and just before and at each of their edges."""
    edges = [dt.datetime.fromisoformat(spec["from"]) for spec in specs if "from" in spec]
    for spec in specs:
        for each in spec.get("windows", ()):
            for clock in (each["start"], each["end"]):
                day = DAY_ZERO + dt.timedelta(days=rng.randrange(400))
                edges.append(day + dt.timedelta(hours=int(clock[:2]), minutes=int(clock[3:])))
    some = [edge - by for edge in edges for by in (dt.timedelta(0), dt.timedelta(microseconds=1))]
    return some + [DAY_ZERO + dt.timedelta(seconds=rng.randrange(-(10**7), 5 * 10**7)) for _ in range(20)]


def test_a_hundred_thousand_random_calls_cost_what_decimals_say():
    """To the last digit, in every part, with the same flags; and unpriced for the same missing rates."""
    rng = random.Random(20_261_124)
    priced = unpriced = short = 0
    for _ in range(CARDS):
        spec = row(rng)
        way = route_of(*spec)
        times = moments(rng, spec)
        sizes = [size for card in spec for size, _ in card.get("above", ())]
        for _ in range(CALLS):
            at, counts, said = rng.choice(times), usage(rng, sizes), rng.choice(list(SPELLINGS))
            region, aggregated = rng.choice(REGIONS), rng.random() < 0.1
            since = at - EPOCH
            moment = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000
            here = way.in_region(region)
            got = here.price(Usage(**counts), moment, said, aggregated=aggregated)
            short += isinstance(got, Cost) and isinstance(got.amounts, tuple)
            want, flags = expected(
                in_force(spec, at), counts, at, SPELLINGS[said], region, aggregated=aggregated
            )
            case = (spec, counts, at, said, region, aggregated)
            if isinstance(want, list):
                unpriced += 1
                assert got.reason == "missing_rate", case
                assert sorted(got.detail.rpartition("for ")[2].split(", ")) == want, case
                continue
            priced += 1
            assert isinstance(got, Cost), (got, case)
            assert got.parts == want, case
            assert got.total == sum(want.values(), Decimal(0)), case
            assert got.flags == flags, case
    assert (priced + unpriced, priced > 50_000, unpriced > 5_000, short > 20_000) == (
        100_000,
        True,
        True,
        True,
    )
