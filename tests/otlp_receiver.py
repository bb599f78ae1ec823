# SPDX-License-Identifier: Apache-2.0
"""A receiver of OTLP metrics over HTTP and gRPC, and what came as Prometheus would have it."""

from __future__ import annotations

import gzip
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from prometheus_client.utils import floatToGoString

UNITS = {"s": "_seconds"}
"""What a translator to Prometheus appends for a unit; annotations in braces say nothing."""


class Receiver:
    """Keeps every request; used as a context manager."""

    variables: dict[str, str]
    """What points an exporter here."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.sizes: list[int] = []
        self.refuses = False

    def take(self, message: bytes) -> None:
        self.sizes.append(len(message))
        self.requests.append(ExportMetricsServiceRequest.FromString(message))

    def last(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Return the newest value of each sample: by resource's instance, then by name and labels."""
        found: dict[str, dict[tuple[Any, ...], Any]] = {}
        for request in self.requests:
            for resource, metric, point in points_of(request):
                found.setdefault(resource["service.instance.id"], {}).update(samples_of(metric, point))
        return found

    def resources(self) -> list[dict[str, str]]:
        """Return the resources that sent something, each once."""
        every = [resource for request in self.requests for resource, *_ in points_of(request)]
        return [one for at, one in enumerate(every) if one not in every[:at]]


class HttpReceiver(Receiver):
    def __enter__(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if not receiver.refuses:
                    receiver.take(body)
                self.send_response(400 if receiver.refuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.variables = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_address[1]}",
        }
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class GrpcReceiver(Receiver):
    def __enter__(self):
        receiver = self

        class Service(MetricsServiceServicer):
            def Export(self, request, _):  # noqa: N802 - the protocol's name
                receiver.take(request.SerializeToString())
                return ExportMetricsServiceResponse()

        self._server = grpc.server(ThreadPoolExecutor(2))
        add_MetricsServiceServicer_to_server(Service(), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.variables = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(None).wait()


def points_of(request: ExportMetricsServiceRequest) -> list[tuple[dict[str, str], Any, Any]]:
    """Return resource, metric and data point of all data points."""
    return [
        (texts(of_resource.resource.attributes), metric, point)
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]


def texts(attributes: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in attributes}


def samples_of(metric: Any, point: Any) -> dict[tuple[Any, ...], Any]:
    """Return a data point as samples of Prometheus, by the rules of its OTLP translators."""
    kind = metric.WhichOneof("data")
    name = re.sub(r"\W", "_", metric.name) + UNITS.get(metric.unit, "")
    assert metric.unit in UNITS or re.fullmatch(r"\{\w+\}|", metric.unit), metric.unit
    labels = {re.sub(r"\W", "_", label): value for label, value in texts(point.attributes).items()}

    def key(suffix: str, **more: str) -> tuple[Any, ...]:
        return (name + suffix, *sorted((labels | more).items()))

    if kind != "histogram":
        amount = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
        if kind == "gauge":
            return {key(""): amount}
        assert metric.sum.is_monotonic
        assert metric.sum.aggregation_temporality == 2, "cumulative"
        return {key("_total"): amount, key("_created"): point.start_time_unix_nano}
    assert metric.histogram.aggregation_temporality == 2, "cumulative"
    found = {
        key("_count"): point.count,
        key("_sum"): point.sum,
        key("_created"): point.start_time_unix_nano,
    }
    below = 0
    for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
        below += count
        found[key("_bucket", le=floatToGoString(bound))] = below
    return found
