"""One index of quality out of all signals: a logistic ridge fitted to people's labels, or the catalog's plain mean.

The fitted weights are used only where they order the answers of *other* users better than the catalog's do: users fall
into five folds by a hash, each fold's index comes from the labels of the other four, and so does its penalty.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.signals.agreement import auc, auc_difference
from onlineeval_dagster.signals.ranks import Bools, Floats, Ids, middle_ranks
from onlineeval_dagster.signals.readings import Readings

FOLDS = 5
NEEDED_LABELS = 100
NEEDED_RARER = 20
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
FARTHEST = 4.0
"""Standard deviations at which a reading is cut: one odd latency must not decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A fitted index of k signals: see QualityWeight for the formula. `weight` is 0 where a signal never varied."""

    intercept: float
    weight: Floats
    centre: Floats
    scale: Floats
    penalty: float

    def index(self, readings: Floats) -> Floats:
        """The chance, by these weights, that people call each answer good; readings (n, k), NaN where there is none."""
        return 1 / (1 + np.exp(-(self.intercept + _standardised(readings, self.centre, self.scale) @ self.weight)))


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityIndex:
    """Which weights an axis has, and the evidence.

    fitted         the weights; None where the catalog's are used, because of `reason`
    fitted_auc     of the index out of fold; NotEnough where it was not tried
    gain           fitted less catalog, over the same answers
    """

    method: Literal["fitted", "catalog"]
    fitted: Weights | None = None
    reason: str | None = None
    labelled: int
    rarer: int
    catalog_auc: Estimate | NotEnough
    fitted_auc: Estimate | NotEnough = field(default=NotEnough(have=0, needed=1, reason="not tried"))
    gain: Estimate | NotEnough = field(default=NotEnough(have=0, needed=1, reason="not tried"))


def quality_index(axis: Readings) -> QualityIndex:
    """Fit, compare out of fold with the catalog's weights, and choose."""
    if axis.good is None:
        reason = f"no judge file says from which score on an answer is good on {axis.axis}"
        nothing = NotEnough(have=0, needed=1, reason=reason)
        return QualityIndex(method="catalog", reason=reason, labelled=len(axis.label), rarer=0, catalog_auc=nothing)
    good, labelled = axis.good, len(axis.good)
    rarer = int(min(good.sum(), (~good).sum()))
    plain = catalog_index(axis.scores)
    catalog_auc = auc(plain, good, weights=axis.weight, clusters=axis.user)
    if labelled < NEEDED_LABELS or rarer < NEEDED_RARER:
        reason = (
            f"{labelled} labelled answers, {rarer} of the rarer outcome; "
            f"fitting needs {NEEDED_LABELS} and {NEEDED_RARER}"
        )
        return QualityIndex(method="catalog", reason=reason, labelled=labelled, rarer=rarer, catalog_auc=catalog_auc)
    return _compared(axis, good, plain, catalog_auc, rarer)


def _compared(
    axis: Readings, good: Bools, plain: Floats, catalog_auc: Estimate | NotEnough, rarer: int
) -> QualityIndex:
    folds = fold_of(axis.user)
    out_of_fold = cross_fitted(axis.readings, good, axis.weight, folds)
    gain = auc_difference(out_of_fold, plain, good, weights=axis.weight, clusters=axis.user)
    is_better = isinstance(gain, Estimate) and gain.low > 0
    fitted = fit(axis.readings, good, axis.weight, best_penalty(axis.readings, good, axis.weight, folds))
    return QualityIndex(
        method="fitted" if is_better else "catalog",
        fitted=fitted if is_better else None,
        reason=None if is_better else _not_better(gain),
        labelled=len(good),
        rarer=rarer,
        catalog_auc=catalog_auc,
        fitted_auc=auc(out_of_fold, good, weights=axis.weight, clusters=axis.user),
        gain=gain,
    )


def _not_better(gain: Estimate | NotEnough) -> str:
    if isinstance(gain, NotEnough):
        return f"fitted weights cannot be compared with the catalog's: {gain.reason}"
    return (
        f"fitted weights are not shown to be better on other users' answers: AUC {gain.value:+.3f} "
        f"({gain.low:+.3f} to {gain.high:+.3f})"
    )


