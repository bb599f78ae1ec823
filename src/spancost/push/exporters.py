# SPDX-License-Identifier: Apache-2.0
"""The OTLP exporter and the resource, as the standard environment variables choose them."""

from __future__ import annotations

import os
import uuid
from importlib import import_module
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricExporter

PROTOCOLS: Final = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.metric_exporter",
}
_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_INSTANCE: Final = "service.instance.id"
_PID: Final = "process.pid"
_SERVICE: Final = "service.name"


def otlp_exporter() -> Callable[[], MetricExporter]:
    """
    Import the exporter and return what makes one: at the exit of a program it is too late to import it.

    Raises:
        ValueError: The environment names a protocol that there is not.
    """
    name = next((variable for variable in _VARIABLES if os.environ.get(variable, "").strip()), "")
    protocol = os.environ[name].strip() if name else "grpc"
    if protocol not in PROTOCOLS:
        raise ValueError(f"{name} must be one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    make: Callable[[], MetricExporter] = import_module(PROTOCOLS[protocol]).OTLPMetricExporter
    return make


class Resources:
    """
    What the metrics say of the process and its services.

    Each process is an instance of its own: two that shared a ``service.instance.id`` would overwrite each
    other's counters at the receiver. One that the environment sets gets the process id appended, since
    all workers of a program see the same environment.

    Args:
        given: What to say instead of what the environment says.
    """

    def __init__(self, given: Resource | None = None) -> None:
        # Once, before any fork: it starts threads, which hooks of a fork and the exit do not allow.
        self._base = Resource.create() if given is None else given
        chosen = given if given is not None else OTELResourceDetector().detect()
        self._chosen = chosen.attributes.get(_INSTANCE)
        self.renew()

    def renew(self) -> None:
        """Become another instance, in a forked child."""
        instance = f"{self._chosen}/{os.getpid()}" if self._chosen else str(uuid.uuid4())
        own: dict[str, str | int] = {_INSTANCE: instance}
        if _PID in self._base.attributes:
            own[_PID] = os.getpid()
        self._process = self._base.merge(Resource(own))
        self._services: dict[str, Resource] = {}

    def of(self, service: str) -> Resource:
        """Return the resource of a service; of one without a name, the process's own."""
        if not service:
            return self._process
        if service not in self._services:  # as many as the label has values: bounded by the meter
            self._services[service] = self._process.merge(Resource({_SERVICE: service}))
        return self._services[service]
