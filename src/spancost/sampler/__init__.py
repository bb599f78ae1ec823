# SPDX-License-Identifier: Apache-2.0
"""
The door for everyone who samples: no call is lost to the costs, and no span more is exported.

    TracerProvider(sampler=CostSampler(ParentBased(TraceIdRatioBased(0.1))))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

from spancost._env import is_disabled
from spancost.context import current_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

Mode = Literal["all", "subtree", "genai"]
MODES: Final = get_args(Mode)

_KEYS: Final = frozenset(
    {
        "agent_name",
        "ai.operationId",
        "gen_ai.agent.name",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.system",
        "langfuse.observation.type",
        "langsmith.span.kind",
        "llm.model_name",
        "llm.provider",
        "llm.request.type",
        "logfire.span_type",
        "mlflow.spanType",
        "openinference.span.kind",
        "request_data",
        "traceloop.span.kind",
    }
)
"""Attributes by which a span shows at its start that it is a call, an agent or another part of one."""

_NAMES: Final = (
    "agent",
    "call_llm",
    "chat ",
    "embeddings ",
    "execute_tool ",
    "generate_content ",
    "invoke_agent",
    "invoke_workflow",
    "text_completion ",
)


class CostSampler(Sampler):
    """
    Keep spans recorded that another sampler would drop: for metering only, they are exported nowhere.

    It has to be the outermost sampler: inside a `ParentBased` it would not be asked about the children
    of dropped spans.

    Args:
        root: The sampler that decides what is exported.
        mode: Which of the dropped spans stay recorded. ``all``: every one, so nothing is lost. ``subtree``:
            those that show at their start that they belong to a GenAI library, what is below them, and
            what is inside a ``spancost.agent`` block. ``genai``: those that show it, alone. Many frameworks
            show it only at the end of a span, so the last two lose calls.

    Raises:
        TypeError: *root* is no sampler.
        ValueError: There is no such mode.
    """

    def __init__(self, root: Sampler, mode: Mode = "all") -> None:
        if not isinstance(root, Sampler):
            raise TypeError(f"CostSampler wraps a sampler, such as TraceIdRatioBased(0.1), not {root!r}")
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        self._root = root
        self._mode = mode
        self._off = is_disabled()

    def should_sample(  # noqa: PLR0917 - the signature of the SDK
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return what the root decides, with a span recorded where it would be dropped."""
        result = self._root.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is not Decision.DROP or self._off:
            return result
        if self._mode != "all" and not self._keeps(parent_context, name, attributes):
            return result
        # The attributes as they came: samplers that drop a span leave them out of their result.
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def _keeps(self, parent_context: Context | None, name: str, attributes: Attributes) -> bool:
        if (attributes and not _KEYS.isdisjoint(attributes)) or name.startswith(_NAMES):
            return True
        if self._mode == "genai":
            return False
        parent = trace.get_current_span(parent_context)
        if parent.is_recording() and not parent.get_span_context().trace_flags.sampled:
            return True  # kept by this rule itself
        return current_block(parent_context) is not None

    def get_description(self) -> str:
        """Name the root and the mode."""
        return f"CostSampler{{{self._root.get_description()},mode={self._mode}}}"
