# SPDX-License-Identifier: Apache-2.0
"""OTLP JSON in every spelling that is about: the slow way, for lines the typed decoder did not take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from spancost.otlp._fields import (
    MAX_DEPTH,
    MAX_INT64,
    MAX_UINT64,
    BrokenError,
    base64_bytes,
    double,
    hex_id,
    integer,
    is_error,
    parent_hex_id,
    remote_parent,
    shown,
    span_kind,
)
from spancost.otlp.values import Span

_OTHER_SIGNALS: Final = frozenset(
    {
        "resourceMetrics",
        "resource_metrics",
        "resourceLogs",
        "resource_logs",
        "resourceProfiles",
        "resource_profiles",
    }
)
_VALUE_KEYS: Final = {
    "string_value": "stringValue",
    "int_value": "intValue",
    "bool_value": "boolValue",
    "double_value": "doubleValue",
    "array_value": "arrayValue",
    "kvlist_value": "kvlistValue",
    "bytes_value": "bytesValue",
}


class OtherSignal(Exception):  # noqa: N818  (not an error: the line is of no concern)
    """The line holds metrics, logs or profiles. Never leaves the package."""


def decode_document(line: bytes) -> object:
    """
    Decode one line of JSON.

    Raises:
        BrokenError: It is not UTF-8, not JSON, or nested too deep.
    """
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BrokenError(f"not UTF-8: byte {error.start} is {line[error.start]:#04x}") from None
    except RecursionError:
        raise BrokenError("JSON nested too deep") from None
    except json.JSONDecodeError as error:
        raise BrokenError(f"not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:  # an integer of more digits than int() takes
        raise BrokenError(f"not JSON that can be read: {error}") from None


def spans_of(document: object) -> Iterator[Span | str]:
    """
    Yield the spans of a request, or of an array of requests, and reasons for those that cannot be read.

    Raises:
        BrokenError: The document is no request.
        OtherSignal: It holds metrics, logs or profiles.
    """
    if isinstance(document, list):
        for request in document:
            try:
                yield from spans_of(request) if isinstance(request, dict) else _no_request(request)
            except OtherSignal:
                continue
            except BrokenError as error:
                yield str(error)
        return
    if not isinstance(document, dict):
        raise BrokenError(_expected(shown(document)))
    groups = _get(document, "resourceSpans", "resource_spans")
    if groups is None and document:
        if not _OTHER_SIGNALS.isdisjoint(document):
            raise OtherSignal
        raise BrokenError(_expected("an object with the keys " + _keys(document)))
    for resource_spans in _list(groups, "resourceSpans"):
        yield from _resource_spans(resource_spans)


def _no_request(value: object) -> Iterator[Span | str]:
    yield _expected(shown(value))


def _expected(seen: str) -> str:
    return f"expected an OTLP trace request (an object with resourceSpans), found {seen}"


def _keys(document: dict[str, Any]) -> str:
    names = [_text(key)[:30] for key in list(document)[:4]]
    return ", ".join(names) + (", ..." if len(document) > 4 else "")


def _resource_spans(group: object) -> Iterator[Span | str]:
    try:
        members = _object(group, "resourceSpans item")
        resource = _attributes(_object(members.get("resource"), "resource").get("attributes"))
        scopes = _list(
            _get(
                members,
                "scopeSpans",
                "scope_spans",
                "instrumentationLibrarySpans",
                "instrumentation_library_spans",
            ),
            "scopeSpans",
        )
    except BrokenError as error:
        yield str(error)
        return
    for item in scopes:
        try:
            scope_spans = _object(item, "scopeSpans item")
            scope = _object(
                _get(scope_spans, "scope", "instrumentationLibrary", "instrumentation_library"), "scope"
            )
            name, version = _string(scope.get("name"), "scope name"), _string(scope.get("version"), "version")
            spans = _list(scope_spans.get("spans"), "spans")
        except BrokenError as error:
            yield str(error)
            continue
        for span in spans:
            try:
                yield _span(_object(span, "span"), resource, name, version)
            except BrokenError as error:
                yield f"span {shown(span.get('spanId')) if isinstance(span, dict) else ''}: {error}"


def _span(span: dict[str, Any], resource: dict[str, Any], scope_name: str, scope_version: str) -> Span:
    flags = span.get("flags")
    start = _get(span, "startTimeUnixNano", "start_time_unix_nano")
    end = _get(span, "endTimeUnixNano", "end_time_unix_nano")
    status = _object(span.get("status"), "status").get("code")
    return Span(
        hex_id(_get(span, "traceId", "trace_id"), 16, "traceId"),
        hex_id(_get(span, "spanId", "span_id"), 8, "spanId"),
        parent_hex_id(_get(span, "parentSpanId", "parent_span_id")),
        _string(span.get("name"), "name"),
        span_kind(0 if (kind := span.get("kind")) is None else kind),
        0 if start is None else integer(start, 0, MAX_UINT64, "startTimeUnixNano"),
        None if end is None else integer(end, 0, MAX_UINT64, "endTimeUnixNano") or None,
        None if flags is None else remote_parent(integer(flags, 0, 2**32 - 1, "flags")),
        status is not None and is_error(status),
        _attributes(span.get("attributes")),
        resource,
        scope_name,
        scope_version,
    )


def _attributes(pairs: object, depth: int = 0) -> dict[str, Any]:
    attributes = {}
    for item in _list(pairs, "attributes"):
        pair = _object(item, "attribute")
        attributes[_string(pair.get("key"), "attribute key")] = _value(pair.get("value"), depth)
    return attributes


def _value(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise BrokenError(f"attribute values nest deeper than {MAX_DEPTH}")
    for key, content in _object(value, "attribute value").items():
        if content is None:
            continue
        name = _VALUE_KEYS.get(key, key)
        if name == "stringValue":
            return _string(content, name)
        if name == "intValue":
            return integer(content, -MAX_INT64 - 1, MAX_INT64, name)
        if name == "boolValue":
            if isinstance(content, bool):
                return content
            raise BrokenError(f"boolValue must be true or false, not {shown(content)}")
        if name == "doubleValue":
            return double(content, name)
        if name == "arrayValue":
            values = _list(_object(content, name).get("values"), "values")
            return [_value(item, depth + 1) for item in values]
        if name == "kvlistValue":
            return _attributes(_object(content, name).get("values"), depth + 1)
        if name == "bytesValue":
            return base64_bytes(content, name)
    return None


def _get(members: dict[str, Any], *names: str) -> Any:
    for name in names:
        if (value := members.get(name)) is not None:
            return value
    return None


def _object(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise BrokenError(f"{what} must be an object, not {shown(value)}")


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise BrokenError(f"{what} must be an array, not {shown(value)}")


def _string(value: object, what: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    raise BrokenError(f"{what} must be a string, not {shown(value)}")


def _text(value: str) -> str:
    """Return a string that can be encoded: half a surrogate pair, as a cut in JavaScript leaves, is U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
