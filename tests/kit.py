# SPDX-License-Identifier: Apache-2.0
"""Recordings in a few lines: build spans as trees, settle them as files are settled, look at what came out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spancost.book import PriceBook
from spancost.calls.pricing import Pricer
from spancost.files.recording import Recording
from spancost.files.rows import row_of_call
from spancost.otlp import Span
from spancost.prices.cards import read_cards
from spancost.prices.resolve import Resolution
from spancost.route import Route

if TYPE_CHECKING:
    from spancost.calls import Call, Node

BASE = 1_795_219_200 * 10**9  # 2026-11-21, a day with prices
SECOND = 10**9
OPENINFERENCE_LANGCHAIN = "openinference.instrumentation.langchain"
LANGSMITH = "langsmith"


class Spans:
    """
    The spans of one recording; every method adds one and returns it, to be the parent of others.

    Times are seconds. A span without a parent begins a trace of its own; *trace* puts it into
    that of another span.
    """

    def __init__(self) -> None:
        self.all: list[Span] = []
        self._traces = 0

    def add(
        self,
        name: str,
        start: float,
        end: float | None,
        attributes: dict[str, Any] | None = None,
        *,
        parent: Span | None = None,
        trace: Span | None = None,
        scope: str = "app",
        version: str = "",
        remote: bool | None = None,
        failed: bool = False,
        resource: dict[str, Any] | None = None,
        parent_id: str = "",
    ) -> Span:
        """Add any span."""
        home = parent or trace
        if home is None:
            self._traces += 1
        span = Span(
            trace_id=home.trace_id if home else f"{self._traces:032x}",
            span_id=f"{len(self.all) + 1:016x}",
            parent_id=parent.span_id if parent else parent_id,
            name=name,
            kind=1,
            start=moment(start),
            end=None if end is None else moment(end),
            is_remote_parent=remote,
            failed=failed,
            attributes=attributes or {},
            resource=resource if resource is not None else (home.resource if home else {}),
            scope_name=scope,
            scope_version=version,
        )
        self.all.append(span)
        return span

    def chat(
        self,
        start: float,
        end: float | None,
        usage: Sequence[int] | None = (100, 10),
        *,
        scope: str = "client",
        operation: str | None = "chat",
        model: str | None = "gpt-4o",
        answered_by: str | None = None,
        response_id: str | None = None,
        more: dict[str, Any] | None = None,
        **placed: Any,
    ) -> Span:
        """Add a call in the words of the conventions; *usage* is input, output, cache reads and writes."""
        attributes: dict[str, Any] = {"gen_ai.provider.name": "openai"}
        given = {
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": model,
            "gen_ai.response.model": answered_by,
            "gen_ai.response.id": response_id,
        }
        attributes |= {key: value for key, value in given.items() if value is not None}
        attributes |= counts(usage) | (more or {})
        return self.add(f"{operation or 'call'} {model}", start, end, attributes, scope=scope, **placed)

    def embed(self, start: float, end: float, tokens: int = 50, **placed: Any) -> Span:
        """Add an embedding call."""
        placed = {"scope": "client", "operation": "embeddings", "model": "text-embedding-3-small"} | placed
        return self.chat(start, end, (tokens,), **placed)

    def langchain(
        self,
        name: str,
        start: float,
        end: float,
        kind: str,
        usage: Sequence[int] | None = None,
        **placed: Any,
    ) -> Span:
        """Add a span of a LangChain callback handler, which is never made current."""
        attributes: dict[str, Any] = {"openinference.span.kind": kind}
        if kind == "LLM":
            attributes |= {"llm.model_name": "gpt-4o", "llm.provider": "openai"}
        if usage:
            attributes |= {"llm.token_count.prompt": usage[0], "llm.token_count.completion": usage[1]}
        return self.add(name, start, end, attributes, scope=OPENINFERENCE_LANGCHAIN, **placed)

    def agent(
        self, name: str, start: float, end: float | None, usage: Sequence[int] | None = None, **placed: Any
    ) -> Span:
        """Add an agent, with a roll-up of its calls' usage where given."""
        attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name} | counts(usage)
        return self.add(f"invoke_agent {name}", start, end, attributes, **placed)

    def tool(self, name: str, start: float, end: float | None, **placed: Any) -> Span:
        """Add a tool's execution."""
        attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
        return self.add(f"execute_tool {name}", start, end, attributes, **placed)

    def settle(self, *, across_services: bool = False) -> Settled:
        """Settle everything added so far."""
        return settle(self.all, across_services=across_services)


class Settled:
    """What came out of a recording."""

    def __init__(self, calls: list[Call], nodes: list[Node]) -> None:
        self.calls = calls
        self.rows = [row_of_call(call) for call in calls]
        self._nodes = {(node.trace_id, node.span_id): node for node in nodes}

    def node(self, span: Span) -> Node:
        """Return the engine's view of a span that ended."""
        return self._nodes[span.trace_id, span.span_id]

    def call(self, span: Span) -> Call | None:
        """Return the call that a span is a copy of."""
        return self.node(span).call

    def outcome(self, span: Span) -> str:
        """Return what became of a span: amount, unpriced, failed, duplicate, rollup or nothing."""
        return self.node(span).outcome

    @property
    def carriers(self) -> list[str]:
        """The ids of the spans that carry the calls."""
        return [call.carrier.span_id for call in self.calls]

    @property
    def femto(self) -> int:
        """The sum of all costs, exactly."""
        return sum(getattr(call.cost, "femto", 0) for call in self.calls)

    @property
    def agents(self) -> list[str | None]:
        """The agent of each call, in the order they settled."""
        return [call.agent.name if call.agent else None for call in self.calls]

    @property
    def statuses(self) -> list[str]:
        """The status of each call, sorted."""
        return sorted(call.status for call in self.calls)

    @property
    def inputs(self) -> list[int]:
        """The input tokens of the calls that have usage, sorted."""
        return sorted(call.reading.usage.input for call in self.calls if call.reading)


def settle(spans: Iterable[Span], *, across_services: bool = False) -> Settled:
    """Settle spans as ``spancost price`` does with those of a file."""
    recording = Recording(across_services=across_services)
    recording.add_all(spans)
    calls: list[Call] = []
    nodes: list[Node] = []
    recording.replay(Pricer(PriceBook.default()), calls.append, nodes.append)
    return Settled(calls, nodes)


def route_of(*cards: dict[str, Any]) -> Route:
    """Return the route of a row of the table with these cards, for acme's model m."""
    found = read_cards("acme", "m", {"source": "a test", "cards": cards})
    return Route(Resolution("acme", "named", "m", "exact", "m", found), "1")


def moment(seconds: float) -> int:
    """Return a time of the recording in nanoseconds."""
    return BASE + round(seconds * 1000) * 10**6


def counts(usage: Sequence[int] | None) -> dict[str, int]:
    """Return usage as the conventions write it."""
    keys = ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_creation.input_tokens")
    return {f"gen_ai.usage.{key}": count for key, count in zip(keys, usage or (), strict=False)}
