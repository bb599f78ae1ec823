# SPDX-License-Identifier: Apache-2.0
"""The price book: dates, tiers, its cache, its explanation, its file."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from decimal import Decimal

import pytest

from spancost import Cost, PriceBook, PriceBookError, Unpriced, Usage
from spancost.book import MAX_RESOLUTIONS
from spancost.prices import table

BOOK = PriceBook.default()
MILLION = Usage(input=1_000_000)


def utc(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc)


def usd(usage, provider, model, at, **more):
    return BOOK.price(usage, provider=provider, model=model, at=utc(at), **more).total


def test_the_default_book_is_one():
    """The package's book is loaded once and names its version, day and digest."""
    assert PriceBook.default() is BOOK
    assert BOOK.digest.startswith("sha256:")
    assert BOOK.date in str(dt.date.fromisoformat(BOOK.date))
    cost = BOOK.price(Usage(input=1), provider="openai", model="gpt-4.1")
    assert (cost.rate_card, cost.price_book) == ("openai/gpt-4.1", BOOK.version)


def test_importing_the_package_loads_no_table():
    """The table is read when somebody prices, not on import."""
    code = "import spancost, sys; spancost.PriceBook; print(spancost.PriceBook._default)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "None"


@pytest.mark.parametrize(
    ("model", "before", "first", "old", "new"),
    [
        ("gpt-5.6-luna", "2026-07-29T23:59:59", "2026-07-30T00:00:00", "0.0001", "0.00002"),
        ("gpt-4o", "2024-10-01T23:59:59.999999", "2024-10-02T00:00:00", "0.0005", "0.00025"),
    ],
)
def test_a_price_changes_with_the_first_instant_of_its_date(model, before, first, old, new):
    """A rate holds from the first instant of its date, UTC, to before the first of the next."""
    usage = Usage(input=100)
    assert usd(usage, "openai", model, before) == Decimal(old)
    assert usd(usage, "openai", model, first) == Decimal(new)


def test_time_of_day_dates_and_weekdays():
    """DeepSeek's peak doubles the price on working days since it began, and not on holidays."""
    at = {
        "2026-08-16T08:00:00": "0.14",
        "2026-08-18T08:00:00": "0.44",
        "2026-08-20T05:59:59": "0.22",
        "2026-08-20T06:00:00": "0.44",
        "2026-08-22T06:00:00": "0.44",
        "2026-08-29T06:00:00": "0.22",
        "2026-11-18T10:00:00": "0.15",
        "2026-11-18T09:59:59": "0.3",
        "2026-11-21T08:00:00": "0.15",
        "2026-10-01T08:00:00": "0.15",
    }
    got = {moment: str(usd(MILLION, "deepseek", "deepseek-v4-flash", moment).normalize()) for moment in at}
    assert got == at


@pytest.mark.parametrize(
    ("provider", "model", "size", "rate"),
    [
        ("openai", "gpt-5.4", 272_000, "2.5"),
        ("openai", "gpt-5.4", 272_001, "5"),
        ("x_ai", "grok-4.3", 199_999, "1.25"),
        ("x_ai", "grok-4.3", 200_000, "2.5"),
        ("gcp.gemini", "gemini-2.5-pro", 200_000, "1.25"),
        ("gcp.gemini", "gemini-2.5-pro", 200_001, "2.5"),
    ],
)
def test_thresholds_of_long_contexts(provider, model, size, rate):
    """A call above the threshold (from it on at xAI) pays the higher rate for every token."""
    cost = usd(Usage(input=size), provider, model, "2026-11-21T12:00:00")
    assert cost * 10**6 == size * Decimal(rate)
    total = usd(Usage(input=size), provider, model, "2026-11-21T12:00:00", aggregated=True)
    assert total * 10**6 == size * min(
        Decimal(rate), Decimal("1.25") if provider != "openai" else Decimal("2.5")
    )


def test_service_tiers():
    """Batch, flex and priority have their own rates; an unknown tier is standard and says so."""
    at = utc("2026-11-21T12:00:00")
    for tier, rate, flags in (
        ("flex", "1.25", ()),
        ("batch", "1.25", ()),
        ("priority", "5", ()),
        ("default", "2.5", ()),
        ("galactic", "2.5", ("tier_assumed",)),
    ):
        cost = BOOK.price(Usage(input=1000), provider="openai", model="gpt-5.4", at=at, service_tier=tier)
        assert (cost.total * 1000, cost.flags) == (Decimal(rate), flags)


def test_a_reseller_has_only_the_tiers_that_it_sells():
    """Azure sells OpenAI's batch discount and not its flex tier."""
    batch = BOOK.price(Usage(input=1000), provider="azure", model="gpt-5", service_tier="batch")
    flex = BOOK.price(Usage(input=1000), provider="azure", model="gpt-5", service_tier="flex")
    assert (batch.total * 2, batch.flags) == (flex.total, ())
    assert flex.flags == ("tier_assumed",)


