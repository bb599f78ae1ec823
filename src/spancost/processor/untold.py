# SPDX-License-Identifier: Apache-2.0
"""The calls that went straight (`lane`), of which the engine was not told so far."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from spancost.calls.nodes import MAX_BAG
from spancost.calls.recent import MAX_CALLS
from spancost.processor.live import LiveNode, Rows
from spancost.processor.rows import CALL, END, IDS, node_of

if TYPE_CHECKING:
    from spancost.calls import Call, Engine
    from spancost.processor.links import Owner
    from spancost.processor.rows import Row


class Knows(Protocol):
    """Who has the engine, as far as it matters here: `LiveState`."""

    engine: Engine
    owner: Owner
    default_agent: str | None

    def add_node(self, node: LiveNode) -> None:
        """Let a node be found by its span's ids."""


class Untold:
    """
    The last 4,096 calls, as many as the engine remembers; those that it found itself are noted among them.

    Args:
        owner: Has the engine.
    """

    def __init__(self, owner: Knows) -> None:
        self._owner = owner
        self.rows: deque[Any] = deque(maxlen=MAX_CALLS)
        """Rows, and what `RecentCalls.log` notes, in the order of the ends of their spans."""
        owner.engine.recent.log = self.rows

    def call_of(self, row: Row) -> Call:
        """Return the call of a row; its node can be found by its ids while something refers to it."""
        if row[CALL] is None:
            self.node_of(row)
        return row[CALL]  # type: ignore[no-any-return]

    def node_of(self, row: Row) -> LiveNode:
        """Return the node of the call of a row, likewise."""
        owner = self._owner
        node = node_of(row, owner.owner, owner.default_agent)
        owner.add_node(node)
        return node

    def node_with(self, key: tuple[int, int]) -> LiveNode | None:
        """Return the node of a call that went straight, by its span's ids."""
        for row in reversed([*self.rows]):  # a copy, made at once: other threads add some
            if type(row) is list and row[IDS][1] == key[1] and row[IDS][0] == key[0]:
                return self.node_of(row)
        return None

    def hand_on(self, node: LiveNode) -> None:
        """Give the calls below an ended span to the next open one above, as the engine does (`below.hand_on`)."""
        rows, node.rows = node.rows, None
        if rows is None or node.is_boundary:
            return
        for above in node.line():
            if above.is_open and isinstance(above, LiveNode):
                for row in rows:
                    self.keep_below(above, row)
                return

    def keep_below(self, node: LiveNode, row: Row) -> None:
        """Let an open span have a call below it, for the case that it turns out a call itself."""
        if node.bag is not None and node.bag.is_full:
            return
        if node.rows is None:
            node.rows = Rows(self.call_of)
        if len(node.rows) < MAX_BAG:
            node.rows.append(row)
        else:
            node.calls_below().is_full = True

    @property
    def has_rows(self) -> bool:
        """Whether there are calls that the engine has not seen."""
        return any(type(each) is list for each in [*self.rows])  # a copy, as above

    def tell_all(self) -> None:
        """Let the engine know of all calls that it has not seen; not while it decides on one."""
        has_rows, known = self.has_rows, [*self.rows]
        self.rows.clear()
        if not has_rows:
            return
        self._owner.engine.recent.catch_up(
            (self.call_of(each), each[END]) if type(each) is list else each for each in known
        )
