"""Whether one rater's score moves with something that should not matter, at equal scores of the other."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough

NEEDED_USERS = 30


def effect_at_equal(
    score: ArrayLike, equal: ArrayLike, effect: ArrayLike, *, users: ArrayLike, weights: ArrayLike, level: float = 0.95
) -> Estimate | NotEnough:
    """How much `score` rises with one more of `effect`, among pairs with the same value of `equal`.

    Weighted least squares within the values of `equal`, errors clustered by user (Liang and Zeger 1986), Student's t.
    Where labels err, part of a true difference in quality stays in the effect: a small one proves little.

    NotEnough below 30 users, and where `effect` does not vary within any value of `equal`.
    """
    y, group, x, w = (np.asarray(column, dtype=np.float64) for column in (score, equal, effect, weights))
    _, user = np.unique(np.asarray(users), return_inverse=True)
    count = int(user.max(initial=-1)) + 1
    if count < NEEDED_USERS:
        return NotEnough(have=count, needed=NEEDED_USERS, reason="too few users with a label")
    values, place = np.unique(group, return_inverse=True)
    x, y = (_less_its_mean(column, place, w) for column in (x, y))
    information = float((w * x**2).sum())
    if information <= 1e-12 * w.sum():
        return NotEnough(have=1, needed=2, reason="all answers are alike in this")
    value = float((w * x * y).sum()) / information
    influence = np.bincount(user, w * x * (y - value * x))
    # Where few users hold most of the information, they are as many as they are worth (Kish): with weights of 1 and
    # 10 and 60 users, 60 degrees of freedom cover 91 %.
    worth = information**2 / float((np.bincount(user, w * x**2) ** 2).sum())
    degrees = worth - len(values) - 1
    if degrees < 1:
        return NotEnough(have=int(worth), needed=len(values) + 2, reason="too few users with a label")
    error = float(np.sqrt((influence**2).sum() * worth / degrees)) / information
    half = float(stdtrit(degrees, 0.5 + level / 2)) * error
    return Estimate(
        value=value, low=value - half, high=value + half, n=len(y), n_effective=worth, method="least-squares-t"
    )


def _less_its_mean(
    column: NDArray[np.float64], place: NDArray[np.int64], w: NDArray[np.float64]
) -> NDArray[np.float64]:
    return column - (np.bincount(place, w * column) / np.bincount(place, w))[place]
