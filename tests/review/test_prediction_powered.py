import dataclasses

import numpy as np
import pytest

from onlineeval_dagster.review.label_moments import LabelMoments
from onlineeval_dagster.review.prediction_powered import (
    NO_SPREAD,
    TOO_FEW_LABELS,
    TOO_FEW_RARE,
    change_of_means,
    corrected_means,
    difference,
    p_values,
    slope_of_labels,
)
from tests.review.label_worlds import graded_mean, graded_moments, scored_moments, scored_windows

RUNS = 800


def covered(low: np.ndarray, high: np.ndarray, truth: float = 0) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.9])
def test_intervals_cover_what_people_would_say_of_all(correlation):
    rng = np.random.default_rng(6)
    found = corrected_means(scored_moments(rng, RUNS, judged=1500, labels=75, correlation=correlation))
    assert found.answered.all()
    # Monte-Carlo error of 800 windows at 95 %: 0.8 points.
    assert covered(found.low, found.high) == pytest.approx(0.95, abs=3 * 0.008)


def test_a_judge_of_correlation_seven_tenths_saves_a_quarter_of_the_width_and_a_useless_one_costs_nothing():
    rng, widths = np.random.default_rng(7), {}
    for correlation in (0.0, 0.7):
        totals, window, labels = scored_windows(rng, 200, judged=4000, labels=200, correlation=correlation)
        with_judge = corrected_means(LabelMoments.of_users(totals, window, labels=labels, groups=200))
        alone = totals.copy()
        alone[:, [1, 4]] = 0  # a judge that says the same of all
        by_hand = corrected_means(LabelMoments.of_users(alone, window, labels=labels, groups=200))
        widths[correlation] = ((with_judge.high - with_judge.low) / (by_hand.high - by_hand.low)).mean()
    assert widths[0.7] <= 0.75  # theory: sqrt(1 - 0.49 * (1 - 1/20)) = 0.731
    assert widths[0.0] <= 1.0


def test_the_raw_mean_of_a_flattering_judge_is_wrong_and_the_corrected_one_is_not():
    found = corrected_means(scored_moments(np.random.default_rng(8), 1, judged=6000, labels=300, correlation=0.7))
    assert found.raw[0] == pytest.approx(0.5, abs=0.05)  # this judge gives half a point too much
    assert found.low[0] <= 0 <= found.high[0]


def test_a_constant_on_all_labels_moves_the_interval_and_nothing_else():
    totals, window, labels = scored_windows(np.random.default_rng(9), 3, judged=900, labels=90, correlation=0.6)
    moved = totals.copy()
    moved[:, 3] += 10 * totals[:, 2]
    one, other = (
        corrected_means(LabelMoments.of_users(each, window, labels=labels, groups=3)) for each in (totals, moved)
    )
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(getattr(other, name) - getattr(one, name), 10, rtol=1e-9)
    for name in ("error", "power", "raw"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-6)


def test_moments_of_disjoint_users_add_up():
    totals, window, labels = scored_windows(np.random.default_rng(10), 2, judged=900, labels=90, correlation=0.6)
    half = np.arange(len(totals)) % 2 == 0
    parts = [LabelMoments.of_users(totals[some], window[some], labels=labels[some], groups=2) for some in (half, ~half)]
    whole = corrected_means(LabelMoments.of_users(totals, window, labels=labels, groups=2))
    np.testing.assert_allclose(corrected_means(parts[0] + parts[1]).low, whole.low, rtol=1e-10)


def test_two_worlds_alike_differ_by_nothing_in_95_of_100():
    rng = np.random.default_rng(11)
    first, second = (
        corrected_means(scored_moments(rng, RUNS, judged=1000, labels=60, correlation=0.7)) for _ in range(2)
    )
    found = difference(first, second)
    assert covered(found.low, found.high) == pytest.approx(0.95, abs=3 * 0.008)
    mirrored = difference(second, first)
    np.testing.assert_allclose(mirrored.low, -found.high)


def test_a_day_borrows_the_correction_of_a_month_with_its_error():
    rng = np.random.default_rng(12)
    day = scored_moments(rng, RUNS, judged=400, labels=1, correlation=0.7)
    month = scored_moments(rng, RUNS, judged=3000, labels=150, correlation=0.7)
    alone, borrowed = corrected_means(day), corrected_means(day, borrowed=month)
    assert not alone.answered.any() and set(alone.reason) == {TOO_FEW_LABELS}
    assert covered(borrowed.low, borrowed.high) == pytest.approx(0.95, abs=3 * 0.008)


@pytest.mark.parametrize("label", [1.0, 3.0, 0.1])
def test_labels_that_are_all_equal_are_told_as_such_and_not_as_certainty(label):
    totals, window, labels = scored_windows(np.random.default_rng(13), 20, judged=900, labels=90, correlation=0.6)
    totals[:, 2:] *= np.random.default_rng(14).uniform(1, 9, (len(totals), 1))  # their chances differ
    totals[:, 3] = label * totals[:, 2]
    found = corrected_means(LabelMoments.of_users(totals, window, labels=labels, groups=20))
    assert set(found.reason) == {NO_SPREAD} and np.isnan(found.value).all()


@pytest.mark.parametrize("is_sampled", [False, True])
def test_skewed_scores_are_covered_where_they_have_a_number(is_sampled):
    rng = np.random.default_rng(31)
    judged = 1000 if is_sampled else 2000
    found = [
        corrected_means(
            graded_moments(rng, 100, judged=judged, labels=100, rate=0.92, judge="useless", is_sampled=is_sampled)
        )
        for _ in range(15)
    ]
    answered, low, high = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("answered", "low", "high")
    )
    assert 0.7 < answered.mean() < 0.95
    # Some 1,200 windows: Monte-Carlo error 0.63 points. Student's limits hold 91 % of all windows.
    held = ((low <= graded_mean(0.92)) & (graded_mean(0.92) <= high))[answered]
    assert 0.94 - 3 * 0.0063 <= held.mean() <= 0.97 + 3 * 0.0063


