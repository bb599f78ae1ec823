# SPDX-License-Identifier: Apache-2.0
"""The pricing file: what it can say, read to the last digit, and every mistake with its place."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from spancost import Cost, PriceBook, PriceBookError, Usage
from spancost.prices.entries import TIERS
from spancost.prices.overrides import MAX_ENTRIES
from spancost.prices.pricing_file import MAX_BYTES
from tests.live_kit import run_python

DOCS = Path(__file__).parents[2] / "docs" / "pricing-file.md"
CALL = Usage(input=1_000, output=100)
RATES = '{"input": 1, "output": 2}'


@pytest.fixture
def read(tmp_path):
    """Return the price book of a pricing file with this content."""

    def book(content, **settings):
        path = tmp_path / "prices.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return PriceBook.from_pricing_file(path, **settings)

    return book


@pytest.fixture
def wrong(read):
    """Return the lines of the message about a pricing file that cannot be used, without the first."""

    def lines(content, **settings):
        with pytest.raises(PriceBookError) as raised:
            read(content, **settings)
        head, *problems = str(raised.value).splitlines()
        assert "prices.json" in head
        return [line.strip() for line in problems] or [head]

    return lines


def usd(book, provider, model, usage=CALL, **more):
    cost = book.price(usage, provider=provider, model=model, **more)
    assert isinstance(cost, Cost), cost
    return cost.total


def day(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.timezone.utc)


# --- what it can say ---------------------------------------------------------------------------


def test_the_examples_of_the_documentation_give_the_prices_they_promise(read):
    """Both examples are read; every kind of statement in the long one prices a call."""
    short, full = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert usd(read(short), "openai", "gpt-4o") == Decimal("0.0065")
    book = read(full)
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    now = {"at": day("2026-11-21")}
    million = Usage(input=1_000_000, cache_read=1_000_000)
    assert usd(book, "openai", "gpt-4o", million) == Decimal("1.125")
    assert usd(book, "openai", "gpt-4o", service_tier="batch") == Decimal("0.001575")
    assert usd(book, "azure", "prod-chat", **now) == Decimal("0.0035") * Decimal("0.85")
    assert usd(book, "aws.bedrock", arn, **now) == Decimal("0.0045")
    assert usd(book, "mycorp", "rocket-1", at=day("2026-09-30")) == Decimal("0.00039")
    assert usd(book, "mycorp", "rocket-1", **now) == Decimal("0.000325")
    assert usd(book, "mycorp", "rocket-1", Usage(input=200_001), **now) == Decimal("0.1000005")
    assert usd(book, "vllm", "llama-3.3-70b") == Decimal("0.000132")
    assert usd(book, "openai", "not-a-model", assume_default=True) == Decimal("0.0065")


def test_the_code_of_the_documentation_runs():
    """In a process of its own, since it changes the process's book."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    done = run_python(
        code + "print(book.resolve(provider='mycorp', model='Rocket 2').card.id, book.source)",
        SPANCOST_PRICING_CONFIG="built-in",
    )
    assert done.stdout.split() == ["registered:mycorp/rocket-2", "built-in", "+", "registered"], done.stderr


