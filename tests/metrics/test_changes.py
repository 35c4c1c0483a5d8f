"""Changes found looking back, and surprises found looking at the past alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.metrics.changes import _cheapest, _Cost, change_points
from onlineeval_dagster.metrics.records import false_alarm, surprises


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def every_partition(cost, n, price, shortest):
    """The same optimum, no start ever left out."""
    best, last = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=int)
    best[0] = -price
    for end in range(shortest, n + 1):
        starts = np.array([0, *range(shortest, end - shortest + 1)])
        totals = best[starts] + cost(starts, end) + price
        best[end], last[end] = totals.min(), starts[totals.argmin()]
    found, end = [], n
    while last[end] > 0:
        end = int(last[end])
        found.append(end)
    return found[::-1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(2, 7), st.floats(2, 40))
def test_pruning_never_loses_the_cheapest_segments(seed, trend, shortest, price):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, 60) + np.repeat(rng.normal(0, 3, 6), 10)
    cost = _Cost.of(values[:, None], trend=trend)
    assert _cheapest(cost, 60, price, shortest) == every_partition(cost, 60, price, shortest)


def test_steps_of_the_level_are_found_where_they_are(rng):
    values = rng.normal(0, 1, 300)
    values[100:] += 4
    values[220:] -= 3
    assert change_points(values) == pytest.approx((100, 220), abs=2)


def test_noise_has_no_changes(rng):
    assert sum(len(change_points(rng.normal(0, 1, 400))) for _ in range(40)) <= 2


def test_growth_is_a_change_of_level_and_none_of_trend(rng):
    values = np.linspace(0, 30, 200) + rng.normal(0, 1, 200)
    assert len(change_points(values)) > 1 and change_points(values, shape="trend") == ()


def test_a_change_in_one_of_two_dimensions_is_a_change(rng):
    values = rng.normal(0, 1, (200, 2))
    values[120:, 1] += 5
    assert change_points(values) == pytest.approx((120,), abs=2)


def test_missing_points_are_counted_through(rng):
    values = rng.normal(0, 1, 200)
    values[120:] += 5
    values[30:60] = np.nan
    assert change_points(values) == pytest.approx((120,), abs=2)


@pytest.mark.parametrize("values", [np.array([]), np.ones(3), np.ones(100), np.full(50, np.nan)])
def test_too_little_or_nothing_that_moves_has_no_changes(values):
    assert change_points(values) == ()


def test_values_of_any_law_leave_their_range_as_rarely_as_said(rng):
    for values in (rng.normal(0, 1, (300, 400)), rng.lognormal(0, 3, (300, 400)), rng.standard_t(1, (300, 400))):
        told = surprises(values, recent=200, lasting=1, half_life=0.01)[:, 200:] > 0
        assert np.mean(told) == pytest.approx(2 / 201, rel=0.1)
        assert np.mean(told) <= false_alarm(200)


def test_a_surprise_that_goes_on_is_told_once(rng):
    values = rng.normal(0, 1, (1, 400))
    values[0, 300:320] += 12
    told = np.flatnonzero(surprises(values, recent=250, lasting=6, half_life=50)[0, 300:330] > 0.1)
    assert told[0] == 0 and len(told) <= 4


def test_a_small_loss_that_lasts_is_seen_by_the_median_alone(rng):
    values = rng.normal(0, 1, (1, 600))
    values[0, 500:] -= 2
    lasting = surprises(values, recent=450, lasting=24, half_life=30)[0, 500:540]
    spikes = surprises(values, recent=450, lasting=1, half_life=30)[0, 500:540]
    assert lasting.max() > 2 * spikes.max()


def test_surprises_look_at_the_past_alone(rng):
    values = rng.normal(0, 1, (2, 300))
    kw = {"recent": 100, "lasting": 6, "half_life": 20.0}
    assert np.array_equal(surprises(values, **kw)[:, :200], surprises(values[:, :200], **kw))
