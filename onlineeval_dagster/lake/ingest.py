"""From the log into the lake, exactly once, by numbered batches.

    plan ──▶ batch.json ──▶ sift, write files ──▶ one commit a table ──▶ ingested_parts: the batch is done

The plan (segments, offsets, the time it was made) is on disk before it is worked on. Each commit carries the batch's
number, so a batch that was killed is worked again from its plan, to the same rows, and a table that has it skips it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from onlineeval_dagster.catalog.retention import load_retention
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.rows import IngestedPart, QuarantinedLine
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lines import Lines, Piece, cut, lay_out
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.lake.parts import PartsWriter, commit_parts, committed_batch
from onlineeval_dagster.lake.plan import BATCH_BYTES, Batch, plan_batch, read_plan, write_plan
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.lake.sieve import RefusedLine, Sieve
from onlineeval_dagster.lake.tombstones import load_tombstones
from onlineeval_dagster.log.segments import find_segment, ready_segments
from onlineeval_dagster.settings import Settings

CHUNK_BYTES = 128 * 2**20
"""How much of the log is held at a time, bytes."""
KEPT = timedelta(days=7)
"""How long an ingested segment is kept."""

_MARKER = "ingested_parts"
_MOST_PIECES = 200  # a mapped file is an open one


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What a call took in. `lines` = rows accepted + bad + erased, always.

    batches   numbers of the batches done
    accepted  rows by table
    erased    lines left out because of a tombstone
    days      days touched by table, `quarantine` among them
    """

    batches: tuple[int, ...] = ()
    lines: int = 0
    accepted: Mapping[str, int] = field(default_factory=dict)
    bad: int = 0
    erased: int = 0
    days: Mapping[str, frozenset[date]] = field(default_factory=dict)

    def __add__(self, other: "Ingested") -> "Ingested":
        names = sorted({*self.days, *other.days})
        return Ingested(
            batches=self.batches + other.batches,
            lines=self.lines + other.lines,
            accepted=dict(Counter(self.accepted) + Counter(other.accepted)),
            bad=self.bad + other.bad,
            erased=self.erased + other.erased,
            days={name: self.days.get(name, frozenset()) | other.days.get(name, frozenset()) for name in names},
        )


