"""Tests that may be looked at whenever one likes: confidence sequences and the mixture SPRT.

Both are one thing seen from two sides. With n of n* planned units and r^2 the mixture's variance in units of that of an
observation, the two-sided sequence at level 1 - alpha is (Waudby-Smith et al. 2024, Annals of Statistics 52)

    value +- se * sqrt( (n r^2 + 1) / (n r^2) * log((n r^2 + 1) / alpha^2) )

and mSPRT's p-value (Johari et al. 2022, Operations Research 70) is the alpha at which it touches nothing. It is as
good as narrowest at n = n* for r^2 n* = -log(alpha^2) + log(-log(alpha^2) + 1). n* is fixed before the start; the
width alone depends on it, never the level. Asymptotic: below some hundred units an arm no level is promised, and
nothing is shown.
"""

import numpy as np
from numpy.typing import ArrayLike

from onlineeval_dagster.experiments.moments import Floats

BURN_IN = 100
"""Units an arm before a sequence says anything."""


def tuned(alpha: float) -> float:
    """r^2 n*: the mixture that is narrowest when all planned units have come.

    >>> round(tuned(0.05), 3)
    7.936
    """
    return float(-np.log(alpha**2) + np.log(-np.log(alpha**2) + 1))


def boundary(fraction: ArrayLike, *, alpha: float) -> Floats:
    """Standard errors on either side, at `fraction` of the planned units (above 1 is allowed). Infinite at 0.

    >>> boundary([0.1, 0.5, 1, 2], alpha=0.05).round(2).tolist()
    [3.87, 3.09, 3.03, 3.07]
    """
    known = np.asarray(fraction, dtype=np.float64) * tuned(alpha)
    with np.errstate(divide="ignore"):
        return np.sqrt((known + 1) / known * np.log((known + 1) / alpha**2))


def one_sided_boundary(fraction: ArrayLike, *, alpha: float) -> Floats:
    """Standard errors on one side (Waudby-Smith et al. 2024, appendix B), for watching harm alone."""
    known = np.asarray(fraction, dtype=np.float64) * tuned(2 * alpha)
    with np.errstate(divide="ignore"):
        return np.sqrt(2 * (known + 1) / known * np.log(1 + np.sqrt(known + 1) / (2 * alpha)))


def always_valid_p(z: ArrayLike, fraction: ArrayLike, *, alpha: float) -> Floats:
    """mSPRT's p-value of one look. Over several looks the smallest so far counts (`running`).

    alpha  for which the mixture is tuned: p <= alpha exactly where the sequence at that level excludes nothing's effect
    """
    known = np.asarray(fraction, dtype=np.float64) * tuned(alpha)
    log_ratio = np.square(z) / 2 * known / (known + 1) - np.log(known + 1) / 2
    return np.minimum(1, np.exp(-log_ratio))


def running(p_values: Floats, *, axis: int = -1) -> Floats:
    """The smallest p so far: what was once proved stays proved. Looks without a number change nothing."""
    return np.minimum.accumulate(np.where(np.isnan(p_values), 1.0, p_values), axis=axis)
