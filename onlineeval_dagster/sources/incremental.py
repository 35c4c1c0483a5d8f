"""Configured sources, each pulled from where its last pull ended; how far is remembered below the home's `state`."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.rows import Pull
from onlineeval_dagster.errors import OnlineEvalError, SourceError
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.sources.importing import import_items
from onlineeval_dagster.sources.place import Cursor, Item, Reached, opened
from onlineeval_dagster.sources.registry import dialect_of, read_items
from onlineeval_dagster.sources.rows import BadRow

SETTLES_SECONDS = 60.0
_SHOWN = 200


def pull(settings: Settings, name: str, source: Source, *, now: datetime) -> Pull:
    """Append to the log what is new in one source, and remember how far. An error of the source is part of the result.

    The cursor is written after the log is on the disk: a kill in between reads again, and the ids keep rows single.
    """
    before = read_state(settings, name)
    counted = _Counted()
    error = None
    try:
        with _alone(settings, name):
            before = read_state(settings, name)
            place = f"sources.{name}"
            dialect_of(source, place)
            ready = opened(source, place=place, now=now, settles_seconds=SETTLES_SECONDS)
            items = counted.through(read_items(ready, before))
            import_items(
                settings, items, door=f"import_{name}", reached=lambda cursor: _write_state(settings, name, cursor)
            )
    except OnlineEvalError as failed:
        error = str(failed)
    after = read_state(settings, name)
    return Pull(
        source=name,
        dialect=source.dialect,
        started_at=now,
        events=counted.events,
        bad=counted.bad,
        cursor_from=shown(before),
        cursor_to=shown(after),
        error=error,
    )


def pull_all(settings: Settings, sources: Mapping[str, Source], *, now: datetime) -> Iterator[Pull]:
    """Pull every source, one after the other; one that fails does not stop the others."""
    for name, source in sources.items():
        yield pull(settings, name, source, now=now)


def read_state(settings: Settings, name: str) -> Cursor:
    """The cursor of a source; empty before its first pull. Raises SourceError where the file is broken."""
    file = _state_file(settings, name)
    try:
        found = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise SourceError(f"{file}: cannot be read ({error}); remove it to read the source from its start") from error
    return found if isinstance(found, dict) else {}


def shown(cursor: Cursor) -> str | None:
    """A cursor in a few words for tables and people."""
    if not cursor:
        return None
    if "files" in cursor:
        files = cursor["files"]
        newest = max(files, key=lambda name: files[name][1] if files[name] else 0, default="")
        return f"{len(files)} files, the newest {Path(newest).name}"[:_SHOWN] if files else "no files"
    last = cursor.get("last")
    return str(last["value"] if isinstance(last, dict) else last)[:_SHOWN]


@dataclass(slots=True)
class _Counted:
    """Counts items as they pass, so that a pull that breaks off still says what it wrote."""

    events: int = 0
    bad: int = 0

    def through(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            if isinstance(item, BadRow):
                self.bad += 1
            elif not isinstance(item, Reached):
                self.events += 1
            yield item


def _state_file(settings: Settings, name: str) -> Path:
    return settings.home / "state" / "sources" / f"{name}.json"


def _write_state(settings: Settings, name: str, cursor: Cursor) -> None:
    file = _state_file(settings, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    unborn = file.with_suffix(".new")
    with unborn.open("wb") as state:
        state.write(orjson.dumps(dict(cursor)))
        state.flush()
        os.fsync(state.fileno())
    unborn.rename(file)


@contextmanager
def _alone(settings: Settings, name: str) -> Iterator[None]:
    """One pull of a source at a time. Raises SourceError while another process pulls it."""
    file = settings.home / "locks" / f"source_{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        until = time.monotonic() + 1
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise SourceError(f"sources.{name}: another process is pulling it; wait for its end") from error
                time.sleep(0.05)
        yield
