"""Whether a judge still says of the frozen gold set what it said at first."""

from typing import Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key, Share


class JudgeDrift(Contract):
    """A judge's version on the gold set, its latest round beside its first. Grain: (day, judge, version).

    items        gold answers of its axis that it scored twice or more, once where there was one round
    rounds       how often at most
    first_at, latest_at  the first and the latest trial
    models       fingerprints that answered
    shift        mean of latest less first score, in the judge's own scale; null exactly with `shift_reason`
    shift_low, shift_high  its range, 99 %: it is looked at every week
    moved        share of the items with another score
    moved_low, moved_high  its range, 99 %
    noise_moved  upper end of the share that moves when one answer is read twice; null where not measured
    right_first, right_latest  share of the items with the right score, then and now
    drifted      the shift's range leaves out 0, or more moved than noise explains
    """

    computed_at: Instant
    axis: Key
    judge: Key
    judge_version: Key
    items: Count
    rounds: Count
    first_at: Instant
    latest_at: Instant
    models: Count
    shift: Finite | None = None
    shift_low: Finite | None = None
    shift_high: Finite | None = None
    shift_reason: str | None = None
    moved: Share | None = None
    moved_low: Share | None = None
    moved_high: Share | None = None
    noise_moved: Share | None = None
    right_first: Share
    right_latest: Share
    drifted: bool

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> Self:
        if (self.shift is None) == (self.shift_reason is None):
            raise ValueError("there is either a number or the reason why there is none")
        return self
