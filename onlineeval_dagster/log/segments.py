"""The door to the log folder: events as lines, and the segments that may be ingested. `log.writer` appends."""

import fcntl
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.writer import OPEN, SEALED, SegmentWriter, sealed_path
from onlineeval_dagster.settings import Settings

_TAIL = 2**16


def encode(event: LogEvent) -> bytes:
    """One line of the log: the event's kind first, then its fields that are not null, and a newline.

    Raises LogError where an attribute cannot be written as JSON (a whole number beyond 64 bits).
    """
    fields = {name: getattr(event, name) for name in type(event).model_fields}
    said = {name: value for name, value in fields.items() if value is not None and value != {}}
    kind = said.pop("kind")
    try:
        return orjson.dumps({"kind": kind, **said}, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        raise LogError(f"event {event.event_id}: attributes: {error}; send such a value as text") from error


def open_log(settings: Settings, *, door: str) -> SegmentWriter:
    """A writer to the log of this home, rotating as the settings say. `door` names who writes."""
    return SegmentWriter(
        settings.log_folder,
        door=door,
        rotate_bytes=settings.rotate_bytes,
        rotate_seconds=settings.rotate_seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment of which the first `size` bytes may be ingested.

    complete     nothing more will come: sealed, or its owner is dead; a last line without newline is then a torn one
    modified_at  last append
    """

    name: str
    path: Path
    size: int
    complete: bool
    modified_at: datetime


def ready_segments(folder: Path, *, now: datetime, idle_seconds: float) -> list[Segment]:
    """What may be ingested, by name: sealed segments, those whose owner is dead, and those idle for `idle_seconds`.

    Of a segment that has an owner only whole lines count. Raises LogError when the folder cannot be read.
    """
    if not folder.exists():
        return []
    try:
        found = [_ready(path, now, idle_seconds) for path in folder.iterdir() if path.name.endswith(SEALED)]
    except OSError as error:
        raise LogError(f"log {folder}: {error.strerror}; make it readable for this user") from error
    return sorted((segment for segment in found if segment is not None), key=lambda segment: segment.name)


def find_segment(folder: Path, name: str) -> Path:
    """Where the segment of that name lies now, sealed or not. Raises LogError when it is gone."""
    sealed = folder / name
    for path in (sealed, folder / (name.removesuffix(SEALED) + OPEN), sealed):  # it may be sealed as we look
        if path.exists():
            return path
    raise LogError(f"log {folder}: segment {name} is gone before it was ingested; put it back")


def _ready(path: Path, now: datetime, idle_seconds: float) -> Segment | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        sealed = sealed_path(path)  # sealed while we looked
        return None if sealed == path else _ready(sealed, now, idle_seconds)
    try:
        complete = not path.name.endswith(OPEN) or _owner_is_dead(file)
        status = os.fstat(file)
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
        if not complete and (now - modified_at).total_seconds() < idle_seconds:
            return None
        size = status.st_size if complete else _end_of_last_line(file, status.st_size)
    finally:
        os.close(file)
    return Segment(name=sealed_path(path).name, path=path, size=size, complete=complete, modified_at=modified_at)


def _owner_is_dead(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_of_last_line(file: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _TAIL)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
