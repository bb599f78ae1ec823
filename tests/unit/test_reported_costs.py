# SPDX-License-Identifier: Apache-2.0
"""Costs on spans: which of them a provider reported, and which are somebody's estimate."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from spancost import CostSpanProcessor
from spancost.calls.facts import read_span
from spancost.meter import names
from spancost.usage.amounts import amount
from tests.live_kit import AMOUNT, PRICE, Live, total

CALL = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 5}


def reported(scope: str, attributes: dict[str, Any]) -> Decimal | None:
    """Return the cost that a whole span's provider reported."""
    return read_span("chat m", CALL | attributes, scope, "", failed=False).reported_usd


def raw(**more: Any) -> dict[str, str]:
    """Return a provider's usage object, recorded as JSON."""
    return {"gen_ai.usage.raw": json.dumps({"prompt_tokens": 100, "completion_tokens": 5} | more)}


NO_DETAILS = {"upstream_inference_cost": None}
TAKEN = [
    ("openrouter", "logfire.openai", raw(cost=0.00014, is_byok=False, cost_details=NO_DETAILS), "0.00014"),
    (
        "openrouter-own-key-is-fee-and-upstream",
        "logfire.openai",
        raw(cost=0.00001, is_byok=True, cost_details={"upstream_inference_cost": 0.0002}),
        "0.00021",
    ),
    (
        "openrouter-own-key-without-a-fee",
        "logfire.openai",
        raw(cost=0, is_byok=True, cost_details={"upstream_inference_cost": 0.0002}),
        "0.0002",
    ),
    ("xai-ticks", "logfire.openai", raw(cost_in_usd_ticks=4468500), "0.00044685"),
    (
        "perplexity",
        "logfire.openai",
        raw(cost={"input_tokens_cost": 0.0001, "request_cost": 0.005, "total_cost": 0.0061}),
        "0.0061",
    ),
    (
        "litellm-proxy-header",
        "litellm",
        {
            "hidden_params": json.dumps(
                {"additional_headers": {"llm_provider-x-litellm-response-cost": "0.0000255"}}
            )
        },
        "0.0000255",
    ),
    (
        "litellm-proxy-header-as-python",
        "litellm",
        {"hidden_params": repr({"additional_headers": {"llm_provider-x-litellm-response-cost": "2.55e-05"}})},
        "0.0000255",
    ),
    ("openrouter-scope", "openrouter", {"gen_ai.usage.cost": 0.02}, "0.02"),
    ("openrouter-scope-js", "@openrouter/ai-sdk-provider", {"gen_ai.usage.total_cost": "0.02"}, "0.02"),
    (
        "passed-through",
        "a.gateway",
        {
            "gen_ai.usage.cost.amount": 0.5,
            "gen_ai.usage.cost.currency": "USD",
            "gen_ai.usage.cost.source": "provider",
        },
        "0.5",
    ),
]


@pytest.mark.parametrize(
    ("scope", "attributes", "usd"), [pytest.param(*case[1:], id=case[0]) for case in TAKEN]
)
def test_cost_that_the_provider_reported_is_taken_exactly(
    scope: str, attributes: dict[str, Any], usd: str
) -> None:
    """The closed table: what the provider itself put into its answer."""
    assert reported(scope, attributes) == Decimal(usd)


ESTIMATES = [
    ("openlit", "openlit.instrumentation.openai", {"gen_ai.usage.cost": 0.00024175}),
    ("openlit-integer-zero", "openlit.instrumentation.openai", {"gen_ai.usage.cost": 0}),
    (
        "genai-otel",
        "genai_otel.instrumentors.base",
        {"gen_ai.usage.cost.total": 0.1, "gen_ai.usage.cost.prompt": 0.05},
    ),
    (
        "litellm-sdk",
        "litellm",
        {
            "gen_ai.cost.total_cost": 0.1,
            "hidden_params": json.dumps({"response_cost": 0.1, "additional_headers": {}}),
        },
    ),
    ("openinference-litellm", "openinference.instrumentation.litellm", {"llm.cost.total": 0.1}),
    ("beeai", "openinference.instrumentation.beeai", {"llm.cost.total": 0.1, "llm.cost.prompt": 0.05}),
    ("pydantic-ai", "pydantic-ai", {"operation.cost": 0.1}),
    ("pydantic-ai-zero", "pydantic-ai", {"operation.cost": 0.0}),
    ("langfuse", "langfuse-sdk", {"langfuse.observation.cost_details": json.dumps({"total": 0.1})}),
    ("ag2-classic", "opentelemetry.instrumentation.ag2", {"gen_ai.usage.cost": 0.1}),
    ("mlflow", "mlflow.tracing.provider", {"mlflow.llm.cost": json.dumps({"total_cost": 0.1})}),
    ("agentgateway", "agentgateway", {"agw.ai.usage.cost.total": 0.1}),
    ("sentry", "sentry", {"gen_ai.cost.total_tokens": 0.1}),
    (
        "a-local-estimate",
        "spancost",
        {
            "gen_ai.usage.cost.amount": 0.5,
            "gen_ai.usage.cost.currency": "USD",
            "gen_ai.usage.cost.source": "local",
        },
    ),
    ("an-amount-of-nobody", "x", {"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": "USD"}),
    ("cost-that-a-library-put-into-its-object", "logfire.openai", raw(cost=0.1)),
]


