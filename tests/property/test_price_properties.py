# SPDX-License-Identifier: Apache-2.0
"""What holds for any usage on any card."""

from __future__ import annotations

from decimal import Context, Decimal

from hypothesis import given
from hypothesis import strategies as st

from spancost import PriceBook, Usage, money
from spancost.cost import Cost, price_usage
from spancost.prices import table
from spancost.prices.cards import RATED

WIDE = Context(prec=100)
CARDS = [
    card
    for row in table.load().rows()
    if row.provider in ("openai", "anthropic", "google")
    for card in row.cards()
]
COUNT = st.integers(0, 10**12)


@st.composite
def usages(draw):
    fresh, read, write, hour, audio, image, out, out_audio, out_image = (draw(COUNT) for _ in range(9))
    return Usage(
        input=fresh + audio + image + read + write + hour,
        cache_read=read,
        cache_write=write + hour,
        cache_write_1h=hour,
        input_audio=audio,
        input_image=image,
        output=out + out_audio + out_image,
        output_audio=out_audio,
        output_image=out_image,
    )


def line_of(card, usage):
    """The rates of a call, chosen the slow and obvious way."""
    passed = [line for above, line in sorted(card.standard.steps) if usage.input > above]
    return dict(zip(RATED, passed[-1] if passed else card.standard.base, strict=True))


@given(usages(), st.sampled_from(CARDS))
def test_parts_sum_to_the_total_and_agree_with_decimals(usage, card):
    """The parts sum to the total, and the total is what exact decimal arithmetic gives."""
    cost = price_usage(usage, card, at=0)
    rates = line_of(card, usage)
    used = {name: count for name, count in usage.by_token_type().items() if count}
    assert isinstance(cost, Cost) == all(rates[name] is not None for name in used)
    if isinstance(cost, Cost):
        expected = Decimal(0)
        for name, count in used.items():
            rate = money.rate_to_per_million(rates[name])
            expected = WIDE.add(expected, WIDE.divide(WIDE.multiply(rate, Decimal(count)), Decimal(10**6)))
        assert cost.femto == sum(cost.femto_parts.values())
        assert cost.total == expected
        assert float(cost) == float(expected)
        assert all(cost.femto_parts.values())


@given(usages(), usages(), st.sampled_from(CARDS))
def test_more_never_costs_less(one, other, card):
    """A usage that has at least as much of every part costs at least as much."""
    both = Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.__slots__})
    less, more = price_usage(one, card, at=0), price_usage(both, card, at=0)
    if isinstance(more, Cost):
        assert isinstance(less, Cost)
        assert less.femto <= more.femto


@given(st.integers(-(10**30), 10**30))
def test_text_and_decimal_are_exact(femto):
    """An amount survives the way out and back, and its text has no exponent."""
    assert money.from_usd(money.to_text(femto)) == femto
    assert "E" not in money.to_text(femto)
    assert money.to_float(femto) == float(money.to_decimal(femto))


@given(st.one_of(st.none(), st.text(max_size=80)), st.one_of(st.none(), st.text(max_size=200)))
def test_any_name_has_an_answer(provider, model):
    """Whatever a span carries as provider and model, there is a cost or a reason, never an error."""
    result = PriceBook.default().price(Usage(input=1), provider=provider, model=model, at=0)
    assert (result.total is None) == (not isinstance(result, Cost))
