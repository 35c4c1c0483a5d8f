"""Rows that a query makes, written by DuckDB itself: a file a day, registered in Delta as one commit.

Twice as fast as handing them over as Arrow, and memory stays flat.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

import duckdb
from deltalake import CommitProperties, Transaction

from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.lake.commit import Part, commit_files
from onlineeval_dagster.lake.delta import Lake, reading
from onlineeval_dagster.lake.scan import sql_type


def copy_part(
    connection: duckdb.DuckDBPyConnection, lake: Lake, name: str, sql: str, day: date, *, words: Collection[str] = ()
) -> Part | None:
    """Write the rows of `sql`, all of `day`, to a file of table `name`; None where there are none. Not committed.

    `words` are columns of `sql` that are enums. They are stored as the texts they stand for, in half the time: the
    writer need not look for the few values there are.
    """
    lake.open(name)
    columns = ", ".join(
        field.name if field.name in words else f"{field.name}::{sql_type(field.type)} as {field.name}"
        for field in TABLES[name].schema
        if field != DAY
    )
    path = f"{DAY.name}={day}/copied-{secrets.token_hex(12)}.parquet"
    file = lake.folder / name / path
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        target = str(file).replace("'", "''")
        found = connection.execute(f"copy (select {columns} from ({sql})) to '{target}' (format parquet)").fetchone()
    except (OSError, duckdb.IOException) as error:
        raise LakeError(f"lake table {name}: {error}; nothing was committed, free space and run again") from error
    count = found[0] if found else 0
    if not count:
        file.unlink()
        return None
    return Part(path=path, day=day, rows=count, size=file.stat().st_size)


def commit_copied(lake: Lake, name: str, parts: Sequence[Part], *, reads: Mapping[str, int], now: datetime) -> None:
    """Add the files to table `name` in one atomic commit that records `reads`. Raises LakeError."""
    read = [Transaction(reading(source), version) for source, version in reads.items()]
    commit_files(lake, name, parts, properties=CommitProperties(app_transactions=read), now=now)
