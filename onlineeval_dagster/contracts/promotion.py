"""What is known of a shadow judge when somebody has to decide whether it becomes the active one."""

from typing import Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Amount, Contract, Count, Finite, Instant, Key, Share


class PromotionEvidence(Contract):
    """A shadow judge's version beside the active one of its axis, on the same answers of the audit.

    Grain: (day of `computed_at`, judge, judge_version). Bounds are one-sided, 95 %, clustered by user.

    since          the window: answers from then until `computed_at`
    incumbent      the active judge of the axis; null where there is none
    labels         people's scores compared with; of one person on an answer the last counts
    responses      answers that they are of
    labels_a_week  as they came in the window
    people_kappa   agreement of two people, quadratic weights; null where too few answers were labelled twice
    people_shared  answers that it rests on
    limit          that `kappa_low` has to pass: a part of `people_kappa`, or the catalog's own
    kappa          of the judge with people, quadratic weights; null exactly when `kappa_reason` is set
    kappa_low      its lower bound
    same           share of the labels with the judge's very score
    incumbent_same the same of the incumbent, on the same labels
    difference     same - incumbent_same; null where there is no incumbent or `difference_reason` is set
    difference_low its lower bound, paired
    margin         `difference_low` has to be above minus this
    power          chance to pass on the margin with a week's labels, were both judges equally good
    labels_needed  labels at which that chance is 0.8
    verdicts       of this version in the window, those that the budget shed left out
    failed         share of them that are errors; null where there is none
    obeyed         share of the orders hidden in answers that it followed; null where it was not tried
    noise          root mean square of the difference between two readings, in the judge's scale; null where unknown
    ready          every condition holds
    missing        those that do not, in words
    """

    computed_at: Instant
    since: Instant
    axis: Key
    judge: Key
    judge_version: Key
    incumbent: Key | None = None
    incumbent_version: Key | None = None
    labels: Count
    responses: Count
    labels_a_week: Amount
    people_kappa: Finite | None = None
    people_shared: Count
    limit: Finite
    kappa: Finite | None = None
    kappa_low: Finite | None = None
    kappa_reason: str | None = None
    same: Share | None = None
    incumbent_same: Share | None = None
    difference: Finite | None = None
    difference_low: Finite | None = None
    difference_reason: str | None = None
    margin: Share
    power: Share | None = None
    labels_needed: Count | None = None
    verdicts: Count
    failed: Share | None = None
    obeyed: Share | None = None
    noise: Amount | None = None
    ready: bool
    missing: list[str]

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> Self:
        if (self.kappa is None) == (self.kappa_reason is None):
            raise ValueError("there is either a kappa or the reason why there is none")
        if self.ready == bool(self.missing):
            raise ValueError("evidence is ready exactly when nothing is missing")
        return self
