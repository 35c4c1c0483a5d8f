"""Estimates with intervals from moments of a stratified, clustered sample; or the answer that there is none yet.

The value is sum_h W_h ybar_h, with the shares W_h of the strata known. Two estimands, never mixed up:

    product  the quality of the product: users and shares are a draw from what could have come. The variance is
             clustered by user, has a term between the strata, and no finite-population correction
    window   the mean over exactly this window's responses: only the choice of what to judge is random

A number is given when every stratum holding at least `NEGLIGIBLE_SHARE` of the responses has `NEEDED_JUDGED` times its
share judged, rounded up, and (product) the judged weight is spread over `NEEDED_USERS` effective users, 1 / sum w_j^2.
An unjudged stratum below that share may be anything: it widens the interval. So may what was drawn and failed
or was shed, once that is more than `NEGLIGIBLE_LOSS` of the weight: an endpoint that fails on hard questions makes the
product look better than it is. Without the bounds of a scale there is no worst case, and then no number.

Coverage, by simulation with known truth: docs/calibration.md.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.metrics.intervals import (
    Floats,
    Limits,
    difference_limits,
    normal_quantile,
    t_quantile,
    wilson,
    wilson_size,
)
from onlineeval_dagster.metrics.moments import Moments
from onlineeval_dagster.metrics.strata import (
    Strata,
    degrees_of_freedom,
    design_effect,
    effective_users,
    lost_share,
    spread_ratio,
    variance_beside,
    variance_of_shares,
)

Estimand = Literal["product", "window"]

NEEDED_JUDGED = 30
"""Judged responses, were they spread over the strata in proportion."""

NEEDED_USERS = 15
"""Effective users. With fewer, the design effect is noise and one user can own the number."""

NEGLIGIBLE_SHARE = 0.01

NEGLIGIBLE_LOSS = 0.02

TOO_FEW_JUDGED = "too few judged responses"
TOO_FEW_USERS = "too few different users"
NO_SPREAD = "all values are equal"
TOO_MANY_LOST = "too many judgements failed or were shed, percent judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Columns with an entry a group, in the order of the moments' groups.

    answered      where False, `reason` says why, `have` of `needed` were there; value, low, high, n_effective are NaN
    n, users      judged responses, and the distinct users they came from
    n_effective   how many independent responses would give this interval: for a rate the n of a Wilson interval as
                  wide; for a mean variance of one response / variance of the estimate. Where the width is 0, n
    method        wilson-mover, jeffreys-mover (rates), score-mover (bounded means), linearised-t (other means)
    """

    value: Floats
    low: Floats
    high: Floats
    answered: NDArray[np.bool_]
    reason: NDArray[np.object_]
    have: NDArray[np.int64]
    needed: NDArray[np.int64]
    n: NDArray[np.int64]
    users: NDArray[np.int64]
    n_effective: Floats
    method: str
    estimand: Estimand


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """First minus second, an entry a pair; NaN where not `answered`, because of `reason`."""

    value: Floats
    low: Floats
    high: Floats
    answered: NDArray[np.bool_]
    reason: NDArray[np.object_]
    n_first: NDArray[np.int64]
    n_second: NDArray[np.int64]
    method: str
    estimand: Estimand


def estimate_rates(
    moments: Moments, *, estimand: Estimand = "product", level: float = 0.95, limits: Limits = wilson
) -> Estimates:
    """Rates of a value that is 0 or 1: the limits of each stratum's rate at its effective n, combined by MOVER.

    Donner and Zou 2012. Wald's interval on the same value covers 55-93 % (docs/calibration.md).
    """
    if not np.allclose(moments.total, moments.total_squares):
        raise ValueError("a rate counts values of 0 and 1, and some moments are of others; use estimate_means")
    strata = Strata.of(moments, (0.0, 1.0))
    low, high = _worst_case(strata, *_score_limits(strata, estimand, level, limits))
    n_effective = wilson_size(strata.value, high - low, level)
    return _answer(strata, low, high, n_effective, estimand, f"{limits.__name__}-mover")


