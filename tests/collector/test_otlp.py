"""OTLP in protobuf and JSON becomes span events; whatever else comes is refused, never another exception."""

import json
import random
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from onlineeval_dagster.collector.otlp import log_events, span_events
from onlineeval_dagster.contracts.events import Span
from onlineeval_dagster.errors import RequestRefused

PROTOBUF, JSON = "application/x-protobuf", "application/json"
START = 1_764_000_000 * 10**9


def span_json(number: int = 1, **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "chat",
        "startTimeUnixNano": str(START),
    }
    said |= {"endTimeUnixNano": START + 10**9, "kind": "SPAN_KIND_CLIENT", "status": {"code": 2, "message": "no"}}
    said["attributes"] = [{"key": "user.id", "value": {"stringValue": "u"}}, {"key": "n", "value": {"intValue": "3"}}]
    return said | more


def body_json(*spans: Any) -> bytes:
    named = {"service.name": "shop", "deployment.environment": "staging"}
    resource = {"attributes": [{"key": name, "value": {"stringValue": value}} for name, value in named.items()]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def body_protobuf() -> bytes:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    for name, value in {"service.name": "shop", "deployment.environment": "staging"}.items():
        of_resource.resource.attributes.add(key=name).value.string_value = value
    span = of_resource.scope_spans.add().spans.add(name="chat", start_time_unix_nano=START, kind=3)
    span.end_time_unix_nano = START + 10**9
    span.trace_id, span.span_id = (1).to_bytes(16, "big"), (1).to_bytes(8, "big")
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "no"
    span.attributes.add(key="user.id").value.string_value = "u"
    span.attributes.add(key="n").value.int_value = 3
    return request.SerializeToString()


def test_protobuf_and_json_say_the_same_and_the_contract_takes_it() -> None:
    (event,) = span_events(body_protobuf(), PROTOBUF).events
    assert span_events(body_json(span_json()), JSON).events == [event]
    span = Span.model_validate_json(orjson.dumps(event | {"received_at": event["ended_at"]}))
    assert (span.event_id, span.app, span.environment, span.user_id) == (f"{1:032x}:{1:016x}", "shop", "staging", "u")
    assert (span.status, span.status_message, span.attributes["n"]) == ("error", "no", 3)
    assert "user.id" not in span.attributes, "one place names a user"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"traceId": "0" * 32}, "traceId: all zeros"),
        ({"spanId": "xyz"}, "spanId"),
        ({"startTimeUnixNano": 1}, "startTimeUnixNano"),
        ({"startTimeUnixNano": 10_413_792_000 * 10**9}, "startTimeUnixNano"),
        ({"endTimeUnixNano": START - 1}, "endTimeUnixNano: before"),
        ({"attributes": 3}, "attributes: expected a list"),
        ({"name": ["x"]}, "name: expected text"),
    ],
)
def test_one_bad_span_does_not_lose_its_neighbours(wrong: dict[str, Any], told: str) -> None:
    decoded = span_events(body_json(span_json(1), span_json(2, **wrong), span_json(3)), JSON)
    assert [event["span_id"] for event in decoded.events] == [f"{1:016x}", f"{3:016x}"]
    ((place, reason),) = decoded.refused
    assert place == 1
    assert told in reason


def test_a_log_event_has_an_id_of_its_content_and_other_records_are_refused() -> None:
    record = {"eventName": "gen_ai.evaluation.result", "timeUnixNano": str(START), "traceId": f"{1:032x}"}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {"body": {}}, record]}]}]}).encode()
    decoded = log_events(body, JSON)
    one, again = decoded.events
    assert one == again
    assert one["record"] == "log"
    assert [place for place, _ in decoded.refused] == [1]


def refused_or_decoded(body: bytes, kind: str) -> None:
    for decode in (span_events, log_events):
        with suppress(RequestRefused):
            orjson.dumps(decode(body, kind).events)


def test_protobuf_cut_at_any_byte_or_random_bytes_are_refused_or_decoded() -> None:
    body, chance = body_protobuf(), random.Random(1)
    for end in range(len(body)):
        refused_or_decoded(body[:end], PROTOBUF)
    for size in range(300):
        refused_or_decoded(chance.randbytes(size), PROTOBUF)
        refused_or_decoded(chance.randbytes(size), JSON)
    refused_or_decoded(body.replace(b"chat", b"\xff\xfe\xff\xfe"), PROTOBUF)
    refused_or_decoded(body, "text/plain")


def test_a_text_that_is_no_utf8_refuses_the_whole_body() -> None:
    """protobuf's own reader gives nothing of such a message, and orjson nothing of such a text."""
    for body, kind in ((body_protobuf(), PROTOBUF), (body_json(span_json()), JSON)):
        with pytest.raises(RequestRefused) as refused:
            span_events(body.replace(b"chat", b"ch\xfft"), kind)
        assert refused.value.status == 400


def test_a_text_in_json_is_the_text_that_was_sent_and_an_empty_one_is_no_missing_one() -> None:
    said = {"a": {"stringValue": ""}, "b": {"stringValue": "x", "intValue": "3"}, "c": {}, "d": {"stringValue": None}}
    attributes = [{"key": name, "value": value} for name, value in said.items()]
    (event,) = span_events(body_json(span_json(attributes=attributes)), JSON).events
    assert {name: event["attributes"][name] for name in said} == {"a": "", "b": "x", "c": None, "d": None}


def test_an_empty_text_in_protobuf_is_no_missing_one() -> None:
    request = ExportTraceServiceRequest.FromString(body_protobuf())
    (span,) = request.resource_spans[0].scope_spans[0].spans
    span.attributes.add(key="empty").value.string_value = ""
    span.attributes.add(key="none")
    (event,) = span_events(request.SerializeToString(), PROTOBUF).events
    assert (event["attributes"]["empty"], event["attributes"]["none"]) == ("", None)


def test_maps_too_deep_are_refused_and_what_is_no_number_is_kept_as_text() -> None:
    deep: dict[str, Any] = {"stringValue": "x"}
    for _ in range(60):
        deep = {"kvlistValue": {"values": [{"key": "k", "value": deep}]}}
    bad, good = [{"key": "k", "value": deep}], [{"key": "k", "value": {"doubleValue": "NaN"}}]
    decoded = span_events(body_json(span_json(1, attributes=bad), span_json(2, attributes=good)), JSON)
    assert decoded.events[0]["attributes"]["k"] == "NaN"
    assert "within each other" in decoded.refused[0][1]
    refused_or_decoded(b'{"resourceSpans":' + b"[" * 1000 + b"]" * 1000 + b"}", JSON)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["key", "value", "code"]), inner),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([*span_json(), "events", "links", "parentSpanId"]), value=values)
def test_json_of_the_wrong_types_is_refused_or_decoded(name: str, value: Any) -> None:
    refused_or_decoded(body_json(span_json(1, **{name: value})), JSON)
    refused_or_decoded(json.dumps({"resourceSpans": value, "resourceLogs": value}).encode(), JSON)
