"""Numbers with their uncertainty, and the answer that there is none yet."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key

Estimand = Literal["product", "window"]
"""`product`: the product's quality (superpopulation, clustered). `window`: this window's responses (finite)."""

Grain = Literal["hour", "day", "week"]
"""Windows of metric points. A week is a calendar week, UTC: seven days from Monday."""


SLICES = ("prompt_version", "variant", "model")
"""Columns of an answer by which every metric is cut, beside `all`."""
REST = "the rest"
"""The value of a slice under which those with the fewest answers of a day or week are put together."""


class Estimate(Contract):
    """A value with its 95 % interval. `n` rows carry information worth `n_effective` independent ones."""

    value: Finite
    low: Finite
    high: Finite
    n: Count
    n_effective: Finite
    method: Key
    estimand: Estimand = "product"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low <= value <= high must hold, got {self.low}, {self.value}, {self.high}")
        return self


class NotEnough(Contract):
    """There is no number: `have` of what is counted, `needed` of it, and why, for a person."""

    have: Count
    needed: Count
    reason: str


class MetricPoint(Contract):
    """One metric in one window of one slice: an estimate, or the reason why there is none. Grain: the first six.

    slice, slice_value  `all`/`all`, or a column of a response and its value
    judge_version       the judge version the numbers rest on, `none` for metrics without a judge
    population          eligible responses in the window; `n` of them were observed
    value, low, high    null exactly when `reason` is set
    days_covered        of a week's seven days, those with answers; null in shorter windows
    """

    metric: Key
    judge_version: Key
    grain: Grain
    window_start: Instant
    slice: Key
    slice_value: Key
    metric_version: Key
    population: Count
    n: Count
    n_effective: Finite | None = None
    value: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    method: Key | None = None
    estimand: Estimand = "product"
    reason: str | None = None
    days_covered: Annotated[int, Field(ge=1, le=7)] | None = None

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a point has either a value or a reason")
        return self


class RollingPoint(Contract):
    """One metric in a rolling window: an estimate, or the reason why there is none. Grain: the first five.

    minutes       length of the window: 1, 5, 60 (each minute one ends) or 1440 (each fifth minute)
    last_minute   start of the window's last minute; the window is over a minute later
    slice         `all`, or a column of a response, of whose values those with most answers of the day are followed
    value, low, high    null exactly when `reason` is set
    """

    metric: Key
    minutes: Annotated[int, Field(ge=1, le=1440)]
    last_minute: Instant
    slice: Key
    slice_value: Key
    metric_version: Key
    n: Count
    n_effective: Finite | None = None
    value: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    method: Key | None = None
    estimand: Estimand = "product"
    reason: str | None = None

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a point has either a value or a reason")
        return self


class DetrendedPoint(Contract):
    """A metric point beside what its series led to expect: see `metrics/detrend.py`. Grain: the first seven.

    value          as in metric_points; null where there is none
    expected       projected from the days before, the point's own day left out
    residual       value - expected
    scale          standard deviation of the residual, the point's own error included, in the metric's unit
    standardised   residual in its own standard deviations; of times and money that of the log ratio
    history_days   days with points that the expectation rests on
    mix_slice      the slice whose changed mix explains most; on day points of all answers only
    mix_part       how much of the value is there because of that mix, against the 28 days before
    reason         why there is no standardised residual; null exactly when there is one
    """

    metric: Key
    judge_version: Key
    grain: Grain
    window_start: Instant
    slice: Key
    slice_value: Key
    metric_version: Key
    value: Finite | None = None
    expected: Finite | None = None
    residual: Finite | None = None
    scale: Finite | None = None
    standardised: Finite | None = None
    history_days: Count
    mix_slice: Key | None = None
    mix_part: Finite | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _standardised_or_reason(self) -> Self:
        if (self.standardised is None) == (self.reason is None):
            raise ValueError("a point has either a standardised residual or a reason")
        return self


class MinuteCount(Contract):
    """Traffic and errors of one minute, one app and prompt version. Grain: the first four.

    prompt_version  `none` where an answer came without
    errors          of the responses, those that failed
    """

    window_start: Instant
    environment: Key
    app: Key
    prompt_version: Key
    responses: Annotated[int, Field(ge=1)]
    errors: Count

    @model_validator(mode="after")
    def _no_more_errors_than_responses(self) -> Self:
        if self.errors > self.responses:
            raise ValueError(f"errors are responses that failed, got {self.errors} of {self.responses}")
        return self


class DeployEffect(Contract):
    """One metric before and after one deploy: the difference with its interval, or the reason why there is none.

    found  `worse`, `better` or `no_clear_change` in the metric's own direction; null where there is no number
    """

    deploy_id: Key
    metric: Key
    judge_version: Key
    deployed_at: Instant
    before: Finite | None = None
    after: Finite | None = None
    difference: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    n_before: Count
    n_after: Count
    found: Literal["worse", "better", "no_clear_change"] | None = None
    reason: str | None = None
