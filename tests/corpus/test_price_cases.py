# SPDX-License-Identifier: Apache-2.0
"""Price cases with known answers: bills, recorded responses, price lists of several sources."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path

from spancost import PriceBook, Usage

DATA = Path(__file__).parents[1] / "data" / "prices"
KEYS = {
    "gen_ai.usage.input_tokens": "input",
    "gen_ai.usage.output_tokens": "output",
    "gen_ai.usage.cache_read.input_tokens": "cache_read",
    "gen_ai.usage.cache_creation.input_tokens": "cache_write",
    "gen_ai.usage.reasoning.output_tokens": "reasoning",
    "x.usage.cache_creation_1h.input_tokens": "cache_write_1h",
}
DAY = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)


def read(name):
    return json.loads(gzip.decompress((DATA / name).read_bytes()))


def priced(case):
    at = dt.datetime.fromisoformat(case["timestamp"].rstrip("Z").split(".")[0]).replace(
        tzinfo=dt.timezone.utc
    )
    return PriceBook.default().price(
        Usage(**{KEYS[key]: count for key, count in case["usage"].items()}),
        provider=case["provider"],
        model=case["model"],
        at=at,
        service_tier=case["service_tier"],
    )


def test_every_price_case_is_exact():
    """Every case that a list price can reproduce comes out equal, as a decimal, to its known amount."""
    cases = [
        case
        for case in read("price_cases.json.gz")
        if not case.get("routing_dependent") and not case.get("excludes_request_fee")
    ]
    wrong = {}
    for case in cases:
        want = None if case["expected_usd"] is None else Decimal(case["expected_usd"])
        got = priced(case).total
        if got != want:
            wrong[case["id"]] = (want, got)
    assert len(cases) == 428
    assert wrong == {}


def test_every_model_id_is_priced_right_or_not_at_all():
    """Every id leads to the rates that its sources agree on, and what nobody can price has no price."""
    wrong, silent_zeros = [], []
    for row in read("model_ids.json.gz"):
        name = (row["provider"], row["model"])
        rates = row.get("expected_per_1m_usd") or {}
        amounts = {}
        for side, usage in (("in", Usage(input=1000)), ("out", Usage(output=1000))):
            result = PriceBook.default().price(usage, provider=name[0], model=name[1], at=DAY)
            amounts[side] = None if result.total is None else result.total * 1000
        if not row["expected_priced"]:
            wrong += [name] if amounts != {"in": None, "out": None} else []
            continue
        if rates.get("in") not in ("0", None) and amounts == {"in": 0, "out": 0}:
            silent_zeros.append(name)
        if amounts["in"] is None or any(
            Decimal(rates[side]) != amounts[side] for side in ("in", "out") if rates.get(side)
        ):
            wrong.append(name)
    assert silent_zeros == []
    assert wrong == []
