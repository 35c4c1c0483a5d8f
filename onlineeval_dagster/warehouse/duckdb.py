"""The only door to the warehouse, a DuckDB file that dbt builds from the lake. One process holds it at a time."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.estimates import SLICES
from onlineeval_dagster.errors import WarehouseBusy, WarehouseError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.lake.scan import scan

SOURCES = ("responses", "actions", "deploys", "labels", "signals", "selections", "verdicts")
"""The lake's tables that dbt reads, as views in schema `tick`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What one build takes in: the touched days, and the versions of the lake it brings the warehouse up to."""

    days: tuple[date, ...]
    reads: Mapping[str, int]
    catalog_version: str


@contextmanager
def warehouse_held(file: Path, *, wait_seconds: float, purpose: str) -> Iterator[None]:
    """Hold the warehouse for this process. Raises WarehouseBusy naming the holder's pid after `wait_seconds`."""
    with holding(
        lock_file(file), what=f"warehouse {file}", purpose=purpose, wait_seconds=wait_seconds, error=WarehouseBusy
    ):
        yield


def lock_file(file: Path) -> Path:
    return file.with_suffix(".lock")


@contextmanager
def connection(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The open warehouse, times in UTC. Call it inside `warehouse_held`, and briefly."""
    try:
        opened = duckdb.connect(str(file))
        opened.execute("set timezone = 'UTC'")
    except duckdb.IOException as error:
        raise WarehouseError(
            f"warehouse {file}: {error}; if the file is damaged, delete it: the next run builds it again"
        ) from error
    try:
        yield opened
    finally:
        opened.close()


def plan_build(file: Path, lake: Lake, catalog: Catalog) -> Build | None:
    """The days that dbt has to build again; None when the warehouse is up to date.

    All days, where the warehouse is new or the catalog has changed since the last build.
    """
    done = _last_reads(file)
    fresh = done is None or done["catalog_version"] != catalog.version
    changes = [lake.changes(name, None if fresh or done is None else done["reads"].get(name)) for name in SOURCES]
    days = {day for change in changes for day in change.days} & lake.days("responses")
    reads = {change.table: change.version for change in changes}
    if not days and done is not None and not fresh:
        return None
    return Build(days=tuple(sorted(days)), reads=reads, catalog_version=catalog.version) if days else None


def prepare(file: Path, lake: Lake, days: Collection[date]) -> None:
    """Show dbt the lake: a view a source in schema `tick`, limited to `days`, and the days themselves."""
    with connection(file) as warehouse:
        warehouse.execute("create schema if not exists tick")
        for name in SOURCES:
            # Every deploy is wanted: one of last week explains the answers of today.
            limited = None if name == "deploys" else days
            warehouse.execute(f"create or replace view tick.{name} as {scan(lake, name, limited)}")
        warehouse.execute("create or replace table tick.days (day date)")
        if days:
            warehouse.executemany("insert into tick.days values (?)", [(day,) for day in sorted(days)])


def finish(file: Path, build: Build) -> int:
    """Record that `build` is in the warehouse; returns its number. A build that was killed before is done again."""
    with connection(file) as warehouse:
        warehouse.execute(
            "create table if not exists tick.builds "
            "(number bigint, catalog_version varchar, reads varchar, days date[], finished_at timestamptz)"
        )
        last = warehouse.execute("select coalesce(max(number), 0) from tick.builds").fetchone()
        number = (last[0] if last else 0) + 1
        warehouse.execute(
            "insert into tick.builds values (?, ?, ?, ?, now())",
            [number, build.catalog_version, json.dumps(dict(build.reads)), list(build.days)],
        )
    return number


def built_since(file: Path, number: int | None) -> tuple[int, frozenset[date]]:
    """The latest build's number and the days built after build `number` (None: ever).

    A number that the warehouse has not come to yet is one of another file, deleted since: then all days are new.
    """
    if not file.exists():
        return 0, frozenset()
    with connection(file) as warehouse:
        if not _has_builds(warehouse):
            return 0, frozenset()
        builds = warehouse.execute("select number, days from tick.builds").fetchall()
    last = max((built for built, _ in builds), default=0)
    since = number if number is not None and number <= last else 0
    return last, frozenset(day for built, days in builds if built > since for day in days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Columns of a relation with their types, and its rows; None for a view, which would have to be run to know."""

    columns: Mapping[str, str]
    rows: int | None


def table_shapes(file: Path) -> dict[str, Shape]:
    """The shape of every relation in the schemas staging and marts, by name, from DuckDB's own catalog."""
    with connection(file) as warehouse:
        columns = warehouse.execute(
            "select table_name, column_name, data_type from duckdb_columns() "
            "where schema_name in ('staging', 'marts') order by table_name, column_index"
        ).fetchall()
        counts = dict(
            warehouse.execute(
                "select table_name, estimated_size from duckdb_tables() where schema_name in ('staging', 'marts')"
            ).fetchall()
        )
    shapes: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        shapes.setdefault(table, {})[column] = kind
    return {table: Shape(columns=listed, rows=counts.get(table)) for table, listed in shapes.items()}


def query(file: Path, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), **arrow: pa.Table) -> pa.Table:
    """The answer to `sql` as an Arrow table. Tables in `arrow` can be asked for by their names."""
    with connection(file) as warehouse:
        for name, table in arrow.items():
            warehouse.register(name, table)
        return warehouse.sql(sql, params=parameters).to_arrow_table()


