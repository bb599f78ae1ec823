# SPDX-License-Identifier: Apache-2.0
"""
The engine: span starts and ends in, calls out, each once.

It decides which spans are copies of one call, which one carries the amount, and who made the call.
The same engine serves live spans and files: it is fed ``start`` and ``end`` in the order things
happened, and asks nobody for the time. See design section 5.1 to 5.4; the letters below are its.

A call goes through three steps. It is *found* when its first copy with usage ends. It is *frozen*
when the span that carries it ends: priced, and its money final. It is *settled*, and emitted, when
no open span can be another copy of it that knows the agent better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spancost.calls.aggregates import AGGREGATED, Aggregates
from spancost.calls.below import calls_below, encloses_usage, hand_on, is_explained, is_sum_of, note_below
from spancost.calls.copies import agree, billed, is_another_copy, is_late_copy, merge
from spancost.calls.kinds import Kind
from spancost.calls.nodes import Call, Node
from spancost.calls.settlement import DUPLICATE, ROLLUP, Settlement
from spancost.calls.silent import SilentSpans

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls.facts import Facts
    from spancost.calls.recent import RecentCalls
    from spancost.cost import Cost, Unpriced
    from spancost.usage import Reading


class Engine:
    """
    Settle copies of calls and attribute them.

    Not thread-safe: its owner holds one lock around it.

    Args:
        price: Prices a call from what its copies say; called once a call, when it is frozen.
        emit: Receives each call once, settled.
        on_copy: Told of every copy of a call whose money is final, each once; for the cost of runs.
    """

    def __init__(
        self,
        price: Callable[[Call], Cost | Unpriced],
        emit: Callable[[Call], None],
        on_copy: Callable[[Call, Node], None] | None = None,
    ) -> None:
        self._calls = Settlement(price, emit, on_copy)
        self._recent = self._calls.recent
        self._aggregates = Aggregates(self._calls)
        self._silent = SilentSpans(self._settle_silent, self._aggregates.settle)

    # --- events -----------------------------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Take a span that started."""
        above = node.parent
        while above is not None and above.child_opened():
            above = above.parent  # its subtree had ended, and is open again
        if node.detached:
            self._calls.pending.opened(node)

    def end(self, node: Node, facts: Facts, end: int) -> None:
        """Take a span that ended, with everything it says."""
        node.end = max(end, node.start)
        node.facts = facts
        node.kind, _, node.call_type, _ = facts.classification
        if facts.agent is not None:
            node.agent = facts.agent
        self._silent.expire(node.end)
        self._calls.expire(node.end)
        try:
            self._decide(node, facts)
        finally:
            self._close(node)  # whatever failed, the spans above must not wait for this one

    def _decide(self, node: Node, facts: Facts) -> None:
        """Decide what a span that ended was."""
        if node.adopted is not None:
            self._end_adopter(node, node.adopted)
        elif node.kind is Kind.CALL:
            if facts.reading is None:
                self._end_silent(node)
            else:
                self._end_call(node, facts.reading)
        elif facts.reading is not None and node.kind is not Kind.OTHER:
            self._end_rollup(node)

    @property
    def may_expire(self) -> bool:
        """Whether anything waits for time to pass."""
        return self._silent.may_expire or self._calls.may_expire

    def expire(self, now: int) -> None:
        """Take that time passed; a span that ends says so itself."""
        self._silent.expire(now)
        self._calls.expire(now)

    @property
    def recent(self) -> RecentCalls:
        """The calls of which what comes may be a copy."""
        return self._recent

    @property
    def has_aggregates(self) -> bool:
        """Whether there was a roll-up that is all that anybody saw of its calls; later ones may be copies of it."""
        return self._aggregates.any

    def settle_early(self) -> None:
        """
        Settle everything that waits, as it stands; spans go on starting and ending (5.1 f).

        A span that adopted a call and ends later carries exactly the amount settled here.
        """
        self._calls.freeze_held(on_what_ended=False)
        self._silent.flush()
        self._calls.pending.flush()

    def flush(self) -> None:
        """Settle everything that waits: no span will end any more."""
        self._calls.freeze_held(on_what_ended=True)
        self._silent.flush()
        self._calls.pending.flush()

    @property
    def waiting(self) -> int:
        """How many calls wait to be settled."""
        return len(self._calls) + len(self._silent)

    @property
    def remembered(self) -> int:
        """How many keys the index of recent calls has."""
        return self._recent.keys

    # --- calls with usage -----------------------------------------------------------------------

    def _end_call(self, node: Node, reading: Reading) -> None:
        if self._is_rollup_of_below(node, reading):
            return
        if (
            self._join(self._recent.find_by_id(node), node)  # no number is surer
            or self._join_above(node, reading)
            or self._join(self._aggregates.above(node), node)
            or self._join_silent(node, reading)
            or self._join(self._recent.find(node, reading), node)
        ):
            return
        call = Call(node, reading)
        node.call = call
        self._calls.found(node, call)
        quiet = self._silent.last_below(node)
        if quiet is not None:
            self._silent.take(quiet)
            self._silent.join(call, quiet)
        self._silent.decide_below(node, call)
        self._calls.freeze(call)

    def _is_rollup_of_below(self, node: Node, reading: Reading) -> bool:
        """Settle a span that was not known as a call while the calls below it ended (5.1 b, g)."""
        below = calls_below(node)
        if node.facts.classification.fallback:
            if below or encloses_usage(node):
                node.outcome = ROLLUP
            return node.outcome == ROLLUP
        if not below:
            return False
        for call in below:
            if call.reading is not None and agree(call.reading, reading):
                return self._join(call, node)
        if len(below) == 1:
            # A lone call inside a call is a copy even where a library's numbers are some tokens off.
            return self._join(below[0], node, doubtful=True)
        node.outcome = ROLLUP
        if not is_sum_of(below, node, reading):
            for call in below:
                if not call.settled:
                    call.flag("suspect")
        return True

    def _join_above(self, node: Node, reading: Reading) -> bool:
        """Find the call above on the line that this span is a copy of (5.1 a, and b for a late child)."""
        free: list[Node] = []
        for above in node.line():
            if above.kind is not Kind.CALL or above.call_type != node.call_type:
                continue
            if above.is_open:
                if above.adopted is None:
                    free.append(above)
                    continue
                if is_another_copy(above.adopted, node, reading, free):
                    self._join(above.adopted, node)
                    _let_adopt(free, above.adopted)
                    return True
                break
            if above.waits or above.call is not None:
                if self._join_ended(above, node, reading, free) and node.call is not None:
                    _let_adopt(free, node.call)
                    return True
                break
        if free:
            self._adopt(node, reading, free)
        return bool(free)

    def _join_ended(self, above: Node, node: Node, reading: Reading, between: list[Node]) -> bool:
        """Join the call of a span above that ended before this one."""
        if above.waits:
            self._silent.take(above)
            self._carry(node, reading, above)
            return True
        if above.call is not None and is_late_copy(above.call, above, node, reading, between):
            return self._join(above.call, node)
        return False

    def _adopt(self, node: Node, reading: Reading, adopters: list[Node]) -> None:
        """Hold the call for the outermost of the open calls above that have none: it will carry the amount."""
        call = Call(node, reading)
        node.call = call
        _let_adopt(adopters, call)
        call.carrier = adopters[-1]
        node.outcome = DUPLICATE
        self._calls.hold(call)
        self._calls.found(node, call)
        self._silent.decide_below(node, call)

    def _join_silent(self, node: Node, reading: Reading) -> bool:
        """Bring usage to a sibling that ended without: streams that are reported apart (5.1 b)."""
        quiet = self._silent.partner_of(node)
        if quiet is None:
            return False
        if quiet.waits:
            self._silent.take(quiet)
            self._carry(node, reading, quiet)
            return True
        if quiet.call is not None and quiet.call.reading is not None and agree(quiet.call.reading, reading):
            return self._join(quiet.call, node)
        return False

    def _carry(self, node: Node, reading: Reading, quiet: Node) -> None:
        """Let a span with usage carry the call of one that ended without."""
        call = Call(node, reading)
        node.call = call
        self._silent.join(call, quiet)
        self._calls.found(node, call)
        self._silent.decide_below(node, call)
        self._calls.freeze(call)

    def _end_adopter(self, node: Node, call: Call) -> None:
        """End an open call that adopted one below: merge its own usage, and carry the amount (5.1 a)."""
        reading = node.facts.reading
        if reading is not None and call.reading is not None and not call.frozen:
            if agree(call.reading, reading):
                call.reading = merge(call.reading, reading)
            elif not is_explained(node, call, reading):
                if calls_below(node) == [call]:
                    call.reading = merge(call.reading, reading)
                call.flag("suspect")
        call.add(node)
        node.call = call
        self._recent.learn(call)
        self._silent.decide_below(node, call)
        if call.carrier is not node:
            node.outcome = DUPLICATE
        elif not call.frozen:
            call.start, call.end = node.start, node.end or node.start
            if not self._give_to_sibling(call, node):
                self._calls.freeze(call)

    def _give_to_sibling(self, call: Call, node: Node) -> bool:
        """
        Make a held call and all its copies copies of a call that a sibling of its carrier showed first.

        The sibling ended between the copies below the carrier and the carrier itself, so only now can
        it be told (5.1 c: the amount went to the first).
        """
        if call.reading is None:
            return False
        other = self._recent.find(node, call.reading, besides=call)
        if other is None or not other.frozen:
            return False
        self._calls.forget(call)
        if node.bag is not None:
            node.bag.discard(call)
        for copy in call.copies:
            self._join(other, copy)
        return True

    def _join(self, call: Call | None, node: Node, *, doubtful: bool = False) -> bool:
        """Make *node* one more copy of *call*, if there is one; the money of a frozen call stays as it is."""
        if call is None:
            return False
        reading = node.facts.reading
        if call.reading is not None and reading is not None and AGGREGATED not in call.flags:
            merged = merge(call.reading, reading)
            if not call.frozen:
                call.reading = merged
            elif doubtful or billed(call.reading) != billed(merged):
                call.flag("suspect")
        call.add(node)
        node.call = call
        node.outcome = DUPLICATE
        self._recent.learn(call)
        note_below(node, call)
        if call.frozen and self._calls.on_copy is not None:
            self._calls.on_copy(call, node)
        self._silent.decide_below(node, call)
        return True

    # --- calls without usage, roll-ups -----------------------------------------------------------

    def _end_silent(self, node: Node) -> None:
        """End a call span without usage (5.1 b, 5.3)."""
        below = calls_below(node)
        if below:
            self._join(next((c for c in below if node.scope not in c.scopes), below[0]), node)
            return
        if self._join(self._recent.find_silent(node), node):
            return
        for above in node.line():
            if above.kind is not Kind.CALL or above.call_type != node.call_type or above.outcome == ROLLUP:
                continue
            if above.is_open or above.call is None:
                self._silent.leave_to(above, node)
            else:
                self._silent.settle_with(above.call, node)
            return
        if node.facts.cached_response:
            self._settle_silent(node)
        else:
            self._silent.wait(node)

    def _settle_silent(self, node: Node) -> None:
        """Count a call that never showed usage."""
        call = Call(node, None)
        node.call = call
        self._silent.decide_below(node, call)
        if node.facts.failed:
            self._recent.add(call, call.until)  # another instrumentation may report the same failure
        self._calls.freeze(call)

    def _end_rollup(self, node: Node) -> None:
        """End an agent or another roll-up that shows usage: it counts only where nothing below does (5.4)."""
        node.outcome = ROLLUP
        if node.types_below:
            return
        if node.live_children:
            self._silent.wait(node)
        else:
            self._aggregates.settle(node)

    # --- the tree ---------------------------------------------------------------------------------

    def _close(self, node: Node) -> None:
        """Hand on what stood below an ended span, and settle what waited for it."""
        hand_on(node)
        if node.unsettled_below and (node.facts.kind is not Kind.CALL or node.facts.reading is not None):
            self._silent.release(node)
        if node.is_done():
            self.subtree_ended(node)
        self._silent.parent_ended(node)
        if node.detached:
            self._calls.pending.closed()

    def subtree_ended(self, node: Node) -> None:
        """Pass on that nothing at or below this span is open any more."""
        self._silent.subtree_ended(node)
        while node.parent is not None:
            node = node.parent
            node.child_closed()
            if not node.is_done():
                return
            self._silent.subtree_ended(node)


def _let_adopt(adopters: list[Node], call: Call) -> None:
    """Tell open spans of which call they are copies; a call beside them in their scope is another one."""
    for above in adopters:
        above.adopted = call
        call.scopes.add(above.scope)
