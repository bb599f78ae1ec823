# SPDX-License-Identifier: Apache-2.0
"""Who sold the call, and which row a model id means."""

from __future__ import annotations

import pytest

from spancost import PriceBook
from spancost.prices.providers import is_local_host, provider_key, provider_of_host, says_nothing

BOOK = PriceBook.default()


def found(provider, model):
    how = BOOK.resolve(provider=provider, model=model)
    return how.unpriced.reason if how.unpriced else how.card.id.partition("@")[0]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("openai", "openai"),
        ("OpenAI", "openai"),
        ("openai.chat", "openai"),
        ("openai.responses", "openai"),
        ("openai.embedding", "openai"),
        ("anthropic.messages", "anthropic"),
        ("google.generative-ai", "google"),
        ("gcp.gen_ai", "google"),
        ("gcp.gemini", "google"),
        ("gemini", "google"),
        ("vertex_ai", "google-vertex"),
        ("gcp.vertex_ai", "google-vertex"),
        ("google.vertex.chat", "google-vertex"),
        ("az.ai.openai", "azure"),
        ("azure.ai.inference", "azure"),
        ("Azure", "azure"),
        ("AWS", "aws"),
        ("aws_bedrock", "aws"),
        ("amazon-bedrock", "aws"),
        ("MistralAI", "mistral"),
        ("x_ai", "x-ai"),
        ("xai", "x-ai"),
        ("TogetherAI", "together"),
        ("moonshot_ai", "moonshotai"),
        ("Ollama", "self_hosted"),
        ("lm-studio", "self_hosted"),
        ("acme", None),
        ("", None),
        (None, None),
    ],
)
def test_spellings_of_providers(name, key):
    """Conventions, legacy systems and SDKs name the same provider in many ways."""
    assert provider_key(name) == key


@pytest.mark.parametrize(
    "name",
    [
        "strands-agents",
        "gcp.vertex.agent",
        "crewai",
        "langgraph",
        "autogen",
        "litellm",
        "langsmith",
        "unknown",
        "",
    ],
)
def test_frameworks_are_no_providers(name):
    """The name of a framework says nothing about who sold the call."""
    assert provider_key(name) is None
    assert says_nothing(name)


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("https://api.openai.com/v1/", "openai"),
        ("my-res.openai.azure.com", "azure.ai.openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("api.groq.com:443", "groq"),
        ("api.deepseek.com", "deepseek"),
        ("api.x.ai", "x_ai"),
        ("api.mistral.ai", "mistral_ai"),
        ("api.together.xyz", "together_ai"),
        ("api.fireworks.ai", "fireworks_ai"),
        ("api.perplexity.ai", "perplexity"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("127.0.0.1", None),
        ("api.openai.com.evil.example", None),
        ("evil.example/api.openai.com", None),
        (None, None),
    ],
)
def test_hosts_of_providers(host, provider):
    """The host of an API tells the provider, and only a whole host name does."""
    assert provider_of_host(host) == provider


def test_local_hosts():
    """A loopback or private address is a local server or somebody's proxy."""
    assert all(
        is_local_host(host)
        for host in ("localhost:11434", "127.0.0.1", "http://10.0.0.7:8000/v1", "[::1]:80")
    )
    assert not any(is_local_host(host) for host in ("api.openai.com", "8.8.8.8", "", None))


