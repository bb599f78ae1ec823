# SPDX-License-Identifier: Apache-2.0
"""
What a span is: a call, an agent, a tool, another roll-up, or not ours.

The rules are tried in order and the first that fits decides; each has a name that ``spancost
explain`` shows. They read attributes and names only, so they hold for a live span (with what it has
so far) as for a recorded one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spancost.usage.identity import text


class Kind(enum.IntEnum):
    """What a span is to us."""

    OTHER = 0
    CALL = 1
    AGENT = 2
    TOOL = 3
    ROLLUP = 4


CHAT: Final = "chat"
EMBEDDING: Final = "embedding"
RERANK: Final = "rerank"


class Classification(NamedTuple):
    """A span's kind, the rule that decided it, and for calls which type of call it is."""

    kind: Kind
    rule: str
    call_type: str = ""
    fallback: bool = False


USAGE_RECORD: Final = "ag2 usage record"
PARTIAL_USAGE: Final = "partial usage"
"""Logfire's turns of Claude's agent SDK: counts of a first event; the agent span has the whole."""
OTHER: Final = Classification(Kind.OTHER, "nothing of ours")

_CALL_OPERATIONS: Final = {
    "chat": CHAT,
    "text_completion": CHAT,
    "text_completions": CHAT,  # Semantic Kernel
    "completion": CHAT,
    "generate_content": CHAT,
    "responses": CHAT,
    "embeddings": EMBEDDING,
    "embedding": EMBEDDING,
    "rerank": RERANK,
}
_AGENT_OPERATIONS: Final = frozenset({"invoke_agent", "create_agent"})
_TOOL_OPERATIONS: Final = frozenset({"execute_tool"})
_ROLLUP_OPERATIONS: Final = frozenset(
    {
        "agent_step",
        "chain",
        "conversation",  # AG2 before 1.0: the sum of a whole chat
        "execute_event_loop_cycle",
        "execute_task",
        "fetch_response",
        "handle_conversation_turn",
        "handoff",
        "initiate_chats",
        "invocation",
        "invoke_workflow",
        "model_inference",
        "model_step",
        "plan",
        "retrieval",
        "search_memory",
        "create_memory",
        "create_memory_store",
        "update_memory",
        "upsert_memory",
        "delete_memory",
        "delete_memory_store",
    }
)

_OPENINFERENCE_CALLS: Final = {"LLM": CHAT, "EMBEDDING": EMBEDDING, "RERANKER": RERANK}
_MLFLOW_CALLS: Final = {"LLM": CHAT, "CHAT_MODEL": CHAT, "EMBEDDING": EMBEDDING, "RERANKER": RERANK}
_LANGFUSE_CALLS: Final = {"generation": CHAT, "embedding": EMBEDDING}
_LANGSMITH_CALLS: Final = {"llm": CHAT, "embedding": EMBEDDING}
_GENAI_ANTHROPIC: Final = "opentelemetry.instrumentation.genai.anthropic"
_VERCEL_CALLS: Final = (
    (".doGenerate", CHAT),
    (".doStream", CHAT),
    (".doEmbed", EMBEDDING),
    (".doRerank", RERANK),
)


def classify(
    name: str, attributes: Mapping[str, Any], scope_name: str, *, has_usage: bool, has_model: bool
) -> Classification:
    """
    Return what a span is, by the first rule that fits.

    Args:
        name: The span's name.
        attributes: Its attributes, as many as it has by now.
        scope_name: Its instrumentation scope.
        has_usage: Whether ``read_usage`` found an input or output above zero.
        has_model: Whether any attribute names a model.
    """
    if attributes.get("ag2.span.type") == "usage":
        return Classification(Kind.ROLLUP, USAGE_RECORD)
    for rule in _RULES:
        found = rule(attributes)
        if found is not None:
            break
    else:
        found = _by_name(name, scope_name) or _fallback(
            attributes, scope_name, has_usage=has_usage, has_model=has_model
        )
    if found.kind is Kind.CALL and not has_usage:
        return _no_call(name, attributes, scope_name) or found
    return found


