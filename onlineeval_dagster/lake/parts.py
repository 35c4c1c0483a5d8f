"""Parquet files of a batch, written while its lines are read, and their registration in Delta as one commit a table."""

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, Transaction

from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.lake.commit import Part, commit_files
from onlineeval_dagster.lake.delta import Lake

APPLICATION = "ingest"
"""The name under which a table remembers the last batch it took."""

_MOST_OPEN = 256  # files; a process may have some 1,024
_WRITERS = 2


class PartsWriter:
    """Writes rows of many tables, one file a table and day (more where many days are open). Memory: what it was given.

    Files are written by threads of its own; `write` returns once the rows given before are written.
    """

    def __init__(self, lake: Lake, *, batch: int) -> None:
        self._lake, self._batch = lake, batch
        self._threads = ThreadPoolExecutor(_WRITERS, thread_name_prefix="parts")
        self._open: dict[tuple[str, date], _OpenPart] = {}
        self._pending: list[Future[None]] = []
        self._done: dict[str, list[Part]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        for part in self._open.values():
            part.abandon()

    def write(self, rows: Mapping[tuple[str, date], pa.Table]) -> None:
        """Add rows by table and day, each in its table's schema. Raises LakeError when a file cannot be written."""
        self._wait()
        if len(self._open) + len(rows) > _MOST_OPEN:
            self._close()
        for (name, day), table in rows.items():
            part = self._open.get((name, day))
            if part is None:
                part = self._open[(name, day)] = _OpenPart(self._lake.folder / name, day, self._batch)
            self._pending.append(self._threads.submit(part.write, table.drop_columns([DAY.name])))

    def finish(self) -> dict[str, list[Part]]:
        """Close all files. Returns those written since the last call, by table."""
        self._wait()
        self._close()
        done, self._done = self._done, {}
        return done

    def _wait(self) -> None:
        pending, self._pending = self._pending, []
        for future in pending:
            try:
                future.result()
            except (OSError, pa.ArrowException) as error:
                raise LakeError(
                    f"lake {self._lake.folder}: batch {self._batch}: {error}; "
                    "free space or make it writable, and run again: nothing was committed"
                ) from error

    def _close(self) -> None:
        for (name, _), part in self._open.items():
            self._pending.append(self._threads.submit(self._close_one, name, part))
        self._wait()
        self._open = {}

    def _close_one(self, name: str, part: "_OpenPart") -> None:
        self._done.setdefault(name, []).append(part.close())


class _OpenPart:
    """A Parquet file being written. Its writer is made by the first rows."""

    def __init__(self, folder: Path, day: date, batch: int) -> None:
        self._folder, self._day, self._rows = folder, day, 0
        self._path = f"{DAY.name}={day}/batch-{batch:08d}-{secrets.token_hex(8)}.parquet"
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.Table) -> None:
        if self._writer is None:
            path = self._folder / self._path
            path.parent.mkdir(parents=True, exist_ok=True)
            # Texts and ids hardly repeat; a dictionary is tried for the columns that do.
            self._writer = pq.ParquetWriter(
                path,
                rows.schema,
                compression="snappy",
                use_dictionary=_repeating(rows),  # pyright: ignore[reportArgumentType] - names are taken too
                store_schema=False,
            )
        self._writer.write_table(rows)
        self._rows += rows.num_rows

    def close(self) -> Part:
        assert self._writer is not None
        self._writer.close()
        size = (self._folder / self._path).stat().st_size
        return Part(path=self._path, day=self._day, rows=self._rows, size=size)

    def abandon(self) -> None:
        with suppress(OSError):  # a file that stays is in no Delta log
            (self._folder / self._path).unlink(missing_ok=True)


def committed_batch(lake: Lake, name: str) -> int:
    """The last batch that a table took; 0 where it took none."""
    return (lake.open(name).transaction_version(APPLICATION) or 0) if lake.exists(name) else 0


def commit_parts(lake: Lake, name: str, parts: Sequence[Part], *, batch: int, now: datetime) -> None:
    """Register the files of a batch in one atomic commit; a table that has the batch already is left as it is.

    Raises LakeError; then nothing is registered.
    """
    table = lake.open(name)
    if (table.transaction_version(APPLICATION) or 0) >= batch:  # the library would accept it once more
        return
    properties = CommitProperties(app_transactions=[Transaction(APPLICATION, batch)])
    commit_files(lake, name, parts, properties=properties, now=now, what=f"batch {batch}: ")


def _repeating(rows: pa.Table) -> list[str]:
    """Columns of text whose first rows hold few values: worth a dictionary."""
    sample = rows.slice(0, 1000)
    return [
        field.name
        for field in rows.schema
        if pa.types.is_string(field.type) and len(sample.column(field.name).unique()) * 4 <= len(sample)
    ]
