# SPDX-License-Identifier: Apache-2.0
"""Agents and other roll-ups with usage and no call below that shows any: they count once (design 5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spancost.calls.below import adds_up_elsewhere, mark_above, note_below
from spancost.calls.nodes import Call

if TYPE_CHECKING:
    from spancost.calls.nodes import Node
    from spancost.calls.settlement import Settlement

AGGREGATED: Final = "aggregated"


class Aggregates:
    """
    Roll-ups that are all that anybody saw of their calls.

    Args:
        calls: Where they are priced and emitted.
    """

    def __init__(self, calls: Settlement) -> None:
        self._calls = calls
        self.any = False
        """Whether there were any."""

    def settle(self, node: Node) -> None:
        """Count an ended roll-up, unless calls below it or beside it are what it sums up."""
        reading = node.facts.reading
        if node.types_below or reading is None:
            return
        if adds_up_elsewhere(self._calls.recent, node, reading):
            mark_above(node, "")
            return
        call = Call(node, reading)
        call.flag(AGGREGATED)
        self.any = True
        node.call = call
        note_below(node, call)
        self._calls.freeze(call)

    def above(self, node: Node) -> Call | None:
        """Return the aggregate above that a call was counted with, because it ends later."""
        if not self.any:
            return None
        for above in node.ancestors():
            if above.call is not None and AGGREGATED in above.call.flags and not above.is_open:
                return above.call
        return None
