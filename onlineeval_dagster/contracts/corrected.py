"""What people would say of all answers, estimated from the judge's verdicts and the labels of some."""

from typing import Literal, Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key


class CorrectedPoint(Contract):
    """One metric of one judge version, corrected by people's labels. Grain: the first six.

    grain          `day`: the verdicts of `as_of` with the labels of 28 days; `week`: those of the calendar week up to
                   `as_of`, with its own labels where there are enough; `days28`: those of the 28 days up to `as_of`
    as_of, window_start, labels_from  midnight UTC at which the last day, the window, the days of the labels begin
    labels         that the correction rests on
    calibration_version  12 hex digits over the judge's version, the days of the labels and the labels themselves
    raw, raw_low, raw_high  the judge's own weighted value, uncorrected, and its likely range by the verdicts alone
    power          how much of the judge's score is used: 0 is labels alone
    value, low, high, error  null exactly when `reason` is set
    own_error      the part of `error` that is of this window's verdicts; the rest is the correction's, the same in
                   all points of one calibration version
    change, change_low, change_high  on the same days a week before, with this point's correction for both, so that
                   its error cancels; null where the labels do not show that the judge's score tells anything
    method         `ppi` (means), `beta-cells` or `rogan-gladen` (rates); with `-borrowed` where the labels are of a
                   longer window, with `-pooled` where they are of all slices; `uncorrected` where only `raw` is known
    """

    metric: Key
    judge_version: Key
    grain: Literal["day", "week", "days28"]
    as_of: Instant
    slice: Key
    slice_value: Key
    window_start: Instant
    metric_version: Key
    labels: Count
    labels_from: Instant
    raw: Finite
    raw_low: Finite | None = None
    raw_high: Finite | None = None
    power: Finite | None = None
    value: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    error: Finite | None = None
    own_error: Finite | None = None
    change: Finite | None = None
    change_low: Finite | None = None
    change_high: Finite | None = None
    calibration_version: Key | None = None
    method: Key
    reason: str | None = None

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a point has either a value or a reason")
        return self