def test_the_documentation_shows_a_message_as_it_is(read):
    """The example of a message is what the file gives."""
    shown = re.search(r"```text\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    with pytest.raises(PriceBookError) as raised:
        read(
            {
                "openai": {"gpt-4.1": {"inptu": 2, "output": -8}},
                "azure": {"aliases": {"prod-chat": "gpt-4oo"}},
            }
        )
    assert str(raised.value).rpartition("/")[2].strip() == shown.strip()


def test_numbers_are_read_as_they_are_written(read):
    """0.1 + 0.2 is 0.3, nine decimals stay nine, and text is the same as a number."""
    book = read(
        '{"mycorp": {"m": {"input": 0.1, "output": "0.2"}, "n": {"input": 0.123456789, "output": 1e1}}}'
    )
    one = Usage(input=1, output=1)
    assert usd(book, "mycorp", "m", one) == Decimal("0.0000003")
    assert usd(book, "mycorp", "n", one) == Decimal("0.000010123456789")


def test_a_zero_is_a_price_however_it_is_written(read):
    """What the user says is free costs nothing; and a huge exponent costs no memory."""
    book = read('{"mycorp": {"m": {"input": "0e-999999999", "output": 0.0}}}')
    assert usd(book, "mycorp", "m") == 0


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "prices.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"mycorp": {"m": {"input": 1, "output": 2}}}')
    assert usd(PriceBook.from_pricing_file(path), "mycorp", "m") == Decimal("0.0012")


def test_cached_tokens_without_a_rate_cost_what_input_costs(read):
    """The built-in discount for cached tokens is no part of the user's rates."""
    book = read({"openai": {"gpt-4o": {"input": 5, "output": 15}}})
    cached = Usage(input=1_000, cache_read=400, cache_write=300)
    assert usd(book, "openai", "gpt-4o", cached) == Decimal("0.005")


@pytest.mark.parametrize(
    ("rates", "usage"),
    [
        ({"input": 1}, Usage(input=10, output=1)),
        ({"input": 1, "output": 2}, Usage(input=10, input_audio=1)),
        ({"input": 1, "output": 2, "cache_write": 1}, Usage(input=10, cache_write=2, cache_write_1h=1)),
    ],
)
def test_a_used_part_without_a_rate_leaves_the_call_unpriced(read, rates, usage):
    """Nothing is made up, and the default does not fill the gap."""
    book = read({"mycorp": {"m": rates}, "default": {"input": 9, "output": 9}})
    found = book.price(usage, provider="mycorp", model="m", assume_default=True)
    assert found.reason == "missing_rate"
    assert "file:mycorp/m" in found.detail


def test_tiers_are_rates_or_multiples(read):
    """A multiple is of the model's own rates, also above a threshold; fees are not multiplied."""
    rates = {
        "input": "3.3",
        "output": 10,
        "request": 5_000,
        "above": {"1000": {"input": 6}},
        "tiers": {"batch": {"multiplier": 0.5}, "priority": {"input": 7, "output": 20}},
    }
    book = read({"mycorp": {"m": rates}})

    def at(size, tier):
        return usd(book, "mycorp", "m", Usage(input=size), service_tier=tier) - Decimal("0.005")

    assert at(1_000, "batch") == Decimal("0.00165")
    assert at(1_001, "batch") == Decimal("0.003003")
    assert at(1_001, None) == Decimal("0.006006")
    assert at(1_001, "priority") == Decimal("0.007007")
    other = book.price(CALL, provider="mycorp", model="m", service_tier="flex")
    assert other.flags == ("tier_assumed",)
    assert set(TIERS) >= {"batch", "priority"}


def test_rates_change_with_the_first_instant_of_their_date(read):
    """One nanosecond before, the old rates hold."""
    book = read(
        {
            "mycorp": {
                "m": [
                    {"input": 1},
                    {"from": "2026-03-01", "input": 2},
                    {"from": "2026-03-01T12:00Z", "input": 3},
                ]
            }
        }
    )
    noon = int(day("2026-03-01T12:00:00").timestamp()) * 10**9
    midnight = noon - 43_200 * 10**9
    million = Usage(input=1_000_000)
    got = [usd(book, "mycorp", "m", million, at=at) for at in (midnight - 1, midnight, noon - 1, noon)]
    assert got == [1, 2, 2, 3]
    assert usd(book, "mycorp", "m", million, at=0) == 1


def test_rate_cards_say_where_they_are_from(read):
    """The id begins with the kind of source, the explanation names file, digest and the user's own words."""
    book = read({"openai": {"gpt-4o": {"input": 5, "output": 15, "source": "contract 4711"}}})
    assert book.price(CALL, provider="openai", model="gpt-4o").rate_card == "file:openai/gpt-4o"
    text = "\n".join(book.resolve(provider="openai", model="gpt-4o").lines())
    assert "prices.json (sha256:" in text
    assert "contract 4711" in text


@pytest.mark.parametrize("name", ["azure", "Azure", "az.ai.openai", "azure_openai", "azure.ai.inference"])
def test_a_provider_may_be_written_in_any_spelling(read, name):
    book = read({name: {"mine": {"input": 1, "output": 2}}})
    assert usd(book, "azure.ai.openai", "mine") == Decimal("0.0012")


def test_a_name_that_nobody_knows_is_a_provider_of_the_users_own(read):
    """In any case and with any separators; to other providers its models are unknown."""
    book = read({"My Corp": {"rocket": {"input": 1, "output": 2}}})
    assert usd(book, "my-corp", "ROCKET") == Decimal("0.0012")
    assert book.price(CALL, provider="openai", model="rocket").reason == "unknown_model"
    assert book.price(CALL, provider="mycorp2", model="rocket").reason == "unknown_provider"


@pytest.mark.parametrize("server", ["ollama", "vllm", "self_hosted", "lm_studio", "llama.cpp"])
def test_a_local_server_is_priced_where_the_user_gives_a_rate(read, server):
    """All local servers are one provider; what has no rate stays self_hosted, whatever the default."""
    book = read({server: {"llama3": {"input": 1, "output": 2}}, "default": {"input": 9, "output": 9}})
    assert usd(book, "ollama", "llama3:latest") == Decimal("0.0012")
    assert usd(book, None, "vllm/llama3") == Decimal("0.0012")
    other = book.price(CALL, provider="ollama", model="other", assume_default=True)
    assert other.reason == "self_hosted"


# --- mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"openai": {"m": {"inptu": 1, "output": 2}}}, ['$.openai.m.inptu: no such key; did you mean "input"?']),
        ({"openai": {"m": {"input": 1, "cache": 2}}}, ["$.openai.m.cache: no such key"]),
        ({"openai": {"gpt-4.1": {"input": -1}}}, ['$.openai["gpt-4.1"].input: must not be negative']),
        ('{"openai": {"m": {"input": NaN}}}', ["$.openai.m.input: must be a number"]),
        ('{"openai": {"m": {"input": -Infinity}}}', ["$.openai.m.input: must be a number"]),
        ({"openai": {"m": {"input": True}}}, ["$.openai.m.input: must be a number such as 2.50, not true"]),
        ({"openai": {"m": {"input": None}}}, ["$.openai.m.input: must be a number such as 2.50, not null"]),
        ({"openai": {"m": {"input": "free"}}}, ['must be a number such as 2.50, not "free"']),
        ({"openai": {"m": {"input": "1_000"}}}, ["must be a number"]),
        ({"openai": {"m": {"input": [1]}}}, ["must be a number such as 2.50, not a list"]),
        ({"openai": {"m": {"input": "0.0000025"}}}, ["looks like USD per token"]),
        ({"openai": {"m": {"input": 2e6}}}, ["is above 1,000,000"]),
        ({"openai": {"m": {"input": "1e999999999"}}}, ["is above 1,000,000"]),
        ({"openai": {"m": {"input": "1" + "0" * 60 + "1e-60"}}}, ["more digits than any price"]),
        ({"openai": {"m": {"input": "1.0000000001"}}}, ["finer than 1e-15 USD per token"]),
        ({"perplexity": {"m": {"input": 1, "request": 0.005}}}, ["the fee of one, or of 1,000"]),
        ({"openai": {"m": {}}}, ["$.openai.m: has no rate"]),
        ({"openai": {"m": 5}}, ["$.openai.m: must be an object of rates or a list of them, not 5"]),
        ({"openai": {"m": []}}, ["$.openai.m: is an empty list"]),
        ({"openai": {"m": [1]}}, ["$.openai.m[0]: must be an object of rates, not 1"]),
        ({"openai": {"m": {"input": 1, "from": "2026-01-01"}}}, ["$.openai.m.from: one object holds at any time"]),
        ({"openai": {"m": [{"input": 1}, {"input": 2}]}}, ["$.openai.m[1]: says not when it begins"]),
        ({"openai": {"m": [{"input": 1, "from": "2026-01-01"}]}}, ["$.openai.m[0].from: the first has no date"]),
        (
            {"openai": {"m": [{"input": 1}, {"input": 2, "from": "2026-02-01"}, {"input": 3, "from": "2026-01-01"}]}},
            ["$.openai.m[2].from: must be later than the one before"],
        ),
        ({"openai": {"m": [{"input": 1}, {"input": 2, "from": "soon"}]}}, ["must be a day or a UTC time"]),
        ({"openai": {"m": {"input": 1, "tiers": {"batsh": {"input": 1}}}}}, ['tiers.batsh: no such key; did you mean "batch"?']),
        ({"openai": {"m": {"input": 1, "tiers": {"batch": 0.5}}}}, ['or {"multiplier": 0.5}, not 0.5']),
        ({"openai": {"m": {"input": 1, "output": 2, "tiers": {"batch": {"input": 1}}}}}, ["tiers.batch: does not name output"]),
        ({"openai": {"m": {"input": 1, "tiers": {"batch": {"multiplier": 50}}}}}, ["15% off the list price is 0.85"]),
        ({"openai": {"m": {"input": "0.000000001e3", "tiers": {}}}}, ["looks like USD per token"]),
        ({"openai": {"m": {"input": 1, "tiers": []}}}, ["$.openai.m.tiers: must be an object, not a list"]),
        ({"openai": {"m": {"input": 1, "above": {"200k": {"input": 2}}}}}, ['above["200k"]: must be a number of input tokens']),
        ({"openai": {"m": {"input": 1, "above": {"0": {"input": 2}}}}}, ["must be a number of input tokens"]),
        ({"openai": {"m": {"input": 1, "above": 3}}}, ["$.openai.m.above: must be an object"]),
        ({"openai": {"m": {"input": 1, "above": {}}}}, ["$.openai.m.above: is empty"]),
        ({"openai": {"gpt-*": {"input": 1}}}, ['$.openai["gpt-*"]: there are no wildcards']),
        ({"openai": {"": {"input": 1}}}, ['$.openai[""]: a model id has 1 to 512']),
        ({"openai": {"m" * 600: {"input": 1}}}, ["a model id has 1 to 512"]),
        ({"openai": {"gpt-4o": {"input": 1}, "GPT-4o": {"input": 2}}}, ["is the same provider and name as"]),
        ({"azure": {"m": {"input": 1}}, "azure_openai": {"m": {"input": 2}}}, ["is the same provider and name as azure > m"]),
        ({"ollama": {"m": {"input": 1}}, "vllm": {"m": {"input": 2}}}, ["is the same provider and name as ollama > m"]),
        ({"opanai": {"m": {"input": 1}}}, ['$.opanai: no provider that we know; did you mean "openai"?']),
        ({"defaults": {"input": 1}}, ['did you mean "default"?', "$.defaults.input: must be an object of rates"]),
        ({"openai": [1]}, ["$.openai: must be an object of models"]),
        ({"openai": {"mulitplier": 0.9}}, ['no such key; did you mean "multiplier"?']),
        ({"openai": {"multiplier": 0}}, ["$.openai.multiplier: must be from 0.01 to 10"]),
        ({"openai": {"multiplier": "1e-999999999"}}, ["must be from 0.01 to 10"]),
        ({"openai": {"multiplier": "85%"}}, ["$.openai.multiplier: must be a number"]),
        ({"azure": {"multiplier": 1}, "azure_ai": {"multiplier": 2}}, ["the same provider has one already"]),
        ({"openai": {"aliases": ["a"]}}, ["$.openai.aliases: must be an object"]),
        ({"openai": {"aliases": {"a": 1}}}, ["$.openai.aliases.a: must be a model id"]),
        ({"openai": {"aliases": {"a": {"model": "gpt-4o"}}}}, ["$.openai.aliases.a: must be a model id"]),
        ({"openai": {"aliases": {"a": ""}}}, ["must be a text"]),
        ({"openai": {"aliases": {"a": "gpt-4oo"}}}, ['$.openai.aliases.a: "gpt-4oo" has no rates; did you mean "gpt-4o"?']),
        ({"openai": {"aliases": {"a": "b", "b": "gpt-4o"}}}, ['$.openai.aliases.a: stands for "b", which stands for another']),
        ({"openai": {"m": {"input": 1}, "aliases": {"m": "gpt-4o"}}}, ["is the same provider and name as"]),
        ({"aliases": {"a": "no-such-model-anywhere"}}, ['$.aliases.a: "no-such-model-anywhere" has no rates']),
        ({"openai": {"own": 1}}, ["$.openai.own: must be true or false, not 1"]),
        ({"default": {"inptu": 1}}, ['$.default.inptu: no such key; did you mean "input"?', "$.default: has no rate"]),
        ({"openai": {"m": {"input": 1, "source": ""}}}, ["$.openai.m.source: must be a text"]),
        ([], ["$: must be an object by provider, not a list"]),
        ("{", ["not JSON"]),
        ('{"openai": {"m": {"input": 01}}}', ["not JSON"]),
        ("[" * 100_000, ["nested deeper"]),
        ('{"openai": {"m": {"input": 1}}, "openai": {"n": {"input": 1}}}', ["$.openai: is there twice"]),
        ('{"openai": {"m": {"input": 1}, "m": {"input": 2}}}', ["$.openai.m: is there twice"]),
        ('{"openai": {"m": {"input": 1, "input": 2}}}', ["$.openai.m.input: is there twice"]),
        ('{"openai": {"aliases": {"a": "gpt-4o", "a": "o3"}}}', ["$.openai.aliases.a: is there twice"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(wrong, content, said):
    """Each line of the message is about one mistake, and there is no other."""
    problems = wrong(content)
    assert len(problems) == len(said), problems
    for problem, part in zip(problems, said, strict=True):
        assert part in problem


def test_own_says_that_a_name_is_no_slip(read):
    book = read({"opanai": {"own": True, "m": {"input": 1, "output": 2}}})
    assert usd(book, "opanai", "m") == Decimal("0.0012")


def test_all_mistakes_are_in_one_message(wrong):
    """Also those in what stands there twice, and a name that stands for nothing."""
    problems = wrong(
        '{"openai": {"a": {"input": -1}, "a": {"inptu": 1}, "aliases": {"x": "gpt-4oo"}},'
        ' "opanai": {}, "default": {"output": "x"}, "azure": {"multiplier": -3}}'
    )
    places = [problem.split(":")[0] for problem in problems]
    assert places == [
        "$.openai.a",
        "$.openai.a.input",
        "$.openai.a.inptu",
        "$.openai.a",
        "$.opanai",
        "$.default.output",
        "$.azure.multiplier",
        "$.openai.aliases.x",
    ]


def test_a_multiplier_without_a_list_below_is_a_mistake(wrong):
    assert "there are none below this file" in wrong({"multiplier": 0.9}, only=True)[0]


def test_a_name_for_a_model_outside_the_file_is_a_mistake_where_the_file_is_alone(wrong):
    assert "has no rates" in wrong({"azure": {"aliases": {"a": "gpt-4o"}}}, only=True)[0]


def test_a_file_that_is_too_large_or_not_there_is_an_error(tmp_path, wrong):
    with pytest.raises(PriceBookError, match=r"gone\.json: the pricing file cannot be read: No such file"):
        PriceBook.from_pricing_file(tmp_path / "gone.json")
    with pytest.raises(PriceBookError, match="Is a directory"):
        PriceBook.from_pricing_file(tmp_path)
    assert "larger than" in wrong('{"comment": "' + "x" * MAX_BYTES + '"}')[0]
    many = {"mycorp": {f"m{number}": {"input": 1} for number in range(MAX_ENTRIES + 1)}}
    assert f"at most {MAX_ENTRIES:,}" in wrong(many)[0]


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    path = tmp_path / "prices.json"
    path.write_bytes(b'{"\xff": {}}')
    with pytest.raises(PriceBookError, match=r"prices\.json: not JSON"):
        PriceBook.from_pricing_file(path)


def test_a_message_lists_so_many_mistakes_and_counts_the_rest(wrong):
    problems = wrong({"mycorp": {f"m{number}": {"input": -1} for number in range(150)}})
    assert problems[-1] == "and 50 more"
