"""Taking rows or texts out of the lake's files: what retention and erasure do. One commit a table.

The files are written here and not by Delta's own delete, which would put its condition, the ids, into the table's log.
Each commit is marked: nothing that was derived from the rows is derived again. Call it where nobody else writes.
"""

import json
import os
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable

from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.commit import Part, commit_files
from onlineeval_dagster.lake.delta import KEEPS_AGGREGATES, Lake
from onlineeval_dagster.lake.scan import engine, scan_files

_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _File(Part):
    """A current file of a table; `whole` is where it lies."""

    whole: str


def drop_days(lake: Lake, name: str, *, before: date, now: datetime) -> dict[date, int]:
    """Drop the days before `before` whole, without reading a file. Returns the rows of each."""
    dropped = lake.rows_by_day(name, {day for day in lake.days(name) if day < before})
    gone = [file for file in _files(lake, name) if file.day < before]
    if gone:
        _commit(lake, name, gone, [], now=now)
    return dropped


def take_out(
    lake: Lake,
    name: str,
    where: str,
    *,
    now: datetime,
    days: Collection[date] | None = None,
    replace: Mapping[str, str] | None = None,
    **arrow: pa.Table,
) -> dict[date, int]:
    """Take the rows of table `name` for which SQL `where` holds out of their files; returns how many a day.

    With `replace` (column: SQL) these rows stay, with those values. `arrow` are tables that the SQL may ask. A kill
    before the commit leaves files that no log names.
    """
    if not lake.exists(name):
        return {}
    lake.open(name)  # widened first, so that each file's columns are the contract's
    with engine(lake, {name: days}) as connection:
        for table, content in arrow.items():
            connection.register(table, content)
        counted = connection.execute(
            f"select file_name, count(*) from {name} where {where} group by file_name"
        ).fetchall()
        count = dict(counted)
        old = [file for file in _files(lake, name) if file.whole in count]
        new = [_rewritten(lake, name, file, connection, where, replace) for file in old]
    if old:
        _commit(lake, name, old, [file for file in new if file.rows], now=now)
    touched: dict[date, int] = {}
    for file in old:
        touched[file.day] = touched.get(file.day, 0) + count[file.whole]
    return touched


def scrub(lake: Lake, name: str) -> None:
    """Leave nothing of what was taken out: old files, and the texts that a table's log noted of them."""
    if not lake.exists(name):
        return
    table = lake.open(name)
    lake.vacuum(name, hours=0)
    log = lake.folder / name / "_delta_log"
    for commit in sorted(log.glob("*.json")):
        _without_statistics(commit)
    table = DeltaTable(lake.folder / name)
    table.create_checkpoint()  # from here on older ones, with what they noted, are not needed
    for checkpoint in log.glob("*.checkpoint*.parquet"):
        if int(checkpoint.name.split(".")[0]) < table.version():
            checkpoint.unlink(missing_ok=True)


def _files(lake: Lake, name: str) -> list[_File]:
    if not lake.exists(name):
        return []
    actions = pa.table(DeltaTable(lake.folder / name).get_add_actions(flatten=True))
    columns = actions.select(["path", "partition.day", "size_bytes", "num_records"]).to_pylist()
    root = str((lake.folder / name).absolute())
    return [
        _File(
            path=row["path"],
            whole=f"{root}/{unquote(row['path'])}",
            day=row["partition.day"],
            size=row["size_bytes"],
            rows=row["num_records"],
        )
        for row in columns
    ]


def _rewritten(
    lake: Lake,
    name: str,
    file: _File,
    connection: duckdb.DuckDBPyConnection,
    where: str,
    replace: Mapping[str, str] | None,
) -> _File:
    schema = TABLES[name].schema
    schema = schema.remove(schema.get_field_index(DAY.name))
    values = replace or {}
    told = ", ".join(
        f'case when {where} then {values[column]} else {name}."{column}" end as "{column}"'
        if column in values
        else f'"{column}"'  # `group` is a word of SQL, and a column of judge_trials
        for column in schema.names
    )
    kept = "" if replace else f" where not coalesce({where}, false)"
    batches = connection.sql(f"select {told} from ({scan_files(name, [file.whole])}) as {name}{kept}").to_arrow_reader(
        _BATCH_ROWS
    )
    path = f"{DAY.name}={file.day}/kept-{secrets.token_hex(8)}.parquet"
    whole = lake.folder / name / path
    rows = 0
    with pq.ParquetWriter(whole, schema, compression="zstd", store_schema=False) as writer:
        for batch in batches:
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            rows += batch.num_rows
    return _File(path=path, whole=str(whole), day=file.day, size=whole.stat().st_size, rows=rows)


def _commit(lake: Lake, name: str, old: list[_File], new: list[_File], *, now: datetime) -> None:
    properties = CommitProperties(custom_metadata={KEEPS_AGGREGATES: True})
    commit_files(lake, name, new, removed=old, properties=properties, now=now)


def _without_statistics(commit: Path) -> None:
    """Rewrite one entry of a Delta log, whole or not at all, without the texts it noted of each file."""
    said = commit.read_text(encoding="utf-8")
    if "minValues" not in said and '"predicate"' not in said:
        return
    actions = [json.loads(line) for line in said.splitlines()]
    for action in actions:
        if (part := action.get("add")) and part.get("stats"):
            part["stats"] = json.dumps({"numRecords": json.loads(part["stats"]).get("numRecords")})
        if "commitInfo" in action:
            action["commitInfo"].get("operationParameters", {}).pop("predicate", None)
    draft = commit.with_name(f"{commit.name}.{os.getpid()}.tmp")
    draft.write_text("\n".join(json.dumps(action) for action in actions) + "\n", encoding="utf-8")
    draft.replace(commit)


def rows_where(lake: Lake, name: str, where: str, **arrow: pa.Table) -> int:
    """How many rows of table `name` satisfy SQL `where`."""
    with engine(lake, {name: None}) as connection:
        for table, content in arrow.items():
            connection.register(table, content)
        found = connection.execute(f"select count(*) from {name} where {where}").fetchone()
    return int(found[0]) if found else 0
