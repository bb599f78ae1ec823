# SPDX-License-Identifier: Apache-2.0
"""A real TracerProvider with our processor between two exporters that copy, and every account in 1e-15 USD."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from spancost import CostSpanProcessor
from spancost.meter import names
from tests.kit import counts
from tests.waiting import LIMIT_S

AMOUNT = "gen_ai.usage.cost.amount"
DUPLICATE_OF = "spancost.duplicate_of"
HAS_ON_ENDING = hasattr(SpanProcessor, "_on_ending")
"""Before SDK 1.40, only exporters behind our processor see the cost; the tests look there then."""

PRICE = 250 * 10**9 + 100 * 10**9
"""What `Live.chat` costs: 100 tokens into gpt-4o and 10 out of it."""


class Copies(SpanExporter):
    """Keeps what an exporter gets: name, span id, and the attributes as they are inside export()."""

    def __init__(self):
        self.spans: list[tuple[str, int, dict[str, Any]]] = []

    def export(self, spans):
        self.spans += [(span.name, span.context.span_id, dict(span.attributes or {})) for span in spans]
        return SpanExportResult.SUCCESS

    def named(self, name) -> dict[str, Any]:
        """Return the attributes of the only span of a name."""
        (only,) = [attributes for each, _, attributes in self.spans if each == name]
        return only

    @property
    def femto(self) -> int:
        """The sum of the amounts."""
        return sum(femto(attributes[AMOUNT]) for _, _, attributes in self.spans if AMOUNT in attributes)


class Tracers:
    """
    The tracers of a provider, each asked for once.

    The SDK's `get_tracer` warns, and puts its filter for that first in the list anew by taking it out:
    where threads ask, one may meet its warning then, which is an error in our tests.
    """

    def __init__(self, provider: TracerProvider):
        self._provider = provider
        self._lock = threading.Lock()
        self._made: dict[str, trace.Tracer] = {}

    def of(self, scope: str) -> trace.Tracer:
        with self._lock:
            if scope not in self._made:
                self._made[scope] = self._provider.get_tracer(scope)
            return self._made[scope]


class Live:
    """
    A provider whose exporters stand before and after our processor.

    Args:
        processor: The one to use; a private one with *settings* by default.
        provider: Arguments of the TracerProvider.
        settings: Arguments of the processor.
    """

    def __init__(
        self, processor: SpanProcessor | None = None, provider: dict[str, Any] | None = None, **settings
    ):
        self.processor: Any = processor or CostSpanProcessor(private=True, **settings)
        self.before, self.after = Copies(), Copies()
        self.calls: list[Any] = []
        self.provider = TracerProvider(
            **{"resource": Resource({"service.name": "shop"}), "shutdown_on_exit": False} | (provider or {})
        )
        self._tracers = Tracers(self.provider)
        if not HAS_ON_ENDING:
            self.before = self.after
        exporters = [SimpleSpanProcessor(each) for each in (self.before, self.after)]
        for each in ([exporters[0]] if HAS_ON_ENDING else []) + [self.processor, exporters[1]]:
            self.provider.add_span_processor(each)
        if isinstance(self.processor, CostSpanProcessor):
            self.processor.on_call(self.calls.append)

    def tracer(self, scope="app") -> trace.Tracer:
        return self._tracers.of(scope)

    def start(self, name, attributes=None, *, scope="app", parent=None, **given) -> Any:
        """Start a span without making it current; *parent* is a span or None for the current one."""
        context = trace.set_span_in_context(parent) if parent is not None else None
        return self.tracer(scope).start_span(name, context=context, attributes=attributes, **given)

    @contextlib.contextmanager
    def span(self, name, attributes=None, *, scope="app"):
        with self.tracer(scope).start_as_current_span(name, attributes=attributes) as span:
            yield span

    def agent(self, name, **more):
        return self.span(f"invoke_agent {name}", agent_says(name) | more)

    def chat(self, usage=(100, 10), *, name="chat", scope="client", parent=None, **more) -> Any:
        """Make one whole call, with its usage set late; return its ended span."""
        span = self.open_chat(name=name, scope=scope, parent=parent)
        span.set_attributes(counts(usage) | {key.replace("__", "."): value for key, value in more.items()})
        span.end()
        return span

    def open_chat(self, *, name="chat", scope="client", parent=None, model="gpt-4o") -> Any:
        return self.start(name, chat_says(model), scope=scope, parent=parent)

    # --- accounts ---------------------------------------------------------------------------------

    @property
    def meter(self):
        return self.processor.meter

    @property
    def metered(self) -> int:
        """The sum of gen_ai_cost_usd_total."""
        return total(self.meter, names.COST)

    @property
    def uncarried(self) -> int:
        return process_total(self.meter, names.UNCARRIED)

    @property
    def counted(self) -> int:
        """The number of calls in the metrics."""
        return total(self.meter, names.CALLS)

    @property
    def agents(self) -> Counter[str]:
        """The number of calls by agent, in the metrics."""
        found: Counter[str] = Counter()
        for copy in self.meter._series.copies():
            found[copy.values[1]] += sum(c.value for c in copy.counts if c.spec is names.CALLS)
        return found

    @property
    def errors(self) -> dict[str, int]:
        return {name: cell.value for name, cell in self.meter._series.errors.items()}

    @property
    def runs(self) -> dict[tuple[str, ...], tuple[int, int]]:
        """The number and the cost of runs by label set."""
        return {
            values: (sum(run.cost.counts), run.cost.total) for values, run in self.meter._series.runs.items()
        }

    @property
    def state(self):
        return self.processor._state


class StartAndEndOnly(SpanProcessor):
    """A third party's wrapper that knows nothing of `_on_ending`."""

    def __init__(self, inner):
        self.inner = inner

    def on_start(self, span, parent_context=None):
        self.inner.on_start(span, parent_context)

    def on_end(self, span):
        self.inner.on_end(span)


def chat_says(model="gpt-4o") -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model}


def agent_says(name) -> dict[str, Any]:
    return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}


def femto(amount: float) -> int:
    """Return USD in 1e-15: what a float of a few dollars shows is enough to know the exact amount."""
    return round(Decimal(repr(amount)) * 10**15)


def total(meter, spec) -> int:
    return sum(count.value for copy in meter._series.copies() for count in copy.counts if count.spec is spec)


def process_total(meter, spec) -> int:
    with meter.gate.lock:
        return sum(count.value for count in meter._series.process_counts() if count.spec is spec)


def in_threads(number, work) -> None:
    """Run *work* on so many threads at once."""
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, in which these kits can be imported."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
    )
