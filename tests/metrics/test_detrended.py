"""From the lake's metric points to points without their rhythm."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.clock_file import Clock
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import DetrendedPoint
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.detrended import detrend_points
from onlineeval_dagster.metrics.mix import mix_part
from onlineeval_dagster.settings import PACKAGED_CATALOG

CATALOG = load_catalog(PACKAGED_CATALOG)
FIRST = date(2026, 9, 1)


def point(day: int, value: float | None, *, hour: int | None = None, **other: object) -> dict[str, object]:
    start = datetime(2026, 9, 1, hour or 0, tzinfo=UTC) + timedelta(days=day)
    known = {"low": value - 0.02, "high": value + 0.02, "n_effective": 900.0} if value is not None else {}
    return {
        **{"metric": "good_answers", "judge_version": "v1", "metric_version": "m1", "method": "wilson"},
        **{"grain": "day" if hour is None else "hour", "window_start": start, "day": start.date()},
        **{"slice": "all", "slice_value": "all", "population": 1000, "n": 1000, "estimand": "product"},
        **{"value": value, "reason": None if value is not None else "too few judged responses: 3 of 24"},
        **known,
        **other,
    }


def lake_with(folder, points) -> Lake:
    lake = Lake(folder / "lake")
    table = pa.Table.from_pylist(points, TABLES["metric_points"].schema)
    lake.replace_days("metric_points", sorted({row["day"] for row in points}), table)
    return lake


def found(lake: Lake, where: str = "true") -> list[dict[str, object]]:
    sql = f"select * exclude (file_name) from detrended_metrics where {where} order by all"
    return rows(lake, sql, {"detrended_metrics": None}).to_pylist()


def quiet(days: int, rng) -> list[dict[str, object]]:
    return [
        point(day, 0.8 + 0.05 * np.sin(hour / 4) + rng.normal(0, 0.01), hour=hour)
        for day in range(days)
        for hour in range(24)
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def test_a_fall_stands_out_of_the_rhythm_in_units_of_its_own_spread(tmp_path, rng):
    points = quiet(30, rng)
    points[-1]["value"] -= 0.2
    lake = lake_with(tmp_path, points)
    done = detrend_points(lake, CATALOG)
    assert done.points == 30 * 24 and done.answered == 23 * 24
    last = found(lake, "day = date '2026-09-30'")
    fell = max(last, key=lambda row: row["window_start"])
    assert fell["residual"] == pytest.approx(-0.2, abs=0.04) and fell["standardised"] < -8
    assert max(abs(row["standardised"]) for row in last if row is not fell) < 4
    assert fell["expected"] + fell["residual"] == pytest.approx(fell["value"])
    assert fell["scale"] * fell["standardised"] == pytest.approx(fell["residual"])


def test_each_row_keeps_the_contract_and_says_why_there_is_no_number(tmp_path, rng):
    points = [*quiet(10, rng), point(9, None), point(8, 0.8)]
    lake = lake_with(tmp_path, points)
    detrend_points(lake, CATALOG)
    every = found(lake)
    for row in every:
        DetrendedPoint(**{name: row[name] for name in DetrendedPoint.model_fields})
    assert {row["reason"] for row in every if row["grain"] == "hour"} == {
        None,
        *(f"too little history: {days} of 7 days in the last 28" for days in range(7)),
    }
    assert {row["reason"] for row in every if row["grain"] == "day"} == {
        "too few judged responses: 3 of 24",
        "too little history: 0 of 7 days in the last 28",
    }


def test_times_are_compared_as_ratios(tmp_path, rng):
    points = [
        point(day, 1000 * float(np.exp(rng.normal(0, 0.1))) * (3 if day == 29 else 1), metric="latency")
        for day in range(30)
    ]
    for row in points:
        row |= {"low": row["value"] * 0.95, "high": row["value"] * 1.05}
    lake = lake_with(tmp_path, points)
    detrend_points(lake, CATALOG)
    (slow,) = found(lake, "day = date '2026-09-30'")
    assert slow["value"] / slow["expected"] == pytest.approx(3, rel=0.3)
    assert slow["standardised"] == pytest.approx(
        np.log(slow["value"] / slow["expected"]) * slow["expected"] / slow["scale"]
    )


def test_another_version_of_a_judge_or_of_a_metric_begins_a_series_of_its_own(tmp_path, rng):
    changed = {"judge_version": "v2", "metric_version": "m2"}
    for name, version in changed.items():
        points = [point(day, 0.8, **({name: version} if day >= 20 else {})) for day in range(25)]
        lake = lake_with(tmp_path / name, points)
        detrend_points(lake, CATALOG)
        assert [row["history_days"] for row in found(lake, f"{name} = '{version}'")] == [0, 1, 2, 3, 4]


def test_day_by_day_gives_the_same_as_all_at_once(tmp_path, rng):
    points = quiet(70, rng)
    whole = lake_with(tmp_path / "whole", points)
    detrend_points(whole, CATALOG)
    grown = Lake(tmp_path / "grown" / "lake")
    for until in (40, 41, 56, 57, 70):
        some = [row for row in points if row["day"] < FIRST + timedelta(days=until)]
        have = grown.days("metric_points")
        fresh = [row for row in some if row["day"] not in have]
        table = pa.Table.from_pylist(fresh, TABLES["metric_points"].schema)
        grown.replace_days("metric_points", sorted({row["day"] for row in fresh}), table)
        detrend_points(grown, CATALOG)
    assert found(grown) == found(whole)


def test_a_late_point_moves_what_rests_on_it_and_a_second_look_finds_nothing(tmp_path, rng):
    points = quiet(20, rng)
    lake = lake_with(tmp_path, points)
    detrend_points(lake, CATALOG)
    before = found(lake, "day = date '2026-09-16'")
    late = [row | {"value": 0.7} for row in points if row["day"] == date(2026, 9, 10)]
    lake.replace_days("metric_points", [date(2026, 9, 10)], pa.Table.from_pylist(late, TABLES["metric_points"].schema))
    done = detrend_points(lake, CATALOG)
    assert (done.days[0], done.days[-1]) == (date(2026, 9, 10), date(2026, 9, 20))
    assert found(lake, "day = date '2026-09-16'") != before
    assert detrend_points(lake, CATALOG).days == ()


def test_the_hours_are_those_of_the_products_own_clock(tmp_path, rng):
    # Lunch at 12 in Berlin: 10 UTC until the 25th of October, 11 UTC from then on.
    def lunch(start: datetime) -> float:
        utc_hour = 10 if start < datetime(2026, 10, 25, 1, tzinfo=UTC) else 11
        return 0.5 if start.hour == utc_hour else 0.8

    points = [row | {"value": lunch(row["window_start"]) + rng.normal(0, 0.01)} for row in quiet(58, rng)]
    points = [row | {"low": row["value"] - 0.02, "high": row["value"] + 0.02} for row in points]
    wild = {}
    for zone in ("UTC", "Europe/Berlin"):
        lake = lake_with(tmp_path / zone.replace("/", "_"), points)
        metrics = CATALOG.metrics.model_copy(update={"clock": Clock(zone=zone)})
        detrend_points(lake, replace(CATALOG, metrics=metrics))
        wild[zone] = len(found(lake, "day >= date '2026-10-25' and abs(standardised) > 5"))
    assert wild["Europe/Berlin"] == 0 < wild["UTC"]


def test_a_zone_that_is_none_is_refused_in_words():
    with pytest.raises(ValueError, match="Europe/Berlin"):
        Clock(zone="Berlin")
    assert Clock.model_validate({"holidays": {"2026-12-25": "sunday"}}).behaves_like == {date(2026, 12, 25): 6}


def test_a_change_of_mix_is_told_apart_from_a_change_of_quality(tmp_path):
    def day_of(day: int, shares: dict[str, float], quality: dict[str, float]) -> list[dict[str, object]]:
        parts = [
            point(day, quality[name], slice="model", slice_value=name, population=int(1000 * share))
            for name, share in shares.items()
        ]
        return [*parts, point(day, sum(share * quality[name] for name, share in shares.items()))]

    usual, quality = {"large": 0.8, "small": 0.2}, {"large": 0.9, "small": 0.7}
    points = [row for day in range(20) for row in day_of(day, usual, quality)]
    points += day_of(20, {"large": 0.7, "small": 0.3}, {"large": 0.89, "small": 0.69})
    lake = lake_with(tmp_path, points)
    detrend_points(lake, CATALOG)
    (row,) = found(lake, "day = date '2026-09-21' and slice = 'all'")
    assert row["value"] - 0.86 == pytest.approx(-0.03)
    assert (row["mix_slice"], row["mix_part"]) == ("model", pytest.approx(-0.02))
    assert not [row for row in found(lake, "slice = 'model'") if row["mix_part"] is not None]


def test_much_traffic_without_a_past_leaves_the_mix_unexplained():
    before, past = np.array([80.0, 0.0]), np.array([0.9, np.nan])
    assert np.isnan(mix_part(np.array([50.0, 50.0]), before, past))
    assert mix_part(np.array([90.0, 10.0]), before, past) == pytest.approx(0.0)
