"""Parquet files beside a table become part of it, or leave it, in one atomic commit of Delta's.

A file that was written and not committed is in no Delta log: it is never read, and `Lake.vacuum` removes it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from deltalake import CommitProperties
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.lake.delta import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A finished Parquet file. `path` is relative to the table's folder, as its log names it, `size` in bytes."""

    path: str
    day: date
    rows: int
    size: int


def commit_files(
    lake: Lake,
    name: str,
    added: Sequence[Part],
    *,
    removed: Sequence[Part] = (),
    properties: CommitProperties,
    now: datetime,
    what: str = "",
) -> None:
    """Add files to table `name` and take others out of it; `properties` are what the commit remembers.

    Raises LakeError, which begins with `what` it was about; then nothing has changed.
    """
    table = lake.open(name)
    moment = int(now.timestamp() * 1000)
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(part.path, True, moment, part.size, {DAY.name: str(part.day)}) for part in removed
    ]
    actions += [
        AddAction(part.path, part.size, {DAY.name: str(part.day)}, moment, True, json.dumps({"numRecords": part.rows}))
        for part in added
    ]
    try:
        table.create_write_transaction(
            actions, mode="append", schema=table.schema(), partition_by=[DAY.name], commit_properties=properties
        )
    except (DeltaError, OSError, ValueError) as error:
        raise LakeError(f"lake table {name}: {what}{error}; nothing was committed, run again") from error
