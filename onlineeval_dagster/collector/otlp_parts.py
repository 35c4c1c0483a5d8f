"""What both forms of OTLP, protobuf and JSON, are read into: the parts of a span or a log record, not yet judged."""

import base64
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

DEEPEST = 32
"""How many lists and maps may stand within each other in an attribute."""

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = (None, "ok", "error")


class Unfit(ValueError):
    """One span or record cannot be taken; the message names field, value and remedy. Its neighbours can."""


@dataclass(slots=True, kw_only=True)
class Origin:
    """Where spans come from: their resource's attributes and their scope. Shared by all spans of a scope.

    head  what an event says because of it, once somebody has worked it out
    """

    resource: dict[str, Any]
    scope: str = ""
    scope_version: str = ""
    head: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class SpanParts:
    """A span as it was sent. Ids are hex or empty, times nanoseconds since 1970, 0 for none."""

    origin: Origin
    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start: int
    end: int
    kind: int
    status: int
    status_message: str
    trace_state: str
    dropped: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]
    links: list[tuple[str, str, dict[str, Any]]]


@dataclass(slots=True, kw_only=True)
class LogParts:
    """A log record as it was sent; `trace_id` and `span_id` are hex or empty."""

    origin: Origin
    name: str
    time: int
    trace_id: str
    span_id: str
    attributes: dict[str, Any]
    body: Any


def finite(value: float) -> float | str:
    """A number as JSON has it; what JSON has not as the word OTLP's JSON uses."""
    if isfinite(value):
        return value
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def base64_text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def too_deep() -> Unfit:
    return Unfit(f"attributes: more than {DEEPEST} lists and maps within each other; send the inner ones as text")
