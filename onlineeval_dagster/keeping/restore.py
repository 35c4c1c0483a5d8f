"""A backup's way back into an empty home, checked file by file, without those who were erased since it was made."""

import json
import shutil
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from onlineeval_dagster.errors import KeepingError
from onlineeval_dagster.keeping.backup import MANIFEST, Backup, copied
from onlineeval_dagster.keeping.erasure import ask_again, work
from onlineeval_dagster.keeping.person import named_here
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.tombstones import Kind, Tombstones, adopt, load_tombstones
from onlineeval_dagster.settings import Settings


def restore(source: Path, settings: Settings, *, now: datetime, buried_at: Settings | None = None) -> Backup:
    """Copy a backup into the empty home of `settings`, each file checked by its hash; the home appears once whole.

    Who has a tombstone in the home `buried_at` is erased before it appears. Raises KeepingError where the home is not
    empty or the backup is damaged; then nothing is there.
    """
    home = settings.home
    if home.exists() and any(home.iterdir()):
        raise KeepingError(f"restore: {home} is not empty; set ONLINEEVAL_HOME to a new folder, or move it away")
    said = _manifest(source)
    stones = None if buried_at is None else _stones_of(buried_at)
    draft = home.with_name(f"{home.name}.restoring")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        _copy(source, said, draft)
        there = settings.model_copy(update={"home": draft})
        _check_versions(source, said, there)
        if stones is not None and buried_at is not None:
            _erase_again(there, buried_at, stones, now=now)
        if home.exists():
            home.rmdir()
        draft.rename(home)
    except OSError as error:
        raise KeepingError(f"restore: {error}; free space or make it writable, and run again") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Backup(
        folder=source,
        made_at=datetime.fromisoformat(said["made_at"]),
        versions=said["versions"],
        files=len(said["files"]),
        size=said["size"],
    )


def _copy(source: Path, said: dict[str, Any], draft: Path) -> None:
    draft.mkdir(parents=True)
    for path, digest in said["files"].items():
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise KeepingError(f"restore: {source / MANIFEST} names {path}, outside of the backup; take another backup")
        target = draft / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (source / path).is_file() or copied(source / path, target) != digest:
            raise KeepingError(f"restore: {source / path} is not what was backed up; take another backup")


def _check_versions(source: Path, said: dict[str, Any], there: Settings) -> None:
    lake = Lake(there.lake_folder)
    found = {name: lake.version(name) for name in said["versions"]}
    if found != said["versions"]:
        raise KeepingError(f"restore: {source}: tables have versions {found}, backed up were {said['versions']}")


def _stones_of(lived: Settings) -> Tombstones:
    if not lived.lake_folder.is_dir():
        raise KeepingError(f"restore: --tombstones {lived.home}: no lake in it; name the home as it last was")
    return load_tombstones(lived, Lake(lived.lake_folder))


def _erase_again(there: Settings, lived: Settings, stones: Tombstones, *, now: datetime) -> None:
    """Put up all tombstones of `lived`, and erase here whom they name."""
    if not len(stones):
        return
    lake = Lake(there.lake_folder)
    adopt(there, lake, stones, lived, now=now)
    by_time: dict[datetime, list[tuple[Kind, str]]] = defaultdict(list)
    for key, before in named_here(there, lake, stones).before.items():
        by_time[before].append(key)
    for before, ids in sorted(by_time.items()):
        work(there, ask_again(there, ids, before=before, now=now), now=now)


def _manifest(source: Path) -> dict[str, Any]:
    try:
        said = json.loads((source / MANIFEST).read_text())
        missing = {"made_at", "versions", "files", "size"} - said.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise KeepingError(_not_whole(source)) from error
    if missing:
        raise KeepingError(_not_whole(source))
    return said


def _not_whole(source: Path) -> str:
    return f"restore: {source} is no whole backup ({MANIFEST} cannot be read); name a folder onlineeval-<time>"
