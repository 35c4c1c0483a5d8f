"""Whatever is sent, the collector answers with 2xx, 4xx, 503 or 507 and says why; a good event is never lost by it."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
import zstandard
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from onlineeval_dagster.log.reader import read_lines
from tests.collector.collectors import RESPONSE, app_at
from tests.collector.events import as_json, events

ALLOWED = {200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 503, 507}
PROTOBUF, JSON = "application/x-protobuf", "application/json"
GOOD = orjson.dumps(RESPONSE)
MANY = pytest.mark.parametrize("examples", [60, pytest.param(1_500, marks=pytest.mark.slow)])


class Log:
    """The log of a home, read on."""

    def __init__(self, home: Path) -> None:
        self.home, self._places = home, dict[str, int]()

    def new(self) -> list[dict[str, Any]]:
        """What came since it was last asked."""
        found: list[dict[str, Any]] = []
        for path in sorted((self.home / "log").glob("*.ndjson")):
            name, size = path.name.replace(".open", ""), path.stat().st_size
            found += [orjson.loads(line) for _, line in read_lines(path, self._places.get(name, 0), size)]
            self._places[name] = size
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.fixture
def app(log: Log) -> FastAPI:
    return app_at(log.home, serve_body_bytes=2_000_000)


def many(examples: int) -> Callable[[Any], Any]:
    """The settings of a search through so many examples."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


def sent(app: FastAPI, path: str, body: bytes, **headers: str) -> httpx.Response:
    """The answer to a body, of which must hold what holds of every answer."""
    named = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}

    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.wait_for(client.post(path, content=body, headers=named), 10)

    answer = asyncio.run(asking())
    assert answer.status_code in ALLOWED, answer.text
    assert answer.status_code == 200 or answer.content
    return answer


def accepted(answer: httpx.Response) -> int:
    """How many events an answer acknowledges; each of the others has its reason."""
    told = answer.json()
    assert told.keys() == {"error"} or told.keys() == {"accepted", "refused"}
    assert all(refused["reason"] for refused in told.get("refused", ()))
    return told.get("accepted", 0)


@MANY
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_the_document_says(app: FastAPI, examples: int, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    # Times have bounds that no schema can tell, and good events of a bad array are kept.
    but = [CHECKS.get_one("positive_data_acceptance"), CHECKS.get_one("negative_data_rejection")]
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 7
    for operation in operations:
        if operation.method == "get" and mode is GenerationMode.NEGATIVE:
            continue  # nothing of them can be wrong

        @many(examples // 3)
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_it_says(case: schemathesis.Case) -> None:
            case.call_and_validate(excluded_checks=but)

        answers_as_it_says()


@MANY
def test_events_of_any_shape_among_good_ones(app: FastAPI, log: Log, examples: int) -> None:
    pieces = events().map(as_json) | st.binary(max_size=30).filter(lambda some: b"\n" not in some)

    @many(examples)
    @given(st.lists(pieces, max_size=4), st.booleans())
    def holds(some: list[bytes], as_lines: bool) -> None:
        lines = [GOOD, *some, GOOD]
        kind = "application/x-ndjson" if as_lines else JSON
        body = b"\n".join(lines) if as_lines else b"[" + b",".join(map(tame, lines)) + b"]"
        count = accepted(sent(app, "/v1/events", body, content_type=kind))
        new = log.new()
        assert count == len(new) >= 2
        assert sum(event["event_id"] == "r1:response" for event in new) >= 2

    holds()


@MANY
def test_any_bytes_as_a_body_packed_or_not(app: FastAPI, log: Log, examples: int) -> None:
    packed = st.sampled_from([GOOD, gzip.compress(GOOD), zlib.compress(GOOD), zstandard.compress(GOOD), b"[" * 3_000])
    cut = st.tuples(packed, st.integers(0, 120), st.binary(max_size=8)).map(lambda it: it[0][: it[1]] + it[2])
    kinds = st.sampled_from([JSON, "application/x-ndjson", PROTOBUF, "", "text/plain; charset=x", "\u00ff"])

    @many(examples)
    @given(
        st.binary(max_size=200) | packed | cut,
        kinds,
        st.sampled_from(["gzip", "zstd", "identity", "br", "", "gzip, gzip"]),
        st.sampled_from(["/v1/events", "/v1/traces", "/v1/logs"]),
    )
    def holds(body: bytes, kind: str, encoding: str, path: str) -> None:
        answer = sent(app, path, body, content_type=kind, content_encoding=encoding)
        count = len(log.new())
        assert path != "/v1/events" or accepted(answer) == count

    holds()


@MANY
def test_cut_and_changed_otlp(app: FastAPI, examples: int) -> None:
    bodies = {"/v1/traces": traces(), "/v1/logs": logs()}

    @many(examples)
    @given(st.sampled_from(list(bodies)), st.integers(0, 400), st.binary(max_size=4), st.booleans())
    def holds(path: str, place: int, change: bytes, is_cut: bool) -> None:
        body = bodies[path]
        body = body[:place] + change + (b"" if is_cut else body[place + len(change) :])
        answer = sent(app, path, body, content_type=PROTOBUF)
        assert answer.headers["content-type"] == PROTOBUF

    holds()


@MANY
def test_otlp_json_of_any_shape(app: FastAPI, log: Log, examples: int) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("9" * 24),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=12,
    )
    spans = st.dictionaries(NAMES, values, max_size=6)

    @many(examples)
    @given(st.lists(spans, max_size=3), values, st.sampled_from(["/v1/traces", "/v1/logs"]))
    def holds(some: list[Any], resource: Any, path: str) -> None:
        outer, inner, leaf = SHAPES[path]
        good = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "good", "eventName": "good"} | times()
        body = {outer: [{"resource": resource, inner: [{leaf: [good, *some]}]}, {inner: [{leaf: [good]}]}]}
        answer = sent(app, path, as_json(body), content_type=JSON)
        new = log.new()
        if answer.status_code == 200:
            assert sum(event["name"] == "good" for event in new) >= 2

    holds()


