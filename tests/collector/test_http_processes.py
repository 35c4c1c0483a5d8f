"""Every acknowledged event arrives at the collector, whatever the disk and the process do."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.http_transport import HttpTransport, Pace, default_spool
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.collector.spool import adopt
from onlineeval_dagster.collector.transport import Counters
from onlineeval_dagster.settings import load_settings
from tests.collector.collectors import ROOT, logged, serving, whole
from tests.collector.scripted_collector import QUICK, Scripted, client_of, left, track, until


def test_without_a_collector_the_product_feels_nothing_and_the_next_process_ships_it(
    collector: Scripted, tmp_path: Path
) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    free.close()
    client = Client(transport=HttpTransport(nowhere, None, tmp_path, pace=QUICK))
    assert track(client, "a", "b") == ["a", "b"]
    assert client.counters == Counters(captured=2, waiting=2)
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 2
    assert len(left(tmp_path)) == 1
    with client_of(collector, tmp_path) as other:
        track(other, "c")
        until(lambda: set(collector.ids()) == {"a", "b", "c"})
    assert other.counters == Counters(captured=1, shipped=1), "it counts its own calls alone"
    assert list(tmp_path.iterdir()) == []


def test_a_collector_that_stalls_does_not_keep_the_process_from_ending(collector: Scripted, tmp_path: Path) -> None:
    collector.script = ["stall"]
    client = client_of(collector, tmp_path, pace=Pace(look=0.01, close=0.3))
    track(client, "a")
    until(lambda: len(collector.requests) == 1)
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 3
    assert client.counters == Counters(captured=1, waiting=1)


def test_a_process_that_ends_at_once_still_ships(collector: Scripted, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from onlineeval_dagster.collector.client import Client\n"
        "Client(url=sys.argv[1], spool=sys.argv[2]).track_event('e', event_id='a')\n"
    )
    subprocess.run([sys.executable, "-c", code, collector.url, str(tmp_path)], check=True, cwd=ROOT)
    assert collector.ids() == Counter({"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_beyond_the_limit_of_the_spool_events_are_dropped_and_counted(collector: Scripted, tmp_path: Path) -> None:
    collector.script = ["stall"]
    client = client_of(collector, tmp_path, spool_bytes=2000, pace=Pace(look=0.01, sweep=0.05, close=0.1))
    names = [f"e{i}" for i in range(50)]
    kept = track(client, *names)
    assert 2 < len(kept) < 20
    assert client.counters == Counters(captured=len(kept), dropped=50 - len(kept), waiting=len(kept))
    client.close()


def test_an_event_that_no_log_takes_is_an_error_at_once(collector: Scripted, tmp_path: Path) -> None:
    with client_of(collector, tmp_path) as client:
        assert not client.track_response(response_id="r", query="q", response="a" * (17 * 2**20))
        assert client.counters == Counters(errors=1)


def test_on_a_full_disk_shipping_goes_on_though_nothing_can_be_noted_on_it(collector: Scripted, tmp_path: Path) -> None:
    collector.refuses = lambda event: "no" if event["event_id"] == "bad" else None
    collector.script = [(503, {"Retry-After": "1"}, {})]
    with client_of(collector, tmp_path) as client:
        track(client, "a", "bad")
        until(lambda: len(collector.requests) == 1)
        (segment,) = tmp_path.glob("lane-*/*.ndjson")
        segment.with_name(segment.name.removesuffix(".open.ndjson") + ".at-new").mkdir()
        (tmp_path / "refused.ndjson").mkdir()
        until(lambda: client.counters.waiting == 0)
        time.sleep(0.1)
        track(client, "b")
        until(lambda: client.counters.shipped == 2)
        assert collector.ids() == Counter(["a", "b"])
        assert client.counters == Counters(captured=2, errors=1, shipped=2)


def test_a_spool_that_cannot_be_written_does_not_reach_the_product(collector: Scripted, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    client = client_of(collector, tmp_path / "file")
    assert track(client, "a") == []
    assert client.counters == Counters(deferred=1)
    client.close()
    assert client.counters == Counters(dropped=1)


def test_room_in_the_spool_is_free_again_once_events_have_arrived_though_more_come_all_the_time(
    collector: Scripted, tmp_path: Path
) -> None:
    with client_of(collector, tmp_path, spool_bytes=200_000) as client:
        for i in range(3000):
            track(client, f"e{i}")
            if i % 100 == 0:
                time.sleep(0.02)
    assert client.counters.dropped == 0, client.counters


def test_where_all_that_was_told_was_an_error_the_collector_hears_of_it(collector: Scripted, tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    with client_of(collector, tmp_path) as client:
        client.track_event("e", attributes=circle)
    assert [(event["name"], event["value"]) for event in collector.stored] == [("onlineeval.sdk_loss", 1)]
    assert list(tmp_path.iterdir()) == []


def test_threads_and_tasks_share_a_client(collector: Scripted, tmp_path: Path) -> None:
    async def tell(client: Client) -> None:
        for i in range(200):
            track(client, f"task-{i}")
            await asyncio.sleep(0)

    with client_of(collector, tmp_path) as client:
        work = [threading.Thread(target=lambda t=t: track(client, *(f"{t}-{i}" for i in range(200)))) for t in range(4)]
        for thread in work:
            thread.start()
        asyncio.run(tell(client))
        for thread in work:
            thread.join()
        assert sum(client.counters[:4]) == 1000
    assert client.counters == Counters(captured=1000, shipped=1000)
    assert set(collector.ids().values()) == {1} and len(collector.ids()) == 1000


def test_a_forked_child_ships_its_own_and_leaves_its_parents_alone(collector: Scripted, tmp_path: Path) -> None:
    with client_of(collector, tmp_path) as client:
        track(client, "parent 1")
        until(lambda: client.counters.shipped == 1)
        pid = os.fork()
        if not pid:
            signal.alarm(10)
            well = track(client, "child") == ["child"] and client.counters.captured == 1
            client.close()
            os._exit(0 if well and client.counters == Counters(captured=1, shipped=1) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert list(adopt(tmp_path)) == [], "the parent's lane is still its own"
        track(client, "parent 2")
    assert client.counters == Counters(captured=2, shipped=2)
    assert collector.ids() == Counter(["parent 1", "child", "parent 2"])


def test_a_child_that_is_forked_while_an_answer_is_read_does_not_wait_for_it(
    collector: Scripted, tmp_path: Path
) -> None:
    collector.script = ["half"]
    with client_of(collector, tmp_path) as client:
        track(client, "parent")
        until(lambda: len(collector.requests) == 1)
        time.sleep(0.1)  # the head of the answer is there, and the thread waits for its body
        pid = os.fork()
        if not pid:
            os._exit(0 if track(client, "child") == ["child"] else 1)
        try:
            until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None, seconds=5)
        finally:
            os.kill(pid, signal.SIGKILL)
            ended = os.waitpid(pid, 0)[1]
            collector.is_over.set()
        assert os.waitstatus_to_exitcode(ended) == 0


def test_what_a_child_that_died_left_behind_its_parent_ships(collector: Scripted, tmp_path: Path) -> None:
    with client_of(collector, tmp_path) as client:
        track(client, "parent")
        pid = os.fork()
        if not pid:
            os._exit(0 if client._transport._log.send(b'{"event_id":"child"}\n') else 1)  # pyright: ignore
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        until(lambda: collector.ids() == Counter(["parent", "child"]))


_PRODUCT = """
import itertools, os, sys, threading
from pathlib import Path
from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.http_transport import HttpTransport, Pace

