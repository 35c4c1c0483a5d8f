"""The rhythm is projected from the days before, and what is left behaves as said."""

from datetime import date, timedelta

import numpy as np
import pytest

from onlineeval_dagster.metrics.days import days_of
from onlineeval_dagster.metrics.detrend import detrend
from tests.metrics.rhythms import series, weekdays


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_what_is_left_of_a_known_rhythm_is_its_noise_and_is_standardised(rng):
    found = detrend(series(rng), weekdays(42))
    late = np.s_[:, 28:]
    assert np.nanstd(found.residual[late]) == pytest.approx(0.03, rel=0.08)
    assert np.nanstd(found.standardised[late]) == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.abs(found.standardised[late]) > 3) < 0.006


def test_noise_without_a_rhythm_is_given_none(rng):
    found = detrend(rng.normal(0, 1, (40, 42, 24)), weekdays(42))
    assert np.nanstd(found.expected[:, 28:]) < 0.25, "28 days of noise have a mean a slot of 0.19"
    assert np.nanstd(found.standardised[:, 28:]) == pytest.approx(1.0, abs=0.04)


def test_a_step_in_the_newest_hours_stays_whole_in_the_residual(rng):
    values = series(rng, noise=1.0, growth=0, weekend=0, swing=3)
    values[:, -1, -6:] += 4.0
    found = detrend(values, weekdays(42))
    assert np.mean(found.residual[:, -1, -6:]) == pytest.approx(4.0, abs=0.25)


def test_nothing_of_a_day_depends_on_itself_or_on_what_comes_after(rng):
    values = series(rng, count=3)
    whole, cut = detrend(values, weekdays(42)), detrend(values[:, :31], weekdays(31))
    assert np.array_equal(whole.expected[:, :31], cut.expected, equal_nan=True)
    changed = values.copy()
    changed[:, 30, 5] += 100
    assert np.array_equal(detrend(changed, weekdays(42)).expected[:, 30], whole.expected[:, 30])


def test_an_outage_a_week_ago_becomes_neither_rhythm_nor_excuse(rng):
    values = series(rng)
    clean = detrend(values, weekdays(42))
    values[:, 34, 8:12] -= 0.5
    found = detrend(values, weekdays(42))
    assert np.abs(found.expected[:, 41] - clean.expected[:, 41]).max() < 0.04, "a mean of four Sundays: 0.125"
    assert np.nanmedian(found.scale[:, 41] / clean.scale[:, 41]) < 1.1


def test_an_incident_that_is_known_is_no_history_at_all(rng):
    values = series(rng)
    clean = detrend(values, weekdays(42))
    values[:, 36:40] -= 0.5
    usable = np.ones(values.shape, dtype=bool)
    usable[:, 36:40] = False
    apart = np.abs(detrend(values, weekdays(42), usable=usable).expected[:, 41] - clean.expected[:, 41])
    taken_in = np.abs(detrend(values, weekdays(42)).expected[:, 41] - clean.expected[:, 41])
    assert apart.mean() < 0.02 < taken_in.mean()


def test_missing_hours_are_missing_and_the_others_stay_as_they_are(rng):
    values = series(rng)
    holes = rng.random(values.shape) < 0.3
    found = detrend(np.where(holes, np.nan, values), weekdays(42))
    assert np.isnan(found.residual[holes]).all()
    assert np.nanstd(found.standardised[:, 28:]) == pytest.approx(1.0, abs=0.06)
    assert np.isfinite(found.expected[:, 28:]).all(), "there is an expectation where the hour itself is missing"


def test_hours_that_nobody_ever_uses_have_no_expectation(rng):
    values = series(rng, count=2)
    values[:, :, 2:5] = np.nan
    found = detrend(values, weekdays(42))
    assert np.isnan(found.expected[:, :, 2:5]).all() and np.isfinite(found.expected[:, 7:, 5:]).all()


