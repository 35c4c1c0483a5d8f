"""Ranks with ties and weights, and what each row adds to a statistic of ranks. Sorted once, O(n log n)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]


def placements(scores: Floats, positive: Bools, weights: Floats, stratum: Ids) -> Floats:
    """Each row's share of pairs it wins inside its stratum: a positive against the negatives, and the reverse."""
    order = np.lexsort((scores, stratum))
    values, group, kind, weight = scores[order], stratum[order], positive[order], weights[order]
    new_group = np.r_[True, group[1:] != group[:-1]]
    block = np.cumsum(new_group | np.r_[True, values[1:] != values[:-1]]) - 1
    starts = np.flatnonzero(new_group)
    at = np.cumsum(new_group) - 1
    won = np.empty(len(values))
    for side in (True, False):
        other = np.where(kind == side, 0.0, weight)
        tied = np.bincount(block, other)
        through = np.cumsum(tied)[block]  # of all groups so far, this tie included
        total = np.add.reduceat(other, starts)
        below = through - np.r_[0.0, np.cumsum(total)[:-1]][at] - tied[block] / 2
        share = below / np.maximum(total[at], np.finfo(float).tiny)
        mine = kind == side
        won[mine] = share[mine] if side else 1 - share[mine]
    placed = np.empty(len(values))
    placed[order] = np.clip(won, 0, 1)  # sums of unequal weights may round beyond
    return placed


def spearman(x: Floats, y: Floats, share: Floats) -> tuple[float, Floats]:
    """The correlation of the middle ranks, and each row's influence on it (mean 0 under `share`)."""
    u, v = (middle_ranks(values, share) - 0.5 for values in (x, y))
    cover = float((share * u * v).sum())
    spread = [float((share * rank**2).sum()) for rank in (u, v)]
    value = cover / (spread[0] * spread[1]) ** 0.5
    # d/de of the functional at (1 - e) H + e delta: the row's own product, and its part in all others' ranks.
    of_cover = u * v + _ranked_above(x, share * v) + _ranked_above(y, share * u) - 3 * cover
    of_spread = [
        rank**2 + 2 * _ranked_above(values, share * rank) - 3 * total
        for values, rank, total in ((x, u, spread[0]), (y, v, spread[1]))
    ]
    influence = of_cover / (spread[0] * spread[1]) ** 0.5
    influence -= value / 2 * (of_spread[0] / spread[0] + of_spread[1] / spread[1])
    return min(max(value, -1.0), 1.0), influence


def middle_ranks(values: Floats, share: Floats) -> Floats:
    """Share of rows below plus half of those tied, in (0, 1)."""
    block = np.unique(values, return_inverse=True)[1].reshape(-1)
    tied = np.bincount(block, share)
    return (np.cumsum(tied) - tied / 2)[block]


def _ranked_above(values: Floats, amounts: Floats) -> Floats:
    """For each row the sum of `amounts` over rows with a greater value, and half of that over its ties."""
    block = np.unique(values, return_inverse=True)[1].reshape(-1)
    tied = np.bincount(block, amounts)
    return (tied.sum() - np.cumsum(tied) + tied / 2)[block]
