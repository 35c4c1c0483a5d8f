"""The collector as an ASGI app: events and traces in, into the log; assignments, health and live counters out.

    request ──gate: key, size, rate──▶ intake: judge, clean ──▶ sink: log, fsync ──▶ 200

No body is ever logged. What an event is stands in `contracts.events`, and in `/openapi.json`.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.routing import Route as Place
from starlette.types import Receive, Scope, Send

from onlineeval_dagster.catalog.assignment import FILE, AssignmentFile
from onlineeval_dagster.collector.assign_route import AssignRoute
from onlineeval_dagster.collector.events_route import EventsRoute, Route
from onlineeval_dagster.collector.gate import Gate, asked_headers
from onlineeval_dagster.collector.intake import Cleaner, Terms
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.collector.limits import RateLimit
from onlineeval_dagster.collector.live import Live
from onlineeval_dagster.collector.openapi import with_doors
from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.collector.traces_route import OtlpRoute
from onlineeval_dagster.errors import RequestRefused
from onlineeval_dagster.settings import Settings


class _App(FastAPI):
    """Takes a POST to a door straight there: the framework's layers cost more than an event's own work.

    Their routes stand as well, for what is no POST.
    """

    doors: Mapping[str, Route] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.doors.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        await (super().__call__ if door is None else door)(scope, receive, send)


def build_app(
    settings: Settings,
    *,
    privacy: Cleaner,
    sink: Sink,
    traces_sink: Sink,
    keys: ApiKeys,
    live: Live | None = None,
    pages: Sequence[BaseRoute] = (),
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The app over sinks that the caller opened and will close. `pages` are further routes of other rooms."""
    live = live or Live(waiting=lambda: sink.waiting_bytes + traces_sink.waiting_bytes)
    gate = Gate(
        keys,
        RateLimit(settings.serve_events_per_second),
        body_bytes=settings.serve_body_bytes,
        total_bytes=settings.serve_queue_bytes,
    )
    terms = Terms(
        event_bytes=settings.serve_event_bytes,
        batch_events=settings.serve_batch_events,
        retention_days=settings.retention_days,
    )
    # No docs pages: they would load their scripts from elsewhere.
    app = _App(title="onlineeval collector", docs_url=None, redoc_url=None)
    doors: list[Route] = [EventsRoute(gate, sink, privacy, live, terms, clock)]
    doors += [OtlpRoute(path, gate, traces_sink, privacy, live, terms, clock) for path in ("/v1/traces", "/v1/logs")]
    experiments = AssignmentFile(settings.catalog / FILE)
    doors.append(AssignRoute(gate, sink, privacy, live, terms, clock, experiments=experiments))
    app.doors = {door.path: door for door in doors}
    app.router.routes.extend(Place(door.path, door, methods=["POST"]) for door in doors)
    app.router.routes.extend(pages)
    _add_reading(app, settings, [sink, traces_sink], gate, live)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = with_doors(described())
        return app.openapi_schema

    app.openapi = openapi
    return app


def _add_reading(app: FastAPI, settings: Settings, sinks: list[Sink], gate: Gate, live: Live) -> None:
    @app.get("/healthz", summary="The process answers.")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    # Not async: a disk that hangs blocks a thread, not the event loop.
    @app.get("/readyz", summary="Events can be kept now.", responses={503: {"description": "They cannot; see why."}})
    def readyz() -> JSONResponse:
        why = _not_ready(settings, sinks)
        return JSONResponse({"status": why or "ready"}, status_code=503 if why else 200)

    told = {
        200: {"description": "Text format."},
        401: {"description": "A key is asked for."},
        403: {"description": "A key of another scope."},
    }

    @app.get("/metrics", summary="Live counters for Prometheus.", response_class=Response, responses=_texts(told))
    async def metrics(request: Request) -> Response:
        try:
            gate.enter(asked_headers(request.scope), "metrics")
        except RequestRefused as error:
            return Response(str(error), status_code=error.status, media_type="text/plain")
        return Response(live.page(), media_type="text/plain; version=0.0.4")


def _texts(told: dict[int, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    return {code: said | text for code, said in told.items()}


def _not_ready(settings: Settings, sinks: list[Sink]) -> str | None:
    trouble = next((said for sink in sinks if (said := sink.trouble()) is not None), None)
    if trouble is not None:
        return trouble
    folder = settings.log_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"log {folder}: {error.strerror}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"log {folder}: not writable for this user"
    if free < settings.serve_free_bytes:
        return f"log {folder}: {free:,} bytes are free, less than {settings.serve_free_bytes:,}; free space there"
    return None