def test_of_fewer_than_five_labels_of_the_rarer_kind_nothing_is_said():
    rng = np.random.default_rng(32)
    found = corrected_means(graded_moments(rng, 100, judged=1000, labels=50, rate=0.98, judge="good"))
    assert found.answered.mean() < 0.05
    assert set(found.reason[~found.answered]) <= {NO_SPREAD, TOO_FEW_RARE}


def test_limits_of_skewed_scores_and_their_p_value_agree_and_mirror_with_the_scale():
    moments = graded_moments(np.random.default_rng(33), 60, judged=4000, labels=200, rate=0.92, judge="good")
    found = corrected_means(moments)
    for null in (2.85, 2.9, 2.95):
        p = p_values(found, null=null)
        np.testing.assert_array_equal(p < 0.05, (null < found.low) | (null > found.high))
    assert (found.value - found.low > found.high - found.value).mean() > 0.9, (
        "the tail of bad answers is the longer one"
    )
    turned = np.array([1.0, -1.0, 1.0, -1.0, -1.0])
    pair = turned[:, None] * turned
    mirror = corrected_means(
        dataclasses.replace(
            moments,
            sums=moments.sums * turned,
            products=moments.products * pair,
            cubes=moments.cubes * pair[:, :, None] * turned,
        )
    )
    np.testing.assert_allclose(mirror.low, -found.high)
    np.testing.assert_allclose(mirror.high, -found.low)


def test_the_p_value_is_below_five_percent_exactly_where_the_interval_leaves_the_value_out():
    rng = np.random.default_rng(14)
    first, second = (
        corrected_means(scored_moments(rng, 300, judged=1000, labels=60, correlation=0.7)) for _ in range(2)
    )
    for found in (first, difference(first, second)):
        for null in (0.0, 0.1):
            p = p_values(found, null=null)
            np.testing.assert_array_equal(p < 0.05, (null < found.low) | (null > found.high))
    assert np.mean(p_values(difference(first, second)) < 0.05) == pytest.approx(0.05, abs=3 * 0.0126)


def test_two_days_of_one_correction_are_compared_without_its_error():
    rng = np.random.default_rng(15)
    month = scored_moments(rng, RUNS, judged=3000, labels=150, correlation=0.7)
    days = [scored_moments(rng, RUNS, judged=400, labels=1, correlation=0.7) for _ in "12"]
    change, error = change_of_means(*days, month)
    assert covered(change - 1.96 * error, change + 1.96 * error) == pytest.approx(0.95, abs=3 * 0.008)
    levels = [corrected_means(day, borrowed=month) for day in days]
    apart = np.hypot(levels[0].error, levels[1].error)
    assert error.mean() < 0.75 * apart.mean()
    np.testing.assert_allclose(error, np.hypot(levels[0].own, levels[1].own), rtol=0.1)


def test_a_day_is_not_drawn_towards_its_month():
    rng = np.random.default_rng(19)
    month = scored_moments(rng, RUNS, judged=3000, labels=150, correlation=0.7)
    day = scored_moments(rng, RUNS, judged=400, labels=1, correlation=0.7)
    sums, products = day.sums.copy(), day.products.copy()
    sums[:, 1] += 0.4 * day.sums[:, 0]  # the judge's scores are .4 higher on this day
    products[:, 0, 1] += 0.4 * day.products[:, 0, 0]
    products[:, 1, 1] += 0.8 * day.products[:, 0, 1] + 0.16 * day.products[:, 0, 0]
    products[:, 1, 0] = products[:, 0, 1]
    found = corrected_means(dataclasses.replace(day, sums=sums, products=products), borrowed=month)
    truth = 0.7 * 0.4  # what such scores were worth in the month
    assert found.value.mean() == pytest.approx(truth, abs=0.015)
    assert covered(found.low, found.high, truth) == pytest.approx(0.95, abs=3 * 0.008)


def test_a_judge_that_sees_nothing_has_a_slope_that_may_be_nothing():
    rng = np.random.default_rng(16)
    for correlation, share in ((0.0, 0.95), (0.9, 0.0)):
        slope, error = slope_of_labels(scored_moments(rng, RUNS, judged=1500, labels=75, correlation=correlation))
        assert np.mean(np.abs(slope) < 1.99 * error) == pytest.approx(share, abs=3 * 0.008)


def test_the_judges_own_mean_has_its_own_interval_with_or_without_labels():
    few = corrected_means(scored_moments(np.random.default_rng(17), RUNS, judged=1500, labels=5, correlation=0.5))
    assert not few.answered.any() and np.isnan(few.value).all()
    assert covered(few.raw_low, few.raw_high, 0.5) == pytest.approx(0.95, abs=3 * 0.008)


def test_buckets_of_users_give_the_same_as_users_where_each_has_one_of_its_own():
    totals, window, labels = scored_windows(np.random.default_rng(18), 2, judged=900, labels=90, correlation=0.6)
    of_users = corrected_means(LabelMoments.of_users(totals, window, labels=labels, groups=2))
    six = np.concatenate([totals, labels[:, None]], axis=1).reshape(2, -1, 6)
    np.testing.assert_allclose(corrected_means(LabelMoments.of_buckets(six)).high, of_users.high, rtol=1e-10)
