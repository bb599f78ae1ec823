# SPDX-License-Identifier: Apache-2.0
"""A live span as the engine sees it: what it has said so far, read when somebody asks."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from spancost.calls.facts import glance
from spancost.calls.kinds import OTHER
from spancost.calls.nodes import Bag, Node
from spancost.processor._sdk import Said, said_by, snapshot_of
from spancost.processor.links import ABOVE, CONTEXT, KIDS, LIVE, NODE, OPEN, OWNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls import Call
    from spancost.processor.links import Link, Owner


class Rows(list[list[Any]]):
    """
    Rows of calls that went straight (`lane`), in their order.

    Args:
        call_of: Makes a call of a row.
    """

    def __init__(self, call_of: Callable[[list[Any]], Call]) -> None:
        super().__init__()
        self.call_of = call_of


class LiveNode(Node):
    """
    A node whose span may still be open.

    The span is referred to weakly: a span that the app drops without ending it is freed as ever, and
    who watches is told. What an open span says is read again only when it has said something new.

    Args:
        ids: The span's `SpanContext`.
        parent: The node of the span above.
        version: Version of its scope.
        start: What `Node` wants.
    """

    __slots__ = (
        "_span",
        "caller",
        "key",
        "labels",
        "link",
        "rows",
        "run_calls",
        "run_femto",
        "said",
        "sampled",
        "version",
        "was_forked",
    )

    def __init__(self, ids: Any, parent: Node | None, version: str, **start: Any) -> None:
        self.key: tuple[int, int] = (ids[0], ids[1])
        """The span's ids as the SDK has them."""
        self.link: Link = [None] * 8
        super().__init__(format(ids[0], "032x"), format(ids[1], "016x"), parent, **start)
        self._span: Callable[[], Any] = _no_span
        self.said: Said | None = None
        """What an open span had said when it was last read."""
        self.version = version
        self.caller = ""
        """On a gateway that leaves its callers' calls to them: the caller's span, at every span below it."""
        self.sampled: bool = ids.trace_flags.sampled
        self.labels: tuple[str, ...] = ()
        self.run_femto = 0
        self.run_calls = 0
        self.rows: Rows | None = None
        """Calls that went straight below it, later than those in its bag; at most `MAX_BAG`."""
        self.was_forked = False
        """Whether the span is a fork's copy of one that began in the parent process, which counts it."""

    def watch(self, span: Any, dropped: Callable[[LiveNode], None]) -> None:
        """Read from a span, and tell when it is freed without an end."""
        here = weakref.ref(self)

        def gone(_: object) -> None:
            node = here()
            if node is not None and node.link[OPEN] and node.is_open:
                dropped(node)

        self._span = weakref.ref(span, gone)

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

    def calls_below(self) -> Bag:
        """Return the bag, with the calls in it that went straight: before any that comes now."""
        bag = super().calls_below()
        if self.rows is not None:
            rows, self.rows = self.rows, None
            for row in rows:
                bag.add(rows.call_of(row))
        return bag

    def look(self) -> None:
        """Bring kind and agent of an open span up to date."""
        if self.end is not None:
            self.said = None
            return
        span = self._span()
        if span is None:
            return
        known = self.said
        if known is not None:
            # Straight-line code: it is asked of the spans above at the end of each call below them.
            number, values_of, values = known
            bounded = span._attributes
            attributes = bounded._dict
            try:
                if (
                    len(attributes) + bounded.dropped == number
                    and values_of(attributes) == values
                    and span._name == self.name
                ):
                    return
            except KeyError:  # its limits dropped what had a value
                pass
        name = span.name
        said = said_by(span, self.scope, self.version)
        found, agent, dialect = glance(name, snapshot_of(span), self.scope, self.version)
        self.name, self.said = name, said
        if dialect.readable == "end":
            return
        self.kind = found.kind if found is not OTHER else None
        self.call_type = found.call_type
        self.agent = agent or self.agent

    def is_of(self, span: Any) -> bool:
        """Tell whether this is the node of a live span itself, and not of another with its ids."""
        return self._span() is span

    @property
    def reference(self) -> Callable[[], Any]:
        """What gives the span, or None once it is freed."""
        return self._span

    def span_is(self, span: Any) -> None:
        """Take the span itself, where only its ids were known."""
        self._span = weakref.ref(span)
        self.said = None

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
        self.adopted = self.bag = self.rows = self.waiting = self.unsettled_below = None
        self.waits = False


def _no_span() -> None:
    return None


def caller_of(call: Call) -> str:
    """Return the span of another service that counts this call itself, or an empty string: it is ours to count."""
    carrier = call.carrier
    return carrier.caller if isinstance(carrier, LiveNode) else ""
