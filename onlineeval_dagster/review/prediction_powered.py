"""Means that people would give, from many judged responses and the few of them that people labelled.

    value(lambda) = labelled mean of the labels + lambda * (judged mean - labelled mean of the judge's scores)

PPI++ (Angelopoulos, Duchi, Zrnic 2023, arXiv:2311.01453, section 6): lambda is the one with the smallest variance, so a
useless judge costs nothing and a good one saves labels. Labels are nested in the judged sample (two phases: Sarndal,
Swensson, Wretman 1992, chapter 9), both with known chances, both of users who come with several responses. So what is
added up is each user's influence on the value, and everything follows from the totals of users and their products:
the moments of disjoint users add up.

Coverage and width by simulation: docs/corrected.md.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

NEEDED_LABELS = 30
TOO_FEW_LABELS = "too few labels"
NO_SPREAD = "all labels are equal"

_JUDGED, _SCORE, _LABELLED, _LABEL, _LABELLED_SCORE = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMoments:
    """Of G groups: sums over users of their five totals, and of the totals' products.

    sums      (G, 5): w, w f over the judged; v, v y, v f over the labelled. f: the judge's score, y: the label,
              w and v: one over the inclusion probability, as judged and as labelled
    products  (G, 5, 5): sum over users of the outer product of these totals
    labels    (G,): labelled responses
    users     (G,): users with a label
    judged_users  (G,): users with a judged response
    """

    sums: Floats
    products: Floats
    labels: Whole
    users: Whole
    judged_users: Whole

    @classmethod
    def of_users(cls, totals: Floats, group: Whole, *, labels: Whole, groups: int) -> Self:
        """From one row a (group, user): its five totals, its group, its number of labels."""
        sums, products = np.zeros((groups, 5)), np.empty((groups, 5, 5))
        # Few users have a label, and products with a total of labels are of them alone.
        few = np.flatnonzero(labels > 0)
        of_few, group_of_few = totals[few], group[few]
        for column in range(5):
            some, where = (totals, group) if column <= _SCORE else (of_few, group_of_few)
            sums[:, column] = np.bincount(where, some[:, column], groups)
            for row in range(column + 1):
                product = np.bincount(where, some[:, row] * some[:, column], groups)
                products[:, row, column] = products[:, column, row] = product
        return cls(
            sums=sums,
            products=products,
            labels=np.bincount(group, labels, groups).astype(np.int64),
            users=np.bincount(group_of_few, minlength=groups).astype(np.int64),
            judged_users=np.bincount(group, totals[:, _JUDGED] > 0, groups).astype(np.int64),
        )

    @classmethod
    def of_buckets(cls, totals: Floats) -> Self:
        """From (G, buckets, 6): a bucket's five totals and its number of labels; a bucket counts as a user."""
        five = totals[:, :, :5]
        return cls(
            sums=five.sum(axis=1),
            products=np.swapaxes(five, 1, 2) @ five,
            labels=totals[:, :, 5].sum(axis=1).astype(np.int64),
            users=(totals[:, :, 5] > 0).sum(axis=1),
            judged_users=(totals[:, :, _JUDGED] > 0).sum(axis=1),
        )

    def __add__(self, other: Self) -> Self:
        """Of both, where no user is in both."""
        return type(self)(
            sums=self.sums + other.sums,
            products=self.products + other.products,
            labels=self.labels + other.labels,
            users=self.users + other.users,
            judged_users=self.judged_users + other.judged_users,
        )

    def take(self, at: Whole) -> Self:
        """The groups at these places, in this order."""
        return type(self)(
            sums=self.sums[at],
            products=self.products[at],
            labels=self.labels[at],
            users=self.users[at],
            judged_users=self.judged_users[at],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Columns with an entry a group. Where not `answered`, `reason` says why and the numbers are NaN.

    own      the part of `error` that is of this window's verdicts alone; the rest is the correction's, which windows
             with the same correction share
    degrees  of freedom of Student's t, where the limits are value -+ t * error; else NaN
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
    power: Floats
    raw: Floats
    raw_low: Floats
    raw_high: Floats
    answered: NDArray[np.bool_]
    reason: NDArray[np.object_]
    labels: Whole


def corrected_means(moments: LabelMoments, *, borrowed: LabelMoments | None = None, level: float = 0.95) -> Corrected:
    """The mean label with its interval, Student's t on the linearised variance clustered by user.

    borrowed  labels of another, longer window (28 days, one judge version), group by group: then `moments` gives the
              judged mean only, and the correction's own error is part of the interval
    """
    labelled = moments if borrowed is None else borrowed
    with np.errstate(divide="ignore", invalid="ignore"):
        return _answer(moments, labelled, level, is_nested=borrowed is None)


def difference(first: Corrected, second: Corrected, *, level: float = 0.95) -> Corrected:
    """First minus second, of groups without common users, each with its own correction: a judge may flatter one arm."""
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

    NaN where the limits are not Student's (rates by cells) or there is no number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        far = -np.abs((found.value - null) / found.error)
    return np.asarray(2 * stdtr(np.where(found.degrees >= 1, found.degrees, np.nan), far), dtype=np.float64)


def change_of_means(moments: LabelMoments, before: LabelMoments, borrowed: LabelMoments) -> tuple[Floats, Floats]:
    """What the mean gained on that of an earlier window, and its standard error, with one correction for both.

    The correction's own error is in both and cancels; how much of the judge's score counts is uncertain, and is in it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        slope, slope_error = slope_of_labels(borrowed)
        parts = [(each.sums[:, _SCORE] / each.sums[:, _JUDGED], _judged_variance(each)) for each in (moments, before)]
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
    a, b = judged.sums[:, _JUDGED], judged.sums[:, _SCORE]
    c, d, g = (labelled.sums[:, column] for column in (_LABELLED, _LABEL, _LABELLED_SCORE))
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
    a, b = judged.sums[:, _JUDGED], judged.sums[:, _SCORE]
    c, d, g = (labelled.sums[:, column] for column in (_LABELLED, _LABEL, _LABELLED_SCORE))
    # A user's influence on the value is (of_label + lambda (of_judged - of_score)) . totals.
    of_label, of_score, of_judged = _influences(judged, labelled)
    alone, extra = _form(of_label, labelled, of_label), 0.0
    if is_nested:
        gap = of_judged - of_score
        square, cross = _form(gap, judged, gap), _form(of_label, judged, gap)
        power = np.where(square > 0, -cross / square, 0.0)
    else:
        # Of another window: the lambda of the smallest variance would draw a day towards its month (with 400 verdicts
        # and 450 labels half of the way). The slope does not.
        square = _form(of_judged, judged, of_judged) + _form(of_score, labelled, of_score)
        cross = -_form(of_label, labelled, of_score)
        slope, slope_error = slope_of_labels(labelled)
        power = np.nan_to_num(slope)
        extra = np.nan_to_num((b / a - g / c) * slope_error) ** 2
    # Two numbers were fitted to the labels, the mean and lambda.
    small = labelled.users / np.maximum(labelled.users - 2, 1)
    error = np.sqrt(np.maximum(alone + 2 * power * cross + power**2 * square, 0) * small + extra)
    value = d / c + power * (b / a - g / c)
    degrees = labelled.users - 2.0
    half = _quantile(degrees, level) * error
    raw, raw_error = b / a, np.sqrt(_judged_variance(judged))
    raw_half = _quantile(judged.judged_users - 1.0, level) * raw_error
    reason = np.full(len(value), None, dtype=object)
    reason[~(error > 0)] = NO_SPREAD
    reason[labelled.users < NEEDED_LABELS] = TOO_FEW_LABELS
    answered = np.array([why is None for why in reason], dtype=np.bool_)
    return Corrected(
        value=np.where(answered, value, np.nan),
        low=np.where(answered, value - half, np.nan),
        high=np.where(answered, value + half, np.nan),
        error=np.where(answered, error, np.nan),
        own=np.where(answered, np.abs(power) * raw_error, np.nan),
        degrees=np.where(answered, degrees, np.nan),
        power=np.where(answered, power, np.nan),
        raw=raw,
        raw_low=raw - raw_half,
        raw_high=raw + raw_half,
        answered=answered,
        reason=reason,
        labels=labelled.labels,
    )


def _form(left: Floats, moments: LabelMoments, right: Floats) -> Floats:
    return np.einsum("gi,gij,gj->g", left, moments.products, right)


def _quantile(degrees: NDArray[Any], level: float) -> Floats:
    return np.asarray(stdtrit(np.maximum(degrees, 1), 0.5 + level / 2), dtype=np.float64)
