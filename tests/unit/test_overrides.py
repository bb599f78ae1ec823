# SPDX-License-Identifier: Apache-2.0
"""What a user says over the price table, in a file and in code: who wins, and what follows."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import fields, is_dataclass
from decimal import Decimal
from fractions import Fraction

import pytest

from spancost import Cost, PriceBook, PriceBookError, Usage
from spancost.prices import overlay, table
from spancost.prices.overrides import MAX_ENTRIES, Multiplier, Origin
from tests.live_kit import run_python

CALL = Usage(input=1_000_000)
AT = 1_795_219_200 * 10**9  # 2026-11-21, a day with prices


@pytest.fixture
def over(tmp_path):
    """Return the price book of a pricing file that says this, over the built-in prices."""

    def book(said, **settings):
        path = tmp_path / "prices.json"
        path.write_text(json.dumps(said), encoding="utf-8")
        return PriceBook.from_pricing_file(path, **settings)

    return book


def rate(book, provider, model, **more):
    """Return what a million input tokens cost, or why they have no price."""
    found = book.price(CALL, provider=provider, model=model, at=AT, **more)
    return found.total if isinstance(found, Cost) else found.reason


def only_input(number):
    return {"input": number}


# --- who wins ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", 7),
        ("GPT-4o", 7),
        ("openai/gpt-4o", 7),
        ("gpt-4o-2024-08-06", 7),
        ("gpt-4o-20240806", 7),
        ("gpt-4o-latest", 7),
        ("gpt-4o-2024-05-13", 8),
        ("gpt-4o-mini", Decimal("0.15")),
        ("gpt-4o-audio-preview", Decimal("2.5")),
        ("ft:gpt-4o:acme::abc", Decimal("3.75")),
        ("ft:gpt-4o:mine::abc", 9),
        ("gpt-4o-maxi", "unknown_model"),
    ],
)
def test_an_exact_id_then_a_spelling_then_the_table(over, model, expected):
    """A user's id stands for its dated versions, for nothing that merely begins like it."""
    said = {"gpt-4o": 7, "gpt-4o-2024-05-13": 8, "ft:gpt-4o:mine::abc": 9}
    book = over({"openai": {name: only_input(number) for name, number in said.items()}})
    assert rate(book, "openai", model) == expected


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-4o", "openai:gpt-4o-2024-08-06"),
    ],
)
def test_the_providers_own_prefix_may_stand_on_either_side(over, written, asked):
    assert rate(over({"openai": {written: only_input(7)}}), "openai", asked) == 7


def test_id_rules_are_those_of_the_provider(over):
    """A geography's profile of Bedrock and a resource name of Vertex find the user's plain id."""
    book = over(
        {
            "bedrock": {"anthropic.claude-sonnet-4-20250514-v1:0": only_input(7)},
            "vertex_ai": {"gemini-2.5-pro": only_input(8)},
            "openrouter": {"acme/rocket": only_input(9)},
        }
    )
    assert rate(book, "aws.bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0") == 7
    assert rate(book, None, "us.anthropic.claude-sonnet-4-20250514-v1:0") == 7
    vertex = "projects/p/locations/europe-west1/publishers/google/models/gemini-2.5-pro"
    assert rate(book, "gcp.vertex_ai", vertex) == 8
    assert rate(book, None, vertex) == 8
    assert rate(book, "openrouter", "rocket") == 9


def test_rates_hold_for_the_provider_they_are_given_for(over):
    """Azure sells at OpenAI's list price, not at what the user pays OpenAI."""
    book = over({"openai": {"gpt-4o": only_input(7)}})
    assert rate(book, "azure", "gpt-4o") == Decimal("2.5")


def test_rates_for_any_provider_come_after_those_for_one(over):
    """A block ``*`` holds whoever sold the call, also a provider that nobody knows."""
    book = over(
        {"*": {"rocket": only_input(1), "gpt-4o": only_input(2)}, "openai": {"gpt-4o": only_input(3)}}
    )
    assert rate(book, "openai", "gpt-4o") == 3
    assert rate(book, "azure", "gpt-4o") == 2
    assert rate(book, "who-is-this", "rocket-2026-01-01") == 1
    assert rate(book, None, "gpt-4o") == 2


