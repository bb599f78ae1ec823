# SPDX-License-Identifier: Apache-2.0
"""
Recent calls, indexed for finding the other copies of a span that no ancestry shows.

Copies in other traces and siblings are found by response id, or by usage that agrees while one
span's time lies inside the other's. Bounded by age and by number.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from spancost.calls.copies import agree, cached_sums, same_models

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from spancost.calls.nodes import Call, Node
    from spancost.usage import Reading

MAX_AGE_NS: Final = 600 * 10**9
MAX_CALLS: Final = 4096
MAX_LOOKED_AT: Final = 512
"""Calls that share an id, a number or a parent and are looked at for one span, the latest first."""

MAX_GAP_NS: Final = 60 * 10**9
"""How long after a call a span with its response id may still report on it."""

OWN_IDS: Final = frozenset({"litellm", "openinference.instrumentation.litellm"})
"""Scopes that make response ids of their own for some providers: a different id proves nothing."""


Rank = tuple[bool, bool, bool, int]
"""How close two spans are: other traces, no siblings, mere overlap, then the time between their starts."""


class _Entry:
    """A call and the keys under which it stands in the index."""

    __slots__ = ("added", "call", "keys")

    def __init__(self, call: Call, added: int) -> None:
        self.call = call
        self.added = added
        self.keys: set[Hashable] = set()


class RecentCalls:
    """The calls of the last ten minutes, at most 4,096."""

    def __init__(self, max_calls: int = MAX_CALLS, max_age_ns: int = MAX_AGE_NS) -> None:
        self._max_calls = max_calls
        self._max_age_ns = max_age_ns
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._index: dict[Hashable, dict[int, Call]] = {}
        self.evicted = 0
        self.log: deque[Any] | None = None
        """Where each call is noted as well, with the time it was added, for an owner that has others to tell of later."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def keys(self) -> int:
        """How many keys the index has."""
        return len(self._index)

    def add(self, call: Call, now: int) -> None:
        """Remember a call that ended with usage, or failed."""
        if self.log is not None:
            self.log.append((call, now))
        self._entries[id(call)] = _Entry(call, now)
        self.learn(call)
        self.expire(now)

    def catch_up(self, calls: Iterable[tuple[Call, int]]) -> None:
        """
        Remember calls in the order in which they were found: those that were not told, among those that were.

        Args:
            calls: All since the last time, with the time at which each was found.
        """
        log, self.log = self.log, None
        try:
            for call, found in calls:
                self.forget(call)
                self.add(call, found)
        finally:
            self.log = log

    def learn(self, call: Call) -> None:
        """Index a call by what another copy, or its merged usage, added."""
        entry = self._entries.get(id(call))
        if entry is None:
            return  # forgotten, or never to be found
        keys, index = entry.keys, self._index
        for key in _keys_of(call):
            if key not in keys:
                keys.add(key)
                calls = index.get(key)
                if calls is None:
                    index[key] = {id(call): call}
                else:
                    calls[id(call)] = call

    def forget(self, call: Call) -> None:
        """Forget a call that turned out a copy of another."""
        entry = self._entries.pop(id(call), None)
        if entry is not None:
            self._unlist(id(call), entry)

    def _unlist(self, number: int, entry: _Entry) -> None:
        for key in entry.keys:
            calls = self._index[key]
            del calls[number]
            if not calls:
                del self._index[key]

    def expire(self, now: int) -> None:
        """Forget what is too old or too much."""
        while self._entries:
            number, entry = next(iter(self._entries.items()))
            too_many = len(self._entries) > self._max_calls
            if not too_many and now - entry.added <= self._max_age_ns:
                return
            self.evicted += too_many
            del self._entries[number]
            self._unlist(number, entry)

    def find(self, node: Node, reading: Reading, besides: Call | None = None) -> Call | None:
        """Return the call that *node* is another copy of, or None; one it is known to be is passed over."""
        best: Call | None = None
        best_rank: Rank | None = None
        seen: set[int] = set()
        for key in _inputs(reading):
            for call in self._latest(("input", key)):
                if call.until < node.start or call is besides or id(call) in seen:
                    continue
                seen.add(id(call))
                if not _may_be_copy(call, node) or call.reading is None or not agree(call.reading, reading):
                    continue
                rank = min((r for copy in call.copies if (r := _relation(node, copy))), default=None)
                if rank is not None and (best_rank is None or rank < best_rank):
                    best, best_rank = call, rank
        return best

    def find_by_id(self, node: Node) -> Call | None:
        """Return the call with the response id of *node* that another scope reported, or None."""
        response_id = node.facts.response_id
        if not response_id or ("id", response_id) not in self._index:
            return None
        for call in self._latest(("id", response_id)):
            if node.scope in call.scopes or call.call_type != node.call_type:
                continue
            if call.process.may_be(node.process) and any(
                _same_id_same_call(node, copy) for copy in call.copies
            ):
                return call
        return None

    def find_silent(self, node: Node) -> Call | None:
        """Return the call of a sibling that ended in the time of *node*, which has no usage."""
        found = self.find_by_id(node)
        if found is not None or node.parent is None:
            return found
        for call in self._latest(("parent", id(node.parent))):
            if call.until < node.start or not _may_be_copy(call, node):
                continue
            for copy in call.copies:
                if copy.parent is node.parent and _gap(copy, node) <= 0 and same_models(copy, node):
                    return call
        return None

    def within(self, node: Node) -> Iterator[Call]:
        """
        Yield the calls that began and ended while *node* was open, and may be its own.

        Calls of its trace, and the roots of other traces; that none of them is below it is known.
        """
        end = node.end if node.end is not None else node.start
        for entry in self._entries.values():
            call = entry.call
            if call.end <= end and node.start <= call.start and call.process.may_be(node.process):
                carrier = call.carrier
                if carrier.island == node.island if carrier.trace_id == node.trace_id else carrier.is_root:
                    yield call

    def _latest(self, key: Hashable) -> Iterable[Call]:
        calls = self._index.get(key)
        return islice(reversed(calls.values()), MAX_LOOKED_AT) if calls is not None else ()


