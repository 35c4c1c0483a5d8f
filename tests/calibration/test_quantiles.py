"""Limits of quantiles cover the truth: worlds of users whose answers are alike, the true quantile known."""

from math import log

import numpy as np
import pytest
from scipy.stats import norm

from onlineeval_dagster.metrics.estimates import Estimates
from onlineeval_dagster.metrics.quantiles import WIDTH, estimate_quantiles
from tests.metrics.quantile_rows import of_values

WORLDS = 1_000


def estimated(users: int, answers: float, between: float, p: float) -> Estimates:
    """WORLDS groups of log-normal values; `between` is the standard deviation of a user's own level, of 1 in all."""
    rng = np.random.default_rng(7)
    count = rng.geometric(1 / answers, (WORLDS, users))
    world = np.repeat(np.arange(WORLDS), count.sum(axis=1))
    user = np.repeat(np.arange(WORLDS * users), count.ravel())
    value = rng.normal(0, between, WORLDS * users)[user] + rng.normal(0, np.sqrt(1 - between**2), len(user))
    bucket = (np.ceil(value / log(WIDTH)) + 2**17).astype(np.int64)  # of its exponential
    return estimate_quantiles(*of_values(bucket, user, world, p), p)


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(
    ("users", "answers", "between"), [(200, 2.0, 0.0), (200, 5.0, 0.5), (1_000, 5.0, 0.7), (40, 20.0, 0.5)]
)
def test_limits_of_a_quantile_cover_the_truth(p: float, users: int, answers: float, between: float) -> None:
    found = estimated(users, answers, between, p)
    truth, told = np.exp(norm.ppf(p)), found.answered
    covered = np.mean((found.low <= truth) & (truth <= found.high), where=told)
    error = np.sqrt(0.05 * 0.95 / told.sum())
    assert told.mean() > 0.5
    print(users, answers, between, p, told.mean(), covered)  # docs/series.md
    assert 0.95 - 3 * error <= covered <= 0.99
