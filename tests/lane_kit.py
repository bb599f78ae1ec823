# SPDX-License-Identifier: Apache-2.0
"""Everything that can be seen of a program's calls, with names in place of ids, to compare two ways to it."""

from __future__ import annotations

import importlib
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from spancost.context import BLOCKS_USED
from spancost.cost import Cost
from spancost.processor.marks import DUPLICATE_OF
from tests.kit import counts
from tests.live_kit import Live, chat_says


class Straight:
    """
    Counts the calls that go the straight way of an engine.

    Args:
        state: The engine.
    """

    def __init__(self, state: Any) -> None:
        self.calls = 0
        self._take = state.quick.take
        state.quick.take = self._counting

    def _counting(self, *given: Any) -> bool:
        took = self._take(*given)
        self.calls += took
        return took


def close(state: Any) -> None:
    """Leave all calls of an engine to it."""
    state.do(state.lane.close)


CHAT = chat_says()


class Lane(Live):
    """
    As `Live`, with calls of `CHAT` learnt; it begins as a program does that never entered a block.

    Args:
        warm: How many calls of nobody were made before; their costs are not in the accounts.
        settings: As for `Live`.
    """

    def __init__(self, warm=2, **settings):
        BLOCKS_USED[0] = False
        super().__init__(**settings)
        self.straight = Straight(self.state)
        for _ in range(warm):
            self.call(usage=(1, 1))

    def call(self, says=CHAT, *, usage=(100, 10), name="chat", scope="client", parent=None, **more):
        """Make a whole call, and return its ended span."""
        span = self.start(name, says, scope=scope, parent=parent)
        span.set_attributes(counts(usage) | more)
        span.end()
        return span

    def went_straight(self, *given, **named) -> bool:
        """Make a call, and tell whether it went straight."""
        before = self.straight.calls
        self.call(*given, **named)
        return self.straight.calls > before


def said(span):
    """Return what is on a span."""
    return dict(span.attributes)


def target(step):
    """Return the owner and the name of what is written as ``module:path``, to be patched."""
    module, _, path = step.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    return owner, name


class Exported(SpanExporter):
    """Keeps what can be seen of each span inside export()."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, int, dict[str, Any], int, str]] = []

    def export(self, spans):
        for span in spans:
            said = dict(span.attributes or {})
            self.spans.append(
                (span.name, span.context.span_id, said, span.dropped_attributes, span.status.status_code.name)
            )
        return SpanExportResult.SUCCESS


class Decides(Sampler):
    """Samples as it is told, span by span."""

    def __init__(self) -> None:
        self.next = Decision.RECORD_AND_SAMPLE

    def should_sample(self, *given: Any, **named: Any) -> SamplingResult:
        attributes = given[4] if len(given) > 4 else named.get("attributes")
        return SamplingResult(self.next, attributes)

    def get_description(self) -> str:
        return "decides"


class Names:
    """Names in place of ids, by the order in which spans started."""

    def __init__(self) -> None:
        self._spans: dict[int, int] = {}
        self._traces: dict[int, int] = {}

    def started(self, span: Any) -> None:
        """Name a span."""
        ids = span.get_span_context()
        self._spans.setdefault(ids.span_id, len(self._spans))
        self._traces.setdefault(ids.trace_id, len(self._traces))

    def span(self, number: object) -> object:
        """Return the name of a span, by its id or the id as text."""
        number = int(number, 16) if isinstance(number, str) else number
        return self._spans.get(number, "?") if number else 0  # type: ignore[call-overload]

    def trace(self, number: object) -> object:
        """Return the name of a trace likewise."""
        number = int(number, 16) if isinstance(number, str) else number
        return self._traces.get(number, "?") if number else 0  # type: ignore[call-overload]


def exported(spans, names):
    """Return exported spans, each attribute with its type: True, 1 and 1.0 are not the same."""
    return [
        (
            (name, names.span(span_id), dropped, status),
            sorted(
                (key, repr(names.span(value)) if key == DUPLICATE_OF else repr(value))
                for key, value in said.items()
            ),
        )
        for name, span_id, said, dropped, status in spans
    ]


def metered(meter, names):
    """Return all that a meter shows but times of birth: series at zero as well."""
    records = sorted(
        (
            copy.values,
            sorted((count.spec.name, count.own, count.value) for count in copy.counts),
            _buckets(copy.cost, names),
            _buckets(copy.duration, names),
        )
        for copy in meter._series.copies()
    )
    runs = sorted((values, run.cost.counts, run.cost.total) for values, run in meter._series.runs.items())
    with meter.gate.lock:
        process = sorted(
            (count.spec.name, count.own, count.value) for count in meter._series.process_counts()
        )
    return records, runs, process, meter.pending()


def _buckets(buckets, names):
    marks = [
        (at, value, names.trace(trace_id), names.span(span_id), ended)
        for at, (value, (trace_id, span_id, ended)) in sorted(buckets.marks.items())
    ]
    return buckets.counts, buckets.total, marks


def told(calls, names):
    """Return what `on_call` was told of, as it stands now, in the order in which it came."""
    return [_call(call, names) for call in calls]


def _call(call, names):
    cost = call.cost
    if isinstance(cost, Cost):
        money = (cost.femto, sorted(cost.femto_parts.items()), cost.rate_card, cost.price_book)
        money += (cost.flags, cost.source, cost.rates)
    else:
        money = repr(cost)
    return {
        "status": (call.status, call.frozen, call.settled),
        "agent": repr(call.agent),
        "carrier": names.span(call.carrier.span_id),
        "copies": [_node(copy, names) for copy in call.copies],
        "type": call.call_type,
        "money": money,
        "estimate": repr(call.estimate),
        "flags": call.flags,
        "reading": repr(call.reading),
        "ids": sorted(map(repr, call.response_ids)),
        "scopes": sorted(call.scopes),
        "times": (call.start, call.end, call.until),
    }


def _node(node, names):
    """Return what is known of one copy."""
    return {
        "span": (names.span(node.span_id), names.trace(node.trace_id), node.name, node.scope, node.version),
        "above": [names.span(each.span_id) for each in _line(node)],
        "times": (node.start, node.end),
        "what": (node.kind, node.call_type, node.outcome, node.is_root, node.resource, node.sampled),
        "agent": repr(node.agent),
        "block": node.block.name if node.block is not None else None,
        "facts": repr(node.facts),
        "below": sorted(node.types_below or ()),
    }


def _line(node):
    while node.parent is not None:
        node = node.parent
        yield node
