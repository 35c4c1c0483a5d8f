"""Means that people would give, from many judged responses and the few of them that people labelled.

    value(lambda) = labelled mean of the labels + lambda * (judged mean - labelled mean of the judge's scores)

PPI++ (Angelopoulos, Duchi, Zrnic 2023, arXiv:2311.01453, section 6): lambda is the one with the smallest variance, so a
useless judge costs nothing and a good one saves labels. Labels are nested in the judged sample (two phases: Sarndal,
Swensson, Wretman 1992, chapter 9), both with known chances, both of users who come with several responses. So what is
added up is each user's influence on the value, and everything follows from moments (review/label_moments). Where labels
of a kind are rare the error is skewed, and so is the interval (review/skewed); of fewer than five nothing can be said.

Coverage and width by simulation: docs/corrected.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from onlineeval_dagster.review.label_moments import (
    JUDGED,
    LABEL,
    LABELLED,
    LABELLED_SCORE,
    SCORE,
    Floats,
    LabelMoments,
    Whole,
)
from onlineeval_dagster.review.skewed import NEEDED_RARE, Skewed

NEEDED_LABELS = 30
TOO_FEW_LABELS = "too few labels"
TOO_FEW_RARE = "too few labels of the rarer kind"
NO_SPREAD = "all labels are equal"
_DEGREES_OF_RARE = 4
"""Degrees of freedom of a label of the rarer kind. With those of users alone 93.9 % of scores at .92 held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Columns with an entry a group. Where not `answered`, `reason` says why and the numbers are NaN.

    own      the part of `error` that is of this window's verdicts alone; the rest is the correction's, which windows
             with the same correction share
    degrees  of freedom; third, rare, rare_unit: what bends the limits (review/skewed.Skewed). NaN of rates by cells
    power    lambda: how much of the judge's score is used; 0 is labels alone
    raw, raw_low, raw_high  the judge's own weighted mean with its limits: uncorrected
    labels   how many people's scores it rests on
    """

    value: Floats
    low: Floats
    high: Floats
    error: Floats
    own: Floats
    degrees: Floats
    third: Floats
    rare: Floats
    rare_unit: Floats
    power: Floats
    raw: Floats
    raw_low: Floats
    raw_high: Floats
    answered: NDArray[np.bool_]
    reason: NDArray[np.object_]
    labels: Whole


def without_shape(groups: int) -> dict[str, Floats]:
    """What bends the limits of means, for numbers whose limits are made in another way."""
    return {name: np.full(groups, np.nan) for name in ("degrees", "third", "rare", "rare_unit")}


def corrected_means(moments: LabelMoments, *, borrowed: LabelMoments | None = None, level: float = 0.95) -> Corrected:
    """The mean label with its interval, from the linearised variance and skew clustered by user.

    borrowed  labels of another, longer window (28 days, one judge version), group by group: then `moments` gives the
              judged mean only, and the correction's own error is part of the interval
    """
    labelled = moments if borrowed is None else borrowed
    with np.errstate(divide="ignore", invalid="ignore"):
        return _answer(moments, labelled, level, is_nested=borrowed is None)


def difference(first: Corrected, second: Corrected, *, level: float = 0.95) -> Corrected:
    """First minus second, of groups without common users, each with its own correction: a judge may flatter one arm.

    Student's limits: two skews take each other away, and where they do not the windows that have a number are wide.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.hypot(first.error, second.error)
        raw_error = np.hypot(first.raw_high - first.raw_low, second.raw_high - second.raw_low) / 2
        weight = first.error**2 / error**2
        degrees = 1 / (weight**2 / (first.labels - 2) + (1 - weight) ** 2 / (second.labels - 2))  # Welch
    value, raw = first.value - second.value, first.raw - second.raw
    half = _quantile(degrees, level) * error
    return Corrected(
        value=value,
        low=value - half,
        high=value + half,
        error=error,
        own=np.hypot(first.own, second.own),
        degrees=degrees,
        third=np.zeros_like(value),
        rare=np.full_like(value, np.inf),
        rare_unit=np.full_like(value, np.inf),
        power=np.full_like(value, np.nan),
        raw=raw,
        raw_low=raw - raw_error,
        raw_high=raw + raw_error,
        answered=first.answered & second.answered,
        reason=np.where(first.answered, second.reason, first.reason),
        labels=first.labels + second.labels,
    )


