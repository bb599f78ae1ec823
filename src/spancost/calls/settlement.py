# SPDX-License-Identifier: Apache-2.0
"""
From found to settled: what happens to a call once it is known.

A call is held while the open span that adopted it lasts, priced once when it is frozen, and emitted
once when nothing can bring its agent any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spancost.calls.attribution import agent_of_call
from spancost.calls.below import note_below
from spancost.calls.pending import PendingCalls
from spancost.calls.recent import RecentCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls.nodes import Call, Node
    from spancost.cost import Cost, Unpriced

DUPLICATE: Final = "duplicate"
ROLLUP: Final = "rollup"
AMOUNT: Final = "amount"
PRICED: Final = "priced"
UNPRICED: Final = "unpriced"
FAILED: Final = "failed"

MAX_HELD_NS: Final = 600 * 10**9
"""How long an open call may keep the one it adopted from being settled (5.1 f)."""

MAX_HELD: Final = 10_000


class Settlement:
    """
    The calls that are known and not yet emitted, and those that were a little while ago.

    Args:
        price: Prices a call from what its copies say; called once a call.
        emit: Receives each call once.
        on_copy: Told of every copy of a call whose money is final, each once.
    """

    def __init__(
        self,
        price: Callable[[Call], Cost | Unpriced],
        emit: Callable[[Call], None],
        on_copy: Callable[[Call, Node], None] | None = None,
    ) -> None:
        self._price = price
        self._emit = emit
        self.on_copy = on_copy
        self.recent = RecentCalls()
        self.pending = PendingCalls(self._settle)
        self._held: dict[int, Call] = {}

    def __len__(self) -> int:
        return len(self.pending) + len(self._held)

    def found(self, node: Node, call: Call) -> None:
        """Take a call whose first copy with usage ended."""
        note_below(node, call)
        self.recent.add(call, node.end or node.start)

    def hold(self, call: Call) -> None:
        """Keep a call until the open span that carries it ends."""
        self._held[id(call)] = call

    def forget(self, call: Call) -> None:
        """Drop a held call that turned out a copy of another."""
        self._held.pop(id(call), None)
        self.recent.forget(call)

    def freeze(self, call: Call) -> None:
        """Price a call whose carrier ended; from here its money is final."""
        call.frozen = True
        self._held.pop(id(call), None)
        call.cost = self._price(call)
        if call.reading is None and any(node.facts.failed for node in call.copies):
            call.status = FAILED
        else:
            call.status = PRICED if call.cost.total is not None else UNPRICED
        call.carrier.outcome = AMOUNT if call.status == PRICED else call.status
        if self.on_copy is not None:
            for node in call.copies:
                self.on_copy(call, node)
        self.pending.add(call, call.until)

    @property
    def may_expire(self) -> bool:
        """Whether any call waits."""
        return bool(self._held) or self.pending.may_expire

    def expire(self, now: int) -> None:
        """Settle what waited too long, by span time."""
        self.pending.expire(now)
        while self._held:
            call = next(iter(self._held.values()))
            if now - call.end <= MAX_HELD_NS and len(self._held) <= MAX_HELD:
                return
            self.freeze(call)

    def freeze_held(self, *, on_what_ended: bool) -> None:
        """Freeze every held call; with *on_what_ended* a span that ended carries it, for no other will."""
        for call in list(self._held.values()):
            if on_what_ended:
                call.carrier = call.copies[0]
            self.freeze(call)

    def _settle(self, call: Call) -> None:
        call.settled = True
        call.agent = agent_of_call(call)
        self._emit(call)
