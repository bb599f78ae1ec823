# SPDX-License-Identifier: Apache-2.0
"""What is known of a span at its start: who encloses it, and what its context says of agents and labels."""

from __future__ import annotations

import logging
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage

from spancost.context import AGENT_BAGGAGE, blocks_are_used, current_block
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
    Makes the nodes of spans, from what is known at their start.

    Args:
        labels: The configured extra metric labels.
        skip_remote: Whether calls below a span of another service are left to that service.
    """

    def __init__(self, labels: Labels, *, skip_remote: bool) -> None:
        self._labels = labels
        self._skip_remote = skip_remote
        self._warned = False

    def node(
        self,
        span: Any,
        context: Context,
        parent: LiveNode | None,
        dropped: Callable[[LiveNode], None],
    ) -> LiveNode:
        """
        Return the node of a span.

        Args:
            span: The span, just started or later.
            context: The context in which it started.
            parent: The node of the live span above, if there is one in this process.
            dropped: Told when the span is freed without an end.
        """
        parent_id = span.parent
        remote = parent_id is not None and parent_id.is_remote
        scope = span.instrumentation_scope
        name, version = (scope.name, scope.version or "") if scope is not None else ("", "")
        resource = span.resource.attributes
        node = LiveNode(
            span.context,
            parent,
            version,
            is_root=parent_id is None,
            name=span.name,
            scope=name,
            start=span.start_time,
            remote=remote,
            resource=str(resource.get("service.name", "")),
            detached=is_detached(name, version),
        )
        node.watch(span, dropped)
        if self._skip_remote:
            if remote:
                node.caller = format(parent_id.span_id, "016x")
            elif parent is not None:
                node.caller = parent.caller
        node.block = current_block(context)
        if node.block is None:
            node.inherited = agent_from_outside(context, resource)
        if self._labels:
            node.labels = self._labels.at_start(context, resource)
        return node

    def warn_of_threads(self) -> None:
        """Say once that the program's context cannot be seen; a parent is still found by its id."""
        if not self._warned and blocks_are_used():
            self._warned = True
            _log.warning(
                "spancost: hooks of this TracerProvider run on threads of their own (as under "
                "ConcurrentMultiSpanProcessor), where `spancost.agent` blocks and baggage cannot be seen. "
                "Calls are counted, but not under the block's agent; use SynchronousMultiSpanProcessor."
            )


def agent_from_outside(context: Context | None, resource: Mapping[str, Any]) -> str | None:
    """Return an agent that names a call only where no span and no block does: from baggage, else the resource."""
    named: object = baggage.get_baggage(AGENT_BAGGAGE, context) if context else None
    named = named or resource.get(MAIN_AGENT)
    return named[:MAX_NAME_CHARS] if isinstance(named, str) and named.strip() else None


def outside_of(resource: Any) -> str | None:
    """Return the agent that a resource names, worked out once for each of the last ones."""
    for known, agent in [*_resources]:  # a copy, made at once: another engine adds some
        if known is resource:
            return agent
    agent = agent_from_outside(None, resource.attributes)
    _resources.append((resource, agent))
    return agent


_resources: Final[deque[tuple[Any, str | None]]] = deque(maxlen=8)


@lru_cache(maxsize=1024)
def is_detached(scope_name: str, scope_version: str) -> bool:
    """Tell whether a scope never makes its spans current: a column of the dialect table."""
    return any(row.detached for row in dialects_of(scope_name, scope_version))
