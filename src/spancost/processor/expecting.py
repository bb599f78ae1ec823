# SPDX-License-Identifier: Apache-2.0
"""The series of open calls, born when somebody asks (`births`): those with a node, and those that will go straight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from spancost.calls import read_span
from spancost.calls.attribution import agent_so_far
from spancost.calls.kinds import Kind
from spancost.processor._sdk import link_of, snapshot_of
from spancost.processor.links import KIDS, OPEN, OWNER, node_in
from spancost.processor.metering import asked_of
from spancost.processor.quick import REQUEST_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import RLock

    from spancost.meter import Meter
    from spancost.processor.guard import Guard
    from spancost.processor.labels import Labels
    from spancost.processor.lane import Lane
    from spancost.processor.links import Owner
    from spancost.processor.live import LiveNode
    from spancost.processor.tree import Tree


class Asking(Protocol):
    """Whose calls these are: `LiveState`."""

    meter: Meter
    labels: Labels
    default_agent: str | None
    skips_remote: bool
    guards: dict[str, Guard]
    lock: RLock
    owner: Owner
    lane: Lane
    tree: Tree

    def do(self, step: Callable[..., None], *given: Any, late: Callable[..., None] | None = None) -> None:
        """Run one step of the engine."""


class Expecting:
    """
    Lets the series of open calls be born.

    Args:
        state: The engine.
    """

    def __init__(self, state: Asking) -> None:
        self._state = state

    def expect(self, span: Any) -> None:
        """Let the series of an open call be born, if it names its model already."""
        state = self._state
        with state.guards["meter"]:
            link = link_of(span, state.tree.slot, state)
            said = snapshot_of(span)
            if link is None or link[OPEN] is not True or REQUEST_MODEL not in said:
                return
            if link[OWNER] is not state.owner:
                return  # the process from which this one was forked counts it
            node: LiveNode | None = node_in(link)
            if node is None and state.lane.is_open and not state.labels and not state.skips_remote:
                state.lane.bear(span, said, link)
                return
            with state.lock:
                if link[OPEN] is True:  # the scrape's thread is not the span's
                    state.do(self.expect_of, state.tree.node_of(link, span), span.name, said)

    def expect_all(self) -> None:
        """
        Let the series of all open calls be born, before a scrape: one that they end before needs no zero.

        Those with a parent are found by its node while it is open, the others by themselves.
        """
        state = self._state
        if not state.meter.answered:
            return
        with state.guards["meter"], state.lock:
            found = [*state.lane.births.started]
            for node in [*state.tree.open.values()]:  # a copy, made at once: spans end without the lock
                found += (node.reference, *(node.link[KIDS] or {}).values())
        for reference in found:
            span = reference()
            if span is not None:
                self.expect(span)

    def expect_of(self, node: LiveNode, name: str, attributes: Mapping[str, Any]) -> None:
        """Let the series of an open call with a node be born; a step of the engine."""
        state = self._state
        facts = read_span(name, attributes, node.scope, node.version, failed=False)
        if facts.kind is Kind.CALL and not node.caller and not node.was_forked:
            agent = agent_so_far(node, facts.agent)
            agent_name = agent.name if agent is not None else state.default_agent
            labels = state.labels.values((node,))
            state.meter.expect(str(node.resource or ""), agent_name, *asked_of(facts), labels)
