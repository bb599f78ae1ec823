# SPDX-License-Identifier: Apache-2.0
"""A live span as the engine sees it: what it has said so far, read when somebody asks."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from spancost.calls.agents import agent_of
from spancost.calls.kinds import OTHER, classify
from spancost.calls.nodes import Node
from spancost.processor._sdk import attributes_of
from spancost.usage import dialect_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls import Call


class LiveNode(Node):
    """
    A node whose span may still be open.

    The span is referred to weakly: a span that the app drops without ending it is freed as ever, and
    *abandon* is told. What an open span says is read again only when it has said something new.
    """

    __slots__ = ("_charged", "_seen", "_span", "labels", "run_calls", "run_femto", "sampled", "version")

    def __init__(
        self,
        span: Any,
        parent: Node | None,
        version: str,
        abandon: Callable[[LiveNode], None],
        **start: Any,
    ) -> None:
        context = span.context
        super().__init__(format(context.trace_id, "032x"), format(context.span_id, "016x"), parent, **start)
        here = weakref.ref(self)

        def gone(_: object) -> None:
            node = here()
            if node is not None and node.is_open:
                abandon(node)

        self._span = weakref.ref(span, gone)
        self._seen = -1
        self._charged: set[int] | None = None
        self.version = version
        self.sampled: bool = context.trace_flags.sampled
        self.labels: tuple[str, ...] = ()
        self.run_femto = 0
        self.run_calls = 0

    @property
    def key(self) -> tuple[int, int]:
        """The span's ids as the SDK has them."""
        return int(self.trace_id, 16), int(self.span_id, 16)

    def look(self) -> None:
        """Bring kind and agent of an open span up to date."""
        if self.end is not None:
            return
        span = self._span()
        if span is None:
            return
        attributes = attributes_of(span)
        seen = hash((len(attributes), span.name))
        if seen == self._seen:
            return
        self._seen = seen
        self.name = span.name
        dialect = dialect_of(attributes, self.scope, self.version)
        if dialect.readable == "end":
            return
        found = classify(span.name, attributes, self.scope, has_usage=False, has_model=False)
        self.kind = found.kind if found is not OTHER else None
        self.call_type = found.call_type
        self.agent = agent_of(span.name, attributes, self.scope, found.kind) or self.agent

    def charge(self, call: Call, femto: int) -> None:
        """Add a call below to the run of this agent, once however many spans show it."""
        if self._charged is None:
            self._charged = set()
        if id(call) not in self._charged:
            self._charged.add(id(call))
            self.run_femto += femto
            self.run_calls += 1
