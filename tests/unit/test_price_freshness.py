# SPDX-License-Identifier: Apache-2.0
"""Which table is in force, how a process follows it, and when it says that prices are old."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time

import pytest

from spancost import Cost, Usage, freshness
from spancost.book import PriceBook
from spancost.prices import installed
from tests.price_kit import BUILT_IN, LATER, small
from tests.waiting import until

MILLION = Usage(input=1_000_000)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The file of the installed table, named by the environment; it is not there yet."""
    path = tmp_path / "table.tsv"
    monkeypatch.setenv("SPANCOST_PRICE_TABLE", str(path))
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The file of the installed table in the user's home; it is not there yet."""
    monkeypatch.delenv("SPANCOST_PRICE_TABLE")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".spancost" / "prices" / "table.tsv"
    path.parent.mkdir(parents=True)
    return path


def test_a_newer_table_is_in_force_and_says_where_it_is_from(path):
    path.write_bytes(small())

    assert installed.choose().table.version == LATER
    assert installed.choose().table.origin == str(path)


def test_without_a_file_the_built_in_table_is_in_force(home):
    assert installed.installed_path() == home
    choice = installed.choose()
    assert (choice.table.origin, choice.problem) == ("built-in", "")


def test_a_table_in_the_home_folder_is_used(home):
    home.write_bytes(small())

    assert installed.choose().table.version == LATER


def test_a_table_that_a_newer_package_left_behind_is_passed_over_silently(home):
    """After an upgrade of the package nobody has to clean up."""
    home.write_bytes(small("2020.01.01", "2020-01-01"))

    choice = installed.choose()

    assert (choice.table.origin, choice.problem) == ("built-in", "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "cannot be used"),
        (b"broken", "cannot be used"),
        (small()[:-9], "do not match the digest"),
        (small("2020.01.01", "2020-01-01"), "is not newer than the built-in one"),
    ],
)
def test_a_file_that_is_named_and_cannot_be_used_is_a_problem_and_the_built_in_table_holds(
    path, data, problem
):
    if data is not None:
        path.write_bytes(data)

    choice = installed.choose()

    assert choice.table.origin == "built-in"
    assert problem in choice.problem
    assert "spancost prices update" in choice.problem


def test_a_broken_file_is_logged_once_and_the_program_runs(path, caplog):
    path.write_bytes(b"broken too")

    tables = {installed.table_in_force().version for _ in range(3)}

    assert tables == {BUILT_IN.version}
    assert len(caplog.records) == 1
    assert "the built-in prices are used" in caplog.text


def test_no_home_is_no_place(monkeypatch):
    monkeypatch.setenv("SPANCOST_PRICE_TABLE", "~nobody-has-this-name/table.tsv")

    assert installed.installed_path() is None


def followed(path, data=None):
    """Return a book of what the file holds, what is counted, and the watch of it."""
    if data is not None:
        path.write_bytes(data)
    book, counted = PriceBook(installed.choose().table), []
    return book, counted, freshness.Watch(book, counted.append)


def test_a_changed_file_is_taken_whole_with_its_date(path):
    book, counted, watch = followed(path, small("2999.01.01", "2026-11-25", rate="1"))
    assert watch.look() is False  # looked at, and it is the table in force

    path.write_bytes(small("2999.01.02", "2026-11-26", rate="3"))

    assert watch.look() is True
    assert watch.look() is False
    assert (book.version, book.date, counted) == ("2999.01.02", "2026-11-26", [])
    cost = book.price(MILLION, provider="openai", model="m")
    assert (cost.total, cost.price_book) == (3, "2999.01.02")


def test_what_was_changed_between_loading_and_the_first_look_is_taken_too(path):
    book, _, watch = followed(path, small("2999.01.01"))

    path.write_bytes(small("2999.01.02"))

    assert watch.look() is True
    assert book.version == "2999.01.02"


def test_a_file_broken_while_running_changes_nothing_is_counted_and_logged_once(path, caplog):
    book, counted, watch = followed(path, small())

    path.write_bytes(small("2999.01.02", rate="4")[:-5])

    assert [watch.look(), watch.look()] == [False, False]
    assert book.version == LATER
    assert counted == ["price_table_unusable"]
    assert len(caplog.records) == 1
    path.write_bytes(small("2999.01.03"))
    assert watch.look() is True


