"""Control charts for slow losses, designed by run length: CUSUM and EWMA over standardised residuals.

A correction within one tick does not bound alarms over time; a run length does. All run lengths are in looks, for
independent standard normal residuals, by Brook and Evans' Markov chain (Biometrika 1972).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Floats = np.ndarray

STATES = 101
WINSOR = 4.0
"""A single look counts for at most so many standard deviations: real residuals have heavier tails than normal ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What a chart said, arrays (series, looks).

    alarm      -1 for a fall, 1 for a rise, at the look at which the chart crossed its limit; it starts anew after
    statistic  the larger of the two sides, with its sign, in units of the limit: 1 is an alarm
    began      index of the look since which the side has been away from zero: the estimate of when it changed
    """

    alarm: np.ndarray
    statistic: Floats
    began: np.ndarray


@lru_cache(maxsize=256)
def cusum_run_length(limit: float, *, slack: float, shift: float = 0.0) -> float:
    """Mean looks until a one-sided CUSUM (sum of z - slack, never below 0) reaches `limit`, when z has mean `shift`.

    >>> round(1 / (2 / cusum_run_length(5.0, slack=0.5)))  # both sides; published: 465
    465
    """
    from scipy.special import ndtr

    width = 2 * limit / (2 * STATES - 1)
    steps = np.arange(STATES)[None, :] - np.arange(STATES)[:, None]
    upper = ndtr((steps + 0.5) * width + slack - shift)
    moves = upper - ndtr((steps - 0.5) * width + slack - shift)
    moves[:, 0] = upper[:, 0]
    return float(np.linalg.solve(np.eye(STATES) - moves, np.ones(STATES))[0])


@lru_cache(maxsize=256)
def cusum_limit(run_length: float, *, slack: float) -> float:
    """The limit at which a one-sided CUSUM has this mean run length when nothing changes."""
    # A run length grows as exp(2 slack limit): beyond exp(30) looks the chain's equations are singular to a double.
    return _solve(lambda limit: cusum_run_length(limit, slack=slack), run_length, 0.05, min(60.0, 15 / slack))


@lru_cache(maxsize=256)
def ewma_run_length(limit: float, *, weight: float, shift: float = 0.0) -> float:
    """Mean looks until an EWMA (weight · z + (1 - weight) · before) leaves ± `limit` of its own standard deviations.

    >>> round(ewma_run_length(2.814, weight=0.1))  # Lucas and Saccucci 1990, table 3: 500, by another grid
    498
    """
    from scipy.special import ndtr

    bound = limit * np.sqrt(weight / (2 - weight))
    width = 2 * bound / STATES
    middle = -bound + (np.arange(STATES) + 0.5) * width
    stays = (1 - weight) * middle[:, None]
    moves = ndtr((middle + width / 2 - stays) / weight - shift) - ndtr((middle - width / 2 - stays) / weight - shift)
    return float(np.linalg.solve(np.eye(STATES) - moves, np.ones(STATES))[STATES // 2])


@lru_cache(maxsize=256)
def ewma_limit(run_length: float, *, weight: float) -> float:
    """The limit at which a two-sided EWMA has this mean run length when nothing changes."""
    return _solve(lambda limit: ewma_run_length(limit, weight=weight), run_length, 0.05, 8.0)


def cusum(standardised: Floats, *, slack: float, limit: float) -> Runs:
    """Run both sides over residuals (series, looks). A look without a number changes nothing."""
    series, looks = standardised.shape
    alarm = np.zeros((series, looks), dtype=np.int8)
    statistic, began = np.zeros((series, looks)), np.zeros((series, looks), dtype=np.int64)
    sums, since = np.zeros((2, series)), np.zeros((2, series), dtype=np.int64)
    sign = np.array([[1.0], [-1.0]])
    for look, column in enumerate(np.clip(standardised, -WINSOR, WINSOR).T):
        known = np.isfinite(column)
        sums = np.where(known, np.maximum(sums + sign * np.where(known, column, 0.0) - slack, 0.0), sums)
        since = np.where(sums > 0, since, look + 1)
        side = sums.argmax(axis=0)
        highest = sums.max(axis=0)
        statistic[:, look] = sign[side, 0] * highest / limit
        began[:, look] = np.take_along_axis(since, side[None], axis=0)[0]
        crossed = highest >= limit
        alarm[crossed, look] = sign[side[crossed], 0]
        sums[:, crossed] = 0.0
        since[:, crossed] = look + 1
    return Runs(alarm=alarm, statistic=statistic, began=began)


def first_of(charts: Sequence[Runs]) -> Runs:
    """Several charts as one: it alarms where one of them does, and else says what the nearest to its limit says."""
    statistics = np.stack([runs.statistic for runs in charts])
    alarms = np.stack([runs.alarm for runs in charts])
    nearest = np.where(alarms != 0, np.inf, np.abs(statistics)).argmax(axis=0)[None]

    def of(stacked: np.ndarray) -> np.ndarray:
        return np.take_along_axis(stacked, nearest, axis=0)[0]

    return Runs(alarm=of(alarms), statistic=of(statistics), began=of(np.stack([runs.began for runs in charts])))


def ewma(standardised: Floats, *, weight: float, limit: float) -> Runs:
    """Run an EWMA over residuals (series, looks), with the exact variance of its first looks."""
    series, looks = standardised.shape
    alarm = np.zeros((series, looks), dtype=np.int8)
    statistic, began = np.zeros((series, looks)), np.zeros((series, looks), dtype=np.int64)
    now, left, since = np.zeros(series), np.ones(series), np.zeros(series, dtype=np.int64)
    for look, column in enumerate(np.clip(standardised, -WINSOR, WINSOR).T):
        known = np.isfinite(column)
        before = now
        now = np.where(known, (1 - weight) * now + weight * np.where(known, column, 0.0), now)
        left = np.where(known, left * (1 - weight) ** 2, left)
        since = np.where(np.sign(now) == np.sign(before), since, look)
        spread = np.sqrt(weight / (2 - weight) * np.maximum(1 - left, 1e-12))
        statistic[:, look] = now / spread / limit
        began[:, look] = since
        crossed = known & (np.abs(statistic[:, look]) >= 1)
        alarm[crossed, look] = np.sign(now[crossed])
        now[crossed], left[crossed], since[crossed] = 0.0, 1.0, look + 1
    return Runs(alarm=alarm, statistic=statistic, began=began)


def _solve(run_length_of: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    from scipy.optimize import brentq

    found: Any = brentq(lambda limit: np.log(run_length_of(limit) / wanted), low, high, xtol=1e-6)
    return float(found)
