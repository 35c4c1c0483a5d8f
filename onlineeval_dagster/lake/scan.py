"""Questions to the lake: SQL over the file lists that Delta gives, never over a glob."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date

import duckdb
import pyarrow as pa

from onlineeval_dagster.contracts.arrow import INSTANT
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake

Connection = duckdb.DuckDBPyConnection

_SQL_TYPES = {
    pa.string(): "varchar",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    INSTANT: "timestamptz",
}


def scan(lake: Lake, name: str, days: Collection[date] | None = None) -> str:
    """A select over a table's current files, of `days` or all: every column of the contract, typed, rows or none."""
    return scan_files(name, lake.files(name, days))


def sql_type(kind: pa.DataType) -> str:
    """The SQL type in which a contract's column is stored."""
    return _SQL_TYPES[kind]


def literals(words: Iterable[str]) -> str:
    """Texts as SQL literals, with commas between."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


def scan_files(name: str, files: Sequence[str]) -> str:
    """The same over stated files of table `name`, with `file_name`: the part a row stands in."""
    typed = ", ".join(f'null::{_SQL_TYPES[field.type]} as "{field.name}"' for field in TABLES[name].schema)
    empty = f"select {typed}, null::varchar as file_name where false"
    if not files:
        return empty
    listed = literals(files)
    # The empty select carries columns that parts written before them do not have.
    return (
        f"{empty} union all by name select * from "
        f"read_parquet([{listed}], union_by_name = true, hive_partitioning = true, filename = 'file_name')"
    )


def first_rows(name: str) -> str:
    """A select of a table's rows without duplicates: of each key the first by arrival, then by place in the log."""
    key = ", ".join(TABLES[name].key)
    return (
        f"select * from {name} qualify row_number() over "
        f"(partition by {key} order by received_at, log_segment, log_offset) = 1"
    )


_databases: dict[int, Connection] = {}


@contextmanager
def scratch(*, alone: bool = False) -> Iterator[Connection]:
    """A connection to a DuckDB in memory. Times are UTC; what it creates has to be `temp`: its own, gone at its end.

    alone  in a database of its own: for who sets what holds for a whole database, such as the order of rows

    To open a database takes 26 ms of CPU, another connection to it 0.4: a process has one, by its id, as a forked child
    has none of its parent's threads. After an error of DuckDB's own, which leaves one unusable, there is another.
    """
    process = os.getpid()
    if not alone and process not in _databases:
        _databases[process] = duckdb.connect()
    connection = duckdb.connect() if alone else _databases[process].cursor()
    try:
        # Its progress bar would stand among what a verb prints, also in a file.
        connection.execute("set timezone = 'UTC'; set enable_progress_bar = false")
        yield connection
    except (duckdb.InternalException, duckdb.FatalException):
        _databases.pop(process, None)
        raise
    finally:
        connection.close()


@contextmanager
def engine(lake: Lake, tables: Mapping[str, Collection[date] | None], *, alone: bool = False) -> Iterator[Connection]:
    """A DuckDB (see `scratch`) with a view for each of `tables`, limited to its days (None: all)."""
    with scratch(alone=alone) as connection:
        for name, days in tables.items():
            connection.execute(f"create temp view {name} as {scan(lake, name, days)}")
        yield connection


def rows(lake: Lake, sql: str, tables: Mapping[str, Collection[date] | None], **arrow: pa.Table) -> pa.Table:
    """The answer to `sql` over views of `tables` (see `engine`) and the Arrow tables given by name."""
    with engine(lake, tables) as connection:
        for name, table in arrow.items():
            connection.register(name, table)
        return connection.sql(sql).to_arrow_table()
