"""Confidence limits of one rate, and how limits of independent parts combine. Arrays in, arrays out."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri, stdtrit

Floats = NDArray[np.float64]
Limits = Callable[[Floats, Floats, float], tuple[Floats, Floats]]
"""(rate, n, level) to (low, high): `n` may be a fraction, an effective sample size, infinity; 0 says [0, 1]."""


def normal_quantile(level: float) -> float:
    """The two-sided quantile of the normal distribution.

    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    return float(ndtri(0.5 + level / 2))


T_STEPS = 2**13
"""Steps of 1 / degrees from 0 to 1 in which Student's quantiles are tabulated."""


def t_quantile(level: float, degrees: Floats) -> Floats:
    """The two-sided quantile of Student's t with `degrees` of freedom, at least 1, fractions included.

    From a table, right to 1e-6: of ten million points SciPy's function was a third of the work.

    >>> t_quantile(0.95, np.array([1.0, 4.5, 30.0, 1e9])).round(4).tolist()
    [12.7062, 2.6589, 2.0423, 1.96]
    """
    inverse = 1 / np.maximum(np.asarray(degrees, dtype=np.float64), 1)
    steps, quantiles = _t_table(level)
    return np.interp(inverse, steps, quantiles)


@lru_cache(maxsize=16)
def _t_table(level: float) -> tuple[Floats, Floats]:
    steps = np.linspace(0.0, 1.0, T_STEPS + 1)
    return steps, np.append(ndtri(0.5 + level / 2), stdtrit(1 / steps[1:], 0.5 + level / 2))


def wilson(rate: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's score interval of a binomial rate (Newcombe 1998, Statistics in Medicine 17:857-872, table I).

    >>> for passed, n in (81, 263), (15, 148), (0, 20), (1, 29):
    ...     print(*(f"{float(limit):.4f}" for limit in wilson(passed / n, n)))
    0.2553 0.3662
    0.0624 0.1605
    0.0000 0.1611
    0.0061 0.1718
    """
    p, z2 = np.asarray(rate, dtype=np.float64), normal_quantile(level) ** 2
    with np.errstate(divide="ignore"):
        per_n = np.minimum(1 / np.asarray(n, dtype=np.float64), 1e300)
    # Divided by n + z^2 rather than by 1 + z^2 / n, so that n = 0 and n = infinity are both plain numbers.
    share = z2 * per_n / (1 + z2 * per_n)
    middle = p + (0.5 - p) * share
    half = np.sqrt(share * (1 - share) * p * (1 - p) + share**2 / 4)
    return np.clip(np.minimum(middle - half, p), 0, 1), np.clip(np.maximum(middle + half, p), 0, 1)


def wilson_size(rate: Floats, width: Floats, level: float = 0.95) -> Floats:
    """The n at which Wilson's interval around `rate` is `width` wide: what a rate's interval is worth in coin flips.

    Defined for rates of 0 and 1 too, where p (1 - p) / variance is not. Infinite at width 0.

    >>> low, high = wilson(0.9, 47)
    >>> round(float(wilson_size(np.float64(0.9), high - low)), 6)
    47.0
    """
    z2, h2, q = normal_quantile(level) ** 2, (width / 2) ** 2, rate * (1 - rate)
    # h^2 (n + z^2)^2 = z^2 (q n + z^2 / 4), solved for n.
    linear, constant = z2 * (2 * h2 - q), z2**2 * (h2 - 0.25)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = (-linear + np.sqrt(np.maximum(linear**2 - 4 * h2 * constant, 0))) / (2 * h2)
    return np.where(h2 > 0, np.maximum(root, 0), np.inf)


def jeffreys(rate: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Jeffreys' interval of a rate: quantiles of Beta(x + 1/2, n - x + 1/2) (Brown, Cai, DasGupta 2001, table 5).

    Narrower than Wilson's near 0 and 1, with equal tails: docs/calibration.md compares them.

    >>> for passed, n in (0, 10), (1, 10), (5, 10):
    ...     print(*(f"{float(limit):.3f}" for limit in jeffreys(passed / n, n)))
    0.000 0.217
    0.011 0.381
    0.224 0.776
    """
    p, exact = np.asarray(rate, dtype=np.float64), np.isinf(n)
    size = np.where(exact, 1, n)
    passed, failed, tail = p * size + 0.5, (1 - p) * size + 0.5, (1 - level) / 2
    low = np.where((p <= 0) | (size <= 0), 0.0, betaincinv(passed, failed, tail))
    high = np.where((p >= 1) | (size <= 0), 1.0, betaincinv(passed, failed, 1 - tail))
    return np.where(exact, p, np.minimum(low, p)), np.where(exact, p, np.maximum(high, p))


def difference_limits(
    first: tuple[Floats, Floats, Floats], second: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Limits of first - second from each one's (value, low, high), by MOVER; with Wilson limits Newcombe's method 10.

    Newcombe 1998, Statistics in Medicine 17:873-890, table II; Zou and Donner 2008.

    >>> for a, m, b, n in (56, 70, 48, 80), (9, 10, 3, 10), (6, 7, 2, 7), (5, 56, 0, 29):
    ...     low, high = difference_limits((a / m, *wilson(a / m, m)), (b / n, *wilson(b / n, n)))
    ...     print(f"{float(low):.4f} {float(high):.4f}")
    0.0524 0.3339
    0.1705 0.8090
    0.0582 0.8062
    -0.0381 0.1926
    """
    (value, low, high), (other, other_low, other_high) = first, second
    gap = value - other
    return gap - np.hypot(value - low, other_high - other), gap + np.hypot(high - value, other - other_low)
