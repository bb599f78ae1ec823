# SPDX-License-Identifier: Apache-2.0
"""
OTLP JSON as almost everyone writes it, decoded straight into the fields we need.

The decoder skips events, links and everything else without making objects of it. What it
does not accept, or may misread (another spelling of a key), is left to ``_json_tolerant``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from spancost.otlp._fields import (
    MAX_DEPTH,
    MAX_INT64,
    MAX_UINT64,
    STATUS_ERROR,
    BrokenError,
    base64_bytes,
    hex_id,
    integer,
    is_error,
    parent_hex_id,
    remote_parent,
    span_kind,
)
from spancost.otlp.values import Span

# Field names are the keys of OTLP JSON. Structs without reference cycles need no garbage collector.


class _AnyValue(Struct, frozen=True, gc=False):
    stringValue: str | None = None  # noqa: N815
    intValue: str | int | None = None  # noqa: N815
    boolValue: bool | None = None  # noqa: N815
    doubleValue: float | None = None  # noqa: N815
    arrayValue: _ArrayValue | None = None  # noqa: N815
    kvlistValue: _KvlistValue | None = None  # noqa: N815
    bytesValue: str | None = None  # noqa: N815


class _ArrayValue(Struct, gc=False):
    values: list[_AnyValue] = []


class _KeyValue(Struct, gc=False):
    key: str
    value: _AnyValue = _AnyValue()


class _KvlistValue(Struct, gc=False):
    values: list[_KeyValue] = []


class _Status(Struct, gc=False):
    code: int | str = 0


class _Span(Struct, gc=False):
    traceId: str  # noqa: N815
    spanId: str  # noqa: N815
    startTimeUnixNano: str | int  # noqa: N815
    endTimeUnixNano: str | int = 0  # noqa: N815
    parentSpanId: str = ""  # noqa: N815
    name: str = ""
    kind: int | str = 0
    flags: int = 0
    attributes: list[_KeyValue] = []
    status: _Status | None = None


class _Scope(Struct, gc=False):
    name: str = ""
    version: str = ""


class _ScopeSpans(Struct, gc=False):
    spans: list[_Span] = []
    scope: _Scope | None = None


class _Resource(Struct, gc=False):
    attributes: list[_KeyValue] = []


class _ResourceSpans(Struct, gc=False):
    scopeSpans: list[_ScopeSpans]  # noqa: N815
    resource: _Resource | None = None


class Request(Struct, gc=False):
    """One ExportTraceServiceRequest."""

    resourceSpans: list[_ResourceSpans]  # noqa: N815


decode_request: Final = msgspec.json.Decoder(Request).decode
"""Decode one line; msgspec.DecodeError if it is anything but a plain request."""


def spans_of(request: Request) -> Iterator[Span | str]:
    """Yield a request's spans, and for each that cannot be read the reason instead."""
    for index, resource_spans in enumerate(request.resourceSpans):
        try:
            resource = resource_spans.resource
            shared = {} if resource is None else _attributes(resource.attributes)
        except BrokenError as error:
            yield f"resourceSpans[{index}]: {error}"
            continue
        for scope_spans in resource_spans.scopeSpans:
            scope = scope_spans.scope
            scope_name, scope_version = ("", "") if scope is None else (scope.name, scope.version)
            for span in scope_spans.spans:
                try:
                    yield _span(span, shared, scope_name, scope_version)
                except BrokenError as error:
                    yield f"span {span.spanId[:16]!r}: {error}"


def _span(span: _Span, resource: dict[str, Any], scope_name: str, scope_version: str) -> Span:
    kind = span.kind
    end = span.endTimeUnixNano
    status = span.status
    code = 0 if status is None else status.code
    return Span(
        hex_id(span.traceId, 16, "traceId"),
        hex_id(span.spanId, 8, "spanId"),
        parent_hex_id(span.parentSpanId),
        span.name,
        span_kind(kind),
        integer(span.startTimeUnixNano, 0, MAX_UINT64, "startTimeUnixNano"),
        integer(end, 0, MAX_UINT64, "endTimeUnixNano") or None,
        remote_parent(span.flags),
        code == STATUS_ERROR if code.__class__ is int else is_error(code),
        _attributes(span.attributes),
        resource,
        scope_name,
        scope_version,
    )


def _attributes(pairs: list[_KeyValue], depth: int = 0) -> dict[str, Any]:
    return {
        pair.key: text if (text := pair.value.stringValue) is not None else _value(pair.value, depth)
        for pair in pairs
    }


def _value(value: _AnyValue, depth: int) -> object:
    if value.intValue is not None:
        return integer(value.intValue, -MAX_INT64 - 1, MAX_INT64, "intValue")
    if value.boolValue is not None:
        return value.boolValue
    if value.doubleValue is not None:
        return value.doubleValue
    if depth > MAX_DEPTH:
        raise BrokenError(f"attribute values nest deeper than {MAX_DEPTH}")
    if value.arrayValue is not None:
        return [
            text if (text := item.stringValue) is not None else _value(item, depth + 1)
            for item in value.arrayValue.values
        ]
    if value.kvlistValue is not None:
        return _attributes(value.kvlistValue.values, depth + 1)
    return None if value.bytesValue is None else base64_bytes(value.bytesValue, "bytesValue")
