"""The kinds of line the log holds: what production, users, judges and people say."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from onlineeval_dagster.contracts.base import Amount, Count, Finite, Instant, Key, LogEvent, Probability


class Response(LogEvent):
    """One LLM answer served in production, with its request and context. Grain: one `response_id`.

    query, response     what the user asked and was shown; `response` may be empty when `error` says why
    context             retrieved text the answer should rest on
    conversation        earlier turns, oldest first, as text
    reference           a right answer, where the product knows one: what a judge may measure against
    latency_ms          request to last token, milliseconds
    cost_usd            price of the call, US dollars
    new_user            True on a user's first session
    """

    kind: Literal["response"] = "response"
    response_id: Key
    session_id: Key | None = None
    user_id: Key | None = None
    query: str
    response: str
    context: str | None = None
    conversation: str | None = None
    reference: str | None = None
    prompt_version: Key | None = None
    variant: Key | None = None
    model: Key | None = None
    provider: Key | None = None
    latency_ms: Amount | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    finish_reason: str | None = None
    error: str | None = None
    device: Key | None = None
    location: Key | None = None
    language: Key | None = None
    new_user: bool | None = None


class Action(LogEvent):
    """What a user did with a response: copy, regenerate, thumbs_up, star_rating, task_completed, …

    action  its name, a key of `signals.toml`
    value   its number where it has one: 4 of a `star_rating`, seconds of a `dwell`
    text    its words where it has some: a comment, a follow-up
    """

    kind: Literal["action"] = "action"
    response_id: Key
    action: Key
    value: Finite | None = None
    text: str | None = None
    session_id: Key | None = None
    user_id: Key | None = None


class Deploy(LogEvent):
    """A change put into production: a release, a prompt version, a model, a configuration.

    traffic_share  share of the traffic that it meets from `occurred_at` on, in (0, 1]
    """

    kind: Literal["deploy"] = "deploy"
    deploy_id: Key
    prompt_version: Key | None = None
    model: Key | None = None
    variant: Key | None = None
    traffic_share: Probability = 1.0
    description: str | None = None


class Event(LogEvent):
    """Any other thing worth knowing when numbers move: a campaign, an outage, a page load time."""

    kind: Literal["event"] = "event"
    name: Key
    value: Finite | None = None
    ended_at: Instant | None = None
    description: str | None = None


class Exposure(LogEvent):
    """A unit met a variant of an experiment, with the propensity the assignment gave it.

    assignment_version  changes when units may have moved between variants; null where the product assigns by itself
    """

    kind: Literal["exposure"] = "exposure"
    experiment: Key
    variant: Key
    unit: Literal["user", "session"] = "user"
    unit_id: Key
    propensity: Probability
    response_id: Key | None = None
    assignment_version: Key | None = None


class Label(LogEvent):
    """What a person said of a response on an axis.

    score                  on the axis's scale (1–3 unless the judge file says otherwise)
    response_at            when the response occurred; places the row on its response's day
    inclusion_probability  of the response in the review sample; None where no design is stated: shown, never estimated
    stream                 `audit` (random), `targeted`, or `gold`: the right score was known, in no estimate
    """

    kind: Literal["label"] = "label"
    response_id: Key
    axis: Key
    score: Finite
    reviewer: Key
    response_at: Instant | None = None
    inclusion_probability: Probability | None = None
    stream: Literal["audit", "targeted", "gold"] | None = None
    note: str | None = None


class Verdict(LogEvent):
    """What one judge version said of a response: a score, or an error with its kind. Append-only.

    Key: (response_id, axis, judge, judge_version, replicate, attempt). `attempt` counts retries, `replicate` repeats;
    metrics use replicate 0. Exactly one of `score` and `error_kind` is set: a reply that cannot be read is an error,
    never a middle score.

    expected_score         mean of the scale under the chances that the model gave its scores, where it told them
    error_kind             `shed`: not asked, as the judge's budget of the day was used up
    inclusion_probability  of the selection that asked for it; None on imports without a design
    latency_ms, cost_usd   of the call, milliseconds and US dollars
    """

    kind: Literal["verdict"] = "verdict"
    response_id: Key
    response_at: Instant | None = None
    axis: Key
    judge: Key
    judge_version: Key
    replicate: Count = 0
    attempt: Count = 0
    score: Finite | None = None
    score_label: str | None = Field(default=None, max_length=256)
    expected_score: Finite | None = None
    error_kind: (
        Literal["unreadable", "empty", "refused", "filtered", "timeout", "endpoint", "too_long", "shed"] | None
    ) = None
    error: str | None = None
    rationale: str | None = None
    inclusion_probability: Probability | None = None
    stratum: Key | None = None
    model: Key | None = None
    latency_ms: Amount | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    request_id: str | None = None
    fingerprint: str | None = None

    @model_validator(mode="after")
    def _score_or_error(self) -> Self:
        if (self.score is None) == (self.error_kind is None):
            raise ValueError("a verdict has either a score or an error_kind, never both and never neither")
        return self


class Span(LogEvent):
    """One step of a trace, as OpenTelemetry tells it; or an event of its own that speaks of one. Grain: one `event_id`.

    Kept as it came: responses, verdicts and labels are made of spans later (room `traces`). `event_id` is
    `<trace_id>:<span_id>`, so a span that is sent again counts once; that of a log record comes from its content.

    trace_id, span_id  hex, lower case; of a log record those of the span it speaks of, where it says so
    parent_span_id     null for a root
    record             `span`, or `log` for an event such as gen_ai.evaluation.result
    occurred_at        when it began
    ended_at           when it ended; null for a log record
    scope              name of the instrumentation that wrote it
    service            service.name of the resource
    user_id, session_id  taken out of the attributes, so that privacy and erasure find them
    attributes         the span's own by their names; those of its resource under `resource`
    events             JSON list of {name, time, attributes}
    links              JSON list of {trace_id, span_id, attributes}
    """

    kind: Literal["span"] = "span"
    record: Literal["span", "log"] = "span"
    trace_id: Key | None = None
    span_id: Key | None = None
    parent_span_id: Key | None = None
    name: str
    ended_at: Instant | None = None
    status: Literal["ok", "error"] | None = None
    status_message: str | None = None
    scope: str | None = None
    service: str | None = None
    user_id: Key | None = None
    session_id: Key | None = None
    events: list[JsonValue] = Field(default_factory=list)
    links: list[JsonValue] = Field(default_factory=list)

    @model_validator(mode="after")
    def _a_span_has_its_ids(self) -> Self:
        if self.record == "span" and (self.trace_id is None or self.span_id is None):
            raise ValueError("a span has a trace_id and a span_id; send both")
        return self


AnyEvent = Response | Action | Deploy | Event | Exposure | Label | Verdict | Span
EVENTS: dict[str, type[LogEvent]] = {
    "response": Response,
    "action": Action,
    "deploy": Deploy,
    "event": Event,
    "exposure": Exposure,
    "label": Label,
    "verdict": Verdict,
    "span": Span,
}
"""The log's kinds by name."""

DAY_OF: Mapping[str, tuple[str, ...]] = {
    kind: ("response_at", "occurred_at") if kind in ("label", "verdict") else ("occurred_at",) for kind in EVENTS
}
"""The times that place an event of a kind on its day: the first that is not null."""