pace = Pace(look=0.005, sweep=0.05, retry=0.01, slow=0.05)
client = Client(transport=HttpTransport(sys.argv[1], None, Path(sys.argv[2]), pace=pace))
told = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def work(name):
    for i in itertools.count():
        if client.track_response(response_id=f"{name}-{i}", query="q", response="a" * (i % 3000)):
            os.write(told, f"\\n{name}-{i};".encode())
for name in "ab":
    threading.Thread(target=work, args=(f"{os.getpid()}-{name}",)).start()
"""


def test_a_product_killed_under_load_loses_nothing_that_it_acknowledged(collector: Scripted, tmp_path: Path) -> None:
    spool, told = tmp_path / "spool", tmp_path / "told"
    for life in range(4):
        collector.script = ["forget", 200, "cut", 503, 200, "forget"] if life else []
        command = [sys.executable, "-c", _PRODUCT, collector.url, str(spool), str(told)]
        with subprocess.Popen(command, cwd=ROOT) as product:
            before = len(collector.stored)
            until(lambda before=before: len(collector.stored) > before + 50)
            product.send_signal(signal.SIGKILL)
    with client_of(collector, spool) as client:
        track(client, "last")
        until(lambda: "last" in collector.ids() and len(list(spool.glob("lane-*"))) == 1, 20)
    arrived = {event["event_id"]: event["response_id"] for event in collector.stored if "response_id" in event}
    acknowledged = whole(told.read_text())
    assert len(acknowledged) > 500
    assert set(acknowledged) <= set(arrived.values())
    assert len(arrived) == len(set(arrived.values())), "one event id each: the lake counts it once"


def test_a_live_collector_takes_what_it_should_and_says_why_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = ApiKeys(load_settings(home=home).keys_file).add(
        "shop", environment=None, scope="write", now=datetime.now(UTC)
    )
    with serving(home) as (_, url):
        wrong = Client(transport=HttpTransport(url, "oe_x_y", tmp_path / "spool", pace=QUICK), environment="staging")
        track(wrong, "from a wrong key")
        wrong.close()
        assert wrong.counters == Counters(captured=1, waiting=1)
        with Client(url=url, api_key=key, spool=tmp_path / "spool", app="shop") as client:
            for i in range(3000):
                client.track_response(response_id=f"r{i}", query="q", response="a" * 500)
            client.track_event("future", event_id="f", occurred_at=datetime(2100, 1, 1, tzinfo=UTC))
            client.track_response(response_id="huge", query="q", response=os.urandom(6 * 2**20).hex())
            until(lambda: client.counters.waiting == 0)
    assert client.counters == Counters(captured=3000, errors=2, shipped=3000)
    kept = [json.loads(line)["event"] for line in (tmp_path / "spool" / "refused.ndjson").read_text().splitlines()]
    assert [event.get("response_id", event["event_id"]) for event in kept] == ["f", "huge"]
    events = logged(home)
    assert len(events) == len({event["event_id"] for event in events})
    named = Counter(event.get("name", "a response") for event in events)
    assert named == Counter({"a response": 3000, "e": 1, "onlineeval.sdk_loss": 1})
    assert {event["app"] for event in events} == {"shop", "default"}


def test_the_spool_is_the_users_own_and_one_for_each_collector_and_environment(
    collector: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    spool = default_spool(collector.url, "production")
    assert spool.is_relative_to(tmp_path / "onlineeval" / "spool")
    assert default_spool(collector.url + "/", "production") == spool
    assert default_spool(collector.url, "staging") != spool
    collector.script = ["stall"]
    client = Client(url=collector.url, api_key="oe_k_s")
    track(client, "a")
    (lane,) = spool.iterdir()
    assert [path.stat().st_mode & 0o077 for path in (spool, lane)] == [0, 0]
    collector.is_over.set()
    client.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"url": "collector:8321"}, "write it as http://host:8321"),
        ({"url": "http://h", "api_key": "oe_a\nb"}, "copy it again"),
        ({"url": "http://h", "home": "there"}, "one of them"),
        ({"home": "there", "api_key": "oe_a_b"}, "give its `url`"),
    ],
)
def test_a_client_that_cannot_work_says_so_when_it_is_made(said: dict[str, Any], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        Client(**said)
