"""What is acknowledged is in the log; what is refused is refused with its reason, and never with a 500."""

import asyncio
import gzip
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import httpx
import orjson
import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.settings import load_settings
from tests.collector.collectors import RESPONSE, Disk, app_at, ask, logged, send

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_one_event_an_array_and_lines_are_taken(tmp_path: Path) -> None:
    app = app_at(tmp_path)
    line = orjson.dumps(RESPONSE)
    assert send(app, line).json() == {"accepted": 1, "refused": []}
    assert send(app, [RESPONSE, RESPONSE]).json()["accepted"] == 2
    assert send(app, line + b"\n\n" + line + b"\n").json()["accepted"] == 2
    assert send(app, line + b"\n", content_type="application/x-ndjson").json()["accepted"] == 1
    assert [event["event_id"] for event in logged(tmp_path)] == ["r1:response"] * 6


@pytest.mark.parametrize("bad", [b"NaN", b'{"kind":"\xff"}', b'{"kind":"x"}', b"7", b"[" * 2_000 + b"]" * 2_000])
def test_good_events_are_kept_whatever_stands_beside_them(tmp_path: Path, bad: bytes) -> None:
    line = orjson.dumps(RESPONSE)
    answer = send(app_at(tmp_path), b"[" + line + b"," + bad + b"," + line + b"]")
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    assert [refused["index"] for refused in answer.json()["refused"]] == [1]
    assert len(logged(tmp_path)) == 2


def test_a_body_without_a_good_event_is_422_and_names_field_and_remedy(tmp_path: Path) -> None:
    app = app_at(tmp_path)
    for body in (b"", b"nope", b"[", b"[}", b"{}", orjson.dumps(RESPONSE | {"latency_ms": -1})):
        answer = send(app, body)
        assert answer.status_code == 422, body
        assert answer.json()["accepted"] == 0
        assert all(": " in refused["reason"] and "; " in refused["reason"] for refused in answer.json()["refused"])
    assert send(app, []).status_code == 200


def test_packed_bodies_are_read_and_bombs_and_torn_ones_are_refused(tmp_path: Path) -> None:
    app = app_at(tmp_path, serve_body_bytes=10_000)
    line = orjson.dumps(RESPONSE)
    packers = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
    for name, pack in packers.items():
        assert send(app, pack(line), content_encoding=name).json()["accepted"] == 1
        assert send(app, pack(b" " * 5_000_000), content_encoding=name).status_code == 413
        assert send(app, pack(line)[:-3], content_encoding=name).status_code == 400
        assert send(app, line, content_encoding=name).status_code == 400
    assert send(app, line, content_encoding="br").status_code == 415
    assert send(app, b" " * 10_001).status_code == 413


def test_a_key_is_asked_for_once_there_is_one_and_sets_the_environment(tmp_path: Path) -> None:
    keys = ApiKeys(load_settings(home=tmp_path).keys_file)
    key = keys.add("shop", environment="staging", scope="write", now=NOW)
    reader = keys.add("prometheus", environment=None, scope="metrics", now=NOW)
    app = app_at(tmp_path)
    said = RESPONSE | {"environment": "production"}
    assert send(app, said).status_code == 401
    assert send(app, said, authorization=f"Bearer {key}x").status_code == 401
    assert send(app, said, authorization=f"Bearer {reader}").status_code == 403
    assert send(app, said, authorization=f"Bearer {key}").status_code == 200
    assert send(app, said, x_api_key=key).status_code == 200
    assert {event["environment"] for event in logged(tmp_path)} == {"staging"}
    assert ask(app, "GET", "/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 403
    assert ask(app, "GET", "/metrics", headers={"authorization": f"Bearer {reader}"}).status_code == 200
    keys.revoke("shop", now=NOW)
    assert send(app_at(tmp_path), said, x_api_key=key).status_code == 401


def test_a_key_that_sends_too_much_is_told_when_to_come_back(tmp_path: Path) -> None:
    key = ApiKeys(load_settings(home=tmp_path).keys_file).add("shop", environment=None, scope="write", now=NOW)
    app = app_at(tmp_path, serve_events_per_second=0.1)
    assert send(app, [RESPONSE] * 20, x_api_key=key).json()["accepted"] == 20
    answer = send(app, RESPONSE, x_api_key=key)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 1) == (429, True)


def test_without_keys_a_web_page_from_elsewhere_cannot_send(tmp_path: Path) -> None:
    app = app_at(tmp_path)
    assert send(app, RESPONSE, origin="https://example.org").status_code == 403
    assert send(app, RESPONSE, origin="http://localhost:3000").status_code == 200


def test_a_full_disk_is_507_and_ready_again_when_there_is_space(tmp_path: Path) -> None:
    disk = Disk(is_full=True)
    disk.moves.set()
    app = app_at(tmp_path, write=disk)
    answer = send(app, RESPONSE)
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["error"]
    assert ask(app, "GET", "/readyz").status_code == 503
    disk.is_full = False
    assert send(app, RESPONSE).status_code == 200
    assert ask(app, "GET", "/readyz").status_code == 200


def test_health_answers_while_the_disk_stands_still(tmp_path: Path) -> None:
    disk = Disk()
    app = app_at(tmp_path, write=disk)

    async def told() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            waiting = asyncio.create_task(client.post("/v1/events", json=RESPONSE))
            await asyncio.sleep(0.05)
            healthy = await asyncio.wait_for(client.get("/healthz"), 2)
            assert not waiting.done()
            disk.moves.set()
            return [healthy.status_code, (await waiting).status_code]

    assert asyncio.run(told()) == [200, 200]


