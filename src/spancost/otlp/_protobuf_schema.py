# SPDX-License-Identifier: Apache-2.0
"""
The part of OTLP's protobuf schema that is read, as message classes of the protobuf runtime.

OTLP's field numbers never change. Fields that are not listed (events, links, metric points)
are passed over by the runtime, and this module needs no OpenTelemetry package.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped, unused-ignore]

_PACKAGE: Final = "spancost.otlp"

# Message: fields as "type name = number", `*` for repeated, `?` for a member of the oneof.
_SCHEMA: Final = {
    "AnyValue": (
        "?string string_value = 1",
        "?bool bool_value = 2",
        "?int64 int_value = 3",
        "?double double_value = 4",
        "?ArrayValue array_value = 5",
        "?KeyValueList kvlist_value = 6",
        "?bytes bytes_value = 7",
    ),
    "ArrayValue": ("*AnyValue values = 1",),
    "KeyValueList": ("*KeyValue values = 1",),
    "KeyValue": ("string key = 1", "AnyValue value = 2"),
    "Resource": ("*KeyValue attributes = 1",),
    "InstrumentationScope": ("string name = 1", "string version = 2"),
    "Status": ("int32 code = 3",),
    "Span": (
        "bytes trace_id = 1",
        "bytes span_id = 2",
        "bytes parent_span_id = 4",
        "string name = 5",
        "int32 kind = 6",
        "fixed64 start_time_unix_nano = 7",
        "fixed64 end_time_unix_nano = 8",
        "*KeyValue attributes = 9",
        "Status status = 15",
        "fixed32 flags = 16",
    ),
    "ScopeSpans": ("InstrumentationScope scope = 1", "*Span spans = 2"),
    "ResourceSpans": ("Resource resource = 1", "*ScopeSpans scope_spans = 2"),
    "TraceRequest": ("*ResourceSpans resource_spans = 1",),
    # What a request holds, whichever signal it is of. Spans, metrics and log records are at the same
    # place, and these fields of theirs share no number and type with fields of the other two.
    "SpanOrLog": (
        "fixed64 log_time_unix_nano = 1",
        "fixed64 span_start_time_unix_nano = 7",
        "fixed64 log_observed_time_unix_nano = 11",
    ),
    "ScopeSpansOrLogs": ("*SpanOrLog items = 2",),
    "ResourceSpansOrLogs": ("*ScopeSpansOrLogs scopes = 2",),
    "SpansOrLogs": ("*ResourceSpansOrLogs resources = 1",),
    # Metrics are what is no span and has a kind of data.
    "Metric": (
        "?bytes gauge = 5",
        "?bytes sum = 7",
        "?bytes histogram = 9",
        "?bytes exponential_histogram = 10",
        "?bytes summary = 11",
    ),
    "ScopeMetrics": ("*Metric items = 2",),
    "ResourceMetrics": ("*ScopeMetrics scopes = 2",),
    "Metrics": ("*ResourceMetrics resources = 1",),
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="spancost/otlp.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field in fields:
            _add_field(message, *field.replace("=", "").split())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _SCHEMA
    }


def _add_field(message: Any, type_name: str, name: str, number: str) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=int(number), label=kinds.LABEL_OPTIONAL)
    if type_name.startswith("*"):
        field.label = kinds.LABEL_REPEATED
    elif type_name.startswith("?"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="value")
        field.oneof_index = 0
    type_name = type_name.lstrip("*?")
    if type_name in _SCHEMA:
        field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{type_name}"
    else:
        field.type = kinds.Type.Value(f"TYPE_{type_name.upper()}")


_CLASSES: Final = _message_classes()

TraceRequest: Final = _CLASSES["TraceRequest"]
SpansOrLogs: Final = _CLASSES["SpansOrLogs"]
Metrics: Final = _CLASSES["Metrics"]