@pytest.mark.parametrize(("scope", "attributes"), [pytest.param(*case[1:], id=case[0]) for case in ESTIMATES])
def test_estimate_of_a_third_party_is_never_taken(scope: str, attributes: dict[str, Any]) -> None:
    """The same key is one provider's bill and another library's guess: the scope decides."""
    assert reported(scope, attributes) is None


EVERY_FOREIGN_KEY = {
    "gen_ai.usage.cost": 0.1,
    "gen_ai.usage.cost.total": 0.1,
    "operation.cost": 0.1,
    "llm.cost.total": 0.1,
    "langfuse.observation.cost_details": json.dumps({"total": 0.1}),
    "gen_ai.cost.input_tokens": 0.1,
    "gen_ai.cost.output_tokens": 0.1,
    "gen_ai.cost.total_tokens": 0.1,
    "gen_ai.cost.total_cost": 0.1,
    "litellm.cost.total": 0.1,
    "mlflow.llm.cost": json.dumps({"total_cost": 0.1}),
    "agw.ai.usage.cost.total": 0.1,
    "_signoz.gen_ai.total_cost": 0.1,
    "kong.gen_ai.llm.cost": 0.1,
}
"""Under what name tools in the wild write a cost of their own."""


@pytest.mark.parametrize("key", EVERY_FOREIGN_KEY)
def test_foreign_cost_is_neither_taken_nor_touched_nor_added(key: str) -> None:
    """It stays on the span as it was; the counter has our price alone."""
    live = Live()
    live.chat(**{key.replace(".", "__"): EVERY_FOREIGN_KEY[key]})
    said = live.before.named("chat")

    assert said[key] == EVERY_FOREIGN_KEY[key]
    assert said[AMOUNT] == PRICE / 10**15
    assert said["gen_ai.usage.cost.source"] == "local"
    assert live.metered == PRICE


def test_estimate_under_our_own_name_gives_way_to_ours() -> None:
    """The sum of the amounts on spans is the sum in the metrics, whoever wrote there before."""
    live = Live()
    live.chat(gen_ai__usage__cost__amount=0.5, gen_ai__usage__cost__source="local")

    assert live.before.femto == live.metered == PRICE


def test_amount_that_the_provider_reported_is_passed_through_unmodified() -> None:
    """Ours is kept beside it in the metrics, and never added."""
    live = Live()
    live.chat(
        gen_ai__usage__cost__amount=0.5,
        gen_ai__usage__cost__currency="USD",
        gen_ai__usage__cost__source="provider",
    )
    said = live.before.named("chat")

    assert (said[AMOUNT], said["gen_ai.usage.cost.source"]) == (0.5, "provider")
    assert live.metered == live.before.femto == 5 * 10**14
    assert total(live.meter, names.ESTIMATED) == PRICE


def test_bill_in_another_currency_stays_on_its_span() -> None:
    """There are no exchange rates here: it is neither replaced by dollars nor counted as some."""
    live = Live()
    bill = {
        "gen_ai__usage__cost__amount": 0.5,
        "gen_ai__usage__cost__currency": "EUR",
        "gen_ai__usage__cost__source": "provider",
    }
    live.chat(**bill)
    said = live.before.named("chat")

    assert (said[AMOUNT], said["gen_ai.usage.cost.currency"]) == (0.5, "EUR")
    assert live.metered == PRICE


