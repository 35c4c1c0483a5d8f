"""What a product may say of each kind of event: the contracts' fields by name, as keyword arguments.

A test keeps them equal to `contracts.events`. On the standard library alone: products import it.
"""

from datetime import datetime
from typing import Any, Literal, TypedDict


class Common(TypedDict, total=False):
    """Every kind: what the client sets itself unless it is told."""

    event_id: str
    occurred_at: datetime | str
    received_at: datetime | str
    environment: str
    app: str
    attributes: dict[str, Any]


class ResponseFields(Common, total=False):
    session_id: str | None
    user_id: str | None
    context: str | None
    conversation: str | None
    reference: str | None
    prompt_version: str | None
    variant: str | None
    model: str | None
    provider: str | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    finish_reason: str | None
    error: str | None
    device: str | None
    location: str | None
    language: str | None
    new_user: bool | None


class ActionFields(Common, total=False):
    value: float | None
    text: str | None
    session_id: str | None
    user_id: str | None


class DeployFields(Common, total=False):
    prompt_version: str | None
    model: str | None
    variant: str | None
    traffic_share: float
    description: str | None


class EventFields(Common, total=False):
    value: float | None
    ended_at: datetime | str | None
    description: str | None


class ExposureFields(Common, total=False):
    unit: Literal["user", "session"]
    response_id: str | None
    assignment_version: str | None


def known_fields(kind: type) -> frozenset[str]:
    """The fields of a kind that its `track_…` takes beside the required ones."""
    return frozenset(kind.__annotations__)


def plain_fields(kind: type) -> frozenset[str]:
    """Those of them that need no second look: they may be null, or are nothing that decides where a line goes."""
    return known_fields(kind) - known_fields(Common) - {"unit", "traffic_share"}
