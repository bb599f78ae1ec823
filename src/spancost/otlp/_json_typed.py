# SPDX-License-Identifier: Apache-2.0
"""
OTLP JSON as almost everyone writes it, decoded straight into the fields we need.

The decoder skips events, links and everything else without making objects of it. What it
does not accept, or may misread (another spelling of a key), is left to ``_json_tolerant``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from spancost.otlp._fields import (
    HAS_IS_REMOTE,
    HEX_DIGITS,
    IS_REMOTE,
    KINDS,
    MAX_DEPTH,
    MAX_INT64,
    MAX_UINT32,
    MAX_UINT64,
    MIN_INT64,
    ZERO_SPAN_ID,
    ZERO_TRACE_ID,
    BrokenError,
    base64_bytes,
    boolean,
    hex_id,
    is_error,
    parent_hex_id,
    shown,
    span_kind,
)
from spancost.otlp.values import Span

# Field names are the keys of OTLP JSON. Structs without reference cycles need no garbage collector.


class _AnyValue(Struct, frozen=True, gc=False):
    stringValue: str | None = None  # noqa: N815
    intValue: int | UnsetType = UNSET  # noqa: N815
    boolValue: Any = None  # noqa: N815
    doubleValue: float | UnsetType = UNSET  # noqa: N815
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
    startTimeUnixNano: int  # noqa: N815
    endTimeUnixNano: int = 0  # noqa: N815
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


class _Signals(Struct, gc=False):
    """Which signals a line holds, nothing of them decoded."""

    resourceSpans: msgspec.Raw | UnsetType = UNSET  # noqa: N815
    resource_spans: msgspec.Raw | UnsetType = UNSET
    resourceMetrics: msgspec.Raw | UnsetType = UNSET  # noqa: N815
    resourceLogs: msgspec.Raw | UnsetType = UNSET  # noqa: N815


decode: Final = msgspec.json.Decoder(Request | list[Request], strict=False).decode
"""Decode one line; fails if it is anything but a request or requests, each plain in every part."""

_decode_signals: Final = msgspec.json.Decoder(_Signals).decode


def is_other_signal(line: bytes) -> bool:
    """Tell whether a line is of metrics or logs, which are not worth decoding to know."""
    try:
        found = _decode_signals(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    ours = found.resourceSpans is not UNSET or found.resource_spans is not UNSET
    return not ours and (found.resourceMetrics is not UNSET or found.resourceLogs is not UNSET)


def spans_of(requests: Request | list[Request], broken: Callable[[str], None]) -> list[Span]:
    """
    Return the spans of a request, or of several.

    Args:
        requests: What ``decode`` returned.
        broken: Called with the reason for each span that cannot be read.
    """
    spans: list[Span] = []
    groups = requests.resourceSpans if isinstance(requests, Request) else _groups(requests)
    for resource_spans in groups:
        resource = resource_spans.resource
        try:
            shared = {} if resource is None else _attributes(resource.attributes)
        except BrokenError as error:
            broken(f"resource: {error}")
            continue
        for scope_spans in resource_spans.scopeSpans:
            scope = scope_spans.scope
            name, version = ("", "") if scope is None else (scope.name, scope.version)
            for span in scope_spans.spans:
                try:
                    spans.append(_span(span, shared, name, version))
                except BrokenError as error:
                    broken(f"span {shown(span.spanId)}: {error}")
    return spans


def _groups(requests: list[Request]) -> list[_ResourceSpans]:
    return [group for request in requests for group in request.resourceSpans]


def _span(span: _Span, resource: dict[str, Any], scope_name: str, scope_version: str) -> Span:
    # one test per field for what nearly every span has; the functions are for the rest, and for errors
    trace_id, span_id, parent_id = span.traceId, span.spanId, span.parentSpanId
    if len(trace_id) != 32 or trace_id.strip(HEX_DIGITS) or trace_id == ZERO_TRACE_ID:
        trace_id = hex_id(trace_id, 16, "traceId")
    if len(span_id) != 16 or span_id.strip(HEX_DIGITS) or span_id == ZERO_SPAN_ID:
        span_id = hex_id(span_id, 8, "spanId")
    if parent_id and (len(parent_id) != 16 or parent_id.strip(HEX_DIGITS) or parent_id == ZERO_SPAN_ID):
        parent_id = parent_hex_id(parent_id)
    kind, start, end, flags, status = (
        span.kind,
        span.startTimeUnixNano,
        span.endTimeUnixNano,
        span.flags,
        span.status,
    )
    if kind not in KINDS:
        kind = span_kind(kind)
    if not (0 <= start <= MAX_UINT64 and 0 <= end <= MAX_UINT64 and 0 <= flags <= MAX_UINT32):
        raise BrokenError("startTimeUnixNano, endTimeUnixNano or flags out of range")
    return Span(
        trace_id,
        span_id,
        parent_id,
        span.name,
        kind,  # type: ignore[arg-type]  # KINDS has integers only
        start,
        end or None,
        None if not flags & HAS_IS_REMOTE else flags & IS_REMOTE != 0,
        status is not None and is_error(status.code),
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
    number = value.intValue
    if number is not UNSET:
        if MIN_INT64 <= number <= MAX_INT64:
            return number
        raise BrokenError(f"intValue must have 64 bits, not {shown(number)}")
    if value.doubleValue is not UNSET:
        return value.doubleValue
    if value.boolValue is not None:
        return boolean(value.boolValue)
    return _nested(value, depth)


def _nested(value: _AnyValue, depth: int) -> object:
    if value.bytesValue is not None:
        return base64_bytes(value.bytesValue, "bytesValue")
    if depth > MAX_DEPTH:
        raise BrokenError(f"attribute values nest deeper than {MAX_DEPTH}")
    if value.arrayValue is not None:
        return [
            text if (text := item.stringValue) is not None else _value(item, depth + 1)
            for item in value.arrayValue.values
        ]
    if value.kvlistValue is not None:
        return _attributes(value.kvlistValue.values, depth + 1)
    return None
