# SPDX-License-Identifier: Apache-2.0
"""A live span as the engine sees it: what it has said so far, read when somebody asks."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from spancost.calls.facts import glance
from spancost.calls.kinds import OTHER
from spancost.calls.nodes import Node
from spancost.processor._sdk import snapshot_of, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls import Call


class LiveNode(Node):
    """
    A node whose span may still be open.

    The span is referred to weakly: a span that the app drops without ending it is freed as ever, and
    *dropped* is told. What an open span says is read again only when it has said something new.
    """

    __slots__ = (
        "_said",
        "_span",
        "at_start",
        "caller",
        "key",
        "labels",
        "run_calls",
        "run_femto",
        "sampled",
        "version",
        "was_forked",
    )

    def __init__(
        self,
        span: Any,
        parent: Node | None,
        version: str,
        dropped: Callable[[LiveNode], None],
        **start: Any,
    ) -> None:
        context = span.context
        self.key: tuple[int, int] = (context.trace_id, context.span_id)
        """The span's ids as the SDK has them."""
        super().__init__(format(self.key[0], "032x"), format(self.key[1], "016x"), parent, **start)
        here = weakref.ref(self)

        def gone(_: object) -> None:
            node = here()
            if node is not None and node.is_open:
                dropped(node)

        self._span = weakref.ref(span, gone)
        self._said: tuple[Any, ...] | None = None
        self.at_start: dict[str, Any] | None = None
        """What the span said at its start, as long as it is open: its limits may drop that."""
        self.version = version
        self.caller = ""
        """On a gateway that leaves its callers' calls to them: the caller's span, at every span below it."""
        self.sampled: bool = context.trace_flags.sampled
        self.labels: tuple[str, ...] = ()
        self.run_femto = 0
        self.run_calls = 0
        self.was_forked = False
        """Whether the span is a fork's copy of one that began in the parent process, which counts it."""

    def look(self) -> None:
        """Bring kind and agent of an open span up to date."""
        if self.end is not None:
            self._said = self.at_start = None
            return
        span = self._span()
        if span is None:
            return
        said = values_of(span)
        if said == self._said:
            return
        self._said = said
        self.name = span.name
        found, agent, dialect = glance(span.name, snapshot_of(span, self.at_start), self.scope, self.version)
        if dialect.readable == "end":
            return
        self.kind = found.kind if found is not OTHER else None
        self.call_type = found.call_type
        self.agent = agent or self.agent

    def span_is(self, span: Any) -> None:
        """Take the span itself, where only its ids were known."""
        self._span = weakref.ref(span)
        self._said = None

    def charge(self, femto: int) -> None:
        """Add a call below to the run that this span may turn out to be."""
        self.run_femto += femto
        self.run_calls += 1

    def forked(self) -> None:
        """Leave to the parent process what it knows of this span and will count."""
        self.was_forked = True
        self.run_femto = self.run_calls = 0
        self.live_children = 0
        self.adopted = self.bag = self.waiting = self.unsettled_below = None
        self.waits = False


def caller_of(call: Call) -> str:
    """Return the span of another service that counts this call itself, or an empty string: it is ours to count."""
    carrier = call.carrier
    return carrier.caller if isinstance(carrier, LiveNode) else ""
