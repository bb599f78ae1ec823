# SPDX-License-Identifier: Apache-2.0
"""
What a pipeline would lose, said once: samplers that drop calls, exporters that come too early, spans without attributes.

Looked for when the first span starts, so that later ones pay nothing.
"""

from __future__ import annotations

import logging
import re
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from spancost.processor._sdk import may_say_nothing, processors_of, sampler_of
from spancost.processor.writer import Reach

if TYPE_CHECKING:
    from collections.abc import Callable

_log: Final = logging.getLogger("spancost")
_said: Final[set[str]] = set()

_RATIO: Final = re.compile(r"TraceIdRatio\w*\{([\d.eE+-]+)\}")


def advise(span: object, processor: object, reach: Reach, *, has_exporter: bool) -> None:
    """
    Say what would lose costs.

    Args:
        span: The first span that the processor sees.
        processor: The processor.
        reach: Who sees what it writes.
        has_exporter: Whether the process has a `CostSpanExporter`.
    """
    warn_of_sampler(sampler_of(span))
    if reach is not Reach.ALL and not has_exporter:
        _warn_of_reach(processor, reach, processors_of(span))
    if may_say_nothing(span):
        once(
            "no attributes",
            "spans of this TracerProvider may have no attributes (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is 0), so no "
            "usage stands on them and no call can be seen. Raise the limit.",
        )


def warn_of_sampler(sampler: Any) -> None:
    """Say that a sampler drops spans, and with them what their calls cost."""
    drops = sampled_away(sampler)
    if drops:
        once(
            "sampler",
            f"the sampler {drops} drops spans before anybody sees them, so the calls on them are in no cost. "
            "Wrap it: TracerProvider(sampler=spancost.CostSampler(sampler)), or OTEL_TRACES_SAMPLER=spancost. "
            "No more spans are exported then, and every call is counted.",
        )


def sampled_away(sampler: Any) -> str:
    """Return what describes a sampler that is known to drop spans, empty where none are dropped or nobody can tell."""
    describe: Callable[[], str] | None = getattr(sampler, "get_description", None)
    said = describe() if describe is not None else ""
    if said.startswith("CostSampler"):
        return ""  # what its mode drops, somebody chose
    ratios = [float(ratio) for ratio in _RATIO.findall(said)]
    # What a parent decided elsewhere is not ours to complain about: only the root of ParentBased counts.
    root = said.partition("ParentBased{root:")[2] or said
    drops = any(ratio < 1 for ratio in ratios) or root.startswith("AlwaysOff")
    return said if drops else ""


def _warn_of_reach(processor: object, reach: Reach, processors: Any) -> None:
    # Inside a wrapper nobody knows where it stands.
    before = list(processors).index(processor) if processor in processors else len(processors)
    early = [type(each).__name__ for each in processors[:before] if _exports(each)]
    if reach is Reach.BEHIND and not early:
        return
    whom = ", ".join(early) or "any exporter"
    once(
        "reach",
        f"opentelemetry-sdk {_sdk_version()} lets nobody put costs on spans for {whom}, registered before "
        "CostSpanProcessor. Metrics are complete. For costs on the exported spans register CostSpanProcessor "
        "first, wrap the exporter in spancost.CostSpanExporter, or use opentelemetry-sdk 1.40 or newer.",
    )


def _exports(processor: object) -> bool:
    return hasattr(processor, "span_exporter") or hasattr(processor, "_batch_processor")


def _sdk_version() -> str:
    try:
        return version("opentelemetry-sdk")
    except PackageNotFoundError:
        return "of this process"


def once(about: str, text: str) -> None:
    """Log a warning unless one about this was logged."""
    if about not in _said:
        _said.add(about)
        _log.warning("spancost: %s", text)
