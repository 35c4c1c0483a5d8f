"""Limits and p-values of a mean whose error is skewed, as it is where few labels are of a rarer kind.

Where people pass nearly all answers, the mean hangs on the few that they do not, and the more of these a sample has by
chance, the wider its error: Student's limits cover 92 % of the time with 50 labels at a pass rate of .85 and 88 % at
.92. The cumulants of the mean tell how many such answers it rests on, and how far each of them moves it:

    count = error^6 / third^2        unit = third / error^2

A count of rare things has the posterior Gamma(count + 1/2) (Jeffreys), and the mean moves by `unit` with it. For labels
of two kinds that is nearly the Beta of review/cells; for scores, weights, users who come again, and what a judge leaves
over it follows from the same three sums; without skew it is the normal distribution. To second order it is Hall's
correction of Student's t (1992, On the removal of skewness by transformation).

That there is a number at all says something too: five of the rarer kind were seen. So the posterior is divided by the
chance of that, as in review/cells. Coverage by simulation: docs/corrected.md.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, ndtr, ndtri, stdtr, stdtrit

from onlineeval_dagster.review.label_moments import Floats

NEEDED_RARE = 5.0
_SURELY_ANSWERED = 20.0
"""With so many of the rarer kind an answer was certain: dividing by its chance changes nothing."""
_LEAST_CHANCE = 0.15
_MOST = 1e6
"""A count beyond which the error is not skewed."""
_STEPS, _REACH = 200, 6.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Skewed:
    """Columns with an entry a group.

    value, error  as estimated; third: the third cumulant of the value, in its unit cubed
    degrees       of freedom
    rare          labels of the rarer kind, as many as the skew of the labels' own mean tells
    rare_unit     by how much one more of them moves that mean
    """

    value: Floats
    error: Floats
    third: Floats
    degrees: Floats
    rare: Floats
    rare_unit: Floats

    def limits(self, level: float) -> tuple[Floats, Floats]:
        """(low, high)."""
        quantile = np.asarray(stdtrit(np.maximum(self.degrees, 1), 0.5 + level / 2))
        low, high = self.value - quantile * self.error, self.value + quantile * self.error
        bent = self._bent()
        if len(bent):
            places, reached = self._posterior(bent)
            tail = ndtr(-quantile[bent])
            ends = [self.value[bent] + _interpolated(share, reached, places) for share in (tail, 1 - tail)]
            low[bent], high[bent] = np.minimum(*ends), np.maximum(*ends)
        return low, high

    def p_values(self, null: float) -> Floats:
        """Two-sided: below 1 - level exactly where the limits of that level leave `null` out."""
        z = (null - self.value) / self.error
        bent = self._bent()
        if len(bent):
            places, reached = self._posterior(bent)
            upward = np.sign(places[:, -1] - places[:, 0])
            below = _interpolated(upward * (null - self.value[bent]), upward[:, None] * places, reached)
            z[bent] = ndtri(below)
        return np.asarray(2 * stdtr(np.maximum(self.degrees, 1), -np.abs(z)))

    def _bent(self) -> np.ndarray:
        """Groups whose limits are not Student's."""
        is_skewed = self.third**2 * _MOST > self.error**6
        return np.flatnonzero((self.error > 0) & (is_skewed | (self.rare < _SURELY_ANSWERED)))

    def _posterior(self, at: np.ndarray) -> tuple[Floats, Floats]:
        """Distances from the value, rising or falling, and the mass up to each: (groups, steps)."""
        error, third = self.error[at], self.third[at]
        count = np.clip(error**6 / np.maximum(third**2, 1e-300), 1e-3, _MOST)
        unit = np.where(third < 0, -1, 1) * error / np.sqrt(count)
        shape = count + 0.5
        # Cube roots of a Gamma are nearly normal (Wilson and Hilferty 1931): even steps of them.
        middle, spread = np.cbrt(shape) * (1 - 1 / (9 * shape)), shape ** (-1 / 6) / 3
        least = np.maximum(middle - _REACH * spread, 1e-9)
        root = np.linspace(least, middle + _REACH * spread, _STEPS, axis=1)
        log = (3 * shape[:, None] - 1) * np.log(root) - root**3
        mass = np.exp(log - log.max(axis=1, keepdims=True))
        places = unit[:, None] * (root**3 - count[:, None])
        near = np.flatnonzero(self.rare[at] < _SURELY_ANSWERED)
        rare = self.rare[at[near], None] + places[near] / self.rare_unit[at[near], None]
        mass[near] /= np.maximum(gammainc(NEEDED_RARE, np.maximum(rare, 0)), _LEAST_CHANCE)
        # A mass lies around its place: half of it below.
        reached = np.cumsum(mass, axis=1) - mass / 2
        return places, reached / mass.sum(axis=1, keepdims=True)


def _interpolated(wanted: Floats, rising: Floats, values: Floats) -> Floats:
    """`values` where `rising` reaches what is wanted, by row, on a straight line between two steps; else its end."""
    row, after = np.arange(len(rising)), np.clip((rising < wanted[:, None]).sum(axis=1), 1, rising.shape[1] - 1)
    before = after - 1
    part = (wanted - rising[row, before]) / (rising[row, after] - rising[row, before])
    return values[row, before] + np.clip(part, 0, 1) * (values[row, after] - values[row, before])
