import dataclasses

import numpy as np
import pytest

from onlineeval_dagster.review.cells import change_of_rates, corrected_rates
from onlineeval_dagster.review.prediction_powered import TOO_FEW_LABELS, TOO_FEW_RARE
from onlineeval_dagster.review.simple_rates import change_of_simple_rates, rogan_gladen_rates
from tests.review.label_worlds import SEES, celled_windows

RUNS = 600


@pytest.mark.parametrize("judge", SEES)
def test_intervals_cover_the_rate_that_people_would_find(judge):
    rng = np.random.default_rng(20)
    judged, labelled = celled_windows(rng, 10_000, judged=4000, labels=200, rate=0.92, judge=judge)
    found = corrected_rates(judged, labelled)
    assert found.answered.mean() > 0.99
    low, high = (found.low > 0.92).mean(), (found.high < 0.92).mean()
    # Monte-Carlo error of 10,000 windows at 95 %: 0.22 points. Neither side has more than its share of the misses.
    assert 0.94 - 3 * 0.0022 <= 1 - low - high <= 0.96 + 3 * 0.0022
    assert max(low, high) < 0.0325 + 3 * 0.0018


def test_near_one_the_answer_is_mostly_that_there_are_not_enough_and_seldom_a_wrong_number():
    rng = np.random.default_rng(21)
    judged, labelled = celled_windows(rng, RUNS, judged=1000, labels=50, rate=0.98, judge="good")
    found = corrected_rates(judged, labelled)
    assert found.answered.mean() < 0.05 and set(found.reason[~found.answered]) == {TOO_FEW_RARE}
    wrong = found.answered & ~((found.low <= 0.98) & (found.high >= 0.98))
    assert wrong.mean() <= 0.05


def test_a_good_judge_narrows_the_interval_and_a_useless_one_does_not_widen_it():
    rng, widths = np.random.default_rng(22), {}
    for judge in SEES:
        judged, labelled = celled_windows(rng, 100, judged=4000, labels=200, rate=0.85, judge=judge)
        found = corrected_rates(judged, labelled)
        widths[judge] = float((found.high - found.low).mean())
    alone = 2 * 1.96 * np.sqrt(0.85 * 0.15 / 200)
    assert widths["good"] < 0.7 * alone < widths["bad"] < widths["useless"] < 1.05 * alone


def test_a_day_borrows_the_cells_of_a_month():
    rng = np.random.default_rng(23)
    judged, labelled = celled_windows(rng, 50, judged=4000, labels=200, rate=0.9, judge="good")
    month = dataclasses.replace(
        labelled, rate=labelled.rate[:1], size=labelled.size[:1], labels=labelled.labels[:1], failed=labelled.failed[:1]
    )
    found = corrected_rates(judged, month, at=np.zeros(50, dtype=np.int64))
    assert found.answered.all() and set(found.labels) == {200}


def test_too_few_labels_are_told_before_anything_else():
    rng = np.random.default_rng(24)
    judged, labelled = celled_windows(rng, 2, judged=400, labels=20, rate=0.5, judge="good")
    found = corrected_rates(judged, labelled)
    assert list(found.reason) == [TOO_FEW_LABELS] * 2 and np.isnan(found.low).all()


def test_cells_without_a_label_leave_the_interval_wide_and_defined():
    rng = np.random.default_rng(25)
    judged, labelled = celled_windows(rng, 1, judged=4000, labels=200, rate=0.85, judge="good")
    rate, size = labelled.rate.copy(), labelled.size.copy()
    rate[:, 1] = size[:, 1] = 0
    found = corrected_rates(judged, dataclasses.replace(labelled, rate=rate, size=size))
    assert found.answered.all() and 0 < found.low[0] < found.high[0] < 1
    full = corrected_rates(judged, labelled)
    assert found.high[0] - found.low[0] > full.high[0] - full.low[0]


def test_where_an_answer_is_rare_the_intervals_of_those_that_have_one_still_hold():
    rng = np.random.default_rng(26)
    judged, labelled = celled_windows(rng, 2 * RUNS, judged=1000, labels=50, rate=0.92, judge="bad")
    found = corrected_rates(judged, labelled)
    assert 0.3 < found.answered.mean() < 0.45
    held = ((found.low <= 0.92) & (found.high >= 0.92))[found.answered]
    # Some 450 of them: Monte-Carlo error 1 point. Without the chance of an answer 88 % hold.
    assert held.mean() >= 0.95 - 3 * 0.0103


def test_two_days_are_compared_without_the_error_of_what_a_score_is_worth():
    rng = np.random.default_rng(27)
    _, month = celled_windows(rng, RUNS, judged=4000, labels=200, rate=0.85, judge="good")
    days = [celled_windows(rng, RUNS, judged=400, labels=1, rate=0.85, judge="good")[0] for _ in "12"]
    change, error = change_of_rates(*days, month)
    assert (np.abs(change) <= 1.96 * error).mean() == pytest.approx(0.95, abs=3 * 0.009)
    rates = [corrected_rates(day, month) for day in days]
    assert error.mean() < 0.75 * np.hypot(rates[0].error, rates[1].error).mean()


def test_the_judges_own_rate_has_its_own_interval_without_labels():
    rng = np.random.default_rng(28)
    judged, labelled = celled_windows(rng, RUNS, judged=400, labels=20, rate=0.9, judge="useless")
    found = corrected_rates(judged, labelled)
    assert not found.answered.any()
    assert ((found.raw_low <= 0.5) & (found.raw_high >= 0.5)).mean() == pytest.approx(0.95, abs=3 * 0.009)


PASSING = np.array([False, False, True])


@pytest.mark.parametrize("judge", ["good", "bad"])
def test_rogan_and_gladens_correction_covers_and_is_wider(judge):
    rng = np.random.default_rng(29)
    judged, labelled = celled_windows(rng, 2_000, judged=4000, labels=200, rate=0.85, judge=judge)
    simple = rogan_gladen_rates(judged, labelled, PASSING, at=np.arange(2_000))
    some = simple.answered
    assert some.mean() > 0.97
    held = ((simple.low <= 0.85) & (simple.high >= 0.85))[some].mean()
    assert 0.94 - 3 * 0.005 <= held <= 0.98, "its interval is made to cover at the least"
    cells = corrected_rates(judged, labelled)
    assert (simple.high - simple.low)[some].mean() > (cells.high - cells.low)[some].mean()


def test_rogan_and_gladens_change_covers_and_a_useless_judge_gets_no_number():
    rng = np.random.default_rng(30)
    _, month = celled_windows(rng, 1_000, judged=4000, labels=200, rate=0.85, judge="good")
    now, then = (celled_windows(rng, 1_000, judged=400, labels=1, rate=rate, judge="good")[0] for rate in (0.9, 0.8))
    change, error = change_of_simple_rates(now, then, month, PASSING, at=np.arange(1_000))
    assert (np.abs(change - 0.1) <= 1.96 * error).mean() == pytest.approx(0.95, abs=3 * 0.007)
    nothing = rogan_gladen_rates(
        *celled_windows(rng, 50, judged=4000, labels=200, rate=0.85, judge="useless"), PASSING, at=np.arange(50)
    )
    assert (~nothing.answered).mean() > 0.3 and "passes bad answers" in set(nothing.reason[~nothing.answered]).pop()