def p_values(found: Corrected, *, null: float = 0.0) -> Floats:
    """Two-sided chance of a value this far from `null`: below 1 - level exactly where the interval leaves it out.

    NaN of rates by cells, and where there is no number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(found.degrees >= 1, _skewed(found).p_values(null), np.nan)


def change_of_means(moments: LabelMoments, before: LabelMoments, borrowed: LabelMoments) -> tuple[Floats, Floats]:
    """What the mean gained on that of an earlier window, and its standard error, with one correction for both.

    The correction's own error is in both and cancels; how much of the judge's score counts is uncertain, and is in it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        slope, slope_error = slope_of_labels(borrowed)
        parts = [(each.sums[:, SCORE] / each.sums[:, JUDGED], _judged_variance(each)) for each in (moments, before)]
        gained = parts[0][0] - parts[1][0]
        variance = slope**2 * (parts[0][1] + parts[1][1]) + (gained * slope_error) ** 2
        return slope * gained, np.sqrt(variance)


def slope_of_labels(labelled: LabelMoments) -> tuple[Floats, Floats]:
    """How much the label rises with the judge's score, users' totals on users' totals, and its standard error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_label, of_score, _ = _influences(labelled, labelled)
        score, both, label = (
            _form(left, labelled, right)
            for left, right in ((of_score, of_score), (of_label, of_score), (of_label, of_label))
        )
        slope = np.where(score > 0, both / score, np.nan)
        left_over = np.maximum(label - slope * both, 0) / np.maximum(labelled.users - 2, 1)
        return slope, np.sqrt(left_over / score)


def _influences(judged: LabelMoments, labelled: LabelMoments) -> tuple[Floats, Floats, Floats]:
    """A user's influence on the labelled mean, on that of the judge's scores, and on the judged mean: times totals."""
    a, b = judged.sums[:, JUDGED], judged.sums[:, SCORE]
    c, d, g = (labelled.sums[:, column] for column in (LABELLED, LABEL, LABELLED_SCORE))
    zero = np.zeros_like(a)
    of_label = np.stack([zero, zero, -d / c**2, 1 / c, zero], axis=1)
    of_score = np.stack([zero, zero, -g / c**2, zero, 1 / c], axis=1)
    of_judged = np.stack([-b / a**2, 1 / a, zero, zero, zero], axis=1)
    return of_label, of_score, of_judged


def _judged_variance(judged: LabelMoments) -> Floats:
    _, _, of_judged = _influences(judged, judged)
    few = judged.judged_users / np.maximum(judged.judged_users - 1, 1)
    return _form(of_judged, judged, of_judged) * few


def _answer(judged: LabelMoments, labelled: LabelMoments, level: float, *, is_nested: bool) -> Corrected:
    power, error, third = (_nested if is_nested else _lent)(judged, labelled)
    rare, rare_unit = _rare(labelled)
    reason = np.full(len(error), None, dtype=object)
    reason[rare < NEEDED_RARE] = TOO_FEW_RARE
    reason[_are_equal(labelled) | ~(error > 0)] = NO_SPREAD
    reason[labelled.users < NEEDED_LABELS] = TOO_FEW_LABELS
    answered = np.array([why is None for why in reason], dtype=np.bool_)
    raw, raw_error = judged.sums[:, SCORE] / judged.sums[:, JUDGED], np.sqrt(_judged_variance(judged))
    raw_half = _quantile(judged.judged_users.astype(np.float64) - 1, level) * raw_error
    told = {
        "value": _labelled_mean(labelled, LABEL) + power * (raw - _labelled_mean(labelled, LABELLED_SCORE)),
        "error": error,
        "third": third,
        "degrees": np.fmin(labelled.users - 2.0, _DEGREES_OF_RARE * rare),
        "rare": rare,
        "rare_unit": rare_unit,
    }
    told = {name: np.where(answered, column, np.nan) for name, column in told.items()}
    low, high = Skewed(**told).limits(level)
    return Corrected(
        **told,
        low=low,
        high=high,
        own=np.where(answered, np.abs(power) * raw_error, np.nan),
        power=np.where(answered, power, np.nan),
        raw=raw,
        raw_low=raw - raw_half,
        raw_high=raw + raw_half,
        answered=answered,
        reason=reason,
        labels=labelled.labels,
    )


def _nested(judged: LabelMoments, labelled: LabelMoments) -> tuple[Floats, Floats, Floats]:
    """lambda, error and third cumulant of the value, where the labelled are among the judged."""
    # A user's influence on the value is (of_label + lambda (of_judged - of_score)) . totals.
    of_label, of_score, of_judged = _influences(judged, labelled)
    gap = of_judged - of_score
    square = _form(gap, judged, gap)
    power = np.where(square > 0, -_form(of_label, judged, gap) / square, 0.0)
    of_value = of_label + power[:, None] * gap
    small = _small(labelled)
    return power, np.sqrt(_form(of_value, judged, of_value) * small), _cube(of_value, judged) * small**2


def _lent(judged: LabelMoments, labelled: LabelMoments) -> tuple[Floats, Floats, Floats]:
    """The same, where the labelled are of another window."""
    # The lambda of the smallest variance would draw a day towards its month (with 400 verdicts and 450 labels half of
    # the way). The slope does not.
    slope, slope_error = slope_of_labels(labelled)
    power, slope_error = np.nan_to_num(slope), np.nan_to_num(slope_error)
    of_label, of_score, of_judged = _influences(judged, labelled)
    of_rest, of_judged = of_label - power[:, None] * of_score, power[:, None] * of_judged
    small = _small(labelled)
    moved = judged.sums[:, SCORE] / judged.sums[:, JUDGED] - _labelled_mean(labelled, LABELLED_SCORE)
    variance = (_form(of_rest, labelled, of_rest) + _form(of_judged, judged, of_judged)) * small
    third = (_cube(of_rest, labelled) + _cube(of_judged, judged)) * small**2
    return power, np.sqrt(variance + (moved * slope_error) ** 2), third


def _are_equal(labelled: LabelMoments) -> NDArray[np.bool_]:
    """Labels without any spread: what is left of their squares is rounding."""
    of_label, _, _ = _influences(labelled, labelled)
    squares = labelled.products[:, LABEL, LABEL] / labelled.sums[:, LABELLED] ** 2
    return np.asarray(~(_form(of_label, labelled, of_label) > 1e-12 * squares))


def _rare(labelled: LabelMoments) -> tuple[Floats, Floats]:
    """Of how many labels of a rarer kind the labels' own mean is made, and how far one more of them moves it."""
    of_label, _, _ = _influences(labelled, labelled)
    square, cube = _form(of_label, labelled, of_label), _cube(of_label, labelled)
    return square**3 / cube**2, cube / square


def _labelled_mean(labelled: LabelMoments, of: int) -> Floats:
    return np.asarray(labelled.sums[:, of] / labelled.sums[:, LABELLED])


def _small(labelled: LabelMoments) -> Floats:
    """Two numbers were fitted to the labels, the mean and lambda."""
    return np.asarray(labelled.users / np.maximum(labelled.users - 2, 1))


def _skewed(found: Corrected) -> Skewed:
    return Skewed(**{name: getattr(found, name) for name in Skewed.__dataclass_fields__})


def _form(left: Floats, moments: LabelMoments, right: Floats) -> Floats:
    return np.einsum("gi,gij,gj->g", left, moments.products, right)


def _cube(of: Floats, moments: LabelMoments) -> Floats:
    """Sum over users of the cubes of their influence."""
    return np.einsum("gi,gj,gk,gijk->g", of, of, of, moments.cubes, optimize=True)


def _quantile(degrees: Floats, level: float) -> Floats:
    return np.asarray(stdtrit(np.maximum(degrees, 1), 0.5 + level / 2), dtype=np.float64)