def dbt_vars(file: Path, catalog: Catalog) -> dict[str, Any]:
    """What dbt has to know: where the warehouse lies, and the catalog."""
    return {"warehouse": str(file)} | dbt_vars_of(catalog)


def dbt_vars_of(catalog: Catalog) -> dict[str, Any]:
    """The catalog as the dbt project's variables."""
    return {
        "environments": list(catalog.sampling.environments),
        "signals": [*catalog.signals.actions, *catalog.signals.derived, *catalog.signals.detectors],
        "slices": list(SLICES),
        "grains": list(catalog.metrics.grains),
        "rolling": list(catalog.metrics.rolling),
        "rolling_values": ROLLING_VALUES,
        "slice_values": SLICE_VALUES,
        "judges": [
            {
                "name": judge.name,
                "column": column_of(judge.name),
                "axis": judge.axis,
                "version": judge.version,
                "good_from": judge.good_from,
            }
            for judge in catalog.counted_judges  # the wall before every number: a shadow has no column
        ],
        "metrics": [
            {
                "name": name,
                "version": metric.version,
                "kind": metric.kind,
                "judge": None if metric.judge is None else column_of(metric.judge),
                "numerator": metric.numerator,
                "denominator": metric.denominator,
                "filter": metric.filter,
            }
            for name, metric in catalog.metrics.metrics.items()
            if metric.kind != "quantile"  # counted from the facts themselves: metrics/quantiles.py
        ],
    }


SLICE_VALUES = 100
"""Of each slice, the values with most answers of a day or week that have points; the others are one, `REST`."""
ROLLING_VALUES = 20
"""Of each slice, the values with most answers of a day that rolling windows follow."""


def column_of(judge: str) -> str:
    """A judge's name as the beginning of a column's name."""
    return judge.replace("-", "_")


def _last_reads(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    with connection(file) as warehouse:
        if not _has_builds(warehouse):
            return None
        row = warehouse.execute(
            "select catalog_version, reads from tick.builds order by number desc limit 1"
        ).fetchone()
    return None if row is None else {"catalog_version": row[0], "reads": json.loads(row[1])}


def _has_builds(warehouse: duckdb.DuckDBPyConnection) -> bool:
    found = warehouse.execute(
        "select count(*) from information_schema.tables where table_schema = 'tick' and table_name = 'builds'"
    ).fetchone()
    return bool(found and found[0])


# A million responses take 3.3 GB while dbt groups them by user (measured); each further build costs 6 s of start.
RESPONSES_A_BUILD = 1_000_000


def in_chunks(lake: Lake, days: Collection[date]) -> list[list[date]]:
    """Days in groups small enough for one dbt build; at least one group, which may be empty."""
    count = lake.rows_by_day("responses", days)
    chunks: list[list[date]] = [[]]
    size = 0
    for day in sorted(days):
        if chunks[-1] and size + count.get(day, 0) > RESPONSES_A_BUILD:
            chunks.append([])
            size = 0
        chunks[-1].append(day)
        size += count.get(day, 0)
    return chunks