def _no_call(name: str, attributes: Mapping[str, Any], scope_name: str) -> Classification | None:
    """Tell apart what calls itself a call, shows no usage and is none: a library's own lie, by scope."""
    if _is_partial(attributes):
        return Classification(Kind.ROLLUP, PARTIAL_USAGE)
    if attributes.get("logfire.span_type") == "log":
        return Classification(Kind.OTHER, "a log record without usage")
    if name == "raw_gen_ai_request":
        return Classification(Kind.OTHER, "LiteLLM's copy of a response, without usage")
    if name.endswith("._prepare_chat_with_tools"):
        return Classification(Kind.OTHER, "LlamaIndex preparing a call")
    if attributes.get("error.type") == "ValueError" and scope_name == _GENAI_ANTHROPIC:
        # Its wrapper of raw responses fails so beside every call that is made through one.
        return Classification(Kind.OTHER, "the instrumentation's own failure")
    return None


def _is_partial(attributes: Mapping[str, Any]) -> bool:
    return any(key.startswith("gen_ai.usage.partial.") for key in attributes)


def _by_vercel(attributes: Mapping[str, Any]) -> Classification | None:
    operation = attributes.get("ai.operationId")
    if not isinstance(operation, str):
        return None
    for ending, call_type in _VERCEL_CALLS:
        if operation.endswith(ending):
            return Classification(Kind.CALL, "ai.operationId", call_type)
    if operation == "ai.toolCall":
        return Classification(Kind.TOOL, "ai.operationId")
    return Classification(Kind.ROLLUP, "ai.operationId")


def _by_langsmith(attributes: Mapping[str, Any]) -> Classification | None:
    kind = attributes.get("langsmith.span.kind")
    if not isinstance(kind, str):
        return None
    if kind in _LANGSMITH_CALLS:
        return Classification(Kind.CALL, "langsmith.span.kind", _LANGSMITH_CALLS[kind])
    if kind == "tool":
        return Classification(Kind.TOOL, "langsmith.span.kind")
    return Classification(Kind.ROLLUP, "langsmith.span.kind")


def _by_langfuse(attributes: Mapping[str, Any]) -> Classification | None:
    kind = attributes.get("langfuse.observation.type")
    if not isinstance(kind, str) or kind == "span":
        return None
    if kind in _LANGFUSE_CALLS:
        return Classification(Kind.CALL, "langfuse.observation.type", _LANGFUSE_CALLS[kind])
    if kind in ("agent", "tool"):
        return Classification(Kind[kind.upper()], "langfuse.observation.type")
    return Classification(Kind.ROLLUP, "langfuse.observation.type")


def _by_mlflow(attributes: Mapping[str, Any]) -> Classification | None:
    kind = text(attributes.get("mlflow.spanType"))
    if kind is None or kind == "UNKNOWN":
        return None
    if kind in _MLFLOW_CALLS:
        return Classification(Kind.CALL, "mlflow.spanType", _MLFLOW_CALLS[kind])
    if kind in ("AGENT", "TOOL"):
        return Classification(Kind[kind], "mlflow.spanType")
    return Classification(Kind.ROLLUP, "mlflow.spanType")


def _by_operation(attributes: Mapping[str, Any]) -> Classification | None:
    operation = attributes.get("gen_ai.operation.name")
    if not isinstance(operation, str):
        return None
    rule = "gen_ai.operation.name"
    if operation in _CALL_OPERATIONS:
        return Classification(Kind.CALL, rule, _CALL_OPERATIONS[operation])
    kind = attributes.get("openinference.span.kind")
    if isinstance(kind, str) and kind.upper() in _OPENINFERENCE_CALLS:
        return None  # a processor's or a patch's word that it is a call stands above the older name
    if operation in _AGENT_OPERATIONS:
        # OpenLLMetry's CrewAI calls the crew and each task invoke_agent too, and tells them apart here.
        if attributes.get("traceloop.span.kind") in ("workflow", "task"):
            return Classification(Kind.ROLLUP, "traceloop.span.kind")
        return Classification(Kind.AGENT, rule)
    if operation in _TOOL_OPERATIONS:
        return Classification(Kind.TOOL, rule)
    if operation in _ROLLUP_OPERATIONS:
        return Classification(Kind.ROLLUP, rule)
    return None  # custom values are allowed: an unknown one says nothing


