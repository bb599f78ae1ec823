# SPDX-License-Identifier: Apache-2.0
"""Who answered: the provider, models, host and tier as spans name them, in every vocabulary."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, Final

from spancost.usage import dialects
from spancost.usage.objects import parse_object

PROVIDER_KEYS: Final = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "ai.model.provider",
    "mlflow.llm.provider",
    "langsmith.metadata.ls_provider",
)
RESPONSE_MODEL_KEYS: Final = (
    "gen_ai.response.model",
    "llm.response.model_name",
    "ai.response.model",
    "langfuse.observation.model.name",
    "llm.model_name",
    "mlflow.llm.model",
    "embedding.model_name",
    "reranker.model_name",
)
REQUEST_MODEL_KEYS: Final = (
    "gen_ai.request.model",
    "llm.request.model_name",
    "ai.model.id",
    "langsmith.metadata.ls_model_name",
    "litellm.provider.model",
)
HOST_KEYS: Final = ("server.address", "gen_ai.openai.api_base", "url.full", "http.url")
RESPONSE_ID_KEYS: Final = ("gen_ai.response.id", "ai.response.id", "gen_ai.response_id", "response_id")
RESPONSE_TIER_KEYS: Final = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.cost.service_tier",  # LiteLLM
)
REQUEST_TIER_KEYS: Final = (
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",
    "anthropic.request.service_tier",
)

BEDROCK_NAME: Final = "aws.bedrock"
_LONGEST_PARAMETERS: Final = 4096

_PLAIN: Final = frozenset(string.ascii_letters + string.digits)
_NO_NAME: Final = frozenset({"", "none", "null", "not_given", "undefined", "unset"})


def text(value: object) -> str | None:
    """
    Return *value* as a name, or None where it is none.

    MLflow quotes its strings once more; ``"None"``, ``""`` and ``"<openai.Omit object ...>"`` stand
    for nothing.
    """
    if not isinstance(value, str):
        return None
    if 9 < len(value) <= 1024 and value[0] in _PLAIN and value[-1] in _PLAIN:
        return value.strip()  # longer than any name for nothing, and nothing at its ends to take off
    bare = value.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1].strip()
    if bare.lower() in _NO_NAME or bare.startswith("<") or len(bare) > 1024:
        return None
    return bare


def first_text(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """Return the first name that one of *keys* gives."""
    for key in keys:
        if key in attributes:
            name = text(attributes[key])
            if name is not None:
                return name
    return None


def all_texts(attributes: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return every name that *keys* give, in their order."""
    found = (text(attributes[key]) for key in keys if key in attributes)
    return tuple(name for name in found if name is not None)