def test_fewer_than_seven_days_are_no_baseline_and_say_how_many_there_are(rng):
    values = series(rng, count=1)
    values[:, :10] = np.nan
    found = detrend(values, weekdays(42))
    assert np.isnan(found.expected[:, :17]).all() and np.isfinite(found.expected[:, 17]).all()
    assert found.history_days[0, 16] == 6 and found.history_days[0, 17] == 7


def test_points_of_few_answers_are_measured_by_their_own_error(rng):
    answers = rng.poisson(130 * (0.05 + np.sin(np.arange(24) / 24 * np.pi) ** 2), (60, 42, 24))
    share = np.where(answers > 0, rng.binomial(answers, 0.8) / np.maximum(answers, 1), np.nan)
    error = np.sqrt(0.16 / np.maximum(answers, 1))
    found = detrend(share, weekdays(42), error=error).standardised[:, 28:]
    night, noon = np.nanstd(found[:, :, 0]), np.nanstd(found[:, :, 12])
    assert night == pytest.approx(1, abs=0.15) and noon == pytest.approx(1, abs=0.15)


def test_counts_that_double_are_a_log_ratio(rng):
    values = 1000 * np.exp(series(rng, noise=0.1))
    values[:, 41] *= 2
    found = detrend(values, weekdays(42), link="log")
    assert np.mean(found.residual[:, 41]) == pytest.approx(np.log(2), abs=0.03)
    assert np.median(values[:, 40] / found.expected[:, 40]) == pytest.approx(1, abs=0.03)


def test_what_a_slot_missed_yesterday_is_partly_expected_today(rng):
    shared = np.zeros((200, 42, 24))
    for day in range(1, 42):
        shared[:, day] = 0.6 * shared[:, day - 1] + rng.normal(0, 0.03, (200, 24))
    left = detrend(shared, weekdays(42)).residual[:, 21:]
    correlation = (left[:, 1:] * left[:, :-1]).sum() / (left**2).sum()
    assert abs(correlation) < 0.1


def test_a_holiday_behaves_like_the_sunday_that_the_data_say_it_is(rng):
    days = 42
    instants = np.datetime64("2026-11-02T00", "us") + np.arange(days * 24) * np.timedelta64(3600, "s").astype("m8[us]")
    holiday = date(2026, 12, 8)  # a Tuesday
    kind = days_of(instants, step=timedelta(hours=1), holidays={holiday: 6}).weekday
    plain = days_of(instants, step=timedelta(hours=1)).weekday
    assert plain[36] == 1 and kind[36] == 6
    values = 10 - 5.0 * (kind == 6)[None, :, None] + rng.normal(0, 0.2, (20, days, 24))
    assert abs(np.mean(detrend(values, kind).residual[:, 36])) < 0.3
    assert np.mean(detrend(values, plain).residual[:, 36]) == pytest.approx(-5, abs=0.5)


def test_clocks_that_change_have_days_of_23_and_25_hours():
    begin = np.datetime64("2026-10-24T22:00", "us")  # midnight of the 25th in Berlin, when summer time ends
    instants = begin + np.arange(25) * np.timedelta64(3600, "s").astype("m8[us]")
    found = days_of(instants, step=timedelta(hours=1), zone="Europe/Berlin")
    assert set(found.day) == {0} and list(found.slot[:5]) == [0, 1, 2, 2, 3]
    grid = found.grid(np.arange(25.0)[None])
    assert grid[0, 0, 2] == 3 and found.at_instants(grid)[0, 2] == 3
    spring = np.datetime64("2026-03-28T23:00", "us") + np.arange(23) * np.timedelta64(3600, "s").astype("m8[us]")
    hours = days_of(spring, step=timedelta(hours=1), zone="Europe/Berlin")
    assert set(hours.day) == {0} and 2 not in hours.slot


def test_a_step_that_does_not_divide_a_day_is_refused():
    with pytest.raises(ValueError, match="divide a day"):
        days_of(np.array(["2026-01-01"], "M8[us]"), step=timedelta(hours=7))
