# SPDX-License-Identifier: Apache-2.0
"""A live span as the engine sees it: what it has said so far, read when somebody asks."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from spancost.calls.facts import glance
from spancost.calls.kinds import OTHER
from spancost.calls.nodes import Node
from spancost.processor._sdk import snapshot_of, values_of
from spancost.processor.links import ABOVE, CONTEXT, KIDS, LIVE, NODE, OPEN, OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls import Call
    from spancost.processor.links import Link, Owner


class LiveNode(Node):
    """
    A node whose span may still be open.

    The span is referred to weakly: a span that the app drops without ending it is freed as ever, and
    *dropped* is told. What an open span says is read again only when it has said something new.
    """

    __slots__ = (
        "_said",
        "_span",
        "caller",
        "key",
        "labels",
        "link",
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
        self.link: Link = [None] * 8
        super().__init__(format(self.key[0], "032x"), format(self.key[1], "016x"), parent, **start)
        here = weakref.ref(self)

        def gone(_: object) -> None:
            node = here()
            if node is not None and node.link[OPEN] and node.is_open:
                dropped(node)

        self._span = weakref.ref(span, gone)
        self._said: tuple[Any, ...] | None = None
        self.version = version
        self.caller = ""
        """On a gateway that leaves its callers' calls to them: the caller's span, at every span below it."""
        self.sampled: bool = context.trace_flags.sampled
        self.labels: tuple[str, ...] = ()
        self.run_femto = 0
        self.run_calls = 0
        self.was_forked = False
        """Whether the span is a fork's copy of one that began in the parent process, which counts it."""

    # --- what is open below: the link counts it -----------------------------------------------------

    def linked(self, link: Link) -> None:
        """Take over from the link of the same span."""
        link[NODE] = weakref.ref(self)
        link[CONTEXT] = None
        above = link[ABOVE]
        if above is not None and above[KIDS]:
            above[KIDS].pop(self.key[1], None)
        self.link = link

    def close(self) -> None:
        """Take that the span ended."""
        self.link[OPEN] = False

    @property
    def live_children(self) -> int:
        """Children whose subtree still has an open span."""
        return self.link[LIVE]  # type: ignore[no-any-return]

    @live_children.setter
    def live_children(self, number: int) -> None:
        self.link[LIVE] = number

    def child_opened(self) -> bool:
        """Take that a child started; tell whether nothing at or below this span was open any more."""
        link = self.link
        link[LIVE] += 1
        if link[OPEN] is not None:
            return False
        link[OPEN] = False
        return True

    def child_closed(self) -> None:
        """Take that nothing at or below one child is open any more."""
        self.link[LIVE] -= 1

    def is_done(self) -> bool:
        """Tell whether, with this, nothing at or below this span is open any more: asked once each time."""
        link = self.link
        if link[LIVE] > 0 or link[OPEN] is not False:
            return False
        link[OPEN] = None
        return True

    def look(self) -> None:
        """Bring kind and agent of an open span up to date."""
        if self.end is not None:
            self._said = None
            return
        span = self._span()
        if span is None:
            return
        said = values_of(span)
        if said == self._said:
            return
        self.name = span.name
        found, agent, dialect = glance(span.name, snapshot_of(span), self.scope, self.version)
        self._said = said
        if dialect.readable == "end":
            return
        self.kind = found.kind if found is not OTHER else None
        self.call_type = found.call_type
        self.agent = agent or self.agent

    def is_of(self, span: Any) -> bool:
        """Tell whether this is the node of a live span itself, and not of another with its ids."""
        return self._span() is span

    def span_is(self, span: Any) -> None:
        """Take the span itself, where only its ids were known."""
        self._span = weakref.ref(span)
        self._said = None

    def charge(self, femto: int) -> None:
        """Add a call below to the run that this span may turn out to be."""
        self.run_femto += femto
        self.run_calls += 1

    def forked(self, owner: Owner) -> None:
        """Leave to the parent process what it knows of this span and will count."""
        self.link[OWNER] = owner
        self.was_forked = True
        self.run_femto = self.run_calls = 0
        self.live_children = 0
        self.adopted = self.bag = self.waiting = self.unsettled_below = None
        self.waits = False


def caller_of(call: Call) -> str:
    """Return the span of another service that counts this call itself, or an empty string: it is ours to count."""
    carrier = call.carrier
    return carrier.caller if isinstance(carrier, LiveNode) else ""
