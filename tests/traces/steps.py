"""Spans and log events for tests, as the lake holds them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from onlineeval_dagster.traces.said import Step

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


def a_step(name: str = "root", *, parent: str | None = None, after_s: float = 0, **more: Any) -> Step:
    """A span of trace `t` that began `after_s` seconds after noon and took one second; its id is its name."""
    began = NOON + timedelta(seconds=after_s)
    fields: dict[str, Any] = {
        "event_id": f"t:{name}",
        "record": "span",
        "trace_id": "t",
        "span_id": name,
        "parent_span_id": parent,
        "name": name,
        "occurred_at": began,
        "received_at": began + timedelta(seconds=2),
        "ended_at": began + timedelta(seconds=1),
        "status": None,
        "status_message": None,
        "environment": "production",
        "app": "shop",
        "user_id": None,
        "session_id": None,
        "attributes": {},
        "events": [],
    }
    return Step(**fields | more)


def a_record(name: str, attributes: dict[str, Any], *, of: str | None = "root", **more: Any) -> Step:
    """A log event that speaks of the span `of`."""
    fields: dict[str, Any] = {"event_id": f"t:log-{name}", "record": "log", "span_id": of, "ended_at": None}
    return a_step(name, attributes=attributes, **fields | more)


def an_event(name: str, **attributes: Any) -> dict[str, Any]:
    """An event of a span; names with __ for dots."""
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    return {"name": name, "time": NOON.isoformat(), "attributes": told}