def estimate_means(
    moments: Moments,
    *,
    bounds: tuple[float, float] | None = None,
    estimand: Estimand = "product",
    level: float = 0.95,
) -> Estimates:
    """Means of a value. Give the `bounds` of its scale where it has one: 1 and 3 of a judge's score.

    Within bounds: as a rate, with Wilson's limits at n m (1 - m) / s^2, m the mean on the scale from 0 to 1; this
    knows that a mean near the end of its scale is skewed. Without: Student's t on the linearised variance, which
    assumes that it is not (docs/calibration.md says what that costs).
    """
    strata = Strata.of(moments, bounds or (0.0, 1.0))
    low, high = (
        _linear_limits(strata, estimand, level)
        if bounds is None
        else _worst_case(strata, *_score_limits(strata, estimand, level, wilson))
    )
    between = strata.group_sum(strata.share * (strata.mean - strata.value[strata.at]) ** 2)
    variance = strata.group_sum(strata.share * strata.spread) + between
    with np.errstate(divide="ignore", invalid="ignore"):
        n_effective = variance * (2 * normal_quantile(level) / (high - low)) ** 2
    return _answer(strata, low, high, n_effective, estimand, "linearised-t" if bounds is None else "score-mover")


def difference(first: Estimates, second: Estimates) -> Differences:
    """First minus second, pair by pair, of independent estimates: `difference(after, before)` of a deploy.

    Users who are in both, and judge the product alike in both, make this interval wider than it need be, not narrower.
    """
    if (first.method, first.estimand) != (second.method, second.estimand):
        raise ValueError(
            f"cannot subtract {second.method} of {second.estimand} from {first.method} of {first.estimand}"
        )
    low, high = difference_limits((first.value, first.low, first.high), (second.value, second.low, second.high))
    return Differences(
        value=first.value - second.value,
        low=low,
        high=high,
        answered=first.answered & second.answered,
        reason=np.where(first.answered, second.reason, first.reason),
        n_first=first.n,
        n_second=second.n,
        method=first.method,
        estimand=first.estimand,
    )


def _score_limits(strata: Strata, estimand: Estimand, level: float, limits: Limits) -> tuple[Floats, Floats]:
    """MOVER: the distances of each stratum's own limits from its mean add up in squares, with the variance beside."""
    if np.any(np.abs(strata.mean - 0.5) > 0.5 + 1e-9):
        raise ValueError(f"some means lie outside the bounds {strata.bounds}; give the bounds of the values' scale")
    size = strata.n / spread_ratio(strata)
    beside = np.zeros(strata.moments.groups)
    if estimand == "window":
        with np.errstate(divide="ignore"):  # all judged: known exactly, as from infinitely many
            size = size / np.maximum(1 - strata.n / strata.moments.population, 0)
    else:
        t = t_quantile(level, degrees_of_freedom(strata, beyond_binomial=True))
        # t in place of z, on the effective n: Korn and Graubard 1998.
        size = size / design_effect(strata) / ((t / normal_quantile(level)) ** 2)[strata.at]
        beside = t**2 * variance_beside(strata)
    size = np.where(strata.moments.n > 0, size, 0)
    low, high = limits(strata.mean, size, level)
    below = strata.group_sum((strata.share * (strata.mean - low)) ** 2)
    above = strata.group_sum((strata.share * (high - strata.mean)) ** 2)
    return (
        np.maximum(strata.value - np.sqrt(below + beside), 0),
        np.minimum(strata.value + np.sqrt(above + beside), 1),
    )


