# SPDX-License-Identifier: Apache-2.0
"""
The entry points ``spancost_otlp_grpc`` and ``spancost_otlp_http``: OTLP exporters with costs on the spans.

    OTEL_TRACES_EXPORTER=spancost_otlp_grpc opentelemetry-instrument python app.py

In a declarative configuration they take the options of ``otlp_grpc`` and ``otlp_http`` there, whose
names and units are the YAML's; and everything that the exporter's own constructor takes.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from spancost.exporter import CostSpanExporter

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_OURS: Final = ("cost_attribute", "default_agent", "labels")
_OF_YAML: Final = ("compression", "headers", "headers_list", "timeout", "tls")
_TLS: Final = {
    "ca_file": "certificate_file",
    "cert_file": "client_certificate_file",
    "insecure": "insecure",
    "key_file": "client_key_file",
}
"""What the YAML's ``tls`` names, by the constructor's names for it."""


class OtlpGrpcCostExporter(CostSpanExporter):
    """
    ``spancost_otlp_grpc``: costs on spans that go out by OTLP over gRPC.

    Args:
        options: ``endpoint``, ``headers`` (a mapping, or a list of name and value), ``headers_list``,
            ``timeout`` in milliseconds, ``compression``, ``tls``; ``labels``, ``default_agent`` and
            ``cost_attribute`` as for `CostSpanExporter`. ``OTEL_EXPORTER_OTLP_*`` hold for what is not given.

    Raises:
        ValueError: Options that nobody knows or that cannot be; all are named.
    """

    def __init__(self, **options: Any) -> None:
        # gRPC takes long to load, and is only here when asked for.
        from grpc import Compression  # noqa: PLC0415 - see above
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        compressions = {"none": Compression.NoCompression, "gzip": Compression.Gzip}
        ours, theirs = _options("spancost_otlp_grpc", OTLPSpanExporter, options, compressions.__getitem__)
        super().__init__(OTLPSpanExporter(**_grpc_tls(theirs)), **ours)


class OtlpHttpCostExporter(CostSpanExporter):
    """
    ``spancost_otlp_http``: costs on spans that go out by OTLP over HTTP.

    Args:
        options: As for `OtlpGrpcCostExporter`; the endpoint is the whole URL, with ``/v1/traces``.

    Raises:
        ValueError: Options that nobody knows or that cannot be; all are named.
    """

    def __init__(self, **options: Any) -> None:
        from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - as above
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        ours, theirs = _options("spancost_otlp_http", OTLPSpanExporter, options, Compression)
        super().__init__(OTLPSpanExporter(**theirs), **ours)


def _options(
    name: str, exporter: type[SpanExporter], options: Mapping[str, Any], compression: Callable[[str], Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of ours, and those of the exporter in its own terms."""
    takes = [each for each in inspect.signature(exporter.__init__).parameters if each not in {"self", "args"}]
    takes = [each for each in takes if not each.startswith("_") and each != "kwargs"]
    known = {*takes, *_OF_YAML, *_OURS}
    if "credentials" in takes:
        known |= {"certificate_file", "client_key_file", "client_certificate_file"}
    problems = [_unknown(each, known) for each in options if each not in known]
    tls = options.get("tls") or {}
    problems += [f"tls.{_unknown(each, set(_TLS))}" for each in tls if each not in _TLS]
    theirs = {key: value for key, value in options.items() if key not in (*_OURS, *_OF_YAML)}
    theirs |= {_TLS[each]: value for each, value in tls.items() if each in _TLS and value is not None}
    if "insecure" not in takes:
        theirs.pop("insecure", None)  # over HTTP the endpoint says it
    readers: dict[str, Callable[[Any], Any]] = {"headers": _headers, "timeout": _seconds}
    readers["compression"] = lambda value: compression(value) if isinstance(value, str) else value
    for key, read in readers.items():
        if options.get(key) is None:
            continue
        try:
            theirs[key] = read(options[key])
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(f"{key} cannot be {options[key]!r}")
    if problems:
        raise ValueError(f"the exporter {name}: {'; '.join(problems)}")
    if options.get("headers_list"):
        # What is given apart wins, as in the YAML of the SDK's own exporters.
        pairs = (pair.partition("=") for pair in str(options["headers_list"]).split(","))
        theirs["headers"] = {k.strip(): v.strip() for k, _, v in pairs if k.strip()} | theirs.get(
            "headers", {}
        )
    return {key: options[key] for key in _OURS if key in options}, theirs


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"{name} is no option" + (
        f", did you mean {near[0]}?" if near else f" (they are {', '.join(sorted(known))})"
    )


def _headers(value: Any) -> dict[str, str]:
    """Return headers from a mapping, or from the YAML's list of name and value."""
    if isinstance(value, Mapping):
        return {str(name): str(text) for name, text in value.items()}
    return {str(pair["name"]): str(pair["value"] or "") for pair in value}


def _seconds(milliseconds: Any) -> float:
    seconds = float(milliseconds) / 1000
    if not seconds >= 0:
        raise ValueError(milliseconds)
    return seconds


def _grpc_tls(options: dict[str, Any]) -> dict[str, Any]:
    """Make of files named in the options what gRPC calls credentials."""
    named = {
        key: options.pop(key, None)
        for key in ("certificate_file", "client_key_file", "client_certificate_file")
    }
    if any(named.values()):
        from grpc import ssl_channel_credentials  # noqa: PLC0415 - as above

        content = {key: _content(path) for key, path in named.items()}
        options["credentials"] = ssl_channel_credentials(
            content["certificate_file"], content["client_key_file"], content["client_certificate_file"]
        )
    return options


def _content(path: str | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - as the SDK does
        return file.read()
