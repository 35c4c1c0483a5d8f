import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.review.calibration import calibration_map, cross_fitted, reliability, rogan_gladen

PAIRS = st.lists(st.tuples(st.sampled_from([1.0, 1.5, 2.0, 2.5, 3.0]), st.integers(1, 3)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_a_higher_score_is_never_worth_less_and_the_mean_stays(pairs):
    judge, people = np.array(pairs, dtype=float).T
    fitted = calibration_map(judge, people)
    assert (np.diff(fitted.expected) >= -1e-12).all()
    assert fitted(judge).mean() == pytest.approx(people.mean())
    assert (fitted.labels >= 1).all() and set(fitted.scores) == set(judge)


def test_scores_beyond_those_seen_are_worth_the_nearest_one():
    fitted = calibration_map([1.5, 2.5], [1, 3])
    np.testing.assert_allclose(fitted([1, 1.5, 2, 3]), [1, 1, 2, 3])


def test_blocks_say_how_many_labels_they_rest_on():
    fitted = calibration_map([1, 1, 2, 2, 3], [2, 2, 1, 1, 3])  # 1 and 2 are the wrong way round
    np.testing.assert_allclose(fitted.expected, [1.5, 1.5, 3])
    assert list(fitted.labels) == [4, 4, 1]


def test_out_of_fold_a_useless_judge_explains_nothing():
    rng = np.random.default_rng(40)
    judge, people = rng.normal(size=400), rng.normal(size=400)
    inside = 1 - ((people - calibration_map(judge, people)(judge)) ** 2).mean() / people.var()
    outside = 1 - ((people - cross_fitted(judge, people, np.arange(400))) ** 2).mean() / people.var()
    assert inside > 0 > outside


def test_items_of_one_cluster_never_teach_each_other():
    judge, people = np.arange(10.0), np.arange(10.0)
    assert np.isnan(cross_fitted(judge, people, np.zeros(10))).all()


def test_the_reliability_table_covers_what_people_give():
    rng, hits = np.random.default_rng(41), np.zeros(3)
    for _ in range(400):
        judge = rng.integers(1, 4, 120)
        people = 0.5 * judge + 1 + rng.normal(size=120)
        found = reliability(judge, people)
        hits += (found.low <= 0.5 * found.scores + 1) & (0.5 * found.scores + 1 <= found.high)
    # Monte-Carlo error of 400 runs at 95 %: 1.1 points.
    np.testing.assert_allclose(hits / 400, 0.95, atol=3 * 0.011)


@pytest.mark.parametrize(("rate", "hit", "reject"), [(0.85, 0.9, 0.8), (0.6, 0.8, 0.7)])
def test_rogan_gladen_covers_the_true_rate(rate, hit, reject):
    rng, hits = np.random.default_rng(42), 0
    for _ in range(500):
        good = int(rng.binomial(200, rate))
        both, neither = int(rng.binomial(good, hit)), int(rng.binomial(200 - good, reject))
        passed = int(rng.binomial(4000, rate * hit + (1 - rate) * (1 - reject)))
        found = rogan_gladen(passed, 4000, both=both, good=good, neither=neither, bad=200 - good)
        assert isinstance(found, Estimate)
        hits += found.low <= rate <= found.high
    # Monte-Carlo error of 500 runs at 95 %: 1 point. Lang and Reiczigel's interval lies a little above its level.
    assert 0.95 - 3 * 0.01 <= hits / 500 <= 0.985


def test_a_judge_that_passes_bad_answers_as_often_as_good_ones_corrects_nothing():
    found = rogan_gladen(500, 1000, both=50, good=100, neither=50, bad=100)
    assert isinstance(found, NotEnough) and "as often" in found.reason
    assert isinstance(rogan_gladen(900, 1000, both=90, good=97, neither=2, bad=3), NotEnough)
