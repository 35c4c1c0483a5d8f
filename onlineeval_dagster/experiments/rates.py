"""Two rates of units with one yes or no each: score intervals that hold near 0 and 1, where a normal one does not.

Own code for the score test: statsmodels 0.15.0's uses a wrong restricted estimate for a difference other than 0
(statsmodels issue 10269).
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from onlineeval_dagster.experiments.moments import Floats

_STEPS = 60  # bisections: beyond a double's digits


def score_z(x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, gap: ArrayLike = 0.0) -> Floats:
    """Miettinen and Nurminen's z of p1 - p2 = gap (1985, Statistics in Medicine 4:213-226).

    Swapping the arms and the sign of the gap mirrors it; so does counting failures instead of successes.
    """
    a, m, b, n, delta = (np.asarray(column, dtype=np.float64) for column in np.broadcast_arrays(x1, n1, x2, n2, gap))
    first, second = restricted(a, m, b, n, delta)
    total = m + n
    variance = (first * (1 - first) / m + second * (1 - second) / n) * total / (total - 1)
    observed = a / m - b / n - delta
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(observed == 0, 0.0, observed / np.sqrt(variance))


def restricted(x1: Floats, n1: Floats, x2: Floats, n2: Floats, gap: Floats) -> tuple[Floats, Floats]:
    """The rates of greatest likelihood among those with p1 - p2 = gap: the cubic of the paper, in closed form."""
    total = n1 + n2
    c3 = total
    # In terms of p2, the rate of the second arm: L'(p2) = 0 is c3 p^3 + c2 p^2 + c1 p + c0 = 0.
    c2 = (n1 + 2 * n2) * gap - total - x1 - x2
    c1 = (n2 * gap - total - 2 * x2) * gap + x1 + x2
    c0 = x2 * gap * (1 - gap)
    shift = c2 / (3 * c3)
    v = shift**3 - c1 * c2 / (6 * c3**2) + c0 / (2 * c3)
    u = np.sign(v) * np.sqrt(np.maximum(shift**2 - c1 / (3 * c3), 0))
    u = np.where(v == 0, np.sqrt(np.maximum(shift**2 - c1 / (3 * c3), 0)), u)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(u == 0, 0.0, v / u**3)
    angle = (np.pi + np.arccos(np.clip(ratio, -1, 1))) / 3
    second = np.clip(2 * u * np.cos(angle) - shift, np.maximum(0, -gap), np.minimum(1, 1 - gap))
    return np.clip(second + gap, 0, 1), second


def score_limits(
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, *, alpha: float = 0.05
) -> tuple[Floats, Floats]:
    """Limits of p1 - p2: the gaps that the score test does not reject."""
    a, m, b, n = (np.asarray(column, dtype=np.float64) for column in np.broadcast_arrays(x1, n1, x2, n2))
    critical, value = float(ndtri(1 - alpha / 2)), a / m - b / n
    return _edge(a, m, b, n, critical, value, np.full_like(value, -1.0)), _edge(
        a, m, b, n, -critical, value, np.full_like(value, 1.0)
    )


def _edge(a: Floats, m: Floats, b: Floats, n: Floats, critical: float, inside: Floats, outside: Floats) -> Floats:
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        z = score_z(a, m, b, n, middle)
        is_in = np.abs(z) <= abs(critical)
        inside, outside = np.where(is_in, middle, inside), np.where(is_in, outside, middle)
    return inside
