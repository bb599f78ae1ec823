# SPDX-License-Identifier: Apache-2.0
"""
Reading a span the plain way, one rule after the other: what the quick reader must agree with.

This was the package's own reader until it learned what spans have in common. It asks the same rules
(usage, kinds, agents, identity), and knows nothing of shapes, profiles and short ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spancost.calls.agents import agent_of
from spancost.calls.facts import NOTHING, Facts
from spancost.calls.kinds import USAGE_RECORD, Kind, classify
from spancost.calls.reported import provider_cost
from spancost.prices.regions import class_of_host, class_of_model
from spancost.usage import identity as who
from spancost.usage import read_usage

_OUR_NAMES: Final = (
    "call_llm",
    "claude_code.",
    "agent_run [",
    "agent_collaborator[",
    "invoke_agent ",
    "raw_gen_ai_request",
)
"""Beginnings of span names that say what a span is, even without attributes."""

_OURS: Final = (
    "gen_ai.",
    "llm.",
    "ai.",
    "openinference.",
    "traceloop.",
    "agentops.",
    "langsmith.",
    "langfuse.",
    "mlflow.",
    "ag2.",
    "agent",
    "graph.node",
    "logfire.span_type",
)
_STREAM_KEYS: Final = (
    "gen_ai.request.stream",
    "gen_ai.request.is_stream",
    "gen_ai.request.streaming",
    "gen_ai.is_streaming",
    "llm.is_streaming",
)
_CACHED_RESPONSE_KEYS: Final = ("gen_ai.response.cached", "gen_ai.response.cache_hit", "llm.cache_hit")


def read_plain(
    name: str, attributes: Mapping[str, Any], scope_name: str, scope_version: str, *, failed: bool
) -> Facts:
    """Read one span whole; spans without anything of ours come back as ``NOTHING``."""
    if not _is_ours(name, attributes):
        return NOTHING
    reading = read_usage(attributes, scope_name, scope_version)
    if reading is not None and not reading.usage and not reading.bad_usage:
        reading = None  # zeros: a library that knows nothing
    model, request_model = who.models_of(attributes)
    classification = classify(
        name,
        attributes,
        scope_name,
        has_usage=reading is not None,
        has_model=model is not None or request_model is not None,
    )
    agent = agent_of(name, attributes, scope_name, classification.kind)
    if classification.rule == USAGE_RECORD:
        reading = None  # the same numbers once more, beside the call or the sub-agent they are of
    if classification.kind is not Kind.CALL and reading is None:
        return Facts(classification, agent=agent, failed=failed)
    return Facts(
        classification=classification,
        reading=reading,
        agent=agent,
        providers=who.providers_of(attributes),
        host=who.host_of(attributes),
        model=model,
        request_model=request_model,
        service_tier=who.tier_of(attributes),
        region=class_of_host(who.host_of(attributes))
        or class_of_model(model)
        or class_of_model(request_model),
        response_id=who.response_id_of(attributes),
        failed=failed,
        streaming=_streaming(attributes),
        is_log=attributes.get("logfire.span_type") == "log",
        cached_response=any(attributes.get(key) in (True, "true", "True") for key in _CACHED_RESPONSE_KEYS),
        reported_usd=provider_cost(attributes, scope_name, reading),
        operation=who.first_text(attributes, ("gen_ai.operation.name",)) or classification.call_type,
        error_type=(who.first_text(attributes, ("error.type",)) or "_OTHER") if failed else "",
    )


def _is_ours(name: str, attributes: Mapping[str, Any]) -> bool:
    return name.startswith(_OUR_NAMES) or any(key.startswith(_OURS) for key in attributes)


def _streaming(attributes: Mapping[str, Any]) -> bool | None:
    for key in _STREAM_KEYS:
        value = attributes.get(key)
        if isinstance(value, bool):
            return value
        if value in ("True", "true"):
            return True
        if value in ("False", "false"):
            return False
    return None