@pytest.mark.parametrize(
    ("provider", "model", "row"),
    [
        ("openai", "gpt-4.1", "openai/gpt-4.1"),
        ("openai", '"GPT-4.1" ', "openai/gpt-4.1"),
        ("openai", "openai/gpt-4.1", "openai/gpt-4.1"),
        ("openai", "openai:gpt-4.1", "openai/gpt-4.1"),
        ("openai", "gpt-5.2-20251211", "openai/gpt-5.2"),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:acme::x1", "openai/ft:gpt-4.1-mini"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::x:ckpt-step-90", "openai/ft:gpt-4o"),
        ("openai", "ft:gpt-5-mini:acme::x", "unknown_model"),
        ("anthropic", "claude-opus-4-1-20250805", "anthropic/claude-opus-4-1"),
        ("anthropic", "claude-sonnet-4-5-20250929[1m]", "anthropic/claude-sonnet-4-5"),
        ("gcp.gemini", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.gemini", "google-gla:gemini-2.5-pro-preview-05-06", "google/gemini-2.5-pro"),
        ("gcp.gemini", "gemini-2.5-flash-preview-05-20", "google/gemini-2.5-flash-preview"),
        ("gcp.gemini", "gemini-1.5-pro-002", "google/gemini-1.5-pro"),
        (
            "gcp.vertex_ai",
            "projects/p/locations/l/publishers/google/models/gemini-2.5-pro",
            "google/gemini-2.5-pro",
        ),
        ("gcp.vertex_ai", "publishers/anthropic/models/claude-sonnet-4@20250514", "google/claude-4-sonnet"),
        ("gcp.vertex_ai", "claude-3-5-sonnet-v2@20241022", "google/claude-3-5-sonnet"),
        ("gcp.vertex_ai", "gemini-2.0-flash-001", "google-vertex/gemini-2.0-flash"),
        ("gcp.vertex_ai", "projects/p/locations/l/endpoints/12", "opaque_deployment"),
        (
            "gcp.vertex_ai",
            "//aiplatform.googleapis.com/projects/p/locations/l/publishers/google/models/gemini-2.5-pro",
            "google/gemini-2.5-pro",
        ),
        (
            "aws.bedrock",
            "bedrock/ap-south-1/meta.llama3-8b-instruct-v1:0",
            "aws/ap-south-1/meta.llama3-8b-instruct-v1:0",
        ),
        (
            "aws.bedrock",
            "bedrock/converse/us-west-2/meta.llama3-8b-instruct-v1:0",
            "aws/meta.llama3-8b-instruct-v1:0",
        ),
        (
            "gcp.vertex_ai",
            "vertex_ai/meta/llama-3.3-70b-instruct-maas",
            "google-vertex/meta/llama-3.3-70b-instruct-maas",
        ),
        ("aws.bedrock", "eu.amazon.nova-lite-v1", "aws/eu.amazon.nova-lite-v1:0"),
        ("aws.bedrock", "us.meta.llama3-1-405b-instruct-v1", "aws/meta.llama3-1-405b-instruct-v1:0"),
        ("aws.bedrock", "amazon.nova-pro-v1:0:300k", "aws/amazon.nova-pro-v1:0"),
        ("aws.bedrock", "us.amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("aws.bedrock", "eu.amazon.nova-pro-v1:0", "aws/eu.amazon.nova-pro-v1:0"),
        ("aws.bedrock", "nova-micro-v1:0", "aws/amazon.nova-micro-v1:0"),
        ("aws.bedrock", "global.anthropic.claude-opus-4-6-v1", "aws/global.anthropic.claude-opus-4-6-v1:0"),
        ("aws.bedrock", "ca.anthropic.claude-opus-4-6-v1", "aws/regional.anthropic.claude-opus-4-6-v1:0"),
        (
            "aws.bedrock",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
            "aws/regional.anthropic.claude-3-haiku-20240307-v1:0",
        ),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", "opaque_deployment"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:provisioned-model/abc", "opaque_deployment"),
        ("azure.ai.openai", "gpt-35-turbo-16k", "openai/gpt-3.5-turbo-16k"),
        ("azure.ai.openai", "azure/gpt-4.1", "azure/gpt-4.1"),
        ("azure.ai.openai", "my-gpt4o-deployment", "opaque_deployment"),
        ("azure.ai.inference", "DeepSeek-R1", "azure/deepseek-r1"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("fireworks_ai", "accounts/fireworks/models/deepseek-v3", "fireworks/deepseek-v3"),
        ("fireworks_ai", "accounts/acme/models/mine", "opaque_deployment"),
        ("fireworks_ai", "accounts/acme/routers/mine", "opaque_deployment"),
        (
            "fireworks_ai",
            "accounts/fireworks/routers/kimi-k3-fast",
            "fireworks/kimi-k3-fast",
        ),
        ("openrouter", "anthropic/claude-sonnet-4.5:beta", "openrouter/anthropic/claude-sonnet-4.5"),
        ("openrouter", "anthropic/claude-4.5-sonnet-20250929", "openrouter/anthropic/claude-sonnet-4.5"),
        ("openrouter", "anthropic/claude-4-sonnet-20250522", "openrouter/anthropic/claude-sonnet-4"),
        ("openrouter", "anthropic/claude-4.8-opus-20260101", "openrouter/anthropic/claude-opus-4.8"),
        ("openrouter", "anthropic/claude-3-7-sonnet-20250219", "openrouter/anthropic/claude-3.7-sonnet"),
        ("openrouter", "anthropic/claude-4.9-sonnet-20260101", "unknown_model"),
        ("openrouter", "openai/gpt-4o:online", "openrouter/openai/gpt-4o"),
        ("openrouter", "claude-sonnet-4.6", "openrouter/anthropic/claude-sonnet-4.6"),
        ("litellm", "groq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("litellm", "ollama/llama3", "self_hosted"),
        ("ollama", "llama3.1:8b", "self_hosted"),
        ("acme", "gpt-4o", "unknown_provider"),
        ("langchain", "ChatOpenAI", "unknown_model"),
        ("openai", "", "unknown_model"),
        ("openai", "x" * 600, "unknown_model"),
    ],
)
def test_ids_as_spans_carry_them(provider, model, row):
    """An id leads to its own row through every wrapper, or to the reason why it cannot."""
    assert found(provider, model) == row


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-99-ultra"),
        ("openai", "gpt-4o-mini-ultra"),
        ("openai", "my-gpt-4o"),
        ("anthropic", "claude-opus-9"),
        ("anthropic", "claude-opus-4-10"),
        ("anthropic", "claude-sonnet-4-55"),
        ("gcp.gemini", "gemini-2.5-pro-ultra-99"),
        ("aws.bedrock", "anthropic.claude-opus-9-v1:0"),
        ("x_ai", "grok-9"),
    ],
)
def test_a_new_model_never_gets_an_old_ones_price(provider, model):
    """Nothing matches by a prefix or a substring."""
    assert found(provider, model) == "unknown_model"


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("gpt-4.1", "openai/gpt-4.1"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("gemini-2.5-flash", "google/gemini-2.5-flash"),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("gpt-oss-120b", "ambiguous_model"),
        ("llama-3.3-70b-versatile", "ambiguous_model"),
        ("no-such-model", "unknown_model"),
    ],
)
def test_without_a_provider_only_an_unambiguous_id_counts(model, row):
    """When nobody says who sold the call, a vendor's own id is enough and a host's is not."""
    assert found(None, model) == row
    assert found("langgraph", model) == row