def catalog_index(scores: Floats) -> Floats:
    """The mean of the scores that each answer has, 0 where it has none; scores (n, k), NaN where there is none."""
    there = ~np.isnan(scores)
    return np.where(there, scores, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def fold_of(user: NDArray[np.object_]) -> Ids:
    """The fold of each row, by a hash of its user: all of a user's answers are in one."""
    names, of_row = np.unique(user.astype(str), return_inverse=True)
    folds = [int(hashlib.md5(f"fold:{name}".encode()).hexdigest()[:8], 16) % FOLDS for name in names]
    return np.array(folds, dtype=np.int64)[of_row.reshape(-1)]


def cross_fitted(readings: Floats, good: Bools, weight: Floats, folds: Ids) -> Floats:
    """Each row's place in its fold, 0 to 1, by weights and a penalty that were chosen without the fold.

    Places, because the index itself does not compare between folds: a fold with many good answers leaves fewer to the
    others, whose intercept is then lower, and pure noise would come out at an AUC of .41 (75 users, 40 signals; by
    place .49 with an error of .014). The AUC's range takes the weights as given: of noise it holds one half in 78-88 %.
    """
    index = np.empty(len(good))
    for fold in np.unique(folds):
        out = folds == fold
        others = readings[~out], good[~out], weight[~out]
        found = fit(*others, best_penalty(*others, folds[~out])).index(readings[out])
        index[out] = middle_ranks(found, weight[out] / weight[out].sum())
    return index


def best_penalty(readings: Floats, good: Bools, weight: Floats, folds: Ids) -> float:
    """The penalty of the least weighted log loss over the folds; of equals the greatest."""
    losses = dict.fromkeys(PENALTIES, 0.0)
    for fold in np.unique(folds):
        out = folds == fold
        for penalty in PENALTIES:
            chance = fit(readings[~out], good[~out], weight[~out], penalty).index(readings[out])
            right = np.clip(np.where(good[out], chance, 1 - chance), 1e-12, 1)
            losses[penalty] -= float((weight[out] * np.log(right)).sum())
    return min(PENALTIES, key=lambda penalty: (losses[penalty], -penalty))


def fit(readings: Floats, good: Bools, weight: Floats, penalty: float) -> Weights:
    """Logistic regression with `penalty` / 2 times the sum of squared weights, in rows of average weight.

    Newton's method (iteratively reweighted least squares), a step halved where it would not help: the loss is convex.
    """
    centre, scale = _moments(readings, weight)
    design = np.column_stack([np.ones(len(good)), _standardised(readings, centre, scale)])
    shares = weight / weight.mean()
    # The intercept is free, but for what keeps it finite where all are good.
    ridge = np.r_[1e-3, np.full(readings.shape[1], penalty)]
    beta, loss = np.zeros(len(ridge)), np.inf
    step = np.zeros(len(ridge))
    for _ in range(100):
        tried = _loss(design, good, shares, ridge, beta + step)
        if tried > loss:
            step = step / 2
            continue
        if loss - tried < 1e-9 * (1 + abs(tried)):
            break
        beta, loss = beta + step, tried
        chance = 1 / (1 + np.exp(-(design @ beta)))
        slope = design.T @ (shares * (good - chance)) - ridge * beta
        root = design * np.sqrt(shares * chance * (1 - chance))[:, None]
        step = np.linalg.solve(root.T @ root + np.diag(ridge), slope)
    return Weights(intercept=float(beta[0]), weight=beta[1:], centre=centre, scale=scale, penalty=penalty)


def _loss(design: Floats, good: Bools, shares: Floats, ridge: Floats, beta: Floats) -> float:
    logit = design @ beta
    return float((shares * (np.logaddexp(0, logit) - good * logit)).sum() + (ridge * beta**2).sum() / 2)


def _moments(readings: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation of each signal where it is there; 0 and 0 where it nowhere is."""
    there = ~np.isnan(readings)
    mass = np.where(there, weight[:, None], 0)
    total = np.maximum(mass.sum(axis=0), np.finfo(float).tiny)
    centre = (mass * np.where(there, readings, 0)).sum(axis=0) / total
    spread = (mass * np.where(there, readings - centre, 0) ** 2).sum(axis=0) / total
    return centre, np.sqrt(spread)


def _standardised(readings: Floats, centre: Floats, scale: Floats) -> Floats:
    """0 where a signal is not there, or did not vary."""
    away = (readings - centre) / np.where(scale > 1e-9, scale, np.inf)
    return np.clip(np.nan_to_num(away, nan=0.0), -FARTHEST, FARTHEST)
