"""The index of quality: fitted as its formula says, never on the labels it is measured by, and used only if better."""

import numpy as np
import pytest
from scipy.optimize import minimize

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.signals.agreement import auc
from onlineeval_dagster.signals.quality_index import (
    PENALTIES,
    best_penalty,
    catalog_index,
    cross_fitted,
    fit,
    fold_of,
    quality_index,
)
from onlineeval_dagster.signals.readings import Known, Readings


def axis_of(readings, good, *, scores=None, weight=None, user=None) -> Readings:
    count = len(good)
    return Readings(
        axis="relevance",
        design="audit",
        signals=tuple(Known(name=f"s{place}", kind="implicit") for place in range(readings.shape[1])),
        readings=readings,
        scores=readings if scores is None else scores,
        label=np.where(good, 3.0, 1.0),
        good=good,
        weight=np.ones(count) if weight is None else weight,
        user=np.array([f"u{place}" for place in (range(count) if user is None else user)], dtype=object),
    )


SLOPES = np.array([1.5, 0.8, -0.6, 0.0, 0.0])


def drawn(rows: int, *, seed: int = 1, missing: float = 0.3):
    """Five readings: two speak for an answer, one against it, two say nothing; a third of each is not there."""
    rng = np.random.default_rng(seed)
    readings = rng.normal(size=(rows, 5)) * [1, 5, 0.2, 1, 1] + [0, 3, 0, 0, 9]
    logit = ((readings - [0, 3, 0, 0, 9]) / [1, 5, 0.2, 1, 1]) @ SLOPES
    readings[rng.random(readings.shape) < missing] = np.nan
    logit = logit + 1
    return readings, rng.random(rows) < 1 / (1 + np.exp(-logit))


def test_the_fit_is_the_least_of_its_loss() -> None:
    readings, good = drawn(400)
    weight = np.random.default_rng(2).choice([1.0, 9.0], 400)
    found = fit(readings, good, weight, 10.0)
    z = np.clip(np.nan_to_num((readings - found.centre) / found.scale), -4, 4)

    def loss(beta) -> float:
        logit = beta[0] + z @ beta[1:]
        one = np.logaddexp(0, logit) - good * logit
        return float((weight / weight.mean() * one).sum() + 5 * (beta[1:] ** 2).sum() + 0.0005 * beta[0] ** 2)

    least = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-8})
    assert np.r_[found.intercept, found.weight] == pytest.approx(least.x, abs=1e-3)


def test_with_many_labels_the_weights_are_those_of_the_world() -> None:
    readings, good = drawn(40_000, missing=0.0)
    found = fit(readings, good, np.ones(len(good)), 1.0)
    # The largest standard error of a slope is .016 at this size; four of them.
    assert found.weight == pytest.approx(SLOPES, abs=0.07)


def test_units_do_not_matter_and_what_never_varies_weighs_nothing() -> None:
    readings, good = drawn(300)
    one = np.ones(300)
    other = np.column_stack([readings * 1000 + 7, np.full(300, 3.0), np.full(300, np.nan)])
    first, second = fit(readings, good, one, 3.0), fit(other, good, one, 3.0)
    assert second.weight[:5] == pytest.approx(first.weight, abs=1e-6)
    assert second.weight[5:].tolist() == [0.0, 0.0]
    assert second.index(other) == pytest.approx(first.index(readings), abs=1e-6)


def test_a_perfect_signal_and_a_fold_of_good_answers_only_have_finite_weights() -> None:
    good = np.arange(60) >= 30
    perfect = fit(good[:, None].astype(float), good, np.ones(60), 1.0)
    assert 0 < perfect.weight[0] < 10
    only = fit(np.random.default_rng(1).normal(size=(60, 2)), np.ones(60, dtype=bool), np.ones(60), 1.0)
    assert np.isfinite(only.intercept) and 0.9 < only.index(np.zeros((1, 2)))[0] < 1


def test_an_odd_reading_is_cut_at_four_standard_deviations() -> None:
    readings, good = drawn(300, missing=0.0)
    found = fit(readings, good, np.ones(300), 3.0)
    far, farther = readings[:1].copy(), readings[:1].copy()
    far[0, 0], farther[0, 0] = 100, 1e9
    assert found.index(far) == pytest.approx(found.index(farther))


