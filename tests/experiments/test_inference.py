"""Rates, posteriors, families, guardrails, health and segments: published figures and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests

from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.bayes import learnt_prior, posterior, rates_posterior
from onlineeval_dagster.experiments.guardrails import STATES, guardrail_states
from onlineeval_dagster.experiments.health import imbalance, ratio_p, resplit, sequential_ratio_p
from onlineeval_dagster.experiments.multiplicity import adjusted, gatekept
from onlineeval_dagster.experiments.rates import ratio_z, restricted, score_lift_limits, score_limits, score_z
from onlineeval_dagster.experiments.segments import shrunken
from tests.experiments.worlds import moments

counts = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


def test_miettinen_and_nurminens_limits_are_the_published_ones() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 7 (Mee) has N; method "MN" of the same data:
    # 56/70 - 48/80 and 9/10 - 3/10, as R's ratesci::scoreci and PropCIs print them with the factor N / (N - 1).
    low, high = score_limits([56, 9], [70, 10], [48, 3], [80, 10])
    assert (round(float(low[0]), 4), round(float(high[0]), 4)) == (0.0528, 0.3382)
    assert low[1] == pytest.approx(0.1700, abs=0.0015) and high[1] == pytest.approx(0.8406, abs=0.0015)


@settings(deadline=None, max_examples=40)
@given(counts, st.floats(-0.6, 0.6))
def test_the_restricted_rates_are_those_of_greatest_likelihood(found: tuple[int, int, int, int], gap: float) -> None:
    a, m, b, n = (float(value) for value in found)
    one, two = (float(rate) for rate in restricted(*(np.asarray(v) for v in (a, m, b, n, gap))))

    def cost(p2: float) -> float:
        return -float(stats.binom.logpmf(a, m, min(max(p2 + gap, 0), 1)) + stats.binom.logpmf(b, n, p2))

    low, high = max(0.0, -gap), min(1.0, 1 - gap)
    best = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    assert one - two == pytest.approx(gap, abs=1e-9)
    assert cost(two) <= best.fun + 1e-6


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(-500, 499).map(lambda thousandths: (thousandths + 0.5) / 1000))
def test_swapping_arms_or_counting_failures_mirrors_the_score(found: tuple[int, int, int, int], gap: float) -> None:
    a, m, b, n = found
    z = float(score_z(a, m, b, n, gap))
    assert float(score_z(b, n, a, m, -gap)) == pytest.approx(-z, rel=1e-6, abs=1e-6)
    assert float(score_z(m - a, m, n - b, n, -gap)) == pytest.approx(-z, rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(counts, st.floats(0.2, 5))
def test_a_ratio_of_rates_is_scored_at_its_greatest_likelihood(found: tuple[int, int, int, int], theta: float) -> None:
    a, m, b, n = (float(value) for value in found)

    def cost(p2: float) -> float:
        return -float(stats.binom.logpmf(a, m, min(theta * p2, 1)) + stats.binom.logpmf(b, n, p2))

    best = minimize_scalar(cost, bounds=(0, min(1, 1 / theta)), method="bounded", options={"xatol": 1e-12})
    p1, p2 = theta * best.x, best.x
    variance = (p1 * (1 - p1) / m + theta**2 * p2 * (1 - p2) / n) * (m + n) / (m + n - 1)
    if variance > 1e-3:
        assert float(ratio_z(a, m, b, n, theta)) == pytest.approx((a / m - theta * b / n) / variance**0.5, abs=1e-3)
    assert float(ratio_z(a, m, b, n, 1.0)) == pytest.approx(float(score_z(a, m, b, n)), abs=1e-9)
    assert float(ratio_z(b, n, a, m, 1 / theta)) == pytest.approx(-float(ratio_z(a, m, b, n, theta)), abs=1e-6)


def test_score_intervals_of_a_lift_cover_where_normal_ones_do_not() -> None:
    rng = np.random.default_rng(12)
    a, b = rng.binomial(80, 0.9, 4_000), rng.binomial(80, 0.95, 4_000)
    low, high = score_lift_limits(a, 80, b, 80)
    assert ((low <= 0.9 / 0.95 - 1) & (high >= 0.9 / 0.95 - 1)).mean() == pytest.approx(0.95, abs=0.012)
    bottom, top = score_limits(a, 80, b, 80)
    assert ((low <= 0) == (bottom <= 0)).all() and ((high >= 0) == (top >= 0)).all(), "of nothing both say the same"
    low, high = score_lift_limits([80, 3], [80, 80], [80, 0], [80, 80])
    assert -0.06 < low[0] < 0 < high[0] < 0.06, "all alike: a number, and how little can be told"
    assert np.isnan(low[1]) and np.isnan(high[1]), "a control that never succeeds has no lift"


def test_a_posterior_is_the_textbooks() -> None:
    found = posterior(0.06, 0.04, prior_sd=0.05, negligible=0.01)
    assert found.mean == pytest.approx(0.06 * 25 / 41)
    assert found.sd == pytest.approx((1 / (1 / 0.04**2 + 1 / 0.05**2)) ** 0.5)
    draws = np.random.default_rng(1).normal(found.mean, found.sd, 400_000)
    assert found.better == pytest.approx((draws > 0).mean(), abs=0.003)
    assert found.loss_if_shipped == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.03)
    assert found.loss_if_kept == pytest.approx(np.maximum(draws, 0).mean(), rel=0.01)
    assert found.negligible == pytest.approx((np.abs(draws) < 0.01).mean(), abs=0.003)


@settings(deadline=None, max_examples=40)
@given(st.floats(-1, 1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_less_is_better_mirrors_the_chance_and_the_losses(effect: float, error: float, prior: float) -> None:
    up, down = posterior(effect, error, prior_sd=prior), posterior(-effect, error, prior_sd=prior, better=-1)
    assert up.better == pytest.approx(down.better)
    assert up.loss_if_shipped == pytest.approx(down.loss_if_shipped)
    assert up.mean == pytest.approx(-down.mean)


def test_the_chance_of_beta_binomials_is_the_published_one_and_that_of_draws() -> None:
    # VWO's and Evan Miller's formula: P(B > A) for Beta(a, b), here by its closed sum.
    from scipy.special import betaln

    a1, b1, a2, b2 = 21, 181, 31, 171
    total = sum(
        np.exp(betaln(a1 + i, b1 + b2) - np.log(b2 + i) - betaln(1 + i, b2) - betaln(a1, b1)) for i in range(a2)
    )
    found = rates_posterior(20, 200, 30, 200)
    assert found.higher == pytest.approx(total, abs=1e-6)
    rng = np.random.default_rng(2)
    gap = rng.beta(a2, b2, 400_000) - rng.beta(a1, b1, 400_000)
    assert found.loss_of_second == pytest.approx(np.maximum(-gap, 0).mean(), rel=0.03)
    assert found.loss_of_first == pytest.approx(np.maximum(gap, 0).mean(), rel=0.01)


def test_a_prior_is_learnt_from_enough_experiments_only() -> None:
    rng = np.random.default_rng(3)
    errors = rng.uniform(0.01, 0.05, 400)
    learnt = learnt_prior(rng.normal(0, 0.04, 400) + rng.normal(0, errors), errors)
    assert learnt == pytest.approx(0.04, abs=0.006)
    assert learnt_prior(rng.normal(0, errors) * 0.5, errors) == 0.0
    few = learnt_prior([0.1] * 19, [0.1] * 19)
    assert isinstance(few, NotEnough) and (few.have, few.needed) == (19, 20)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_statsmodels(p_values: list[float]) -> None:
    names = {"bonferroni": "bonferroni", "holm": "holm", "bh": "fdr_bh", "by": "fdr_by"}
    for ours, theirs in names.items():
        np.testing.assert_allclose(adjusted(p_values, ours), multipletests(p_values, method=theirs)[1], atol=1e-12)


def test_families_are_adjusted_side_by_side_and_a_hole_is_no_hypothesis() -> None:
    family = np.array([[0.01, 0.04, np.nan, 0.03], [0.5, 0.001, 0.2, 0.8]])
    for method in ("bonferroni", "holm", "bh", "by"):
        found = adjusted(family, method)
        assert np.isnan(found[0, 2])
        np.testing.assert_allclose(found[0, [0, 1, 3]], adjusted([0.01, 0.04, 0.03], method))
        np.testing.assert_allclose(found[1], adjusted(family[1], method))


def test_secondary_findings_count_behind_a_primary_that_won_and_no_hole_is_one() -> None:
    p = [[0.01, 0.01], [0.06, 0.04], [np.nan, 0.05]]
    assert gatekept([True, False], p, alpha=0.05).tolist() == [[True, False], [False, False], [False, False]]
    assert gatekept([True, True], p, alpha=0.05).tolist() == [[True, True], [False, True], [False, True]]


def test_benjamini_and_hochbergs_example_finds_its_four() -> None:
    # Benjamini and Hochberg 1995, section 3.2: fifteen p-values, four rejected at .05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590]
    assert (adjusted([*p, 1.0], "bh") <= 0.05).sum() == 4
    assert (adjusted([*p, 1.0], "bonferroni") <= 0.05).sum() == 3


def test_every_interval_has_one_state_and_a_metric_where_less_is_better_is_mirrored() -> None:
    rng = np.random.default_rng(4)
    low = rng.uniform(-0.1, 0.08, 2_000)
    high = low + rng.uniform(0.001, 0.08, 2_000)
    up = guardrail_states(low, high, better=1, margin=0.02)
    down = guardrail_states(-high, -low, better=-1, margin=0.02)
    assert (up == down).all()
    assert set(up) == set(STATES)
    assert guardrail_states(np.nan, np.nan, better=1, margin=0.02)[()] is None


def test_the_mismatch_of_the_textbook_is_found_and_an_arm_without_a_share_costs_no_degree() -> None:
    assert ratio_p([821_588, 815_482], [0.5, 0.5]) == pytest.approx(1.8e-6, rel=0.03)
    told = stats.chisquare([480, 520, 1_010], [502.5, 502.5, 1_005]).pvalue
    assert ratio_p([480, 520, 1_010], [0.25, 0.25, 0.5]) == pytest.approx(told)
    assert ratio_p([480, 520, 7], [0.5, 0.5, 0]) == ratio_p([480, 520], [0.5, 0.5])
    with pytest.raises(ValueError, match="two arms with a share"):
        ratio_p([1, 2], [1, 0])


def test_the_sequential_mismatch_errs_no_more_than_told_when_looked_at_always() -> None:
    rng = np.random.default_rng(5)
    first = (rng.random((600, 3_000)) < 0.5).cumsum(axis=1)
    n = np.arange(1, 3_001)
    p = sequential_ratio_p(np.stack([first, n - first], axis=-1), [0.5, 0.5])
    assert (p.min(axis=1) < 0.05).mean() <= 0.05 + 3 * (0.05 * 0.95 / 600) ** 0.5
    assert sequential_ratio_p([821_588, 815_482], [0.5, 0.5]) == pytest.approx(0.0015, abs=1e-4), "its price: 1.8e-6"


def test_what_the_arms_brought_along_is_compared() -> None:
    sound = imbalance(moments(np.random.default_rng(6), 2_000, correlation=0.5, lift=0.5))
    assert sound.p_value()[0] > 0.001
    world = moments(np.random.default_rng(7), 2_000)
    world.products[1, :, 3] *= 1.1
    world.products[1, 3, :] *= 1.1
    assert imbalance(world).p_value()[0] < 1e-6


def test_resplits_of_one_crowd_show_its_noise_and_a_wrong_unit() -> None:
    rng = np.random.default_rng(8)
    d = 1.0 + rng.poisson(3, 800)
    totals = np.column_stack([np.ones(800), rng.normal(5, 1, 800) * d, d])
    products = totals[:, :, None] * totals[:, None, :]
    sound = resplit(products, splits=300, rng=rng)
    assert sound.is_sound
    assert sound.noise == pytest.approx(1.96 * 2 * 1.05 / 800**0.5 / 5, rel=0.15)
    split_by_answer = sound.__class__(p_values=np.concatenate([np.full(120, 0.01), np.full(180, 0.5)]), noise=0.0)
    assert not split_by_answer.is_sound and split_by_answer.errs_more_than_told
    assert not sound.errs_more_than_told
    in_buckets = resplit(products.reshape(100, 8, 3, 3).sum(axis=1), splits=300, rng=rng)
    assert in_buckets.is_sound and in_buckets.noise == pytest.approx(sound.noise, rel=0.2)
    narrow = resplit(products, splits=300, rng=rng, shares=(0.25, 0.25))
    assert narrow.noise == pytest.approx(sound.noise * 2**0.5, rel=0.2), "two of four arms"


def test_segments_are_pooled_as_statsmodels_does_and_drawn_together() -> None:
    effects, errors = np.array([0.1, 0.3, 0.35, 0.65, 0.45, 0.15]), np.array([0.15, 0.1, 0.12, 0.2, 0.22, 0.1])
    found = shrunken(effects, errors)
    told = combine_effects(effects, errors**2, method_re="dl")
    assert found.spread == pytest.approx(told.tau2**0.5)
    assert found.pooled == pytest.approx(told.mean_effect_re)
    assert found.p_value == pytest.approx(stats.chi2.sf(told.q, 5))
    assert (np.abs(found.shrunk - found.pooled) <= np.abs(effects - found.pooled) + 1e-12).all()
    holed = shrunken([*effects, np.nan], [*errors, np.nan])
    assert holed.pooled == pytest.approx(found.pooled) and np.isnan(holed.shrunk[-1])
    alone = shrunken([0.2], [0.1])
    assert np.isnan(alone.p_value) and alone.shrunk[0] == pytest.approx(0.2)


def test_shrunken_effects_are_nearer_to_the_truth() -> None:
    rng = np.random.default_rng(9)
    truth = rng.normal(0.02, 0.01, (500, 8))
    errors = rng.uniform(0.02, 0.05, (500, 8))
    seen = truth + rng.normal(0, errors)
    shrunk = shrunken(seen, errors).shrunk
    assert ((shrunk - truth) ** 2).mean() < 0.35 * ((seen - truth) ** 2).mean()
