"""The door to the log folder: NDJSON segments, appended to by their owner and handed out for ingest.

A segment is `<host>-<random>-<time>.open.ndjson` while its owner holds it (with an flock) and loses the `.open` when it
is sealed. Its name is always the one without `.open`, so that an offset in a segment means the same for ever.
"""

import errno
import fcntl
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import LogError
from onlineeval_dagster.settings import Settings

_OPEN, _SEALED, _UNBORN = ".open.ndjson", ".ndjson", ".new"
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


class SegmentWriter:
    """Appends whole lines to a segment of its own below `folder`. Safe between threads and across a fork.

    A segment is sealed once it holds `rotate_bytes` or is `rotate_seconds` old (looked at on each append), and on
    close. `clock` gives the aware UTC time, `write` is os.write.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rotate_bytes: int,
        rotate_seconds: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self._folder, self._rotate_bytes, self._rotate_seconds = folder, rotate_bytes, rotate_seconds
        self._clock, self._write = clock, write
        # One lock a process: a child forked while another thread held the lock would wait for ever.
        self._locks: dict[int, threading.Lock] = {}
        self._owner = os.getpid()
        self._forget()

    def append(self, lines: bytes) -> None:
        """Add whole lines, bytes that end in a newline, in one write. On return a kill cannot lose them.

        Raises LogError when they were not written as a whole: they are not acknowledged, send them again.
        """
        if not lines.endswith(b"\n"):
            raise LogError(f"log {self._folder}: an append of {len(lines)} bytes does not end in a newline; add one")
        with self._lock():
            self._leave_parent()
            if self._file is not None and self._is_full():
                self._seal()
            if self._file is None:
                self._open()
            self._put(lines)

    def seal(self) -> None:
        """Hand the segment over for ingest; the next append begins another one."""
        with self._lock():
            self._leave_parent()
            self._seal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seal()

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _forget(self) -> None:
        self._file: int | None = None
        self._path = self._folder
        self._size, self._torn = 0, False
        self._since = datetime.min.replace(tzinfo=UTC)

    def _leave_parent(self) -> None:
        if self._owner != os.getpid():
            if self._file is not None:
                os.close(self._file)  # the parent's flock stays: it belongs to the open file, which the parent holds
            self._owner = os.getpid()
            self._forget()

    def _is_full(self) -> bool:
        return self._size >= self._rotate_bytes or (self._clock() - self._since).total_seconds() > self._rotate_seconds

    def _open(self) -> None:
        host = re.sub(r"[^A-Za-z0-9]+", "_", socket.gethostname())[:64] or "host"
        now = self._clock()
        name = f"{host}-{secrets.token_hex(4)}-{now:%Y%m%dT%H%M%S%f}Z"
        self._path = self._folder / (name + _OPEN)
        unborn = self._folder / (name + _UNBORN)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Locked before it has a name that readers look for: an unlocked open segment means a dead owner.
            self._file = os.open(unborn, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            unborn.rename(self._path)
        except OSError as error:
            if self._file is not None:
                os.close(self._file)
                unborn.unlink(missing_ok=True)
            self._forget()
            raise self._failure(error, 0) from error
        self._since = now

    def _put(self, lines: bytes) -> None:
        assert self._file is not None
        data = b"\n" + lines if self._torn else lines
        try:
            written = self._write(self._file, data)
        except OSError as error:
            raise self._failure(error, len(lines)) from error
        self._size += written
        if written != len(data):
            self._torn = True
            raise self._failure(OSError(errno.ENOSPC, f"only {written} bytes were written"), len(lines))
        self._torn = False

    def _seal(self) -> None:
        if self._file is None:
            return
        file, path, size = self._file, self._path, self._size
        self._forget()
        try:
            os.fsync(file)
            if size:
                path.rename(sealed_path(path))
            else:
                path.unlink()
        except OSError as error:
            raise self._failure(error, 0) from error
        finally:
            os.close(file)

    def _failure(self, error: OSError, size: int) -> LogError:
        remedy = "free space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "make it writable"
        what = f"{size} bytes were not appended" if size else "no segment can be opened or sealed"
        return LogError(f"log {self._folder}: {what}: {error.strerror}; {remedy} there and send them again")


def open_log(settings: Settings) -> SegmentWriter:
    """A writer to the log of this home, rotating as the settings say."""
    return SegmentWriter(
        settings.log_folder, rotate_bytes=settings.rotate_bytes, rotate_seconds=settings.rotate_seconds
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
        found = [_ready(path, now, idle_seconds) for path in folder.iterdir() if path.name.endswith(_SEALED)]
    except OSError as error:
        raise LogError(f"log {folder}: {error.strerror}; make it readable for this user") from error
    return sorted((segment for segment in found if segment is not None), key=lambda segment: segment.name)


def find_segment(folder: Path, name: str) -> Path:
    """Where the segment of that name lies now, sealed or not. Raises LogError when it is gone."""
    sealed = folder / name
    for path in (sealed, folder / (name.removesuffix(_SEALED) + _OPEN), sealed):  # it may be sealed as we look
        if path.exists():
            return path
    raise LogError(f"log {folder}: segment {name} is gone before it was ingested; put it back")


def sealed_path(path: Path) -> Path:
    """The path that a segment has, or will have, once sealed; its last part is the segment's name."""
    return path.with_name(path.name.removesuffix(_OPEN) + _SEALED) if path.name.endswith(_OPEN) else path


def _ready(path: Path, now: datetime, idle_seconds: float) -> Segment | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        sealed = sealed_path(path)  # sealed while we looked
        return None if sealed == path else _ready(sealed, now, idle_seconds)
    try:
        complete = not path.name.endswith(_OPEN) or _owner_is_dead(file)
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
