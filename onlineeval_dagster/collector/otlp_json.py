"""OTLP in JSON, as spans and log records in parts: camelCase, ids in hex, whole numbers as text or numbers."""

from collections.abc import Iterator
from typing import Any

import orjson

from onlineeval_dagster.collector.otlp_parts import (
    DEEPEST,
    KINDS,
    STATUSES,
    LogParts,
    Origin,
    SpanParts,
    Unfit,
    finite,
    too_deep,
)
from onlineeval_dagster.errors import RequestRefused

_MOST = 2**64


def spans(body: bytes) -> Iterator[SpanParts | Unfit]:
    """Each span of a body with `resourceSpans`. Raises RequestRefused where the body is none."""
    for origin, span in _walk(body, "resourceSpans", "scopeSpans", "spans"):
        try:
            yield _span(_object(span, "span"), origin)
        except Unfit as unfit:
            yield unfit


def logs(body: bytes) -> Iterator[LogParts | Unfit]:
    """Each record of a body with `resourceLogs`. Raises RequestRefused where the body is none."""
    for origin, record in _walk(body, "resourceLogs", "scopeLogs", "logRecords"):
        try:
            yield _record(_object(record, "logRecord"), origin)
        except Unfit as unfit:
            yield unfit


def _walk(body: bytes, outer: str, inner: str, leaf: str) -> Iterator[tuple[Origin, Any]]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(f"body: not JSON ({error}); send an OTLP message in UTF-8", status=400) from error
    try:
        for of_resource in _list(_object(said, "body"), outer):
            about = _object(_object(of_resource, outer).get("resource") or {}, "resource")
            resource = _attributes(about, "resource")
            for of_scope in _list(of_resource, inner):
                scope = _object(_object(of_scope, inner).get("scope") or {}, "scope")
                name, version = _text(scope, "name"), _text(scope, "version")
                origin = Origin(resource=resource, scope=name, scope_version=version)
                for each in _list(of_scope, leaf):
                    yield origin, each
    except Unfit as unfit:
        raise RequestRefused(f"body: {unfit}", status=400) from unfit


def _span(said: dict[str, Any], origin: Origin) -> SpanParts:
    status = _object(said.get("status") or {}, "status")
    return SpanParts(
        origin=origin,
        trace_id=_text(said, "traceId").lower(),
        span_id=_text(said, "spanId").lower(),
        parent_span_id=_text(said, "parentSpanId").lower(),
        name=_text(said, "name"),
        start=_whole(said, "startTimeUnixNano"),
        end=_whole(said, "endTimeUnixNano"),
        kind=_enum(said, "kind", "SPAN_KIND_", KINDS),
        status=_enum(status, "code", "STATUS_CODE_", ("unset", *STATUSES[1:])),
        status_message=_text(status, "message"),
        trace_state=_text(said, "traceState"),
        dropped=_whole(said, "droppedAttributesCount"),
        attributes=_attributes(said, "attributes"),
        events=[
            (_text(event, "name"), _whole(event, "timeUnixNano"), _attributes(event, "events.attributes"))
            for event in _objects(said, "events")
        ],
        links=[
            (_text(link, "traceId").lower(), _text(link, "spanId").lower(), _attributes(link, "links.attributes"))
            for link in _objects(said, "links")
        ],
    )


def _record(said: dict[str, Any], origin: Origin) -> LogParts:
    return LogParts(
        origin=origin,
        name=_text(said, "eventName"),
        time=_whole(said, "timeUnixNano") or _whole(said, "observedTimeUnixNano"),
        trace_id=_text(said, "traceId").lower(),
        span_id=_text(said, "spanId").lower(),
        attributes=_attributes(said, "attributes"),
        body=_value(said.get("body") or {}, "body", 0),
    )


def _attributes(said: dict[str, Any], place: str) -> dict[str, Any]:
    return _pairs(_list(said, "attributes"), place, 0)


def _pairs(pairs: list[Any], place: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        pair = _object(pair, place)
        value = pair.get("value") or {}
        # Most values are text and nothing else: no need to look through their kinds.
        plain = value.get("stringValue") if type(value) is dict and len(value) == 1 else None
        found[_text(pair, "key")] = plain if type(plain) is str else _value(value, place, depth)
    return found


def _value(said: Any, place: str, depth: int) -> Any:
    """An AnyValue: an object with one of stringValue, boolValue, intValue, doubleValue, arrayValue, kvlistValue …"""
    for kind, value in _object(said, place).items():
        if value is None:
            continue
        if kind == "stringValue" or kind == "bytesValue":
            return _text(said, kind)
        if kind == "boolValue" and isinstance(value, bool):
            return value
        if kind == "intValue":
            return _signed(value, place)
        if kind == "doubleValue":
            return _double(value, place)
        if depth >= DEEPEST:
            raise too_deep()
        if kind == "arrayValue":
            return [_value(inner or {}, place, depth + 1) for inner in _list(_object(value, place), "values")]
        if kind == "kvlistValue":
            return _pairs(_list(_object(value, place), "values"), place, depth + 1)
        raise Unfit(f'{place}: unknown value {str(kind)[:40]!r}; send such as {{"stringValue": "…"}}')
    return None


def _object(said: Any, place: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise Unfit(f"{place}: expected an object, got {_shown(said)}; send it as OTLP's JSON has it")
    return said


def _list(said: dict[str, Any], name: str) -> list[Any]:
    found = said.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Unfit(f"{name}: expected a list, got {_shown(found)}; send it as OTLP's JSON has it")
    return found


def _objects(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    if name not in said:
        return []
    return [_object(each, name) for each in _list(said, name)]


def _text(said: dict[str, Any], name: str) -> str:
    found = said.get(name)
    if type(found) is str:
        return found
    if found is None:
        return ""
    raise Unfit(f"{name}: expected text, got {_shown(found)}; send it in quotes")


def _whole(said: dict[str, Any], name: str) -> int:
    """A count or a time: never negative, at most 64 bits."""
    found = said.get(name)
    if found is None:
        return 0
    number = _number(found, name)
    if not 0 <= number < _MOST:
        raise Unfit(f"{name}: {str(found)[:24]} is out of range; send nanoseconds since 1970, or a count")
    return number


def _signed(value: Any, place: str) -> int:
    number = _number(value, place)
    if not -(2**63) <= number < 2**63:
        raise Unfit(f"{place}: an intValue beyond 64 bits; send it as text")
    return number


def _number(value: Any, name: str) -> int:
    if isinstance(value, str) and len(value) <= 24 and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise Unfit(f"{name}: expected a whole number, got {_shown(value)}; send digits")


def _double(value: Any, place: str) -> float | str:
    if isinstance(value, str):
        if value in ("NaN", "Infinity", "-Infinity"):
            return value
        try:
            return finite(float(value))
        except ValueError:
            pass
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Unfit(f"{place}: expected a number in doubleValue, got {_shown(value)}; send a number")


def _enum(said: dict[str, Any], name: str, prefix: str, words: tuple[str | None, ...]) -> int:
    found = said.get(name)
    if found is None:
        return 0
    if isinstance(found, str) and found.startswith(prefix):
        word = found.removeprefix(prefix).lower()
        return words.index(word) if word in words else 0
    return _number(found, name)


def _shown(value: Any) -> str:
    """What was found, without the words of users."""
    return {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
