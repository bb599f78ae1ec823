# SPDX-License-Identifier: Apache-2.0
"""What holds for any pricing file: a good one prices exactly what it says, and a slip in it is named."""

from __future__ import annotations

import contextlib
import copy
import json
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spancost import Cost, PriceBook, PriceBookError, Usage
from spancost.prices import table
from spancost.prices.given import Given
from spancost.prices.overrides import Origin
from spancost.prices.pricing_file import parse
from spancost.prices.problems import json_path

WIDE = Context(prec=100)
TABLE = table.load()
ORIGIN = Origin("file", "pricing file", "0" * 64)
OWN = ("mycorp", "rocket labs", "self_hosted", "openai", "azure", "groq")
PARTS = ("input", "output", "cache_read", "cache_write")
KEYS = ("input", "output", "cache_read", "cache_write", "tiers", "above", "multiplier", "from", "source")

rates = st.integers(100_000, 10**12).map(lambda femto: Decimal(femto).scaleb(-9))
written = rates.flatmap(lambda rate: st.sampled_from([rate, f"{rate:f}"]))
names = st.text("abcdefgxyz0123456789._-", min_size=3, max_size=20).map(lambda name: f"zz{name}zz")
entries = st.fixed_dictionaries(
    {"input": written, "output": written}, optional={"cache_read": written, "cache_write": written}
)
models = st.dictionaries(names, entries, min_size=1, max_size=4)
documents = st.dictionaries(st.sampled_from(OWN), models, min_size=1, max_size=3)
counts = st.integers(0, 10**9)


def as_json(value):
    """Write a document; Decimals become JSON numbers, digit by digit."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {as_json(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_json, value)) + "]"
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


def book_of(document):
    said, problems = parse(as_json(document).encode(), "prices.json", ORIGIN)
    assert not problems.all
    return PriceBook(TABLE, Given(said, ORIGIN, "prices.json", only=False, day="2026-11-21"))


def problems_of(document):
    return parse(as_json(document).encode(), "prices.json", ORIGIN)[1].all


@given(documents, counts, counts, counts, counts)
def test_a_good_file_prices_what_it_says_to_the_last_digit(document, fresh, read, write, out):
    """Every model of every block, against exact decimals; a cache rate that is not given is the input rate."""
    book = book_of(document)
    usage = Usage(input=fresh + read + write, cache_read=read, cache_write=write, output=out)
    for provider, block in document.items():
        for model, entry in block.items():
            cost = book.price(usage, provider=provider, model=model.upper())
            rate = {name: Decimal(entry.get(name, entry["input"])) for name in PARTS}
            expected = Decimal(0)
            for name, count in zip(
                ("input", "cache_read", "cache_write", "output"), (fresh, read, write, out), strict=True
            ):
                expected = WIDE.add(expected, WIDE.multiply(rate[name], Decimal(count)))
            assert isinstance(cost, Cost)
            assert cost.total == WIDE.scaleb(expected, -6)
            assert cost.femto == sum(cost.femto_parts.values())


@given(documents, st.data())
def test_a_changed_key_is_named_with_its_place_and_the_one_that_was_meant(document, data):
    """One letter more, one less or two swapped, in any key that means something."""
    document = copy.deepcopy(document)
    provider = data.draw(st.sampled_from(sorted(document)))
    model = data.draw(st.sampled_from(sorted(document[provider])))
    entry = document[provider][model]
    entry.setdefault("source", "contract")
    key = data.draw(st.sampled_from(sorted(entry)))
    at = data.draw(st.integers(1, len(key) - 2))
    slip = data.draw(
        st.sampled_from(
            [
                key[:at] + key[at + 1 :],
                key[:at] + "q" + key[at:],
                key[:at] + key[at + 1] + key[at] + key[at + 2 :],
            ]
        )
    )
    if slip in entry or slip == key:
        return
    entry[slip] = entry.pop(key)
    place = json_path((provider, model, slip))
    found = [problem for problem in problems_of(document) if problem.startswith(f"{place}: ")]
    assert found == [f'{place}: no such key; did you mean "{key}"?']


WRONG = st.sampled_from(
    [True, None, -1, "-0.5", "free", "NaN", "Infinity", "1_0", [], {}, Decimal("1e9"), "0.00001", "1e400", ""]
)


@given(documents, st.lists(st.tuples(st.integers(0, 10**6), WRONG), min_size=1, max_size=4))
def test_every_wrong_value_is_named_and_nothing_else_is(document, wrong):
    """As many problems as there are wrong values, each at its place."""
    document = copy.deepcopy(document)
    places = set()
    for number, value in wrong:
        all_places = [(p, m, k) for p, block in document.items() for m, entry in block.items() for k in entry]
        provider, model, key = all_places[number % len(all_places)]
        document[provider][model][key] = value
        places.add(json_path((provider, model, key)))
    assert {problem.split(": ")[0] for problem in problems_of(document)} == places
    assert len(problems_of(document)) == len(places)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**9) | st.text(max_size=8) | st.sampled_from([1.5, "2.5"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from((*KEYS, "openai", "mycorp", "m", "default", "aliases", "batch", "own")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_file_or_a_list_of_problems(document):
    """Never another error than ours."""
    try:
        said, problems = parse(json.dumps(document).encode(), "prices.json", ORIGIN)
    except PriceBookError:
        return
    if not problems.all:
        book = PriceBook(TABLE, Given(said, ORIGIN, "prices.json", only=False, day="2026-11-21"))
        book.price(Usage(input=1), provider="mycorp", model="m", assume_default=True)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file_or_an_error_of_ours(data):
    with contextlib.suppress(PriceBookError):
        parse(data, "prices.json", ORIGIN)


@pytest.mark.parametrize("text", ["0.1", "0.30", "12.000000001", "1e2", "2E-3"])
def test_a_number_and_its_text_are_the_same(text):
    """Whatever a float would make of it."""
    books = [
        parse(f'{{"mycorp": {{"m": {{"input": {each}}}}}}}'.encode(), "prices.json", ORIGIN)[0]
        for each in (text, f'"{text}"')
    ]
    one, other = (book.rates["mycorp", "m"].cards[0].standard for book in books)
    assert one == other
    assert one.base[0] == Decimal(text) * 10**9
