"""OTLP in protobuf, as spans and log records in parts.

A text that is not UTF-8 refuses the whole body: protobuf's own reader gives nothing of such a message.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from onlineeval_dagster.collector.otlp_parts import (
    DEEPEST,
    LogParts,
    Origin,
    SpanParts,
    Unfit,
    base64_text,
    finite,
    too_deep,
)
from onlineeval_dagster.errors import RequestRefused

Parts = TypeVar("Parts")


def spans(body: bytes) -> Iterator[SpanParts | Unfit]:
    """Each span of an ExportTraceServiceRequest. Raises RequestRefused where the body is none."""
    return _walk(_parsed(ExportTraceServiceRequest, body).resource_spans, "scope_spans", "spans", _span)


def logs(body: bytes) -> Iterator[LogParts | Unfit]:
    """Each record of an ExportLogsServiceRequest. Raises RequestRefused where the body is none."""
    return _walk(_parsed(ExportLogsServiceRequest, body).resource_logs, "scope_logs", "log_records", _record)


def _walk(
    resources: Iterable[Any], scopes: str, leaves: str, parts: Callable[[Any, Origin], Parts]
) -> Iterator[Parts | Unfit]:
    for of_resource in resources:
        resource = _or_empty(of_resource.resource.attributes)
        for of_scope in getattr(of_resource, scopes):
            origin = Origin(resource=resource, scope=of_scope.scope.name, scope_version=of_scope.scope.version)
            for leaf in getattr(of_scope, leaves):
                try:
                    yield parts(leaf, origin)
                except Unfit as unfit:
                    yield unfit


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError as error:
        wanted = message.DESCRIPTOR.name
        raise RequestRefused(
            f"body: no {wanted} in protobuf ({error}); send the whole message, or JSON as application/json", status=400
        ) from error


def _span(span: Any, origin: Origin) -> SpanParts:
    return SpanParts(
        origin=origin,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        kind=span.kind,
        status=span.status.code,
        status_message=span.status.message,
        trace_state=span.trace_state,
        dropped=span.dropped_attributes_count,
        attributes=_attributes(span.attributes),
        events=[(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes)) for link in span.links],
    )


def _record(record: Any, origin: Origin) -> LogParts:
    return LogParts(
        origin=origin,
        name=record.event_name,
        time=record.time_unix_nano or record.observed_time_unix_nano,
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        attributes=_attributes(record.attributes),
        body=_value(record.body, 0),
    )


def _or_empty(pairs: Iterable[Any]) -> dict[str, Any]:
    try:
        return _attributes(pairs)
    except Unfit:  # a resource too deep to keep; its spans are as good as without
        return {}


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    # Most values are text, and one that is not empty is the value that was set: no need to ask which.
    return {pair.key: (value := pair.value).string_value or _value(value, 0) for pair in pairs}


def _value(value: Any, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind is None:
        return None
    if kind == "double_value":
        return finite(value.double_value)
    if depth >= DEEPEST:
        raise too_deep()
    if kind == "array_value":
        return [_value(inner, depth + 1) for inner in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    said = getattr(value, kind)
    return base64_text(said) if kind == "bytes_value" else said
