# SPDX-License-Identifier: Apache-2.0
"""Where a pricing file is found, and who is told of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spancost import Cost, PriceBook, PriceBookError, Usage
from spancost.prices import search

MILLION = Usage(input=1_000_000)
PLACES = ("named.json", "spark.json", "cwd/model_pricing.json", "home/.spancost/model_pricing.json",
          "home/.spark/model_pricing.json")  # fmt: skip
"""In the order of the search; which one it is shows in the price."""


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A working folder and a home of its own, and a function that writes a pricing file to a place."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("SPANCOST_PRICING_CONFIG", "SPARK_PRICING_CONFIG", "SPANCOST_PRICING_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(search, "_told", set())

    def write(place, number=1, text=None):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        said = {"mycorp": {"m": {"input": number, "output": number}}}
        path.write_text(text or json.dumps(said), encoding="utf-8")
        return path

    return write


def price(book):
    cost = book.price(MILLION, provider="mycorp", model="m")
    return int(cost.total) if isinstance(cost, Cost) else cost.reason


def test_the_first_place_that_has_a_file_decides(places, monkeypatch):
    """One after the other is taken away, down to the built-in book."""
    paths = [places(place, number) for number, place in enumerate(PLACES, start=1)]
    monkeypatch.setenv("SPANCOST_PRICING_CONFIG", str(paths[0]))
    monkeypatch.setenv("SPARK_PRICING_CONFIG", str(paths[1]))
    seen = []
    for number in range(6):
        seen.append(price(PriceBook.from_pricing_file()))
        if number == 0:
            monkeypatch.delenv("SPANCOST_PRICING_CONFIG")
        elif number == 1:
            monkeypatch.setenv("SPARK_PRICING_CONFIG", " ")
        elif number < 5:
            paths[number].unlink()
    assert seen == [1, 2, 3, 4, 5, "unknown_provider"]


def test_an_explicit_path_comes_before_all(places, monkeypatch):
    path = places("explicit.json", 9)
    monkeypatch.setenv("SPANCOST_PRICING_CONFIG", str(places(PLACES[0], 1)))
    assert price(PriceBook.from_pricing_file(path)) == 9


def test_no_file_is_searched_where_the_environment_says_so(places, monkeypatch):
    places(PLACES[2])
    monkeypatch.setenv("SPANCOST_PRICING_CONFIG", "built-in")
    assert price(PriceBook.from_pricing_file()) == "unknown_provider"
    assert PriceBook.from_pricing_file().source == "built-in"


def test_a_home_may_be_written_short(places, monkeypatch):
    places("home/prices.json", 4)
    monkeypatch.setenv("SPANCOST_PRICING_CONFIG", "~/prices.json")
    assert price(PriceBook.from_pricing_file()) == 4


@pytest.mark.parametrize("variable", ["SPANCOST_PRICING_CONFIG", "SPARK_PRICING_CONFIG"])
def test_a_named_file_that_is_not_there_is_an_error(places, monkeypatch, variable):
    """The next place is not tried in its stead."""
    places(PLACES[2])
    monkeypatch.setenv(variable, "gone.json")
    with pytest.raises(PriceBookError, match=rf"gone\.json[\s\S]*named by {variable}"):
        PriceBook.from_pricing_file()


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ('{"openai": {"m": {"inptu": 1}}}', "did you mean")]
)
def test_a_bad_file_that_is_found_is_an_error_that_says_how_to_leave_it_out(places, text, message):
    """Never skipped in silence: prices that are not the user's would follow."""
    places(PLACES[2], text=text)
    places(PLACES[3])
    with pytest.raises(PriceBookError) as raised:
        PriceBook.from_pricing_file()
    for part in (message, "model_pricing.json", "found by search", "SPANCOST_PRICING_CONFIG=built-in"):
        assert part in str(raised.value)


@pytest.mark.usefixtures("places")
def test_what_has_the_name_and_is_no_file_is_an_error(tmp_path):
    """A folder, a link to nothing, a pipe that would keep a reader waiting."""
    path = tmp_path / PLACES[2]
    for make in (path.mkdir, lambda: path.symlink_to("nowhere"), lambda: os.mkfifo(path)):
        make()
        with pytest.raises(PriceBookError, match="is no file"):
            PriceBook.from_pricing_file()
        path.rmdir() if path.is_dir() else path.unlink()


def test_only_the_file_by_environment(places, monkeypatch):
    """Without a file there would be no prices at all: an error."""
    monkeypatch.setenv("SPANCOST_PRICING_ONLY", "true")
    with pytest.raises(PriceBookError, match="there is none"):
        PriceBook.from_pricing_file()
    places(PLACES[2], 3)
    book = PriceBook.from_pricing_file()
    assert price(book) == 3
    assert book.price(MILLION, provider="openai", model="gpt-4.1").reason == "unknown_model"


