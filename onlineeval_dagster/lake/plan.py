"""The plan of a batch: which bytes of which segments. Written down before it is worked on."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from onlineeval_dagster.errors import LakeError, LogError
from onlineeval_dagster.log.segments import Segment

BATCH_BYTES = 4 * 2**30
"""About how much of the log one batch takes, bytes; memory does not depend on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPart:
    """Bytes [start, end) of a segment."""

    segment: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one batch takes. `planned_at` is the `now` by which its lines are judged, however often it is worked.

    offsets_after  how far each segment in the log is taken once the batch is done
    """

    number: int
    planned_at: datetime
    retention_days: int
    parts: tuple[PlannedPart, ...]
    offsets_after: Mapping[str, int]


def plan_batch(
    ready: Sequence[Segment],
    committed: Mapping[str, int],
    *,
    number: int,
    now: datetime,
    retention_days: int,
    limit_bytes: int = BATCH_BYTES,
) -> Batch | None:
    """The next batch: what `ready` segments hold beyond their `committed` offset; None when that is nothing.

    Takes whole segments until there are `limit_bytes`. Raises LogError for a segment that became shorter.
    """
    parts: list[PlannedPart] = []
    after = {segment.name: committed[segment.name] for segment in ready if segment.name in committed}
    taken = 0
    for segment in ready:
        start = committed.get(segment.name, 0)
        if segment.size < start:
            raise LogError(
                f"log segment {segment.path}: {segment.size} bytes, but {start} were ingested; "
                "a segment only grows: put the new lines into a file with another name"
            )
        if segment.size == start or taken >= limit_bytes:
            continue
        parts.append(PlannedPart(segment=segment.name, start=start, end=segment.size))
        after[segment.name] = segment.size
        taken += segment.size - start
    if not parts:
        return None
    return Batch(
        number=number,
        planned_at=now.astimezone(UTC),
        retention_days=retention_days,
        parts=tuple(parts),
        offsets_after=after,
    )


def write_plan(path: Path, batch: Batch) -> None:
    """Put the plan on disk, whole or not at all, before this returns."""
    said = asdict(batch) | {"planned_at": batch.planned_at.isoformat(), "offsets_after": dict(batch.offsets_after)}
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LakeError(f"ingest: {path}: {error.strerror}; free space or make it writable, and run again") from error


def read_plan(path: Path) -> Batch | None:
    """The plan last written, or None. Raises LakeError where the file is damaged."""
    try:
        said = json.loads(path.read_text())
        return Batch(
            number=said["number"],
            planned_at=datetime.fromisoformat(said["planned_at"]),
            retention_days=said["retention_days"],
            parts=tuple(PlannedPart(**part) for part in said["parts"]),
            offsets_after=said["offsets_after"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"ingest: {path} cannot be read ({error}); delete it: the lake knows what it has taken"
        ) from error
