"""From a queue into the log: every message once, whatever is killed and whenever.

    next offset = the largest that a segment's name tells: segments in the log folder, and those the lake took in
    read [next, end) ──▶ hidden file ──fsync──▶ renamed to its place in the queue ──▶ folder synced ──▶ broker told

Before the rename nothing has happened; after it the name says what was read. The broker's own notion of how far we are
is never asked. A queue that deletes what it hands out (SQS) is told last, so that a kill repeats messages and loses
none; their event ids make them count once.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from onlineeval_dagster.errors import LogError, QueueError
from onlineeval_dagster.queues.interface import Message, Queue, Span
from onlineeval_dagster.queues.lines import Cleaner, Lines
from onlineeval_dagster.queues.place import Place, next_offsets, prefix

_DRAFT = ".draft"
_MOST_MESSAGES = 100_000  # what a queue without offsets would hand out again after a kill
_log = logging.getLogger("onlineeval")

Taken = Callable[[str], Iterable[str]]
"""The names of the segments that the lake took in, of those that begin with a prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a drain wrote into the log: messages = events + refused. `lost` were deleted by the broker before."""

    events: int = 0
    refused: int = 0
    lost: int = 0
    segments: tuple[str, ...] = ()

    def __add__(self, other: "Drained") -> "Drained":
        return Drained(
            events=self.events + other.events,
            refused=self.refused + other.refused,
            lost=self.lost + other.lost,
            segments=self.segments + other.segments,
        )


def drain(
    queue: Queue,
    folder: Path,
    *,
    taken: Taken,
    cleaner: Cleaner,
    now: datetime,
    segment_bytes: int,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> Drained:
    """Write what the queue holds now, and the log does not, into segments of about `segment_bytes`.

    For one process at a time: the caller holds a lock. `checkpoint` is told each step. Raises QueueError, LogError.
    """
    _remove_drafts(folder, queue)
    following = offsets_read(queue, folder, taken)
    lines = Lines(identity=queue.identity, topic=queue.topic, cleaner=cleaner, now=now)
    total = Drained()
    for span in queue.spans():
        start = following.get(span.partition, span.first)
        if start < span.first and span.end is not None:
            total += _mark_gap(queue, folder, lines, span, start, checkpoint)
            start = span.first
        _see_that_it_is_the_same(queue, span, start)
        messages = queue.read(span.partition, start=start, end=span.end)
        for done in _segments(queue, folder, lines, span.partition, start, messages, segment_bytes, checkpoint):
            total += done
    return total


def offsets_read(queue: Queue, folder: Path, taken: Taken) -> dict[int, int]:
    """By partition, the first offset that is neither in the log nor in the lake; partitions never read are not there.

    The log is looked at first: a segment that is removed meanwhile was in the lake before.
    """
    begin = prefix(queue.door, queue.identity)
    logged = [path.name for path in folder.iterdir() if path.name.startswith(begin)] if folder.is_dir() else []
    return next_offsets([*logged, *taken(begin)], door=queue.door, identity=queue.identity)


def behind(queue: Queue, folder: Path, taken: Taken) -> int:
    """How many messages wait in the queue, by its offsets. Raises QueueError."""
    following = offsets_read(queue, folder, taken)
    total = 0
    for span in queue.spans():
        if span.end is None:
            total += span.waiting
        else:
            total += max(0, span.end - max(span.first, following.get(span.partition, span.first)))
    return total


def _segments(
    queue: Queue,
    folder: Path,
    lines: Lines,
    partition: int,
    start: int,
    messages: Iterator[Message],
    segment_bytes: int,
    checkpoint: Callable[[str], None],
) -> Iterator[Drained]:
    """One segment after the other, each safe, and the broker told, before the next one begins."""
    draft, events, refused, end = _Draft(folder, queue, partition), 0, 0, start
    try:
        for message in messages:
            if message.value is None:
                end = message.offset
                continue
            line, is_event = lines.line(partition, message)
            draft.add(line)
            events, refused, end = events + is_event, refused + (not is_event), message.offset + 1
            if draft.size >= segment_bytes or events + refused >= _MOST_MESSAGES:
                yield Drained(events=events, refused=refused, segments=(draft.finish(start, end, checkpoint),))
                start, events, refused = end, 0, 0
        if draft.size:
            yield Drained(events=events, refused=refused, segments=(draft.finish(start, end, checkpoint),))
    finally:
        draft.discard()


def _mark_gap(
    queue: Queue, folder: Path, lines: Lines, span: Span, start: int, checkpoint: Callable[[str], None]
) -> Drained:
    """A segment that stands for what was deleted unread: one event whose value is how many."""
    lost = span.first - start
    _log.warning(
        "%s: partition %d: %d messages were deleted before they were read; drain more often, or have them kept longer",
        *(queue.shown, span.partition, lost),
    )
    draft = _Draft(folder, queue, span.partition)
    try:
        draft.add(lines.gap(span.partition, start, span.first))
        return Drained(lost=lost, segments=(draft.finish(start, span.first, checkpoint),))
    finally:
        draft.discard()


def _see_that_it_is_the_same(queue: Queue, span: Span, start: int) -> None:
    if span.end is not None and start > span.end:
        raise QueueError(
            f"{queue.shown}: partition {span.partition} ends at offset {span.end}, but {start} were read; if it was "
            "made anew, add generation=2 to its address, and it is read from its start"
        )


class _Draft:
    """The segment being written: a hidden file that readers of the log do not see until it has its name."""

    def __init__(self, folder: Path, queue: Queue, partition: int) -> None:
        self._folder, self._queue, self._partition = folder, queue, partition
        self._path = folder / f".{prefix(queue.door, queue.identity)}{partition}{_DRAFT}"
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, line: bytes) -> None:
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb", buffering=2**20)
            self._file.write(line)
        except OSError as error:
            raise self._failure(error) from error
        self.size += len(line)

    def finish(self, start: int, end: int, checkpoint: Callable[[str], None]) -> str:
        """Make it a segment, whole and on the disk, then tell the broker; returns its name."""
        assert self._file is not None
        queue = self._queue
        place = Place(
            door=queue.door, identity=queue.identity, topic=queue.topic, partition=self._partition, start=start, end=end
        )
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            checkpoint("written")
            self._path.rename(self._folder / place.segment)
            _sync(self._folder)
        except OSError as error:
            raise self._failure(error) from error
        self._file, self.size = None, 0
        checkpoint("renamed")
        queue.commit(self._partition, end)
        checkpoint("committed")
        return place.segment

    def discard(self) -> None:
        """Leave nothing of what is not finished."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
            self._file = None

    def _failure(self, error: OSError) -> LogError:
        told = f"log {self._folder}: a segment of {self._queue.shown} could not be written: {error.strerror}"
        return LogError(f"{told}; free space or make it writable, and drain again")


def _remove_drafts(folder: Path, queue: Queue) -> None:
    """What a killed drain left."""
    if folder.is_dir():
        for path in folder.glob(f".{prefix(queue.door, queue.identity)}*{_DRAFT}"):
            path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
