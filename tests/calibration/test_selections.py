"""What is selected stays unbiased: with flags that come late, and where windows are drawn by bottom-k."""

import numpy as np
import pytest

from onlineeval_dagster.catalog.sampling_file import Stratum
from tests.calibration.selections import bottom_k, day_estimates, late_flags

DAYS = 4_000
ERROR = (0.95 * 0.05 / DAYS) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("late_share", [0.0, 0.8])
def test_late_flags_leave_the_estimate_unbiased_and_its_interval_true(late_share):
    found = late_flags(DAYS, np.random.default_rng(5), late_share=late_share)
    bias, error = found.bias
    assert abs(bias) < 3.5 * error + 0.0005, "Hájek's own bias is of the order 1 / n"
    assert found.kept.answered.all()
    assert 0.94 - 3 * ERROR < found.covered < 0.96 + 3 * ERROR


@pytest.mark.slow
def test_verdicts_that_late_flags_brought_would_bias_it_by_two_points():
    found = late_flags(DAYS, np.random.default_rng(6))
    lent = float(found.lent.mean()) - found.truth
    assert lent == pytest.approx(-0.02, abs=0.005)
    assert abs(found.bias[0]) < abs(lent) / 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [Stratum(size=20), Stratum(rate=0.1, floor=15), Stratum(size=120)], ids=["size 20", "floor 15", "size 120"]
)
def test_weighing_by_the_threshold_is_unbiased_late_answers_and_all(rule):
    found = bottom_k(400, np.random.default_rng(7), rule)
    error = (found.weighed - found.truth).ravel()
    assert abs(error.mean()) < 3.5 * error.std() / np.sqrt(len(error))
    assert (found.selected >= np.minimum(rule.at_least, found.on_time)).all()
    assert rule.size is None or (found.selected <= rule.size).all()


@pytest.mark.slow
def test_without_the_threshold_late_answers_are_counted_wrongly():
    """Dividing the window's answers by its size takes those selected late for some of the k: 11 % too many."""
    found = bottom_k(400, np.random.default_rng(8), Stratum(size=20))
    assert found.by_size.mean() / found.truth.mean() == pytest.approx(1.11, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Stratum(size=60), Stratum(rate=0.3, floor=40)], ids=["size 60", "floor 40"])
def test_intervals_over_a_days_windows_cover_as_elsewhere(rule):
    found, truth = day_estimates(DAYS, np.random.default_rng(9), rule, windows=4)
    assert found.answered.all()
    covered = float(((found.low <= truth) & (truth <= found.high)).mean())
    assert 0.94 - 3 * ERROR < covered < 0.97 + 3 * ERROR
    bias = found.value - truth
    assert abs(bias.mean()) < 3.5 * bias.std() / np.sqrt(len(bias))
