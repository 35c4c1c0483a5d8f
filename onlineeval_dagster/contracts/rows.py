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

    state                  `filtered`: outside the judge's population, so it has no chance
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
        if (self.state == "filtered") != (self.inclusion_probability is None):
            raise ValueError("every response has an inclusion probability unless it was filtered")
        return self


class QuarantinedLine(Contract):
    """A line of the log that is not an event: where it stands, why it was refused, and its text (first 64 KiB)."""

    log_segment: Key
    log_offset: Count
    reason: str
    text: str
    quarantined_at: Instant


class IngestedPart(Contract):
    """What one numbered batch took from one segment, and what became of it. `lines` = accepted + bad, always.

    start, end  byte offsets in the segment, `end` exclusive
    """

    batch: Count
    log_segment: Key
    start_offset: Count
    end_offset: Count
    lines: Count
    accepted: Count
    bad: Count
    ingested_at: Instant
