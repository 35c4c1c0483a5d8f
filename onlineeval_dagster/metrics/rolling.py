"""Rolling windows of a minute, five, an hour and a day, out of sums by minute that add up: whole touched days.

A window is a difference of two running sums, so that all windows of a day cost one pass over it, however long they are.
Sums are kept for buckets of users; a bucket's sums over the window are what is squared, as in week_moments.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.metrics.cells import codes
from onlineeval_dagster.metrics.moments import Floats, Indices, Moments
from onlineeval_dagster.metrics.stage import estimate, estimated_columns, family_of
from onlineeval_dagster.warehouse.duckdb import built_since, query

NAME = "rolling_points"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
A_DAY = 1440
STEPS: Mapping[int, int] = {1: 1, 5: 1, 60: 1, A_DAY: 5}
"""Lengths of windows in minutes, and every how many minutes one of them ends."""
BUCKETS = 64
SERIES = ("metric", "metric_version", "slice", "slice_value")
_SUMS = ("n", "total", "total_squares")
_COLUMNS = tuple(field.name for field in fields(Moments) if field.name not in ("cell_group", "population", "lost"))
"""What _moments gives: every answer that counts is looked at, and none is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """Days rewritten, points in them, and how many of these have a number."""

    days: tuple[date, ...]
    points: int
    answered: int


def roll_points(
    file: Path, lake: Lake, catalog: Catalog, *, now: datetime, days: Collection[date] | None = None
) -> Rolled:
    """Estimate the rolling windows that end on the days built since the last call (or on `days`), and on the days
    after them, into which windows of a day reach. Only windows that are over by `now`, of the days that are kept.
    """
    number, built = built_since(file, lake.read_through(NAME, "warehouse"))
    touched = built if days is None else days
    wanted = _reached(touched, catalog, now)
    reads = {"warehouse": number} if days is None and built else None
    schema = TABLES[NAME].schema
    if not wanted:
        if reads:  # so that the same old days are not looked at again
            lake.append(NAME, schema.empty_table(), reads=reads)
        return Rolled(days=(), points=0, answered=0)
    tables = [schema.empty_table(), *(_day(file, catalog, day, now) for day in wanted)]
    points = pa.concat_tables(tables)
    lake.replace_days(NAME, wanted, points, reads=reads)
    return Rolled(days=tuple(wanted), points=len(points), answered=len(points) - points.column("value").null_count)


def _reached(touched: Collection[date], catalog: Catalog, now: datetime) -> list[date]:
    kept = catalog.retention.of(NAME).days
    first = date.min if kept is None else now.date() - timedelta(days=kept)
    return sorted({day for one in touched for day in (one, one + DAY) if first <= day <= now.date()})


def _day(file: Path, catalog: Catalog, day: date, now: datetime) -> pa.Table:
    """The points of the windows that end on `day`."""
    before = datetime.combine(day - DAY, time(), tzinfo=UTC)
    over = min(int((now - before) / MINUTE), 2 * A_DAY)  # minutes since the day before began that are over
    listed = ", ".join([*SERIES, "bucket", *_SUMS])
    sql = (
        f"select {listed}, datediff('minute', timestamptz '{before.isoformat(sep=' ')}', minute_start) as minute "
        f"from marts.minute_sums where day in (date '{day - DAY}', date '{day}')"
    )
    cells = query(file, sql)
    tables = [TABLES[NAME].schema.empty_table()]
    if len(cells):
        number = codes(cells, SERIES)
        order = np.argsort(number, kind="stable")
        starts = np.flatnonzero(np.diff(number[order], prepend=-1))
        for part in np.split(order, starts[1:]):
            tables.append(_series(cells.take(pa.array(part)), catalog, day, over))
    return pa.concat_tables(tables)


def _series(cells: pa.Table, catalog: Catalog, day: date, over: int) -> pa.Table:
    """The points of one series: its sums by minute and bucket, of the day before and the day."""
    name = cells.column("metric")[0].as_py()
    minute, bucket = (cells.column(column).to_numpy() for column in ("minute", "bucket"))
    sums = np.stack([cells.column(column).to_numpy() for column in _SUMS])
    lengths, ends, moments = _joined(list(rolled_moments(minute, bucket, sums, over)))
    start = np.datetime64(datetime.combine(day - DAY, time()), "us")
    count = len(ends)
    columns: dict[str, Any] = {column: pa.repeat(cells.column(column)[0], count) for column in SERIES} | {
        "minutes": lengths,
        "last_minute": pa.array(start + ends * np.timedelta64(MINUTE), pa.timestamp("us", "UTC")),
        "day": pa.repeat(pa.scalar(day, pa.date32()), count),
        **estimated_columns(estimate(family_of(catalog, name), moments)),
    }
    schema = TABLES[NAME].schema
    return pa.table([columns[field] for field in schema.names], schema=schema)


def rolled_moments(
    minute: Indices, bucket: Indices, sums: Floats, over: int
) -> Iterator[tuple[Indices, Indices, Mapping[str, Floats]]]:
    """For each length of window: the lengths, the last minutes and the moments of the windows that end on the second
    of two days and before minute `over`, and have an answer.

    minute, bucket   (cells,) minutes since the first of the two days began; users' bucket, below BUCKETS
    sums             (3, cells) rows with a value, their sum, and the sum of squares
    """
    running = np.zeros((3, 2 * A_DAY + 1, BUCKETS))
    running[:, minute + 1, bucket] = sums
    np.cumsum(running, axis=1, out=running)
    for length, step in STEPS.items():
        ends = np.arange(A_DAY + step - 1, over, step)
        inside = running[:, ends + 1] - running[:, ends + 1 - length]
        some = inside[0].sum(axis=1) > 0.5
        yield np.full(some.sum(), length), ends[some], _moments(*inside[:, some])


def _moments(n: Floats, total: Floats, squares: Floats) -> Mapping[str, Floats]:
    """Moments of windows from their buckets' sums (windows, BUCKETS)."""
    total = np.where(n > 0.5, total, 0.0)  # what differences of running sums leave of nothing
    count = n.sum(axis=1)
    residual = total - (total.sum(axis=1) / count)[:, None] * n
    squared, sizes = (residual**2).sum(axis=1), (n**2).sum(axis=1)
    return {
        "n": count,
        "total": total.sum(axis=1),
        "total_squares": np.where(n > 0.5, squares, 0.0).sum(axis=1),
        "size_squares": sizes,
        "residual_squares": squared,
        "users": (n > 0.5).sum(axis=1).astype(np.float64),
        "weight_squares": sizes / count**2,
        "influence_squares": squared / count**2,
        "influence_fourths": (residual**4).sum(axis=1) / count**4,
    }


def _joined(parts: list[tuple[Indices, Indices, Mapping[str, Floats]]]) -> tuple[Indices, Indices, Moments]:
    lengths = np.concatenate([part[0] for part in parts])
    ends = np.concatenate([part[1] for part in parts])
    columns = {name: np.concatenate([part[2][name] for part in parts]) for name in _COLUMNS}
    nothing = np.zeros(len(ends))
    own = np.arange(len(ends))
    return lengths, ends, Moments(cell_group=own, population=columns["n"], lost=nothing, **columns)
