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

from typing import TYPE_CHECKING, Final

from spancost.calls.attribution import agent_of_call
from spancost.calls.copies import agree, is_sum, merge
from spancost.calls.kinds import Kind
from spancost.calls.nodes import Call, Node
from spancost.calls.pending import PendingCalls
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

MAX_HELD_NS: Final = 600 * 10**9
"""How long an open call may keep the one it adopted from being settled (5.1 f)."""
MAX_HELD: Final = 10_000
MAX_UNSETTLED: Final = 256
"""Calls without usage below one open call that wait for it."""


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
        self._pending = PendingCalls(self._settle)
        self._held: dict[int, Call] = {}
        self._over_unsettled: dict[int, Node] = {}
        self._has_aggregates = False

    # --- events -----------------------------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Take a span that started."""
        above = node.parent
        while above is not None:
            above.live_children += 1
            if above.is_open or above.live_children > 1:
                break  # otherwise its subtree had ended, and is open again
            above = above.parent
        if node.detached:
            self._pending.opened(node)

    def end(self, node: Node, facts: Facts, end: int) -> None:
        """Take a span that ended, with everything it says."""
        node.end = max(end, node.start)
        node.facts = facts
        node.kind = facts.kind
        node.call_type = facts.classification.call_type
        if facts.agent is not None:
            node.agent = facts.agent
        self._expire(node.end)
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
        for call in list(self._held.values()):
            call.carrier = call.copies[0]  # the spans above never ended
            self._freeze(call)
        for above in list(self._over_unsettled.values()):
            if above.is_open:
                self._release_unsettled(above)
        self._silent.flush()
        self._pending.flush()

    @property
    def waiting(self) -> int:
        """How many calls wait to be settled."""
        return len(self._pending) + len(self._held) + len(self._silent)

    @property
    def remembered(self) -> int:
        """How many keys the index of recent calls has."""
        return self._recent.keys

    def _expire(self, now: int) -> None:
        self._silent.expire(now)
        self._pending.expire(now)
        while self._held:
            call = next(iter(self._held.values()))
            if now - call.end <= MAX_HELD_NS and len(self._held) <= MAX_HELD:
                return
            self._freeze(call)

    # --- calls with usage -----------------------------------------------------------------------

    def _end_call(self, node: Node, reading: Reading) -> None:
        if self._is_rollup_of_below(node, reading):
            return
        for step in (
            self._join_by_id,
            self._join_above,
            self._join_aggregate,
            self._join_silent,
            self._join_recent,
        ):
            if step(node, reading):
                return
        call = Call(node, reading)
        node.call = call
        self._found(node, call)
        quiet = self._silent.last_below(node)
        if quiet is not None:
            self._silent.take(quiet)
            self._add_quiet(call, quiet)
        self._settle_unsettled(node, call)
        self._freeze(call)

    def _is_rollup_of_below(self, node: Node, reading: Reading) -> bool:
        """Settle a span that was not known as a call while the calls below it ended (5.1 b, g)."""
        below = _calls_below(node)
        if node.facts.classification.fallback:
            if below or (node.types_below and node.types_below & {node.call_type, ""}):
                node.outcome = ROLLUP
                return True
            return False
        if not below:
            return False
        for call in below:
            if call.reading is not None and agree(call.reading, reading):
                self._join(call, node)
                return True
        if len(below) == 1:
            # A lone call inside a call is a copy even where a library's numbers are some tokens off.
            self._join(below[0], node, doubtful=True)
            return True
        node.outcome = ROLLUP
        if not _is_sum_of(below, node, reading):
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
        free: list[Node] = []
        for above in node.line():
            if above.kind is not Kind.CALL or above.call_type != node.call_type:
                continue
            if above.is_open:
                if above.adopted is None:
                    free.append(above)
                    continue
                if self._is_another_copy(above.adopted, node, reading, free):
                    self._join(above.adopted, node)
                    for between in free:
                        between.adopted = above.adopted
                    return True
                break
            if free or (not above.waits and above.call is None):
                continue
            return self._join_ended(above, node, reading)
        if free:
            self._adopt(node, reading, free)
        return bool(free)

    def _join_ended(self, above: Node, node: Node, reading: Reading) -> bool:
        """Join the call of a span above that ended before this one."""
        if above.waits:
            self._silent.take(above)
            self._carry(node, reading, above)
            return True
        if above.call is not None and _is_late_copy(above.call, above, reading):
            self._join(above.call, node)
            return True
        return False

    def _adopt(self, node: Node, reading: Reading, adopters: list[Node]) -> None:
        """Hold the call for the outermost of the open calls above that have none: it will carry the amount."""
        call = Call(node, reading)
        node.call = call
        for above in adopters:
            above.adopted = call
        call.carrier = adopters[-1]
        node.outcome = DUPLICATE
        self._held[id(call)] = call
        self._found(node, call)
        self._settle_unsettled(node, call)

    @staticmethod
    def _is_another_copy(call: Call, node: Node, reading: Reading, between: list[Node]) -> bool:
        """Tell whether a further call below an adopter is one more copy of what it adopted."""
        if call.reading is None:
            return False
        mine = node.facts.response_id
        known = bool(mine and call.response_ids)
        if known and mine not in call.response_ids:
            return False
        if not known and not agree(call.reading, reading):
            return False
        if node.scope not in call.scopes and not any(each.scope in call.scopes for each in between):
            return True
        return any(copy.is_below(node) or node.is_below(copy) for copy in call.copies)

    def _join_aggregate(self, node: Node, _: Reading) -> bool:
        """A call that ends below an ended aggregate was counted with it (5.4)."""
        if not self._has_aggregates:
            return False
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
        self._add_quiet(call, quiet)
        self._found(node, call)
        self._settle_unsettled(node, call)
        self._freeze(call)

    def _end_adopter(self, node: Node, call: Call) -> None:
        """End an open call that adopted one below: merge its own usage, and carry the amount (5.1 a)."""
        reading = node.facts.reading
        if reading is not None and call.reading is not None and not call.frozen:
            if agree(call.reading, reading):
                call.reading = merge(call.reading, reading)
            elif not _is_explained_below(node, call, reading):
                if _calls_below(node) == [call]:
                    call.reading = merge(call.reading, reading)
                call.flag("suspect")
        call.add(node)
        node.call = call
        self._recent.learn(call)
        self._settle_unsettled(node, call)
        if call.carrier is not node:
            node.outcome = DUPLICATE
        elif not call.frozen:
            call.start, call.end = node.start, node.end or node.start
            self._freeze(call)

    def _join(self, call: Call, node: Node, *, doubtful: bool = False) -> None:
        """Make *node* one more copy of *call*; the money of a frozen call stays as it is."""
        reading = node.facts.reading
        if call.reading is not None and reading is not None and "aggregated" not in call.flags:
            merged = merge(call.reading, reading)
            if not call.frozen:
                call.reading = merged
            elif doubtful or call.reading.usage.by_token_type() != merged.usage.by_token_type():
                call.flag("suspect")
        call.add(node)
        node.call = call
        node.outcome = DUPLICATE
        self._recent.learn(call)
        self._note_below(node, call)
        self._settle_unsettled(node, call)

    # --- calls without usage, roll-ups -----------------------------------------------------------

    def _end_silent(self, node: Node) -> None:
        """End a call span without usage (5.1 b, 5.3)."""
        below = _calls_below(node)
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
                self._leave_unsettled(node, above)
                return
        if node.facts.cached_response:
            self._settle_silent(node)
        else:
            self._silent.wait(node)

    def _leave_unsettled(self, node: Node, above: Node) -> None:
        """Let the open call above decide, when it ends, what a call without usage was."""
        if above.unsettled_below is None:
            above.unsettled_below = []
            self._over_unsettled[id(above)] = above
        above.unsettled_below.append(node)
        if len(above.unsettled_below) > MAX_UNSETTLED:
            self._settle_silent(above.unsettled_below.pop(0))

    def _settle_unsettled(self, node: Node, call: Call) -> None:
        """Decide what the calls without usage below an ended call were: copies of it, or attempts."""
        todo = [node]
        while todo:
            above = todo.pop()
            for quiet in self._take_unsettled(above):
                attempt = quiet.facts.failed or quiet.scope in call.scopes
                if attempt and call.reading is not None:
                    self._settle_silent(quiet)
                else:
                    _add_copy(call, quiet)
                    todo.append(quiet)

    def _take_unsettled(self, above: Node) -> list[Node]:
        quiet, above.unsettled_below = above.unsettled_below, None
        self._over_unsettled.pop(id(above), None)
        return quiet or []

    def _release_unsettled(self, above: Node) -> None:
        """Decide on each call without usage below a span that is no call after all, or never ended."""
        for quiet in self._take_unsettled(above):
            self._silent.wait(quiet)

    def _add_quiet(self, call: Call, quiet: Node) -> None:
        """Make a span without usage a copy of a call that has it."""
        _add_copy(call, quiet)
        self._settle_unsettled(quiet, call)

    def _settle_silent(self, node: Node) -> None:
        """Count a call that never showed usage."""
        call = Call(node, None)
        node.call = call
        self._settle_unsettled(node, call)
        self._freeze(call)

    def _end_rollup(self, node: Node) -> None:
        """End an agent or another roll-up that shows usage: it counts only where nothing below does (5.4)."""
        node.outcome = ROLLUP
        if node.types_below:
            return
        if node.live_children:
            self._silent.wait(node)
        else:
            self._settle_rollup(node)

    def _settle_rollup(self, node: Node) -> None:
        reading = node.facts.reading
        if node.types_below or reading is None:
            return
        if self._adds_up_elsewhere(node, reading):
            _mark_above(node, "")
            return
        call = Call(node, reading)
        call.flag("aggregated")
        self._has_aggregates = True
        node.call = call
        self._note_below(node, call)
        self._freeze(call)

    def _adds_up_elsewhere(self, node: Node, reading: Reading) -> bool:
        """Tell whether calls that are not below the span, but inside its time, are what it sums up."""
        near: list[Reading] = []
        far: list[Reading] = []
        for call in self._recent.within(node):
            if call.reading is not None:
                (near if call.carrier.trace_id == node.trace_id else far).append(call.reading)
        if any(agree(each, reading) for each in (*near, *far)):
            return True
        return any(group and is_sum(reading, group) for group in (near, far, near + far))

    # --- from found to settled ----------------------------------------------------------------------

    def _found(self, node: Node, call: Call) -> None:
        self._note_below(node, call)
        self._recent.add(call, node.end or node.start)

    @staticmethod
    def _note_below(node: Node, call: Call) -> None:
        """Tell the spans above that a call with usage stands below them."""
        if call.reading is None:
            return
        for above in node.line():
            if above.is_open:
                above.calls_below().add(call)
                break
        _mark_above(node, call.call_type)

    def _freeze(self, call: Call) -> None:
        """Price a call whose carrier ended; from here its money is final."""
        call.frozen = True
        self._held.pop(id(call), None)
        call.cost = self._price(call)
        if call.reading is None and call.carrier.facts.failed:
            call.status = FAILED
        else:
            call.status = "priced" if call.cost.total is not None else UNPRICED
        call.carrier.outcome = AMOUNT if call.status == "priced" else call.status
        self._pending.add(call, call.until)

    def _settle(self, call: Call) -> None:
        call.settled = True
        call.agent = agent_of_call(call)
        self._emit(call)

    def _close(self, node: Node) -> None:
        """Hand on what stood below an ended span, and settle what waited for it."""
        if node.bag is not None and not node.is_boundary:
            for above in node.line():
                if above.is_open:
                    above.calls_below().take(node.bag)
                    break
        node.bag = None
        if node.unsettled_below and not (node.facts.kind is Kind.CALL and node.facts.reading is None):
            self._release_unsettled(node)
        if node.live_children == 0:
            self._subtree_ended(node)
        self._silent.parent_ended(node)
        if node.detached:
            self._pending.closed()

    def _subtree_ended(self, node: Node) -> None:
        """Pass on that nothing at or below this span is open any more."""
        self._silent.subtree_ended(node)
        while node.parent is not None:
            node = node.parent
            node.live_children -= 1
            if node.live_children or node.is_open:
                return
            self._silent.subtree_ended(node)