def test_a_file_that_nobody_named_is_logged_once_with_its_digest(places, caplog):
    """At INFO where only its owner can write it."""
    path = places(PLACES[2])
    path.chmod(0o600)
    path.parent.chmod(0o700)
    with caplog.at_level(logging.INFO, logger="spancost"):
        for _ in range(3):
            PriceBook.from_pricing_file()
    (record,) = caplog.records
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.levelno == logging.INFO
    assert str(path) in record.message
    assert digest in record.message
    places(PLACES[2], 2)
    with caplog.at_level(logging.INFO, logger="spancost"):
        PriceBook.from_pricing_file()
    assert len(caplog.records) == 2


@pytest.mark.parametrize(("mode", "folder"), [(0o666, 0o700), (0o600, 0o1777)])
def test_a_file_that_others_may_write_is_a_warning(places, caplog, mode, folder):
    path = places(PLACES[2])
    path.chmod(mode)
    path.parent.chmod(folder)
    PriceBook.from_pricing_file()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "any user may write" in record.message


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_a_warning(places, caplog):
    path = places(PLACES[2])
    os.chown(path, 12_345, -1)
    PriceBook.from_pricing_file()
    assert "another user owns the file" in caplog.records[0].message


def test_a_file_that_is_named_is_not_logged(places, caplog, monkeypatch):
    path = places(PLACES[0])
    with caplog.at_level(logging.INFO, logger="spancost"):
        PriceBook.from_pricing_file(path)
        monkeypatch.setenv("SPANCOST_PRICING_CONFIG", str(path))
        PriceBook.from_pricing_file()
    assert not caplog.records


# --- reading it again --------------------------------------------------------------------------


def test_a_file_is_read_again_on_demand(places):
    """Later calls have the new prices; a bad file raises and changes nothing; registered prices stay."""
    path = places(PLACES[2], 1)
    book = PriceBook.from_pricing_file()
    book.register("r", provider="mycorp", input=7)
    before = book.price(MILLION, provider="mycorp", model="m")
    places(PLACES[2], 2)
    assert price(book) == 1
    book.reload_pricing()
    assert price(book) == 2
    assert before.total == 1
    places(PLACES[2], text="{")
    with pytest.raises(PriceBookError):
        book.reload_pricing()
    assert price(book) == 2
    path.unlink()
    book.reload_pricing()
    assert price(book) == "unknown_model"
    assert book.price(MILLION, provider="mycorp", model="r").total == 7


def test_a_book_of_a_named_file_reads_that_again(places):
    """It does not search; another file can be named."""
    named, other = places("named.json", 1), places("other.json", 5)
    places(PLACES[2], 8)
    book = PriceBook.from_pricing_file(named)
    places("named.json", 2)
    book.reload_pricing()
    assert price(book) == 2
    book.reload_pricing(other)
    assert price(book) == 5
    book.reload_pricing()
    assert price(book) == 5


def test_a_named_set_stays_what_it_is(places):
    places(PLACES[2], 8)
    book = PriceBook.named("seed-2024-06")
    version = book.version
    book.reload_pricing()
    assert book.version == version


# --- the book of a process ---------------------------------------------------------------------


def run(code, cwd, **environment):
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("SPANCOST_", "SPARK_"))
    }
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**inherited, "PYTHONPATH": source} | environment,
    )


PRINT = """
from spancost import PriceBook, Usage
book = PriceBook.default()
print(book.price(Usage(input=10**6), provider="mycorp", model="m").total, book.source)
"""


def test_the_default_book_has_the_file(places, tmp_path):
    """By a variable, by the working folder and by the home; in a process of its own."""
    for number, place in enumerate(PLACES, start=1):
        places(place, number)
    home = {"HOME": str(tmp_path / "home")}
    named = {"SPANCOST_PRICING_CONFIG": str(tmp_path / PLACES[0])}
    spark = {"SPARK_PRICING_CONFIG": str(tmp_path / PLACES[1])}
    assert run(PRINT, tmp_path / "cwd", **home, **named, **spark).stdout.split()[0] == "1"
    assert run(PRINT, tmp_path / "cwd", **home, **spark).stdout.split()[0] == "2"
    assert run(PRINT, tmp_path / "cwd", **home).stdout.split() == [
        "3",
        "built-in",
        "+",
        str(tmp_path / PLACES[2]),
    ]
    assert run(PRINT, tmp_path, **home).stdout.split()[0] == "4"
    off = run(PRINT, tmp_path, **home, SPANCOST_PRICING_CONFIG="built-in")
    assert off.stdout.split() == ["None", "built-in"]


def test_a_processor_says_at_its_construction_what_is_wrong_with_a_file(places, tmp_path):
    """The program names it and stops, rather than meter at prices that are not the user's."""
    places(PLACES[2], text='{"openai": {"m": {"inptu": 1}}}')
    found = run(
        "import spancost; spancost.CostSpanProcessor()", tmp_path / "cwd", HOME=str(tmp_path / "home")
    )
    assert found.returncode == 1
    assert '$.openai.m.inptu: no such key; did you mean "input"?' in found.stderr
