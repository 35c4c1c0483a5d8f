"""The lake: one Delta table by day for each table of the contracts. The only module that writes to it.

Each write is one atomic commit. A commit can carry *reads*, the version of each input that it was made from; a stage
asks for them (`read_through`) to learn where it stopped, so its place and its rows can never disagree.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.lake.streamed import write_streamed

# A tick appends one part a table and day: at one tick in five minutes a day is compacted some four times.
PARTS_BEFORE_COMPACTION = 64
# Delta would keep the least and the greatest text of each file in its own log, where no erasure looks for it.
_NO_STATISTICS = {"delta.dataSkippingNumIndexedCols": "0"}
_ROW_GROUP = 2**17
"""Rows that a writer holds before they are on the disk, and that DuckDB gives to one thread."""
_CONFIGURATION = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 7 days",
    **_NO_STATISTICS,
}
KEEPS_AGGREGATES = "onlineeval.keeps_aggregates"
"""Mark of a commit that nothing derived follows: retention and erasure take rows away, and what was counted stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Which days of a table changed since a version, as seen at `version` (-1: the table does not exist yet).

    files  current parts that hold every row added since then; where parts were merged, older rows too
    """

    table: str
    version: int
    days: frozenset[date]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lake:
    """The Delta tables below `folder`. Holds no state: any number of processes may read while one writes."""

    folder: Path

    def exists(self, name: str) -> bool:
        return (self._path(name) / "_delta_log").is_dir()

    def open(self, name: str) -> DeltaTable:
        """The table, made or widened by the contract's new nullable columns where needed.

        Raises LakeError when the stored columns do not fit the contract.
        """
        wanted = TABLES[name].schema
        if not self.exists(name):
            return self._create(name, wanted)
        table = DeltaTable(self._path(name))
        stored = {field.name: field for field in table.schema().fields}
        missing = [field for field in wanted if field.name not in stored]
        for field in missing:
            if not field.nullable:
                raise LakeError(
                    f"lake table {name}: column {field.name} is new and not nullable; "
                    "contracts grow by nullable columns only"
                )
        if missing:
            table.alter.add_columns(Schema.from_arrow(pa.schema(missing)).fields)
            table = DeltaTable(self._path(name))
        if not _NO_STATISTICS.items() <= table.metadata().configuration.items():
            table.alter.set_table_properties(dict(_NO_STATISTICS))
            table = DeltaTable(self._path(name))
        return table

    def version(self, name: str) -> int:
        """The table's latest version; -1 where it does not exist."""
        return DeltaTable(self._path(name)).version() if self.exists(name) else -1

    def files(self, name: str, days: Collection[date] | None = None) -> list[str]:
        """Paths of the table's current Parquet files, of the given days or all."""
        if not self.exists(name) or (days is not None and not days):
            return []
        return [path for path, _ in self._parts(DeltaTable(self._path(name)), days)]

    def days(self, name: str) -> frozenset[date]:
        """The days that have rows."""
        if not self.exists(name):
            return frozenset()
        return frozenset(day for _, day in self._parts(DeltaTable(self._path(name)), None))

    def rows_by_day(self, name: str, days: Collection[date] | None = None) -> dict[date, int]:
        """How many rows each day has, from the log's own counts: no file is read."""
        if not self.exists(name):
            return {}
        actions = pa.table(DeltaTable(self._path(name)).get_add_actions(flatten=True)).to_pydict()
        counted: dict[date, int] = {}
        for day, count in zip(actions["partition.day"], actions["num_records"], strict=True):
            if days is None or day in days:
                counted[day] = counted.get(day, 0) + count
        return counted

    def append(self, name: str, rows: pa.Table, *, reads: Mapping[str, int] | None = None) -> None:
        """Add rows in one commit. `reads` are recorded with it."""
        self._commit(name, rows, mode="append", reads=reads or {}, predicate=None)

    def replace_days(
        self,
        name: str,
        days: Collection[date],
        rows: pa.Table | Iterable[pa.Table],
        *,
        reads: Mapping[str, int] | None = None,
    ) -> None:
        """Make `rows` the whole content of `days`, in one commit. Rows of other days are refused.

        Tables that come one after the other are written as they come: memory holds a few. Where making one fails,
        nothing is written.
        """
        tables = [rows] if isinstance(rows, pa.Table) else rows
        if not days:
            return
        listed = ", ".join(f"DATE '{day}'" for day in sorted(days))
        commit = partial(self._commit, name, mode="overwrite", reads=reads or {}, predicate=f"day in ({listed})")
        write_streamed((_of_days(name, days, table) for table in tables), TABLES[name].schema, commit)

    def read_through(self, name: str, source: str) -> int | None:
        """The version of `source` that table `name` has taken in; None when it has taken in nothing."""
        if not self.exists(name):
            return None
        return DeltaTable(self._path(name)).transaction_version(reading(source))

    def changes(self, name: str, since: int | None) -> Changes:
        """Days with rows added or removed after version `since` (None: every day). Compaction changes nothing, and
        neither do retention and erasure: what was counted stays counted.

        Where the commits since then are no longer kept, every day counts as changed.
        """
        if not self.exists(name):
            return Changes(table=name, version=-1, days=frozenset(), files=())
        table = DeltaTable(self._path(name))
        commits = None if since is None else self._commits(name, since, table.version())
        if commits is None:
            current = list(self._parts(table, None))
            return _changes(name, table.version(), {day for _, day in current}, [path for path, _ in current])
        days = {day for commit in commits for day in commit.days}
        if not days:
            return _changes(name, table.version(), days, [])
        added = {path for commit in commits for path in commit.added}
        current = dict(self._parts(table, days))
        merged = {day for path, day in _paths_with_days(added) if f"{self._root(table)}/{path}" not in current}
        files = [
            path
            for path, day in current.items()
            if day in merged or path.removeprefix(f"{self._root(table)}/") in added
        ]
        return _changes(name, table.version(), days, files)

    def days_taken_from(self, name: str, since: int | None) -> frozenset[date]:
        """Days from which retention or erasure took rows after version `since`, as far as commits are kept."""
        if since is None or not self.exists(name):
            return frozenset()
        commits = self._commits(name, since, self.version(name)) or []
        return frozenset[date]().union(*(commit.taken_from for commit in commits))

    def compact(self, name: str, *, parts: int = 1, days: Collection[date] | None = None) -> int:
        """Merge the parts of each of `days` (all by default) that has more than `parts`. Returns the days merged."""
        if not self.exists(name):
            return 0
        table = self.open(name)
        count: dict[date, int] = {}
        for _, day in self._parts(table, days):
            count[day] = count.get(day, 0) + 1
        crowded = sorted(day for day, number in count.items() if number > parts)
        if crowded:
            table.optimize.compact(partition_filters=[("day", "in", [str(day) for day in crowded])])
        return len(crowded)

    def vacuum(self, name: str, *, hours: int = 168) -> int:
        """Remove files that no version of the last `hours` needs, and what killed writers left. Returns how many."""
        if not self.exists(name):
            return 0
        table = self.open(name)
        return len(table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True))

    def _path(self, name: str) -> Path:
        if name not in TABLES:
            raise LakeError(f"lake: no table {name!r}; there are {', '.join(TABLES)}")
        return self.folder / name

    def _create(self, name: str, schema: pa.Schema) -> DeltaTable:
        self.folder.mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(
            self._path(name),
            schema=schema,
            mode="ignore",
            partition_by=[DAY.name],
            description=TABLES[name].description,
            configuration=_CONFIGURATION,
        )

    def _root(self, table: DeltaTable) -> str:
        return unquote(table.table_uri.removeprefix("file://")).rstrip("/")

    def _commits(self, name: str, since: int, until: int) -> list["_Commit"] | None:
        """What the commits after `since` changed, up to `until`; None where one of them is no longer kept."""
        log = self._path(name) / "_delta_log"
        commits = [_read_commit(log / f"{number:020d}.json") for number in range(since + 1, until + 1)]
        return None if any(commit is None for commit in commits) else [c for c in commits if c is not None]

    def _parts(self, table: DeltaTable, days: Collection[date] | None) -> Iterable[tuple[str, date]]:
        actions = pa.table(table.get_add_actions(flatten=True)).select(["path", "partition.day"]).to_pydict()
        root = self._root(table)
        for path, day in zip(actions["path"], actions["partition.day"], strict=True):
            if days is None or day in days:
                yield f"{root}/{path}", day

    def _commit(
        self,
        name: str,
        rows: pa.Table | pa.RecordBatchReader,
        *,
        mode: str,
        reads: Mapping[str, int],
        predicate: str | None,
    ) -> None:
        table = self.open(name)
        transactions = [Transaction(reading(source), version) for source, version in reads.items()]
        try:
            write_deltalake(
                table,
                _as_stored(name, rows) if isinstance(rows, pa.Table) else rows,
                mode=mode,  # type: ignore[arg-type]
                predicate=predicate,
                writer_properties=WriterProperties(max_row_group_size=_ROW_GROUP),
                commit_properties=CommitProperties(app_transactions=transactions),
            )
        except (DeltaError, pa.ArrowInvalid, ValueError, KeyError, OSError) as error:
            raise LakeError(f"lake table {name}: {error}; nothing was written, run again once mended") from error


