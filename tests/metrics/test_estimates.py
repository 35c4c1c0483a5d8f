"""Laws of the estimates, the published numbers of their intervals, and SQL moments equal to the reference."""

from dataclasses import fields
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from onlineeval_dagster.metrics import estimates as rules
from onlineeval_dagster.metrics.estimates import difference, estimate_means, estimate_rates
from onlineeval_dagster.metrics.intervals import difference_limits, jeffreys, wilson, wilson_size
from onlineeval_dagster.metrics.moments import CELL_COLUMNS, GROUP_COLUMNS, moments_from_cells, moments_from_rows
from onlineeval_dagster.metrics.strata import Strata, degrees_of_freedom

SQL = Path(__file__).with_name("moments.sql").read_text()
NAMES = ("value", "low", "high")


def rows(seed: int, *, users: int = 60, each: float = 4, flagged: float = 0.1, rate: float = 0.5, scores: bool = False):
    """One group's rows: (stratum, user, value), value NaN where not judged."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), rng.poisson(each, users) + 1)
    stratum = (rng.random(len(user)) < flagged).astype(np.int64)
    liking = rng.normal(0, 0.5, users)[user]
    quality = liking + rng.normal(size=len(user)) + np.where(stratum, 0, 1)
    value = np.digitize(quality, [-0.5, 0.5]) + 1.0 if scores else (quality > 0).astype(float)
    judged = (stratum == 1) | (rng.random(len(user)) < rate)
    return stratum, user, np.where(judged, value, np.nan)


def one(stratum, user, value):
    return moments_from_rows(np.zeros(len(user), dtype=np.int64), stratum, user, value)


def numbers(estimates) -> np.ndarray:
    return np.array([getattr(estimates, name) for name in NAMES])


@given(passed=st.integers(0, 500), failed=st.integers(0, 500), level=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_and_jeffreys_agree_with_statsmodels(passed, failed, level):
    n = max(passed + failed, 1)
    passed = min(passed, n)
    for ours, method in ((wilson, "wilson"), (jeffreys, "jeffreys")):
        low, high = proportion_confint(passed, n, 1 - level, method=method)
        low, high = (0 if passed == 0 else low), (1 if passed == n else high)
        assert np.allclose(ours(passed / n, n, level), (low, high), atol=1e-9)


@given(a=st.integers(0, 80), b=st.integers(0, 90))
def test_the_difference_is_newcombes_method_10(a, b):
    first, second = ((x / n, *wilson(x / n, n)) for x, n in ((a, 80), (b, 90)))
    assert np.allclose(
        difference_limits(first, second), confint_proportions_2indep(a, 80, b, 90, method="newcomb", compare="diff")
    )


@given(rate=st.floats(0, 1), n=st.floats(0.5, 1e6))
def test_the_size_of_a_wilson_interval_is_the_n_it_was_made_with(rate, n):
    low, high = wilson(rate, n)
    assert np.isclose(wilson_size(np.float64(rate), high - low), n, rtol=1e-4)


@given(seed=st.integers(0, 999), estimand=st.sampled_from(["product", "window"]))
@settings(max_examples=40)
def test_mirrored_outcomes_mirror_the_interval(seed, estimand):
    stratum, user, value = rows(seed)
    for limits in (wilson, jeffreys):
        seen = estimate_rates(one(stratum, user, value), estimand=estimand, limits=limits)
        mirrored = estimate_rates(one(stratum, user, 1 - value), estimand=estimand, limits=limits)
        assert np.allclose(1 - numbers(mirrored)[[0, 2, 1]], numbers(seen))
        assert np.allclose(mirrored.n_effective, seen.n_effective)


@given(passed=st.integers(0, 40))
def test_one_stratum_without_clusters_is_wilson_up_to_the_t_quantile(passed):
    n = 20_000
    value = np.repeat([1.0, 0.0], [passed * 500, n - passed * 500])
    found = estimate_rates(one(np.zeros(n), np.arange(n), value))
    assert found.value[0] == passed * 500 / n
    # One user a response leaves no pairs, so the design effect is exactly 1; t at 19,999 degrees is z to 4 digits.
    assert np.allclose((found.low[0], found.high[0]), wilson(passed * 500 / n, n), atol=1e-6)
    assert found.n_effective[0] == pytest.approx(n, rel=1e-3)
    assert (found.method, found.estimand) == ("wilson-mover", "product")


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_bounded_means_of_zeros_and_ones_are_rates(seed):
    moments = one(*rows(seed))
    assert np.allclose(numbers(estimate_means(moments, bounds=(0, 1))), numbers(estimate_rates(moments)), rtol=0.02)


@given(seed=st.integers(0, 999), estimand=st.sampled_from(["product", "window"]))
@settings(max_examples=30)
def test_splitting_a_stratum_at_random_changes_little(seed, estimand):
    stratum, user, value = rows(seed, users=800, flagged=0.0, rate=0.6)
    whole = estimate_rates(one(stratum, user, value), estimand=estimand)
    split = np.random.default_rng(seed).integers(0, 2, len(user))
    halves = estimate_rates(one(split, user, value), estimand=estimand)
    width = whole.high - whole.low
    assert np.all(np.abs(numbers(halves) - numbers(whole)) < 0.2 * width)


@given(seed=st.integers(0, 999), shift=st.floats(-5, 5), scale=st.floats(0.1, 10), bounded=st.booleans())
@settings(max_examples=60)
def test_means_shift_and_scale_with_their_values(seed, shift, scale, bounded):
    stratum, user, value = rows(seed, scores=True)
    bounds = (1.0, 3.0) if bounded else None
    moved_bounds = (1 * scale + shift, 3 * scale + shift) if bounded else None
    for estimand in ("product", "window"):
        seen = estimate_means(one(stratum, user, value), bounds=bounds, estimand=estimand)
        moved = estimate_means(one(stratum, user, value * scale + shift), bounds=moved_bounds, estimand=estimand)
        assert np.allclose(numbers(moved), numbers(seen) * scale + shift)
        assert np.allclose(moved.n_effective, seen.n_effective)
    assert np.all(seen.low <= seen.value) and np.all(seen.value <= seen.high)


@given(seed=st.integers(0, 999))
@settings(max_examples=30)
def test_groups_do_not_know_of_each_other_nor_of_the_order_of_rows(seed):
    stratum, user, value = (np.concatenate(part) for part in zip(rows(seed), rows(seed + 1), strict=True))
    group = np.repeat(["b", "a"], [len(rows(seed)[0]), len(rows(seed + 1)[0])])
    order = np.random.default_rng(seed).permutation(len(user))
    together = estimate_rates(moments_from_rows(group[order], stratum[order], user[order], value[order]))
    alone = [estimate_rates(one(*rows(at))) for at in (seed + 1, seed)]
    assert np.allclose(numbers(together), np.hstack([numbers(found) for found in alone]))


def test_the_same_answers_by_fewer_users_make_a_wider_interval():
    value = np.repeat([1.0, 0.0, 1.0], [300, 60, 240])
    stratum = np.zeros(600)
    widths = [
        float((found.high - found.low)[0])
        for users in (600, 200, 60)
        if (found := estimate_rates(one(stratum, np.arange(600) * users // 600, value)))
    ]
    assert widths[0] < widths[1] < widths[2]


def test_naming_strata_where_all_is_judged_anyway_changes_little():
    user = np.arange(3_000) // 3
    stratum = (user * 7 % 10 < 3).astype(np.int64)
    value = (np.arange(3_000) % 20 < np.where(stratum == 1, 2, 19)) * 1.0
    known, unknown = estimate_rates(one(stratum, user, value)), estimate_rates(one(np.zeros(3_000), user, value))
    # Without the term between the strata the interval would be 0.6 times as wide.
    assert (known.high - known.low)[0] == pytest.approx((unknown.high - unknown.low)[0], rel=0.05)


def test_users_whose_answers_balance_earn_no_narrower_interval_than_strangers():
    stratum, value = np.tile([0, 0, 1, 1], 500), np.tile([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0], 250)
    balanced = estimate_rates(one(stratum, np.arange(2_000) // 4, value))
    strangers = estimate_rates(one(stratum, np.arange(2_000), value))
    assert balanced.low[0] <= strangers.low[0] and balanced.high[0] >= strangers.high[0]


def test_degrees_of_freedom_are_the_users_unless_a_few_own_the_variance():
    rng = np.random.default_rng(11)
    value, alone = rng.normal(size=4_000), np.zeros(4_000)
    even = degrees_of_freedom(Strata.of(one(alone, np.arange(4_000), value), (0, 1)), beyond_binomial=False)
    assert even[0] == pytest.approx(4_000, rel=0.15)
    value[:10] *= 30
    few = degrees_of_freedom(Strata.of(one(alone, np.arange(4_000), value), (0, 1)), beyond_binomial=False)
    assert few[0] < 20
    # Twenty failures among 4,000 alone are noise that Wilson knows; by one user they are not.
    passed = (np.arange(4_000) >= 20) * 1.0
    strangers = degrees_of_freedom(Strata.of(one(alone, np.arange(4_000), passed), (0, 1)), beyond_binomial=True)
    heavy = np.maximum(np.arange(4_000), 19)
    by_one = degrees_of_freedom(Strata.of(one(alone, heavy, passed), (0, 1)), beyond_binomial=True)
    assert strangers[0] > 1_000 and by_one[0] < 10


def test_where_all_passed_users_still_count():
    value, stratum = np.ones(400), np.zeros(400)
    alone = estimate_rates(one(stratum, np.arange(400), value))
    few = estimate_rates(one(stratum, np.arange(400) // 10, value))
    assert alone.value[0] == few.value[0] == few.high[0] == 1.0
    # ten answers a user at the believed correlation of .1: 400 / 1.9 = 211; and t at 39 degrees: 211 / 1.065 = 198
    assert few.n_effective[0] == pytest.approx(198, abs=2)
    assert few.low[0] < alone.low[0] < 1


def test_a_window_of_which_all_was_judged_is_known_exactly():
    stratum, user, value = rows(1, rate=1.0)
    found = estimate_rates(one(stratum, user, value), estimand="window")
    assert found.low[0] == pytest.approx(found.value[0], abs=1e-12) == found.high[0]
    assert found.value[0] == pytest.approx(np.nanmean(value))
    assert found.n_effective[0] == found.n[0] == len(value)
    product = estimate_rates(one(stratum, user, value))
    assert product.high[0] - product.low[0] > 0.05


def test_the_weights_undo_the_sampling():
    stratum = np.repeat([0, 1], [9_000, 1_000])
    user = np.arange(10_000)
    value = np.where(stratum == 1, 0.0, 1.0)
    value[450:9_000] = np.nan
    found = estimate_rates(one(stratum, user, value))
    assert found.value[0] == pytest.approx(0.9)
    assert np.nanmean(value) == pytest.approx(0.31, abs=0.01)


@pytest.mark.parametrize(
    ("normal", "flagged", "users", "estimand", "expected"),
    [
        ((950, 28), (50, 50), 500, "product", (rules.TOO_FEW_JUDGED, 28, 29)),
        ((950, 29), (50, 50), 500, "product", (None, 0, 0)),
        ((950, 29), (50, 1), 500, "product", (rules.TOO_FEW_JUDGED, 1, 2)),
        ((950, 10), (50, 0), 500, "product", (rules.TOO_FEW_JUDGED, 0, 2)),
        ((995, 40), (5, 0), 500, "product", (None, 0, 0)),
        ((950, 95), (50, 50), 10, "product", (rules.TOO_FEW_USERS, 9, 15)),
        ((950, 95), (50, 50), 10, "window", (None, 0, 0)),
        ((10, 10), (2, 2), 12, "window", (None, 0, 0)),
        ((100, 0), (5, 0), 50, "product", (rules.TOO_FEW_JUDGED, 0, 29)),
    ],
)
def test_too_little_is_no_number_but_a_reason(normal, flagged, users, estimand, expected):
    stratum = np.repeat([0, 1], [normal[0], flagged[0]])
    place = np.concatenate([np.arange(normal[0]), np.arange(flagged[0])])
    value = np.where(place < np.where(stratum == 0, normal[1], flagged[1]), (place % 5 > 0) * 1.0, np.nan)
    for estimate in (
        estimate_rates,
        estimate_means,
        lambda m, estimand: estimate_means(m, bounds=(0, 1), estimand=estimand),
    ):
        found = estimate(one(stratum, place % users, value), estimand=estimand)
        assert (found.reason[0], found.have[0], found.needed[0]) == expected
        assert found.answered[0] == (expected[0] is None)
        assert np.isnan(numbers(found)).all() == (not found.answered[0])


def test_a_stratum_too_small_to_matter_widens_the_interval_by_what_it_could_be():
    stratum = np.repeat([0, 1], [995, 5])
    value = np.concatenate([np.tile([1.0, 1.0, 0.0, 1.0, 1.0], 199), np.full(5, np.nan)])
    seen = estimate_rates(one(stratum, np.arange(1_000), np.where(stratum == 1, 1.0, value)))
    unseen = estimate_rates(one(stratum, np.arange(1_000), value))
    assert unseen.low[0] < seen.low[0]
    assert unseen.value[0] == pytest.approx(0.8)


def test_values_that_are_not_on_the_scale_are_refused():
    moments = one(*rows(1, scores=True))
    with pytest.raises(ValueError, match="use estimate_means"):
        estimate_rates(moments)
    with pytest.raises(ValueError, match="outside the bounds"):
        estimate_means(moments, bounds=(0, 1))


def test_one_heavy_user_is_not_many_users():
    user = np.concatenate([np.zeros(300), np.arange(1, 101)]).astype(np.int64)
    found = estimate_rates(one(np.zeros(400), user, (np.arange(400) % 7 > 0) * 1.0))
    assert (found.reason[0], found.have[0], found.users[0]) == (rules.TOO_FEW_USERS, 1, 101)


def test_a_mean_whose_values_are_all_equal_is_not_known_without_error():
    flat = one(np.zeros(100), np.arange(100), np.full(100, 3.0))
    assert estimate_means(flat).reason[0] == rules.NO_SPREAD
    bounded = estimate_means(flat, bounds=(1, 3))
    # As if every answer could have been a 1 or a 3: Wilson's 0.963 of the way from 1 to 3.
    assert bounded.low[0] == pytest.approx(1 + 2 * 0.963, abs=0.005)
    middling = estimate_means(one(np.zeros(100), np.arange(100), np.full(100, 2.0)), bounds=(1, 3))
    assert middling.high[0] - middling.low[0] > 0.02


def test_a_difference_needs_both_sides_of_one_kind():
    enough, little = one(*rows(1)), one(*rows(2, users=5))
    change = difference(estimate_rates(enough), estimate_rates(little))
    assert (change.answered[0], change.reason[0]) == (False, estimate_rates(little).reason[0])
    same = difference(estimate_rates(enough), estimate_rates(enough))
    assert same.value[0] == 0 and same.low[0] == pytest.approx(-same.high[0])
    with pytest.raises(ValueError, match="cannot subtract"):
        difference(estimate_rates(enough), estimate_rates(enough, estimand="window"))
    with pytest.raises(ValueError, match="estimand must be"):
        estimate_rates(enough, estimand="users")  # type: ignore[arg-type]


def test_hundred_thousand_groups_take_no_loop():
    group = np.repeat(np.arange(2_000), 50)
    rng = np.random.default_rng(3)
    moments = moments_from_rows(group, np.zeros(len(group)), np.arange(len(group)), rng.random(len(group)).round())
    cells = {name: np.tile(getattr(moments, name), 50) for name in (*CELL_COLUMNS, *GROUP_COLUMNS)}
    found = estimate_rates(moments_from_cells(np.arange(100_000), cells))
    assert found.answered.all() and len(found.value) == 100_000


@pytest.mark.parametrize("scores", [False, True])
def test_moments_in_sql_are_the_reference(scores):
    parts = [rows(seed, users=40 + seed, flagged=0.2, rate=0.3, scores=scores) for seed in range(8)]
    stratum, user, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    group = np.repeat(np.arange(8), [len(part[0]) for part in parts])
    value[(group == 3) & (stratum == 1)] = np.nan  # a stratum without a judged response
    value[group == 5] = np.nan  # a group without one
    stratum[group == 6] = 0
    table = pa.table(
        {
            "group_key": [f"g{at}" for at in group],
            "stratum": np.where(stratum == 1, "flagged", "normal"),
            "user_key": [f"u{at}" for at in user],
            "value": pa.array(value, mask=np.isnan(value)),
        }
    )
    with duckdb.connect() as connection:
        connection.register("rows", table)
        found = connection.sql(SQL).to_arrow_table()
    keys = np.asarray(found["group_key"].to_pylist())
    columns = {name: found[name].to_numpy() for name in (*CELL_COLUMNS, *GROUP_COLUMNS)}
    in_sql = moments_from_cells(np.unique(keys, return_inverse=True)[1], columns)
    names = np.where(stratum == 1, "flagged", "normal")
    reference = moments_from_rows(np.asarray(table["group_key"].to_pylist()), names, user, value)
    for field in fields(reference):
        ours, theirs = getattr(reference, field.name), getattr(in_sql, field.name)
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-15), field.name