def test_the_worst_that_we_thought_of(app: FastAPI, log: Log) -> None:
    for body in (
        b'{"kind":"response","response_id":"r","query":"' + b"x" * 1_900_000 + b'","response":"y"}',
        b'{"kind":"response","response_id":"r","query":"' + b"x" * 10_000_000 + b'","response":"y"}',
        b"[" * 1_000_000,
        b'{"a":' * 300_000,
        b'[{"kind":"response","kind":"action","response_id":"r","response_id":"s","action":"copy"}]',
        b"[" + b"0," * 900_000 + b"0]",
        b"[" + b"1e999," * 20 + GOOD + b"]",
        b'"' + b"\\" * 1_000_000,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        b"\r\n" * 900_000,
    ):
        assert accepted(sent(app, "/v1/events", body)) == len(log.new())
    for packed in (gzip.compress(b"[" + b" " * 10**8), zstandard.compress(b" " * 10**8)):
        encoding = "gzip" if packed[:1] == b"\x1f" else "zstd"
        assert sent(app, "/v1/events", packed, content_encoding=encoding).status_code == 413


NAMES = st.sampled_from(
    [
        *[
            "traceId",
            "spanId",
            "name",
            "eventName",
            "startTimeUnixNano",
            "endTimeUnixNano",
            "timeUnixNano",
            "kind",
            "status",
        ],
        *[
            "code",
            "attributes",
            "key",
            "value",
            "stringValue",
            "intValue",
            "doubleValue",
            "arrayValue",
            "values",
            "events",
        ],
    ]
)
SHAPES = {
    "/v1/traces": ("resourceSpans", "scopeSpans", "spans"),
    "/v1/logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


def tame(piece: bytes) -> bytes:
    """Bytes that cannot end a string or an array that they stand in: else what follows is another document."""
    return piece if piece.startswith(b'{"kind"') else piece.translate(None, b'"[]{}\\')


def times() -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp()) * 10**9
    return {"startTimeUnixNano": str(now), "endTimeUnixNano": str(now), "timeUnixNano": str(now)}


def traces() -> bytes:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    started = int(datetime.now(UTC).timestamp()) * 10**9
    for number in range(3):
        span = of_resource.scope_spans.add().spans.add(
            trace_id=b"1" * 16, span_id=bytes([number + 1] * 8), name="chat", start_time_unix_nano=started
        )
        span.attributes.add(key="a").value.double_value = float("nan")
        span.events.add(name="x").attributes.add(key="b").value.bytes_value = b"\xff"
    return request.SerializeToString()


def logs() -> bytes:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    started = int(datetime.now(UTC).timestamp()) * 10**9
    record = records.add(event_name="gen_ai.evaluation.result", time_unix_nano=started, trace_id=b"1" * 16)
    record.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = float("inf")
    return request.SerializeToString()
