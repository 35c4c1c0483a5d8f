"""Quantile metrics: sketches that add up, limits that know how alike one user's answers are, and no made-up number."""

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.lake.scan import scratch
from onlineeval_dagster.metrics.estimates import TOO_FEW_USERS, Estimates
from onlineeval_dagster.metrics.quantiles import TOO_FEW_FOR_QUANTILE, Histograms, bucket_sql, estimate_quantiles
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.metrics.quantile_rows import of_values


def buckets_of(value: np.ndarray) -> np.ndarray:
    """As SQL numbers them."""
    with scratch() as connection:
        connection.register("listed", pa.table({"value": value, "place": np.arange(len(value))}))
        found = connection.sql(f"select {bucket_sql('value')} as bucket from listed order by place").fetchnumpy()
    return found["bucket"].astype(np.int64)


def estimated(value: np.ndarray, user: np.ndarray, p: float, group: np.ndarray | None = None) -> Estimates:
    group = np.zeros(len(value), dtype=np.int64) if group is None else group
    return estimate_quantiles(*of_values(buckets_of(value), user, group, p), p)


def alone(value: np.ndarray, p: float) -> Estimates:
    """Every value of another user."""
    return estimated(value, np.arange(len(value)), p)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95, 0.99])
def test_a_quantile_is_within_half_a_percent_of_the_samples_own(p: float) -> None:
    value = np.random.default_rng(1).lognormal(7, 0.8, 20_000)
    found = alone(value, p)
    exact = np.quantile(value, p, method="inverted_cdf")
    assert found.value[0] == pytest.approx(exact, rel=0.005)
    assert found.low[0] < exact < found.high[0]


def test_values_of_zero_and_below_keep_their_order() -> None:
    value = np.repeat([-250.0, -2.0, 0.0, 3.0, 400.0], 100)
    found = [float(alone(value, p).value[0]) for p in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert found == pytest.approx([-250.0, -2.0, 0.0, 3.0, 400.0], rel=0.005)


def test_counts_of_hours_add_up_to_the_day() -> None:
    rng = np.random.default_rng(2)
    bucket, hour = buckets_of(rng.lognormal(7, 1, 6_000)), rng.integers(0, 24, 6_000)
    one = np.ones(6_000, dtype=np.int64)
    day, hours = Histograms.of(np.zeros_like(hour), bucket, one), Histograms.of(hour, bucket, one)
    added = Histograms.of(np.zeros_like(hours.group), hours.bucket, hours.count.astype(np.int64))
    assert np.array_equal(day.bucket, added.bucket) and np.array_equal(day.count, added.count)


@pytest.mark.parametrize(("p", "needed"), [(0.5, 30), (0.95, 72), (0.99, 368)])
def test_a_quantile_without_an_upper_limit_is_no_number(p: float, needed: int) -> None:
    """Hahn and Meeker: n values have a limit above the quantile p at 97.5 % where p^n <= 0.025."""
    value = np.random.default_rng(3).lognormal(7, 1, 4 * needed)
    few = alone(value[: needed - 1], p)
    assert not few.answered[0] and few.reason[0] == TOO_FEW_FOR_QUANTILE and np.isnan(few.value[0])
    assert few.have[0] < few.needed[0] == needed
    assert alone(value, p).answered[0]


def test_one_users_answers_are_no_number() -> None:
    found = estimated(np.arange(1.0, 1_001.0), np.zeros(1_000, dtype=np.int64), 0.5)
    assert not found.answered[0]
    assert (found.reason[0], found.have[0], found.needed[0]) == (TOO_FEW_USERS, 1, 15)


def test_answers_alike_within_a_user_make_the_limits_wider() -> None:
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(200), 20)
    own, mixed = rng.lognormal(7, 1, 200)[user], rng.lognormal(7, 1, 4_000)
    alike, apart = (estimated(value, user, 0.5) for value in (own, mixed))
    assert alike.n_effective[0] < 600 < 2_000 < apart.n_effective[0]
    assert np.log(alike.high[0] / alike.low[0]) > 2 * np.log(apart.high[0] / apart.low[0])


def test_groups_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(5)
    value, user = rng.lognormal(7, 1, 3_000), rng.integers(0, 400, 3_000)
    group = np.repeat([0, 1, 2], 1_000)
    value[group == 1] *= 10
    together = estimated(value, user, 0.9, group)
    for number in range(3):
        own = estimated(value[group == number], user[group == number], 0.9)
        for name in ("value", "low", "high", "n_effective"):
            assert getattr(together, name)[number] == pytest.approx(getattr(own, name)[0])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"kind": "quantile"}, "go together"),
        ({"kind": "mean", "quantile": 0.5}, "go together"),
        ({"kind": "quantile", "quantile": 1.0}, "less than 1"),
        ({"kind": "quantile", "quantile": 0.5, "judge": "relevance"}, "sees a sample"),
    ],
)
def test_what_is_no_quantile_metric_is_refused(given: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Metric.model_validate({"title": "t", "numerator": "latency_ms", "unit": "ms", "direction": "down", **given})


def test_a_metric_from_before_keeps_its_version() -> None:
    """Points of another version are another series: none may begin anew because a field was added."""
    metrics = load_catalog(PACKAGED_CATALOG).metrics.metrics
    assert (metrics["latency"].version, metrics["errors"].version) == ("27459e5deb8d", "aed5d33b26e7")
    assert len({metrics[name].version for name in ("latency_p50", "latency_p95", "latency_p99")}) == 3
