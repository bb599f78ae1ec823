# SPDX-License-Identifier: Apache-2.0
"""
Recorded agent runs through the engine in the order in which things really happened.

A file is replayed by the times of its spans, and knows from the start what a span says at its end.
Here the engine learns what a live processor would: attributes as they were at the start, then as the
recorder could read them on live ancestors whenever a span below started or ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spancost.book import PriceBook
from spancost.calls import Call, Engine, Kind, Node, read_span
from spancost.calls.agents import agent_of
from spancost.calls.kinds import classify
from spancost.calls.pricing import Pricer
from spancost.usage import dialect_of

if TYPE_CHECKING:
    from spancost.otlp import Span

Key = tuple[str, str]


class ReplayedNode(Node):
    """A node that reads, when looked at, what its span has said by now."""

    __slots__ = ("said", "version")

    def __init__(self, *arguments: Any, version: str, said: dict[str, Any], **facts: Any) -> None:
        super().__init__(*arguments, **facts)
        self.version = version
        self.said = said

    def look(self) -> None:
        """Bring kind and agent up to date, as a live node does."""
        if not self.is_open or dialect_of(self.said, self.scope, self.version).readable == "end":
            return
        found = classify(self.name, self.said, self.scope, has_usage=False, has_model=False)
        self.kind = None if found.kind is Kind.OTHER else found.kind
        self.call_type = found.call_type
        self.agent = agent_of(self.name, self.said, self.scope, found.kind) or self.agent


def replay(starts: list[dict[str, Any]], spans: list[Span]) -> list[Call]:
    """Replay one run and return its calls; spans that the recorder did not see start are left out."""
    calls: list[Call] = []
    engine = Engine(Pricer(PriceBook.default()), calls.append)
    ended = {(span.trace_id, span.span_id): span for span in spans}
    nodes: dict[Key, ReplayedNode] = {}
    events = [(record["seq_start"], "start", record) for record in starts]
    events += [(record["seq_end"], "end", record) for record in starts if record.get("seq_end")]
    now = min((span.start for span in spans), default=0)
    for _, what, record in sorted(events, key=lambda event: event[0]):
        key = (record["traceId"], record["spanId"])
        span = ended.get(key)
        for above in record.get(f"ancestors_at_{what}") or ():
            seen = nodes.get((record["traceId"], above["spanId"]))
            if seen is not None:
                seen.said, seen.name = above["attrs"], above["name"]
        if what == "start":
            now = span.start if span is not None else now
            nodes[key] = node = _node(record, span, nodes, now)
            engine.start(node)
        elif span is not None and span.end is not None:
            now = span.end
            facts = read_span(
                span.name, span.attributes, span.scope_name, span.scope_version, failed=span.failed
            )
            nodes[key].name = span.name
            engine.end(nodes[key], facts, span.end)
    engine.flush()
    return calls


def _node(
    record: dict[str, Any], span: Span | None, nodes: dict[Key, ReplayedNode], now: int
) -> ReplayedNode:
    said = record["attrs_at_start"] or {}
    scope, version = record["scope"] or "", span.scope_version if span is not None else ""
    return ReplayedNode(
        record["traceId"],
        record["spanId"],
        nodes.get((record["traceId"], record["parentSpanId"])),
        version=version,
        said=said,
        is_root=not record["parentSpanId"],
        name=record["name"],
        scope=scope,
        start=now,
        detached=dialect_of(said, scope, version).detached,
    )
