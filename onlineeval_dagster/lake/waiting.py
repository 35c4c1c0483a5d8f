"""What of the log is not in the lake yet, without taking it in."""

import hashlib
from contextlib import suppress
from datetime import datetime

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import standing
from onlineeval_dagster.log.segments import ready_segments
from onlineeval_dagster.log.writer import SEALED, door_of, sealed_path
from onlineeval_dagster.settings import Settings


def waiting_bytes(settings: Settings, *, now: datetime) -> int:
    """Bytes of the log that a run would take in."""
    return sum(size for _, size in _waiting(settings, now))


def waiting_key(settings: Settings, *, now: datetime) -> str | None:
    """A key of what waits; None where nothing does. The same content gives the same key, whenever it is asked."""
    waiting = _waiting(settings, now)
    if not waiting:
        return None
    return hashlib.sha256(repr(waiting).encode()).hexdigest()[:16]


def untaken_by_door(settings: Settings) -> dict[str, int]:
    """Bytes of the log that are not in the lake yet, by door; those of segments that are still open among them."""
    if not settings.log_folder.is_dir():
        return {}
    _, offsets, unfinished = standing(settings, Lake(settings.lake_folder))
    taken = dict(offsets)
    if unfinished:
        taken = {**unfinished.offsets_after, **{part.segment: part.start for part in unfinished.parts}}
    left: dict[str, int] = {}
    for path in settings.log_folder.iterdir():
        name = sealed_path(path).name
        with suppress(FileNotFoundError):  # sealed as we look; the next look sees it
            size = path.stat().st_size - taken.get(name, 0)
            if name.endswith(SEALED) and size > 0:
                left[door_of(name)] = left.get(door_of(name), 0) + size
    return left


def _waiting(settings: Settings, now: datetime) -> list[tuple[str, int]]:
    """Segment and untaken bytes, by name; a batch that was begun and not done is among them."""
    _, offsets, unfinished = standing(settings, Lake(settings.lake_folder))
    segments = ready_segments(settings.log_folder, now=now, idle_seconds=settings.rotate_seconds)
    begun = [(f"batch {unfinished.number}", 1)] if unfinished else []
    left = [(segment.name, segment.size - offsets.get(segment.name, 0)) for segment in segments]
    return begun + [(name, size) for name, size in left if size > 0]
