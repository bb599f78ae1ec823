# SPDX-License-Identifier: Apache-2.0
"""
Spans that ended and still wait for a decision: calls without usage, and early roll-ups.

A call without usage waits until its parent has ended (a root: 60 seconds) and nothing below it is
open: a copy may still bring its usage (design 5.1 b). A failed call and a roll-up wait for what is
open below them only.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from spancost.calls.copies import same_model
from spancost.calls.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spancost.calls.nodes import Call, Node

ROOT_WAIT_NS: Final = 60 * 10**9
MAX_WAITING: Final = 10_000
MAX_UNSETTLED: Final = 256
"""Calls without usage below one open call that wait for it."""

MAX_QUIET: Final = 1_000
"""Spans without usage on which a log record may still report; it follows within the stream's time."""


class SilentSpans:
    """The waiting spans, at most 10,000; beyond, the oldest is decided as it stands."""

    def __init__(self, settle_call: Callable[[Node], None], settle_rollup: Callable[[Node], None]) -> None:
        self._settle_call = settle_call
        self._settle_rollup = settle_rollup
        self._waiting: dict[int, Node] = {}
        self._leaving: dict[int, Node] = {}
        self._roots: deque[Node] = deque()
        self._overdue: set[int] = set()
        self._quiet: deque[Node] = deque(maxlen=MAX_QUIET)
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._waiting) + sum(len(above.unsettled_below or ()) for above in self._leaving.values())

    def wait(self, node: Node) -> None:
        """Let an ended span wait."""
        node.waits = True
        self._waiting[id(node)] = node
        if node.facts.kind is Kind.CALL:
            self._quiet.append(node)
            if node.parent is None:
                self._roots.append(node)
        if node.parent is not None:
            if node.parent.waiting is None:
                node.parent.waiting = {}
            node.parent.waiting[id(node)] = node
        if not self._may_still_change(node):
            self._settle(node)
        elif len(self._waiting) > MAX_WAITING:
            self.overflowed += 1
            self._settle(next(iter(self._waiting.values())))

    def take(self, node: Node) -> None:
        """Stop waiting: the caller decides."""
        node.waits = False
        self._waiting.pop(id(node), None)
        self._overdue.discard(id(node))
        if node.parent is not None and node.parent.waiting is not None:
            node.parent.waiting.pop(id(node), None)

    def partner_of(self, node: Node) -> Node | None:
        """
        Return the span without usage whose usage *node* brings, or None.

        A log record (Logfire's "streaming response ...") reports on a span of its own scope and trace;
        any other copy is a sibling from another scope and overlaps in time. Models must not differ.
        """
        if node.facts.is_log:
            siblings: Iterable[Node] = self._quiet
        else:
            siblings = (node.parent.waiting or {}).values() if node.parent is not None else ()
        for quiet in siblings:
            if (
                not quiet.process.may_be(node.process)
                or quiet.facts.kind is not Kind.CALL
                or quiet.call_type != node.call_type
            ):
                continue
            if not same_model(_asked(quiet), _asked(node)) or quiet.start > node.start:
                continue
            if node.facts.is_log:
                # Logfire gives the record a remote copy of its parent's context, so no parent is shared.
                if quiet.scope == node.scope and quiet.trace_id == node.trace_id and not _claimed(quiet):
                    return quiet
            elif quiet.scope != node.scope and (quiet.end or 0) >= node.start:
                return quiet
        return None

    def last_below(self, node: Node) -> Node | None:
        """Return the last child that ended without usage, for a span that turned out a call itself."""
        for quiet in reversed((node.waiting or {}).values()):
            if (
                quiet.facts.kind is Kind.CALL
                and quiet.call_type == node.call_type
                and same_model(_asked(quiet), _asked(node))
            ):
                return quiet
        return None

    def parent_ended(self, node: Node) -> None:
        """Decide on what waited for this span to end."""
        if not node.waiting:
            return
        for quiet in list(node.waiting.values()):
            if quiet.live_children == 0:
                self._settle(quiet)

    def subtree_ended(self, node: Node) -> None:
        """Decide on a waiting span below which nothing is open any more."""
        if node.waits and (not self._may_still_change(node) or id(node) in self._overdue):
            self._settle(node)

    @property
    def may_expire(self) -> bool:
        """Whether any root waits."""
        return bool(self._roots)

    def expire(self, now: int) -> None:
        """Decide on roots that waited long enough, by span time, as soon as nothing below is open."""
        while self._roots and now - (self._roots[0].end or now) > ROOT_WAIT_NS:
            node = self._roots.popleft()
            if not node.waits:
                continue
            if node.live_children:
                self._overdue.add(id(node))
            else:
                self._settle(node)

    # --- calls without usage below an open call ----------------------------------------------------

    def leave_to(self, above: Node, node: Node) -> None:
        """Let the open call above decide, when it ends, what a call without usage was."""
        if above.unsettled_below is None:
            above.unsettled_below = []
            self._leaving[id(above)] = above
        above.unsettled_below.append(node)
        if len(above.unsettled_below) > MAX_UNSETTLED:
            self.overflowed += 1
            self._settle_call(above.unsettled_below.pop(0))

    def decide_below(self, node: Node, call: Call) -> None:
        """Decide what the calls without usage below an ended call were: copies of it, or attempts."""
        todo = [node]
        while todo:
            for quiet in self._taken_from(todo.pop()):
                if _is_attempt(quiet, call):
                    self._settle_call(quiet)
                else:
                    _add(call, quiet)
                    todo.append(quiet)

    def settle_with(self, call: Call, quiet: Node) -> None:
        """Decide what a call without usage is that ended below a call that ended before."""
        if _is_attempt(quiet, call):
            self.wait(quiet)
        else:
            self.join(call, quiet)

    def join(self, call: Call, quiet: Node) -> None:
        """Make a span without usage a copy of a call that has it."""
        _add(call, quiet)
        self.decide_below(quiet, call)

    def release(self, above: Node) -> None:
        """Decide each for itself what stands below a span that is no call after all."""
        for quiet in self._taken_from(above):
            self.wait(quiet)

    def _taken_from(self, above: Node) -> list[Node]:
        quiet = above.unsettled_below
        if quiet is None:
            return []
        above.unsettled_below = None
        self._leaving.pop(id(above), None)
        return quiet

    # --- deciding -----------------------------------------------------------------------------------

    def flush(self) -> None:
        """Decide on everything, as it stands."""
        for above in list(self._leaving.values()):
            if above.is_open:
                self.release(above)
        for node in list(self._waiting.values()):
            if node.waits:
                self._settle(node)
        self._roots.clear()

    def _settle(self, node: Node) -> None:
        self.take(node)
        if node.facts.kind is Kind.CALL:
            self._settle_call(node)
        else:
            self._settle_rollup(node)

    @staticmethod
    def _may_still_change(node: Node) -> bool:
        if node.live_children:
            return True
        facts = node.facts
        return facts.kind is Kind.CALL and not facts.failed and (node.parent is None or node.parent.is_open)


def _add(call: Call, quiet: Node) -> None:
    call.add(quiet)
    quiet.call = call
    quiet.outcome = "duplicate"


def _is_attempt(quiet: Node, call: Call) -> bool:
    """Tell whether a call without usage below a call is one of its own, not a copy: it failed, or is a sibling."""
    return call.reading is not None and (quiet.facts.failed or quiet.scope in call.scopes)


def _asked(node: Node) -> str | None:
    return node.facts.request_model or node.facts.model


def _claimed(quiet: Node) -> bool:
    """Tell whether a log record already reported on this span."""
    return quiet.call is not None and any(copy.facts.is_log for copy in quiet.call.copies)
