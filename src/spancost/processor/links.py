# SPDX-License-Identifier: Apache-2.0
"""
What is kept of a span from its start until somebody asks: where it stands, and nothing else.

Most spans are no LLM calls and have none below them. All that is done at their start is a *link*; the
engine's node is made when a span turns out to matter, at its end or at the end of a call below it.

A link is a list, since to make an object costs three times as much as all else at a span's start:

    OWNER    whose it is: an engine's, and not that of the process from which this one was forked
    ABOVE    the link of the live span above, or None
    CONTEXT  the context in which the span started; None once a node knows what it says. With it come the
             span above, agent block and baggage. (It keeps that span alive as long as this one is open, as
             OpenTelemetry's own context does.) Of an ended call that went straight, its row (`rows`)
    LIVE     how many children have an open span at or below them
    OPEN     True until the span ended, then False, and None once nothing below is open either
    NODE     a weak reference to the engine's node, or None or `MAYBE_CALL`; the node hangs on the span beside its link
    KIDS     the open children without a node, or None: weak references by their span ids, held from
             here since the garbage collector tells nobody of a span that it frees with what refers to it
    LOST     who is told by them of a child that is freed without an end

The number of children is changed without the lock, by single statements that CPython since 3.11 does
not interrupt: it looks for other threads and signals at calls and backward jumps only. Before, and
without a GIL, `ATOMIC` is false and every span gets its node at once, under the lock.
"""

from __future__ import annotations

import sys
from typing import Any, Final

ATOMIC: Final = sys.version_info >= (3, 11) and getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether a number in a list can be changed without a lock."""

SHARED: Final = object()
"""At LOST of a link that many spans have: of roots that started in an empty context."""

Link = list[Any]

OWNER, ABOVE, CONTEXT, LIVE, OPEN, NODE, KIDS, LOST = range(8)


class Owner:
    """
    Whose links these are; a forked child gets a new one, and so tells its own links from its parent's.

    Args:
        engine: The engine of the process.
    """

    __slots__ = ("engine",)

    def __init__(self, engine: object) -> None:
        self.engine = engine


def MAYBE_CALL() -> None:  # noqa: N802 - a constant that can be called, as a weak reference can
    """Stands at NODE of a span that said at its start that it may be a call, while it has no node."""


def node_in(link: Link) -> Any:
    """Return the engine's node of a span, or None."""
    reference = link[NODE]
    return reference() if reference is not None else None
