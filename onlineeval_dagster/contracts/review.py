"""What people are asked to look at, and how well they do it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.contracts.base import Amount, Contract, Count, Finite, Instant, Key, Probability, Share

GOLD = "gold"
"""The stream of labels on gold answers."""


class ReviewTask(Contract):
    """One answer that people are asked to rate on one axis. Grain: (response_id, axis).

    stream                 `audit`: drawn at random, the truth; `targeted`: it looked wrong, and is in no estimate
    inclusion_probability  of the audit; null for a targeted one, which was not drawn
    reason                 why it is there: `random`, or what looked wrong
    raters                 people who are asked
    labels                 people who have answered
    """

    response_id: Key
    response_at: Instant
    axis: Key
    stream: Literal["audit", "targeted"]
    inclusion_probability: Probability | None = None
    reason: Literal["random", "flagged", "complaint", "low_score", "judges_disagree", "unsure"]
    raters: int = Field(ge=1)
    labels: Count = 0

    @model_validator(mode="after")
    def _the_audit_has_a_chance(self) -> Self:
        if (self.stream == "audit") == (self.inclusion_probability is None):
            raise ValueError("an audit task has an inclusion probability, a targeted one has none")
        return self


class GoldAnswer(Contract):
    """An answer whose right score is known, kept as it was found. Grain: (response_id, axis). In no estimate.

    response_id  of an answer of the product, or of an item of gold.toml (`gold:` and a hash)
    response_at  when the answer was given; of an item of gold.toml when it was first seen
    source       `people`: two or more people of the audit gave it this score and nobody another; `catalog`
    people       who agreed; 0 for the catalog's
    """

    response_id: Key
    response_at: Instant
    axis: Key
    score: Finite
    source: Literal["people", "catalog"]
    people: Count
    frozen_at: Instant


class ReviewerQuality(Contract):
    """How one person's labels on one axis stand beside the others'. Grain: (day of `computed_at`, reviewer, axis).

    since, computed_at  the window: labels of answers in it; of several of one person on an answer the last counts
    labels         answers labelled; the gold ones are not among them
    shared         of these, answers that others labelled as well
    others         people who did
    same           share of the pairs with another person with equal scores; null exactly with `same_reason`
    same_low, same_high    its likely range, 95 %
    kappa          Cohen's, quadratic weights, against the others; null where it is not defined
    kappa_low, kappa_high  its likely range, 95 %
    lean           mean of this person's score less the others', in the axis's own scale: above 0 is lenient
    gold           answers with a known right score
    gold_right     share of them that got it the first time; null exactly with `gold_reason`
    gold_low, gold_high    its likely range, 95 %
    timed          labels that the review pages timed, from the task's showing to its label
    seconds        their median; null below 6 timed labels
    seconds_low, seconds_high  its likely range, 95 %
    """

    computed_at: Instant
    since: Instant
    reviewer: Key
    axis: Key
    labels: Count
    shared: Count
    others: Count
    same: Share | None = None
    same_low: Share | None = None
    same_high: Share | None = None
    same_reason: str | None = None
    kappa: Finite | None = None
    kappa_low: Finite | None = None
    kappa_high: Finite | None = None
    lean: Finite | None = None
    gold: Count
    gold_right: Share | None = None
    gold_low: Share | None = None
    gold_high: Share | None = None
    gold_reason: str | None = None
    timed: Count
    seconds: Amount | None = None
    seconds_low: Amount | None = None
    seconds_high: Amount | None = None

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> Self:
        for value, reason in ((self.same, self.same_reason), (self.gold_right, self.gold_reason)):
            if (value is None) == (reason is None):
                raise ValueError("there is either a number or the reason why there is none")
        return self
