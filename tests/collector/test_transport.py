"""What is acknowledged is in the log, whatever happens to the process; and the disk's troubles stay the disk's."""

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.local_log import STALL_SECONDS, LocalLog
from onlineeval_dagster.collector.transport import Counters
from onlineeval_dagster.log.reader import read_lines
from onlineeval_dagster.log.writer import ROTATE_BYTES, ROTATE_SECONDS
from onlineeval_dagster.settings import load_settings
from tests.collector.collectors import whole

ROOT = Path(__file__).parents[2]
PATIENCE = 0.5
"""How late a machine with other work may be, seconds."""


def lines(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.glob("*.ndjson")) for _, line in read_lines(path, 0, path.stat().st_size)]


def ids(home: Path) -> list[str]:
    return [orjson.loads(line)["response_id"] for line in lines(home / "log")]


def track(client: Client, response_id: str) -> bool:
    return client.track_response(response_id=response_id, query="q", response="a" * 900)


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


class Disk:
    """os.write of a disk that can be full, or stand still."""

    def __init__(self) -> None:
        self.is_full = False
        self.moves = threading.Event()
        self.moves.set()
        self.delay_s = 0.0

    def __call__(self, file: int, data: bytes) -> int:
        self.moves.wait(20)
        time.sleep(self.delay_s)
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(file, data)


class Stalled:
    """os.write that stands still inside the kernel for as long as one says so: in a write to a pipe that is full."""

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        self.stands_still = False

    def __call__(self, file: int, data: bytes) -> int:
        if self.stands_still:
            os.write(self._in, b"x")
        return os.write(file, data)

    def stand_still(self) -> None:
        os.set_blocking(self._in, False)
        try:
            while os.write(self._in, bytes(4096)):
                pass
        except BlockingIOError:
            os.set_blocking(self._in, True)
        self.stands_still = True

    def go_on(self) -> None:
        self.stands_still = False
        os.read(self._out, 2**16)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.moves.set()


def test_the_client_writes_where_the_pipeline_reads_and_rotates_as_it_does(tmp_path: Path) -> None:
    with Client(home=tmp_path) as client:
        assert track(client, "r1")
    settings = load_settings(home=tmp_path)
    assert len(lines(settings.log_folder)) == 1
    fields = type(settings).model_fields
    assert (fields["rotate_bytes"].default, fields["rotate_seconds"].default) == (ROTATE_BYTES, ROTATE_SECONDS)


def test_a_killed_product_keeps_every_acknowledged_response_exactly_once(tmp_path: Path) -> None:
    code = (
        "import os, sys, threading\n"
        "from onlineeval_dagster.collector.client import Client\n"
        "client = Client(home=sys.argv[1])\n"
        "told = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "def work(name):\n"
        "    for i in range(10**9):\n"
        "        if client.track_response(response_id=f'{name}-{i}', query='q', response='a' * (i % 3000)):\n"
        "            os.write(told, f'\\n{name}-{i};'.encode())\n"
        "for name in 'abc':\n"
        "    threading.Thread(target=work, args=(f'{os.getpid()}-{name}',)).start()\n"
    )
    rng, told = random.Random(3), tmp_path / "told"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(told)]) as product:
            size = told.stat().st_size if told.exists() else 0
            until(lambda size=size: told.exists() and told.stat().st_size > size)
            time.sleep(rng.uniform(0, 0.2))
            product.send_signal(signal.SIGKILL)
    found: Counter[str] = Counter()
    torn = 0
    for line in lines(tmp_path / "log"):
        try:
            found[orjson.loads(line)["response_id"]] += 1
        except orjson.JSONDecodeError:
            torn += 1
    acknowledged = whole(told.read_text())
    assert len(acknowledged) > 500
    assert not [response_id for response_id in acknowledged if found[response_id] != 1]
    assert torn <= 5


