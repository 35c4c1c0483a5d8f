"""Where tracked lines go: one small interface, and its default, this process's own segment of the log.

    send ──▶ healthy: appended before the call returns                                    captured
         └─▶ slow or full disk: a bounded buffer in memory, emptied by a thread ─ later ─▶ captured
                                                                        └─ full, or never written ─▶ dropped

On the standard library alone: products import it.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol, runtime_checkable

from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.writer import ROTATE_BYTES, ROTATE_SECONDS, SegmentWriter, after_fork

SLOW_SECONDS = 0.025
"""An append that takes longer makes the disk a slow one, until one in the background is faster.

Not less: the time includes the wait for the interpreter, 5 ms for each busy thread."""
WAIT_SECONDS = 0.050
"""How long one call waits for a slow disk, where nothing else is said."""
BUFFER_BYTES = 16 * 2**20
"""How much is kept in memory for a slow or full disk."""

LOSS_NAME = "onlineeval.sdk_loss"
"""The event that says how many others were lost on this side; `coverage` sums them."""
LOSS_MARK = b'"name":"' + LOSS_NAME.encode() + b'"'
"""What only the line of such an event has in it."""

_CROWD_SECONDS, _CROWD_SECONDS_ON_LOOP = 0.005, 0.001  # the wait for other threads' appends to a healthy disk
_CHORE_SECONDS = 1.0
_LOSS_SECONDS = 60.0
_RETRY_SECONDS = 0.25
_CLOSE_SECONDS = 2.0
_BATCH_BYTES = 2**18


class Counters(NamedTuple):
    """What became of the calls. The sum of the first four is the number of calls, at any time.

    captured  in the log, or in the spool of a collector: a kill cannot lose them
    deferred  in memory now, on their way to the log
    dropped   lost: the buffer was full, or the process ended before the disk came back
    errors    could not be written as an event, or the collector refused it; the product was not told

    With a collector `captured` falls into two:

    shipped   taken by the collector
    waiting   on the disk of this host, on their way to it
    """

    captured: int = 0
    deferred: int = 0
    dropped: int = 0
    errors: int = 0
    shipped: int = 0
    waiting: int = 0


class Transport(Protocol):
    """Takes lines of the log to where they are kept."""

    def send(self, line: bytes) -> bool:
        """Take one whole line, ending in a newline. True once a kill of this process cannot lose it."""
        ...

    def counters(self) -> Counters: ...

    def close(self) -> None: ...


@runtime_checkable
class TellsLosses(Protocol):
    """A transport that can write down, on its own behalf, how much was lost on this side."""

    def tell_losses(self, loss_line: Callable[[], bytes | None]) -> None: ...


class LocalLog:
    """Appends to a segment of this process below `folder`. Safe under threads, asyncio and fork.

    While the disk is slow or full one call at a time waits for it, `wait_seconds` at most and never on an event loop's
    thread; after one that waited in vain nobody waits until the disk is back. The first call that meets a disk which
    stands still is the exception: it is in the kernel's write, and waits there as long as the kernel holds it, on an
    event loop's thread too (a write that does not wait, RWF_NOWAIT, is not to be had for appends to ext4).
    """

    def __init__(
        self,
        folder: Path,
        *,
        door: str = "sdk",
        rotate_bytes: int = ROTATE_BYTES,
        rotate_seconds: float = ROTATE_SECONDS,
        buffer_bytes: int = BUFFER_BYTES,
        wait_seconds: float = WAIT_SECONDS,
        write: Callable[[int, bytes], int] = os.write,
        make_folder: Callable[[], None] | None = None,
    ) -> None:
        self._writer = SegmentWriter(
            folder,
            door=door,
            rotate_bytes=rotate_bytes,
            rotate_seconds=rotate_seconds,
            rotates=False,
            write=write,
            make_folder=make_folder,
        )
        self._buffer_bytes, self._wait_seconds = buffer_bytes, wait_seconds
        self._loss_line: Callable[[], bytes | None] = lambda: None
        self._begin()
        after_fork(self)

    def send(self, line: bytes) -> bool:
        """Append one whole line. True once it is in the log; False: it is in memory, or dropped."""
        writer = self._writer
        lock = writer.lock
        if self._slow or not (lock.acquire(False) or self._waited_for_others(lock)):
            return self._defer(line)
        began = monotonic()
        try:
            writer.put(line)
            self._captured += 1
        except LogError:
            self._slow = True
            return self._defer(line)
        finally:
            if monotonic() - began > SLOW_SECONDS:
                self._slow = True
            lock.release()
        if self._thread is None:
            self._start()
        return True

    def counters(self) -> Counters:
        deferred, lost = len(self._buffer), self._dropped
        return Counters(captured=self._captured + self._flushed, deferred=deferred, dropped=lost)

    def tell_losses(self, loss_line: Callable[[], bytes | None]) -> None:
        """Append what `loss_line` returns, now and then and at the end: the line of no call, counted nowhere."""
        self._loss_line = loss_line

    def close(self) -> None:
        """Write what is in memory and seal the segment, within some seconds. What is sent later is dropped."""
        with self._changed:
            self._deadline = monotonic() + _CLOSE_SECONDS
            self._slow = True
            self._changed.notify_all()
        if self._thread is None and self._has_losses():
            self._start()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS + _RETRY_SECONDS)

    def leave_parent(self) -> None:
        """In a forked child: the parent keeps its lines in memory and writes them."""
        deadline = self._deadline
        self._begin()
        if deadline is not None:
            self._deadline, self._slow = deadline, True

    def _begin(self) -> None:
        self._changed = threading.Condition()  # guards what follows it; never held while the disk works
        self._buffer: deque[bytes] = deque()
        self._size = self._flushed = self._captured = self._dropped = self._queued = 0
        self._is_waiting = self._is_hopeless = self._is_troubled = False
        self._deadline: float | None = None
        self._untold: bytes | None = None
        self._slow = False
        self._thread: threading.Thread | None = None

    def _waited_for_others(self, lock: threading.Lock) -> bool:
        """Whether the other threads were done in time; if not, one of them is stuck and nobody else waits for it."""
        patience = _CROWD_SECONDS_ON_LOOP if _on_event_loop() else _CROWD_SECONDS
        if lock.acquire(timeout=patience):
            return True
        self._slow = True
        return False

    def _defer(self, line: bytes) -> bool:
        with self._changed:
            if self._deadline is not None or self._size + len(line) > self._buffer_bytes:
                self._dropped += 1
                return False
            self._buffer.append(line)
            self._size += len(line)
            self._queued += 1
            ticket = self._queued
            if self._thread is None:
                self._start()
            self._changed.notify_all()
            if self._is_waiting or self._is_hopeless or _on_event_loop():
                return False
            self._is_waiting = True
            written = self._changed.wait_for(lambda: self._flushed >= ticket, self._wait_seconds)
            self._is_waiting = False
            self._is_hopeless = not written
            return written

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="onlineeval-log", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending; the next call tries again
            self._thread = None

    def _work(self) -> None:
        chores_at, losses_at = monotonic() + _CHORE_SECONDS, monotonic() + _LOSS_SECONDS
        failed = False
        while True:
            with self._changed:
                if failed:
                    self._changed.wait(_RETRY_SECONDS)
                elif not self._buffer and self._deadline is None:
                    self._changed.wait(_CHORE_SECONDS)
                is_over = self._is_over()
                batch = self._next_lines(_BATCH_BYTES if not failed else 1)
            if is_over:
                self._write_losses()
                self._mended(self._writer.seal)
                return
            if batch:
                failed = not self._flush(batch)
            if not failed and monotonic() > chores_at:
                chores_at = monotonic() + _CHORE_SECONDS
                self._mended(self._writer.rotate)
            if not failed and monotonic() > losses_at:
                losses_at = monotonic() + _LOSS_SECONDS
                self._write_losses()

    def _has_losses(self) -> bool:
        if self._untold is None:
            self._untold = self._loss_line()
        return self._untold is not None

    def _write_losses(self) -> None:
        if self._has_losses() and self._mended(lambda: self._writer.append(self._untold or b"\n")):
            self._untold = None

    def _is_over(self) -> bool:
        """Whether we are closed and all is written, or there is no more time for it."""
        if self._deadline is not None and monotonic() > self._deadline:
            self._dropped += len(self._buffer)
            self._buffer.clear()
        return self._deadline is not None and not self._buffer

    def _next_lines(self, size: int) -> list[bytes]:
        batch: list[bytes] = []
        for line in self._buffer:
            batch.append(line)
            size -= len(line)
            if size <= 0:
                break
        return batch

    def _flush(self, batch: list[bytes]) -> bool:
        """Append lines of the buffer and take them out of it; False when the disk would not have them."""
        began = monotonic()
        if not self._mended(lambda: self._writer.append(b"".join(batch))):
            return False
        fast = monotonic() - began < SLOW_SECONDS
        with self._changed:
            for line in batch:
                self._buffer.popleft()
                self._size -= len(line)
            self._flushed += len(batch)
            self._is_hopeless = False
            if fast and not self._buffer and self._deadline is None:
                self._slow = False
            self._changed.notify_all()
        return True

    def _mended(self, work: Callable[[], None]) -> bool:
        """Do what the disk may refuse; tell the operator, once until it is well again."""
        try:
            work()
        except LogError as error:
            if not self._is_troubled:
                import logging  # not before there is something to say: it takes as long to import as all else here

                logging.getLogger("onlineeval").warning("%s", error)
            self._is_troubled = True
            return False
        self._is_troubled = False
        return True


def _on_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio.events")  # where nobody has imported it no loop runs
    return asyncio is not None and asyncio._get_running_loop() is not None