def _add_copy(call: Call, quiet: Node) -> None:
    call.add(quiet)
    quiet.call = call
    quiet.outcome = DUPLICATE


def _calls_below(node: Node) -> list[Call]:
    """Return the calls on the line below that a call span can be a copy or the sum of."""
    return node.bag.of_type(node.call_type) if node.bag is not None else []


def _is_late_copy(call: Call, above: Node, reading: Reading) -> bool:
    """Tell whether a call that ends below an ended call is a copy of it."""
    if call.reading is None:
        return above.facts.cached_response  # else it was counted without usage, and this is the bill
    if agree(call.reading, reading):
        return True
    return not any(copy.is_below(above) for copy in call.copies)


def _is_explained_below(node: Node, adopted: Call, reading: Reading) -> bool:
    """Tell whether an adopter's own usage is that of another call below it, or the sum of all."""
    below = _calls_below(node)
    return _is_sum_of(below, node, reading) or any(
        call is not adopted and call.reading is not None and agree(call.reading, reading) for call in below
    )


def _is_sum_of(below: list[Call], node: Node, reading: Reading) -> bool:
    if node.bag is not None and node.bag.is_full:
        return True  # not all are known; believed
    return is_sum(reading, [call.reading for call in below if call.reading is not None])


def _mark_above(node: Node, call_type: str) -> None:
    """Note the type of a call on every span above; those above a noted one have it already."""
    for above in node.ancestors():
        if above.types_below is None:
            above.types_below = set()
        if call_type in above.types_below:
            break
        above.types_below.add(call_type)
