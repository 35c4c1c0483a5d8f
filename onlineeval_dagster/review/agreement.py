"""How well two kinds of rater agree: judge with people, people with people. Every measure is a function of one table.

    scores of pairs ──▶ a table a cluster (K x K counts) ──▶ their sum ──▶ measure
                                                         └──▶ each cluster's influence on it ──▶ interval

A cluster is what may share its errors: a prompt, a user, a conversation. The interval is the delta method over clusters
(the infinitesimal jackknife: Efron 1982, chapter 6) on Fisher's z scale, so that it stays within -1 and 1.
Coverage by simulation: docs/calibration.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]
"""(tables (..., K, K), scale (K,)) to values (...); NaN where it is not defined."""

NEEDED_CLUSTERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Counts (C, K, K) by cluster, first rater's score by second's, over the scores in `scale` (K,), ascending."""

    counts: Floats
    scale: Floats

    @property
    def whole(self) -> Floats:
        """All clusters together, (K, K)."""
        return self.counts.sum(axis=0)


def tables_of(
    first: ArrayLike, second: ArrayLike, *, clusters: ArrayLike | None = None, weights: ArrayLike | None = None
) -> Tables:
    """From paired scores; without `clusters` each pair is one. `weights`: one over the inclusion probability."""
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape or not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("scores come in pairs of numbers; leave out pairs with a missing one")
    scale = np.unique(np.concatenate([one, two]))
    cluster = np.arange(len(one)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    size = len(scale)
    place = (cluster * size + np.searchsorted(scale, one)) * size + np.searchsorted(scale, two)
    many = int(cluster.max(initial=-1)) + 1
    mass = None if weights is None else np.asarray(weights, dtype=np.float64)
    counts = np.bincount(place, mass, many * size * size).reshape(many, size, size)
    return Tables(counts=counts.astype(np.float64), scale=scale)


def coincidences_of(scores: ArrayLike, *, clusters: ArrayLike | None = None) -> Tables:
    """From items by raters (N, R), NaN where nobody rated: Krippendorff's coincidences: pairs over raters - 1."""
    rated = np.asarray(scores, dtype=np.float64)
    scale = np.unique(rated[np.isfinite(rated)])
    chosen = (rated[:, :, None] == scale).sum(axis=1).astype(np.float64)
    raters = chosen.sum(axis=1)
    pairs = chosen[:, :, None] * chosen[:, None, :]
    pairs[:, np.arange(len(scale)), np.arange(len(scale))] -= chosen
    items = pairs[raters > 1] / (raters[raters > 1, None, None] - 1)
    if clusters is None:
        return Tables(counts=items, scale=scale)
    _, cluster = np.unique(np.asarray(clusters)[raters > 1], return_inverse=True)
    counts = np.zeros((int(cluster.max(initial=-1)) + 1, len(scale), len(scale)))
    np.add.at(counts, cluster, items)
    return Tables(counts=counts, scale=scale)


def agreement(tables: Tables, measure: Measure, *, level: float = 0.95) -> Estimate | NotEnough:
    """A measure with its interval. NotEnough below ten clusters, or where it is not defined: all scores are one."""
    clusters, whole = len(tables.counts), tables.whole
    if clusters < NEEDED_CLUSTERS:
        return NotEnough(have=clusters, needed=NEEDED_CLUSTERS, reason="too few rated items")
    value = float(measure(whole, tables.scale))
    if not np.isfinite(value):
        return NotEnough(have=len(tables.scale), needed=2, reason="all scores are equal: nothing to agree on")
    influence = np.tensordot(tables.counts, _gradient(measure, whole, tables.scale), axes=2)
    error = float(np.sqrt((influence**2).sum() * clusters / (clusters - 1)))
    half = float(stdtrit(clusters - 1, 0.5 + level / 2)) * error
    n = round(float((tables.counts.sum(axis=(1, 2)) > 0).sum()))
    if half < 1e-9 or abs(value) > 1 - 1e-12:
        low = min(value, float(measure(_with_three_more(whole, clusters), tables.scale)))
        return Estimate(value=value, low=low, high=value, n=n, n_effective=clusters, method="rule-of-three")
    middle, half = np.arctanh(value), half / (1 - value**2)
    low, high = float(np.tanh(middle - half)), float(np.tanh(middle + half))
    return Estimate(
        value=value, low=min(low, value), high=max(high, value), n=n, n_effective=clusters, method="cluster-delta"
    )


def _gradient(measure: Measure, table: Floats, scale: Floats) -> Floats:
    """How the measure changes with each count, by central differences, all of them in one call."""
    size, step = table.size, 1e-5 * table.sum()
    moved = np.eye(size).reshape(size, *table.shape) * step
    # A count below zero is as good as any other for a derivative: every measure is smooth there.
    gradient = (measure(table + moved, scale) - measure(table - moved, scale)) / (2 * step)
    return np.nan_to_num(gradient.reshape(table.shape))


def _with_three_more(table: Floats, clusters: int) -> Floats:
    """The table had three clusters disagreed as by chance: zero of n seen leaves up to three in n (95 %)."""
    total, share = table.sum(), min(3 / clusters, 1)
    chance = np.outer(table.sum(axis=1), table.sum(axis=0))
    np.fill_diagonal(chance, 0)
    spread = chance / chance.sum() if chance.any() else np.zeros_like(chance)
    return (1 - share) * table + share * total * spread


def raw_agreement(tables: Floats, scale: Floats) -> Floats:  # noqa: ARG001
    """Share of pairs with equal scores."""
    return _trace(tables) / _total(tables)


def cohens_kappa(tables: Floats, scale: Floats) -> Floats:
    """Cohen's kappa, unweighted (Cohen 1960)."""
    return _kappa(tables, (scale[:, None] != scale).astype(np.float64))


def quadratic_kappa(tables: Floats, scale: Floats) -> Floats:
    """Cohen's kappa with quadratic weights (Cohen 1968)."""
    return _kappa(tables, (scale[:, None] - scale) ** 2)


def gwets_ac1(tables: Floats, scale: Floats) -> Floats:
    """Gwet's AC1 (Gwet 2008): its chance agreement does not collapse where one score is nearly all there is."""
    share = (tables.sum(axis=-1) + tables.sum(axis=-2)) / (2 * _total(tables)[..., None])
    chance = (share * (1 - share)).sum(axis=-1) / max(len(scale) - 1, 1)
    with np.errstate(invalid="ignore"):
        return np.where(len(scale) > 1, (raw_agreement(tables, scale) - chance) / (1 - chance), np.nan)


def krippendorffs_alpha(tables: Floats, scale: Floats) -> Floats:
    """Krippendorff's alpha with the interval metric, of coincidences (Krippendorff 2011)."""
    return _alpha(tables, (scale[:, None] - scale) ** 2)


def nominal_alpha(tables: Floats, scale: Floats) -> Floats:
    """Krippendorff's alpha with the nominal metric, of coincidences."""
    return _alpha(tables, (scale[:, None] != scale).astype(np.float64))


def pearson(tables: Floats, scale: Floats) -> Floats:
    """Pearson's correlation of the scores."""
    return _correlation(tables, scale, scale)


def spearman(tables: Floats, scale: Floats) -> Floats:  # noqa: ARG001
    """Spearman's rank correlation, ties at their middle rank."""
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    return _correlation(tables, np.cumsum(rows, axis=-1) - rows / 2, np.cumsum(columns, axis=-1) - columns / 2)


def kendall(tables: Floats, scale: Floats) -> Floats:  # noqa: ARG001
    """Kendall's tau-b."""
    total, rows, columns = _total(tables), tables.sum(axis=-1), tables.sum(axis=-2)
    below_left = np.cumsum(np.cumsum(tables, axis=-2), axis=-1)
    smaller = np.zeros_like(tables)
    smaller[..., 1:, 1:] = below_left[..., :-1, :-1]
    other = np.zeros_like(tables)  # pairs with a smaller first and a greater second score
    other[..., 1:, :-1] = (below_left[..., :, -1:] - below_left)[..., :-1, :-1]
    gap = (tables * (smaller - other)).sum(axis=(-2, -1))
    ties = [total**2 - (margin**2).sum(axis=-1) for margin in (rows, columns)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(ties[0] * ties[1] > 0, 2 * gap / np.sqrt(np.abs(ties[0] * ties[1])), np.nan)


MEASURES: dict[str, Measure] = {
    "raw": raw_agreement,
    "kappa": cohens_kappa,
    "quadratic_kappa": quadratic_kappa,
    "ac1": gwets_ac1,
    "spearman": spearman,
    "kendall": kendall,
    "pearson": pearson,
}
"""Measures of two raters, by the name they have in tables. `krippendorffs_alpha` is of coincidences."""


def _kappa(tables: Floats, distance: Floats) -> Floats:
    total = _total(tables)
    seen = (tables * distance).sum(axis=(-2, -1)) / total
    margins = tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :]
    chance = (margins * distance).sum(axis=(-2, -1)) / total**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance > 0, 1 - seen / chance, np.nan)


def _alpha(tables: Floats, distance: Floats) -> Floats:
    total, margin = _total(tables), tables.sum(axis=-1)
    pairs = margin[..., :, None] * margin[..., None, :]
    chance = (pairs * distance).sum(axis=(-2, -1)) / (total * (total - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance > 0, 1 - (tables * distance).sum(axis=(-2, -1)) / total / chance, np.nan)


def _correlation(tables: Floats, rows: Floats, columns: Floats) -> Floats:
    total = _total(tables)[..., None]
    one = rows - (tables.sum(axis=-1) * rows).sum(axis=-1, keepdims=True) / total
    two = columns - (tables.sum(axis=-2) * columns).sum(axis=-1, keepdims=True) / total
    both = (tables * one[..., :, None] * two[..., None, :]).sum(axis=(-2, -1))
    spread = (tables.sum(axis=-1) * one**2).sum(axis=-1) * (tables.sum(axis=-2) * two**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, both / np.sqrt(np.abs(spread)), np.nan)


def _total(tables: Floats) -> Floats:
    return tables.sum(axis=(-2, -1))


def _trace(tables: Floats) -> Floats:
    return np.trace(tables, axis1=-2, axis2=-1)