def _worst_case(strata: Strata, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Limits on the scale from 0 to 1 with all that was lost at its ends: Manski 1989, bounds without assumptions."""
    lost = lost_share(strata)
    lost = np.where(lost > NEGLIGIBLE_LOSS, lost, 0)
    return low * (1 - lost), high * (1 - lost) + lost


def _linear_limits(strata: Strata, estimand: Estimand, level: float) -> tuple[Floats, Floats]:
    """Student's t on the linearised variance; where that is below the one of independent responses, on the latter."""
    moments = strata.moments
    # A stratum's own spread with the weight of its n - 1, and the whole group's with the weight of one response: where
    # one response was judged, or all are equal, the spread is unknown, not 0.
    strata_n = np.maximum(moments.n - 1, 0)
    pooled = strata.group_sum(strata_n * strata.spread) / np.maximum(strata.group_sum(strata_n), 1)
    spread = (strata_n * strata.spread + pooled[strata.at]) / (strata_n + 1)
    judged = np.maximum(moments.n, 1)
    if estimand == "window":
        variance = strata.group_sum(strata.share**2 * spread / judged * (1 - moments.n / moments.population))
        degrees = strata.group_sum(strata_n)
    else:
        independent = strata.group_sum(strata.share**2 * spread / judged) + variance_of_shares(strata)
        users = effective_users(strata)
        variance = np.maximum(strata.scaled(moments.influence_squares) * users / np.maximum(users - 1, 1), independent)
        degrees = degrees_of_freedom(strata, beyond_binomial=False)
    half = t_quantile(level, degrees) * np.sqrt(variance)
    return strata.value - half, strata.value + half


def _answer(
    strata: Strata, low: Floats, high: Floats, n_effective: Floats, estimand: Estimand, method: str
) -> Estimates:
    """Back on the value's own scale, and only where the rule of the module allows."""
    if estimand not in get_args(Estimand):
        raise ValueError(f"estimand must be one of {get_args(Estimand)}, got {estimand!r}")
    moments = strata.moments
    start, length = strata.bounds[0], strata.bounds[1] - strata.bounds[0]
    reason, have, needed = _shortfall(strata, estimand, high - low)
    if method == "linearised-t":
        lost = lost_share(strata)
        unbounded = lost > NEGLIGIBLE_LOSS
        reason[unbounded], needed[unbounded] = TOO_MANY_LOST, round(100 * (1 - NEGLIGIBLE_LOSS))
        have[unbounded] = np.floor(100 * (1 - lost[unbounded]))
    answered = needed == 0
    n = strata.group_sum(moments.n)

    def shown(column: Floats) -> Floats:
        return np.where(answered, column, np.nan)

    return Estimates(
        value=shown(start + length * strata.value),
        low=shown(start + length * np.minimum(low, strata.value)),
        high=shown(start + length * np.maximum(high, strata.value)),
        answered=answered,
        reason=reason,
        have=have,
        needed=needed,
        n=n.astype(np.int64),
        users=moments.users.astype(np.int64),
        n_effective=shown(np.where(np.isfinite(n_effective) & (high > low), n_effective, n)),
        method=method,
        estimand=estimand,
    )


def _shortfall(
    strata: Strata, estimand: Estimand, width: Floats
) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.int64]]:
    """Reason, have and needed of each group; needed is 0 where nothing is missing."""
    moments = strata.moments
    reason = np.full(moments.groups, None, dtype=np.object_)
    have, needed = np.zeros(moments.groups, dtype=np.int64), np.zeros(moments.groups, dtype=np.int64)

    def missing(groups: NDArray, why: str, has: Floats | float, needs: Floats | float) -> None:
        reason[groups], have[groups], needed[groups] = why, has, needs

    everything = strata.group_sum(moments.n) >= strata.group_sum(moments.population)
    flat = width <= 1e-9 * np.abs(strata.value)  # equal but for rounding
    if estimand == "product":
        missing(flat, NO_SPREAD, 1, 2)
        users = effective_users(strata)
        few = users < NEEDED_USERS
        missing(few, TOO_FEW_USERS, np.floor(users[few]), NEEDED_USERS)
    else:
        missing(flat & ~everything, NO_SPREAD, 1, 2)
    wanted = np.ceil(NEEDED_JUDGED * strata.share - 1e-9) * (strata.share >= NEGLIGIBLE_SHARE)
    if estimand == "window":
        wanted = np.minimum(wanted, moments.population)
    short = np.flatnonzero(moments.n < wanted)
    # Later writes win: the stratum that lacks most, relatively and then absolutely, is the one named.
    short = short[np.lexsort((wanted[short], -moments.n[short] / wanted[short]))]
    missing(strata.at[short], TOO_FEW_JUDGED, moments.n[short], wanted[short])
    return reason, have, needed
