# SPDX-License-Identifier: Apache-2.0
"""
Prices OpenTelemetry GenAI spans.

Every public name is imported on first use: `import spancost` loads no price table, and the
part that prices never loads an OpenTelemetry SDK.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from spancost._version import __version__ as __version__

if TYPE_CHECKING:
    from spancost.book import PriceBook
    from spancost.context import agent, carry
    from spancost.cost import Cost, Unpriced
    from spancost.errors import InputError, PriceBookError, SpancostError, UsageError
    from spancost.exporter import CostSpanExporter
    from spancost.meter.apps import metrics_asgi_app, metrics_wsgi_app
    from spancost.meter.serving import serve_metrics
    from spancost.processor import CostSpanProcessor
    from spancost.sampler import CostSampler
    from spancost.usage import Usage

__all__ = [
    "Cost",
    "CostSampler",
    "CostSpanExporter",
    "CostSpanProcessor",
    "InputError",
    "PriceBook",
    "PriceBookError",
    "SpancostError",
    "Unpriced",
    "Usage",
    "UsageError",
    "agent",
    "carry",
    "metrics_asgi_app",
    "metrics_wsgi_app",
    "serve_metrics",
]

_HOMES: Final = {
    "Cost": "spancost.cost",
    "CostSampler": "spancost.sampler",
    "CostSpanExporter": "spancost.exporter",
    "CostSpanProcessor": "spancost.processor",
    "InputError": "spancost.errors",
    "PriceBook": "spancost.book",
    "PriceBookError": "spancost.errors",
    "SpancostError": "spancost.errors",
    "Unpriced": "spancost.cost",
    "Usage": "spancost.usage",
    "UsageError": "spancost.errors",
    "agent": "spancost.context",
    "carry": "spancost.context",
    "metrics_asgi_app": "spancost.meter.apps",
    "metrics_wsgi_app": "spancost.meter.apps",
    "serve_metrics": "spancost.meter.serving",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use, and keep it."""
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
