"""How well a score agrees with what people said: AUC, AUC inside strata, rank correlation; each with an interval.

All are linearised: each row's influence on the value comes from sorted ranks, and the variance is the sum of the
squares of what the rows of one cluster (a user) add up to. Coverage: docs/calibration.md.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.signals.ranks import Bools, Floats, Ids, placements, spearman

NEEDED_OF_A_KIND = 10
"""Positives, and negatives, or the clusters they come from: with fewer, one of them moves an AUC by .1."""

NEEDED_PAIRS = 20
"""Rows, or clusters, of a rank correlation."""

PRIOR_ROWS = 2
"""How many misplaced rows the assumed shape of the variance is worth beside the observed one: see `_auc_estimate`."""


def auc(
    scores: ArrayLike,
    positive: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate | NotEnough:
    """Chance that a positive scores above a negative, ties counted half (Mann-Whitney).

    The variance is DeLong, DeLong and Clarke-Pearson's (1988); with `clusters` (an id a row, of any kind) placements
    are summed by cluster (Obuchowski 1997). `weights` are 1 / inclusion probability: a pair counts by the product of
    its weights. The limits are scores' (Newcombe 2006), inside [0, 1] and never without width, not at 0 and 1 either.
    A NaN among `scores` is a ValueError: say first what absence means.
    """
    rows = _Rows.of(scores, positive, weights, clusters)
    shortage = rows.shortage()
    if shortage is not None:
        return shortage
    value, deviation, influence = _auc_influence(rows)
    independent = sum(
        float((rows.weights[kind] * deviation[kind] ** 2).sum() / rows.weights[kind].sum() / max(kind.sum() - 1, 1))
        for kind in (rows.positive, ~rows.positive)
    )
    parts = _two_samples(influence, rows.positive, rows.clusters)
    method = "score-delong" if clusters is None else "score-obuchowski"
    return _auc_estimate(value, parts, independent, len(rows.scores), level, method)


def auc_difference(
    first: ArrayLike,
    second: ArrayLike,
    positive: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate | NotEnough:
    """AUC of `first` minus AUC of `second` over the same rows: DeLong's paired variance, Student's t."""
    columns = [_Rows.of(scores, positive, weights, clusters) for scores in (first, second)]
    rows = columns[0]
    shortage = rows.shortage()
    if shortage is not None:
        return shortage
    found = [_auc_influence(column) for column in columns]
    value, influence = found[0][0] - found[1][0], found[0][2] - found[1][2]
    parts = _two_samples(influence, rows.positive, rows.clusters)
    if parts.variance < 1e-18:
        return NotEnough(have=0, needed=1, reason="both put the rows in the same order")
    half = float(stdtrit(parts.degrees, 0.5 + level / 2)) * parts.variance**0.5
    independent = _two_samples(influence, rows.positive, None).variance
    return Estimate(
        value=value,
        low=max(value - half, -1.0),
        high=min(value + half, 1.0),
        n=len(rows.scores),
        n_effective=_effective(len(rows.scores), independent, parts.variance),
        method="paired-delong",
    )


def stratified_auc(
    scores: ArrayLike, positive: ArrayLike, strata: ArrayLike, *, level: float = 0.95
) -> Estimate | NotEnough:
    """Chance that a positive scores above a negative *of its own stratum*, strata pooled by their number of pairs.

    With strata of answer length this is what a score knows beyond the length. Strata that hold one kind only have no
    pairs. The variance is DeLong's inside each stratum; of one with a single positive or negative it is the squared
    distance of its AUC from the pooled one.
    """
    rows = _Rows.of(scores, positive, None, strata)
    stratum = rows.clusters if rows.clusters is not None else np.zeros(0, dtype=np.int64)
    size = int(stratum.max(initial=-1)) + 1
    m, n = (np.bincount(stratum[kind], minlength=size).astype(float) for kind in (rows.positive, ~rows.positive))
    pairs = m * n
    used = (pairs > 0)[stratum]
    kinds = rows.positive[used]
    shortage = _shortage(int(kinds.sum()), int((~kinds).sum()))
    if shortage is not None:
        return shortage
    stratum, share = stratum[used], pairs / pairs.sum()
    placed = placements(rows.scores[used], kinds, np.ones(len(kinds)), stratum)
    own = np.bincount(stratum[kinds], placed[kinds], minlength=size) / np.maximum(m, 1)
    value = float((share * own).sum())
    squares = (placed - own[stratum]) ** 2
    variances = [
        np.bincount(stratum[kind], squares[kind], minlength=size) / np.maximum(count * (count - 1), 1)
        for kind, count in ((kinds, m), (~kinds, n))
    ]
    alone = (m < 2) | (n < 2)
    variances = [np.where(alone, (own - value) ** 2 / 2, of_kind) for of_kind in variances]
    parts = _Parts(
        of_positives=float((share**2 * variances[0]).sum()),
        of_negatives=float((share**2 * variances[1]).sum()),
        positives=int(kinds.sum()),
        negatives=int((~kinds).sum()),
    )
    return _auc_estimate(value, parts, parts.variance, len(kinds), level, "score-stratified-delong")


def rank_correlation(
    x: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate | NotEnough:
    """Spearman's correlation, ties by middle ranks, with an interval on Fisher's z.

    The variance is that of the statistic's influence function, which knows ties, weights and clusters, so that nothing
    is resampled. A perfect order has the width that two neighbours changing places would leave, never none.
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (x, y))
    rows = _Rows.of(first, np.ones(len(first), dtype=np.bool_), weights, clusters)
    if len(second) != len(first) or np.isnan(second).any():
        raise ValueError("x and y must have the same length and no NaN")
    groups = rows.groups(np.ones(len(first), dtype=np.bool_))
    if groups < NEEDED_PAIRS:
        return NotEnough(have=groups, needed=NEEDED_PAIRS, reason=f"too few {rows.unit} that have both")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return NotEnough(have=1, needed=2, reason="all values are equal")
    share = rows.weights / rows.weights.sum()
    value, influence = spearman(first, second, share)
    variance, independent = _squares(share * influence, rows.clusters), _squares(influence / len(first), None)
    # Two neighbours changed places: the nearest to a perfect order.
    inside = float(np.clip(value, -1 + 12 / (groups**3 - groups), 1 - 12 / (groups**3 - groups)))
    error = max(variance**0.5 / (1 - inside**2), (1 / (groups - 3)) ** 0.5 if abs(inside) < abs(value) else 0.0)
    half = float(stdtrit(groups - 2, 0.5 + level / 2)) * error
    low, high = np.tanh(np.arctanh(inside) - half), np.tanh(np.arctanh(inside) + half)
    return Estimate(
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        n=len(first),
        n_effective=_effective(len(first), independent, variance),
        method="fisher-spearman" if clusters is None else "fisher-spearman-clustered",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Checked columns of one length; `clusters` are numbers from 0 on, or None where each row is its own."""

    scores: Floats
    positive: Bools
    weights: Floats
    clusters: Ids | None

    @classmethod
    def of(cls, scores: ArrayLike, positive: ArrayLike, weights: ArrayLike | None, clusters: ArrayLike | None) -> Self:
        values, kinds = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=np.bool_)
        weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
        ids = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1].reshape(-1)
        lengths = {len(values), len(kinds), len(weight), len(values) if ids is None else len(ids)}
        if len(lengths) > 1:
            raise ValueError(f"every column must have an entry a row, got lengths {sorted(lengths)}")
        if np.isnan(values).any():
            raise ValueError(f"{int(np.isnan(values).sum())} scores are NaN; drop these rows or say what absence means")
        if not ((weight > 0) & np.isfinite(weight)).all():
            raise ValueError("weights must be positive and finite")
        return cls(
            scores=values, positive=kinds, weights=weight, clusters=None if ids is None else ids.astype(np.int64)
        )

    @property
    def unit(self) -> str:
        return "rows" if self.clusters is None else "clusters"

    def groups(self, kind: Bools) -> int:
        """Rows of a kind, or the clusters that have some."""
        return int(kind.sum()) if self.clusters is None else len(np.unique(self.clusters[kind]))

    def shortage(self) -> NotEnough | None:
        return _shortage(self.groups(self.positive), self.groups(~self.positive), self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The variance of an AUC: what positives, negatives, and clusters with both add; and how many of each there are."""

    of_positives: float
    of_negatives: float
    cross: float = 0.0
    positives: int
    negatives: int

    @property
    def variance(self) -> float:
        return max(self.of_positives + self.of_negatives + self.cross, 0.0)

    @property
    def degrees(self) -> float:
        """Satterthwaite's."""
        own = self.of_positives + self.of_negatives
        squares = self.of_positives**2 / max(self.positives - 1, 1) + self.of_negatives**2 / max(self.negatives - 1, 1)
        return own**2 / squares if squares > 0 else float(min(self.positives, self.negatives) - 1)


def _auc_influence(rows: _Rows) -> tuple[float, Floats, Floats]:
    """The AUC, each row's placement less the AUC, and its influence on it."""
    placed = placements(rows.scores, rows.positive, rows.weights, np.zeros(len(rows.scores), dtype=np.int64))
    of_kind = [rows.weights[kind].sum() for kind in (rows.positive, ~rows.positive)]
    value = float(np.average(placed[rows.positive], weights=rows.weights[rows.positive]))
    deviation = placed - value
    return value, deviation, rows.weights * deviation / np.where(rows.positive, *of_kind)


def _two_samples(influence: Floats, positive: Bools, clusters: Ids | None) -> _Parts:
    ids = np.arange(len(influence)) if clusters is None else clusters
    size = int(ids.max()) + 1
    totals = [np.bincount(ids[kind], influence[kind], minlength=size) for kind in (positive, ~positive)]
    groups = [len(np.unique(ids[kind])) for kind in (positive, ~positive)]
    own = [float((total**2).sum()) * count / max(count - 1, 1) for total, count in zip(totals, groups, strict=True)]
    cross = 2 * float((totals[0] * totals[1]).sum()) * size / max(size - 1, 1)
    return _Parts(of_positives=own[0], of_negatives=own[1], cross=cross, positives=groups[0], negatives=groups[1])


def _squares(influence: Floats, clusters: Ids | None) -> float:
    totals = influence if clusters is None else np.bincount(clusters, influence)
    return float((totals**2).sum() * len(totals) / max(len(totals) - 1, 1))


def _auc_estimate(value: float, parts: _Parts, independent: float, n: int, level: float, method: str) -> Estimate:
    """The AUCs that lie within a quantile of their own standard error of `value` (Newcombe 2006, method 5).

    Their variance has the shape of Hanley and McNeil's (1982), scaled to the observed one. Where hardly a row is
    misplaced the observed one says little (at an AUC of 1 nothing), and the scale is drawn to 1: DeLong's limits on the
    logit scale cover 88 % at an AUC of .95 with 12 positives that vary more, these 96 % (docs/calibration.md).
    """
    sizes = (parts.positives, parts.negatives)
    misplaced = 2 * min(value, 1 - value) * min(sizes)
    assumed = _hanley_mcneil(value, sizes)
    scale = (misplaced * parts.variance / assumed if assumed > 0 else 0.0) + PRIOR_ROWS
    quantile = float(stdtrit(parts.degrees, 0.5 + level / 2)) * (scale / (misplaced + PRIOR_ROWS)) ** 0.5
    return Estimate(
        value=value,
        low=_score_limit(value, sizes, quantile, 0.0),
        high=_score_limit(value, sizes, quantile, 1.0),
        n=n,
        n_effective=_effective(n, independent, parts.variance),
        method=method,
    )


def _score_limit(value: float, sizes: tuple[int, int], quantile: float, end: float) -> float:
    """Bisection: between `value` and `end` the distance grows faster than the standard error."""
    inside, outside = value, end
    for _ in range(50):
        tried = (inside + outside) / 2
        within = abs(tried - value) <= quantile * _hanley_mcneil(tried, sizes) ** 0.5
        inside, outside = (tried, outside) if within else (inside, tried)
    return outside


def _hanley_mcneil(value: float, sizes: tuple[int, int]) -> float:
    """Variance of an AUC of exponential scores, at the mean of both sizes: Newcombe's simplification."""
    more = sum(sizes) / 2 - 1
    per_pair = 1 + more * (1 - value) / (2 - value) + more * value / (1 + value)
    return value * (1 - value) * per_pair / (sizes[0] * sizes[1])


def _effective(n: int, independent: float, variance: float) -> float:
    """How many independent rows would do as well; n where no variance was seen."""
    return float(n * independent / variance) if variance > 0 and independent > 0 else float(n)


def _shortage(positives: int, negatives: int, unit: str = "rows") -> NotEnough | None:
    have, kind = min((positives, "positive"), (negatives, "negative"))
    if have >= NEEDED_OF_A_KIND:
        return None
    return NotEnough(have=have, needed=NEEDED_OF_A_KIND, reason=f"too few {kind} {unit}")
