import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa as by_statsmodels

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.review.agreement import (
    MEASURES,
    agreement,
    cohens_kappa,
    coincidences_of,
    gwets_ac1,
    kendall,
    krippendorffs_alpha,
    nominal_alpha,
    pearson,
    quadratic_kappa,
    raw_agreement,
    spearman,
    tables_of,
)

SCORES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=12, max_size=60)


def pairs(table: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices((len(table), len(table)))
    counts = np.array(table).ravel()
    return np.repeat(rows.ravel(), counts), np.repeat(columns.ravel(), counts)


@settings(max_examples=200, deadline=None)
@given(SCORES)
def test_measures_are_those_of_scipy_and_statsmodels(scores):
    first, second = np.array(scores).T
    tables = tables_of(first, second)
    whole, scale = tables.whole, tables.scale
    if len(set(first)) > 1 and len(set(second)) > 1:
        assert spearman(whole, scale) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-9)
        assert kendall(whole, scale) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-9)
        assert pearson(whole, scale) == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-9)
        assert cohens_kappa(whole, scale) == pytest.approx(by_statsmodels(whole, return_results=False), abs=1e-9)
        if np.allclose(np.diff(scale), 1):
            expected = by_statsmodels(whole, wt="quadratic", return_results=False)
            assert quadratic_kappa(whole, scale) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(SCORES)
def test_who_is_called_first_does_not_matter(scores):
    first, second = np.array(scores).T
    there, back = tables_of(first, second), tables_of(second, first)
    for measure in MEASURES.values():
        np.testing.assert_allclose(measure(there.whole, there.scale), measure(back.whole, back.scale), atol=1e-12)


def test_kappa_collapses_with_prevalence_and_ac1_does_not():
    # Feinstein and Cicchetti 1990, tables 1 and 2: 85 % agreement in both, kappa .70 and .32.
    balanced, lopsided = tables_of(*pairs([[40, 9], [6, 45]])), tables_of(*pairs([[80, 10], [5, 5]]))
    for tables, kappa in ((balanced, 0.70), (lopsided, 0.32)):
        assert raw_agreement(tables.whole, tables.scale) == pytest.approx(0.85)
        assert cohens_kappa(tables.whole, tables.scale) == pytest.approx(kappa, abs=0.005)
    assert gwets_ac1(lopsided.whole, lopsided.scale) == pytest.approx(0.81, abs=0.005)


def test_alpha_is_krippendorffs_own_example():
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
    gone = np.nan
    scores = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, gone, gone, gone],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, gone, 3],
            [gone, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, gone],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, gone],
        ]
    ).T
    tables = coincidences_of(scores)
    assert nominal_alpha(tables.whole, tables.scale) == pytest.approx(0.743, abs=0.0005)
    assert krippendorffs_alpha(tables.whole, tables.scale) == pytest.approx(0.849, abs=0.0005)


@pytest.mark.parametrize("name", ["quadratic_kappa", "ac1", "spearman"])
def test_intervals_cover_under_clusters_of_items_that_share_their_errors(name):
    rng, measure = np.random.default_rng(30), MEASURES[name]

    def drawn(clusters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cluster = np.repeat(np.arange(clusters), 4)
        quality = rng.normal(size=4 * clusters)
        shared = 0.7 * rng.normal(size=clusters)[cluster]  # the judge is wrong in one way about one prompt
        first = np.digitize(quality + 0.5 * rng.normal(size=4 * clusters), [-0.8, 0.3])
        second = np.digitize(quality + shared + 0.5 * rng.normal(size=4 * clusters), [-0.8, 0.3])
        return first, second, cluster

    first, second, _ = drawn(100_000)
    truth = float(measure(tables_of(first, second).whole, np.arange(3.0)))
    hits = 0
    for _ in range(400):
        first, second, cluster = drawn(60)
        found = agreement(tables_of(first, second, clusters=cluster), measure)
        assert isinstance(found, Estimate)
        hits += found.low <= truth <= found.high
    # Monte-Carlo error of 400 runs at 95 %: 1.1 points.
    assert hits / 400 == pytest.approx(0.95, abs=3 * 0.011)


def test_perfect_agreement_is_not_certainty():
    scores = np.tile([1, 2, 3], 20)
    found = agreement(tables_of(scores, scores), quadratic_kappa)
    assert isinstance(found, Estimate)
    assert found.value == found.high == 1 and 0.85 < found.low < 0.97


def test_scores_that_never_vary_have_no_kappa():
    same = agreement(tables_of([3] * 40, [3] * 40), quadratic_kappa)
    few = agreement(tables_of([1, 2, 3], [1, 2, 3]), quadratic_kappa)
    assert isinstance(same, NotEnough) and "equal" in same.reason
    assert isinstance(few, NotEnough) and few.have == 3


def test_a_weight_of_two_counts_as_two_pairs():
    first, second = np.array([1, 2, 3, 1, 2]), np.array([1, 3, 3, 2, 2])
    weighted = tables_of(first, second, weights=[1, 2, 1, 1, 1])
    doubled = tables_of(np.append(first, 2), np.append(second, 3))
    np.testing.assert_allclose(weighted.whole, doubled.whole)


def test_a_missing_score_is_refused():
    with pytest.raises(ValueError, match="leave out"):
        tables_of([1, np.nan], [1, 2])