def models_of(attributes: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the response model and the requested one, each None where no attribute names it."""
    response = first_text(attributes, RESPONSE_MODEL_KEYS)
    request = first_text(attributes, REQUEST_MODEL_KEYS)
    if request is None and "llm.invocation_parameters" in attributes:
        request = _asked_model(attributes["llm.invocation_parameters"])
    if response is None and request is None:
        if "model" in attributes:
            response = text(attributes["model"])
        elif "request_data" in attributes:  # Logfire 3
            asked = parse_object(attributes["request_data"])
            request = text(asked.get("model")) if asked else None
        else:
            response = _raw(attributes, (".model", ".modelVersion"))
    return response, request


def _asked_model(parameters: object) -> str | None:
    """Return the model in OpenInference's record of the call's arguments, unless it is long (tools)."""
    if not isinstance(parameters, str) or len(parameters) > _LONGEST_PARAMETERS:
        return None
    asked = parse_object(parameters)
    return text(asked.get("model")) if asked else None


def _raw(attributes: Mapping[str, Any], endings: tuple[str, ...]) -> str | None:
    """Return what LiteLLM copied from the raw response: ``llm.<provider>.model`` and the like."""
    for key, value in attributes.items():
        if key.startswith("llm.") and key.endswith(endings) and key.count(".") == 2:
            return text(value)
    return None


def providers_of(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every provider name that the attributes give, the most trusted vocabulary first."""
    if text(attributes.get("mlflow.message.format")) == "bedrock":
        return (BEDROCK_NAME,)  # MLflow takes the provider from the model id: "us", "amazon"
    names = all_texts(attributes, PROVIDER_KEYS)
    if not names:
        for key in attributes:
            if key.startswith("llm.") and key.endswith((".usage", ".usageMetadata", ".model")):
                name = text(key.split(".")[1])
                return (name,) if name else ()
    return (BEDROCK_NAME, *names) if names and _is_bedrock_id(names[0], attributes) else names


def _is_bedrock_id(maker: str, attributes: Mapping[str, Any]) -> bool:
    """
    Tell whether the model is named as Bedrock names it, after its maker: ``us.anthropic.claude-x-v1:0``.

    Langtrace names the maker as the provider then, and so does every instrumentation of Anthropic's
    client when that client talks to Bedrock.
    """
    model = attributes.get("gen_ai.request.model") or attributes.get("llm.model_name")
    if not isinstance(model, str) or "." not in model:
        return False
    return f".{maker}.".lower() in f".{model}"


def host_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the host name of the API that was called, in lower case, or None."""
    for key in HOST_KEYS:
        host = _bare_host(text(attributes.get(key)))
        if host:
            return host
    if "hidden_params" in attributes:  # LiteLLM
        found = parse_object(attributes["hidden_params"])
        return _bare_host(text(found.get("api_base"))) if found else None
    return None


def _bare_host(address: str | None) -> str | None:
    if address is None:
        return None
    host = address.rpartition("://")[2].partition("/")[0].rpartition("@")[2]
    if not host.startswith("["):  # an IPv6 literal keeps its colons
        host = host.partition(":")[0]
    return host.lower() or None


def response_id_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the provider's id of the response, or None."""
    found = first_text(attributes, RESPONSE_ID_KEYS)
    if found is None and "gen_ai.operation.name" not in attributes:
        found = _raw(attributes, (".id", ".responseId"))
    return found


def tier_of(attributes: Mapping[str, Any]) -> str | None:
    """Return the service tier that was served, else the one asked for, or None."""
    tier = first_text(attributes, RESPONSE_TIER_KEYS) or first_text(attributes, REQUEST_TIER_KEYS)
    if tier is None and "llm.request.type" not in attributes:
        tier = _raw(attributes, (".service_tier",))
    if tier is None and "service_tier" in attributes:  # MLflow records the request's argument
        tier = text(attributes["service_tier"])
    if tier is None and "langfuse.observation.model.parameters" in attributes:
        asked = parse_object(attributes["langfuse.observation.model.parameters"])
        tier = text(asked.get("service_tier")) if asked else None
    return tier


_FAMILY_OF_MODEL: Final = (
    ("claude", dialects.ANTHROPIC),
    ("gemini", dialects.GOOGLE),
    ("grok", dialects.XAI),
    ("command-", dialects.COHERE),
)
_FAMILY_OF_PROVIDER: Final = (
    ("bedrock", dialects.BEDROCK),
    ("aws", dialects.BEDROCK),
    ("amazon", dialects.BEDROCK),
    ("anthropic", dialects.ANTHROPIC),
    ("gemini", dialects.GOOGLE),
    ("google", dialects.GOOGLE),
    ("vertex_ai", dialects.GOOGLE),
    ("gcp.gen_ai", dialects.GOOGLE),
    ("gcp.vertex_ai", dialects.GOOGLE),
    ("cohere", dialects.COHERE),
    ("xai", dialects.XAI),
    ("x_ai", dialects.XAI),
    ("openai", dialects.OPENAI),
)


_OPENAI_SHAPED: Final = ("openai", "openrouter", "azure")
"""Parts of provider names behind which the API answers in OpenAI's form, whoever made the model."""


def family_of(attributes: Mapping[str, Any]) -> str:
    """
    Return the provider family whose usage semantics a call has, for choosing a dialect row.

    This is coarse on purpose: it decides what counts mean, never what they cost. The API decides, not
    the maker of the model: Bedrock writes usage its own way, OpenRouter writes everybody's as OpenAI
    does, and a Claude model called by an OpenAI client has OpenAI's counts. Gemini and Grok keep
    their own ways behind OpenAI clients too.
    """
    providers = " ".join(providers_of(attributes)).lower()
    for word, family in _FAMILY_OF_PROVIDER[:3]:
        if word in providers:
            return family
    response, request = models_of(attributes)
    models = f"{response} {request}".lower()
    for word, family in _FAMILY_OF_MODEL:
        if word in models:
            return _family_behind(family, providers, attributes)
    for word, family in _FAMILY_OF_PROVIDER[3:]:
        if word in providers:
            return family
    return dialects.OTHER


def _family_behind(family: str, providers: str, attributes: Mapping[str, Any]) -> str:
    """Return a model's family, or OpenAI's where the API that answered writes usage in OpenAI's form."""
    if "openrouter" in providers or "openrouter" in (host_of(attributes) or ""):
        return dialects.OPENAI
    if family not in (dialects.ANTHROPIC, dialects.COHERE) or family in providers:
        return family
    return dialects.OPENAI if any(word in providers for word in _OPENAI_SHAPED) else family