def test_the_time_of_a_call():
    """Nanoseconds and aware datetimes are the same instant; a datetime without a zone is an error."""
    before = utc("2026-07-29T23:59:59")
    nanoseconds = int(before.timestamp()) * 10**9 + 999_999_999
    old = BOOK.price(MILLION, provider="openai", model="gpt-5.6-luna", at=nanoseconds)
    assert old == BOOK.price(MILLION, provider="openai", model="gpt-5.6-luna", at=before)
    assert old != BOOK.price(MILLION, provider="openai", model="gpt-5.6-luna", at=nanoseconds + 1)
    elsewhere = before.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert old == BOOK.price(MILLION, provider="openai", model="gpt-5.6-luna", at=elsewhere)
    with pytest.raises(ValueError, match="time zone"):
        BOOK.price(MILLION, provider="openai", model="gpt-4o", at=dt.datetime(2026, 1, 1))  # noqa: DTZ001
    assert isinstance(BOOK.price(MILLION, provider="openai", model="gpt-4o"), Cost)


def test_the_response_model_comes_first_and_the_request_model_helps():
    """The response's model decides; the request's is used where the first leads to no rates."""
    both = BOOK.price(MILLION, provider="openai", model="gpt-4.1-mini", request_model="gpt-4.1")
    assert both.rate_card == "openai/gpt-4.1-mini"
    second = BOOK.price(MILLION, provider="azure", model="my-deployment", request_model="gpt-4.1")
    assert second.rate_card == "azure/gpt-4.1"
    assert (
        BOOK.price(MILLION, provider="openai", model=None, request_model="gpt-4.1").rate_card
        == "openai/gpt-4.1"
    )
    neither = BOOK.price(MILLION, provider="azure", model="my-deployment", request_model="mine")
    assert neither.reason == "opaque_deployment"


def test_no_usage_and_zero_usage():
    """A call that says nothing is unpriced, one that used nothing costs nothing."""
    assert BOOK.price(None, provider="openai", model="gpt-4.1").reason == "no_usage"
    assert BOOK.price(Usage(), provider="openai", model="gpt-4.1").total == 0
    assert isinstance(BOOK.price(Usage(), provider="openai", model="gpt-99"), Unpriced)


def test_what_is_remembered_is_bounded():
    """Model names that an attacker makes up, hits and misses, never grow the memory beyond the bound."""
    book = PriceBook(table.load())
    for number in range(MAX_RESOLUTIONS + 50):
        book.price(MILLION, provider=f"made-up-{number}", model="m")
    assert len(book.moment.found) == MAX_RESOLUTIONS
    book.price(MILLION, provider="openai", model="y" * 5_000)
    assert not any("y" * 5_000 in key for key in book.moment.found)


def test_several_threads_get_the_same_answers():
    """Threads that resolve the same ids at the same time agree."""
    book = PriceBook(table.load())
    models = ["gpt-4.1", "gpt-4o", "o3", "nope", "gpt-5.4"] * 40
    answers = []

    def work():
        answers.append([book.price(MILLION, provider="openai", model=model, at=10**18) for model in models])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == answers[0] for answer in answers)
    assert len(answers) == 4


def test_the_book_explains_itself():
    """A resolution says which provider, id rule, row, dates and tier it used, or why there is none."""
    how = BOOK.resolve(
        provider="openai.chat",
        model="openai/gpt-5.6-luna-2026-07-09",
        at=utc("2026-07-01T00:00:00"),
        service_tier="galactic",
    )
    text = "\n".join(how.lines())
    assert how.card.id == "openai/gpt-5.6-luna@start"
    assert (how.provider, how.tier_assumed) == ("openai", True)
    for part in (
        "openai.chat",
        "unwrapped, dated",
        "to 2026-07-30T00:00Z",
        "genai-prices",
        "galactic",
        "input 1",
    ):
        assert part in text
    none = BOOK.resolve(provider="ollama", model="llama3")
    assert none.lines()[0] == "unpriced: self_hosted"
    assert "llama3" in none.lines()[1]


def with_row(text, line):
    """The text of a table with one more line, and the digest that goes with it."""
    head, _, body = text.partition("\n")
    body += line + "\n"
    return json.dumps(json.loads(head) | {"digest": table.digest_of(body)}) + "\n" + body


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("gpt-4.1-mini", "gpt-4.1-maxi", 1), "digest"),
        (lambda text: text.replace('"format": 2', '"format": 9', 1), "format"),
        (lambda text: with_row(text, "acme\tm\tm"), "line [0-9]+: not 4 columns"),
        (lambda _: "nothing", "cannot be read"),
    ],
)
def test_a_changed_or_broken_table_is_refused(tmp_path, change, message):
    """A table that is not what its first line says is an error that names the file."""
    path = tmp_path / "table.tsv"
    path.write_text(change(table.DEFAULT_PATH.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(PriceBookError, match=message):
        PriceBook.from_file(path)


def test_every_row_of_the_table_can_be_read():
    """Every card has rates that are exact integers, in order of time, and a source."""
    cards = [card for row in table.load().rows() for card in row.cards()]
    assert len(cards) > 3_500
    assert all(card.source for card in cards)
    assert len({card.id for card in cards}) == len(cards)
