# SPDX-License-Identifier: Apache-2.0
"""What each span of a recording was, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spancost import money
from spancost.calls.kinds import OTHER, Kind
from spancost.cost import Cost, Unpriced

if TYPE_CHECKING:
    from spancost.calls.nodes import Call, Node
    from spancost.calls.pricing import Pricer
    from spancost.usage import Reading

_KIND_WORDS: Final = {
    Kind.OTHER: "not ours",
    Kind.CALL: "call",
    Kind.AGENT: "agent",
    Kind.TOOL: "tool",
    Kind.ROLLUP: "roll-up",
}
_SHOWN_USAGE: Final = (
    ("cache_read", "read from cache"),
    ("cache_write", "written to cache"),
    ("cache_write_1h", "for an hour"),
    ("input_audio", "audio"),
    ("input_image", "images"),
)


@dataclass(slots=True)
class Trace:
    """One trace of a recording, as a tree."""

    trace_id: str
    roots: list[Node]
    children: dict[int, list[Node]]


class Explainer:
    """
    Collects the spans of the traces to explain while a recording is replayed.

    Args:
        prefix: Only traces whose id begins so.
        limit: At most so many traces; None for all.
    """

    def __init__(self, prefix: str, limit: int | None) -> None:
        self._prefix = prefix.lower()
        self._limit = limit
        self._nodes: dict[str, list[Node]] = {}
        self._ours: set[str] = set()
        self.left_out = 0

    def take_call(self, call: Call) -> None:
        """Note that the traces of a call are worth showing."""
        for node in call.copies:
            self._ours.add(node.trace_id)

    def take_span(self, node: Node) -> None:
        """Keep a span of a trace that may be shown."""
        if node.trace_id.startswith(self._prefix):
            self._nodes.setdefault(node.trace_id, []).append(node)
            if node.kind is not Kind.OTHER:
                self._ours.add(node.trace_id)

    def traces(self) -> list[Trace]:
        """Return the traces to show, in the order they ended."""
        chosen = [t for t in self._nodes if self._prefix or t in self._ours]
        if self._limit is not None and len(chosen) > self._limit:
            self.left_out = len(chosen) - self._limit
            chosen = chosen[: self._limit]
        return [_trace(trace_id, self._nodes[trace_id]) for trace_id in chosen]


def _trace(trace_id: str, nodes: list[Node]) -> Trace:
    known = {id(node) for node in nodes}
    roots: list[Node] = []
    children: dict[int, list[Node]] = {}
    for node in sorted(nodes, key=lambda n: n.start):
        parent = node.parent
        if parent is None or id(parent) not in known:
            roots.append(node)
        else:
            children.setdefault(id(parent), []).append(node)
    return Trace(trace_id, roots, children)


def explain_span(node: Node, price: Pricer) -> list[str]:
    """
    Return what a span was: a headline, and details where there are any.

    Args:
        node: The span.
        price: What priced the recording.
    """
    facts = node.facts
    rule = facts.classification.rule
    if node.call is not None and node.call.carrier is node:
        return _explain_carrier(node, node.call, price)
    if node.call is not None:
        carrier = node.call.carrier
        details = [f"a call by {rule}; {_why_copy(node, node.call)}"]
        if facts.reading is not None:
            details.append(_usage(facts.reading))
        where = "" if carrier.trace_id == node.trace_id else f" in trace {carrier.trace_id}"
        return [f"copy of span {carrier.span_id}{where}: counted there", *details]
    if facts.reading is not None and node.kind is not Kind.OTHER:
        return [
            f"{_KIND_WORDS[facts.kind]} with usage: a sum of calls counted elsewhere, adds nothing",
            f"by {rule}; {_usage(facts.reading)}",
        ]
    if node.kind is Kind.OTHER:
        return ["not ours" if rule == OTHER.rule else f"no call: {rule}"]
    named = f" {facts.agent.name!r} (by {facts.agent.why})" if facts.agent is not None else ""
    return [f"{_KIND_WORDS[facts.kind]}{named}", f"by {rule}"]


def _why_copy(node: Node, call: Call) -> str:
    """Return what makes a span a copy of a call: how it stands to the others, by the surest sign first."""
    others = [copy for copy in call.copies if copy is not node]
    shows = "" if node.facts.reading is not None else ", which shows no usage itself"
    if node.facts.response_id and any(c.facts.response_id == node.facts.response_id for c in others):
        return f"the same response id {node.facts.response_id}{shows}"
    for copy in others:
        if copy.is_below(node):
            return f"around span {copy.span_id}, no agent or tool between{shows}"
        if node.is_below(copy):
            return f"inside span {copy.span_id}, no agent or tool between{shows}"
    where = "beside it" if node.trace_id == call.carrier.trace_id else "in another trace"
    agrees = "the same usage" if node.facts.reading is not None else "the same model and no usage of its own"
    return f"{agrees} at the same time {where}"


def _explain_carrier(node: Node, call: Call, price: Pricer) -> list[str]:
    details = [
        f"{'an aggregate' if 'aggregated' in call.flags else 'a call'} by {node.facts.classification.rule}"
    ]
    if len(call.copies) > 1:
        details[0] += f"; {len(call.copies)} spans are copies of it"
    if call.reading is not None:
        details.append(_usage(call.reading))
    if call.agent is not None:
        details.append(f"agent {call.agent.name!r} (by {call.agent.why})")
    else:
        details.append("agent unknown: neither the call nor a span above it names one")
    if call.flags:
        details.append(f"flags: {', '.join(call.flags)}")
    return [_amount(call), *details, *_rates(call, price)]


def _amount(call: Call) -> str:
    cost = call.cost
    if isinstance(cost, Cost):
        source = _source(cost)
        return f"CALL  {money.to_text(cost.femto)} USD ({source})"
    if call.status == "failed":
        return "CALL  failed without usage: counted, costs nothing known"
    reason = f"{cost.reason}: {cost.detail}" if isinstance(cost, Unpriced) else ""
    return f"CALL  unpriced, {reason}"


def _source(cost: Cost) -> str:
    if cost.source == "provider":
        return "reported by the provider"
    if "assumed" in cost.flags:
        return "the default rate"
    return "a rate of yours" if ":" in cost.rate_card.partition("/")[0] else "list price"


def _rates(call: Call, price: Pricer) -> list[str]:
    if not isinstance(call.cost, Cost) or call.cost.source == "provider" or not call.cost.femto:
        return []
    found = price.explain(call)
    parts = ", ".join(f"{name} {money.to_text(part)}" for name, part in call.cost.femto_parts.items())
    return [f"cost by part: {parts}", *found.lines()]


def _usage(reading: Reading) -> str:
    usage = reading.usage
    shown = ", ".join(
        f"{getattr(usage, name):,} {word}" for name, word in _SHOWN_USAGE if getattr(usage, name)
    )
    reasoning = f" ({usage.reasoning:,} reasoning)" if usage.reasoning else ""
    inside = f" ({shown})" if shown else ""
    return f"usage by rule {reading.rule}: input {usage.input:,}{inside}, output {usage.output:,}{reasoning}"
