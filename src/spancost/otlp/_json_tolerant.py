# SPDX-License-Identifier: Apache-2.0
"""OTLP JSON in every spelling that is about: the slow way, for lines the typed decoder did not take."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from spancost.otlp._fields import (
    HAS_IS_REMOTE,
    IS_REMOTE,
    MAX_DEPTH,
    MAX_INT64,
    MAX_UINT32,
    MAX_UINT64,
    MIN_INT64,
    BrokenError,
    OtherSignal,
    base64_bytes,
    boolean,
    double,
    hex_id,
    integer,
    is_error,
    parent_hex_id,
    shown,
    span_kind,
)
from spancost.otlp.values import Span

_EXPECTED: Final = "expected an OTLP trace request (an object with resourceSpans)"
_OTHER_SIGNALS: Final = frozenset(
    f"resource{join}{name}"
    for join, names in (("", ("Metrics", "Logs", "Profiles")), ("_", ("metrics", "logs", "profiles")))
    for name in names
)
_SIGNALS: Final = _OTHER_SIGNALS | {"resourceSpans", "resource_spans"}
_SCOPE_SPANS: Final = (
    "scopeSpans",
    "scope_spans",
    "instrumentationLibrarySpans",
    "instrumentation_library_spans",
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


def spans_of(document: object, broken: Callable[[str], None]) -> list[Span]:
    """
    Return the spans of a request, or of an array of requests.

    Args:
        document: What ``decode_document`` returned.
        broken: Called with the reason for each span that cannot be read.

    Raises:
        BrokenError: The document is no request.
        OtherSignal: It holds metrics, logs or profiles.
    """
    if not isinstance(document, list):
        return _request(document, broken)
    spans: list[Span] = []
    for request in document:
        try:
            spans += _request(request, broken)
        except OtherSignal:
            continue
        except BrokenError as error:
            broken(str(error))
    return spans


def _request(document: object, broken: Callable[[str], None]) -> list[Span]:
    if not isinstance(document, dict):
        raise BrokenError(f"{_EXPECTED}, found {shown(document)}")
    groups = _get(document, "resourceSpans", "resource_spans")
    if groups is None and document and document.keys().isdisjoint(_SIGNALS):
        keys = [_text(key)[:30] for key in list(document)[:4]]
        raise BrokenError(f"{_EXPECTED}, found the keys {', '.join(keys)}{', ...' * (len(document) > 4)}")
    if groups is None and not document.keys().isdisjoint(_OTHER_SIGNALS):
        raise OtherSignal
    spans: list[Span] = []
    for group in _list(groups, "resourceSpans"):
        try:
            members = _object(group, "resourceSpans item")
            resource = _attributes(_object(members.get("resource"), "resource").get("attributes"))
            scopes = _list(_get(members, *_SCOPE_SPANS), "scopeSpans")
        except BrokenError as error:
            broken(str(error))
            continue
        for scope_spans in scopes:
            spans += _scope_spans(scope_spans, resource, broken)
    return spans


def _scope_spans(item: object, resource: dict[str, Any], broken: Callable[[str], None]) -> list[Span]:
    spans: list[Span] = []
    try:
        members = _object(item, "scopeSpans item")
        scope = _object(_get(members, "scope", "instrumentationLibrary", "instrumentation_library"), "scope")
        name, version = (
            _string(scope.get("name"), "scope name"),
            _string(scope.get("version"), "scope version"),
        )
        listed = _list(members.get("spans"), "spans")
    except BrokenError as error:
        broken(str(error))
        return spans
    for span in listed:
        try:
            spans.append(_span(_object(span, "span", absent=False), resource, name, version))
        except BrokenError as error:
            span_id = _get(span, "spanId", "span_id") if isinstance(span, dict) else None
            broken(f"span {shown(span_id)}: {error}" if span_id else str(error))
    return spans


def _span(span: dict[str, Any], resource: dict[str, Any], scope_name: str, scope_version: str) -> Span:
    kind, flags = span.get("kind"), span.get("flags")
    start = _get(span, "startTimeUnixNano", "start_time_unix_nano")
    end = _get(span, "endTimeUnixNano", "end_time_unix_nano")
    status = _object(span.get("status"), "status").get("code")
    bits = 0 if flags is None else integer(flags, 0, MAX_UINT32, "flags")
    return Span(
        hex_id(_get(span, "traceId", "trace_id"), 16, "traceId"),
        hex_id(_get(span, "spanId", "span_id"), 8, "spanId"),
        parent_hex_id(_get(span, "parentSpanId", "parent_span_id")),
        _string(span.get("name"), "name"),
        0 if kind is None else span_kind(kind),
        0 if start is None else integer(start, 0, MAX_UINT64, "startTimeUnixNano"),
        None if end is None else integer(end, 0, MAX_UINT64, "endTimeUnixNano") or None,
        None if not bits & HAS_IS_REMOTE else bits & IS_REMOTE != 0,
        status is not None and is_error(status),
        _attributes(span.get("attributes")),
        resource,
        scope_name,
        scope_version,
    )


def _attributes(pairs: object, depth: int = 0) -> dict[str, Any]:
    attributes = {}
    for item in _list(pairs, "attributes"):
        pair = _object(item, "attribute", absent=False)
        attributes[_string(pair.get("key"), "attribute key")] = _value(pair.get("value"), depth)
    return attributes


def _value(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise BrokenError(f"attribute values nest deeper than {MAX_DEPTH}")
    given = {
        _VALUE_KEYS.get(key, key): content
        for key, content in _object(value, "attribute value").items()
        if content is not None
    }
    # in the order in which the typed decoder looks, should a value have two types
    for name, read in _READERS.items():
        if name in given:
            return read(given[name], depth)
    return None


def _array(content: object, depth: int) -> list[object]:
    return [_value(item, depth + 1) for item in _list(_object(content, "arrayValue").get("values"), "values")]


def _map(content: object, depth: int) -> dict[str, Any]:
    return _attributes(_object(content, "kvlistValue").get("values"), depth + 1)


_READERS: Final[dict[str, Callable[[object, int], object]]] = {
    "stringValue": lambda content, _: _string(content, "stringValue"),
    "intValue": lambda content, _: integer(content, MIN_INT64, MAX_INT64, "intValue"),
    "doubleValue": lambda content, _: double(content, "doubleValue"),
    "boolValue": lambda content, _: boolean(content),
    "bytesValue": lambda content, _: base64_bytes(content, "bytesValue"),
    "arrayValue": _array,
    "kvlistValue": _map,
}


def _get(members: dict[str, Any], *names: str) -> Any:
    for name in names:
        if (value := members.get(name)) is not None:
            return value
    return None


def _object(value: object, what: str, *, absent: bool = True) -> dict[str, Any]:
    if value is None and absent:
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
