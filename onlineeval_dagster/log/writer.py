"""Appending to the log: whole lines, to a segment of one's own. On the standard library alone: products import it.

A segment is `<door>.<host>-<random>-<time>.open.ndjson` while its owner holds it (with an flock) and loses the `.open`
when it is sealed. Its name is always the one without `.open`, so that an offset in a segment means the same for ever.
The door is the part of the system that wrote it (`sdk`, `collector`, `import` …): losses are accounted for by door.
"""

import errno
import fcntl
import os
import re
import secrets
import socket
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from onlineeval_dagster.errors import LogError

OPEN, SEALED = ".open.ndjson", ".ndjson"
ROTATE_BYTES = 64 * 2**20
"""When a segment is sealed, bytes; unless the settings say otherwise."""
ROTATE_SECONDS = 60.0
"""When a segment is sealed, seconds; unless the settings say otherwise."""

DOOR = r"[A-Za-z0-9_]{1,64}"
"""What the name of a door may look like."""

_UNBORN = ".new"


class _Held(NamedTuple):
    """A segment while its owner has it open."""

    file: int
    path: Path
    since: datetime


class SegmentWriter:
    """Appends whole lines to a segment of its own below `folder`. Safe between threads and across a fork.

    A segment is sealed once it holds `rotate_bytes` or is `rotate_seconds` old, and on close. With `rotates` that is
    looked at on each append; without, somebody calls `rotate` now and then and no append waits for a sealing.
    `door` names who writes; `clock` gives the aware UTC time, `write` is os.write; `lock` is held by who appends;
    `make_folder` has the folder there before a segment is opened, where more is to be done than to make it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        door: str,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_seconds: float = ROTATE_SECONDS,
        rotates: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        write: Callable[[int, bytes], int] = os.write,
        make_folder: Callable[[], None] | None = None,
    ) -> None:
        if not re.fullmatch(DOOR, door):
            raise LogError(f"log {folder}: door {door!r}; name it with letters, digits and _, such as sdk")
        self._folder, self._door = folder, door
        self._rotate_bytes, self._rotate_seconds = rotate_bytes, rotate_seconds
        self._rotates, self._clock, self._write = rotates, clock, write
        self._make_folder = make_folder or (lambda: folder.mkdir(parents=True, exist_ok=True))
        self.lock = threading.Lock()
        self._held: _Held | None = None
        self._size, self._torn = 0, False
        self._named: Path | None = None
        after_fork(self)

    def append(self, lines: bytes) -> None:
        """Add whole lines, bytes that end in a newline, in one write. On return a kill cannot lose them.

        Raises LogError when they were not written as a whole: they are not acknowledged, send them again.
        """
        if not lines.endswith(b"\n"):
            raise LogError(f"log {self._folder}: an append of {len(lines)} bytes does not end in a newline; add one")
        with self.lock:
            self.put(lines)

    def put(self, lines: bytes) -> None:
        """`append` for a caller that holds `lock`, and has seen to the newline."""
        held = self._held
        if held is None or (self._rotates and self._is_full(held)):
            held = self._next()
        data = b"\n" + lines if self._torn else lines
        try:
            written = self._write(held.file, data)
        except OSError as error:
            raise self._failure(error, len(lines)) from error
        self._size += written
        if written != len(data):
            self._torn = True
            raise self._failure(OSError(errno.ENOSPC, f"only {written} bytes were written"), len(lines))
        self._torn = False

    def rotate(self) -> None:
        """Seal the segment if its size or age says so. Appends go on meanwhile, into the next one. Raises LogError."""
        held = self._held
        if held is None or not self._is_full(held):
            return
        following = self._begin() if self._size else None  # after a quiet time there is nothing to go on with
        with self.lock:
            unused = following if self._held is not held else None
            if unused is None:
                self._take()
                self._held = following
        self._seal(unused or held)

    def sync(self) -> None:
        """Have the disk keep all that was appended: a power loss cannot lose it. Raises LogError: nobody knows then.

        For the one thread that also appends and rotates: a segment must not be sealed meanwhile.
        """
        held = self._held
        if held is None:
            return  # sealed, which syncs
        try:
            os.fdatasync(held.file)
            if self._named != held.path:  # the name of a new file is its folder's, and synced with it
                _sync_folder(self._folder)
                self._named = held.path
        except OSError as error:
            raise self._failure(error, self._size) from error

    def seal(self) -> None:
        """Hand the segment over for ingest; the next append begins another one."""
        with self.lock:
            held = self._take()
        self._seal(held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seal()

    def leave_parent(self) -> None:
        """In a forked child: begin anew. The parent keeps its segment, and its flock, which is the open file's."""
        self.lock = threading.Lock()  # another thread of the parent may hold the old one for ever
        held = self._take()
        if held is not None:
            os.close(held.file)

    def _take(self) -> _Held | None:
        held, self._held = self._held, None
        self._size, self._torn = 0, False
        return held

    def _next(self) -> _Held:
        self._seal(self._take())
        self._held = self._begin()
        return self._held

    def _is_full(self, held: _Held) -> bool:
        return self._size >= self._rotate_bytes or (self._clock() - held.since).total_seconds() > self._rotate_seconds

    def _begin(self) -> _Held:
        host = re.sub(r"[^A-Za-z0-9]+", "_", socket.gethostname())[:64] or "host"
        now = self._clock()
        name = f"{self._door}.{host}-{secrets.token_hex(4)}-{now:%Y%m%dT%H%M%S%f}Z"
        path, unborn = self._folder / (name + OPEN), self._folder / (name + _UNBORN)
        file = None
        try:
            self._make_folder()
            # Locked before it has a name that readers look for: an unlocked open segment means a dead owner.
            file = os.open(unborn, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            unborn.rename(path)
        except OSError as error:
            if file is not None:
                os.close(file)
                unborn.unlink(missing_ok=True)
            raise self._failure(error, 0) from error
        return _Held(file, path, now)

    def _seal(self, held: _Held | None) -> None:
        if held is None:
            return
        try:
            os.fsync(held.file)
            if os.fstat(held.file).st_size:
                held.path.rename(sealed_path(held.path))
            else:
                held.path.unlink()
        except OSError as error:
            raise self._failure(error, 0) from error
        finally:
            os.close(held.file)

    def _failure(self, error: OSError, size: int) -> LogError:
        remedy = "free space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "make it writable"
        what = f"{size} bytes were not appended" if size else "no segment can be opened or sealed"
        return LogError(f"log {self._folder}: {what}: {error.strerror}; {remedy} there and send them again")


def sealed_path(path: Path) -> Path:
    """The path that a segment has, or will have, once sealed; its last part is the segment's name."""
    return path.with_name(path.name.removesuffix(OPEN) + SEALED) if path.name.endswith(OPEN) else path


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def door_of(segment: str) -> str:
    """The door through which a segment's lines came; `log` for a file that somebody put there by another name.

    >>> door_of("sdk.host-1a2b3c4d-20261123T080000000000Z.ndjson"), door_of("chats.ndjson")
    ('sdk', 'log')
    """
    door, _, rest = segment.partition(".")
    return door if re.fullmatch(DOOR, door) and rest not in (SEALED[1:], OPEN[1:]) else "log"


class Forkable(Protocol):
    """Something that must begin anew in a forked child."""

    def leave_parent(self) -> None: ...


# Told by the fork instead of asked by each append: two os.getpid cost a fifth of the append itself.
_forkables: weakref.WeakSet[Forkable] = weakref.WeakSet()
_is_hooked = False


def after_fork(forkable: Forkable) -> None:
    """Have `leave_parent` called in every child that is forked while `forkable` is in use."""
    global _is_hooked
    if not _is_hooked:
        _is_hooked = True
        os.register_at_fork(after_in_child=_leave_parents)
    _forkables.add(forkable)


def _leave_parents() -> None:
    for forkable in list(_forkables):
        forkable.leave_parent()
