"""From moments to metric points: a full rebuild, and one tick with a long and a short past."""

import shutil
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.catalog.metrics_file import Metric, Metrics
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.metrics.rolling import roll_points
from onlineeval_dagster.metrics.stage import estimate_points
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.duckdb import Build, connection, finish
from tests.bench.measured import Measured

METRICS, SLICES, DAYS, SHORT = 50, 100, 90, 3
LAST = date(2026, 11, 22)

_MOMENTS = """
create schema if not exists marts;
create schema if not exists tick;
create table marts.{table} as
with cells as (
    select
        'metric_' || m as metric,
        'v' as metric_version,
        case when m % 2 = 0 then 'rate' else 'mean' end as kind,
        'none' as judge_version,
        '{grain}' as grain,
        d.day::timestamptz + to_hours(h::int) as window_start,
        case when s = 0 then 'all' else 'model' end as slice,
        case when s = 0 then 'all' else 'm' || s end as slice_value,
        d.day as day,
        'all' as stratum,
        case when s = 0 then 4000 else 40 + 2 * s end as n,
        0.6 + 0.2 * (hash(m, s, d.day, h) % 1000) / 1000 as share,
        case when m % 2 = 0 then 1.0 else 900.0 end as size
    from range({metrics}) as metrics(m), range({slices}) as slices(s), range({hours}) as hours(h),
        (select '{first}'::date + {step} * n::int as day from range({days}) as numbers(n)) as d
)
select
    * exclude (n, share, size), n as population, n, round(n * share) * size as total,
    round(n * share) * size * size as total_squares, 1.3 * n as size_squares, 0.85 * n as users,
    1.2 * n * share * (1 - share) * size * size as residual_squares, 1.3 / n as weight_squares,
    1.2 * share * (1 - share) * size * size / n as influence_squares,
    6 * share * (1 - share) * size ** 4 / n ** 3 as influence_fourths, 0.0 as lost
    {more}
from cells
order by day  -- as builds leave them
"""

_MINUTES = """
create schema if not exists marts;
create schema if not exists tick;
create table marts.minute_sums as
select
    ['errors', 'latency', 'cost'][m + 1] as metric,
    'v' as metric_version,
    ('{first}'::date + d::int) as day,
    ('{first}'::date + d::int)::timestamptz + to_minutes(t::int) as minute_start,
    case when s = 0 then 'all' else 'model' end as slice,
    case when s = 0 then 'all' else 'm' || s end as slice_value,
    ((hash(t, s) % 12) * 5 + b)::bigint as bucket,
    2.0 as n,
    case when m = 0 then (hash(b, t) % 100 = 0)::int else 1500.0 + hash(m, t, b) % 1000 end as total,
    case when m = 0 then (hash(b, t) % 100 = 0)::int else 2e6 end as total_squares
from range(3) as metrics(m), range(61) as slices(s), range(2) as days(d), range(1440) as minutes(t),
    range(5) as buckets(b)
"""


def points(scratch: Path) -> list[Measured]:
    """50 metrics × 100 slices × 90 days: all points by hour, day and week anew, and those of one day after a tick."""
    rebuilt, ticked, count = _world(scratch / "points", DAYS)
    _, short, _ = _world(scratch / "points", SHORT)
    return [
        Measured(
            name=f"points of {DAYS} days, all anew", value=rebuilt, unit="s", at_most=60, note=f"{count:,} points"
        ),
        Measured(name="  points of a tick, one day", value=ticked, unit="s", at_most=5),
        Measured(name=f"  the same against {SHORT} days of past", value=ticked / short, unit="×", at_most=1.3),
    ]


def rolling(scratch: Path) -> list[Measured]:
    """One tick's rolling windows: 3 metrics × 61 slice values, a busy day of 1.3 million sums by minute and bucket."""
    folder = scratch / "rolling"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file, lake = folder / "warehouse.duckdb", Lake(folder / "lake")
    with connection(file) as warehouse:
        warehouse.execute(_MINUTES.format(first=LAST - timedelta(days=1)))
    finish(file, Build(days=(LAST,), reads={}, catalog_version="bench"))
    midnight = datetime.combine(LAST + timedelta(days=1), datetime.min.time(), tzinfo=UTC)
    started = time.perf_counter()
    done = roll_points(file, lake, load_catalog(PACKAGED_CATALOG), now=midnight - timedelta(minutes=1))
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return [
        Measured(name="rolling windows of a tick", value=seconds, unit="s", at_most=5, note=f"{done.points:,} points")
    ]


def many_metrics() -> Catalog:
    """A catalog of 50 metrics, half of them shares."""
    made = {
        f"metric_{number}": Metric(
            title=f"Metric {number}",
            kind="mean" if number % 2 else "rate",
            numerator="latency_ms",
            unit="ms" if number % 2 else "share",
            direction="down",
        )
        for number in range(METRICS)
    }
    return replace(load_catalog(PACKAGED_CATALOG), metrics=Metrics(headline="metric_0", metrics=made))


def _world(folder: Path, days: int) -> tuple[float, float, int]:
    """Seconds of a rebuild and of the tick after it, and the points of the rebuild."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file, lake, catalog = folder / "warehouse.duckdb", Lake(folder / "lake"), many_metrics()
    first = LAST - timedelta(days=days - 1)
    monday = first - timedelta(days=first.weekday())
    size = {"metrics": METRICS, "slices": SLICES}
    hours = _MOMENTS.format(
        table="metric_moments", grain="hour", hours=24, first=first, step=1, days=days, more="", **size
    )
    by_day = hours.replace("create table marts.metric_moments as", "insert into marts.metric_moments by name")
    weeks = {"table": "week_moments", "grain": "week", "hours": 1, "first": monday, "step": 7, "days": -(-days // 7)}
    with connection(file) as warehouse:
        warehouse.execute(hours)
        warehouse.execute(by_day.replace("'hour' as grain", "'day' as grain").replace("range(24)", "range(1)"))
        warehouse.execute(_MOMENTS.format(more=", 7 as days_covered", **weeks, **size))
    every = tuple(first + timedelta(days=number) for number in range(days))
    took = []
    counts = []
    for touched in (every, (LAST,)):
        finish(file, Build(days=touched, reads={}, catalog_version="bench"))
        started = time.perf_counter()
        counts.append(estimate_points(file, lake, catalog).points)
        took.append(time.perf_counter() - started)
    shutil.rmtree(folder)
    return took[0], took[1], counts[0]
