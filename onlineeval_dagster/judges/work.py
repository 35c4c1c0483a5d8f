"""What goes into a judge and what comes out of one: the values this room passes around."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

ErrorKind = Literal["unreadable", "empty", "refused", "filtered", "timeout", "endpoint", "too_long"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """One response that one judge was asked to score. `attempt` counts the verdicts it already has from this judge."""

    response_id: str
    response_at: datetime
    query: str
    response: str
    context: str | None = None
    conversation: str | None = None
    environment: str = "production"
    app: str = "default"
    inclusion_probability: float | None = None
    stratum: str | None = None
    attempt: int = 0
    replicate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reply says: a score of the scale, or the kind of error with a message. Exactly one of the two."""

    score: int | None = None
    label: str | None = None
    rationale: str | None = None
    error_kind: ErrorKind | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an endpoint answered. `tries` counts the HTTP calls it took, `latency_ms` is of the last one.

    finish_reason  as the endpoint says; `refusal` where the model filled its refusal field instead of an answer
    """

    text: str
    finish_reason: str | None
    latency_ms: float
    tries: int
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    request_id: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that brought no reply, for this response only. The message has no prompt, answer or key in it."""

    kind: ErrorKind
    message: str
    latency_ms: float
    tries: int
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The endpoint will refuse every call of this judge alike: stop asking, and why."""

    reason: str


Outcome = Reply | Failure | Paused
Messages = list[dict[str, Any]]
