"""Taking rows out of the warehouse without building anything again: what was counted stays counted."""

from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from onlineeval_dagster.errors import WarehouseError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.tombstones import ID_COLUMNS, doomed_sql
from onlineeval_dagster.warehouse.duckdb import connection, prepare

_TABLES = (
    "select t.schema_name, t.table_name, list(c.column_name) from duckdb_tables() t "
    "join duckdb_columns() c using (database_name, schema_name, table_name) "
    "where t.database_name = current_database() group by all order by all"
)


def forget(file: Path, doomed: pa.Table) -> int:
    """Delete the rows of every table that `doomed` (kind, id, before) speaks of, and their bytes; returns how many.

    Call it inside `warehouse_held`. The file is written anew, since DuckDB leaves deleted rows in free blocks; it is
    put in place whole or not at all.
    """
    if not file.exists():
        return 0
    with connection(file) as warehouse:
        warehouse.register("doomed", doomed)
        deleted = 0
        for schema, table, columns in warehouse.execute(_TABLES).fetchall():
            if set(columns) & set(ID_COLUMNS):
                where = doomed_sql(columns, row=f'"{table}"')
                done = warehouse.execute(f'delete from "{schema}"."{table}" where {where}').fetchone()
                deleted += done[0] if done else 0
        warehouse.unregister("doomed")
    # Also where nothing was deleted: a kill may have come between the deletion and this.
    _write_anew(file)
    return deleted


def show_lake_again(file: Path, lake: Lake) -> None:
    """Point the views of the last build at the files there are now."""
    if not file.exists():
        return
    with connection(file) as warehouse:
        try:
            days: list[date] = [row[0] for row in warehouse.execute("select day from tick.days").fetchall()]
        except duckdb.CatalogException:
            return  # never built
    prepare(file, lake, days)


def _write_anew(file: Path) -> None:
    draft = file.with_suffix(".part")
    draft.unlink(missing_ok=True)
    with duckdb.connect() as engine:
        try:
            engine.execute(f"attach '{file}' as old (read_only)")
            engine.execute(f"attach '{draft}' as new")
            for schema, table, _ in engine.execute(_TABLES.replace("current_database()", "'old'")).fetchall():
                engine.execute(f'create schema if not exists new."{schema}"')
                engine.execute(f'create table new."{schema}"."{table}" as from old."{schema}"."{table}"')
            views = engine.execute(
                "select schema_name, sql from duckdb_views() where database_name = 'old' and not internal"
            ).fetchall()
            engine.execute("use new")
            for schema, sql in _in_order(views):
                engine.execute(f'create schema if not exists new."{schema}"')
                with suppress(duckdb.Error):  # one that reads files that are gone: the next build makes it again
                    engine.execute(sql)
            engine.execute("checkpoint new")
            engine.execute("use memory")
            engine.execute("detach new")
        except duckdb.Error as error:
            raise WarehouseError(
                f"warehouse {file}: {error}; if it is damaged, delete it: the next run builds it again"
            ) from error
    for path in (file, draft):
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    draft.replace(file)


def _in_order(views: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The views of the lake first: the others read them."""
    return sorted(views, key=lambda view: view[0] != "tick")