def _by_openinference(attributes: Mapping[str, Any]) -> Classification | None:
    kind = attributes.get("openinference.span.kind")
    if not isinstance(kind, str):
        return None
    rule = "openinference.span.kind"
    kind = kind.upper()
    if kind in _OPENINFERENCE_CALLS:
        return Classification(Kind.CALL, rule, _OPENINFERENCE_CALLS[kind])
    if kind in ("AGENT", "TOOL"):
        return Classification(Kind[kind], rule)
    return Classification(Kind.ROLLUP, rule)


def _by_span_kind(attributes: Mapping[str, Any]) -> Classification | None:
    for rule in ("traceloop.span.kind", "agentops.span.kind"):
        kind = attributes.get(rule)
        if kind == "agent":
            return Classification(Kind.AGENT, rule)
        if kind == "tool":
            return Classification(Kind.TOOL, rule)
        if isinstance(kind, str) and kind not in ("llm", "unknown"):
            return Classification(Kind.ROLLUP, rule)
    return None


def _by_request_type(attributes: Mapping[str, Any]) -> Classification | None:
    """Classify by OpenLLMetry's older key; LiteLLM writes it onto its caller's span, which is no call."""
    if "litellm.call_id" in attributes:
        return None
    for rule in ("llm.request.type", "gen_ai.request.type"):
        call_type = _CALL_OPERATIONS.get(str(attributes.get(rule)))
        if call_type is not None:
            return Classification(Kind.CALL, rule, call_type)
    return None


_RULES: Final = (
    _by_vercel,
    _by_langsmith,
    _by_langfuse,
    _by_mlflow,
    _by_operation,
    _by_openinference,
    _by_span_kind,
    _by_request_type,
)


def _by_name(name: str, scope_name: str) -> Classification | None:
    """Classify spans of stacks that say what a span is by its name alone."""
    if name in ("call_llm", "claude_code.llm_request"):
        return Classification(Kind.CALL, "span name", CHAT)
    if scope_name == "litellm" and name in ("litellm_request", "raw_gen_ai_request"):
        return Classification(Kind.CALL, "span name", CHAT)
    if name == "agent run" and scope_name == "pydantic-ai":
        return Classification(Kind.AGENT, "span name")
    if name.startswith(("agent_run [", "agent_collaborator[", "invoke_agent ")):
        return Classification(Kind.AGENT, "span name")
    if name.startswith("conversation ") and scope_name.endswith("ag2"):
        return Classification(Kind.ROLLUP, "span name")
    if name in ("running tool", "claude_code.tool") or name.startswith("execute_tool "):
        return Classification(Kind.TOOL, "span name")
    return None


_CLIENT_SCOPES: Final = ("opentelemetry.instrumentation.openai.",)
"""OpenLLMetry's client instrumentations, which write the operation when the answer has come."""


def _fallback(
    attributes: Mapping[str, Any], scope_name: str, *, has_usage: bool, has_model: bool
) -> Classification:
    if has_usage and has_model:
        operation = str(attributes.get("gen_ai.operation.name", "")).lower()
        request = f"{attributes.get('llm.request.type')} {attributes.get('mistral_ai.operation.id')}".lower()
        call_type = CHAT
        for candidate in (EMBEDDING, RERANK):
            if candidate[:5] in operation or candidate[:5] in request:
                call_type = candidate
        return Classification(Kind.CALL, "usage and a model", call_type, fallback=True)
    if has_model and "error.type" in attributes and scope_name.startswith(_CLIENT_SCOPES):
        # A call that failed before its span was told what it is.
        return Classification(Kind.CALL, "a model and an error", CHAT, fallback=True)
    return OTHER
