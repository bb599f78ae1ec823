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

from collections import deque
from typing import TYPE_CHECKING, Final

from spancost.calls.attribution import agent_of_call
from spancost.calls.copies import agree, is_sum, merge
from spancost.calls.kinds import Kind
from spancost.calls.nodes import Bag, Call, Node
from spancost.calls.recent import RecentCalls
from spancost.calls.silent import SilentSpans

if TYPE_CHECKING:
    from collections.abc import Callable

    from spancost.calls.facts import Facts
    from spancost.cost import Cost, Unpriced
    from spancost.usage import Reading

DUPLICATE: Final = "duplicate"
ROLLUP: Final = "rollup"
AMOUNT: Final = "amount"
UNPRICED: Final = "unpriced"
FAILED: Final = "failed"


class Engine:
    """
    Settle copies of calls and attribute them.

    Not thread-safe: its owner holds one lock around it.

    Args:
        price: Prices a call from what its copies say; called once a call, when it is frozen.
        emit: Receives each call once, settled.
    """

    def __init__(self, price: Callable[[Call], Cost | Unpriced], emit: Callable[[Call], None]) -> None:
        self._price = price
        self._emit = emit
        self._recent = RecentCalls()
        self._silent = SilentSpans(self._settle_silent, self._settle_rollup)
        self._open_detached: dict[int, Node] = {}
        self._pending: deque[Call] = deque()
        self._held: dict[int, Call] = {}

    # --- events -----------------------------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Take a span that started."""
        if node.parent is not None:
            node.parent.live_children += 1
        if node.detached:
            self._open_detached[id(node)] = node

    def end(self, node: Node, facts: Facts, end: int) -> None:
        """Take a span that ended, with everything it says."""
        node.end = max(end, node.start)
        node.facts = facts
        node.kind = facts.kind
        node.call_type = facts.classification.call_type
        if facts.agent is not None:
            node.agent = facts.agent
        self._silent.expire(node.end)
        if node.adopted is not None:
            self._end_adopter(node, node.adopted)
        elif facts.kind is Kind.CALL:
            if facts.reading is None:
                self._end_silent(node)
            else:
                self._end_call(node, facts.reading)
        elif facts.reading is not None and facts.kind is not Kind.OTHER:
            self._end_rollup(node)
        self._close(node)

    def flush(self) -> None:
        """Settle everything that waits, as it stands: the program or the file ends (5.1 f)."""
        self._silent.flush()
        for call in list(self._held.values()):
            call.carrier = call.copies[0]
            self._freeze(call)
        self._open_detached.clear()
        self._settle_ready()

    @property
    def waiting(self) -> int:
        """How many calls wait to be settled."""
        return len(self._pending) + len(self._held) + len(self._silent)

    # --- calls with usage -----------------------------------------------------------------------

    def _end_call(self, node: Node, reading: Reading) -> None:
        if self._is_rollup_of_below(node, reading):
            return
        for step in (self._join_by_id, self._join_above, self._join_aggregate, self._join_silent, self._join_recent):
            if step(node, reading):
                return
        call = Call(node, reading)
        node.call = call
        self._found(node, call)
        self._silent.join_below(node, call)
        self._settle_unsettled(node, call)
        self._freeze(call)

    def _is_rollup_of_below(self, node: Node, reading: Reading) -> bool:
        """Settle a span that was not known as a call while the calls below it ended (5.1 b, g)."""
        below = [call for call in node.bag.calls if _same_type(call, node)] if node.bag else []
        if node.facts.classification.fallback and (below or node.usage_below):
            node.outcome = ROLLUP
            return True
        if not below or node.bag is None:
            return False
        for call in below:
            if call.reading is not None and agree(call.reading, reading):
                self._join(call, node)
                return True
        if len(below) == 1 and not is_sum(reading, node.bag.input, node.bag.output):
            # A lone call inside a call is a copy even where a library's numbers are some tokens off.
            self._join(below[0], node, doubtful=True)
            return True
        node.outcome = ROLLUP
        if not is_sum(reading, node.bag.input, node.bag.output):
            for call in below:
                if not call.settled:
                    call.flag("suspect")
        return True

    def _join_by_id(self, node: Node, _: Reading) -> bool:
        """Find a copy that shows the same response id: no number is surer."""
        call = self._recent.find_by_id(node)
        if call is None:
            return False
        self._join(call, node)
        return True

    def _join_above(self, node: Node, reading: Reading) -> bool:
        """Find the call above on the line that this span is a copy of (5.1 a, and b for a late child)."""
        for above in node.line():
            if above.kind is not Kind.CALL or above.call_type != node.call_type:
                continue
            if above.is_open:
                if above.adopted is None:
                    self._adopt(node, reading)
                    return True
                if self._is_another_copy(above.adopted, node, reading):
                    self._join(above.adopted, node)
                    return True
                return False
            if above.waits:
                self._silent.take(above)
                self._carry(node, reading, above)
                return True
            if above.call is not None and self._is_late_copy(above.call, above, node, reading):
                self._join(above.call, node)
                return True
            return False
        return False

    def _adopt(self, node: Node, reading: Reading) -> None:
        """Hold the call for the outermost open call above that has none yet: it will carry the amount."""
        call = Call(node, reading)
        node.call = call
        for above in node.line():
            if above.is_open and above.kind is Kind.CALL and above.call_type == node.call_type:
                if above.adopted is not None:
                    break
                above.adopted = call
                call.adopters.append(above)
        call.carrier = call.adopters[-1]
        node.outcome = DUPLICATE
        self._held[id(call)] = call
        self._found(node, call)

    @staticmethod
    def _is_another_copy(call: Call, node: Node, reading: Reading) -> bool:
        """Tell whether a further call below an adopter is one more copy of what it adopted."""
        if call.reading is None:
            return False
        if not agree(call.reading, reading):
            return False
        nested = any(copy.is_below(node) or node.is_below(copy) for copy in call.copies if copy is not node)
        mine = node.facts.response_id
        if mine and call.response_ids:
            return mine in call.response_ids and (nested or node.scope not in call.scopes)
        return nested or node.scope not in call.scopes

    @staticmethod
    def _is_late_copy(call: Call, above: Node, node: Node, reading: Reading) -> bool:
        """Tell whether a call that ends below an ended call is a copy of it."""
        if call.reading is None or agree(call.reading, reading):
            return True
        return not any(copy.is_below(above) for copy in call.copies)

    def _join_aggregate(self, node: Node, _: Reading) -> bool:
        """A call that ends below an ended aggregate was counted with it (5.4)."""
        for above in node.ancestors():
            if above.call is not None and "aggregated" in above.call.flags and not above.is_open:
                self._join(above.call, node)
                return True
        return False

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
            self._join(quiet.call, node)
            return True
        return False

    def _join_recent(self, node: Node, reading: Reading) -> bool:
        """Find a copy that no ancestry shows: a sibling, or a span in another trace (5.1 c)."""
        call = self._recent.find(node, reading)
        if call is None:
            return False
        self._join(call, node)
        return True

    def _carry(self, node: Node, reading: Reading, quiet: Node) -> None:
        """Let a span with usage carry the call of one that ended without."""
        call = Call(node, reading)
        node.call = call
        call.add(quiet)
        quiet.call = call
        quiet.outcome = DUPLICATE
        self._found(node, call)
        self._freeze(call)

    def _end_adopter(self, node: Node, call: Call) -> None:
        """End an open call that adopted one below: merge its own usage, and carry the amount (5.1 a)."""
        reading = node.facts.reading
        if reading is not None and call.reading is not None and not call.frozen:
            if agree(call.reading, reading):
                call.reading = merge(call.reading, reading)
            elif not self._explained_below(node, reading):
                if _is_lone(node, call):
                    call.reading = merge(call.reading, reading)
                call.flag("suspect")
        if node not in call.copies:
            call.add(node)
        node.call = call
        if node.facts.response_id:
            self._recent.learn_id(call, node.facts.response_id)
        self._settle_unsettled(node, call)
        if call.carrier is node:
            call.start, call.end = node.start, node.end or node.start
            self._freeze(call)
        else:
            node.outcome = DUPLICATE

    @staticmethod
    def _explained_below(node: Node, reading: Reading) -> bool:
        """Tell whether an adopter's own usage is that of another call below it, or the sum of all."""
        bag = node.bag
        if bag is None:
            return False
        return is_sum(reading, bag.input, bag.output) or any(
            call is not node.adopted and call.reading is not None and agree(call.reading, reading)
            for call in bag.calls
        )

    def _join(self, call: Call, node: Node, *, doubtful: bool = False) -> None:
        """Make *node* one more copy of *call*; the money of a frozen call stays as it is."""
        reading = node.facts.reading
        if call.reading is not None and reading is not None:
            if call.frozen:
                merged = merge(call.reading, reading)
                if doubtful or _changes_price(call.reading, merged):
                    call.flag("suspect")
            else:
                call.reading = merge(call.reading, reading)
        call.add(node)
        node.call = call
        node.outcome = DUPLICATE
        if node.facts.response_id:
            self._recent.learn_id(call, node.facts.response_id)
        self._note_below(node, call)
        self._settle_unsettled(node, call)

    # --- calls without usage, roll-ups -----------------------------------------------------------

    def _end_silent(self, node: Node) -> None:
        """End a call span without usage (5.1 b, 5.3)."""
        below = [call for call in node.bag.calls if _same_type(call, node)] if node.bag else []
        if below:
            self._join(next((c for c in below if node.scope not in c.scopes), below[0]), node)
            return
        if not node.facts.failed:
            call = self._recent.find_silent(node)
            if call is not None:
                self._join(call, node)
                return
        for above in node.line():
            if above.kind is Kind.CALL and above.call_type == node.call_type and above.is_open:
                if above.unsettled_below is None:
                    above.unsettled_below = []
                above.unsettled_below.append(node)
                return
        if node.facts.failed or node.facts.cached_response:
            self._settle_silent(node)
        else:
            self._silent.wait(node)

    def _settle_unsettled(self, node: Node, call: Call) -> None:
        """Decide what the calls without usage below an ended call were: copies of it, or attempts."""
        for quiet in node.unsettled_below or ():
            attempt = quiet.facts.failed and call.reading is not None
            if attempt or (quiet.scope in call.scopes and call.reading is not None):
                self._settle_silent(quiet)
            else:
                call.add(quiet)
                quiet.call = call
                quiet.outcome = DUPLICATE
        node.unsettled_below = None

    def _settle_silent(self, node: Node) -> None:
        """Count a call that never showed usage."""
        call = Call(node, None)
        node.call = call
        self._settle_unsettled(node, call)
        self._freeze(call)

    def _end_rollup(self, node: Node) -> None:
        """End an agent or another roll-up that shows usage: it counts only where nothing below does (5.4)."""
        node.outcome = ROLLUP
        if node.usage_below:
            return
        if node.live_children:
            self._silent.wait(node)
            return
        self._settle_rollup(node)

    def _settle_rollup(self, node: Node) -> None:
        reading = node.facts.reading
        if node.usage_below or reading is None or self._adds_up_elsewhere(node, reading):
            return
        call = Call(node, reading)
        call.flag("aggregated")
        node.call = call
        node.outcome = AMOUNT
        self._found(node, call, recent=False)
        self._freeze(call)

    def _adds_up_elsewhere(self, node: Node, reading: Reading) -> bool:
        """Tell whether calls in other traces, inside the span's time, are what it sums up."""
        inputs = outputs = 0
        for call in self._recent.within(node):
            if call.reading is not None:
                inputs += call.reading.usage.input
                outputs += call.reading.usage.output
                if agree(call.reading, reading):
                    return True
        return bool(inputs or outputs) and is_sum(reading, inputs, outputs)

    # --- from found to settled ----------------------------------------------------------------------

    def _found(self, node: Node, call: Call, *, recent: bool = True) -> None:
        self._note_below(node, call)
        if recent:
            self._recent.add(call, node.end or node.start)

    def _note_below(self, node: Node, call: Call) -> None:
        """Tell the spans above that a call with usage stands below them."""
        if call.reading is None:
            return
        for above in node.line():
            if above.is_open:
                bag = above.calls_below()
                if call not in bag.calls:
                    bag.add(call)
                break
        for above in node.ancestors():
            if above.usage_below:
                break
            above.usage_below = True

    def _freeze(self, call: Call) -> None:
        """Price a call whose carrier ended; from here its money is final."""
        call.frozen = True
        self._held.pop(id(call), None)
        call.cost = self._price(call)
        carrier = call.carrier
        if call.reading is None and carrier.facts.failed:
            call.status = FAILED
        else:
            call.status = "priced" if call.cost is not None and call.cost.total is not None else UNPRICED
        carrier.outcome = AMOUNT if call.status == "priced" else call.status
        self._pending.append(call)
        self._settle_ready()

    def _settle_ready(self) -> None:
        """Emit the calls that no open detached span encloses."""
        waiting: deque[Call] = deque()
        while self._pending:
            call = self._pending.popleft()
            if self._may_gain_agent(call):
                waiting.append(call)
                continue
            call.settled = True
            call.agent = agent_of_call(call)
            self._emit(call)
        self._pending = waiting

    def _may_gain_agent(self, call: Call) -> bool:
        return any(
            node.start <= call.start and (not node.process or not call.process or node.process == call.process)
            for node in self._open_detached.values()
        )

    def _close(self, node: Node) -> None:
        """Hand on what stood below an ended span, and settle what waited for it."""
        if node.bag is not None and not node.is_boundary:
            for above in node.line():
                if above.is_open:
                    above.calls_below().take(_without(node.bag, above.bag))
                    break
        node.bag = None
        if node.unsettled_below:
            for quiet in node.unsettled_below:
                self._silent.wait(quiet)
            node.unsettled_below = None
        if node.live_children == 0:
            self._subtree_ended(node)
        self._silent.parent_ended(node)
        if self._open_detached.pop(id(node), None) is not None:
            self._settle_ready()

    def _subtree_ended(self, node: Node) -> None:
        """Pass on that nothing at or below this span is open any more."""
        self._silent.subtree_ended(node)
        while node.parent is not None:
            node = node.parent
            node.live_children -= 1
            if node.live_children or node.is_open:
                return
            self._silent.subtree_ended(node)


def _same_type(call: Call, node: Node) -> bool:
    return call.copies[0].call_type == node.call_type


def _is_lone(node: Node, call: Call) -> bool:
    return node.bag is None or (node.bag.count == 1 and node.bag.calls == [call])


def _changes_price(frozen: Reading, merged: Reading) -> bool:
    return frozen.usage.by_token_type() != merged.usage.by_token_type()


def _without(bag: Bag, known: Bag | None) -> Bag:
    """Return a bag without the calls that the receiver has already."""
    if known is None or not any(call in known.calls for call in bag.calls):
        return bag
    rest = Bag()
    for call in bag.calls:
        if call not in known.calls:
            rest.add(call)
    return rest
