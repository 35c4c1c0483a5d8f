"""Rows the pipeline itself derives and keeps in the lake."""

from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key, Probability

SignalKind = Literal["implicit", "explicit", "automated"]
SelectionState = Literal["filtered", "not_selected", "selected", "shed"]


class Signal(Contract):
    """One scored observation about a response. Grain: (response_id, signal).

    score       on one scale in [-1, 1]; null where the signal only flags
    raw_value   what was seen before scaling: 4 of 5 stars, the detector's own number
    flagged     True where the sampler must select the response
    version     of the detector, or of the score table entry
    arrived_at  when it became known; a late action has a late arrival
    """

    response_id: Key
    response_at: Instant
    signal: Key
    kind: SignalKind
    score: float | None = Field(default=None, ge=-1, le=1)
    raw_value: Finite | None = None
    flagged: bool = False
    version: Key
    occurred_at: Instant
    arrived_at: Instant


class Selection(Contract):
    """For one response and one judge: selected or not, why, and with which chance. Written once, never rewritten.

    judge                  or `review`: the responses that people look at
    stratum                `targeted`: not drawn, but opened by a flag that came after the decision; shown and followed
                           up, in no estimate. It stands beside the response's row of the sample
    state                  `filtered`: outside the judge's population, so it has no chance; `shed`: drawn, and not paid
    inclusion_probability  in (0, 1] for every response that could have been selected
    policy_version         hash of the sampling policy and the judge's rates in force
    """

    response_id: Key
    response_at: Instant
    judge: Key
    axis: Key
    judge_version: Key
    stratum: Key
    inclusion_probability: Probability | None = None
    state: SelectionState
    policy_version: Key
    selected_at: Instant

    @model_validator(mode="after")
    def _chance_unless_filtered(self) -> Self:
        has_none = self.state == "filtered" or self.stratum == "targeted"
        if has_none != (self.inclusion_probability is None):
            raise ValueError("every response has an inclusion probability unless it was filtered or is targeted")
        return self


class QuarantinedLine(Contract):
    """A line of the log that is not an event: where it stands, why it was refused, and its text (first 64 KiB)."""

    log_segment: Key
    log_offset: Count
    reason: str
    text: str
    quarantined_at: Instant


class IngestedPart(Contract):
    """What one numbered batch took from one segment, and what became of it. `lines` = accepted + bad + erased, always.

    start, end  byte offsets in the segment, `end` exclusive
    erased      lines left out because a tombstone stands for whom they speak of; null in rows of old
    """

    batch: Count
    log_segment: Key
    start_offset: Count
    end_offset: Count
    lines: Count
    accepted: Count
    bad: Count
    ingested_at: Instant
    erased: Count | None = None


class Tombstone(Contract):
    """Who or what was erased, so that it does not come back. Never the id itself.

    subject       SHA-256 of the home's secret salt and the id
    kind          `guest`: a session of an erased user; its rows that name no user belong to that user
    before        rows that occurred before this are refused; a response or trace stays erased whatever the time
    """

    subject: Key
    kind: Literal["user", "session", "guest", "response", "trace"]
    before: Instant
    requested_at: Instant


class TraceState(Contract):
    """What became of one trace. Grain: one `trace_id`.

    trace_id      of a log record without one, its event_id
    first_at      when its first span began; the row lies on that day
    last_at       when the last of its spans arrived
    state         `response`: at least one was made; `no_content`: none, for `reason`; `waiting`: it may not be complete
    reason        why there is no response, or what is waited for
    response_id   of its first response
    responses     how many were made of it
    spans         how many are known, log records among them
    late_spans    of these, those that arrived after its response was made; the response is not rewritten
    assembled_at  when its response was made; null before
    """

    trace_id: Key
    first_at: Instant
    last_at: Instant
    state: Literal["response", "no_content", "waiting"]
    reason: str | None = None
    response_id: Key | None = None
    responses: Count = 0
    spans: Count
    late_spans: Count = 0
    assembled_at: Instant | None = None


class Pull(Contract):
    """One reading of one configured source (sources.toml). Grain: (source, started_at).

    events, bad            events appended to the log, and rows that could not be read: ingest quarantines those
    cursor_from, cursor_to how far the source had been read before and after, in words
    error                  why it broke off; what was counted until then is in the log
    """

    source: Key
    dialect: Key
    started_at: Instant
    events: Count
    bad: Count
    cursor_from: str | None = None
    cursor_to: str | None = None
    error: str | None = None
