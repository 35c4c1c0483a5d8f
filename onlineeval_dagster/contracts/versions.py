"""A judge's version beside another one, on the answers that both judged."""

from typing import Literal, Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Amount, Contract, Count, Finite, Instant, Key, Share


class JudgeComparison(Contract):
    """A new version of a judge against an older one, or another judge of its axis, on the answers that both judged.

    Grain: (day of `computed_at`, judge, judge_version, against, against_version). Scores of replicate 0.

    since              the window: answers from then until `computed_at`
    against            name of the judge compared with: the same one, or another of the axis
    design             `sampled`: answers drawn with a known chance, weighted by it; `undesigned`: as they came
    responses, users   the answers compared, and whose they are
    mean               of the scores, in the judge's own scale
    against_mean       of the other version's scores of the same answers
    shift              mean - against_mean; null exactly when `shift_reason` is set
    shift_low, shift_high  its likely range, 95 %, clustered by user
    kappa              Cohen's, with quadratic weights; null exactly when `kappa_reason` is set
    kappa_low, kappa_high  its likely range, 95 %, clustered by user
    same               share of the answers with equal scores
    good_shift         share of good answers by this version less the other's, good from this judge's mark on; null
                       exactly when `good_shift_reason` is set
    good_shift_low, good_shift_high  its likely range, 95 %, clustered by user
    usd_a_verdict, against_usd_a_verdict  mean cost, US dollars; null where no verdict told one
    latency_ms, against_latency_ms  median of a call, milliseconds; null where no verdict told one
    noise, against_noise  noise floor of each: root mean square of what a score moves by when the same answer is judged
                       once more, in the judge's own scale (JudgeReliability); null where too few were
    """

    computed_at: Instant
    since: Instant
    axis: Key
    judge: Key
    judge_version: Key
    against: Key
    against_version: Key
    design: Literal["sampled", "undesigned"]
    responses: Count
    users: Count
    mean: Finite
    against_mean: Finite
    shift: Finite | None = None
    shift_low: Finite | None = None
    shift_high: Finite | None = None
    shift_reason: str | None = None
    kappa: Finite | None = None
    kappa_low: Finite | None = None
    kappa_high: Finite | None = None
    kappa_reason: str | None = None
    same: Share
    usd_a_verdict: Amount | None = None
    against_usd_a_verdict: Amount | None = None
    latency_ms: Amount | None = None
    against_latency_ms: Amount | None = None
    good_shift: Finite | None = None
    good_shift_low: Finite | None = None
    good_shift_high: Finite | None = None
    good_shift_reason: str | None = None
    noise: Amount | None = None
    against_noise: Amount | None = None

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> Self:
        pairs = (
            (self.shift, self.shift_reason),
            (self.kappa, self.kappa_reason),
            (self.good_shift, self.good_shift_reason),
        )
        for value, reason in pairs:
            if (value is None) == (reason is None):
                raise ValueError("there is either a number or the reason why there is none")
        return self
