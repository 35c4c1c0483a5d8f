"""Strata: what moments say about the spread of a value, its clustering by user, and the shares of the strata."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from onlineeval_dagster.metrics.intervals import Floats
from onlineeval_dagster.metrics.moments import Indices, Moments

# What a stratum is believed to be before its data speak. An intra-class correlation of 0.1, worth `BELIEF` units of
# p (1 - p) per pair of responses of one user (at p = .9: 22 pairs): it decides where nothing failed, and there only.
# A spread of scores as wide as their mean allows, worth one response: with 2 the intervals of scores covered 97 %.
BELIEVED_CORRELATION = 0.1
BELIEF = 2.0
SPREAD_BELIEF = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """Moments on a scale from 0 to 1 (of the bounds), and what follows from them at once."""

    moments: Moments
    at: Indices  # group of each cell
    bounds: tuple[float, float]
    share: Floats  # (C,) W_h
    n: Floats  # (C,) judged, at least 1e-9
    mean: Floats  # (C,) ybar_h; of the whole group where nothing was judged
    spread: Floats  # (C,) variance of one response within the stratum
    value: Floats  # (G,) sum_h W_h ybar_h

    @classmethod
    def of(cls, moments: Moments, bounds: tuple[float, float]) -> Self:
        start, length = bounds[0], bounds[1] - bounds[0]
        at, n = moments.cell_group, np.maximum(moments.n, 1e-9)
        share = moments.population / moments.sum_of_cells(moments.population)[at]
        mean = (moments.total / n - start) / length
        judged = moments.n > 0
        covered = np.maximum(moments.sum_of_cells(share * judged), 1e-9)
        value = moments.sum_of_cells(np.where(judged, share * mean, 0)) / covered
        squares = np.maximum(moments.total_squares - moments.total**2 / n, 0) / length**2
        return cls(
            moments=moments,
            at=at,
            bounds=bounds,
            share=share,
            n=n,
            mean=np.where(judged, mean, value[at]),
            spread=squares / np.maximum(moments.n - 1, 1),
            value=value,
        )

    def group_sum(self, column: Floats) -> Floats:
        return self.moments.sum_of_cells(column)

    def scaled(self, squares: Floats) -> Floats:
        """Squares of the moments in units of the scale."""
        return squares / (self.bounds[1] - self.bounds[0]) ** 2


def spread_ratio(strata: Strata) -> Floats:
    """(C,) Variance within a stratum over m (1 - m), the most that its mean allows: 1 for every rate."""
    most = strata.moments.n * strata.mean * (1 - strata.mean)
    own = strata.spread * np.maximum(strata.moments.n - 1, 0)
    return np.minimum((own + SPREAD_BELIEF) / (most + SPREAD_BELIEF), 1)


def design_effect(strata: Strata) -> Floats:
    """(C,) By how much a stratum's mean varies more because users answered for several of its responses; >= 1.

    1 + correlation (size - 1), where sum_j (t_j - ybar n_j)^2 = n s^2 + the products over pairs of one user's responses
    gives the correlation, and size = sum n_j^2 / n.
    """
    moments, n = strata.moments, strata.n
    # Under independence the sum of squares expects n s^2 (1 - sum n_j^2 / n^2): unbiased also when users are unequal.
    kept = np.maximum(1 - moments.size_squares / n**2, 0.05)
    products = strata.scaled(moments.residual_squares) / kept - n * strata.spread
    pairs = np.maximum(moments.size_squares - moments.n, 0)
    correlation = (products + BELIEF * BELIEVED_CORRELATION) / (pairs * strata.spread + BELIEF)
    return 1 + np.maximum(correlation, 0) * pairs / n


def variance_beside(strata: Strata) -> Floats:
    """(G,) The clustered variance that no stratum has alone: between strata, and of one user's parts in several."""
    moments = strata.moments
    alone = strata.group_sum((strata.share / strata.n) ** 2 * moments.residual_squares)
    users = effective_users(strata)
    clustered = strata.scaled(moments.influence_squares - alone) * users / np.maximum(users - 1, 1)
    return np.maximum(clustered, variance_of_shares(strata))


def variance_of_shares(strata: Strata) -> Floats:
    """(G,) Multinomial variance of the shares: what is left between the strata when responses are independent."""
    population = strata.group_sum(strata.moments.population)
    return strata.group_sum(strata.share * (strata.mean - strata.value[strata.at]) ** 2) / population


def lost_share(strata: Strata) -> Floats:
    """(G,) Weight of the responses that were drawn and failed or were shed: those of a stratum stand for their share of
    what was drawn there.
    """
    lost = strata.moments.lost
    return strata.group_sum(strata.share * lost / np.maximum(strata.moments.n + lost, 1))


def effective_users(strata: Strata) -> Floats:
    return 1 / np.maximum(strata.moments.weight_squares, 1e-12)


def degrees_of_freedom(strata: Strata, *, beyond_binomial: bool) -> Floats:
    """(G,) Satterthwaite's degrees of freedom of the clustered variance: 2 / its squared coefficient of variation.

    With 3,200 responses of 400 users of whom a few are heavy (correlation .5, 98 % pass) the variance is known no
    better than from 14 users; z then covers .925, t .939. `beyond_binomial` leaves out the noise that independent
    0/1 responses have as well, for limits that know it already, as Wilson's do.
    """
    moments = strata.moments
    squares = strata.scaled(moments.influence_squares)
    fourths = strata.scaled(strata.scaled(moments.influence_fourths))
    noise = fourths - squares**2 / np.maximum(moments.users, 1)
    relative = np.where(squares > 0, noise / np.maximum(squares, 1e-150) ** 2, 0)
    if beyond_binomial:
        q = strata.mean * (1 - strata.mean)
        judged = np.maximum(moments.n, 1)
        fourth = strata.group_sum(strata.share**4 * q * (1 - 4 * q) / judged**3)
        square = strata.group_sum(strata.share**2 * q / judged)
        relative = relative - np.where(square > 0, fourth / np.maximum(square, 1e-150) ** 2, 0)
    # At least 4: with one failure in the sample, all that the fourth powers say is that there was one.
    return np.clip(2 / np.maximum(relative, 1e-9), 4, np.maximum(effective_users(strata) - 1, 4))
