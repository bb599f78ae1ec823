# SPDX-License-Identifier: Apache-2.0
"""
What the engine needs to know of one span: everything its attributes say, read once at its end.

Contents (messages, prompts, tool arguments) are not among it, so a span can be dropped once read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from spancost.calls.agents import AgentName, agent_of
from spancost.calls.kinds import OTHER, USAGE_RECORD, Classification, Kind, classify
from spancost.calls.reported import provider_cost
from spancost.usage import Dialect, Reading, dialect_of, read_usage
from spancost.usage import identity as who


@dataclass(frozen=True, slots=True)
class Facts:
    """
    One span, read.

    Args:
        classification: What the span is.
        reading: Its usage, or None; also None where every count is zero.
        agent: The agent it names itself, or None.
        providers: Every provider name its attributes give, in order of trust.
        host: Host name of the API that was called.
        model: The model that answered.
        request_model: The model asked for.
        service_tier: The tier served, else the tier asked for.
        region: Cloud region, where an attribute names it.
        response_id: The provider's id of the response.
        failed: Whether the span's status is an error.
        streaming: Whether the answer was streamed; None where nothing says.
        is_log: Whether this is a log record in a span's clothes (Logfire), which reports on a sibling.
        cached_response: Whether the answer came from a response cache and cost nothing.
        reported_usd: A cost that the provider itself reported, in USD.
        operation: The operation's name for metrics and rows.
        error_type: The class of the error; empty when the span did not fail.
    """

    classification: Classification
    reading: Reading | None = None
    agent: AgentName | None = None
    providers: tuple[str, ...] = ()
    host: str | None = None
    model: str | None = None
    request_model: str | None = None
    service_tier: str | None = None
    region: str | None = None
    response_id: str | None = None
    failed: bool = False
    streaming: bool | None = None
    is_log: bool = False
    cached_response: bool = False
    reported_usd: Decimal | None = None
    operation: str = ""
    error_type: str = ""

    @property
    def kind(self) -> Kind:
        """What the span is."""
        return self.classification.kind


NOTHING: Final = Facts(OTHER)

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


def read_span(
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
        region=who.first_text(attributes, who.REGION_KEYS),
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


def dialect_for(attributes: Mapping[str, Any], scope_name: str, scope_version: str) -> Dialect:
    """Return the dialect row of a span, for when it can be read and what to tell of its stack."""
    return dialect_of(attributes, scope_name, scope_version)
