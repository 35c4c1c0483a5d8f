"""Limits and charts alarm as often as they say, and as published tables say."""

import numpy as np
import pytest
from scipy import stats

from onlineeval_dagster.metrics.charts import (
    cusum,
    cusum_limit,
    cusum_run_length,
    ewma,
    ewma_limit,
    ewma_run_length,
    first_of,
)
from onlineeval_dagster.metrics.limits import (
    binomial_limits,
    deviations_for,
    moment_limits,
    poisson_limits,
    robust_limits,
)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("learn", [moment_limits, robust_limits])
@pytest.mark.parametrize("history", [30, 200])
def test_limits_learnt_from_history_are_passed_as_often_as_they_say(rng, learn, history):
    values = rng.normal(0, 1, (60_000, history + 1))
    limits = learn(values[:, :-1])
    passed = np.mean(limits.beyond(values[:, -1]) != 0)
    assert passed == pytest.approx(limits.false_alarm[0], rel=0.2)


def test_robust_limits_do_not_widen_by_an_outage(rng):
    values = rng.normal(0, 1, (1, 200))
    values[0, :20] = 30
    assert robust_limits(values).high[0] < 5 < 20 < moment_limits(values).high[0]


@pytest.mark.parametrize(("n", "share"), [(20, 0.02), (60, 0.02), (60, 0.85), (5000, 0.3)])
def test_binomial_limits_alarm_exactly_as_often_as_they_say_and_no_more_than_asked(n, share):
    limits = binomial_limits(np.array(n), np.array(share), false_alarm=0.01)
    counts = np.arange(n + 1)
    exact = stats.binom.pmf(counts, n, share)[limits.beyond(counts) != 0].sum()
    assert limits.false_alarm == pytest.approx(exact, rel=1e-9) and exact <= 0.01


def test_three_sigma_on_small_counts_is_passed_far_more_often_than_it_says():
    n, share = 60, 0.02
    high = n * share + 3 * np.sqrt(n * share * (1 - share))
    assert stats.binom.sf(np.floor(high), n, share) / stats.norm.sf(3) > 4


def test_poisson_limits_alarm_exactly_as_often_as_they_say():
    limits = poisson_limits(np.array(4.0), false_alarm=0.001)
    counts = np.arange(60)
    exact = stats.poisson.pmf(counts, 4.0)[limits.beyond(counts) != 0].sum()
    assert limits.false_alarm == pytest.approx(exact, rel=1e-6) and 0 < exact <= 0.001


def test_an_hour_without_answers_has_no_limits_and_no_alarm():
    limits = binomial_limits(np.array([0.0]), np.array([0.1]), false_alarm=0.01)
    assert limits.beyond(np.array([0.0])) == 0 and limits.beyond(np.array([np.nan])) == 0


@pytest.mark.parametrize(("limit", "still", "moved"), [(4.0, 168, 8.38), (5.0, 465, 10.4)])
def test_cusum_run_lengths_are_the_published_ones(limit, still, moved):
    # Montgomery, Introduction to Statistical Quality Control, table 9.3: two-sided, slack 0.5, shift 0 and 1.
    assert cusum_run_length(limit, slack=0.5) / 2 == pytest.approx(still, rel=0.005)
    assert cusum_run_length(limit, slack=0.5, shift=1.0) == pytest.approx(moved, rel=0.005)


@pytest.mark.parametrize(
    ("weight", "limit", "moved"), [(0.1, 2.814, (106, 31.3, 10.3)), (0.25, 2.998, (170, 48.2, 11.1))]
)
def test_ewma_run_lengths_are_the_published_ones(weight, limit, moved):
    # Lucas and Saccucci, Technometrics 1990, table 3.
    assert ewma_run_length(limit, weight=weight) == pytest.approx(500, rel=0.01)
    found = [ewma_run_length(limit, weight=weight, shift=shift) for shift in (0.25, 0.5, 1.0)]
    assert found == pytest.approx(moved, rel=0.01)


def test_limits_for_a_run_length_have_it():
    assert cusum_run_length(cusum_limit(1000.0, slack=0.25), slack=0.25) == pytest.approx(1000, rel=1e-3)
    assert ewma_run_length(ewma_limit(1000.0, weight=0.2), weight=0.2) == pytest.approx(1000, rel=1e-3)
    assert deviations_for(370.4) == pytest.approx(3.0, abs=0.001)


def test_charts_run_as_long_as_designed(rng):
    looks = rng.normal(0, 1, (400, 4000))
    runs = cusum(looks, slack=0.5, limit=cusum_limit(1000.0, slack=0.5))
    assert 400 * 4000 / np.count_nonzero(runs.alarm) == pytest.approx(500, rel=0.1), "both sides together"
    said = ewma(looks, weight=0.1, limit=ewma_limit(1000.0, weight=0.1))
    assert 400 * 4000 / np.count_nonzero(said.alarm) == pytest.approx(1000, rel=0.15)


def test_a_chart_finds_a_slow_fall_and_says_since_when(rng):
    looks = rng.normal(0, 1, (200, 300))
    looks[:, 200:] -= 1.0
    runs = cusum(looks, slack=0.5, limit=cusum_limit(50_000.0, slack=0.5))
    first = np.array([np.flatnonzero(row < 0)[0] for row in runs.alarm])
    began = runs.began[np.arange(200), first]
    assert np.median(first) < 225 and abs(np.median(began) - 200) <= 2


def test_looks_without_a_number_change_nothing(rng):
    looks = rng.normal(0, 1, (5, 400))
    sparse = np.full((5, 800), np.nan)
    sparse[:, ::2] = looks
    runs, apart = cusum(looks, slack=0.5, limit=3.0), cusum(sparse, slack=0.5, limit=3.0)
    assert np.array_equal(apart.alarm[:, ::2], runs.alarm) and not apart.alarm[:, 1::2].any()


def test_one_wild_look_alone_alarms_no_chart():
    looks = np.zeros((1, 50))
    looks[0, 20] = 1000.0
    assert not cusum(looks, slack=0.5, limit=5.0).alarm.any()


def test_of_two_charts_the_one_that_suits_the_shift_alarms_first_and_tells_when_it_began():
    looks = np.zeros((1, 40))
    looks[0, 20:] = 3.0
    slow, fast = (cusum(looks, slack=slack, limit=cusum_limit(10_000.0, slack=slack)) for slack in (0.5, 1.5))
    both = first_of([slow, fast])
    first = [int(np.flatnonzero(runs.alarm[0])[0]) for runs in (slow, fast, both)]
    assert first[1] < first[0] and first[2] == first[1]
    assert both.began[0, first[2]] == 20 and both.statistic[0, first[2]] >= 1
    assert not both.alarm[0, :20].any()
