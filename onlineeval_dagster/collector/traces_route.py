"""`POST /v1/traces` and `POST /v1/logs`: OTLP over HTTP, answered as its specification says.

Good spans are kept whatever stands beside them; the others are counted in `partial_success`, with the first reason.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from onlineeval_dagster.collector.events_route import Answer, Route
from onlineeval_dagster.collector.gate import Headers
from onlineeval_dagster.collector.intake import Taken, Terms, judge
from onlineeval_dagster.collector.otlp import PROTOBUF, Decoded, log_events, span_events
from onlineeval_dagster.errors import RequestRefused

_LARGE = 2**17
"""A body beyond this is read in a thread: a span costs several times what an event of its size does."""

_FORM = {True: (b"content-type", b"application/x-protobuf"), False: (b"content-type", b"application/json")}


class OtlpRoute(Route):
    """Spans or log records, each an event of kind `span`."""

    def __init__(self, path: str, *common: Any) -> None:
        super().__init__(*common)
        self.path = path
        self._read: Callable[[bytes, str], Decoded] = span_events if path == "/v1/traces" else log_events
        self._response = ExportTraceServiceResponse if path == "/v1/traces" else ExportLogsServiceResponse
        self._counted = "rejected_spans" if path == "/v1/traces" else "rejected_log_records"

    async def answer(self, headers: Headers, receive: Any) -> Answer:
        key = self._gate.enter(headers, "write")
        body = await self._gate.read(headers, receive)
        terms = self._terms if key is None else replace(self._terms, environment=key.environment)
        said, now = headers.get(b"content-type", ""), self._clock()
        if len(body) > _LARGE:
            taken = await asyncio.to_thread(self._take, body, said, terms, now)
        else:
            taken = self._take(body, said, terms, now)
        if key is not None:
            self._gate.rate.pay(key.name, len(taken.lines) + len(taken.refused))
        await self.keep(taken)
        reason = f"{len(taken.refused)} refused, the first: {taken.refused[0][1]}" if taken.refused else ""
        return 200, self._told(len(taken.refused), reason, is_protobuf(headers)), _FORM[is_protobuf(headers)]

    def _take(self, body: bytes, content_type: str, terms: Terms, now: datetime) -> Taken:
        decoded = self._read(body, content_type)
        if len(decoded.events) > terms.batch_events:
            most = f"more than the {terms.batch_events:,} of one request"
            raise RequestRefused(f"body: {len(decoded.events):,} spans, {most}; send them in several", status=413)
        taken = judge(decoded.events, terms=terms, cleaner=self._cleaner, now=now)
        taken.refused += decoded.refused
        return taken

    def refusal(self, error: RequestRefused, headers: Headers) -> tuple[bytes, tuple[bytes, bytes]]:
        """OTLP wants google.rpc.Status in the request's own form."""
        if is_protobuf(headers):
            return _status(str(error)), _FORM[True]
        return orjson.dumps({"message": str(error)}), _FORM[False]

    def _told(self, refused: int, reason: str, protobuf: bool) -> bytes:
        if protobuf:
            told = self._response()
            if refused:
                setattr(told.partial_success, self._counted, refused)
                told.partial_success.error_message = reason
            return told.SerializeToString()
        head, _, tail = self._counted.partition("_")
        name = head + "".join(part.title() for part in tail.split("_"))
        return orjson.dumps({"partialSuccess": {name: str(refused), "errorMessage": reason}} if refused else {})


def _status(message: str) -> bytes:
    """A google.rpc.Status with its field 2, `message`: its package is no dependency of ours for one field."""
    text, size = message.encode(), b""
    length = len(text)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return b"\x12" + size + bytes([length]) + text


def is_protobuf(headers: Headers) -> bool:
    """Whether a request is, and so its answer is to be, protobuf."""
    return headers.get(b"content-type", "").partition(";")[0].strip().lower() in PROTOBUF