def test_threads_share_a_client_and_the_sum_of_the_counters_is_the_number_of_calls(tmp_path: Path) -> None:
    with Client(home=tmp_path) as client:
        threads = [
            threading.Thread(target=lambda t=t: [track(client, f"{t}-{i}") for i in range(300)]) for t in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(client.counters) == 1800
    assert client.counters == Counters(captured=1800)
    assert sorted(ids(tmp_path)) == sorted(f"{t}-{i}" for t in range(6) for i in range(300))


def test_tasks_of_an_event_loop_share_a_client(tmp_path: Path) -> None:
    async def serve(client: Client, name: int) -> None:
        for i in range(100):
            track(client, f"{name}-{i}")
            await asyncio.sleep(0)

    async def serve_all(client: Client) -> None:
        await asyncio.gather(*(serve(client, name) for name in range(5)))

    with Client(home=tmp_path) as client:
        asyncio.run(serve_all(client))
    assert sorted(ids(tmp_path)) == sorted(f"{t}-{i}" for t in range(5) for i in range(100))


def test_a_forked_child_writes_a_segment_of_its_own_and_counts_for_itself(tmp_path: Path) -> None:
    with Client(home=tmp_path) as client:
        assert track(client, "parent 1")
        pid = os.fork()
        if not pid:
            well = track(client, "child") and client.counters == Counters(captured=1)
            client.close()
            os._exit(0 if well else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert track(client, "parent 2")
        assert client.counters.captured == 2
    assert sorted(ids(tmp_path)) == ["child", "parent 1", "parent 2"]
    assert len(list((tmp_path / "log").iterdir())) == 2


def test_a_child_forked_while_the_disk_stands_still_neither_hangs_nor_repeats_its_parents_lines(
    tmp_path: Path, disk: Disk
) -> None:
    log = LocalLog(tmp_path, write=disk)
    assert log.send(b"1\n")
    disk.moves.clear()
    stuck = threading.Thread(target=log.send, args=(b"2\n",))
    stuck.start()
    until(lambda: not log.send(b"3\n"))
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        disk.moves.set()
        os._exit(0 if log.send(b"child\n") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    disk.moves.set()
    stuck.join()
    log.close()
    assert sorted(lines(tmp_path)) == [b"1", b"2", b"3", b"child"]


def test_while_the_disk_stands_still_one_call_waits_and_the_others_go_on(tmp_path: Path, disk: Disk) -> None:
    log = LocalLog(tmp_path, write=disk, wait_seconds=1)
    assert log.send(b"first\n")
    disk.moves.clear()
    stuck = threading.Thread(target=log.send, args=(b"stuck\n",))
    stuck.start()
    time.sleep(0.05)
    took = []
    for i in range(50):
        began = time.monotonic()
        assert not log.send(f"{i}\n".encode())
        took.append(time.monotonic() - began)
    assert sum(took[1:]) < PATIENCE, "a second call waited"
    assert 0.9 < took[0] < 1 + PATIENCE
    assert log.counters() == Counters(captured=1, deferred=50)
    disk.moves.set()
    stuck.join()
    until(lambda: log.counters() == Counters(captured=52))
    log.close()
    assert sorted(lines(tmp_path)) == sorted([b"first", b"stuck", *(str(i).encode() for i in range(50))])


def test_on_the_thread_of_an_event_loop_no_call_waits_for_a_slow_disk(tmp_path: Path, disk: Disk) -> None:
    log = LocalLog(tmp_path, write=disk, wait_seconds=5)
    assert log.send(b"first\n")
    disk.moves.clear()
    stuck = threading.Thread(target=log.send, args=(b"stuck\n",))
    stuck.start()
    time.sleep(0.05)

    async def send() -> float:
        began = time.monotonic()
        assert not any(log.send(b"x\n") for _ in range(20))
        return time.monotonic() - began

    assert asyncio.run(send()) < PATIENCE
    disk.moves.set()
    stuck.join()
    log.close()
    assert log.counters() == Counters(captured=22)


def test_a_disk_that_stood_still_once_holds_no_further_call_neither_on_a_thread_nor_on_an_event_loop(
    tmp_path: Path,
) -> None:
    disk = Stalled()
    log = LocalLog(tmp_path, write=disk)
    assert log.send(b"first\n")
    disk.stand_still()
    stuck = threading.Thread(target=log.send, args=(b"stuck\n",))  # nobody could know
    stuck.start()
    time.sleep(2 * STALL_SECONDS)
    disk.go_on()
    stuck.join(10)
    until(lambda: log.send(b"x\n"))

    async def send() -> float:
        return longest()

    def longest() -> float:
        disk.stand_still()
        threading.Timer(2.0, disk.go_on).start()  # were a call in the kernel's write, it would be held that long
        took = []
        for _ in range(30):
            began = time.monotonic()
            assert not log.send(b"x\n")
            took.append(time.monotonic() - began)
        until(lambda: not disk.stands_still and log.send(b"x\n"))
        return max(took)

    assert longest() < PATIENCE
    assert asyncio.run(send()) < PATIENCE
    log.close()
    counted = log.counters()
    assert counted == Counters(captured=len(lines(tmp_path)))


def test_while_a_disk_is_not_trusted_calls_are_acknowledged_and_after_a_quiet_time_it_is_trusted_again(
    tmp_path: Path, disk: Disk
) -> None:
    log = LocalLog(tmp_path, write=disk, trust_seconds=1)
    disk.delay_s = 2 * STALL_SECONDS
    assert log.send(b"1\n")
    disk.delay_s = 0
    until(lambda: log.send(b"x\n"))
    assert not log._direct

    async def send() -> bool:
        return any(log.send(b"x\n") for _ in range(20))

    assert asyncio.run(send()), "on an event loop too"
    until(lambda: log.send(b"x\n") and log._direct)
    log.close()


def test_a_slow_disk_still_acknowledges_a_call_that_may_wait_and_is_trusted_again_when_it_is_fast(
    tmp_path: Path, disk: Disk
) -> None:
    log = LocalLog(tmp_path, write=disk, wait_seconds=5)
    disk.delay_s = 0.03
    assert log.send(b"1\n")
    assert log.send(b"2\n"), "the background wrote it within the wait"
    disk.delay_s = 0
    until(lambda: log.send(b"x\n") and not log._slow)
    log.close()
    assert lines(tmp_path)[:2] == [b"1", b"2"]


def test_a_full_disk_defers_then_drops_and_loses_nothing_it_took(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    log = LocalLog(tmp_path, write=disk, buffer_bytes=30)
    assert log.send(b"before\n")
    disk.is_full = True
    assert [log.send(b"0123456789abcd\n") for _ in range(4)] == [False] * 4
    assert log.counters() == Counters(captured=1, deferred=2, dropped=2)
    time.sleep(0.6)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "told once, not at each try"
    assert "free space" in caplog.text and "0123456789" not in caplog.text
    disk.is_full = False
    until(lambda: log.counters().deferred == 0)
    assert log.send(b"after\n")
    log.close()
    assert log.counters() == Counters(captured=4, dropped=2)
    assert lines(tmp_path) == [b"before", b"0123456789abcd", b"0123456789abcd", b"after"]


def test_what_the_disk_never_took_is_dropped_at_the_end_and_what_comes_later_too(tmp_path: Path, disk: Disk) -> None:
    log = LocalLog(tmp_path, write=disk)
    disk.is_full = True
    assert not log.send(b"1\n")
    began = time.monotonic()
    log.close()
    assert time.monotonic() - began < 3 + PATIENCE
    assert not log.send(b"2\n")
    assert log.counters() == Counters(dropped=2)


def test_a_folder_that_cannot_be_written_does_not_reach_the_product(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    client = Client(home=tmp_path / "file")
    assert not track(client, "r")
    assert client.counters == Counters(deferred=1)
    client.close()
    assert client.counters == Counters(dropped=1)


def test_segments_rotate_in_the_background_while_calls_go_on(tmp_path: Path) -> None:
    log = LocalLog(tmp_path, rotate_bytes=2000)
    sent = 0

    def rotated() -> bool:
        nonlocal sent
        sent += sum(log.send(f"{sent + i}\n".encode().rjust(100, b"0")) for i in range(50))
        return any(not path.name.endswith(".open.ndjson") for path in tmp_path.glob("*.ndjson"))

    until(rotated)
    log.close()
    assert len(lines(tmp_path)) == len(set(lines(tmp_path))) == sent
    assert not list(tmp_path.glob("*.open.ndjson"))


def test_a_process_that_ends_in_good_order_seals_its_segment(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from onlineeval_dagster.collector.client import Client\n"
        "Client(home=sys.argv[1]).track_event('campaign')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    (segment,) = (tmp_path / "log").iterdir()
    assert not segment.name.endswith(".open.ndjson")


def test_importing_the_client_takes_neither_long_nor_anything_heavy() -> None:
    code = (
        "import sys, time\n"
        "began = time.process_time()\n"
        "import onlineeval_dagster.collector.client\n"
        "took = time.process_time() - began\n"
        "names = {'pydantic', 'pyarrow', 'dagster', 'duckdb', 'openai', 'asyncio', 'logging', 'numpy'}\n"
        "print(took, *sorted(names & set(sys.modules)))\n"
    )
    best, heavy = min(
        (float(took), heavy)
        for took, *heavy in (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
            for _ in range(3)
        )
    )
    assert heavy == []
    assert best < 0.1


@pytest.mark.parametrize("module", ["client", "middleware"])
def test_the_product_side_stands_on_the_standard_library(module: str) -> None:
    code = (
        "import sys\n"
        "sys.modules['orjson'] = None\n"
        f"import onlineeval_dagster.collector.{module}\n"
        "ours = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(*sorted(name for name in ours if not name.startswith('_')))\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["onlineeval_dagster", "orjson"]
