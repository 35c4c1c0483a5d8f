"""Tracked lines to a collector: onto this host's disk at once, over the network by a thread in the background.

    send ──▶ spool (a LocalLog in this process's lane) ──thread──▶ POST /v1/events ──▶ deleted once it has arrived

A batch whose answer was lost is sent again, and the lake counts its events once, by their ids. What a process leaves
behind, killed or ended while the collector was away, the next one that uses the spool ships. On the standard library
alone: products import it.
"""

import hashlib
import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from onlineeval_dagster.collector.local_log import LocalLog
from onlineeval_dagster.collector.shipping import Answer, Collector
from onlineeval_dagster.collector.spool import (
    Lane,
    adopt,
    is_event,
    is_sealed,
    keep_progress,
    keep_refused,
    read_batch,
    remove,
    shipped_to,
    size_of,
)
from onlineeval_dagster.collector.transport import LOSS_MARK, Counters
from onlineeval_dagster.log.writer import after_fork, sealed_path

SPOOL_BYTES = 2**30
"""How much may wait on the disk; what comes beyond it is dropped."""
EVENT_BYTES = 16 * 2**20
"""The longest line that the log takes."""

_BATCH_LINES, _BATCH_BYTES = 2000, 2**19 - 2**14  # the collector reads a body beyond 512 KiB in a thread
_SEGMENT_BYTES = 8 * 2**20
_REQUEST_SECONDS, _LONGEST_SECONDS = 10.0, 300.0
_WARNINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the shipping thread spends its time, seconds.

    look   between two looks at one's own lane
    sweep  between two looks at the spool as a whole: its size, and lanes whose owners are dead
    retry  first wait after a failure; doubled with each, up to `slow`, which is also the wait for somebody to mend
           a wrong key or address
    close  how long `close` goes on shipping
    """

    look: float = 0.25
    sweep: float = 2.0
    retry: float = 0.25
    slow: float = 30.0
    close: float = 5.0


def default_spool(url: str, environment: str) -> Path:
    """Where events for that collector wait. Processes of one environment share it and ship each other's leftovers."""
    told = os.environ.get("XDG_STATE_HOME", "")
    state = Path(told) if told.startswith("/") else Path.home() / ".local" / "state"
    name = hashlib.sha256(f"{url.rstrip('/')} {environment}".encode()).hexdigest()[:16]
    return state / "onlineeval" / "spool" / name


class Destination(Protocol):
    """Where a spool is shipped to. Belongs to one thread."""

    place: str

    def post(self, lines: list[bytes], *, timeout: float) -> Answer:
        """Send the lines as one batch; the answer says what became of them. Raises nothing."""
        ...

    def close(self) -> None: ...

    def forget(self) -> None:
        """In a forked child: leave the parent's connection alone."""
        ...