def test_a_users_answers_are_in_one_fold_and_users_spread_over_five() -> None:
    user = np.array([f"u{number % 500}" for number in range(2_000)], dtype=object)
    folds = fold_of(user)
    assert all(len(set(folds[user == name])) == 1 for name in set(user))
    assert np.bincount(folds, minlength=5) == pytest.approx(400, rel=0.35)
    assert (fold_of(user[:7]) == folds[:7]).all()  # whoever else is there


def test_out_of_fold_nothing_is_known_of_pure_noise_even_where_users_are_alike() -> None:
    # 40 signals that are the same for all answers of a user, whose quality is the user's own: every label of a user
    # gives the others away. By rows the AUC would be .9; by users it is one half.
    by_users, by_rows = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        user = np.arange(300) // 4
        readings, good = rng.normal(size=(75, 40))[user], (rng.random(75) < 0.5)[user]
        axis = axis_of(readings, good, user=user)
        for found, folds in ((by_users, fold_of(axis.user)), (by_rows, np.arange(300) % 5)):
            found.append(value(auc(cross_fitted(readings, good, axis.weight, folds), good)))
    # One world's AUC has a standard deviation of .1: the mean of twelve is known to .03.
    assert np.mean(by_users) == pytest.approx(0.5, abs=0.09)
    assert np.mean(by_rows) > 0.8


def value(found) -> float:
    assert isinstance(found, Estimate)
    return found.value


def test_the_out_of_fold_auc_is_what_fresh_answers_give() -> None:
    readings, good = drawn(600, seed=5)
    axis = axis_of(readings, good)
    found = quality_index(axis)
    assert isinstance(found.fitted_auc, Estimate)
    fresh, fresh_good = drawn(40_000, seed=6)
    weights = fit(readings, good, axis.weight, best_penalty(readings, good, axis.weight, fold_of(axis.user)))
    truth = value(auc(weights.index(fresh), fresh_good))
    assert found.fitted_auc.low <= truth <= found.fitted_auc.high
    alone = np.where(np.isnan(fresh), weights.centre, fresh) * np.sign(weights.weight)
    assert truth > max(value(auc(column, fresh_good)) for column in alone.T) + 0.03


def test_fitted_weights_replace_the_catalogs_where_these_point_the_wrong_way() -> None:
    readings, good = drawn(800, seed=7)
    backwards = np.clip(-readings, -1, 1)
    found = quality_index(axis_of(readings, good, scores=backwards))
    assert found.method == "fitted" and found.reason is None and found.fitted is not None
    assert isinstance(found.gain, Estimate) and found.gain.low > 0.2
    assert found.fitted.penalty in PENALTIES


def test_where_the_catalog_is_as_good_as_it_gets_its_weights_stay() -> None:
    readings, good = drawn(800, seed=8)
    logit = np.nan_to_num((readings - [0, 3, 0, 0, 9]) / [1, 5, 0.2, 1, 1]) @ SLOPES
    found = quality_index(axis_of(readings, good, scores=logit[:, None]))
    assert found.method == "catalog" and found.fitted is None
    assert (found.reason or "").startswith("fitted weights are not shown to be better on other users' answers: AUC ")
    assert isinstance(found.fitted_auc, Estimate) and isinstance(found.catalog_auc, Estimate)


@pytest.mark.parametrize(("rows", "poor"), [(99, 40), (500, 19)])
def test_below_the_needed_labels_nothing_is_fitted(rows: int, poor: int) -> None:
    readings, _ = drawn(rows)
    good = np.arange(rows) >= poor
    found = quality_index(axis_of(readings, good, scores=-readings))
    assert found.method == "catalog" and found.fitted is None
    assert found.reason == f"{rows} labelled answers, {poor} of the rarer outcome; fitting needs 100 and 20"


def test_the_catalogs_index_is_the_mean_of_the_scores_that_are_there() -> None:
    nothing = np.nan
    scores = np.array([[1.0, -0.5, nothing], [nothing, nothing, nothing], [0.8, nothing, nothing]])
    assert catalog_index(scores).tolist() == [0.25, 0.0, 0.8]
