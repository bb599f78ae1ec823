# SPDX-License-Identifier: Apache-2.0
"""
Which attributes a span has, and what they are to us: worked out once for all spans with the same keys.

An instrumentation writes the same keys again and again. So a span's keys, all at once, are looked up
first (0.3 us); only keys not seen together before are gone through one by one. What follows reads just
the few attributes that can say anything, whatever else is on the span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

from spancost.usage import identity as who
from spancost.usage.common import Layout, layout_of, present_in
from spancost.usage.dialects import TABLE
from spancost.usage.keys import (
    CLAUDE_CODE,
    FAMILIES,
    LANGFUSE_TOOLS,
    OBJECTS,
    OPENINFERENCE_ANTHROPIC,
    Family,
)

MAX_SHAPES: Final = 1024
"""How many sets of keys are remembered; then all are forgotten, so that no span can grow memory."""

MAX_FOREIGN_KEYS: Final = 4096
"""How many keys that say nothing are remembered; then all are forgotten."""

MAX_KEYS_TEXT: Final = 8192
"""Keys with more text than this together are not remembered."""

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

COUNTS: Final = frozenset(
    key
    for family in (*FAMILIES, CLAUDE_CODE)
    for keys in (family.input, family.output, family.total, *(keys for _, keys in family.details))
    for key in keys
)
IDS: Final = who.RESPONSE_ID_KEYS
USAGE_OBJECTS: Final = frozenset(
    {
        *OBJECTS,
        "ai.response.providerMetadata",
        LANGFUSE_TOOLS,
        "metadata.usage.cached_prompt_tokens",
        "metadata.usage.cached_creation_tokens",
    }
)
LOGFIRE_OBJECTS: Final = frozenset({"usage", "response_data"})
COSTS: Final = frozenset(
    {
        "gen_ai.usage.cost",
        "gen_ai.usage.total_cost",
        "gen_ai.usage.cost.amount",
        "gen_ai.usage.cost.currency",
        "gen_ai.usage.cost.source",
    }
)
UNLIKE: Final = frozenset({"hidden_params", "request_data"})
"""Long objects, different on every span, that say who answered."""

IDENTITY: Final = frozenset(
    {
        *(*who.PROVIDER_KEYS, *who.RESPONSE_MODEL_KEYS, *who.REQUEST_MODEL_KEYS, *who.HOST_KEYS),
        *(*who.RESPONSE_TIER_KEYS, *who.REQUEST_TIER_KEYS),
        "ag2.span.type",
        "agent.name",
        "agent_name",
        "agentops.span.kind",
        "ai.operationId",
        "ai.telemetry.functionId",
        "error.type",
        "gen_ai.agent.name",
        "gen_ai.is_streaming",
        "gen_ai.operation.name",
        "gen_ai.request.is_stream",
        "gen_ai.request.stream",
        "gen_ai.request.streaming",
        "gen_ai.request.type",
        "gen_ai.response.cache_hit",
        "gen_ai.response.cached",
        "graph.node.id",
        "langfuse.observation.metadata.langgraph_node",
        "langfuse.observation.metadata.lc_agent_name",
        "langfuse.observation.model.parameters",
        "langfuse.observation.type",
        "langsmith.metadata.langgraph_node",
        "langsmith.metadata.lc_agent_name",
        "langsmith.span.kind",
        "litellm.call_id",
        "llm.cache_hit",
        "llm.invocation_parameters",
        "llm.is_streaming",
        "llm.request.type",
        "logfire.span_type",
        "metadata",
        "mistral_ai.operation.id",
        "mlflow.message.format",
        "mlflow.spanType",
        "model",
        "openai.api.type",
        "openinference.span.kind",
        "operation.name",
        "service_tier",
        "traceloop.association.properties.langgraph_node",
        "traceloop.association.properties.lc_agent_name",
        "traceloop.entity.name",
        "traceloop.span.kind",
    }
)
"""Attributes that say what a span is and who answered: few values, the same on many spans."""

RELEVANT: Final = COUNTS | IDENTITY | USAGE_OBJECTS | LOGFIRE_OBJECTS | COSTS | UNLIKE | frozenset(IDS)

_BEGINNINGS: Final = (
    "gen_ai.usage.partial.",
    *sorted({row.needs_absent for row in TABLE if row.needs_absent is not None}),
)
"""Of keys that begin so only the presence matters."""

_RAW: Final = (".usage", ".usageMetadata", ".model")
_RAW_OF_THREE: Final = (".id", ".responseId", ".modelVersion", ".service_tier")
"""Endings of what LiteLLM copies from a response: ``llm.<provider>.usage`` and the like."""


class Shape:
    """
    What spans with the same keys, of one scope and version, have in common.

    Args:
        scope: The instrumentation scope.
        keys: The keys that can say anything.
        is_ours: Whether any key is of a vocabulary of ours.
        is_raw: Whether there are keys whose names are no fixed ones.
    """

    __slots__ = (
        "families",
        "has_cost",
        "has_counts",
        "has_objects",
        "ids",
        "is_ours",
        "is_raw",
        "is_unlike",
        "layout",
        "values_of",
    )

    def __init__(self, scope: str, keys: tuple[str, ...], *, is_ours: bool, is_raw: bool) -> None:
        found = dict.fromkeys(keys)
        self.is_ours = is_ours
        self.is_raw = is_raw
        self.is_unlike = is_raw or "hidden_params" in found
        """Whether what says who answered differs on every span: nothing can be remembered of such."""
        self.has_cost = "hidden_params" in found or not COSTS.isdisjoint(found)
        self.has_objects = (
            not USAGE_OBJECTS.isdisjoint(found)
            or (scope.startswith("logfire") and not LOGFIRE_OBJECTS.isdisjoint(found))
            or (scope == OPENINFERENCE_ANTHROPIC and "metadata" in found)
            or ("claude_code" in scope and "input_tokens" in found)
        )
        self.ids: tuple[str, ...] = tuple(key for key in IDS if key in found)
        present = [present_in(family, found) for family in FAMILIES]
        self.families: tuple[Family, ...] = tuple(f for f in present if f.input or f.output)
        self.layout: Layout | None = None
        if len(self.families) == 1 and not self.has_objects and not is_raw:
            self.layout = layout_of(self.families[0])
        self.has_counts = self.has_objects or bool(self.families) or is_raw
        self.values_of = _getter([key for key in keys if key in IDENTITY])


def shape_of(attributes: Mapping[str, Any], scope: str, version: str) -> Shape:
    """Return the shape of a span."""
    key = (scope, version, *attributes)
    found = _by_all_keys.get(key)
    if found is None:
        found = _find(attributes, scope, version)
        _remember(_by_all_keys, key, found)
        if not found.is_ours:
            _learn_foreign(attributes)
    return found


_foreign_keys: set[str] = set()
are_foreign: Final[Callable[[Iterable[str]], bool]] = _foreign_keys.issuperset
"""Tell whether all of some keys were seen on spans before, and none of them begins as a vocabulary of ours."""

_by_all_keys: dict[tuple[str, ...], Shape] = {}
_by_our_keys: dict[tuple[str, ...], Shape] = {}


def _find(attributes: Mapping[str, Any], scope: str, version: str) -> Shape:
    """Go through the keys of a span, one by one."""
    is_ours = is_raw = False
    keys = []
    for name in attributes:
        if name in RELEVANT or name.startswith(_BEGINNINGS):
            keys.append(name)
        elif name.startswith("llm.") and _is_raw(name):
            is_raw = True
        is_ours = is_ours or name.startswith(_OURS)
    # A NUL is no part of a name that says anything, so the flags cannot be taken for keys.
    key = (scope, version, f"\0{is_ours:d}{is_raw:d}", *keys)
    found = _by_our_keys.get(key)
    if found is None:
        found = Shape(scope, tuple(keys), is_ours=is_ours, is_raw=is_raw)
        _remember(_by_our_keys, key, found)
    return found


def _learn_foreign(keys: Iterable[str]) -> None:
    """Remember the keys of a span that is none of ours, each for itself: what is ours begins so."""
    new = [key for key in keys if key not in _foreign_keys]
    if sum(map(len, new)) > MAX_KEYS_TEXT:
        return
    if len(_foreign_keys) + len(new) > MAX_FOREIGN_KEYS:
        _foreign_keys.clear()
    _foreign_keys.update(new)


def _is_raw(name: str) -> bool:
    return name.endswith(_RAW) or (name.endswith(_RAW_OF_THREE) and name.count(".") == 2)


def _remember(shapes: dict[tuple[str, ...], Shape], key: tuple[str, ...], shape: Shape) -> None:
    if sum(map(len, key)) > MAX_KEYS_TEXT:
        return
    if len(shapes) >= MAX_SHAPES:
        shapes.clear()
    shapes[key] = shape


def _getter(keys: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if not keys:
        return lambda _: ()
    return itemgetter(*keys, keys[-1])  # twice the last: of a single key it would return no tuple
