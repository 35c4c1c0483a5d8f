"""Can the numbers be trusted at all? Looked at before any lift.

Sample ratio mismatch: units by arm against the shares they were assigned by. At .001, as everybody looks every week,
and once more within each segment, where Bonferroni shares that level.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc, gammaln

from onlineeval_dagster.experiments.compare import Comparison, compare
from onlineeval_dagster.experiments.moments import Floats, UnitMoments

SRM_LEVEL = 0.001
IMBALANCE_LEVEL = 0.001
MULTI_ARM_SHARE = 0.01
"""Units in several arms are left out and counted; above this share something is broken (GrowthBook warns there too)."""


def ratio_p(units: ArrayLike, shares: ArrayLike) -> Floats:
    """Chi-square p-value of (…, arms) units against their shares. An arm with share 0 counts for nothing, units or not.

    >>> round(float(ratio_p([821588, 815482], [0.5, 0.5])), 7)      # Kohavi, Tang, Xu 2020, section 21
    1.8e-06
    """
    found, wanted = _arms(units, shares)
    total = found.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = ((found - total * wanted) ** 2 / (total * wanted)).sum(axis=-1)
    degrees = found.shape[-1] - 1
    return np.asarray(gammaincc(degrees / 2, statistic / 2), dtype=np.float64)


def sequential_ratio_p(units: ArrayLike, shares: ArrayLike, *, strength: float = 100.0) -> Floats:
    """The same for a look at any time: of one look; over several the smallest so far counts.

    A Dirichlet prior around the shares, worth `strength` units (Lindon, Malek 2022, NeurIPS: anytime-valid inference
    for multinomial counts). 1 / the Bayes factor is the p-value.
    """
    found, wanted = _arms(units, shares)
    prior = strength * wanted
    log_factor = (
        gammaln(strength)
        - gammaln(strength + found.sum(axis=-1))
        + (gammaln(prior + found) - gammaln(prior)).sum(axis=-1)
        - (found * np.log(wanted)).sum(axis=-1)
    )
    return np.minimum(1, np.exp(-log_factor))


def _arms(units: ArrayLike, shares: ArrayLike) -> tuple[Floats, Floats]:
    found, wanted = np.asarray(units, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    kept = wanted > 0
    if kept.sum() < 2:
        raise ValueError(f"two arms with a share are needed, got {wanted.tolist()}")
    return found[..., kept], wanted[kept] / wanted[kept].sum()


def imbalance(moments: UnitMoments, *, control: int = 0, place: int = 0) -> Comparison:
    """What the arms brought along, compared: a difference at IMBALANCE_LEVEL speaks against the assignment."""
    return compare(moments.of_covariate(place), control=control)


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Re-splits of units that all met the same: p-values, and the lift that chance alone reaches one time in twenty."""

    p_values: Floats
    noise: float

    @property
    def share(self) -> float:
        """Of re-splits with p < .05; NaN where there were none."""
        return self.hits / len(self.p_values) if len(self.p_values) else float("nan")

    @property
    def errs_more_than_told(self) -> bool:
        """Whether p < .05 came up so often that intervals are too narrow: above the 99.9 % band of the binomial."""
        from scipy.stats import binom

        return bool(self.hits > binom.ppf(0.9995, len(self.p_values), 0.05))

    @property
    def hits(self) -> int:
        return int((self.p_values < 0.05).sum())

    @property
    def uniform_p(self) -> float:
        """Kolmogorov and Smirnov's chance of p-values this far from uniform (asymptotic)."""
        from scipy.special import kolmogorov

        p, n = np.sort(self.p_values), len(self.p_values)
        if n == 0:
            return 1.0
        far = max((np.arange(1, n + 1) / n - p).max(), (p - np.arange(n) / n).max())
        return float(kolmogorov(far * n**0.5))

    @property
    def is_sound(self) -> bool:
        """Whether p < .05 came up as often as it should: within the 99 % band of the binomial."""
        from scipy.stats import binom

        tries = len(self.p_values)
        low, high = binom.ppf(0.005, tries, 0.05), binom.ppf(0.995, tries, 0.05)
        return bool(low <= self.hits <= high)


def resplit(
    products: Floats, *, splits: int, rng: np.random.Generator, shares: tuple[float, float] = (0.5, 0.5)
) -> Splits:
    """Split by a coin, again and again. products: (units or buckets of them, 3, 3) of 1, numerator and denominator.

    shares: of the two arms; what they leave is in neither.
    """
    outer = products.reshape(len(products), -1)
    coins = rng.random((splits, len(products)))
    first, second = coins < shares[0], (coins >= shares[0]) & (coins < sum(shares))
    arms = [(one.astype(np.float64) @ outer).reshape(splits, 3, 3) for one in (first, second)]
    found = compare(UnitMoments(products=np.stack(arms, axis=1)))
    known = found.answered[..., 0]
    lifts = np.abs(found.lift[known, 0])
    return Splits(p_values=found.p_value()[known, 0], noise=float(np.quantile(lifts, 0.95)) if len(lifts) else np.nan)
