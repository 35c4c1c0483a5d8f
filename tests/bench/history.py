"""A lake with a long past, made by SQL in a minute: what months of ticks leave behind, without running them.

Every derived table is filled and every stage's place recorded, so that the next tick finds only what is new.
"""

import shutil
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.commit import Part
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.parts import commit_parts
from onlineeval_dagster.quality.progress import passed
from onlineeval_dagster.settings import Settings
from tests.bench.past import TEXTS, Past, day_sql


def write_past(settings: Settings, past: Past) -> None:
    """Fill the lake of `settings`. Raises FileExistsError where there is one."""
    settings.lake_folder.mkdir(parents=True)
    lake, catalog = Lake(settings.lake_folder), load_catalog(settings.catalog)
    written: dict[str, list[Part]] = {}
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")
        connection.execute(f"create temp table texts as {TEXTS}")
        for number, day in enumerate(past.dates):
            fresh = number >= past.days - past.fresh_days
            for name, sql in day_sql(catalog, past, day).items():
                connection.execute(f"create or replace temp table {name} as {sql}")
                parts = past.parts if fresh and name != "signals" else 1
                written.setdefault(name, []).extend(_write(connection, settings, name, day, parts))
    now = past.until
    written["ingested_parts"] = [_marker(settings, now)]
    written["deploys"] = [_deploy(settings, now - timedelta(hours=12))]
    for name, parts in written.items():
        commit_parts(lake, name, parts, batch=1, now=now)
        lake.open(name).create_checkpoint()
    if past.derived:
        _record_places(settings, lake, catalog)


def drop_warehouse(settings: Settings) -> None:
    """As if it had never been built."""
    for name in ("metric_points", "deploy_effects", "minute_counts", "rolling_points"):
        shutil.rmtree(settings.lake_folder / name, ignore_errors=True)
    shutil.rmtree(settings.warehouse_file.parent, ignore_errors=True)


def _write(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, day: date, parts: int
) -> Iterable[Part]:
    """The day's rows of table `name` as `parts` Parquet files, by time."""
    schema = TABLES[name].schema.remove(TABLES[name].schema.get_field_index("day"))
    there = {row[0] for row in connection.execute(f"select column_name from (describe {name})").fetchall()}
    columns = ", ".join(field.name if field.name in there else f"null as {field.name}" for field in schema)
    by_time = "response_at" if name in ("signals", "selections") else "occurred_at"
    rows = connection.sql(f"select {columns} from {name} order by {by_time}").to_arrow_table().cast(schema)
    step = -(-rows.num_rows // parts)
    for number, start in enumerate(range(0, rows.num_rows, step)):
        yield _part(settings.lake_folder / name, day, f"past-{number:04d}", rows.slice(start, step))


def _part(folder: Path, day: date, name: str, rows: pa.Table) -> Part:
    path = f"day={day}/{name}.parquet"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / path, store_schema=False)
    return Part(path=path, day=day, rows=rows.num_rows, size=(folder / path).stat().st_size)


def _marker(settings: Settings, now: datetime) -> Part:
    row = {"batch": 1, "log_segment": "past", "start_offset": 0, "end_offset": 1, "lines": 1, "accepted": 1, "bad": 0}
    return _single(settings, "ingested_parts", row | {"ingested_at": now}, now.date())


def _deploy(settings: Settings, now: datetime) -> Part:
    """A deploy half a day ago in every world, however long its past: each tick compares the days around it.

    One on the first day would be recent in a short past and over in a long one, and make the long one look cheap.
    """
    row = {
        "event_id": "e-deploy",
        "occurred_at": now,
        "received_at": now,
        "environment": "production",
        "app": "shop",
        "attributes": "{}",
        "kind": "deploy",
        "deploy_id": "the-first",
        "traffic_share": 1.0,
        "log_segment": "past",
        "log_offset": 0,
    }
    return _single(settings, "deploys", row, now.date())


def _single(settings: Settings, name: str, row: Mapping[str, object], day: date) -> Part:
    schema = TABLES[name].schema.remove(TABLES[name].schema.get_field_index("day"))
    table = pa.table([[row.get(field.name)] for field in schema], schema=schema)
    return _part(settings.lake_folder / name, day, "past", table)


def _record_places(settings: Settings, lake: Lake, catalog: Catalog) -> None:
    """Each stage has read all there is, and each check has passed."""
    version = {name: lake.version(name) for name in ("responses", "actions")}
    lake.append("signals", TABLES["signals"].schema.empty_table(), reads=version)
    reads = {f"responses for {judge.name}": version["responses"] for judge in catalog.live_judges}
    lake.append("selections", TABLES["selections"].schema.empty_table(), reads=reads)
    reads = {"selections": lake.version("selections")}
    lake.append("verdicts", TABLES["verdicts"].schema.empty_table(), reads=reads)
    for name in TABLES:
        if lake.exists(name):
            passed(settings.home / "quality", name, lake.version(name))
