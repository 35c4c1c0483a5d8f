"""What a week of an experiment said: each metric, arm and segment, and the decision."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key, Share


class ExperimentResult(Contract):
    """One metric of one treatment against the control, up to the end of a week. Grain: the first six and said_by.

    as_of           midnight UTC after the week's last day; everything since the start is in the numbers
    slice, slice_value  `all`/`all`, or a segment named before the start
    week            whole weeks since the start
    experiment_version  changes with anything that decides; what changed while it ran is a new version
    units, control_units  distinct units in the arms, those that met several arms left out
    value, control_value  unadjusted; null exactly when `reason` is set
    difference, low, high  adjusted by the covariates; the interval that holds at this look
    lift, lift_low, lift_high  the same relative to the control's value; null where that cannot be told from nothing
    method          `t`, `boundary` (group-sequential), `always_valid`, or `score` (two rates of one answer a unit, at a
                    planned look); `level` is its level after sharing alpha
    p_value         of that method; always-valid ones are the smallest so far
    adjusted_p      over secondary metrics and treatments, by the experiment's `family`; null for other roles and for
                    segments
    counts          of the same rows: found, as the primary won first and nothing of the trust gate failed
    posterior_lift, posterior_low, posterior_high  under the named prior: what a win is worth without its luck
    chance_better, expected_loss  posterior; the loss, as a share, of shipping what is worse
    loss_if_kept, chance_negligible  posterior: the loss of not shipping what is better, the chance of a lift too small
                    to matter
    removed         share of the variance that covariates took out
    state           of a guardrail
    shrunk_lift, interaction_p  of a segment: drawn towards all, and whether segments differ at all
    outcome, rule, because  on rows of the primary metric over all: the decision, the rule that fired, what it fired on
    broken          what of the trust gate failed, on the same rows; null where nothing did
    several         units that met several arms, on the same rows
    said_by         `counted`, `judge` (its word, equal errors in both arms taken for granted) or `people` (each arm's
                    judged value corrected by its own labels; units are those with a label)
    decides         whether decisions rest on this row of the metric
    bias_low, bias_high  of people's rows: the judge may favour the treatment by so much, in the metric's unit; what
                    lies outside is ruled out at 95 %
    noise           lift that chance alone reaches one time in twenty, by re-splits of the same units
    noise_hits      share of these re-splits with p < .05; 5 % is right
    planned_units   of both arms at the planned end, where the decision stands
    held            what of the trust gate held, with its numbers, where `broken` stands
    """

    experiment: Key
    as_of: Instant
    variant: Key
    metric: Key
    slice: Key
    slice_value: Key
    week: Annotated[int, Field(ge=1)]
    experiment_version: Key
    role: Literal["primary", "secondary", "guardrail"]
    units: Count
    control_units: Count
    value: Finite | None = None
    control_value: Finite | None = None
    difference: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    lift: Finite | None = None
    lift_low: Finite | None = None
    lift_high: Finite | None = None
    level: Share
    method: Literal["t", "boundary", "always_valid", "score"]
    p_value: Share | None = None
    adjusted_p: Share | None = None
    posterior_lift: Finite | None = None
    posterior_low: Finite | None = None
    posterior_high: Finite | None = None
    chance_better: Share | None = None
    expected_loss: Finite | None = None
    removed: Finite | None = None
    state: Literal["improved", "pass", "harm_within_margin", "at_risk", "breach"] | None = None
    shrunk_lift: Finite | None = None
    interaction_p: Share | None = None
    reason: str | None = None
    outcome: Literal["ship", "do_not_ship", "keep_running", "stop_for_harm", "no_decision"] | None = None
    rule: str | None = None
    because: str | None = None
    broken: str | None = None
    several: Count | None = None
    said_by: Literal["counted", "judge", "people"] | None = None
    decides: bool | None = None
    bias_low: Finite | None = None
    bias_high: Finite | None = None
    noise: Finite | None = None
    noise_hits: Share | None = None
    planned_units: Count | None = None
    held: str | None = None
    counts: bool | None = None
    loss_if_kept: Finite | None = None
    chance_negligible: Share | None = None

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a result has either a value or a reason")
        return self
