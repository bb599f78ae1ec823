# SPDX-License-Identifier: Apache-2.0
"""
Recent calls, indexed for finding the other copies of a span that no ancestry shows.

Copies in other traces and siblings are found by response id, or by usage that agrees while one
span's time lies inside the other's. Bounded by age and by number.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from spancost.calls.copies import agree, same_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spancost.calls.nodes import Call, Node
    from spancost.usage import Reading

MAX_AGE_NS: Final = 600 * 10**9
MAX_CALLS: Final = 4096

OWN_IDS: Final = frozenset({"litellm", "openinference.instrumentation.litellm"})
"""Scopes that make response ids of their own for some providers: a different id proves nothing."""


class RecentCalls:
    """The calls of the last ten minutes, at most 4,096."""

    def __init__(self, max_calls: int = MAX_CALLS, max_age_ns: int = MAX_AGE_NS) -> None:
        self._max_calls = max_calls
        self._max_age_ns = max_age_ns
        self._order: deque[tuple[int, Call]] = deque()
        self._by_id: dict[str, list[Call]] = {}
        self._by_output: OrderedDict[int, list[Call]] = OrderedDict()
        self.evicted = 0

    def add(self, call: Call, now: int) -> None:
        """Remember a call that ended with usage."""
        self._order.append((now, call))
        for key in _output_keys(call.reading):
            self._by_output.setdefault(key, []).append(call)
        for response_id in call.response_ids:
            self._by_id.setdefault(response_id, []).append(call)
        self.expire(now)

    def learn_id(self, call: Call, response_id: str) -> None:
        """Remember a response id that a later copy brought."""
        calls = self._by_id.setdefault(response_id, [])
        if call not in calls:
            calls.append(call)

    def expire(self, now: int) -> None:
        """Forget what is too old or too much."""
        while self._order and (
            len(self._order) > self._max_calls or now - self._order[0][0] > self._max_age_ns
        ):
            if len(self._order) > self._max_calls:
                self.evicted += 1
            _, call = self._order.popleft()
            for key in _output_keys(call.reading):
                _drop(self._by_output, key, call)
            for response_id in call.response_ids:
                _drop(self._by_id, response_id, call)

    def __len__(self) -> int:
        return len(self._order)

    def find(self, node: Node, reading: Reading) -> Call | None:
        """Return the call that *node* is another copy of, or None."""
        best: Call | None = None
        best_rank: tuple[bool, bool, int] | None = None
        for call in self._candidates(reading):
            if not _may_be_copy(call, node) or call.reading is None or not agree(call.reading, reading):
                continue
            rank = min((r for copy in call.copies if (r := _relation(node, copy))), default=None)
            if rank is not None and (best_rank is None or rank < best_rank):
                best, best_rank = call, rank
        return best

    def find_by_id(self, node: Node) -> Call | None:
        """Return the call with the response id of *node* that another scope reported, or None."""
        response_id = node.facts.response_id
        for call in self._by_id.get(response_id, ()) if response_id else ():
            if node.scope not in call.scopes and _same_process(call.process, node.process):
                return call
        return None

    def find_silent(self, node: Node) -> Call | None:
        """Return the call of a sibling that ended with usage inside the time of *node*, which has none."""
        found = self.find_by_id(node)
        if found is not None or node.parent is None:
            return found
        for _, call in reversed(self._order):
            if node.end is not None and call.end < node.start:
                continue
            for copy in call.copies:
                if (
                    copy.parent is node.parent
                    and _may_be_copy(call, node)
                    and _overlap(copy, node)
                    and same_model(_model(copy), _model(node))
                ):
                    return call
        return None

    def within(self, node: Node) -> Iterator[Call]:
        """Yield the calls of other traces that began and ended while *node* was open."""
        end = node.end if node.end is not None else node.start
        for _, call in self._order:
            if (
                node.start <= call.start
                and call.end <= end
                and call.carrier.is_root
                and call.carrier.trace_id != node.trace_id
                and _same_process(call.process, node.process)
            ):
                yield call

    def _candidates(self, reading: Reading) -> Iterator[Call]:
        seen: set[int] = set()
        for key in _output_keys(reading):
            for call in self._by_output.get(key, ()):
                if id(call) not in seen:
                    seen.add(id(call))
                    yield call


def _output_keys(reading: Reading | None) -> set[int]:
    if reading is None:
        return set()
    usage = reading.usage
    return {usage.output, usage.output - usage.reasoning}


def _drop(index: dict[str, list[Call]] | OrderedDict[int, list[Call]], key: object, call: Call) -> None:
    calls = index.get(key)  # type: ignore[call-overload]
    if calls is not None:
        if call in calls:
            calls.remove(call)
        if not calls:
            del index[key]  # type: ignore[index]


def _same_process(one: str, other: str) -> bool:
    return not one or not other or one == other


def _may_be_copy(call: Call, node: Node) -> bool:
    """Rule out what no numbers can make a copy: the same scope, another type of call, another id."""
    if node.scope in call.scopes or not _same_process(call.process, node.process):
        return False
    if call.carrier.call_type != node.call_type and call.copies[0].call_type != node.call_type:
        return False
    mine = node.facts.response_id
    if mine and call.response_ids and mine not in call.response_ids:
        return node.scope in OWN_IDS or bool(call.scopes & OWN_IDS)
    return True


def _relation(node: Node, copy: Node) -> tuple[bool, bool, int] | None:
    """
    Return how closely two spans stand together (less is closer), or None where they cannot be copies.

    One must lie inside the other's time. Across traces the inner one must be the root of its trace
    and the models equal. Spans of one line are judged by ancestry, never here.
    """
    end = node.end if node.end is not None else node.start
    copy_end = copy.end if copy.end is not None else copy.start
    if node.start <= copy.start and copy_end <= end:
        inner, outer = copy, node
    elif copy.start <= node.start and end <= copy_end:
        inner, outer = node, copy
    else:
        return None
    if inner.trace_id != outer.trace_id:
        if not inner.is_root or not same_model(_model(inner), _model(outer)):
            return None
    elif inner.is_below(outer) or outer.is_below(inner):
        return None
    return (inner.trace_id != outer.trace_id, inner.parent is not outer.parent, inner.start - outer.start)


def _model(node: Node) -> str | None:
    return node.facts.model or node.facts.request_model


def _overlap(one: Node, other: Node) -> bool:
    ends = [n.end if n.end is not None else n.start for n in (one, other)]
    return one.start <= ends[1] and other.start <= ends[0]
