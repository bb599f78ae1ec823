# SPDX-License-Identifier: Apache-2.0
"""Money as integers of 1e-15 USD."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from spancost import money


@pytest.mark.parametrize(
    ("femto", "text"),
    [
        (0, "0"),
        (1, "0.000000000000001"),
        (150_000_000, "0.00000015"),
        (10**15, "1"),
        (1_500_000_000_000_000, "1.5"),
        (-250_000_000_000_000, "-0.25"),
        (10**40 + 1, "10000000000000000000000000.000000000000001"),
    ],
)
def test_text_is_plain_and_exact(femto, text):
    """An amount is written without exponent and trailing zeros, however small or large."""
    assert money.to_text(femto) == text
    assert money.to_decimal(femto) == Decimal(text)


def test_decimal_ignores_the_callers_context():
    """A narrow decimal context of the application does not round our amounts."""
    with localcontext() as context:
        context.prec = 3
        assert money.to_text(money.from_usd("123.456789012345678")) == "123.456789012345678"
        assert str(money.to_decimal(123_456_789)) == "1.23456789E-7"


def test_float_is_the_nearest():
    """The float of an amount is the one that the same decimal literal gives."""
    assert money.to_float(300_000_000_000_000) == 0.3
    assert money.to_float(5_940_000_000_000) == 0.00594


@pytest.mark.parametrize(
    ("usd", "femto"),
    [("0.0000000000000005", 0), ("0.0000000000000015", 2), ("2.5", 25 * 10**14), (3, 3 * 10**15)],
)
def test_what_is_too_fine_is_rounded_half_to_even(usd, femto):
    """An amount finer than 1e-15 USD goes to the nearest integer, ties to the even one."""
    assert money.from_usd(usd) == femto


def test_rates_are_exact_both_ways():
    """A rate per 1,000,000 tokens becomes an integer per token and comes back as it was."""
    for text in ("0", "0.0028", "1.25", "0.083333333", "600"):
        femto = money.rate_from_per_million(text)
        assert money.rate_to_per_million(femto) == Decimal(text)
    assert money.rate_from_per_million("2.5") == 2_500_000_000


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("0.0000000001", "finer than 1e-15"),
        ("-1", "negative"),
        ("nan", "finite"),
        ("a lot", "not a number"),
        (0.1, "not 0.1"),
        (True, "not True"),
    ],
)
def test_bad_rates_are_refused(rate, message):
    """A rate that cannot be an exact integer is an error that says why."""
    with pytest.raises(ValueError, match=message):
        money.rate_from_per_million(rate)
