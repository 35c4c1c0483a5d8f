"""Moments of units: what SQL hands over of an experiment, and their reference in numpy.

A unit (user or session) is what was assigned, so it is what is counted. Of each the totals over the whole period:

    1, y, d, x_1, c_1, x_2, c_2 …   y, d: numerator and denominator of the metric, answers weighted by 1 / their chance
                                    x, c: the same of a covariate before the unit's exposure, 0 where there was nothing

The metric is sum y / sum d. What is kept is the sum over units of the outer product of these totals: it adds up over
disjoint units, never over weeks, as a user who comes back is the same user. A unit without a past has x = c = 0, so
that c says by itself which units are new.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Bools = NDArray[np.bool_]

ONE, Y, D, FIRST = range(4)
"""Places among the totals: the constant, numerator, denominator, the first covariate's numerator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMoments:
    """products: (…, arms, K, K), symmetric; […, 0, 0] is the number of units."""

    products: Floats

    def __add__(self, other: Self) -> Self:
        """Of both, where no unit is in both."""
        return type(self)(products=self.products + other.products)

    @property
    def units(self) -> Floats:
        return self.products[..., ONE, ONE]

    @property
    def means(self) -> Floats:
        """(…, arms, K): mean total of a unit; NaN without units."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.products[..., ONE, :] / self.units[..., None]

    @property
    def covariances(self) -> Floats:
        """(…, arms, K, K): of a unit's totals, with n - 1; NaN below two units."""
        units, means = self.units[..., None, None], self.means
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = self.products / units - means[..., :, None] * means[..., None, :]
            found = spread * units / (units - 1)
        return np.where(units > 1, found, np.nan)

    @property
    def arms(self) -> "Arms":
        """What a comparison needs of them."""
        spread = self.covariances
        return Arms(units=self.units, means=self.means, covariances=spread, whole=spread, shared=None)

    def of_covariate(self, place: int = 0) -> Self:
        """The covariate in the place of the metric: what the arms brought along."""
        first = FIRST + 2 * place
        chosen = [ONE, first, first + 1]
        return type(self)(products=self.products[..., chosen, :][..., chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """Means of a unit's totals and how far they can be trusted.

    units        (…, arms)
    means        (…, arms, K)
    covariances  (…, arms, K, K): units times the covariance of the means
    whole        the same of one unit, whatever its stratum: what the variance would be without strata
    shared       (…, arms, arms, K, K): covariance of the means that arms have in common; None where they have none
    """

    units: Floats
    means: Floats
    covariances: Floats
    whole: Floats
    shared: Floats | None


def moments_of_units(totals: ArrayLike, cell: ArrayLike, shape: tuple[int, ...]) -> UnitMoments:
    """From one row a unit. totals: (units, K - 1), without the constant; cell: flat index into `shape`, arms last."""
    rows = np.asarray(totals, dtype=np.float64)
    rows = np.column_stack([np.ones(len(rows)), rows])
    at, cells, width = np.asarray(cell, dtype=np.int64), int(np.prod(shape)), rows.shape[1]
    products = np.empty((cells, width, width))
    for i in range(width):
        for j in range(i, width):
            products[:, i, j] = products[:, j, i] = np.bincount(at, rows[:, i] * rows[:, j], cells)
    return UnitMoments(products=products.reshape(*shape, width, width))
