# SPDX-License-Identifier: Apache-2.0
"""Spans of a real SDK, priced by a user's file: on the span, in the metrics, and why a call has no price."""

from __future__ import annotations

import hashlib
import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spancost import CostSpanProcessor, PriceBook
from spancost.meter import names
from tests.live_kit import AMOUNT, Live, femto, run_python

SAID = {
    "openai": {"gpt-4o": {"input": 5, "output": 15}},
    "azure": {"aliases": {"prod-chat": "gpt-4o"}},
    "ollama": {"llama3": {"input": "0.1", "output": "0.2"}},
    "default": {"input": 7, "output": 8},
}
SPENT = 100 * 5 * 10**9 + 10 * 15 * 10**9
"""100 tokens into gpt-4o and 10 out of it, at the file's rates."""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(SAID), encoding="utf-8")
    return file


@pytest.fixture
def book(path):
    return PriceBook.from_pricing_file(path)


def call(live, model, provider="openai", **more):
    """Make one call of 100 tokens in and 10 out; return what an exporter behind the processor gets."""
    live.chat(name=model, gen_ai__request__model=model, gen_ai__provider__name=provider, **more)
    live.provider.force_flush()
    return live.after.named(model)


def test_a_call_has_the_files_price_on_span_and_metric(book):
    """The same amount at both doors, exactly."""
    live = Live(price_book=book)
    attributes = call(live, "gpt-4o")
    assert femto(attributes[AMOUNT]) == SPENT
    assert live.metered == SPENT


def test_a_deployment_and_a_local_server_have_the_price_the_file_gives_them(book):
    live = Live(price_book=book)
    assert femto(call(live, "prod-chat", "azure.ai.openai")[AMOUNT]) == 350 * 10**9
    assert femto(call(live, "llama3", "ollama")[AMOUNT]) == 12 * 10**9


def test_a_default_is_not_for_spans_unless_asked_for(book):
    """Without being asked, the call is unpriced with its reason; with it, priced and flagged."""
    assert call(Live(price_book=book), "no-such-model")["spancost.unpriced"] == "unknown_model"
    live = Live(price_book=book, assume_default=True)
    attributes = call(live, "no-such-model")
    assert femto(attributes[AMOUNT]) == 780 * 10**9
    assert attributes["spancost.flags"] == ("assumed",)
    assert live.metered == 780 * 10**9
    assert call(live, "another", "vllm")["spancost.unpriced"] == "self_hosted"


def test_the_environment_may_ask_for_the_default(book, monkeypatch):
    monkeypatch.setenv("SPANCOST_ASSUME_DEFAULT", "true")
    assert call(Live(price_book=book), "no-such-model")["spancost.flags"] == ("assumed",)
    live = Live(price_book=book, assume_default=False)
    assert call(live, "no-such-model")["spancost.unpriced"] == "unknown_model"


def test_a_price_that_is_registered_while_spans_run_holds_from_then_on(book):
    """The amount of the first call stays what it was."""
    live = Live(price_book=book)
    first = call(live, "gpt-4o")[AMOUNT]
    book.register("gpt-4o", provider="openai", input=50, output=0)
    live.chat(name="second")
    live.provider.force_flush()
    assert femto(first) == SPENT
    assert femto(live.after.named("second")[AMOUNT]) == 5_000 * 10**9
    assert live.metered == SPENT + 5_000 * 10**9


def test_the_metrics_say_which_file_prices(book, path):
    """Path, and the digest that ``sha256sum`` gives; also once something was registered."""
    live = Live(price_book=book)
    call(live, "gpt-4o")
    registry = CollectorRegistry()
    registry.register(live.meter)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    text = generate_latest(registry).decode()
    (line,) = [line for line in text.splitlines() if line.startswith("spancost_price_book_info")]
    assert f'source="built-in + {path}"' in line
    assert f"file.{digest}" in line
    (rate,) = [
        line
        for line in text.splitlines()
        if line.startswith(names.RATE.name) and 'token_type="output"' in line
    ]
    assert rate.endswith(" 15.0")
    book.register("m", input=1)
    assert f'source="built-in + {path} + registered"' in generate_latest(registry).decode()


def test_two_processors_of_a_process_have_one_book(path):
    """Another file, or another word about the default, is an error that names both."""
    code = f"""
        from spancost import CostSpanProcessor, PriceBook
        book = PriceBook.from_pricing_file({str(path)!r})
        CostSpanProcessor(price_book=book)
        CostSpanProcessor(price_book=PriceBook.from_pricing_file({str(path)!r}))
        for other in ({{"price_book": PriceBook.built_in()}}, {{"price_book": book, "assume_default": True}}):
            try:
                CostSpanProcessor(**other)
            except ValueError as error:
                print("other settings" in str(error))
    """
    assert run_python(code).stdout.split() == ["True", "True"]


def test_a_switched_off_processor_reads_no_file(monkeypatch):
    monkeypatch.setenv("SPANCOST_DISABLED", "true")
    monkeypatch.setenv("SPANCOST_PRICING_CONFIG", "gone.json")
    CostSpanProcessor(private=True)
