"""Means that people would give, from many judged responses and the few of them that people labelled.

    value(lambda) = labelled mean of the labels + lambda * (judged mean - labelled mean of the judge's scores)

PPI++ (Angelopoulos, Duchi, Zrnic 2023, arXiv:2311.01453, section 6): lambda is the one with the smallest variance, so a
useless judge costs nothing and a good one saves labels. Labels are nested in the judged sample (two phases: Sarndal,
Swensson, Wretman 1992, chapter 9), both with known chances, both of users who come with several responses. So what is
added up is each user's influence on the value, and everything follows from the totals of users and their products:
the moments of disjoint users add up.

Coverage and width by simulation: docs/calibration.md.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

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
    """

    sums: Floats
    products: Floats
    labels: Whole
    users: Whole

    @classmethod
    def of_users(cls, totals: Floats, group: Whole, *, labels: Whole, groups: int) -> Self:
        """From one row a (group, user): its five totals, its group, its number of labels."""
        sums = np.zeros((groups, 5))
        products = np.empty((groups, 5, 5))
        for row in range(5):
            sums[:, row] = np.bincount(group, totals[:, row], groups)
            for column in range(row, 5):
                product = np.bincount(group, totals[:, row] * totals[:, column], groups)
                products[:, row, column] = products[:, column, row] = product
        return cls(
            sums=sums,
            products=products,
            labels=np.bincount(group, labels, groups).astype(np.int64),
            users=np.bincount(group, labels > 0, groups).astype(np.int64),
        )

    def __add__(self, other: Self) -> Self:
        """Of both, where no user is in both."""
        return type(self)(
            sums=self.sums + other.sums,
            products=self.products + other.products,
            labels=self.labels + other.labels,
            users=self.users + other.users,
        )

    def take(self, at: Whole) -> Self:
        """The groups at these places, in this order."""
        return type(self)(sums=self.sums[at], products=self.products[at], labels=self.labels[at], users=self.users[at])


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Columns with an entry a group. Where not `answered`, `reason` says why and the numbers are NaN.

    power   lambda: how much of the judge's score is used; 0 is labels alone
    raw     the judge's own weighted mean, uncorrected
    labels  how many people's scores it rests on
    """

    value: Floats
    low: Floats
    high: Floats
    error: Floats
    power: Floats
    raw: Floats
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
    error = np.hypot(first.error, second.error)
    value, labels = first.value - second.value, first.labels + second.labels
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = first.error**2 / error**2
        degrees = 1 / (weight**2 / (first.labels - 2) + (1 - weight) ** 2 / (second.labels - 2))  # Welch
    half = _quantile(degrees, level) * error
    return Corrected(
        value=value,
        low=value - half,
        high=value + half,
        error=error,
        power=np.full_like(value, np.nan),
        raw=first.raw - second.raw,
        answered=first.answered & second.answered,
        reason=np.where(first.answered, second.reason, first.reason),
        labels=labels,
    )


def _answer(judged: LabelMoments, labelled: LabelMoments, level: float, *, is_nested: bool) -> Corrected:
    a, b = judged.sums[:, _JUDGED], judged.sums[:, _SCORE]
    c, d, g = (labelled.sums[:, column] for column in (_LABELLED, _LABEL, _LABELLED_SCORE))
    zero = np.zeros_like(a)
    # A user's influence on the value is (of_label + lambda (of_judged - of_score)) . totals.
    of_label = np.stack([zero, zero, -d / c**2, 1 / c, zero], axis=1)
    of_score = np.stack([zero, zero, -g / c**2, zero, 1 / c], axis=1)
    of_judged = np.stack([-b / a**2, 1 / a, zero, zero, zero], axis=1)
    if is_nested:
        gap = of_judged - of_score
        square, cross = _form(gap, judged, gap), _form(of_label, judged, gap)
    else:
        square = _form(of_judged, judged, of_judged) + _form(of_score, labelled, of_score)
        cross = -_form(of_label, labelled, of_score)
    alone = _form(of_label, labelled, of_label)
    power = np.where(square > 0, -cross / square, 0.0)
    # Two numbers were fitted to the labels, the mean and lambda.
    small = labelled.users / np.maximum(labelled.users - 2, 1)
    error = np.sqrt(np.maximum(alone + 2 * power * cross + power**2 * square, 0) * small)
    value = d / c + power * (b / a - g / c)
    half = _quantile(labelled.users - 2.0, level) * error
    reason = np.full(len(value), None, dtype=object)
    reason[~(error > 0)] = NO_SPREAD
    reason[labelled.users < NEEDED_LABELS] = TOO_FEW_LABELS
    answered = np.array([why is None for why in reason], dtype=np.bool_)
    return Corrected(
        value=np.where(answered, value, np.nan),
        low=np.where(answered, value - half, np.nan),
        high=np.where(answered, value + half, np.nan),
        error=np.where(answered, error, np.nan),
        power=np.where(answered, power, np.nan),
        raw=b / a,
        answered=answered,
        reason=reason,
        labels=labelled.labels,
    )


def _form(left: Floats, moments: LabelMoments, right: Floats) -> Floats:
    return np.einsum("gi,gij,gj->g", left, moments.products, right)


def _quantile(degrees: NDArray[Any], level: float) -> Floats:
    return np.asarray(stdtrit(np.maximum(degrees, 1), 0.5 + level / 2), dtype=np.float64)
