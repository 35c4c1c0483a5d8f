"""How far raters agree, and what a judge's score is worth in people's scores."""

from typing import Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key


class _Measured(Contract):
    """A number with its range, or the reason why there is none."""

    computed_at: Instant
    since: Instant
    axis: Key
    measure: Key
    value: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    n: Count
    users: Count
    method: Key | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) == (self.reason is None):
            raise ValueError("there is either a number or the reason why there is none")
        return self


class ReviewerAgreement(_Measured):
    """People against people on the same answers of the audit. Grain: (day of `computed_at`, axis, measure).

    since, computed_at  the window: labels of answers in it; of several of one person on an answer the last counts
    measure    `raw`, `kappa`, `quadratic_kappa`, `ac1`, `alpha`, `spearman`, `kendall`, `pearson`
    low, high  95 %, clustered by the answer's user
    n, users   answers that two people or more rated, and whose they are
    reviewers  people who rated any of these
    """

    reviewers: Count


class JudgeAgreement(_Measured):
    """A judge version against people, on the audit. Grain: (day of `computed_at`, judge, judge_version, slice,
    slice_value, measure).

    since, computed_at  the window: labels of answers in it; of several of one person on an answer the last counts
    slice, slice_value  `all`, or `prompt_version`, `language`, `length` (of the answer, characters) and its value
    measure    of agreement: `raw`, `kappa`, `quadratic_kappa`, `ac1`, `alpha`, `spearman`, `kendall`, `pearson`;
               `share_2_3`: of pairs in which the judge gives 2 and people 3; `lenience`: mean of judge less people.
               At equal scores of people, how much higher the judge scores `verbosity`: an answer twice as long,
               `self_preference`: one of its own model family. `drift`: at equal scores of the judge, how much higher
               people score in the last 7 days than in those before
    low, high  95 % (`drift`: 99 %), clustered by user, each answer weighted by one over its chance
    n, users   pairs of a verdict and a label, and whose answers they are
    """

    judge: Key
    judge_version: Key
    slice: Key
    slice_value: Key


class JudgeCalibration(Contract):
    """What people say where a judge version gave one of its scores. Grain: (day of `computed_at`, judge,
    judge_version, judge_score).

    since, computed_at  the window: audit labels of answers in it
    calibration_version  the one that corrected points of these 28 days name
    expected       people's score to expect, a map that never falls (isotonic), fitted to all labels
    block_labels   labels that this step of the map rests on
    out_of_fold    mean of the same map's values fitted without each answer's own users; null where there are too few
    people, people_low, people_high  people's weighted mean, its 95 % limits null where one label is all
    labels         answers with a label to which the judge gave this score
    """

    computed_at: Instant
    since: Instant
    axis: Key
    judge: Key
    judge_version: Key
    calibration_version: Key
    judge_score: Finite
    expected: Finite
    block_labels: Count
    out_of_fold: Finite | None = None
    people: Finite
    people_low: Finite | None = None
    people_high: Finite | None = None
    labels: Count
