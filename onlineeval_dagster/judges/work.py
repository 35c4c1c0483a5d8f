"""What goes into a judge and what comes out of one: the values this room passes around."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

ErrorKind = Literal["unreadable", "empty", "refused", "filtered", "timeout", "endpoint", "too_long", "shed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """One response that one judge was asked to score. `attempt` counts the verdicts it already has from this judge."""

    response_id: str
    response_at: datetime
    query: str
    response: str
    context: str | None = None
    conversation: str | None = None
    reference: str | None = None
    environment: str = "production"
    app: str = "default"
    inclusion_probability: float | None = None
    stratum: str | None = None
    attempt: int = 0
    replicate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reply says: a score of the scale, or the kind of error with a message. Exactly one of the two.

    expected_score  the mean of the scale under the chances that the model gave its scores; None where it told none
    """

    score: int | None = None
    label: str | None = None
    rationale: str | None = None
    expected_score: float | None = None
    error_kind: ErrorKind | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of a reply, and what might have stood in its place, itself included: token → logarithm of its chance."""

    text: str
    chances: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an endpoint answered. `tries` counts the HTTP calls it took, `latency_ms` is of the last one.

    finish_reason  as the endpoint says; `refusal` where the model filled its refusal field instead of an answer
    tokens         of the text with their chances, where the judge file asked for `logprobs`
    unsettled_usd  what earlier calls that brought nothing may have cost at most
    """

    text: str
    finish_reason: str | None
    latency_ms: float
    tries: int = 1
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    request_id: str | None = None
    fingerprint: str | None = None
    tokens: tuple[Token, ...] = ()
    unsettled_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that brought no reply, for this response only. The message has no prompt, answer or key in it.

    may_have_cost  the endpoint may have worked, and charged, for it
    """

    kind: ErrorKind
    message: str
    latency_ms: float
    tries: int = 1
    request_id: str | None = None
    may_have_cost: bool = False
    unsettled_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """A call that the endpoint did not serve: down, overloaded or too slow. Whether it is the response's fault shows
    only beside other calls.

    is_limit      it was told to slow down (HTTP 429)
    wait_seconds  that the endpoint asked for
    """

    failure: Failure
    is_limit: bool = False
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The endpoint will refuse every call of this judge alike: stop asking, why, and for how long at least."""

    reason: str
    at_least_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shed:
    """No call was made: the judge's budget of the day is used up."""

    message: str


Call = Reply | Failure | Busy | Paused
"""What one HTTP call brought."""

Outcome = Reply | Failure | Paused | Shed
"""What asking for one response brought, whatever it took."""

Messages = list[dict[str, Any]]
