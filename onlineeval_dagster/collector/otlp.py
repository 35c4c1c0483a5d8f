"""OpenTelemetry's spans and log events → events of kind `span`: what is good is kept, what is not is refused by itself.

bytes ──otlp_protobuf | otlp_json──▶ parts ──here──▶ events (plain dicts, ready for the log)
                                        └──────────▶ refused (place in the body, reason)
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from onlineeval_dagster.collector import otlp_json, otlp_protobuf
from onlineeval_dagster.collector.otlp_parts import KINDS, STATUSES, LogParts, Origin, SpanParts, Unfit
from onlineeval_dagster.errors import RequestRefused

PROTOBUF = ("application/x-protobuf", "application/protobuf")
_JSON = "application/json"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = 946_684_800 * 10**9  # the year 2000: what lies before is a clock that was never set
_LATEST = 4_102_444_800 * 10**9  # the year 2100
_HEX = frozenset("0123456789abcdef")

_USER = ("user.id", "enduser.id", "langfuse.user.id", "user_id")
_SESSION = ("session.id", "gen_ai.conversation.id", "langfuse.session.id", "session_id")
_ENVIRONMENT = ("deployment.environment.name", "deployment.environment")


@dataclass(slots=True, kw_only=True)
class Decoded:
    """What a body holds. `refused`: the place of a span among all of the body, and field, value and remedy."""

    events: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


def span_events(body: bytes, content_type: str) -> Decoded:
    """The spans of an OTLP trace request, in protobuf or JSON by its content type.

    The events have no `received_at`: whoever writes them down sets it. Raises RequestRefused (400, 415) where the body
    as a whole cannot be read.
    """
    return _decoded(_form(content_type).spans(body), _span_event)


def log_events(body: bytes, content_type: str) -> Decoded:
    """The events among the log records of an OTLP logs request, as rows with `record` = `log`; as `span_events`."""
    return _decoded(_form(content_type).logs(body), _log_event)


def _form(content_type: str) -> Any:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in PROTOBUF:
        return otlp_protobuf
    if kind == _JSON:
        return otlp_json
    raise RequestRefused(
        f"content-type: {kind[:64]!r} is not OTLP over HTTP; send {PROTOBUF[0]} or {_JSON}", status=415
    )


def _decoded(parts: Iterator[Any], event_of: Any) -> Decoded:
    decoded = Decoded()
    for place, part in enumerate(parts):
        if isinstance(part, Unfit):
            decoded.refused.append((place, str(part)))
            continue
        try:
            decoded.events.append(event_of(part))
        except Unfit as unfit:
            decoded.refused.append((place, str(unfit)))
    return decoded


def _span_event(span: SpanParts) -> dict[str, Any]:
    trace_id, span_id = _id(span.trace_id, "traceId", 32), _id(span.span_id, "spanId", 16)
    started_at = _time(span.start, "startTimeUnixNano")
    if span.end and span.end < span.start:
        raise Unfit("endTimeUnixNano: before startTimeUnixNano; send both from one clock")
    event: dict[str, Any] = {
        "kind": "span",
        "event_id": f"{trace_id}:{span_id}",
        "occurred_at": started_at,
        "record": "span",
        "trace_id": trace_id,
        "span_id": span_id,
        "name": span.name,
    }
    if span.parent_span_id.strip("0"):
        event["parent_span_id"] = _id(span.parent_span_id, "parentSpanId", 16)
    if span.end:
        event["ended_at"] = _time(span.end, "endTimeUnixNano")
    if 0 < span.status < len(STATUSES):
        event["status"] = STATUSES[span.status]
    if span.status_message:
        event["status_message"] = span.status_message
    if 0 < span.kind < len(KINDS):
        span.attributes.setdefault("otel.span.kind", KINDS[span.kind])
    if span.trace_state:
        span.attributes["otel.trace_state"] = span.trace_state
    if span.dropped:
        span.attributes["otel.dropped_attributes_count"] = span.dropped
    _tell(event, span.attributes, span.origin)
    if span.events:
        event["events"] = [
            {"name": name, "time": _moment(time), "attributes": said} for name, time, said in span.events
        ]
    if span.links:
        event["links"] = [{"trace_id": trace, "span_id": of, "attributes": said} for trace, of, said in span.links]
    return event


def _log_event(record: LogParts) -> dict[str, Any]:
    name = record.name or record.attributes.get("event.name")
    if not isinstance(name, str) or not name:
        raise Unfit("eventName: missing; only events are taken from logs, name it such as gen_ai.evaluation.result")
    if record.body is not None:
        record.attributes.setdefault("body", record.body)
    trace_id = _id(record.trace_id, "traceId", 32) if record.trace_id.strip("0") else None
    span_id = _id(record.span_id, "spanId", 16) if record.span_id.strip("0") else None
    # A record has no id: the same content is the same event.
    said = orjson.dumps([trace_id, span_id, name, record.time, record.attributes], option=orjson.OPT_SORT_KEYS)
    event: dict[str, Any] = {
        "kind": "span",
        "event_id": f"{trace_id or 'log'}:{hashlib.sha256(said).hexdigest()[:32]}",
        "occurred_at": _time(record.time, "timeUnixNano"),
        "record": "log",
        "name": name,
    }
    if trace_id:
        event["trace_id"] = trace_id
    if span_id:
        event["span_id"] = span_id
    _tell(event, record.attributes, record.origin)
    return event


def _tell(event: dict[str, Any], attributes: dict[str, Any], origin: Origin) -> None:
    """Fields that stand in the attributes of a span or of its resource, and all the other attributes."""
    if origin.head is None:
        origin.head = _head(origin)
    event.update(origin.head)
    for name, known in (("user_id", _USER), ("session_id", _SESSION)):
        found = _first(attributes, known)
        if found is not None:
            event[name] = found
    for name in _USER:
        attributes.pop(name, None)  # one place names a user, where privacy and erasure find it
    if origin.scope_version:
        attributes.setdefault("otel.scope.version", origin.scope_version)
    if origin.resource:
        if "resource" in attributes:
            attributes["span.resource"] = attributes["resource"]
        attributes["resource"] = origin.resource
    event["attributes"] = attributes


def _head(origin: Origin) -> dict[str, Any]:
    """What the resource and the scope say of all their spans. Users leave the resource's attributes."""
    resource, head = origin.resource, {}
    if origin.scope:
        head["scope"] = origin.scope
    service = resource.get("service.name")
    if isinstance(service, str) and service:
        head["service"] = service
        if not service.startswith("unknown_service"):  # the SDK's own word for none
            head["app"] = service
    environment = _first(resource, _ENVIRONMENT)
    if environment is not None:
        head["environment"] = environment
    for name, known in (("user_id", _USER), ("session_id", _SESSION)):
        found = _first(resource, known)
        if found is not None:
            head[name] = found
    origin.resource = {key: value for key, value in resource.items() if key not in _USER}
    return head


def _first(attributes: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of `names` that says something, as text."""
    for name in names:
        if name not in attributes:
            continue
        said = attributes[name]
        if said not in (None, "") and isinstance(said, str | int):
            return str(said)
    return None


def _id(said: str, name: str, length: int) -> str:
    if len(said) != length or not _HEX.issuperset(said) or not said.strip("0"):
        shown = "all zeros" if said and not said.strip("0") else f"{said[:40]!r}" if said else "missing"
        raise Unfit(f"{name}: {shown}; send {length // 2} bytes ({length} hex digits in JSON) that are not all zero")
    return said


def _time(nanoseconds: int, name: str) -> str:
    if not _EARLIEST <= nanoseconds < _LATEST:
        shown = "missing" if nanoseconds == 0 else f"{nanoseconds} is not between the years 2000 and 2100"
        raise Unfit(f"{name}: {shown}; send nanoseconds since 1970")
    return _moment(nanoseconds)


def _moment(nanoseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=nanoseconds // 1000)).isoformat()
