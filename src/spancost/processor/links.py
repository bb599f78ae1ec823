# SPDX-License-Identifier: Apache-2.0
"""
What is kept of a span from its start until somebody asks: where it stands, and nothing else.

Most spans are no LLM calls and have none below them. All that is done at their start is a `Link`; the
engine's node is made when a span turns out to matter, at its end or at the end of a call below it.

A link holds the context in which its span started until then, and with it the span above, agent block
and baggage. (That span is kept alive so by what is open below it, as by OpenTelemetry's own context.)
The number of children is changed without the lock, by single statements that CPython since 3.11 does
not interrupt: it looks for other threads and signals at calls and backward jumps only. Before, and
without a GIL, `ATOMIC` is false and every span gets its node at once, under the lock.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from spancost.processor.live import LiveNode

ATOMIC: Final = sys.version_info >= (3, 11) and getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether a number in a slot can be changed without a lock."""


class Owner:
    """
    Whose links these are; a forked child gets a new one, and so tells its own links from its parent's.

    Args:
        engine: The engine of the process.
        dropped: Receives links whose spans nobody ended.
    """

    __slots__ = ("dropped", "engine")

    def __init__(self, engine: object, dropped: Callable[[Link], None]) -> None:
        self.engine = engine
        self.dropped = dropped


class Link:
    """
    One span that started. Its fields are set by whoever makes it; there is no constructor, for speed.

    ``owner`` is the engine's, ``above`` the link of the live span above or None, ``context`` the context
    it started in, None once a node knows what that says, ``live`` how many children have an open span at
    or below them, ``open`` True until it ended and None once nothing below is open either, ``node`` what
    the engine knows of it or None.
    """

    __slots__ = ("__weakref__", "above", "context", "live", "node", "open", "owner")

    above: Link | None
    context: Context | None
    live: int
    node: LiveNode | None
    open: bool | None
    owner: Owner

    def __del__(self) -> None:
        """Tell of a span that was dropped without an end; a node keeps the number, and knows of such itself."""
        if self.node is not None:
            self.node.live_children, self.node.done = self.live, self.open is None
        elif self.open:
            self.owner.dropped(self)