def test_a_call_without_provider_is_looked_up_in_every_block(over):
    """Equal rates are an answer, different ones are not; an id that names its provider decides."""
    book = over(
        {
            "mycorp": {"same": only_input(1), "other": only_input(2), "alone": only_input(4)},
            "groq": {"same": only_input("1.00"), "other": only_input(3)},
        }
    )
    assert rate(book, None, "same") == 1
    assert rate(book, "langchain", "alone-2026-01-01") == 4
    assert rate(book, None, "other") == "ambiguous_model"
    assert rate(book, None, "groq/other") == 3
    why = book.resolve(provider=None, model="other").unpriced.detail
    assert "mycorp" in why
    assert "groq" in why
    assert rate(book, None, "gpt-4.1") == 2


def test_a_book_of_the_file_alone_knows_nothing_else(over):
    """What the file does not name is unpriced, under the file's own version, day and source."""
    book = over({"openai": {"gpt-4o": only_input(7)}}, only=True)
    assert rate(book, "openai", "gpt-4o-2024-08-06") == 7
    assert rate(book, "openai", "gpt-4.1") == "unknown_model"
    assert rate(book, None, "gpt-4.1") == "unknown_model"
    assert book.version.startswith("file.")
    assert book.source.endswith("prices.json")
    assert "built-in" not in book.source
    assert len(book.date) == len("2026-11-21")


def test_a_pricing_file_shows_in_version_digest_and_source(over):
    """Each is the table's own where nothing lies over it; another file is another digest."""
    plain, one, two = (
        PriceBook.built_in(),
        over({"openai": {"a": only_input(1)}}),
        over({"openai": {"a": only_input(2)}}),
    )
    assert plain.source == "built-in"
    assert one.source.startswith("built-in + /")
    assert one.version.startswith(f"{plain.version}+file.")
    assert len({plain.digest, one.digest, two.digest}) == 3
    assert one.date == plain.date
    cost = one.price(CALL, provider="openai", model="a")
    assert cost.price_book == one.version


# --- other names -------------------------------------------------------------------------------