class SpooledTransport:
    """Ships lines to what `connect` gives. Safe under threads, asyncio and fork."""

    def __init__(
        self,
        connect: Callable[[], Destination],
        spool: Path,
        *,
        spool_bytes: int = SPOOL_BYTES,
        pace: Pace = Pace(),
        rng: random.Random | None = None,
    ) -> None:
        self._connect = connect
        self._spool, self._spool_bytes, self._pace = spool, spool_bytes, pace
        self._rng = rng or random.Random()
        self._loss_line: Callable[[], bytes | None] = lambda: None
        self._begin()
        after_fork(self)

    def send(self, line: bytes) -> bool:
        """Append one whole line to the spool. True once it is on the disk; False: it is in memory, or dropped."""
        if self._thread is None:
            self._start()
        size = len(line)
        if size > EVENT_BYTES:
            self._errors += 1
            return False
        if size > self._room:
            self._dropped += 1
            return False
        self._room -= size
        return self._log.send(line)

    def counters(self) -> Counters:
        logged = self._log.counters()
        captured = logged.captured - self._refused
        return Counters(
            captured=captured,
            deferred=logged.deferred,
            dropped=logged.dropped + self._dropped,
            errors=self._errors + self._refused,
            shipped=self._shipped,
            waiting=max(0, captured - self._shipped),  # a line may have arrived before it is counted here
        )

    def tell_losses(self, loss_line: Callable[[], bytes | None]) -> None:
        """As `LocalLog.tell_losses`."""
        self._loss_line = loss_line
        self._log.tell_losses(loss_line)

    def close(self) -> None:
        """Ship what there is, within some seconds; what is left waits in the spool. What is sent later is dropped."""
        self._log.close()
        if self._thread is None and self._lane.is_held:  # nothing was sent, but a loss was told
            self._start()
        self._deadline = monotonic() + self._pace.close
        self._closing.set()
        if self._thread is not None:
            self._thread.join(self._pace.close + 0.5)

    def leave_parent(self) -> None:
        """In a forked child: the spool's lanes, and what is in them, are the parent's."""
        is_closed = self._closing.is_set()
        for lane in (self._lane, *self._adopted):
            lane.forget()
        self._destination.forget()
        self._begin()
        if is_closed:
            self.close()

    def _begin(self) -> None:
        self._destination = self._connect()
        self._lane, self._adopted = Lane(self._spool), list[Lane]()
        self._log = LocalLog(self._lane.folder, door="spool", rotate_bytes=_SEGMENT_BYTES, make_folder=self._lane.make)
        self._log.tell_losses(self._loss_line)
        self._room = self._spool_bytes  # as measured at the last sweep, less what was sent since
        self._shipped = self._refused = self._dropped = self._errors = 0
        self._sweep_at = 0.0
        self._reached: dict[str, int] = {}  # how far each segment was shipped, by name
        self._limit, self._failures, self._warned = _BATCH_LINES, 0, set[str]()
        self._closing = threading.Event()
        self._deadline: float | None = None
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        # Nobody waits for it: a signal's handler may track too, on the very thread that is in here.
        if self._closing.is_set() or not self._starting.acquire(False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="onlineeval-http", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:  # the interpreter is ending; the next process ships it
            return
        finally:
            self._starting.release()

    def _work(self) -> None:
        while True:
            is_last = self._closing.is_set()
            try:
                if monotonic() >= self._sweep_at:
                    self._sweep_at = monotonic() + self._pace.sweep
                    self._sweep()
                wait = self._ship()
            except Exception as error:  # noqa: BLE001 - the door of the thread: it goes on whatever the disk does
                self._warn(f"spool {self._spool}: {error}; make it readable and writable for this user")
                wait = self._backoff(0.0)
            if is_last:
                self._leave()
                return
            self._closing.wait(wait)

    def _sweep(self) -> None:
        self._room = self._spool_bytes - size_of(self._spool) + sum(self._reached.values())
        if self._room <= 0:
            what = f"more than {self._spool_bytes:,} bytes wait and new events are dropped"
            self._warn(f"spool {self._spool}: {what}; see that the collector takes them")
        self._adopted += adopt(self._spool)

    def _ship(self) -> float:
        """Ship all there is. Returns how long to wait then, seconds."""
        lanes = [self._lane, *self._adopted]
        if not self._closing.is_set():
            self._rng.shuffle(lanes)  # or a busy process would never come to those that it adopted
        for lane in lanes:
            for segment in lane.segments():
                if (wait := self._ship_segment(segment, lane)) is not None:
                    return wait
            if lane is not self._lane:
                self._adopted.remove(lane)
                lane.release()
        return self._pace.look

    def _ship_segment(self, segment: Path, lane: Lane) -> float | None:
        """Ship what it holds, and delete it once nothing more will come. Returns how long to wait after a failure."""
        is_whole = lane is not self._lane or is_sealed(segment)
        name = sealed_path(segment).name
        at = self._reached.get(name) or shipped_to(segment)
        while True:
            try:
                batch = read_batch(segment, at, most_lines=self._limit, most_bytes=_BATCH_BYTES)
            except FileNotFoundError:  # sealed as we look: the next look finds it by its other name
                return None
            if batch.end == at:
                break
            if batch.lines:
                timeout = self._patience()
                if timeout <= 0:
                    return self._pace.look
                answer = self._destination.post(batch.lines, timeout=timeout)
                if answer.outcome == "split" and len(batch.lines) > 1:
                    self._limit = max(1, len(batch.lines) // 2)
                    continue
                if answer.outcome in ("later", "kept"):
                    self._warn(answer.said + f"; events wait in {self._spool}")
                    return self._backoff(answer.retry_seconds, is_hopeless=answer.outcome == "kept")
                self._settle(batch.lines, answer, is_own=lane is self._lane)
            self._reached[name] = at = batch.end
            with suppress(OSError):  # on a full disk we alone know it; and shipping is what frees the disk
                keep_progress(segment, at)
            if monotonic() >= self._sweep_at and not self._closing.is_set():
                return 0.0
        if is_whole:
            remove(segment)
            self._reached.pop(name, None)
        return None

    def _settle(self, lines: list[bytes], answer: Answer, *, is_own: bool) -> None:
        """Count what has arrived and keep what was refused for good."""
        self._failures = 0
        self._warned.clear()
        refused = [(lines[index], reason) for index, reason in answer.refused]
        if answer.outcome == "split":
            refused = [(lines[0], answer.said)]
        else:
            self._limit = min(_BATCH_LINES, self._limit * 2)
        # What a short write left behind is no event, and was never acknowledged.
        told = [(line, reason) for line, reason in refused if is_event(line)]
        if is_own:
            lost = {index for index, _ in answer.refused} if answer.outcome == "taken" else {0}
            self._shipped += sum(LOSS_MARK not in line for i, line in enumerate(lines) if i not in lost)
            self._refused += sum(LOSS_MARK not in line for line, _ in told)
        if told:
            found = f"{self._destination.place} refused {len(told)} events for good"
            try:
                keep_refused(self._spool, told)
                self._warn(f"{found}; see {self._spool}/refused.ndjson")
            except OSError as error:
                self._warn(f"{found}, which could not be kept in {self._spool}: {error.strerror}; free space there")

    def _leave(self) -> None:
        self._destination.close()
        for lane in (self._lane, *self._adopted):
            lane.release()

    def _patience(self) -> float:
        """How long a request may take, seconds."""
        return min(_REQUEST_SECONDS, (self._deadline or float("inf")) - monotonic())

    def _backoff(self, asked: float, *, is_hopeless: bool = False) -> float:
        wait = self._pace.slow if is_hopeless else min(self._pace.slow, self._pace.retry * 2**self._failures)
        self._failures = min(self._failures + 1, 20)
        # Jitter: or all that lost the same collector come back to it at the same moment.
        return max(min(asked, _LONGEST_SECONDS), wait * self._rng.uniform(0.5, 1))

    def _warn(self, said: str) -> None:
        """Tell the operator, once until something arrives again."""
        if said in self._warned or len(self._warned) >= _WARNINGS:
            return
        self._warned.add(said)
        import logging  # not before there is something to say

        logging.getLogger("onlineeval").warning("%s", said)


class HttpTransport(SpooledTransport):
    """Ships lines to the collector at `url`.

    What is in `spool` goes out with this `api_key`, whichever process left it there: where keys belong to different
    environments, give each a spool of its own. `options` as of `SpooledTransport`.
    """

    def __init__(self, url: str, api_key: str | None, spool: Path, **options: Any) -> None:
        super().__init__(lambda: Collector(url, api_key), spool, **options)