def _as_stored(name: str, rows: pa.Table) -> pa.Table:
    return rows.select(TABLES[name].schema.names).cast(TABLES[name].schema)


def _of_days(name: str, days: Collection[date], rows: pa.Table) -> pa.Table:
    outside = set(rows.column("day").unique().to_pylist()) - set(days)
    if outside:
        raise LakeError(f"lake table {name}: rows of {min(outside)} in a commit that replaces other days")
    return _as_stored(name, rows)


def reading(source: str) -> str:
    """The name of the application transaction that remembers how far `source` was read."""
    return f"read:{source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commit:
    days: frozenset[date]
    added: tuple[str, ...]
    taken_from: frozenset[date] = frozenset()


def _read_commit(path: Path) -> _Commit | None:
    try:
        actions = [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return None
    changed = [part for action in actions if (part := action.get("add") or action.get("remove")) and part["dataChange"]]
    days = frozenset(date.fromisoformat(part["partitionValues"]["day"]) for part in changed)
    if any(action.get("commitInfo", {}).get(KEEPS_AGGREGATES) for action in actions):
        return _Commit(days=frozenset(), added=(), taken_from=days)
    return _Commit(
        days=days,
        added=tuple(unquote(action["add"]["path"]) for action in actions if action.get("add", {}).get("dataChange")),
    )


def _paths_with_days(paths: Iterable[str]) -> Iterable[tuple[str, date]]:
    for path in paths:
        yield path, date.fromisoformat(path.split("/")[0].removeprefix("day="))


def _changes(name: str, version: int, days: Iterable[date], files: list[str]) -> Changes:
    return Changes(table=name, version=version, days=frozenset(days), files=tuple(sorted(files)))
