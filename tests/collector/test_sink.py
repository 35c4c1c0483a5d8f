"""One append and one fsync for many requests; what is acknowledged is on the disk, and the event loop never waits."""

import asyncio
import errno
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import pytest

from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.errors import LogError, RequestRefused
from onlineeval_dagster.log.writer import SegmentWriter

QUEUE_BYTES = 1_000


@dataclass
class Log:
    """A writer whose disk does as it is told: it moves while `moves` is set, and fails with `error`."""

    error: OSError | None = None
    moves: threading.Event = field(default_factory=threading.Event)
    done: list[str] = field(default_factory=list)

    def append(self, lines: bytes) -> None:
        if self.error is not None:
            raise LogError("log: not appended") from self.error
        self.done.append(lines.decode())

    def sync(self) -> None:
        self.moves.wait(10)
        self.done.append("sync")

    def rotate(self) -> None:
        self.done.append("rotate")

    def seal(self) -> None:
        self.done.append("seal")


def moving() -> Log:
    log = Log()
    log.moves.set()
    return log


def run(log: Log, work: Callable[[Sink], Awaitable[None]]) -> None:
    """`work` with a sink to a log, within an event loop."""

    async def working() -> None:
        sink = Sink(log, queue_bytes=QUEUE_BYTES)
        try:
            await asyncio.wait_for(work(sink), 10)
        finally:
            log.moves.set()
            await asyncio.to_thread(sink.close)

    asyncio.run(working())


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


def test_what_comes_while_the_disk_works_is_one_append_and_one_sync() -> None:
    log = Log()

    async def work(sink: Sink) -> None:
        first = sink.keep(b"1\n")
        await until(lambda: log.done == ["1\n"])
        others = [sink.keep(b"%d\n" % number) for number in (2, 3, 4)]
        assert not first.done()
        log.moves.set()
        await asyncio.gather(first, *others)
        assert log.done == ["1\n", "sync", "2\n3\n4\n", "sync"]

    run(log, work)
    assert log.done[-1] == "seal"


def test_nothing_is_acknowledged_before_the_sync() -> None:
    log = Log()

    async def work(sink: Sink) -> None:
        future = sink.keep(b"1\n")
        await until(lambda: log.done == ["1\n"])
        await asyncio.sleep(0.05)
        assert not future.done()
        log.moves.set()
        await future
        assert log.done == ["1\n", "sync"]

    run(log, work)


def test_a_disk_that_stands_still_does_not_hold_the_loop() -> None:
    log = Log()

    async def work(sink: Sink) -> None:
        began, longest = monotonic(), 0.0
        futures = [sink.keep(b"%d\n" % number) for number in range(50)]
        while monotonic() - began < 0.2:
            before = monotonic()
            await asyncio.sleep(0)
            longest = max(longest, monotonic() - before)
        assert longest < 0.15
        assert not any(future.done() for future in futures)
        log.moves.set()
        await asyncio.gather(*futures)

    run(log, work)


@pytest.mark.parametrize(
    ("code", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EFBIG, 507), (errno.EIO, 503)]
)
def test_a_full_disk_is_507_and_any_other_trouble_503_until_it_is_over(code: int, status: int) -> None:
    log = moving()

    async def work(sink: Sink) -> None:
        log.error = OSError(code, "trouble")
        with pytest.raises(RequestRefused) as refused:
            await sink.keep(b"1\n")
        assert (refused.value.status, sink.trouble()) == (status, "log: not appended")
        assert "send it again" in str(refused.value)
        log.error = None
        await sink.keep(b"2\n")
        assert (log.done, sink.trouble()) == (["2\n", "sync"], None)

    run(log, work)


def test_too_much_that_waits_is_503_at_once_and_taken_again_later() -> None:
    log = Log()

    async def work(sink: Sink) -> None:
        first = sink.keep(b"x" * 999 + b"\n")
        with pytest.raises(RequestRefused, match="1,000 bytes wait") as refused:
            await sink.keep(b"y\n")
        assert (refused.value.status, refused.value.retry_seconds) == (503, 1)
        assert sink.waiting_bytes == 1_000
        log.moves.set()
        await first
        await until(lambda: sink.waiting_bytes == 0)
        await sink.keep(b"x" * 5_000 + b"\n")  # one alone is taken, however large

    run(log, work)


def test_close_keeps_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    async def work() -> None:
        sink = Sink(SegmentWriter(tmp_path, door="collector"), queue_bytes=QUEUE_BYTES)
        futures = [sink.keep(b"%d\n" % number) for number in range(20)]
        await asyncio.to_thread(sink.close)
        await asyncio.gather(*futures)
        with pytest.raises(RequestRefused) as refused:
            await sink.keep(b"late\n")
        assert refused.value.status == 503

    asyncio.run(work())
    (segment,) = tmp_path.iterdir()
    assert ".open." not in segment.name
    assert segment.read_bytes().split() == [b"%d" % number for number in range(20)]


def test_a_request_that_was_given_up_does_not_harm_the_others() -> None:
    log = Log()

    async def work(sink: Sink) -> None:
        given_up, other = sink.keep(b"1\n"), sink.keep(b"2\n")
        given_up.cancel()
        log.moves.set()
        await other
        await sink.keep(b"3\n")

    run(log, work)
    assert log.done[:-1].count("sync") <= 3 and "seal" in log.done


def test_a_quiet_log_is_rotated() -> None:
    log = moving()

    async def work(sink: Sink) -> None:
        await sink.keep(b"1\n")
        await until(lambda: "rotate" in log.done)

    run(log, work)


def test_a_loop_that_ended_does_not_stop_the_thread() -> None:
    log = Log()
    sink = Sink(log, queue_bytes=QUEUE_BYTES)

    async def leave() -> None:
        sink.keep(b"1\n")
        await until(lambda: log.done == ["1\n"])

    async def stay() -> None:
        log.moves.set()
        await asyncio.wait_for(sink.keep(b"2\n"), 10)

    asyncio.run(leave())
    asyncio.run(stay())
    sink.close()
    assert log.done == ["1\n", "sync", "2\n", "sync", "seal"]
