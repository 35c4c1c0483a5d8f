"""The spool of the HTTP transport: what was tracked and not yet shipped, on the disk. On the standard library alone.

<spool>/                   one for each collector and environment, readable by its owner alone
  lane-<id>/               of one process
    lock                   held by flock while that process lives; a free one means that it is dead
    spool.….ndjson         segments of the log, shipped from the oldest on, then deleted
    spool.….at             how far a segment was shipped, bytes
  refused.ndjson           what the collector would not have, with its reasons
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onlineeval_dagster.log.writer import OPEN, SEALED, sealed_path

REFUSED_BYTES = 8 * 2**20
"""How much of what was refused is kept; as much again in the file before it."""

_LANE, _UNBORN = "lane-", "new-"
_STILLBORN_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of a segment without their newlines, blank ones left out; `end` is the offset behind them."""

    lines: list[bytes]
    end: int


class Lane:
    """The part of a spool that belongs to one process, from `make` until `release`."""

    def __init__(self, spool: Path) -> None:
        self._spool, self._id = spool, secrets.token_hex(8)
        self.folder = spool / (_LANE + self._id)
        self._lock: int | None = None
        self._making = threading.Lock()

    @classmethod
    def adopted(cls, folder: Path, lock: int) -> "Lane":
        """A dead process's, whose lock we hold."""
        lane = cls(folder.parent)
        lane.folder, lane._id, lane._lock = folder, folder.name.removeprefix(_LANE), lock
        return lane

    def make(self) -> None:
        """Have the folder there, locked before anybody can see it by its name. Raises OSError."""
        with self._making:
            if self._lock is not None and self.folder.is_dir():
                return
            self.forget()
            self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)
            unborn = self._spool / (_UNBORN + self._id)
            unborn.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(unborn / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unborn.rename(self.folder)
            except OSError:
                os.close(lock)
                raise
            self._lock = lock

    @property
    def is_held(self) -> bool:
        """Whether it was made, and is ours still."""
        return self._lock is not None

    def segments(self) -> list[Path]:
        """Its segments, oldest first."""
        try:
            found = [path for path in self.folder.iterdir() if path.name.endswith(SEALED)]
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda path: path.name.rpartition("-")[2])

    def release(self) -> None:
        """Leave it to whoever adopts it; where nothing is left in it, remove it."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            if not self.segments():
                shutil.rmtree(self.folder, ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_UN)  # said aloud: a child forked just now may still hold the same lock
        finally:
            os.close(lock)

    def forget(self) -> None:
        """In a forked child: it stays the parent's, whose lock must not be taken from it."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def adopt(spool: Path) -> Iterator[Lane]:
    """The lanes of dead processes, each of them ours from now on."""
    for folder in _folders(spool):
        if folder.name.startswith(_UNBORN):
            _bury(folder)
        elif folder.name.startswith(_LANE) and (lock := _locked(folder)) is not None:
            yield Lane.adopted(folder, lock)


def size_of(spool: Path) -> int:
    """How many bytes of events wait in it."""
    total = 0
    for folder in _folders(spool):
        try:
            total += sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(SEALED))
        except OSError:  # shipped and removed as we look
            continue
    return total


def read_batch(segment: Path, at: int, *, most_lines: int, most_bytes: int) -> Batch:
    """Whole lines from `at` on: at least one where there is one, however long. Raises OSError."""
    with segment.open("rb") as file:
        file.seek(at)
        data = file.read(most_bytes)
        while data and b"\n" not in data:
            more = file.read(len(data))
            if not more:
                return Batch([], at)
            data += more
    pieces = data[: data.rfind(b"\n") + 1].split(b"\n")[:-1][:most_lines]
    return Batch([piece for piece in pieces if piece], at + sum(len(piece) + 1 for piece in pieces))


def shipped_to(segment: Path) -> int:
    """How far the segment was shipped; 0 where nothing readable says so: to ship it again is harmless."""
    try:
        return int(_progress(segment).read_text())
    except (OSError, ValueError):
        return 0


def keep_progress(segment: Path, at: int) -> None:
    """Remember that all before `at` has arrived. Raises OSError."""
    file = _progress(segment)
    fresh = file.with_suffix(".at-new")
    fresh.write_text(str(at))
    fresh.rename(file)


def is_sealed(segment: Path) -> bool:
    """Whether nothing more will come; of a dead process's segments none is open, whatever their names say."""
    return not segment.name.endswith(OPEN)


def remove(segment: Path) -> None:
    """Delete a segment that has arrived, and then what was known of it."""
    segment.unlink(missing_ok=True)
    _progress(segment).unlink(missing_ok=True)


def keep_refused(spool: Path, refused: list[tuple[bytes, str]]) -> None:
    """Put events that the collector would not have where a person can find them, with its reasons. Raises OSError."""
    file = spool / "refused.ndjson"
    said = b"".join(
        b'{"reason":' + json.dumps(reason).encode() + b',"event":' + line + b"}\n" for line, reason in refused
    )
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(opened).st_size > REFUSED_BYTES:
            file.replace(spool / "refused.old.ndjson")  # what two processes write meanwhile stands in that one
        os.write(opened, said)
    finally:
        os.close(opened)


def is_event(line: bytes) -> bool:
    """Whether it is a whole one, not what a short write left behind."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _progress(segment: Path) -> Path:
    return segment.with_name(sealed_path(segment).name.removesuffix(SEALED) + ".at")


def _folders(spool: Path) -> list[Path]:
    try:
        return sorted(path for path in spool.iterdir() if path.is_dir())
    except OSError:
        return []


def _locked(folder: Path) -> int | None:
    """The lane's lock, now ours; None while its owner lives, or another took it."""
    path = folder / "lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        _try_rmdir(folder)  # its last adopter died between the lock and the folder
        return None
    except OSError:  # another user's
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another adopter may have shipped and removed the lane, and this file with it, since we opened it.
        if path.stat().st_ino == os.fstat(lock).st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _try_rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.EACCES, errno.EPERM):
            raise


def _bury(folder: Path) -> None:
    """Remove a lane whose process died before it had its name, once nobody can be at work on it."""
    try:
        if time.time() - folder.stat().st_mtime > _STILLBORN_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return
