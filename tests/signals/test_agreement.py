"""Agreement of a score with what people said: values against brute force, intervals against their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.signals.agreement import auc, auc_difference, rank_correlation, stratified_auc

EXACT = 1e-12


def number(found: Estimate | NotEnough) -> Estimate:
    assert isinstance(found, Estimate)
    return found


def draw(seed: int, *, rows: int = 120, share: float = 0.4, shift: float = 1.0, decimals: int = 1):
    """Scores with ties, and which rows are positive."""
    rng = np.random.default_rng(seed)
    positive = rng.permutation(rows) < share * rows
    return np.round(rng.normal(size=rows) + shift * positive, decimals), positive


def spearman(x, y) -> float:
    return float(stats.spearmanr(x, y)[0])  # pyright: ignore[reportArgumentType]


def by_pairs(scores, positive, weights) -> float:
    win = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    pairs = np.outer(weights[positive], weights[~positive])
    return float((win * pairs).sum() / pairs.sum())


samples = st.builds(
    draw,
    st.integers(0, 10_000),
    rows=st.integers(60, 90),
    share=st.sampled_from([0.4, 0.5, 0.6]),
    shift=st.sampled_from([0.0, 1.0, 5.0]),
    decimals=st.sampled_from([0, 1, 8]),
)


@settings(deadline=None, max_examples=60)
@given(samples)
def test_the_value_is_the_share_of_pairs_in_the_right_order(sample) -> None:
    scores, positive = sample
    weights = np.random.default_rng(1).choice([1.0, 10.0, 2.5], len(scores))
    assert number(auc(scores, positive)).value == pytest.approx(by_pairs(scores, positive, np.ones(len(scores))))
    assert number(auc(scores, positive, weights=weights)).value == pytest.approx(by_pairs(scores, positive, weights))


@settings(deadline=None, max_examples=60)
@given(samples)
def test_mirrored_scores_have_the_mirrored_value_and_limits(sample) -> None:
    scores, positive = sample
    for users in (None, np.arange(len(scores)) // 2):
        there, back = (number(auc(sign * scores, positive, clusters=users)) for sign in (1, -1))
        assert there.value == pytest.approx(1 - back.value, abs=1e-9)
        assert there.low == pytest.approx(1 - back.high, abs=1e-9)
        assert there.high == pytest.approx(1 - back.low, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(samples)
def test_only_the_order_of_scores_counts(sample) -> None:
    scores, positive = sample
    other = np.exp(3 * scores)
    assert auc(scores, positive) == auc(other, positive)
    other_way = number(rank_correlation(other, positive))
    assert other_way.value == pytest.approx(number(rank_correlation(scores, positive)).value, abs=EXACT)


@settings(deadline=None, max_examples=40)
@given(samples)
def test_limits_stay_in_bounds_and_never_meet(sample) -> None:
    scores, positive = sample
    found = number(auc(scores, positive))
    assert 0 <= found.low < found.high <= 1 and found.low <= found.value <= found.high


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_has_the_width_of_what_few_rows_can_say(sign: int) -> None:
    few, many = (
        number(auc(sign * np.repeat([0.0, 1.0], n), np.repeat([False, True], n), level=0.95)) for n in (12, 120)
    )
    assert few.value == many.value == (sign + 1) / 2
    assert 0.1 < few.high - few.low < 0.3
    assert 0.01 < many.high - many.low < 0.03


def test_one_misplaced_pair_says_about_the_same_as_none() -> None:
    scores, positive = np.arange(80.0), np.arange(80) >= 40
    perfect = number(auc(scores, positive))
    scores[[39, 40]] = scores[[40, 39]]
    nearly = number(auc(scores, positive))
    assert nearly.value == 1 - 1 / 1600
    assert nearly.low == pytest.approx(perfect.low, abs=0.005)


def test_delongs_variance_is_that_of_the_placements_written_out() -> None:
    # As n grows the limits are Wald's on DeLong's variance; here that is written out pair by pair.
    scores, positive = draw(5, rows=4_000)
    win = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    m, n = win.shape
    error = (win.mean(axis=1).var(ddof=1) / m + win.mean(axis=0).var(ddof=1) / n) ** 0.5
    found = number(auc(scores, positive))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.01)


def test_rows_that_each_are_a_cluster_change_nothing() -> None:
    scores, positive = draw(6)
    plain, clustered = auc(scores, positive), auc(scores, positive, clusters=[f"u{i}" for i in range(len(scores))])
    assert number(plain).low == pytest.approx(number(clustered).low, abs=EXACT)
    assert number(clustered).n_effective == pytest.approx(len(scores))


def test_rows_that_are_copied_within_their_cluster_say_nothing_new() -> None:
    scores, positive = draw(7)
    once, user = number(auc(scores, positive)), np.arange(len(scores))
    fourfold = number(auc(np.tile(scores, 4), np.tile(positive, 4), clusters=np.tile(user, 4)))
    assert (fourfold.value, fourfold.low) == pytest.approx((once.value, once.low), abs=1e-9)
    assert fourfold.n == 4 * once.n
    assert fourfold.n_effective == pytest.approx(once.n, rel=0.03)


def test_users_with_both_kinds_are_their_own_comparison() -> None:
    rng = np.random.default_rng(17)
    user, positive = np.arange(400) // 2, np.arange(400) % 2 == 0
    scores = 3 * rng.normal(size=200)[user] + rng.normal(size=400) + positive
    plain, paired = number(auc(scores, positive)), number(auc(scores, positive, clusters=user))
    assert paired.high - paired.low < 0.7 * (plain.high - plain.low)


def test_a_weight_of_three_is_three_rows_of_one_cluster() -> None:
    scores, positive = draw(8)
    weights = np.random.default_rng(3).integers(1, 4, len(scores))
    user = np.arange(len(scores))
    weighted = number(auc(scores, positive, weights=weights, clusters=user))
    repeated = number(
        auc(*(np.repeat(column, weights) for column in (scores, positive)), clusters=user.repeat(weights))
    )
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
        (repeated.value, repeated.low, repeated.high), abs=1e-9
    )


def test_unequal_weights_cost_precision() -> None:
    scores, positive = draw(9, rows=600)
    weights = np.random.default_rng(4).choice([1.0, 20.0], len(scores))
    found = number(auc(scores, positive, weights=weights))
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert found.n_effective == pytest.approx(kish, rel=0.15)


def test_weights_give_the_auc_of_all_answers_from_a_sample_that_prefers_low_scores() -> None:
    population, kinds = draw(10, rows=40_000, decimals=8)
    truth, chance = number(auc(population, kinds)).value, np.where(population < 0, 0.2, 0.02)
    held = {"weighted": 0, "unweighted": 0}
    for seed in range(100):
        drawn = np.random.default_rng(seed).random(40_000) < chance / 4
        scores, positive = population[drawn], kinds[drawn]
        for name, weights in (("weighted", 1 / chance[drawn]), ("unweighted", None)):
            found = number(auc(scores, positive, weights=weights))
            held[name] += found.low <= truth <= found.high
    assert held["weighted"] >= 89  # of 100 at 95 %: fewer has a chance of .004
    assert held["unweighted"] < 60


def test_too_few_of_a_kind_is_no_number() -> None:
    scores, positive = np.arange(100.0), np.arange(100) >= 91
    assert auc(scores, positive) == NotEnough(have=9, needed=10, reason="too few positive rows")
    assert auc(scores, ~positive) == NotEnough(have=9, needed=10, reason="too few negative rows")
    one_user = np.where(positive, 0, np.arange(100))
    found = auc(scores, np.arange(100) >= 80, clusters=np.where(np.arange(100) >= 80, np.arange(100) % 4, one_user))
    assert found == NotEnough(have=4, needed=10, reason="too few positive clusters")
    assert auc([], []) == NotEnough(have=0, needed=10, reason="too few negative rows")


def test_bad_columns_are_named() -> None:
    scores, positive = draw(1)
    with pytest.raises(ValueError, match="1 scores are NaN"):
        auc(np.r_[scores[:-1], np.nan], positive)
    with pytest.raises(ValueError, match=r"lengths \[5, 120\]"):
        auc(scores[:5], positive)
    with pytest.raises(ValueError, match="positive and finite"):
        auc(scores, positive, weights=np.zeros(len(scores)))


def test_a_score_that_only_knows_the_length_knows_nothing_within_lengths() -> None:
    rng = np.random.default_rng(11)
    length = rng.integers(0, 10, 2_000)
    positive = rng.random(2_000) < 0.1 + 0.08 * length
    score = length + rng.random(2_000)
    assert number(auc(score, positive)).low > 0.7
    inside = number(stratified_auc(score, positive, length))
    assert inside.low < 0.5 < inside.high


def test_strata_are_pooled_by_their_pairs() -> None:
    scores, positive = draw(12, rows=300)
    strata = np.random.default_rng(5).integers(0, 6, 300)
    won = pairs = 0.0
    for stratum in range(6):
        inside = strata == stratum
        count = positive[inside].sum() * (~positive[inside]).sum()
        won += by_pairs(scores[inside], positive[inside], np.ones(inside.sum())) * count
        pairs += count
    assert number(stratified_auc(scores, positive, strata)).value == pytest.approx(won / pairs)
    one = number(stratified_auc(scores, positive, np.zeros(300)))
    plain = number(auc(scores, positive))
    assert (one.value, one.low, one.high) == pytest.approx((plain.value, plain.low, plain.high), abs=1e-9)


def test_strata_of_one_kind_have_no_pairs() -> None:
    scores, positive = draw(13, rows=200)
    strata = np.where(positive, 0, 1)
    assert stratified_auc(scores, positive, strata) == NotEnough(have=0, needed=10, reason="too few negative rows")
    mixed = np.where(np.arange(200) < 150, 0, strata + 1)
    assert number(stratified_auc(scores, positive, mixed)).n == 150


def test_matched_pairs_have_the_interval_of_their_wins() -> None:
    # One positive and one negative a stratum: the AUC is a rate of 200 coin flips, and so is its error.
    rng = np.random.default_rng(14)
    strata, positive = np.arange(400) // 2, np.arange(400) % 2 == 0
    found = number(stratified_auc(rng.normal(size=400) + 0.8 * positive, positive, strata))
    wald = 1.96 * (found.value * (1 - found.value) / 200) ** 0.5
    assert found.high - found.low == pytest.approx(2 * wald, rel=0.08)


def test_the_difference_of_a_score_and_itself_is_no_number_and_of_its_mirror_is_twice_the_distance() -> None:
    scores, positive = draw(15, rows=400)
    assert auc_difference(scores, np.exp(scores), positive) == NotEnough(
        have=0, needed=1, reason="both put the rows in the same order"
    )
    mirrored, own = number(auc_difference(scores, -scores, positive)), number(auc(scores, positive))
    assert mirrored.value == pytest.approx(2 * own.value - 1)
    assert mirrored.high - mirrored.low == pytest.approx(2 * (own.high - own.low), rel=0.03)


@settings(deadline=None, max_examples=40)
@given(samples)
def test_the_correlation_is_spearmans(sample) -> None:
    scores, positive = sample
    other = scores + np.random.default_rng(2).normal(size=len(scores))
    for x, y in ((scores, other), (scores, positive)):
        found = number(rank_correlation(x, y))
        assert found.value == pytest.approx(spearman(x, y), abs=1e-9)
        assert -1 <= found.low < found.high <= 1


def test_the_correlations_variance_is_that_of_a_bootstrap() -> None:
    rng = np.random.default_rng(16)
    user = np.arange(600) // 3
    x = np.round(rng.normal(size=200)[user] + rng.normal(size=600), 0)
    y = np.clip(np.round(0.4 * x + rng.normal(size=200)[user] + rng.normal(size=600)), -1, 1)
    users = rng.integers(0, 200, (2_000, 200))
    resampled = (3 * users[:, :, None] + np.arange(3)).reshape(2_000, -1)
    drawn = np.arctanh([spearman(x[rows], y[rows]) for rows in resampled])
    found = number(rank_correlation(x, y, clusters=user))
    width = np.arctanh(found.high) - np.arctanh(found.low)
    # A standard deviation of 2,000 draws has an error of 1.6 %; z in place of t with 198 degrees is another .6 %.
    assert width == pytest.approx(2 * 1.972 * drawn.std(), rel=0.06)
    assert width > 1.2 * np.diff(np.arctanh([(plain := number(rank_correlation(x, y))).low, plain.high]))[0]


def test_a_perfect_correlation_has_a_width() -> None:
    for sign in (1, -1):
        found = number(rank_correlation(np.arange(30.0), sign * np.arange(30.0) ** 3))
        assert found.value == pytest.approx(sign)
        assert 0.0005 < found.high - found.low < 0.1


def test_correlations_of_few_rows_or_of_one_value_are_no_number() -> None:
    assert rank_correlation(np.arange(19), np.arange(19)) == NotEnough(
        have=19, needed=20, reason="too few rows that have both"
    )
    assert rank_correlation(np.arange(30), np.ones(30)) == NotEnough(have=1, needed=2, reason="all values are equal")
    found = rank_correlation(np.arange(30), np.arange(30), clusters=np.arange(30) // 3)
    assert found == NotEnough(have=10, needed=20, reason="too few clusters that have both")