@pytest.mark.parametrize(
    ("provider", "model", "row"),
    [
        ("anthropic", "us.anthropic.claude-3-haiku-20240307-v1:0", "aws"),
        ("openai", "openai.gpt-oss-120b-1:0", "aws"),
        ("openai", "accounts/fireworks/models/deepseek-v3", "fireworks"),
        ("anthropic", "publishers/anthropic/models/claude-sonnet-4@20250514", "anthropic"),
        ("openai", "publishers/google/models/gemini-2.5-pro", "google"),
        ("openai", "accounts/acme/models/mine", "unknown_model"),
        ("anthropic", "us.anthropic.claude-opus-9-v1:0", "unknown_model"),
    ],
)
def test_an_id_that_only_one_seller_writes_beats_the_client(provider, model, row):
    """OpenAI's and Anthropic's clients reach other sellers, whose ids have shapes of their own."""
    assert found(provider, model).partition("/")[0] == row


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("openai/gpt-oss-120b:cerebras", "huggingface_cerebras/openai/gpt-oss-120b"),
        (
            "meta-llama/Llama-3.3-70B-Instruct:together",
            "huggingface_together/meta-llama/llama-3.3-70b-instruct",
        ),
        (
            "together/meta-llama/Llama-3.3-70B-Instruct",
            "huggingface_together/meta-llama/llama-3.3-70b-instruct",
        ),
        ("meta-llama/Llama-3.3-70B-Instruct", "ambiguous_model"),
        ("openai/gpt-oss-120b:fastest", "ambiguous_model"),
        ("acme/model:together", "unknown_model"),
        ("gpt2", "ambiguous_model"),
    ],
)
def test_behind_hugging_face_the_host_has_the_price(model, row):
    """The router takes the host as a suffix, LiteLLM as the first segment; without one it chooses, unseen."""
    assert found("huggingface", model) == row
    assert found(None, f"huggingface/{model}") == row


def test_a_provider_does_not_sell_the_models_of_others():
    """An id of somebody else on a span of OpenAI's client is ambiguous: a proxy answered."""
    assert found("openai", "anthropic/claude-sonnet-4.5") == "ambiguous_model"
    assert found("openai", "mistral-large-latest") == "ambiguous_model"