def _keys_of(call: Call) -> Iterator[Hashable]:
    for response_id in call.response_ids:
        yield "id", response_id
    if call.reading is not None:
        for number in _inputs(call.reading):
            yield "input", number
    for copy in call.copies:
        if copy.parent is not None:
            yield "parent", id(copy.parent)  # the copy keeps it alive


def _inputs(reading: Reading) -> set[int]:
    """Return the inputs that agreeing readings have in common: one may lack what the other has cached."""
    whole = reading.usage.input
    sums = cached_sums(reading.usage)
    if not sums:
        return {whole}
    return {whole} | {whole - part for part in sums} | {whole + part for part in sums}


def _may_be_copy(call: Call, node: Node) -> bool:
    """Rule out what no numbers can make a copy: the same scope, another type of call, another id."""
    if node.scope in call.scopes or call.call_type != node.call_type:
        return False
    if not call.process.may_be(node.process):
        return False
    mine = node.facts.response_id
    if mine and call.response_ids and mine not in call.response_ids:
        return node.scope in OWN_IDS or bool(call.scopes & OWN_IDS)
    return True


def _same_id_same_call(node: Node, copy: Node) -> bool:
    """Tell whether one response id is of one call: test servers and caches give it to many."""
    if node.trace_id == copy.trace_id and node.island != copy.island:
        return False
    gap = _gap(node, copy)
    if gap <= 0:
        return True
    mine, theirs = node.facts.reading, copy.facts.reading
    return gap <= MAX_GAP_NS and (mine is None or theirs is None or agree(mine, theirs))


def _relation(node: Node, copy: Node) -> Rank | None:
    """
    Return how closely two spans stand together (less is closer), or None where they cannot be copies.

    One must lie inside the other's time. Unless they are siblings the models must be equal, and
    across traces the inner one must be the root of its trace. Spans of one line are judged by
    ancestry, never here. Siblings whose models are equal may merely overlap: a stream that is left
    early is ended by each instrumentation in its own time.
    """
    siblings = node.parent is copy.parent and node.parent is not None
    end = node.end if node.end is not None else node.start
    copy_end = copy.end if copy.end is not None else copy.start
    if node.start <= copy.start and copy_end <= end:
        inner, outer = copy, node
    elif copy.start <= node.start and end <= copy_end:
        inner, outer = node, copy
    elif siblings and _gap(node, copy) < 0 and same_models(node, copy):
        return (False, False, True, abs(node.start - copy.start))
    else:
        return None
    if not siblings and not same_models(inner, outer):
        return None
    if inner.trace_id != outer.trace_id:
        if not inner.is_root:
            return None
    elif inner.island != outer.island or inner.is_below(outer) or outer.is_below(inner):
        return None
    return (inner.trace_id != outer.trace_id, not siblings, False, inner.start - outer.start)


def _gap(one: Node, other: Node) -> int:
    """Return the time between two spans; 0 or less where they overlap."""
    ends = [n.end if n.end is not None else n.start for n in (one, other)]
    return max(one.start - ends[1], other.start - ends[0])