def test_our_marks_from_elsewhere_do_not_stop_the_process_from_pricing_its_own_call() -> None:
    """In a process, spans are known by id: whoever wrote that, it was not this engine (5.6)."""
    live = Live()
    live.chat(spancost__duplicate_of="00f067aa0ba902b7")
    live.chat(name="other", spancost__unpriced="unknown_model")

    assert live.metered == 2 * PRICE


def test_alias_stands_instead_of_the_amount_and_never_beside_it() -> None:
    """Elasticsearch takes one of a value and an object under a name, not both."""
    live = Live(cost_attribute="gen_ai.usage.cost")
    live.chat()
    said = live.before.named("chat")

    assert said["gen_ai.usage.cost"] == PRICE / 10**15
    assert [key for key in said if key.startswith("gen_ai.usage.cost.")] == []


def test_alias_is_off_by_default_and_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is metered without code has no constructor to call."""
    plain = Live()
    plain.chat()
    monkeypatch.setenv("SPANCOST_COST_ATTRIBUTE", "gen_ai.usage.cost")
    aliased = Live()
    aliased.chat()

    assert "gen_ai.usage.cost" not in plain.before.named("chat")
    assert aliased.before.named("chat")["gen_ai.usage.cost"] == PRICE / 10**15


def test_name_for_amounts_that_nobody_reads_is_refused() -> None:
    """Two names are known, and both are in the message."""
    with pytest.raises(ValueError, match=r"gen_ai\.usage\.cost\.amount, gen_ai\.usage\.cost, not 'cost'"):
        CostSpanProcessor(private=True, cost_attribute="cost")


ZEROS = [
    ("openrouter", "logfire.openai", raw(cost=0, is_byok=False, cost_details=NO_DETAILS)),
    (
        "openrouter-own-key-of-unknown-price",
        "logfire.openai",
        raw(cost=0, is_byok=True, cost_details=NO_DETAILS),
    ),
    (
        "openrouter-own-key-with-a-fee-only",
        "logfire.openai",
        raw(cost=0.00001, is_byok=True, cost_details=NO_DETAILS),
    ),
    ("xai", "logfire.openai", raw(cost_in_usd_ticks=0)),
    ("perplexity", "logfire.openai", raw(cost={"total_cost": 0})),
    (
        "litellm-proxy",
        "litellm",
        {
            "hidden_params": json.dumps(
                {"additional_headers": {"llm_provider-x-litellm-response-cost": "0.0"}}
            )
        },
    ),
    ("scope", "openrouter", {"gen_ai.usage.cost": 0}),
    (
        "passed-through",
        "a.gateway",
        {
            "gen_ai.usage.cost.amount": 0.0,
            "gen_ai.usage.cost.currency": "USD",
            "gen_ai.usage.cost.source": "provider",
        },
    ),
]


@pytest.mark.parametrize(("scope", "attributes"), [pytest.param(*case[1:], id=case[0]) for case in ZEROS])
def test_foreign_zero_is_not_trusted(scope: str, attributes: dict[str, Any]) -> None:
    """A zero says that somebody knew no price; a call is never $0 by hearsay."""
    assert reported(scope, attributes) is None


@pytest.mark.parametrize("currency", ["EUR", "CNY", "credits", "", None, 3])
@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        ("a.gateway", {"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.source": "provider"}),
        ("openrouter", {"gen_ai.usage.cost": 0.5}),
    ],
)
def test_amount_in_another_currency_is_not_taken(
    scope: str, attributes: dict[str, Any], currency: object
) -> None:
    """There are no exchange rates here: an amount that is not in US dollars is none."""
    assert reported(scope, attributes | {"gen_ai.usage.cost.currency": currency}) is None


@pytest.mark.parametrize(
    "value", [-1, -0.5, float("nan"), float("inf"), 1e300, "abc", "", True, None, [1], "9" * 100]
)
def test_amount_that_can_be_none_is_not_taken(value: object) -> None:
    """Negatives, NaN, infinities, absurd sums and text are no amounts."""
    assert amount(value) is None
    assert reported("openrouter", {"gen_ai.usage.cost": value}) is None


def test_amount_is_exact() -> None:
    """A double's shortest text is what the provider meant; nothing is rounded on the way."""
    assert amount(0.1) == Decimal("0.1")
    assert amount(2.55e-05) == Decimal("0.0000255")
    assert amount("0.000000000000001") == Decimal("1e-15")
