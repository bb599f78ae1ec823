# SPDX-License-Identifier: Apache-2.0
"""
Meter a program that was not changed for it.

Whatever TracerProvider the program makes, now or later, gets our processor. If it makes none, spans
go to a provider of ours that exports nothing. Every installed instrumentation is switched on.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from spancost._env import is_disabled
from spancost.processor import CostSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log: Final = logging.getLogger("spancost")
_LOCK: Final = threading.Lock()
_GROUP: Final = "opentelemetry_instrumentor"
_MARK: Final = "_spancost_metered"

_state: dict[str, Any] = {}


def meter_everything() -> CostSpanProcessor | None:
    """
    Put our processor on every TracerProvider of the process, and give spans a home if there is none.

    Idempotent. Returns the processor, or None where ``SPANCOST_DISABLED`` is set.
    """
    if is_disabled():
        return None
    with _LOCK:
        if "processor" not in _state:
            _state["processor"] = CostSpanProcessor()
            _catch_new_providers()
            _catch_spans_without_provider()
    processor: CostSpanProcessor = _state["processor"]
    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        _meter(current)
    return processor


def _meter(provider: TracerProvider) -> None:
    """Add our processor to a provider, once."""
    if not vars(provider).get(_MARK):
        vars(provider)[_MARK] = True
        provider.add_span_processor(_state["processor"])


def _catch_new_providers() -> None:
    original = TracerProvider.__init__

    @functools.wraps(original)
    def init(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        _meter(self)

    TracerProvider.__init__ = init  # type: ignore[method-assign]


def _catch_spans_without_provider() -> None:
    """
    Give the tracers that libraries took before any provider was set a provider of ours.

    The global provider stays unset, so that the program can still set its own; from then on the same
    tracers use that one.
    """
    fallback = TracerProvider(shutdown_on_exit=False)
    original = trace.ProxyTracer._tracer.fget  # type: ignore[attr-defined] # noqa: SLF001 - no public way
    tracers: dict[tuple[str, str | None], trace.Tracer] = {}

    def tracer_of(self: trace.ProxyTracer) -> trace.Tracer:
        found: trace.Tracer = original(self)
        if not isinstance(found, trace.NoOpTracer) or trace._TRACER_PROVIDER is not None:  # noqa: SLF001
            return found
        name = self._instrumenting_module_name
        version = self._instrumenting_library_version
        if (name, version) not in tracers:
            tracers[name, version] = fallback.get_tracer(name, version)
        return tracers[name, version]

    trace.ProxyTracer._tracer = property(tracer_of)  # type: ignore[method-assign, assignment] # noqa: SLF001


# --- other instrumentations --------------------------------------------------------------------


def instrument_everything() -> list[str]:
    """
    Switch on every installed OpenTelemetry instrumentation; return the names of those that are on.

    ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` leaves some out, as under ``opentelemetry-instrument``.
    """
    on = []
    for entry in _instrumentations():
        try:
            entry.load()().instrument()
        except Exception as error:  # noqa: BLE001 - a broken third party must not stop the program
            _log.warning("spancost: the instrumentation %s could not be switched on: %s", entry.name, error)
        else:
            on.append(entry.name)
    return on


def _instrumentations() -> Iterator[EntryPoint]:
    disabled = {
        name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    }
    if "*" in disabled:
        return
    seen = set()
    for entry in entry_points(group=_GROUP):
        if entry.name not in disabled and entry.name not in seen and not entry.value.startswith("spancost"):
            seen.add(entry.name)
            yield entry


SUGGESTIONS: Final = {
    "openai": "opentelemetry-instrumentation-genai-openai",
    "anthropic": "opentelemetry-instrumentation-genai-anthropic",
    "google.genai": "opentelemetry-instrumentation-google-genai",
    "botocore": "opentelemetry-instrumentation-botocore",
    "langchain_core": "opentelemetry-instrumentation-genai-langchain",
    "llama_index": "opentelemetry-instrumentation-genai-llama-index",
    "agents": "opentelemetry-instrumentation-genai-openai-agents",
    "agno": "opentelemetry-instrumentation-genai-agno",
    "dspy": "opentelemetry-instrumentation-genai-dspy",
    "smolagents": "opentelemetry-instrumentation-genai-smolagents",
    "cohere": "opentelemetry-instrumentation-cohere",
    "groq": "opentelemetry-instrumentation-groq",
    "mistralai": "opentelemetry-instrumentation-mistralai",
    "ollama": "opentelemetry-instrumentation-ollama",
    "together": "opentelemetry-instrumentation-together",
    "litellm": "openinference-instrumentation-litellm",
    "crewai": "openinference-instrumentation-crewai",
    "haystack": "openinference-instrumentation-haystack",
    "autogen_agentchat": "openinference-instrumentation-autogen-agentchat",
}
"""What to install to see the calls of a library, by the module the library is imported as."""


def missing_instrumentations() -> dict[str, str]:
    """Return the imported LLM libraries with the instrumentation that would show their calls."""
    return {module: package for module, package in SUGGESTIONS.items() if module in sys.modules}


def on_call(listener: Callable[[Any], None]) -> None:
    """Call *listener* with each settled call of the process."""
    processor = meter_everything()
    if processor is not None:
        processor.on_call(listener)
