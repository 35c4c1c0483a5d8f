"""The default way of tracked lines: this process's own segment of the log.

    send ──▶ trusted disk: appended before the call returns                                          captured
         ├─▶ it stood still lately: by a thread, which the call waits for, some milliseconds at most ─▶ captured
         └─▶ slow or full: a bounded buffer in memory, emptied by the thread ─ later ─────────────────▶ captured
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

from onlineeval_dagster.collector.transport import Counters
from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.writer import ROTATE_BYTES, ROTATE_SECONDS, SegmentWriter, after_fork

SLOW_SECONDS = 0.025
"""An append that takes longer makes the disk a slow one, until one in the background is faster.

Not less: the time includes the wait for the interpreter, 5 ms for each busy thread."""
WAIT_SECONDS = 0.050
"""How long one call waits for a slow disk, where nothing else is said."""
STALL_SECONDS = 0.1
"""An append that takes longer costs the disk its trust."""
TRUST_SECONDS = 300.0
"""How long after a stall no call enters the disk's write itself: a thread does, for 50 µs a call instead of 5."""
BUFFER_BYTES = 16 * 2**20
"""How much is kept in memory for a slow or full disk."""

_CROWD_SECONDS, _CROWD_SECONDS_ON_LOOP = 0.005, 0.001  # the wait for other threads' appends to a fast disk
_CHORE_SECONDS = 1.0
_LOSS_SECONDS = 60.0
_RETRY_SECONDS = 0.25
_CLOSE_SECONDS = 2.0
_BATCH_BYTES = 2**18


class LocalLog:
    """Appends to a segment of this process below `folder`. Safe under threads, asyncio and fork.

    While the disk is slow or full one call at a time waits for it, `wait_seconds` at most and never on an event loop's
    thread; after one that waited in vain nobody waits until the disk is back.

    One call is the exception: the first that meets a trusted disk which stands still. It is in the kernel's write, and
    waits there as long as the kernel holds it, on an event loop's thread too: a write that does not wait (RWF_NOWAIT)
    is not to be had for appends to ext4, and a hand-over to a thread costs ten times the append. Such a disk has lost
    its trust, and for `trust_seconds` after its last stall the hand-over is paid: further stalls hold no call.
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
        trust_seconds: float = TRUST_SECONDS,
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
        self._buffer_bytes, self._wait_seconds, self._trust_seconds = buffer_bytes, wait_seconds, trust_seconds
        self._loss_line: Callable[[], bytes | None] = lambda: None
        self._begin()
        after_fork(self)

    def send(self, line: bytes) -> bool:
        """Append one whole line. True once it is in the log; False: it is in memory, or dropped."""
        writer = self._writer
        lock = writer.lock
        if not self._direct or not (lock.acquire(False) or self._waited_for_others(lock)):
            return self._defer(line)
        began, is_written = monotonic(), False
        try:
            writer.put(line)
            self._captured += 1
            is_written = True
        except LogError:
            self._find_slow()
        finally:
            took = monotonic() - began
            if took > SLOW_SECONDS:
                self._find_slow(took)
            lock.release()
        if not is_written:
            return self._defer(line)
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
            self._find_slow()
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
            self._deadline = deadline
            self._find_slow()

    def _begin(self) -> None:
        self._changed = threading.Condition()  # guards what follows it; never held while the disk works
        self._buffer: deque[bytes] = deque()
        self._size = self._flushed = self._captured = self._dropped = self._queued = 0
        self._is_waiting = self._is_hopeless = self._is_troubled = False
        self._deadline: float | None = None
        self._untold: bytes | None = None
        self._slow, self._trusted_at = False, 0.0
        self._direct = True  # calls append by themselves: the disk is fast and trusted
        self._thread: threading.Thread | None = None

    def _find_slow(self, took: float = 0.0) -> None:
        self._slow, self._direct = True, False
        if took > STALL_SECONDS:
            self._trusted_at = monotonic() + self._trust_seconds

    def _waited_for_others(self, lock: threading.Lock) -> bool:
        """Whether the other threads were done in time; if not, one of them is stuck and nobody else waits for it."""
        if lock.acquire(timeout=_crowd_seconds()):
            return True
        self._find_slow()
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
            if not self._slow:  # fast, but not trusted: it is written at once, unless the disk stands still again
                written = self._changed.wait_for(lambda: self._flushed >= ticket, _crowd_seconds())
                if not written:
                    self._find_slow()
                return written
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
        took = monotonic() - began
        if took > SLOW_SECONDS:
            self._find_slow(took)
        with self._changed:
            for line in batch:
                self._buffer.popleft()
                self._size -= len(line)
            self._flushed += len(batch)
            self._is_hopeless = False
            if took <= SLOW_SECONDS and not self._buffer and self._deadline is None:
                self._slow = False
                self._direct = monotonic() > self._trusted_at
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


def _crowd_seconds() -> float:
    return _CROWD_SECONDS_ON_LOOP if _on_event_loop() else _CROWD_SECONDS


def _on_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio.events")  # where nobody has imported it no loop runs
    return asyncio is not None and asyncio._get_running_loop() is not None