def test_other_names_stand_for_listed_models_and_for_the_users_own(over):
    """By the call's provider, or by another that is named; the explanation tells of the name."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    book = over(
        {
            "azure": {"aliases": {"prod": "gpt-4o", "cheap": {"provider": "mycorp", "model": "rocket"}}},
            "aws": {"aliases": {arn: "anthropic.claude-3-haiku-20240307-v1:0"}},
            "mycorp": {"rocket": only_input(5)},
            "aliases": {"The Rocket": {"provider": "mycorp", "model": "rocket"}, "house model": "gpt-4.1"},
        }
    )
    assert rate(book, "azure", "prod") == Decimal("2.5")
    assert rate(book, "azure", "azure/PROD") == Decimal("2.5")
    assert rate(book, "azure", "cheap") == 5
    assert rate(book, "aws.bedrock", arn) == Decimal("0.25")
    assert rate(book, None, arn) == Decimal("0.25")
    assert rate(book, None, "prod") == Decimal("2.5")
    assert rate(book, "openai", "the rocket") == 5
    assert rate(book, "openai", "House Model") == 2
    assert rate(book, "openai", "prod") == "unknown_model"
    text = "\n".join(book.resolve(provider="azure", model="prod", at=AT).lines())
    assert "another name of gpt-4o by the pricing file" in text


def test_a_deployment_that_the_file_names_is_no_longer_opaque(over):
    assert rate(PriceBook.built_in(), "azure", "prod") == "opaque_deployment"
    assert rate(over({"azure": {"aliases": {"prod": "gpt-4o"}}}), "azure", "prod") == Decimal("2.5")


# --- negotiated prices -------------------------------------------------------------------------


def test_a_multiplier_is_of_the_list_price(over):
    """The provider's own beats the file's; what the user gave as a rate stays as it is."""
    book = over(
        {
            "multiplier": "0.9",
            "openai": {"multiplier": 0.85, "gpt-4o": only_input(7)},
        }
    )
    assert rate(book, "openai", "gpt-4.1") == Decimal("1.70")
    assert rate(book, "anthropic", "claude-3-haiku") == Decimal("0.225")
    assert rate(book, "openai", "gpt-4o") == 7
    assert rate(book, "azure", "gpt-4.1") == Decimal("1.80")
    cost = book.price(CALL, provider="openai", model="gpt-4.1")
    assert cost.rate_card == "openai/gpt-4.1*0.85"
    text = "\n".join(book.resolve(provider="openai", model="gpt-4.1").lines())
    assert "list price x 0.85 by the pricing file" in text


def rates_in(value):
    """Return every rate in a card, however deep, in order."""
    if is_dataclass(value):
        return [rate for field in fields(value) for rate in rates_in(getattr(value, field.name))]
    if isinstance(value, dict):
        return [rate for each in value.values() for rate in rates_in(each)]
    if isinstance(value, tuple) and value and all(isinstance(each, int | None) for each in value):
        return list(value)
    if isinstance(value, tuple):
        return [rate for each in value for rate in rates_in(each)]
    return []


def test_every_rate_of_every_card_is_multiplied():
    """Tiers, steps, windows and regions included; rounded half to even where it has to be."""
    multiplier = Multiplier(Decimal("0.777777"), Origin("file", "pricing file"))
    by = Fraction(multiplier.by)
    for row in table.load().rows():
        for card in row.cards():
            found = overlay.discounted(card, multiplier)
            before, after = rates_in(card), rates_in(found)
            assert [None if old is None else round(old * by) for old in before] == after
            assert found.id.endswith("*0.777777")


# --- in code -----------------------------------------------------------------------------------


def test_what_is_registered_lies_over_the_file(over):
    """For one provider, or for any; also where the file names the same model otherwise."""
    book = over({"openai": {"gpt-4o": only_input(7), "aliases": {"house": "gpt-4.1"}}})
    assert rate(book, "openai", "gpt-4o") == 7
    book.register("gpt-4o", provider="OpenAI", input=8)
    assert rate(book, "openai", "gpt-4o") == 8
    book.register("gpt-4o", input=9)
    assert rate(book, "openai", "gpt-4o") == 9
    assert rate(book, "azure", "gpt-4o") == 9
    book.register("gpt-4o", provider="azure", input=10)
    assert rate(book, "azure", "gpt-4o") == 10
    assert rate(book, "openai", "gpt-4o") == 9
    book.register("house", input=11)
    assert rate(book, "openai", "house") == 11
    book.alias("house", "o3", provider="openai")
    assert rate(book, "openai", "house") == 2
    assert book.source.endswith("prices.json + registered")
    assert book.version.endswith("+registered")
    assert book.price(CALL, provider="azure", model="gpt-4o").rate_card == "registered:azure/gpt-4o"


def test_numbers_in_code_may_be_anything_exact_and_floats_mean_what_they_show():
    book = PriceBook.built_in()
    book.register("m", provider="mycorp", input=0.1, output="0.2", cache_read=Decimal("0.05"), cache_write=1)
    usage = Usage(input=30, output=10, cache_read=10, cache_write=10)
    cost = book.price(usage, provider="mycorp", model="m")
    assert cost.total == Decimal("0.0000135")


def test_a_registered_model_may_have_all_that_a_file_gives():
    """Other names, tiers and long contexts."""
    book = PriceBook.built_in()
    book.register(
        "rocket",
        provider="mycorp",
        input=2,
        output=4,
        aliases=["The Rocket"],
        tiers={"batch": {"multiplier": "0.5"}},
        above={"1000": {"input": 3}},
    )
    assert rate(book, "mycorp", "the rocket") == 3
    assert rate(book, "mycorp", "rocket", service_tier="batch") == Decimal("1.5")


def test_a_change_holds_for_later_calls_only():
    """A cost that was given stays; what was found before is forgotten."""
    book = PriceBook.built_in()
    before = book.price(CALL, provider="openai", model="gpt-4.1")
    missing = book.price(CALL, provider="openai", model="mine")
    book.register("gpt-4.1", provider="openai", input=9)
    book.register("mine", provider="openai", input=3)
    assert (before.total, missing.reason) == (2, "unknown_model")
    assert rate(book, "openai", "gpt-4.1") == 9
    assert rate(book, "openai", "mine") == 3
    assert rate(PriceBook.built_in(), "openai", "gpt-4.1") == 2


def test_negotiated_prices_and_a_default_in_code():
    book = PriceBook.built_in()
    book.multiply("0.5")
    book.multiply(0.25, provider="openai")
    assert rate(book, "openai", "gpt-4.1") == Decimal("0.5")
    assert rate(book, "anthropic", "claude-3-haiku") == Decimal("0.125")
    book.set_default(input=5, output=15)
    assert rate(book, "openai", "no-such-model", assume_default=True) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda book: book.register("m", input=-1, outptu=2), "2 problems"),
        (lambda book: book.register("", input=1), "model: must be a text"),
        (lambda book: book.register("m*", input=1), "without [*]"),
        (lambda book: book.register("m"), "has no rate"),
        (lambda book: book.register("m", input=float("nan")), "must be a number"),
        (lambda book: book.register("m", input=True), "must be a number"),
        (lambda book: book.register("m", provider=" ", input=1), "provider: is no name"),
        (lambda book: book.register("m", input=1, aliases=["", "x"]), "aliases: must be a text"),
        (lambda book: book.alias("a", "gpt-4oo", provider="openai"), 'did you mean "gpt-4o"'),
        (lambda book: book.alias("", "gpt-4o"), "name: must be a text"),
        (lambda book: book.multiply(0), "must be from 0.01 to 10"),
        (lambda book: book.multiply("x", provider="openai"), "must be a number"),
        (lambda book: book.set_default(input="x"), "default.input: must be a number"),
        (lambda book: book.set_default(), "has no rate"),
    ],
)
def test_a_mistake_in_code_changes_nothing(change, message):
    book = PriceBook.built_in()
    before = book.version, book.digest
    with pytest.raises(PriceBookError, match=message):
        change(book)
    assert (book.version, book.digest) == before


def test_all_mistakes_of_a_registration_are_in_one_message():
    with pytest.raises(ValueError, match="4 problems"):
        PriceBook.built_in().register("", provider="", input=-1, outptu=2)


def test_how_much_a_program_may_register_is_bounded(over):
    book = over({})
    names = [f"name-{number}" for number in range(MAX_ENTRIES)]
    with pytest.raises(PriceBookError, match="at most 10,000"):
        book.register("m", input=1, aliases=names)
    book.register("m", input=1, aliases=names[:-1])
    assert rate(book, None, names[0]) == 1
    with pytest.raises(PriceBookError, match="at most 10,000"):
        book.register("n", input=1)


def test_a_call_sees_the_book_before_or_after_a_change():
    """Threads that price while another registers get one of the rates, with the version that has it."""
    book = PriceBook.built_in()
    book.register("m", provider="mycorp", input=1, output=1)
    seen, stop = set(), threading.Event()

    def price():
        while not stop.is_set():
            cost = book.price(Usage(input=10**6, output=10**6), provider="mycorp", model="m")
            seen.add((cost.femto_parts["input"], cost.femto_parts["output"]))

    threads = [threading.Thread(target=price) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 200):
        book.register("m", provider="mycorp", input=number, output=number)
    stop.set()
    for thread in threads:
        thread.join()
    assert all(one == other for one, other in seen)
    assert rate(book, "mycorp", "m") == 199


def test_changes_of_several_threads_are_all_kept():
    book = PriceBook.built_in()

    def register(first):
        for number in range(first, first + 50):
            book.register(f"m{number}", provider="mycorp", input=number + 1)

    threads = [threading.Thread(target=register, args=(first,)) for first in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [rate(book, "mycorp", f"m{number}") for number in range(150)] == list(range(1, 151))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_a_forked_child_waits_for_no_lock_of_a_thread_that_it_does_not_have():
    """The parent forks while another thread reads a pricing file, and another one notes what it found."""
    done = run_python(
        """
        import os, threading
        from spancost import PriceBook, Usage
        book = PriceBook.built_in()
        held = threading.Event()
        def hold():
            book._lock.acquire()
            book._changing.acquire()
            held.set()
        threading.Thread(target=hold).start()
        held.wait()
        child = os.fork()
        if not child:
            book.register("m", provider="mycorp", input=1)
            print(book.price(Usage(input=10**6), provider="mycorp", model="m").total, flush=True)
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        """
    )
    assert done.stdout.split() == ["1", "0"], done.stderr


# --- the default -------------------------------------------------------------------------------

DEFAULT = {"default": {"input": 5, "output": 15}}


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "no-such-model", "unknown_model"),
        ("who-is-this", "m", "unknown_provider"),
        (None, "llama-3.3-70b-instruct", "ambiguous_model"),
        ("azure", "prod-chat", "opaque_deployment"),
        (None, None, "unknown_model"),
    ],
)
def test_the_default_stands_in_where_asked_to(over, provider, model, reason):
    """Flagged, with a rate card of its own, and only for callers that ask."""
    book = over(DEFAULT)
    assert rate(book, provider, model) == reason
    cost = book.price(CALL, provider=provider, model=model, assume_default=True)
    assert (cost.total, cost.flags, cost.rate_card) == (5, ("assumed",), "file:default")
    why = "\n".join(book.resolve(provider=provider, model=model, assume_default=True).lines())
    assert f"the default rate, for {reason}" in why


def test_the_default_never_stands_in_for_what_was_used(over):
    """No usage, a part without a rate and a local server stay unpriced; a known model keeps its price."""
    book = over(DEFAULT)
    assert book.price(None, provider="openai", model="x", assume_default=True).reason == "no_usage"
    audio = Usage(input=10, input_audio=10)
    assert book.price(audio, provider="openai", model="x", assume_default=True).reason == "missing_rate"
    assert rate(book, "ollama", "llama3", assume_default=True) == "self_hosted"
    assert rate(book, "openai", "gpt-4.1", assume_default=True) == 2
    assert rate(PriceBook.built_in(), "openai", "x", assume_default=True) == "unknown_model"


def test_a_default_with_an_unknown_tier_says_both(over):
    cost = over(DEFAULT).price(CALL, provider="openai", model="x", service_tier="flex", assume_default=True)
    assert cost.flags == ("tier_assumed", "assumed")


def test_a_default_rate_in_code_beats_the_files(over):
    book = over(DEFAULT, default_rate={"input": 6})
    assert rate(book, "openai", "x", assume_default=True) == 6
    with pytest.raises(PriceBookError, match=r"default\.inptu"):
        over(DEFAULT, default_rate={"inptu": 6})


# --- named sets --------------------------------------------------------------------------------

SEED_2026 = {
    "GPT-5.1": (2, 8), "GPT-4.1": (2, 8), "GPT-4.1 mini": ("0.4", "1.6"), "GPT-4.1 nano": ("0.1", "0.4"),
    "Claude Opus 4": (15, 75), "Claude Sonnet 4": (3, 15), "Claude Haiku 3.5": ("0.8", 4),
    "Gemini 2.5 Pro": ("1.25", 10), "Gemini 2.5 Flash": ("0.15", "0.6"), "Gemini 2.0 Flash": ("0.1", "0.4"),
    "DeepSeek-V3": ("0.27", "1.1"), "DeepSeek-R1": ("0.55", "2.19"),
    "Llama 4 Scout": ("0.17", "0.4"), "Llama 4 Maverick": ("0.27", "0.85"),
}  # fmt: skip
SEED_2024 = {
    "gpt-4o": (5, 15), "gpt-4o-mini": ("0.15", "0.6"), "gpt-4-turbo": (10, 30),
    "claude-3-opus": (15, 75), "claude-3-sonnet": (3, 15), "claude-3-haiku": ("0.25", "1.25"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "models"), [("seed-2026-01", SEED_2026), ("seed-2024-06", SEED_2024)])
@pytest.mark.parametrize("only", [True, False])
def test_a_named_set_has_the_ancestors_rates(name, models, only):
    """By the names they had, without a provider; and only as many models as they had."""
    book = PriceBook.named(name, only=only)
    for model, (rate_in, rate_out) in models.items():
        cost = book.price(Usage(input=10**6, output=10**6), provider=None, model=model, at=AT)
        assert cost.total == Decimal(rate_in) + Decimal(rate_out), model
        assert cost.rate_card.startswith(f"{name}:")
    assert len(book._layers.said.rates) == len(models)
    assert rate(book, "openai", "o3") == ("unknown_model" if only else 2)
    assert name in book.version


def test_ids_of_calls_find_a_named_sets_rates():
    book = PriceBook.named("seed-2026-01")
    assert rate(book, "anthropic", "claude-sonnet-4-20250514") == 3
    assert rate(book, "openai", "gpt-5.1-2025-11-13") == 2
    assert rate(book, "deepseek", "deepseek-chat") == Decimal("0.27")
    assert rate(book, "anthropic", "claude-3-5-haiku-20241022") == Decimal("0.8")


def test_a_set_that_is_not_there_is_an_error_that_lists_them():
    assert PriceBook.named_sets() == ("seed-2026-01", "seed-2024-06")
    with pytest.raises(PriceBookError, match='did you mean "seed-2026-01"') as raised:
        PriceBook.named("seed-2026")
    assert all(name in str(raised.value) for name in PriceBook.named_sets())
