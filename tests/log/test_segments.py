"""Segments: what was acknowledged is there, whoever was killed."""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.contracts.events import Event
from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.reader import parse_line, read_lines
from onlineeval_dagster.log.segments import Segment, encode, find_segment, ready_segments
from onlineeval_dagster.log.writer import SegmentWriter


def writer(folder: Path, **changes: object) -> SegmentWriter:
    return SegmentWriter(folder, **({"door": "test", "rotate_bytes": 2**30, "rotate_seconds": 3600} | changes))


def ready(folder: Path, *, idle_seconds: float = 3600, later: float = 0) -> list[Segment]:
    return ready_segments(folder, now=datetime.now(UTC) + timedelta(seconds=later), idle_seconds=idle_seconds)


def lines(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.glob("*.ndjson")) for _, line in read_lines(path, 0, path.stat().st_size)]


class Disk:
    """os.write of a disk that takes `room` bytes and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(file, data[: self.room])
        self.room -= written
        return written


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_segment_keeps_its_name_when_it_is_sealed(tmp_path: Path) -> None:
    with writer(tmp_path) as log:
        log.append(b"1\n")
        (opened,) = ready(tmp_path, later=7200)
        assert opened.path.name.endswith(".open.ndjson")
    (sealed,) = ready(tmp_path)
    assert sealed.name == opened.name == sealed.path.name
    assert (opened.complete, sealed.complete) == (False, True)
    assert find_segment(tmp_path, opened.name) == sealed.path


def test_a_segment_with_an_owner_waits_until_it_is_idle_and_gives_whole_lines(tmp_path: Path) -> None:
    with writer(tmp_path, write=Disk(7)) as log:
        log.append(b"1234\n")
        assert ready(tmp_path) == []
        with pytest.raises(LogError):
            log.append(b"5678\n")
        assert [segment.size for segment in ready(tmp_path, later=7200)] == [5]
    assert [segment.size for segment in ready(tmp_path)] == [7]


def test_a_segment_rotates_by_size_and_by_age(tmp_path: Path) -> None:
    clock = Clock()
    with writer(tmp_path, rotate_bytes=4, rotate_seconds=60, clock=clock) as log:
        log.append(b"12\n")
        log.append(b"34\n")
        log.append(b"56\n")  # the first holds 6 bytes: a new one
        clock.now += timedelta(seconds=61)
        log.append(b"78\n")
        assert len(ready(tmp_path)) == 2
    assert sorted(lines(tmp_path)) == [b"12", b"34", b"56", b"78"]
    assert len(ready(tmp_path)) == 3


def test_after_a_short_write_the_next_append_starts_a_new_line(tmp_path: Path) -> None:
    disk = Disk(8)
    with writer(tmp_path, write=disk) as log:
        log.append(b"one\n")
        with pytest.raises(LogError, match=r"12 bytes were not appended.*free space"):
            log.append(b"two-is-long\n")
        disk.room = 100
        log.append(b"two-is-long\n")
        log.append(b"three\n")
    assert lines(tmp_path) == [b"one", b"two-", b"two-is-long", b"three"]


def test_a_full_disk_names_folder_bytes_and_remedy_and_loses_nothing(tmp_path: Path) -> None:
    disk = Disk(4)
    with writer(tmp_path, write=disk) as log:
        log.append(b"one\n")
        with pytest.raises(LogError, match="4 bytes were not appended: No space left on device; free space") as caught:
            log.append(b"two\n")
        assert str(tmp_path) in str(caught.value)
    assert lines(tmp_path) == [b"one"]


def test_a_real_limit_on_the_file_tears_one_line_and_says_so(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        log, refused = writer(tmp_path), 0
        for _ in range(12):
            try:
                log.append(b"x" * 99 + b"\n")
            except LogError:
                refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert lines(tmp_path) == [b"x" * 99] * 10


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match=r"log .*/file/log: no segment can be opened or sealed: .*; make it writable"):
        writer(tmp_path / "file" / "log").append(b"1\n")


def test_an_append_is_whole_lines(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="does not end in a newline"):
        writer(tmp_path).append(b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_said_nothing_leaves_nothing(tmp_path: Path) -> None:
    with writer(tmp_path):
        pass
    assert ready(tmp_path) == [] == list(tmp_path.iterdir())


def test_threads_share_a_writer(tmp_path: Path) -> None:
    with writer(tmp_path, rotate_bytes=500) as log:
        threads = [
            threading.Thread(target=lambda t=t: [log.append(f"{t}-{i}\n".encode()) for i in range(200)])
            for t in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(lines(tmp_path)) == sorted(f"{t}-{i}".encode() for t in range(8) for i in range(200))
    assert len(ready(tmp_path)) > 1


def in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return pid


def test_a_forked_child_opens_a_segment_of_its_own(tmp_path: Path) -> None:
    with writer(tmp_path) as log:
        log.append(b"parent 1\n")
        os.waitpid(in_child(lambda: log.append(b"child\n")), 0)
        assert [segment.complete for segment in ready(tmp_path)] == [True]  # the child's: it died with it
        log.append(b"parent 2\n")
        assert len(list(tmp_path.glob("*.open.ndjson"))) == 2
    assert sorted(lines(tmp_path)) == [b"child", b"parent 1", b"parent 2"]


def test_a_child_forked_while_a_thread_appends_does_not_wait_for_that_thread(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(file: int, data: bytes) -> int:
        if data == b"slow\n":
            inside.set()
            leave.wait(10)
        return os.write(file, data)

    with writer(tmp_path, write=slow) as log:
        thread = threading.Thread(target=lambda: log.append(b"slow\n"))
        thread.start()
        assert inside.wait(10)
        pid = in_child(lambda: log.append(b"child\n"))
        os.waitpid(pid, 0)
        leave.set()
        thread.join()
    assert sorted(lines(tmp_path)) == [b"child", b"slow"]


def test_the_lock_does_not_pass_to_a_program_that_is_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, os\n"
        "from pathlib import Path\n"
        "from onlineeval_dagster.log.writer import SegmentWriter\n"
        "log = SegmentWriter(Path(sys.argv[1]), door='test', rotate_bytes=2**30, rotate_seconds=3600)\n"
        "log.append(b'1\\n')\n"
        "child = subprocess.Popen(['sleep', '30'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, check=True)
    try:
        assert [segment.complete for segment in ready(tmp_path)] == [True]
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


def test_killed_writers_lose_nothing_acknowledged_and_leave_one_torn_line_at_most(tmp_path: Path) -> None:
    rng = random.Random(5)

    def append_for_ever(name: int) -> None:
        log = writer(tmp_path / "log", rotate_bytes=20_000)
        with (tmp_path / f"acknowledged-{name}").open("wb", buffering=0) as told:
            i = 0
            while True:
                line = f"{name}-{i}-".encode() + b"x" * (i * 37 % 5000) + b"\n"
                log.append(line)
                told.write(f"{name}-{i}-\n".encode())
                i += 1

    pids = [in_child(lambda name=name: append_for_ever(name)) for name in range(4)]
    for pid in pids:
        time.sleep(rng.uniform(0.05, 0.2))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    segments = ready(tmp_path / "log")
    assert all(segment.complete for segment in segments)
    found = [[line for _, line in read_lines(segment.path, 0, segment.size)] for segment in segments]
    whole = {line.rstrip(b"x") for some in found for line in some}
    told = [path.read_bytes().splitlines() for path in tmp_path.glob("acknowledged-*")]
    assert all(len(some) > 10 for some in told)
    assert {line for some in told for line in some} <= whole
    for some in found:
        assert all(is_whole(line) for line in some[:-1])


def is_whole(line: bytes) -> bool:
    name, number, filling = line.split(b"-")
    return name in b"0123" and filling == b"x" * (int(number) * 37 % 5000)


def test_an_encoded_event_is_one_line_that_says_the_same(tmp_path: Path) -> None:
    now = datetime(2026, 11, 23, 8, 0, 0, 5, tzinfo=UTC)
    event = Event(
        event_id="e", occurred_at=now, received_at=now, name="n\nm", value=2.0, attributes={"a": None, "b": [1, {}]}
    )
    line = encode(event)
    assert line.startswith(b'{"kind":"event"') and line.count(b"\n") == 1 and b"description" not in line
    assert parse_line(line, now=now, retention_days=30) == event
    with pytest.raises(LogError, match=r"event e: attributes: .*send such a value as text"):
        encode(event.model_copy(update={"attributes": {"a": 2**70}}))


def test_a_missing_folder_has_no_segments_and_a_missing_segment_is_named(tmp_path: Path) -> None:
    assert ready(tmp_path / "none") == []
    with pytest.raises(LogError, match=r"a\.ndjson is gone"):
        find_segment(tmp_path, "a.ndjson")
