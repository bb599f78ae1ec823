# SPDX-License-Identifier: Apache-2.0
"""What is known of a span at its start: who encloses it, and what its context says of agents and labels."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

from spancost.context import AGENT_BAGGAGE, blocks_are_used, current_block
from spancost.processor._sdk import node_of
from spancost.processor.live import LiveNode
from spancost.usage.dialects import dialects_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from spancost.processor.labels import Labels

MAIN_AGENT: Final = "gen_ai.main_agent.name"
MAX_NAME_CHARS: Final = 256

_log: Final = logging.getLogger("spancost")


class Starts:
    """
    Makes the nodes of spans that start.

    Args:
        labels: The configured extra metric labels.
        slot: Under what name spans hold their nodes.
        nodes: The live nodes by their spans' ids.
        skip_remote: Whether calls below a span of another service are left to that service.
    """

    def __init__(
        self,
        labels: Labels,
        slot: str,
        nodes: Mapping[tuple[int, int], LiveNode],
        *,
        skip_remote: bool,
    ) -> None:
        self._labels = labels
        self._slot = slot
        self._nodes = nodes
        self._skip_remote = skip_remote
        self._warned = False

    def node(
        self,
        span: Any,
        parent_context: Context | None,
        dropped: Callable[[LiveNode], None],
    ) -> LiveNode:
        """Return the node of a span that starts."""
        parent_id = span.parent
        remote = parent_id is not None and parent_id.is_remote
        parent = None if parent_id is None or remote else self._parent(parent_id, parent_context)
        scope = span.instrumentation_scope
        name, version = (scope.name, scope.version or "") if scope is not None else ("", "")
        resource = span.resource.attributes
        node = LiveNode(
            span,
            parent,
            version,
            dropped,
            is_root=parent_id is None,
            name=span.name,
            scope=name,
            start=span.start_time,
            remote=remote,
            resource=str(resource.get("service.name", "")),
            detached=_is_detached(name, version),
        )
        if self._skip_remote:
            if remote:
                node.caller = format(parent_id.span_id, "016x")
            elif parent is not None:
                node.caller = parent.caller
        context = parent_context if parent_context is not None else otel_context.get_current()
        node.block = current_block(context)
        if node.block is None:
            # From outside: it names a call only where no span and no block does.
            named: object = baggage.get_baggage(AGENT_BAGGAGE, context) or resource.get(MAIN_AGENT)
            node.inherited = named[:MAX_NAME_CHARS] if isinstance(named, str) and named.strip() else None
        if self._labels:
            node.labels = self._labels.at_start(context, resource)
        return node

    def _parent(self, parent_id: Any, parent_context: Context | None) -> LiveNode | None:
        current = trace.get_current_span(parent_context)
        parent: LiveNode | None = node_of(current, self._slot)
        key = (parent_id.trace_id, parent_id.span_id)
        if parent is not None and parent.key == key:
            return parent
        if parent_context is None and current.get_span_context().span_id != parent_id.span_id:
            self._warn()
        return self._nodes.get(key)

    def _warn(self) -> None:
        """Say once that the program's context cannot be seen; a parent is still found by its id."""
        if not self._warned and blocks_are_used():
            self._warned = True
            _log.warning(
                "spancost: hooks of this TracerProvider run on threads of their own (as under "
                "ConcurrentMultiSpanProcessor), where `spancost.agent` blocks and baggage cannot be seen. "
                "Calls are counted, but not under the block's agent; use SynchronousMultiSpanProcessor."
            )


@lru_cache(maxsize=1024)
def _is_detached(scope_name: str, scope_version: str) -> bool:
    """Tell whether a scope never makes its spans current: a column of the dialect table."""
    return any(row.detached for row in dialects_of(scope_name, scope_version))
