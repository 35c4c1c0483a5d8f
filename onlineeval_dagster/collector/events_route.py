"""`POST /v1/events`: answered once the bytes are on the disk. Plain ASGI: at 6,000 requests a second each layer counts.

What a door for events has in common with that for traces, telling refusals and counting, is `Route`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from time import perf_counter
from typing import Any

import orjson

from onlineeval_dagster.collector.gate import ClientGone, Gate, Headers, asked_headers
from onlineeval_dagster.collector.intake import Cleaner, Taken, Terms, take
from onlineeval_dagster.collector.live import Live, counted
from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.errors import RequestRefused

_LARGE = 2**19
"""A body beyond this is read in a thread: it takes tens of milliseconds, and other requests do not wait for it."""

_JSON = (b"content-type", b"application/json")
Answer = tuple[int, bytes, tuple[bytes, bytes]]
"""Status, body and content type."""


class Route(ABC):
    """An ASGI app for one path: what it raises as RequestRefused becomes an answer that says so."""

    path: str

    def __init__(
        self, gate: Gate, sink: Sink, cleaner: Cleaner, live: Live, terms: Terms, clock: Callable[[], datetime]
    ) -> None:
        self._gate, self._sink, self._cleaner, self._live = gate, sink, cleaner, live
        self._terms, self._clock = terms, clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        began = perf_counter()
        more: list[tuple[bytes, bytes]] = []
        headers = asked_headers(scope)
        try:
            status, body, kind = await self.answer(headers, receive)
        except RequestRefused as error:
            status, (body, kind) = error.status, self.refusal(error, headers)
            self._live.refuse([str(error)])
            if error.retry_seconds is not None:
                more.append((b"retry-after", str(max(1, round(error.retry_seconds))).encode()))
            if status == 401:
                more.append((b"www-authenticate", b"Bearer"))
        except ClientGone:
            return
        more += [kind, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": body})
        self._live.answered(self.path, status, perf_counter() - began)

    @abstractmethod
    async def answer(self, headers: Headers, receive: Any) -> Answer:
        """Status, body and content type. Raises RequestRefused."""

    def refusal(self, error: RequestRefused, headers: Headers) -> tuple[bytes, tuple[bytes, bytes]]:  # noqa: ARG002
        """Body and content type for a request that was refused as a whole."""
        return orjson.dumps({"error": str(error)}), _JSON

    async def keep(self, taken: Taken) -> None:
        """Wait until what was taken is on the disk, and count it."""
        if taken.refused:
            self._live.refuse(reason for _, reason in taken.refused)
        if taken.lines:
            lines = taken.lines[0] if len(taken.lines) == 1 else b"".join(taken.lines)
            accepted = counted(taken.events)
            # While the disk works the events' memory, still in the processor's cache, serves the next request.
            taken.events, taken.lines = [], []
            await self._sink.keep(lines)
            self._live.accept(accepted)


class EventsRoute(Route):
    """One JSON event, an array, or NDJSON."""

    path = "/v1/events"

    async def answer(self, headers: Headers, receive: Any) -> Answer:
        key = self._gate.enter(headers, "write")
        body = await self._gate.read(headers, receive)
        terms = self._terms if key is None else replace(self._terms, environment=key.environment)
        said, now = headers.get(b"content-type", ""), self._clock()
        if len(body) > _LARGE:
            taken = await asyncio.to_thread(take, body, said, terms=terms, cleaner=self._cleaner, now=now)
        else:
            taken = take(body, said, terms=terms, cleaner=self._cleaner, now=now)
        del body
        accepted = len(taken.lines)
        if key is not None:
            self._gate.rate.pay(key.name, accepted + len(taken.refused))
        await self.keep(taken)
        refused = [{"index": index, "reason": reason} for index, reason in taken.refused]
        told = orjson.dumps({"accepted": accepted, "refused": refused})
        return 422 if refused and not accepted else 200, told, _JSON
