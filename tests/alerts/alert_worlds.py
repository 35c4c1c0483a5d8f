"""Points whose truth is known, in a lake, with what was expected of them: what the rules look at."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.alert_file import Alerts, Rule
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.metrics.detrended import detrend_points
from onlineeval_dagster.settings import PACKAGED_CATALOG

CATALOG = load_catalog(PACKAGED_CATALOG)
FIRST = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 40
NOW = FIRST + timedelta(days=DAYS)


def catalog(*, budget: dict | None = None, **rules: dict) -> Catalog:
    """The packaged catalog with these rules alone."""
    made = {
        name: Rule(**{"title": name.replace("_", " "), "owner": "team:search", "wait_minutes": 60, **said})
        for name, said in rules.items()
    }
    return replace(CATALOG, alerts=Alerts(rules=made, budget={"false_alarms_a_week": 0.05, **(budget or {})}))


def hourly(
    *,
    metric: str = "latency",
    mean: float = 1000.0,
    noise: float = 30.0,
    error: float = 20.0,
    fall: tuple[datetime, datetime, float] | None = None,
    n: int = 400,
    until: datetime = NOW,
    seed: int = 3,
    **key: str,
) -> list[dict]:
    """Hourly points with a daily rhythm; between the times of `fall` its factor applies."""
    rng, points = np.random.default_rng(seed), []
    at = FIRST
    while at < until:
        value = mean * (1 + 0.1 * np.sin(at.hour / 24 * 2 * np.pi)) + rng.normal(0, noise)
        if fall is not None and fall[0] <= at < fall[1]:
            value *= fall[2]
        points.append(
            {
                **{"metric": metric, "judge_version": "none", "metric_version": "m1", "method": "t", "grain": "hour"},
                **{"window_start": at, "day": at.date(), "slice": "all", "slice_value": "all", "estimand": "product"},
                **{"population": n, "n": n, "n_effective": float(n), "value": value},
                **{"low": value - 1.96 * error, "high": value + 1.96 * error, "reason": None, **key},
            }
        )
        at += timedelta(hours=1)
    return points


def put(lake: Lake, points: list[dict]) -> Lake:
    """Points into the lake, whole days, and what was expected of them."""
    days: list[date] = sorted({point["day"] for point in points})
    lake.replace_days("metric_points", days, pa.Table.from_pylist(points, TABLES["metric_points"].schema))
    detrend_points(lake, CATALOG)
    return lake


def lake_of_points(folder: Path, points: list[dict]) -> Lake:
    return put(Lake(folder / "lake"), points)


def received(
    lake: Lake, answers: dict[datetime, int], *, late: dict[datetime, int] | None = None, source: str = "sdk"
) -> None:
    """Answers by the hour in which they came in, and how many of them came late."""
    nothing = dict.fromkeys(("duplicate", "quarantined", "erased", "taken_out", "late", "lost_by_sender"), 0)
    kinds = dict.fromkeys(("with_implicit", "with_explicit", "with_automated"), 0)
    table = [
        {"hour": at, "source": source, "received": count, "ingested": count, "responses": count, "day": at.date()}
        | nothing
        | kinds
        | {"late": (late or {}).get(at, 0)}
        for at, count in answers.items()
        if count
    ]
    days = sorted({row["day"] for row in table})
    lake.replace_days("coverage", days, pa.Table.from_pylist(table, TABLES["coverage"].schema))


def shifted(points: list[dict], by: timedelta) -> list[dict]:
    """The same points at other times."""
    moved = [point | {"window_start": point["window_start"] + by} for point in points]
    return [point | {"day": point["window_start"].date()} for point in moved]
