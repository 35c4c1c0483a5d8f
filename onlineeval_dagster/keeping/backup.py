"""A consistent copy of a home while it lives.

The versions of all tables are pinned in one moment, under the ingest's lock and downstream first, so that no table of
the copy has read more than the copy holds. Then the files they name are copied: nobody removes them, since compaction
and erasure wait for the keeping's lock. The warehouse is not copied: the next run builds it from the lake.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import KeepingError
from onlineeval_dagster.keeping.quiet import keeping
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.log.segments import find_segment
from onlineeval_dagster.log.writer import OPEN, SEALED, sealed_path
from onlineeval_dagster.settings import Settings

MANIFEST = "manifest.json"
_CATALOG = "catalog"  # of the copy; the user's own lies outside the home
# Built again, or of this process alone.
_LEFT_OUT = {"warehouse", "dbt", "dagster", "runs", "locks", "published", "log", "lake", "ingest", "backups.json"}
_BLOCK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished copy: where, when, which version of each table, how many files and bytes."""

    folder: Path
    made_at: datetime
    versions: Mapping[str, int]
    files: int
    size: int


def back_up(settings: Settings, to: Path, *, now: datetime) -> Backup:
    """Copy the home into `to`/onlineeval-<time>, which appears once it is whole. Raises KeepingError."""
    name = f"onlineeval-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    final, draft = to / name, to / f"{name}.partial"
    if final.exists():
        raise KeepingError(f"backup {final}: is there already; wait a second, or name another folder")
    if not settings.home.is_dir():
        raise KeepingError(f"backup: no home at {settings.home}; set ONLINEEVAL_HOME to the one to copy")
    if to.resolve().is_relative_to(settings.home.resolve()):
        raise KeepingError(
            f"backup {to}: lies in the home {settings.home}, with which it would be lost; name one outside"
        )
    lake = Lake(settings.lake_folder)
    try:
        with keeping(settings, "backup"):
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            versions, sizes = _pin(settings, lake, draft)
            for table, version in versions.items():
                _copy_table(lake, table, version, draft / "lake" / table)
            _copy_log(settings, sizes, draft / "log")
            _copy_others(settings, draft)
            made = _seal(draft, final, versions, now=now)
            _note(settings, made)
    except OSError as error:
        raise KeepingError(f"backup {final}: {error}; free space or make it writable, and run again") from error
    return made


def copied(source: Path, target: Path) -> str:
    """Copy a file; returns the SHA-256 of what arrived."""
    shutil.copy2(source, target)
    return _digest(target)


def known_backups(settings: Settings) -> list[tuple[Path, datetime]]:
    """The backups that were made of this home and are still where they were put."""
    file = settings.home / "backups.json"
    noted = json.loads(file.read_text()) if file.exists() else []
    return [
        (Path(each["folder"]), datetime.fromisoformat(each["made_at"]))
        for each in noted
        if Path(each["folder"]).exists()
    ]


def _pin(settings: Settings, lake: Lake, draft: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Versions of the tables and sizes of the segments at one moment; the ingest's plan is copied in it."""
    lock = settings.home / "locks" / "ingest.lock"
    wait = settings.warehouse_wait_seconds
    with holding(lock, what="the ingest", purpose="backup", wait_seconds=wait, error=KeepingError):
        # What reads is pinned before what it reads.
        versions = {name: lake.version(name) for name in reversed(TABLES) if lake.exists(name)}
        plan = settings.home / "ingest" / "batch.json"
        if plan.exists():
            (draft / "ingest").mkdir()
            shutil.copy2(plan, draft / "ingest" / plan.name)
        segments = settings.log_folder.iterdir() if settings.log_folder.exists() else ()
        sizes = {sealed_path(path).name: _size(path) for path in segments if path.name.endswith(SEALED)}
    return versions, sizes


def _copy_table(lake: Lake, name: str, version: int, target: Path) -> None:
    source = lake.folder / name
    table = DeltaTable(source, version=version)
    actions = pa.table(table.get_add_actions(flatten=True))
    for path in actions.column("path").to_pylist():
        _copy_one(source / unquote(path), target / unquote(path))
    for entry in sorted((source / "_delta_log").iterdir()):
        number = entry.name.split(".")[0]
        if number.isdigit() and int(number) <= version and entry.suffix in {".json", ".parquet"}:
            _copy_one(entry, target / "_delta_log" / entry.name)


def _copy_log(settings: Settings, sizes: Mapping[str, int], target: Path) -> None:
    """The segments as long as they were; one that was being written is a sealed one in the copy, of whole lines."""
    target.mkdir(exist_ok=True)
    for name, size in sizes.items():
        path = find_segment(settings.log_folder, name)
        content = path.read_bytes()[:size]
        if path.name.endswith(OPEN):
            content = content[: content.rfind(b"\n") + 1]
        if content:
            (target / name).write_bytes(content)
            status = path.stat()
            os.utime(target / name, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_others(settings: Settings, draft: Path) -> None:
    for entry in sorted(settings.home.iterdir()):
        if entry.name not in _LEFT_OUT:
            for file in _files(entry):
                _copy_one(file, draft / file.relative_to(settings.home))
    for file in _files(settings.catalog):
        if file.suffix in {".toml", ".md"}:
            _copy_one(file, draft / _CATALOG / file.relative_to(settings.catalog))


def _copy_one(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix in {".sqlite", ".db"}:
        with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
    elif not file.name.endswith(("-wal", "-shm", ".part")):
        shutil.copy2(file, target)


def _seal(draft: Path, final: Path, versions: Mapping[str, int], *, now: datetime) -> Backup:
    files = {str(file.relative_to(draft)): _digest(file) for file in _files(draft)}
    size = sum(file.stat().st_size for file in _files(draft))
    said = {"made_at": now.isoformat(), "versions": dict(versions), "size": size, "files": files}
    with (draft / MANIFEST).open("w") as manifest:
        json.dump(said, manifest, indent=1)
        manifest.flush()
        os.fsync(manifest.fileno())
    draft.rename(final)
    return Backup(folder=final, made_at=now, versions=versions, files=len(files), size=size)


def _note(settings: Settings, made: Backup) -> None:
    noted = [*known_backups(settings), (made.folder.absolute(), made.made_at)]
    file = settings.home / "backups.json"
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps([{"folder": str(folder), "made_at": at.isoformat()} for folder, at in noted]))
    draft.replace(file)


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from sorted(path for path in place.rglob("*") if path.is_file())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return sealed_path(path).stat().st_size


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