def ingest(
    settings: Settings,
    lake: Lake,
    *,
    now: datetime,
    limit_bytes: int = BATCH_BYTES,
    chunk_bytes: int = CHUNK_BYTES,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> Ingested:
    """Take in all that is ready in the log, batch after batch. Safe to kill at any point and to repeat.

    A batch that an earlier call left is done first. `checkpoint` is told each step as it is done. Raises LakeError when
    another process is at it, naming its pid; LogError when a segment is gone or cannot be read.
    """
    with _alone(settings):
        total = Ingested()
        while batch := _next_batch(settings, lake, now=now, limit_bytes=limit_bytes):
            checkpoint("planned")
            total += _work(settings, lake, batch, chunk_bytes, checkpoint)
        return total


def prune(settings: Settings, lake: Lake, *, now: datetime, kept: timedelta = KEPT) -> list[str]:
    """Delete segments that are complete, wholly ingested and not appended to for `kept`. Returns their names."""
    with _alone(settings):
        _, offsets, _ = standing(settings, lake)
        ready = ready_segments(settings.log_folder, now=now, idle_seconds=settings.rotate_seconds)
        old = [
            segment
            for segment in ready
            if segment.complete and offsets.get(segment.name) == segment.size and now - segment.modified_at > kept
        ]
        for segment in old:
            segment.path.unlink(missing_ok=True)
        return [segment.name for segment in old]


def _next_batch(settings: Settings, lake: Lake, *, now: datetime, limit_bytes: int) -> Batch | None:
    number, offsets, unfinished = standing(settings, lake)
    if unfinished:
        return unfinished
    ready = ready_segments(settings.log_folder, now=now, idle_seconds=settings.rotate_seconds)
    accepted = load_retention(settings.catalog).accepted_days(settings.retention_days)
    batch = plan_batch(ready, offsets, number=number, now=now, retention_days=accepted, limit_bytes=limit_bytes)
    if batch:
        write_plan(_plan_path(settings), batch)
    return batch


def standing(settings: Settings, lake: Lake) -> tuple[int, Mapping[str, int], Batch | None]:
    """The next batch's number, how far each segment is taken, and the batch that was begun and is not done, if any.

    The plan's file carries the offsets, so that this does not grow with history. Where it does not follow the lake (one
    of them was deleted or restored) the lake says.
    """
    done = committed_batch(lake, _MARKER)
    batch = read_plan(_plan_path(settings))
    if batch and batch.number == done:
        return done + 1, batch.offsets_after, None
    if batch and batch.number == done + 1:
        return batch.number, {}, batch
    last = max(committed_batch(lake, name) for name, table in TABLES.items() if table.written_by == "ingest")
    sql = f"select log_segment, max(end_offset) as taken from {_MARKER} group by all"
    offsets = {row["log_segment"]: row["taken"] for row in rows(lake, sql, {_MARKER: None}).to_pylist()}
    return last + 1, offsets, None


def _work(
    settings: Settings, lake: Lake, batch: Batch, chunk_bytes: int, checkpoint: Callable[[str], None]
) -> Ingested:
    lines: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    erased: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    stones = load_tombstones(settings, lake)
    with (
        Sieve(now=batch.planned_at, retention_days=batch.retention_days, tombstones=stones) as sieve,
        PartsWriter(lake, batch=batch.number) as writer,
    ):
        for chunk in _laid_out(_chunks(settings, batch, chunk_bytes)):
            for sifted in sieve.sift(chunk):
                lines.update(sifted.lines)
                bad.update(refused.segment for refused in sifted.refused)
                erased.update(sifted.erased)
                for (name, _), stored in sifted.rows.items():
                    accepted[name] += stored.num_rows
                writer.write({**sifted.rows, **_quarantined(sifted.refused, batch)})
        checkpoint("sifted")
        parts = writer.finish()
        checkpoint("written")
        for name in sorted(parts):
            commit_parts(lake, name, parts[name], batch=batch.number, now=batch.planned_at)
            checkpoint(f"committed {name}")
        writer.write(_marker(batch, lines, bad, erased))
        marker = writer.finish()[_MARKER]
        commit_parts(lake, _MARKER, marker, batch=batch.number, now=batch.planned_at)
        checkpoint("done")
    return Ingested(
        batches=(batch.number,),
        lines=lines.total(),
        accepted=dict(accepted),
        bad=bad.total(),
        erased=erased.total(),
        days={name: frozenset(part.day for part in of_table) for name, of_table in parts.items()},
    )


def _chunks(settings: Settings, batch: Batch, chunk_bytes: int) -> Iterator[list[Piece]]:
    """The batch's lines in pieces, about `chunk_bytes` at a time, few enough to hold their files open."""
    chunk: list[Piece] = []
    for part in batch.parts:
        path = find_segment(settings.log_folder, part.segment)
        for piece in cut(Piece(segment=part.segment, path=path, start=part.start, end=part.end), chunk_bytes):
            chunk.append(piece)
            if sum(each.end - each.start for each in chunk) >= chunk_bytes or len(chunk) >= _MOST_PIECES:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _laid_out(chunks: Iterator[list[Piece]]) -> Iterator[Lines]:
    """The lines of each chunk; those of the next one are looked for while one is sifted."""
    with ThreadPoolExecutor(1, thread_name_prefix="lines") as thread:
        coming: Future[Lines] | None = None
        for chunk in chunks:
            following = thread.submit(lay_out, chunk)
            if coming:
                yield coming.result()
            coming = following
        if coming:
            yield coming.result()


def _quarantined(refused: Sequence[RefusedLine], batch: Batch) -> dict[tuple[str, date], pa.Table]:
    if not refused:
        return {}
    lines: list[Contract] = [
        QuarantinedLine(
            log_segment=line.segment,
            log_offset=line.offset,
            reason=line.bad.reason,
            text=line.bad.text,
            quarantined_at=batch.planned_at,
        )
        for line in refused
    ]
    return _on_planned_day("quarantine", to_table(lines, QuarantinedLine), batch)


def _marker(
    batch: Batch, lines: Mapping[str, int], bad: Mapping[str, int], erased: Mapping[str, int]
) -> dict[tuple[str, date], pa.Table]:
    taken: list[Contract] = [
        IngestedPart(
            batch=batch.number,
            log_segment=part.segment,
            start_offset=part.start,
            end_offset=part.end,
            lines=lines.get(part.segment, 0),
            accepted=lines.get(part.segment, 0) - bad.get(part.segment, 0) - erased.get(part.segment, 0),
            bad=bad.get(part.segment, 0),
            ingested_at=batch.planned_at,
            erased=erased.get(part.segment, 0),
        )
        for part in batch.parts
    ]
    return _on_planned_day(_MARKER, to_table(taken, IngestedPart), batch)


def _on_planned_day(name: str, said: pa.Table, batch: Batch) -> dict[tuple[str, date], pa.Table]:
    day = batch.planned_at.date()
    stored = said.append_column("day", pa.array([day] * len(said), pa.date32())).cast(TABLES[name].schema)
    return {(name, day): stored}


def _plan_path(settings: Settings) -> Path:
    return settings.home / "ingest" / "batch.json"


def _alone(settings: Settings) -> AbstractContextManager[None]:
    """Hold the ingest's lock; waits as long as for the warehouse, then raises LakeError naming the holder's pid."""
    lock = settings.home / "locks" / "ingest.lock"
    return holding(lock, what="the ingest", purpose="ingest", wait_seconds=settings.warehouse_wait_seconds)
