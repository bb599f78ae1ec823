# SPDX-License-Identifier: Apache-2.0
"""
The entry point ``spancost`` of ``opentelemetry-instrument python app.py``, and of YAML configurations.

    instrumentation/development:
      python:
        spancost: {labels: [team], metrics_port: 9464}

Nothing in here raises: an error would stop all further instrumentations of the program.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final

from spancost._env import METRICS_ADDR, METRICS_PORT, is_disabled
from spancost.instrumentor import meter_everything

_log: Final = logging.getLogger("spancost")
_LOCK: Final = threading.Lock()
_SETTINGS: Final = ("cost_attribute", "default_agent", "labels", "run_attributes")
_LOADER: Final = "opentelemetry.instrumentation.auto_instrumentation"
_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


@dataclass(frozen=True)
class Configuration:
    """
    What a YAML configuration may say; None is what the environment says.

    Args:
        labels: As for `CostSpanProcessor`.
        default_agent: See there.
        run_attributes: See there.
        cost_attribute: See there.
        metrics_port: The port to serve ``/metrics`` on.
        metrics_addr: The address to serve it on, 127.0.0.1 by default.
        threads: Whether agents reach into threads and thread pools, by OpenTelemetry's instrumentation of
            them, where that is installed; true by default.
    """

    labels: list[str] | None = None
    default_agent: str | None = None
    run_attributes: bool | None = None
    cost_attribute: str | None = None
    metrics_port: int | None = None
    metrics_addr: str | None = None
    threads: bool | None = None


class SpancostInstrumentor:
    """
    Meters whatever TracerProvider the program has or will have.

    A second call changes nothing, so it may stand in a YAML configuration under
    ``opentelemetry-instrument``, which calls it again, and in a program that `spancost run` started.
    """

    configuration: ClassVar[type[Configuration]] = Configuration
    _is_on: ClassVar[bool] = False

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether it is on."""
        return SpancostInstrumentor._is_on

    def instrument(self, **options: Any) -> None:
        """
        Switch it on; problems are logged.

        Args:
            options: The fields of `Configuration`. Others are named in a warning, but for those that
                OpenTelemetry's loader gives to every instrumentation.
        """
        try:
            if is_disabled():
                return
            with _LOCK:
                if not SpancostInstrumentor._is_on:
                    SpancostInstrumentor._is_on = True
                    _switch_on(_known(options))
        except Exception:  # noqa: BLE001 - see above
            _log.exception("spancost: the program runs unmetered")

    def uninstrument(self, **_: Any) -> None:
        """Change nothing: providers keep their processors. ``SPANCOST_DISABLED=true`` meters nothing at all."""
        _log.warning("spancost: a program that is metered stays so until it ends")


def _known(options: dict[str, Any]) -> Configuration:
    names = {field.name for field in fields(Configuration)}
    unknown = sorted(options.keys() - names - {"skip_dep_check", "raise_exception_on_conflict"})
    if unknown:
        _log.warning(
            "spancost: no options are %s; there are %s", ", ".join(unknown), ", ".join(sorted(names))
        )
    return Configuration(**{name: value for name, value in options.items() if name in names})


def _switch_on(chosen: Configuration) -> None:
    settings = {name: value for name, value in asdict(chosen).items() if name in _SETTINGS}
    # In the environment, since processes that this one starts share the port with it.
    for name, value in ((METRICS_PORT, chosen.metrics_port), (METRICS_ADDR, chosen.metrics_addr)):
        if value is not None:
            os.environ[name] = str(value)
    meter_everything({name: value for name, value in settings.items() if value is not None})
    if chosen.threads is not False:
        _carry_into_threads()


def _carry_into_threads() -> None:
    """Switch OpenTelemetry's instrumentation of threads on, unless it is not installed, not wanted or on its way."""
    disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
    if disabled & {"threading", "*"} or _LOADER in sys.modules:
        return  # the loader switches on whatever is installed, and would complain of a second time
    try:
        found = importlib.import_module("opentelemetry.instrumentation.threading")
    except ImportError:
        return
    instrumentor = found.ThreadingInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument()
