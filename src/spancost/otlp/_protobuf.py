# SPDX-License-Identifier: Apache-2.0
"""Spans from OTLP protobuf."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

from spancost.otlp._fields import (
    HAS_IS_REMOTE,
    IS_REMOTE,
    KINDS,
    MAX_DEPTH,
    STATUS_ERROR,
    BrokenError,
    OtherSignal,
    shown,
)
from spancost.otlp._protobuf_schema import Metrics, SpansOrLogs, TraceRequest
from spancost.otlp.values import Span

_ZERO: Final = (bytes(16), bytes(8))


def spans_of(data: bytes, broken: Callable[[str], None]) -> list[Span]:
    """
    Return the spans of an ExportTraceServiceRequest.

    Args:
        data: The message.
        broken: Called with the reason for each span that cannot be read.

    Raises:
        BrokenError: It is no such message.
        OtherSignal: It holds metrics or logs; the wire format does not say which of the three.
    """
    try:
        request = TraceRequest.FromString(data)
    except DecodeError as error:
        if _is_other_signal(data):
            raise OtherSignal from None
        raise BrokenError(f"not an OTLP trace request in protobuf: {error}") from None
    groups = request.resource_spans
    if _has_no_start(groups) and _is_other_signal(data):
        raise OtherSignal
    return _spans(groups, broken)


def _has_no_start(groups: Iterable[Any]) -> bool:
    """Whether all spans lack a start, as metrics and logs do when they are read as spans."""
    return not any(
        span.start_time_unix_nano
        for group in groups
        for scope_spans in group.scope_spans
        for span in scope_spans.spans
    )


def _is_other_signal(data: bytes) -> bool:
    records = _items(SpansOrLogs, data)
    if any(record.span_start_time_unix_nano for record in records):
        return False
    if records and all(log.log_time_unix_nano or log.log_observed_time_unix_nano for log in records):
        return True
    metrics = _items(Metrics, data)
    return bool(metrics) and all(metric.WhichOneof("value") for metric in metrics)


def _items(request: Any, data: bytes) -> list[Any]:
    try:
        found = request.FromString(data)
    except DecodeError:
        return []
    return [item for resource in found.resources for scope in resource.scopes for item in scope.items]


def _spans(groups: Iterable[Any], broken: Callable[[str], None]) -> list[Span]:
    spans: list[Span] = []
    for group in groups:
        try:
            resource = _attributes(group.resource.attributes)
        except BrokenError as error:
            broken(f"resource: {error}")
            continue
        for scope_spans in group.scope_spans:
            scope = scope_spans.scope
            name, version = scope.name, scope.version
            for span in scope_spans.spans:
                try:
                    spans.append(_span(span, resource, name, version))
                except BrokenError as error:
                    broken(f"span {span.span_id.hex()[:16]!r}: {error}")
    return spans


def _span(span: Any, resource: dict[str, Any], scope_name: str, scope_version: str) -> Span:
    trace_id, span_id, parent_id, flags = span.trace_id, span.span_id, span.parent_span_id, span.flags
    if len(trace_id) != 16 or len(span_id) != 8 or trace_id in _ZERO or span_id in _ZERO:
        raise BrokenError(
            f"trace id and span id must have 16 and 8 bytes, not all zero, not {shown(trace_id)}, {shown(span_id)}"
        )
    if len(parent_id) not in (0, 8):
        raise BrokenError(f"parent span id must have 8 bytes, not {shown(parent_id)}")
    kind = span.kind
    return Span(
        trace_id.hex(),
        span_id.hex(),
        "" if parent_id in _ZERO else parent_id.hex(),
        span.name,
        kind if kind in KINDS else 0,
        span.start_time_unix_nano,
        span.end_time_unix_nano or None,
        None if not flags & HAS_IS_REMOTE else flags & IS_REMOTE != 0,
        span.status.code == STATUS_ERROR,
        _attributes(span.attributes),
        resource,
        scope_name,
        scope_version,
    )


def _attributes(pairs: Iterable[Any], depth: int = 0) -> dict[str, Any]:
    return {pair.key: (value := pair.value).string_value or _value(value, depth) for pair in pairs}


def _value(value: Any, depth: int) -> object:
    if number := value.int_value:  # next to strings the most frequent
        return number
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind not in ("array_value", "kvlist_value"):
        return content
    if depth > MAX_DEPTH:
        raise BrokenError(f"attribute values nest deeper than {MAX_DEPTH}")
    if kind == "kvlist_value":
        return _attributes(content.values, depth + 1)
    return [item.string_value or _value(item, depth + 1) for item in content.values]
