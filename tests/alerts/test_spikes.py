"""Rules over windows of five minutes: told minutes after it began, against what the hour was expected to be."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.alerts.findings import find
from onlineeval_dagster.alerts.spikes import read_spikes
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from tests.alerts.alert_worlds import NOW, catalog, hourly, lake_of_points

SPIKE = NOW - timedelta(hours=5)
CLOSE = {"windows": ["five_minutes"], "wait_minutes": 2, "role": "technical"}


def five_minutes(metric: str, mean: float, error: float, spike: float, seed: int) -> list[dict]:
    """Rolling points of five minutes, one a minute for a day; from SPIKE on the value is `spike` for ten minutes."""
    rng, points = np.random.default_rng(seed), []
    for number in range(1440):
        at = NOW - timedelta(days=1) + timedelta(minutes=number)
        inside = SPIKE <= at - timedelta(minutes=4) < SPIKE + timedelta(minutes=10)
        value = max((spike if inside else mean) + rng.normal(0, error), 0.0)
        points.append(
            {"metric": metric, "minutes": 5, "last_minute": at, "slice": "all", "slice_value": "all", "n": 200}
            | {"metric_version": "m1", "n_effective": 200.0, "value": value, "low": value - 1.96 * error}
            | {"high": value + 1.96 * error, "method": "t", "estimand": "product", "reason": None, "day": at.date()}
        )
    return points


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder: Path = tmp_path_factory.mktemp("spikes")
    made = lake_of_points(folder, hourly() + hourly(metric="errors", mean=0.01, noise=0.001, error=0.002))
    points = five_minutes("latency", 1000.0, 80.0, 2500.0, 1) + five_minutes("errors", 0.01, 0.0, 0.2, 2)
    days = sorted({point["day"] for point in points})
    made.replace_days("rolling_points", days, pa.Table.from_pylist(points, TABLES["rolling_points"].schema))
    return made


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "latency", "kind": "relative", "limit": 0.5},
        {"metric": "latency", "kind": "dynamic"},
        {"metric": "errors", "kind": "absolute", "limit": 0.05},
    ],
    ids=["relative", "dynamic", "absolute"],
)
def test_a_spike_of_ten_minutes_is_one_finding_told_seven_minutes_after_it_began(lake: Lake, rule: dict) -> None:
    (found,) = find(lake, catalog(spike=rule | CLOSE), now=NOW)
    assert found.grain == "five_minutes" and found.began_at == SPIKE
    assert found.fired_at == SPIKE + timedelta(minutes=7)
    assert found.ended_at is not None  # three clear windows at least, and the wait
    assert timedelta(minutes=27) <= found.ended_at - SPIKE <= timedelta(hours=1)


def test_a_window_is_expected_to_be_what_its_hour_is(lake: Lake) -> None:
    rules = catalog(spike={"metric": "latency", "kind": "dynamic"} | CLOSE).alerts
    points = read_spikes(lake, rules, begin=NOW - timedelta(days=1), end=NOW)
    assert len(points) == 288  # windows that do not overlap
    expected = set(zip(points["window_start"].dt.hour, points["expected"], strict=True))
    assert len(expected) == 24 and all(850 < value < 1150 for _, value in expected)
    spread = points.loc[points["value"] < 2000, "standardised"].std()
    assert 0.5 < spread < 1.3


def test_where_no_rule_looks_at_minutes_none_are_read(lake: Lake) -> None:
    quiet = catalog(slow={"metric": "latency", "kind": "relative", "limit": 0.5})
    assert not any(one.grain == "five_minutes" for one in find(lake, quiet, now=NOW))


def test_minutes_are_told_as_minutes(lake: Lake) -> None:
    (found,) = find(lake, catalog(spike={"metric": "latency", "kind": "dynamic"} | CLOSE), now=NOW)
    assert f"the five minutes from {SPIKE:%H:%M} UTC" in found.told
    assert isinstance(found.began_at, datetime)