def test_going_back_to_an_older_table_is_followed(path):
    """A rollback is no slip: it is what somebody asked for."""
    book, _, watch = followed(path, small("2999.01.02"))

    path.write_bytes(small("2999.01.01"))

    assert watch.look() is True
    assert book.version == "2999.01.01"


def test_a_removed_table_gives_way_to_the_built_in_one(home):
    book, _, watch = followed(home, small())

    home.unlink()

    assert watch.look() is True
    assert book.version == BUILT_IN.version


def test_what_a_program_registered_stays_over_the_new_table(path):
    book, _, watch = followed(path, small("2999.01.01"))
    book.register("mine", provider="openai", input=7, output=7)

    path.write_bytes(small("2999.01.02", rate="5"))

    assert watch.look() is True
    assert book.price(MILLION, provider="openai", model="mine").total == 7
    assert book.price(MILLION, provider="openai", model="m").total == 5


def test_calls_in_flight_over_many_swaps_are_each_priced_by_one_table(path):
    """Version and amount of a cost always belong together, and no call fails."""
    tables = []
    for rate in (1, 2):
        path.write_bytes(small(f"2999.01.0{rate}", rate=str(rate)))
        tables.append(installed.load_whole(path))
    book = PriceBook(tables[0])
    seen = []
    done = threading.Event()

    def call():
        while not done.is_set():
            cost = book.price(MILLION, provider="openai", model="m", at=0)
            seen.append((cost.price_book, cost.total) if isinstance(cost, Cost) else cost)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()

    def swap_often():
        for turn in range(50):
            book.replace_table(tables[turn % 2])
            time.sleep(0)
        return len(set(seen)) > 1

    until(swap_often)
    done.set()
    for thread in threads:
        thread.join()

    assert set(seen) == {("2999.01.01", 1), ("2999.01.02", 2)}


@pytest.mark.parametrize(("days", "warned"), [(60, False), (61, True)])
def test_prices_older_than_sixty_days_are_warned_of(monkeypatch, days, warned):
    monkeypatch.delenv("SPANCOST_PRICE_MAX_AGE_DAYS")
    book = PriceBook.built_in()
    today = dt.date.fromisoformat(book.date) + dt.timedelta(days=days)

    assert bool(freshness.age_warning(book, today)) is warned
    if warned:
        assert "61 days old" in freshness.age_warning(book, today)
        assert "spancost prices update" in freshness.age_warning(book, today)


@pytest.mark.parametrize(("setting", "warned"), [("off", False), ("0", False), ("10", True), ("12", False)])
def test_the_age_that_is_warned_of_is_a_setting(monkeypatch, setting, warned):
    monkeypatch.setenv("SPANCOST_PRICE_MAX_AGE_DAYS", setting)
    book = PriceBook.built_in()
    today = dt.date.fromisoformat(book.date) + dt.timedelta(days=11)

    assert bool(freshness.age_warning(book, today)) is warned


@pytest.mark.parametrize("name", ["SPANCOST_PRICE_MAX_AGE_DAYS", "SPANCOST_PRICE_RELOAD_SECONDS"])
def test_a_setting_that_cannot_be_is_an_error_where_the_processor_is_made(monkeypatch, name):
    monkeypatch.setenv(name, "soon")
    monkeypatch.setenv("SPANCOST_PRICE_TABLE", "x")
    book = PriceBook.built_in()

    def start():
        freshness.age_warning(book)
        freshness.follow(book, print, threading.Lock())

    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 up, not 'soon', or off"):
        start()


def test_a_swap_is_told_at_the_level_of_information(path, caplog):
    caplog.set_level(logging.INFO, logger="spancost")
    _, _, watch = followed(path, small("2999.01.01"))

    path.write_bytes(small("2999.01.02"))
    watch.look()

    assert f"price table 2999.01.02 ({path}) replaces 2999.01.01" in caplog.text
