"""Two rates of units with one yes or no each: score intervals that hold near 0 and 1, where a normal one does not.

Own code for the score test: statsmodels 0.15.0's uses a wrong restricted estimate for a difference other than 0
(statsmodels issue 10269).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from onlineeval_dagster.experiments.moments import Bools, Floats

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
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, *, critical: float = 1.959964
) -> tuple[Floats, Floats]:
    """Limits of p1 - p2: the gaps whose |z| is at most `critical`."""
    a, m, b, n = (np.asarray(column, dtype=np.float64) for column in np.broadcast_arrays(x1, n1, x2, n2))
    value = a / m - b / n

    def is_in(gap: Floats) -> Bools:
        return np.abs(score_z(a, m, b, n, gap)) <= critical

    return _edge(is_in, value, np.full_like(value, -1.0)), _edge(is_in, value, np.full_like(value, 1.0))


def ratio_z(x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, ratio: ArrayLike) -> Floats:
    """The same paper's z of p1 = ratio * p2. At a ratio of 1 it is `score_z` at no gap."""
    a, m, b, n, theta = (np.asarray(column, dtype=np.float64) for column in np.broadcast_arrays(x1, n1, x2, n2, ratio))
    total = m + n
    middle = m * theta + a + n + b * theta
    root = np.sqrt(np.maximum(middle**2 - 4 * total * theta * (a + b), 0))
    # The smaller root, in the form that does not divide by a ratio near 0.
    second = np.clip(2 * (a + b) / (middle + root), 0, 1)
    first = np.clip(theta * second, 0, 1)
    variance = (first * (1 - first) / m + theta**2 * second * (1 - second) / n) * total / (total - 1)
    observed = a / m - theta * b / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(observed == 0, 0.0, observed / np.sqrt(variance))


def score_lift_limits(
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, *, critical: float = 1.959964
) -> tuple[Floats, Floats]:
    """Limits of the lift p1 / p2 - 1; NaN where the control has no success, and no lift is bounded."""
    a, m, b, n = (np.asarray(column, dtype=np.float64) for column in np.broadcast_arrays(x1, n1, x2, n2))

    def ratio(place: Floats) -> Floats:
        return place / (1 - place)

    def is_in(place: Floats) -> Bools:
        return np.abs(ratio_z(a, m, b, n, ratio(place))) <= critical

    with np.errstate(divide="ignore", invalid="ignore"):
        observed = a / m / (b / n)
        # Of all ratios from 0 to infinity as a place from 0 to 1; the last double below 1 stands for infinity.
        inside = np.where(b > 0, observed / (1 + observed), 0.5)
    edges = (_edge(is_in, inside, np.full_like(inside, end)) for end in (0.0, np.nextafter(1.0, 0.0)))
    low, high = (np.where(b > 0, ratio(place) - 1, np.nan) for place in edges)
    return low, high


def _edge(is_in: Callable[[Floats], Bools], inside: Floats, outside: Floats) -> Floats:
    """Where a test begins to reject between a value that it does not reject and one that is as far as one can go."""
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        kept = is_in(middle)
        inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
    return inside
