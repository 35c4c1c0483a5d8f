"""Comparisons from moments: published numbers, laws that hold whatever the data, and answers that are refused."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from onlineeval_dagster.experiments.compare import (
    NEAR_ZERO,
    NO_ROWS,
    NO_SPREAD,
    TOO_FEW_RARE,
    TOO_FEW_UNITS,
    compare,
)
from onlineeval_dagster.experiments.moments import UnitMoments, moments_of_units
from onlineeval_dagster.experiments.strata import post_stratified
from tests.experiments.worlds import moments, units

RNG = np.random.default_rng(7)
FIELDS = ("value", "control", "difference", "error", "lift", "degrees", "removed")


def of(values: list[list[float]]) -> UnitMoments:
    """Units with one answer each, by arm."""
    rows = [(value, 1.0, arm) for arm, some in enumerate(values) for value in some]
    table = np.array(rows)
    return moments_of_units(table[:, :2], table[:, 2], (len(values),))


def test_welch_is_scipys() -> None:
    a, b = RNG.normal(3, 1, 23), RNG.normal(3.4, 2, 31)
    found = compare(of([[*a], [*b]]))
    told = stats.ttest_ind(b, a, equal_var=False)
    assert found.p_value()[0] == pytest.approx(told.pvalue, rel=1e-10)
    assert found.degrees[0] == pytest.approx(told.df, rel=1e-10)
    low, high = found.limits(found.quantile(0.05))
    assert (low[0], high[0]) == pytest.approx(tuple(told.confidence_interval()), rel=1e-9)


def test_students_sleep_data_gives_the_published_welch_test() -> None:
    # R: t.test(extra ~ group, data = sleep): t = -1.8608, df = 17.776, p = 0.07939, -3.3654832 0.2054832
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = compare(of([second, first]))
    low, high = found.limits(found.quantile(0.05))
    assert round(float(found.z()[0]), 4) == -1.8608
    assert round(float(found.degrees[0]), 3) == 17.776
    assert round(float(found.p_value()[0]), 5) == 0.07939
    assert (round(float(low[0]), 7), round(float(high[0]), 7)) == (-3.3654832, 0.2054832)


def test_p_values_far_out_are_small_and_not_zero() -> None:
    found = compare(moments(RNG, 20_000, lift=0.3, covariate=False))
    assert 0 < found.p_value()[0] < 1e-100


def test_a_ratio_is_clustered_by_unit() -> None:
    totals, arm = units(np.random.default_rng(1), 400, answers=6)
    found = compare(moments_of_units(totals[:, :2], arm, (2,)))
    y, d = totals[:, 0], totals[:, 1]
    by_arm = [arm == 0, arm == 1]
    ratio = [y[some].sum() / d[some].sum() for some in by_arm]
    rows = np.repeat(np.arange(400), d.astype(int))
    told = sm.OLS((y / d)[rows], sm.add_constant(arm[rows].astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": rows, "use_correction": False}
    )
    assert found.difference[0] == pytest.approx(ratio[1] - ratio[0])
    assert found.error[0] == pytest.approx(told.bse[1], rel=0.01)  # n - 1 against n


def test_cuped_is_regression_within_the_arms() -> None:
    totals, arm = units(np.random.default_rng(2), 900, arms=2, correlation=0.7, answers=1, lift=0.1)
    found = compare(moments_of_units(totals, arm, (2,)))
    past = totals[:, 2]
    told = sm.OLS(totals[:, 0], np.column_stack([np.ones(900), arm, past - past.mean()])).fit(cov_type="HC1")
    assert found.difference[0] == pytest.approx(told.params[1], abs=1e-3)
    assert found.error[0] == pytest.approx(told.bse[1], rel=0.01)
    assert found.removed[0] == pytest.approx(0.49, abs=0.06)


def test_new_units_have_no_past_and_cost_no_bias() -> None:
    lifts, errors = [], []
    for seed in range(300):
        world = moments(np.random.default_rng(seed), 400, correlation=0.9, answers=1, new=0.4, lift=0.2, mean=5)
        found = compare(world)
        lifts.append(found.difference[0])
        errors.append(found.error[0])
    assert np.mean(lifts) == pytest.approx(0.2, abs=4 * np.std(lifts) / 300**0.5)
    assert np.std(lifts) == pytest.approx(np.mean(errors), rel=0.13)
    plain = 0.5 * 2 / 400**0.5
    assert np.mean(errors) / plain == pytest.approx((1 - 0.6 * 0.81) ** 0.5, abs=0.03)


def test_a_covariate_that_does_not_vary_changes_nothing() -> None:
    totals, arm = units(np.random.default_rng(3), 200)
    totals[:, 2:] = 1.0
    plain, adjusted = (compare(moments_of_units(some, arm, (2,))) for some in (totals[:, :2], totals))
    for name in FIELDS:
        np.testing.assert_allclose(getattr(plain, name), getattr(adjusted, name), rtol=1e-9, atol=1e-12)


def test_fieller_and_the_contrast_it_inverts_agree() -> None:
    found = compare(moments(np.random.default_rng(4), 300, mean=2.0, correlation=0.5))
    low, high = found.lift_limits(1.96)
    for edge in (low, high):
        assert np.abs(found.z(edge)) == pytest.approx(1.96, rel=1e-9)
    assert low[0] < found.lift[0] < high[0]
    delta = found.lift[0] - 1.96 * found.lift_error[0], found.lift[0] + 1.96 * found.lift_error[0]
    assert (low[0], high[0]) == pytest.approx(delta, abs=0.002)


def test_a_lift_over_a_control_near_nothing_has_no_interval() -> None:
    low, high = compare(moments(np.random.default_rng(5), 100, mean=0.0)).lift_limits(1.96)
    assert np.isnan(low[0]) and np.isnan(high[0])
    assert "nothing" in NEAR_ZERO


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_swapping_the_arms_mirrors_the_result_and_units_scale(seed: int, scale: float) -> None:
    world = moments(np.random.default_rng(seed), 120, correlation=0.5, lift=0.1)
    here, there = compare(world), compare(world, control=1)
    assert here.difference[0] == pytest.approx(-there.difference[0], abs=1e-9)
    assert here.error[0] == pytest.approx(there.error[0], rel=1e-6)
    assert here.p_value()[0] == pytest.approx(there.p_value()[0], rel=1e-5)
    factor = np.ones(5)
    factor[1] = factor[3] = scale
    scaled = compare(UnitMoments(products=world.products * factor[:, None] * factor))
    assert scaled.difference[0] == pytest.approx(scale * here.difference[0], rel=1e-6, abs=1e-9)
    assert scaled.lift[0] == pytest.approx(here.lift[0], rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(scaled.lift_limits(2.0), here.lift_limits(2.0), rtol=1e-5, atol=1e-8)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_moments_of_disjoint_units_add_up(seed: int) -> None:
    totals, arm = units(np.random.default_rng(seed), 100, correlation=0.3)
    first, second = (moments_of_units(totals[part], arm[part], (2,)) for part in (slice(0, 40), slice(40, None)))
    both = moments_of_units(totals, arm, (2,))
    np.testing.assert_allclose((first + second).products, both.products, rtol=1e-12)


def test_two_weeks_are_the_units_joint_totals_not_the_sum_of_two_analyses() -> None:
    weeks = [units(np.random.default_rng(seed), 300)[0][:, :2] for seed in (1, 2)]
    arm = np.arange(300) % 2
    joint = compare(moments_of_units(weeks[0] + weeks[1], arm, (2,)))
    added = moments_of_units(weeks[0], arm, (2,)) + moments_of_units(weeks[1], arm, (2,))
    assert joint.units[0] == 150 and compare(added).units[0] == 300, "the same unit would count twice"
    ratio = [(weeks[0] + weeks[1])[arm == a].sum(axis=0) for a in (0, 1)]
    assert joint.difference[0] == pytest.approx(ratio[1][0] / ratio[1][1] - ratio[0][0] / ratio[0][1])


def test_metrics_arms_segments_and_looks_are_compared_in_one_pass() -> None:
    rng = np.random.default_rng(6)
    cell = rng.integers(0, 2 * 3 * 4 * 3, 6_000)
    totals = units(rng, 6_000, correlation=0.5)[0]
    world = moments_of_units(totals, cell, (2, 3, 4, 3))
    found = compare(world)
    assert found.difference.shape == (2, 3, 4, 2)
    alone = compare(UnitMoments(products=world.products[1, 2, 3]))
    for name in FIELDS:
        np.testing.assert_allclose(getattr(found, name)[1, 2, 3], getattr(alone, name), rtol=1e-9)


def test_what_cannot_be_compared_says_why() -> None:
    same, few, empty = of([[1.0] * 20, [1.0] * 20]), of([[1.0], [2.0, 3.0]]), of([[1.0, 2.0], [2.0, 1.0]])
    empty.products[1, :, 1:] = empty.products[1, 1:, :] = 0
    rare = of([[0.0] * 200 + [1.0] * 3, [0.0] * 150 + [1.0] * 50])
    all_good = of([[1.0] * 50, [1.0] * 40 + [0.0] * 10])
    for world, is_rate, why in (
        (same, False, NO_SPREAD),
        (few, False, TOO_FEW_UNITS),
        (empty, False, NO_ROWS),
        (rare, True, TOO_FEW_RARE),
        (all_good, True, TOO_FEW_RARE),
    ):
        found = compare(world, is_rate=is_rate)
        assert found.reason[0] == why
        assert np.isnan(found.difference[0]) and not found.answered[0]
    assert compare(of([[1.0, 2.0] * 10] * 2), needed=21).reason[0] == TOO_FEW_UNITS


def test_post_stratification_is_the_regression_on_strata_and_takes_out_their_noise() -> None:
    rng = np.random.default_rng(8)
    stratum, arm = rng.integers(0, 3, 3_000), rng.integers(0, 2, 3_000)
    y = 5.0 * stratum + rng.normal(size=3_000) + 0.1 * arm
    totals = np.column_stack([y, np.ones(3_000)])
    world = moments_of_units(totals, stratum * 2 + arm, (3, 2))
    found = compare(post_stratified(world))
    share = np.bincount(stratum) / 3_000
    by_hand = [y[(stratum == k) & (arm == 1)].mean() - y[(stratum == k) & (arm == 0)].mean() for k in range(3)]
    assert found.difference[0] == pytest.approx((share * by_hand).sum())
    assert found.error[0] == pytest.approx(2 / 3_000**0.5, rel=0.05)
    raw = compare(UnitMoments(products=world.products.sum(axis=0)))
    assert raw.error[0] > 4 * found.error[0]
    assert found.removed[0] == pytest.approx(1 - (found.error[0] / raw.error[0]) ** 2)


def test_post_stratified_variance_is_the_published_one() -> None:
    """Miratrix, Sekhon and Yu 2013: sum nu^2 (v_t + v_c) + d' (diag(nu) - nu nu') d / n."""
    rng = np.random.default_rng(10)
    stratum, arm = rng.integers(0, 3, 600), rng.integers(0, 2, 600)
    y = 2.0 * stratum + rng.normal(size=600) + 0.8 * arm * stratum
    found = compare(post_stratified(moments_of_units(np.column_stack([y, np.ones(600)]), stratum * 2 + arm, (3, 2))))
    share = np.bincount(stratum) / 600
    cells = [[y[(stratum == k) & (arm == a)] for a in (0, 1)] for k in range(3)]
    gap = np.array([one[1].mean() - one[0].mean() for one in cells])
    within = sum(nu**2 * sum(v.var(ddof=1) / len(v) for v in one) for nu, one in zip(share, cells, strict=True))
    between = gap @ (np.diag(share) - np.outer(share, share)) @ gap / 600
    assert found.error[0] == pytest.approx((within + between) ** 0.5, rel=1e-9)


def test_post_stratified_ratios_cover_their_lift_under_fieller() -> None:
    covered, narrower = [], []
    for seed in range(400):
        rng = np.random.default_rng([11, seed])
        stratum, arm = rng.integers(0, 3, 500), rng.integers(0, 2, 500)
        d = 1.0 + rng.poisson(1 + stratum)
        y = d * (1 + stratum + 0.5 * rng.normal(size=500)) * (1 + 0.1 * arm)
        world = moments_of_units(np.column_stack([y, d]), stratum * 2 + arm, (3, 2))
        found, raw = compare(post_stratified(world)), compare(UnitMoments(products=world.products.sum(axis=0)))
        low, high = found.lift_limits(found.quantile(0.05))
        covered.append(low[0] <= 0.1 <= high[0])
        narrower.append(found.lift_error[0] / raw.lift_error[0])
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * (0.05 * 0.95 / 400) ** 0.5)
    assert np.mean(narrower) < 0.7


def test_small_strata_are_merged_and_not_dropped() -> None:
    rng = np.random.default_rng(9)
    stratum = np.array([0] * 100 + [1] * 100 + [2] * 3)
    arm = np.arange(203) % 2
    totals = np.column_stack([rng.normal(size=203), np.ones(203)])
    found = compare(post_stratified(moments_of_units(totals, stratum * 2 + arm, (3, 2))))
    assert np.isfinite(found.difference[0]) and found.error[0] > 0
