"""A week's interval, where the same users come on several days: one user's answers are one cluster over the whole week.

The moments of the seven days, each clustered by user, do not say how alike a user's Monday and Thursday are.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from onlineeval_dagster.metrics.estimates import estimate_rates
from onlineeval_dagster.metrics.intervals import normal_quantile
from onlineeval_dagster.metrics.moments import moments_from_rows
from tests.calibration.traffic import Rows, Traffic, simulate, true_mean

WEEKS = 600
ERROR = np.sqrt(0.95 * 0.05 / WEEKS)
SHARES = {"all judged": 1.0, "a fifth judged, the flagged always": 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Weeks whose true rate is known; each answer's day, 0 to 6, has nothing to do with its user."""

    rows: Rows
    day: NDArray[np.int64]
    truth: float


@cache
def world(judged_rate: float) -> World:
    """150 users a week with 18 answers each on the mean and some with more than a hundred, on any of its days."""
    traffic = Traffic(
        users=150,
        sessions_per_user=6,
        responses_per_session=3,
        user_share=0.3,
        pass_rate=0.8,
        judged_rate=judged_rate,
    )
    rng = np.random.default_rng(20261124)
    rows = simulate(traffic, WEEKS, rng)
    return World(rows=rows, day=rng.integers(0, 7, len(rows.window)), truth=true_mean(traffic))


def coverage_by(found: World, user: NDArray[np.int64]) -> float:
    """Coverage of the week's interval where `user` is what is summed before it is squared."""
    rows = found.rows
    estimates = estimate_rates(moments_from_rows(rows.window, rows.stratum, user, rows.value))
    assert estimates.answered.all()
    return float(((estimates.low <= found.truth) & (found.truth <= estimates.high)).mean())


def coverage_of_added_days(found: World) -> float:
    """The same of the seven days' values, each clustered by user, their variances added as if they were independent."""
    rows = found.rows
    moments = moments_from_rows(rows.window * 7 + found.day, rows.stratum, rows.user, rows.value)
    assert moments.groups == 7 * WEEKS
    population = moments.sum_of_cells(moments.population)
    at = moments.cell_group
    value = moments.sum_of_cells(moments.population / population[at] * moments.total / np.maximum(moments.n, 1))
    by_day = (WEEKS, 7)
    share = population.reshape(by_day) / population.reshape(by_day).sum(axis=1, keepdims=True)
    mean = (share * value.reshape(by_day)).sum(axis=1)
    half = normal_quantile(0.95) * np.sqrt((share**2 * moments.influence_squares.reshape(by_day)).sum(axis=1))
    return float((abs(mean - found.truth) <= half).mean())


@pytest.mark.parametrize("judged_rate", SHARES.values(), ids=SHARES)
def test_a_week_clustered_by_user_holds_the_truth(judged_rate: float) -> None:
    found = world(judged_rate)
    assert 0.94 - 3 * ERROR <= coverage_by(found, found.rows.user) <= 0.96 + 3 * ERROR


@pytest.mark.parametrize("judged_rate", SHARES.values(), ids=SHARES)
def test_the_variances_of_seven_days_added_up_do_not(judged_rate: float) -> None:
    assert coverage_of_added_days(world(judged_rate)) < {1.0: 0.70, 0.2: 0.85}[judged_rate]


@pytest.mark.parametrize("buckets", [64, 16_384])
@pytest.mark.parametrize("judged_rate", SHARES.values(), ids=SHARES)
def test_users_in_buckets_hold_it_as_well(judged_rate: float, buckets: int) -> None:
    """64 buckets hold two or three users each; of 16,384, as week_moments.sql has them, nearly all hold one."""
    found = world(judged_rate)
    bucket = np.random.default_rng(1).integers(0, buckets, found.rows.user.max() + 1)[found.rows.user]
    assert 0.94 - 3 * ERROR <= coverage_by(found, bucket) <= 0.96 + 3 * ERROR