def test_spans_are_taken_in_protobuf_and_answered_in_it(tmp_path: Path) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    started = int(datetime.now(UTC).timestamp() * 1e9)
    spans.add(trace_id=b"1" * 16, span_id=b"2" * 8, name="chat", start_time_unix_nano=started)
    spans.add(trace_id=b"", span_id=b"2" * 8, name="chat", start_time_unix_nano=started)
    headers = {"content-type": "application/x-protobuf"}
    app = app_at(tmp_path)
    answer = ask(app, "POST", "/v1/traces", content=request.SerializeToString(), headers=headers)
    assert answer.status_code == 200
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    assert [event["kind"] for event in logged(tmp_path)] == ["span"]
    assert ask(app, "POST", "/v1/traces", content=b"\xff", headers=headers).status_code == 400


def test_spans_are_taken_in_json_and_answered_in_it(tmp_path: Path) -> None:
    started = str(int(datetime.now(UTC).timestamp()) * 10**9)
    span = {"traceId": "5b" * 16, "spanId": "a1" * 8, "name": "chat", "startTimeUnixNano": started}
    said = {"resourceSpans": [{"scopeSpans": [{"spans": [span, span | {"spanId": "xyz"}, {"name": 7}]}]}]}
    app = app_at(tmp_path)
    answer = ask(app, "POST", "/v1/traces", json=said)
    assert answer.status_code == 200
    told = answer.json()["partialSuccess"]
    assert told["rejectedSpans"] == "2"
    assert told["errorMessage"].startswith("2 refused, the first: spanId: ")
    assert [(event["kind"], event["event_id"]) for event in logged(tmp_path)] == [("span", "5b" * 16 + ":" + "a1" * 8)]
    said["resourceSpans"][0]["scopeSpans"][0]["spans"] = [span]
    assert ask(app, "POST", "/v1/traces", json=said).json() == {}
    for bad in (b"", b"[]", b"{", b'{"resourceSpans": 7}'):
        refused = ask(app, "POST", "/v1/traces", content=bad, headers={"content-type": "application/json"})
        assert refused.status_code == 400
        assert "; send" in refused.json()["message"]
    assert ask(app, "POST", "/v1/traces", content=b"x", headers={"content-type": "text/plain"}).status_code == 415


def test_evaluations_come_as_log_records_in_protobuf_and_json(tmp_path: Path) -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    now = int(datetime.now(UTC).timestamp()) * 10**9
    records.add(event_name="gen_ai.evaluation.result", time_unix_nano=now, trace_id=b"1" * 16, span_id=b"2" * 8)
    records.add(time_unix_nano=now)
    app = app_at(tmp_path)
    headers = {"content-type": "application/x-protobuf"}
    answer = ask(app, "POST", "/v1/logs", content=request.SerializeToString(), headers=headers)
    assert ExportLogsServiceResponse.FromString(answer.content).partial_success.rejected_log_records == 1
    record = {"eventName": "gen_ai.evaluation.result", "timeUnixNano": str(now), "attributes": []}
    said = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {"timeUnixNano": str(now)}]}]}]}
    assert ask(app, "POST", "/v1/logs", json=said).json()["partialSuccess"]["rejectedLogRecords"] == "1"
    assert [(event["record"], event["name"]) for event in logged(tmp_path)] == [("log", "gen_ai.evaluation.result")] * 2


def test_a_large_trace_is_read_beside_the_event_loop(tmp_path: Path) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    started = int(datetime.now(UTC).timestamp() * 1e9)
    for number in range(2_000):
        made = spans.add(trace_id=b"1" * 16, span_id=number.to_bytes(8), name="x" * 200, start_time_unix_nano=started)
        made.attributes.add(key="a").value.string_value = "b" * 100
    app, body = app_at(tmp_path, serve_batch_events=2_000), request.SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    longest = 0.0

    async def sending() -> httpx.Response:
        nonlocal longest
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            waiting = asyncio.create_task(client.post("/v1/traces", content=body, headers=headers))
            while not waiting.done():
                before = perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, perf_counter() - before)
            return await waiting

    began = perf_counter()
    answer = asyncio.run(sending())
    assert answer.status_code == 200
    assert len(logged(tmp_path)) == 1_999  # the id of zeros is none
    assert longest < max(0.05, (perf_counter() - began) / 2)
    assert (
        ask(app_at(tmp_path, serve_batch_events=100), "POST", "/v1/traces", content=body, headers=headers).status_code
        == 413
    )


def test_the_counters_say_what_came(tmp_path: Path) -> None:
    app = app_at(tmp_path)
    said = RESPONSE | {"latency_ms": 700, "prompt_version": "v3"}
    send(app, [said, said, {"kind": "action", "response_id": "r1", "action": "copy"}, {"kind": "x"}])
    page = ask(app, "GET", "/metrics").text
    for line in (
        'onlineeval_events_total{kind="response"} 2.0',
        'onlineeval_actions_total{action="copy"} 1.0',
        'onlineeval_responses_total{prompt_version="v3",variant="none"} 2.0',
        'onlineeval_refused_events_total{reason="kind"} 1.0',
        "onlineeval_duplicate_events_total 1.0",
        'onlineeval_response_latency_seconds_bucket{le="1.0",prompt_version="v3"} 2.0',
    ):
        assert line in page


def test_the_document_describes_every_door_and_kind(tmp_path: Path) -> None:
    document = ask(app_at(tmp_path), "GET", "/openapi.json").json()
    assert {"/v1/events", "/v1/assign", "/v1/traces", "/v1/logs", "/healthz", "/readyz", "/metrics"} == set(
        document["paths"]
    )
    assert document["components"]["schemas"]["Response"]["required"] == ["kind", "response_id", "query", "response"]
    assert ask(app_at(tmp_path), "GET", "/docs").status_code == 404
