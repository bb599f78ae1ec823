# SPDX-License-Identifier: Apache-2.0
"""The ends of spans: what they say is read, the engine told, and what there is to say put on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace

from spancost.calls import read_span
from spancost.calls.facts import NOTHING, Facts
from spancost.calls.kinds import Kind
from spancost.processor._sdk import attributes_of, is_live
from spancost.processor.ended import NOTHING_LEFT
from spancost.processor.links import OPEN
from spancost.processor.marks import marks_of, run_marks_of
from spancost.processor.tree import forget_lost_kids

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spancost.calls import Engine
    from spancost.processor.ended import EndedSpans
    from spancost.processor.guard import Guard
    from spancost.processor.labels import Labels
    from spancost.processor.lane import Lane
    from spancost.processor.links import Link
    from spancost.processor.live import LiveNode
    from spancost.processor.quick import QuickHooks
    from spancost.processor.settled import Settled
    from spancost.processor.tree import Tree
    from spancost.processor.writer import Writer


class Ending(Protocol):
    """Whose spans these are: `LiveState`."""

    engine: Engine
    guards: dict[str, Guard]
    labels: Labels
    lane: Lane
    quick: QuickHooks
    settled: Settled
    tree: Tree
    writer: Writer
    ended: EndedSpans | None
    default_agent: str | None
    cost_attribute: str
    run_attributes: bool

    def do(self, step: Callable[..., None], *given: Any, late: Callable[..., None] | None = None) -> None:
        """Run one step of the engine."""

    def end_below(self, link: Link | None) -> None:
        """Pass on that nothing below a span is open any more."""


class Ends:
    """
    Takes the spans of an engine as they end.

    Args:
        state: The engine.
    """

    def __init__(self, state: Ending) -> None:
        self._state = state

    def finish(self, span: Any) -> None:
        """Take a span that ends, and put on it what there is to say."""
        state = self._state
        node = state.tree.node_at_end(span)
        if node is None or not node.is_open:
            return
        ended = state.ended
        if ended is not None:
            ended.add(span, node.key, NOTHING_LEFT)  # first: whatever fails below, it is not priced again
        marks = self.end(span, node)
        write = state.writer.in_ending if is_live(span) else state.writer.in_end
        if marks and not write(span, marks):
            if ended is not None:
                ended.add(span, node.key, marks)
            else:
                self._lost(marks, node)
        state.settled.hint()

    def end(self, span: Any, node: LiveNode) -> dict[str, Any]:
        """Take a span that ends; return what to put on it, nothing where it is none of ours or known."""
        if not node.is_open:
            return {}
        state = self._state
        state.tree.close(node)
        end = span.end_time or span.start_time
        try:
            attributes = attributes_of(span)
            facts = _facts(span, node, attributes)
            if state.labels:
                node.labels = state.labels.at_end(node.labels, attributes)
        except Exception:
            # The spans above must not wait for one that cannot be read.
            state.do(self._end_late, node, NOTHING, end)
            raise
        marks: dict[str, Any] = {}
        state.do(self._end, node, facts, end, attributes, marks, late=self._end_late)
        if node.call is not None and state.lane.is_open and is_live(span):
            # What was found out about this one stands, whatever becomes of the next.
            with state.guards["on_end"]:
                state.do(state.lane.learn, span, node, attributes)
        return marks

    def _end(
        self, node: LiveNode, facts: Facts, end: int, attributes: Mapping[str, Any], marks: dict[str, Any]
    ) -> None:
        state = self._state
        state.settled.ending = node
        state.lane.see(node, facts)
        try:
            state.engine.end(node, facts, end)
        finally:
            state.settled.ending = None
            if node.rows is not None:
                state.lane.untold.hand_on(node)
        node.look()  # lets go of what the span said
        marks.update(marks_of(node, attributes, state.default_agent, state.cost_attribute))
        if node.kind is not Kind.OTHER:
            state.quick.speaks(node.scope)
        if node.kind is Kind.AGENT:
            state.settled.end_run(node)
            if state.run_attributes:
                marks.update(run_marks_of(node))

    def _end_late(self, node: LiveNode, facts: Facts, end: int, *_: object) -> None:
        """End a span that is on its way to the exporters by now: it carries nothing (5.1 f)."""
        if not node.is_open:
            return
        state = self._state
        state.tree.close(node)
        early = node.adopted
        if early is not None and early.frozen and early.carrier is node:
            state.settled.uncarried(early)  # else it is counted when it is priced, just below
        state.lane.see(node, facts)
        state.engine.end(node, facts, end)
        if node.rows is not None:
            state.lane.untold.hand_on(node)
        node.look()  # as above
        if node.kind is Kind.AGENT:
            state.settled.end_run(node)

    def _lost(self, marks: Mapping[str, Any], node: LiveNode) -> None:
        """Take note that marks could not be put on their span."""
        call = node.call
        if marks and call is not None and call.carrier is node:
            self._state.do(self._state.settled.uncarried, call)

    def end_freed(self) -> None:
        """
        Take the spans that the app dropped without ending them: no exporter will carry their amounts (5.1 f).

        Not at once, when they are freed: finalisers run after that, and may end them yet.
        """
        state = self._state
        gone = state.tree.gone
        while gone:
            node = gone.popleft()
            if isinstance(node, list):  # the span above one without a node
                forget_lost_kids(node)
                state.end_below(node)
                continue
            if not node.link[OPEN]:
                continue  # it did end, while the engine was busy: how it ended waits in `late`
            with state.guards["abandoned"]:
                end = node.adopted.until if node.adopted is not None else node.start
                self._end_late(node, NOTHING, end)


def _facts(span: Any, node: LiveNode, attributes: Mapping[str, Any]) -> Facts:
    failed = span.status.status_code is trace.StatusCode.ERROR
    facts = read_span(span.name, attributes, node.scope, node.version, failed=failed)
    if not node.was_forked:
        return facts
    # It ends in the parent process too, and is counted there.
    return NOTHING if facts.kind is Kind.CALL else Facts(facts.classification, agent=facts.agent)
