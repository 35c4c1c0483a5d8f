"""Group commit: the bytes of many requests, one append to the log and one fsync; each request waits for its own.

    keep ──▶ waiting ──thread: append, fsync──▶ the request's future is done: no kill and no power loss takes its bytes
                │
                └─ more than `queue_bytes` on their way: 503, try again

The event loop never waits for the disk: it only adds to a list.
"""

import asyncio
import errno
import logging
import threading
from collections.abc import Iterable
from time import monotonic
from typing import Protocol

from onlineeval_dagster.errors import LogError, RequestRefused

_CHORE_SECONDS = 1.0
_STUCK_SECONDS = 5.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_log = logging.getLogger("onlineeval")


class Writer(Protocol):
    """What a `log.writer.SegmentWriter` does."""

    def append(self, lines: bytes) -> None: ...

    def sync(self) -> None: ...

    def rotate(self) -> None: ...

    def seal(self) -> None: ...


_Waiting = tuple[bytes, "asyncio.Future[None]"]


class Sink:
    """Takes whole lines of the log to the disk, in a thread of its own. `keep` belongs to event loops."""

    def __init__(self, writer: Writer, *, queue_bytes: int) -> None:
        self._writer, self._queue_bytes = writer, queue_bytes
        self._changed = threading.Condition()  # guards what follows it; never held while the disk works
        self._waiting: list[_Waiting] = []
        self._size = 0
        self._is_closing = False
        self._began: float | None = None
        self._trouble: str | None = None
        self._thread: threading.Thread | None = None

    def keep(self, lines: bytes) -> "asyncio.Future[None]":
        """A future that is done once `lines` are safe, or raises RequestRefused: 507 for a full disk, 503 for another.

        Raises RequestRefused (503) at once where too much is waiting already, or the sink is closed.
        """
        future = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._is_closing:
                raise RequestRefused("collector: it is being stopped; send it again", status=503, retry_seconds=2)
            if self._size + len(lines) > self._queue_bytes and self._size:
                told = f"collector: {self._size:,} bytes wait for the disk"
                raise RequestRefused(f"{told}; send it again in a second", status=503, retry_seconds=1)
            self._waiting.append((lines, future))
            self._size += len(lines)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="onlineeval-sink", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    @property
    def waiting_bytes(self) -> int:
        """What is on its way to the disk."""
        return self._size

    def trouble(self) -> str | None:
        """Why nothing can be kept now: what the disk last said, or for how long it has said nothing. Or None."""
        began = self._began
        if began is not None and monotonic() - began > _STUCK_SECONDS:
            return f"the disk has not answered for {monotonic() - began:.0f} s"
        if self._thread is not None and not self._thread.is_alive():
            return "the thread that writes the log is gone; start the collector again"
        return self._trouble

    def close(self, *, patience: float = 10) -> None:
        """Keep what is waiting and seal the segment, within `patience` seconds. What comes later is refused."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._is_closing:
                    self._changed.wait(_CHORE_SECONDS)
                group, self._waiting = self._waiting, []
                is_over = self._is_closing and not group
            if is_over:
                self._chore(self._writer.seal)
                return
            if group:
                self._began = monotonic()
                _settle(group, self._written(group))
                self._began = None
                with self._changed:
                    self._size -= sum(len(lines) for lines, _ in group)
            else:
                self._chore(self._writer.rotate)

    def _written(self, group: list[_Waiting]) -> RequestRefused | None:
        """Append and sync a group; why it is not safe, or None."""
        try:
            self._writer.append(group[0][0] if len(group) == 1 else b"".join([lines for lines, _ in group]))
            self._writer.sync()
        except Exception as error:  # noqa: BLE001 - a door: whatever it is, the thread goes on and the requests hear of it
            self._tell(error)
            return _refusal(error)
        self._trouble = None
        return None

    def _chore(self, work: "Chore") -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a door: the thread goes on, the operator hears of it
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Tell the operator, once until the disk is well again. Never what was to be written."""
        if self._trouble is None:
            _log.warning("%s", error if isinstance(error, LogError) else type(error).__name__)
        self._trouble = str(error) if isinstance(error, LogError) else type(error).__name__


class Chore(Protocol):
    def __call__(self) -> None: ...


def _refusal(error: Exception) -> RequestRefused:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _FULL:
        return RequestRefused(
            "collector: its disk is full, nothing of this request was kept; free space there and send it again",
            status=507,
            retry_seconds=5,
        )
    told = "collector: the log could not be written, nothing of this request is acknowledged"
    return RequestRefused(f"{told}; see what the collector says, and send it again", status=503, retry_seconds=2)


def _settle(group: Iterable[_Waiting], error: RequestRefused | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for _, future in group:
        by_loop.setdefault(future.get_loop(), []).append(future)
    for loop, futures in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures, error)
        except RuntimeError:  # the loop is closed, and nobody waits any more
            continue


def _resolve(futures: list["asyncio.Future[None]"], error: RequestRefused | None) -> None:
    for future in futures:
        if future.done():
            continue  # its request was cancelled
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
