"""What people are asked to look at."""

from typing import Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Instant, Key, Probability


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
