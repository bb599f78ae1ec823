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
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from spancost._env import METRICS_PORT, is_disabled
from spancost.processor import CostSpanProcessor, joining_processor
from spancost.processor.advice import warn_of_sampler
from spancost.processor.writer import ThrowawayProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from spancost.calls import Call

_log: Final = logging.getLogger("spancost")
_LOCK: Final = threading.Lock()
_GROUP: Final = "opentelemetry_instrumentor"
_MARK: Final = "_spancost_metered"

_state: dict[str, Any] = {}


class MeteringProcessor(SpanProcessor):
    """
    Our processor in a program that was not changed for it, made when the first span starts.

    By then a program that has a `CostSpanProcessor` of its own has made it, and this one joins it,
    whatever its settings. Nothing that fails here may stop the program.

    Args:
        settings: As for `CostSpanProcessor`, where the process has no others.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self._settings = settings or {}
        self._lock = threading.RLock()
        self._made: CostSpanProcessor | None = None
        self._failed = False
        self._listeners: list[Callable[[Call], None]] = []

    def _processor(self) -> CostSpanProcessor | None:
        if self._made is None and not self._failed:
            with self._lock:
                self._make()
        return self._made

    def _make(self) -> None:
        if self._made is not None or self._failed:
            return  # another thread was first
        try:
            processor = joining_processor(**self._settings)
        except Exception as error:  # noqa: BLE001 - the program comes first
            self._failed = True
            _log.warning("spancost: the program runs unmetered: %s: %s", type(error).__name__, error)
            return
        for listener in self._listeners:
            processor.on_call(listener)
        self._made = processor

    def begin(self) -> None:
        """Make our processor now, and not when the first span starts."""
        self._processor()

    def on_call(self, listener: Callable[[Call], None]) -> None:
        """Call *listener* with each settled call, as `CostSpanProcessor.on_call` does."""
        with self._lock:
            if self._made is not None:
                self._made.on_call(listener)
            else:
                self._listeners.append(listener)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember who encloses the span."""
        processor = self._processor()
        if processor is not None:
            processor.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        if self._made is not None:
            self._made._on_ending(span)  # noqa: SLF001 - the hook's name is the SDK's

    def on_end(self, span: ReadableSpan) -> None:
        """Settle the span where the SDK has no ``_on_ending``."""
        if self._made is not None:
            self._made.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Settle everything that waits."""
        return self._made is None or self._made.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Settle everything that waits."""
        self.force_flush()


def meter_everything(settings: Mapping[str, Any] | None = None) -> MeteringProcessor | None:
    """
    Put our processor on every TracerProvider of the process, and give spans a home if there is none.

    Idempotent: the settings of the first time hold. Returns the processor, or None where
    ``SPANCOST_DISABLED`` is set.

    Args:
        settings: As for `MeteringProcessor`.
    """
    if is_disabled():
        return None
    with _LOCK:
        if "processor" not in _state:
            _state["processor"] = MeteringProcessor(settings)
            _catch_new_providers()
            _catch_spans_without_provider()
    processor: MeteringProcessor = _state["processor"]
    if os.environ.get(METRICS_PORT, "").strip():
        processor.begin()  # a scrape must find the port open, whenever the first span comes
    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        _meter(current)
    return processor


def _meter(provider: TracerProvider) -> None:
    """Add our processor to a provider, once."""
    if isinstance(provider, ThrowawayProvider):
        return
    if not vars(provider).get(_MARK):
        warn_of_sampler(provider.sampler)
        vars(provider)[_MARK] = True
        provider.add_span_processor(_state["processor"])


def _catch_new_providers() -> None:
    original = TracerProvider.__init__

    @functools.wraps(original)
    def init(self: TracerProvider, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            _meter(self)
        except Exception as error:  # noqa: BLE001 - a pipeline of the program's own make must not stop it
            _log.warning("spancost: a TracerProvider is not metered: %s", error)

    TracerProvider.__init__ = init  # type: ignore[method-assign]


def _catch_spans_without_provider() -> None:
    """
    Give the tracers that libraries took before any provider was set a provider of ours.

    The global provider stays unset, so that the program can still set its own; from then on the same
    tracers use that one.
    """
    # Nothing of it is exported, so what the environment says of sampling is not about it.
    fallback = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
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

    ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` leaves some out, as under ``opentelemetry-instrument``;
    so is one whose library is not installed.
    """
    on = []
    for entry in _instrumentations():
        try:
            if _lacks_its_library(entry):
                continue
            entry.load()().instrument()
        except Exception as error:  # noqa: BLE001 - a broken third party must not stop the program
            _log.warning("spancost: the instrumentation %s could not be switched on: %s", entry.name, error)
        else:
            on.append(entry.name)
    return on


def _lacks_its_library(entry: EntryPoint) -> bool:
    """Tell whether what an instrumentation is for is missing; asking it to start would log an error."""
    try:
        from opentelemetry.instrumentation.dependencies import (  # type: ignore[import-not-found] # noqa: PLC0415 - an instrumentation brings it, we do not
            get_dist_dependency_conflicts,
        )
    except ImportError:
        return False
    return entry.dist is not None and get_dist_dependency_conflicts(entry.dist) is not None


def _instrumentations() -> Iterator[EntryPoint]:
    disabled = {
        name.strip() for name in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    }
    if "*" in disabled:
        return
    seen = set()
    for entry in entry_points(group=_GROUP):
        # Two vendors may use one name; one package may be found twice on the path.
        if entry.name not in disabled and entry.value not in seen and not entry.value.startswith("spancost"):
            seen.add(entry.value)
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


def missing_instrumentations(on: Sequence[str]) -> dict[str, str]:
    """
    Return the imported LLM libraries with the instrumentation that would show their calls.

    Args:
        on: Names of the instrumentations that are on; what they are for is not missing.
    """
    names = {_plain(name) for name in on}
    missing = {}
    for module, package in SUGGESTIONS.items():
        if module not in sys.modules or _is_installed(package):
            continue
        if module == "agents" and not _is_installed("openai-agents"):
            continue  # a program's own package may well have that name
        word = _plain(module.removesuffix("_core").removesuffix("_agentchat"))
        if not any(name.endswith(word) for name in names):
            missing[module] = package
    return missing


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(".", "")


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
