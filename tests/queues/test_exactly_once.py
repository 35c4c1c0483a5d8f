"""What was appended to a queue is in the lake once: after repeats, kills, a lost cache, a bad message."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import QueueError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.drained import drain_into_log, messages_behind
from onlineeval_dagster.lake.ingest import ingest, prune
from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.queues.drain import Drained
from onlineeval_dagster.queues.registry import open_queue
from onlineeval_dagster.settings import Settings
from tests.pipeline import table
from tests.queues.brokers import Broker
from tests.worlds import NOW, answer

ROOT = Path(__file__).parents[2]

DRAIN = """
import os, signal, sys
from datetime import UTC, datetime
from onlineeval_dagster.errors import QueueError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.drained import drain_into_log
from onlineeval_dagster.settings import load_settings

url, deadly = sys.argv[1:]

def reached(place):
    if place == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

settings = load_settings()
drain_into_log(settings, Lake(settings.lake_folder), url, now=datetime.now(UTC), checkpoint=reached)
"""


def send(url: str, events: list[LogEvent] | list[bytes]) -> None:
    with closing(open_queue(url)) as queue:
        queue.append([event if isinstance(event, bytes) else encode(event) for event in events])


def drained(settings: Settings, url: str) -> Drained:
    return drain_into_log(settings, Lake(settings.lake_folder), url, now=NOW)


def taken_in(settings: Settings) -> None:
    ingest(settings, Lake(settings.lake_folder), now=NOW)


def responses(settings: Settings) -> Counter[str]:
    """How often each response stands in the lake."""
    return Counter(row["response_id"] for row in table(settings, "responses"))


def once(numbers: range) -> Counter[str]:
    return Counter(f"r{number}" for number in numbers)


def test_every_message_becomes_one_row(url: str, settings: Settings) -> None:
    send(url, [answer(number) for number in range(50)])
    assert drained(settings, url).events == 50
    taken_in(settings)
    send(url, [answer(number) for number in range(50, 60)])
    assert drained(settings, url).events == 10
    assert drained(settings, url) == Drained()
    taken_in(settings)
    assert responses(settings) == once(range(60))


def test_what_is_told_of_one_response_lies_in_one_partition_in_order(kafka: Broker) -> None:
    told = [
        orjson.dumps({"kind": kind, "response_id": f"r{number}", "query": f'"response_id":"r{step}"', "step": step})
        for step, kind in enumerate(("response", "action", "verdict"))
        for number in range(20)
    ]
    found: dict[str, list[tuple[int, int]]] = {}
    with closing(open_queue(kafka.new_topic(f"ordered-{secrets.token_hex(4)}"))) as queue:
        queue.append(told)
        for span in queue.spans():
            for message in queue.read(span.partition, start=span.first, end=span.end):
                event = orjson.loads(message.value or b"{}")
                found.setdefault(event["response_id"], []).append((span.partition, event["step"]))
    assert len(found) == 20 and len({places[0][0] for places in found.values()}) > 1
    for places in found.values():
        assert places == [(places[0][0], step) for step in range(3)]


def test_killed_at_every_step_it_loses_nothing_and_doubles_nothing(kafka: Broker, settings: Settings) -> None:
    kill_and_repeat(kafka.new_topic(f"killed-{secrets.token_hex(4)}"), settings)


@pytest.mark.slow
def test_killed_at_every_step_no_queue_loses_or_doubles_anything(url: str, settings: Settings) -> None:
    kill_and_repeat(url, settings)


def kill_and_repeat(url: str, settings: Settings) -> None:
    environment = dict(os.environ) | {"ONLINEEVAL_HOME": str(settings.home)}

    def run(deadly: str) -> int:
        command = [sys.executable, "-c", DRAIN, url, deadly]
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=False).returncode

    for number, step in enumerate(("written", "renamed", "committed")):
        send(url, [answer(each) for each in range(number * 20, number * 20 + 20)])
        assert run(step) == -signal.SIGKILL
        if step == "renamed":
            taken_in(settings)
    if url.startswith("sqs:"):
        time.sleep(2)  # what a killed drain had in its hands is handed out again
    assert run("nowhere") == 0
    taken_in(settings)
    assert set(responses(settings)) == set(once(range(60)))
    assert [path.name for path in settings.log_folder.iterdir() if path.name.startswith(".")] == []
    if not url.startswith("sqs:"):  # at least once; a day that is built has each event id once
        assert responses(settings) == once(range(60))


def test_the_lake_alone_knows_the_place_when_the_log_is_gone(url: str, settings: Settings) -> None:
    send(url, [answer(number) for number in range(30)])
    drained(settings, url)
    taken_in(settings)
    shutil.rmtree(settings.log_folder)
    assert drained(settings, url) == Drained()
    send(url, [answer(number) for number in range(30, 40)])
    assert drained(settings, url).events == 10
    taken_in(settings)
    assert responses(settings) == once(range(40))


def test_the_log_alone_knows_the_place_before_the_ingest(url: str, settings: Settings) -> None:
    send(url, [answer(number) for number in range(30)])
    drained(settings, url)
    assert drained(settings, url) == Drained()
    taken_in(settings)
    assert responses(settings) == once(range(30))


def test_small_segments_follow_each_other_without_a_gap(url: str, settings: Settings) -> None:
    settings = settings.model_copy(update={"rotate_bytes": 1024})
    send(url, [answer(number) for number in range(60)])
    done = drained(settings, url)
    assert done.events == 60
    assert len(done.segments) > 8
    taken_in(settings)
    assert responses(settings) == once(range(60))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (encode(answer(1)) + encode(answer(2)), "several lines"),
        (b"{not json", "not JSON"),
        (b"[1, 2]", "a JSON list"),
        (b" ", "empty"),
        (b'{"kind": "response", "\xff": 1}', "not JSON"),
    ],
)
def test_a_message_that_is_no_event_is_quarantined_with_its_reason(
    kafka: Broker, settings: Settings, message: bytes, reason: str
) -> None:
    quarantine(kafka.new_topic(f"bad-{secrets.token_hex(4)}"), settings, message, reason)


def test_every_queue_brings_a_message_of_several_lines_into_quarantine(url: str, settings: Settings) -> None:
    quarantine(url, settings, encode(answer(1)) + encode(answer(2)), "several lines")


def quarantine(url: str, settings: Settings, message: bytes, reason: str) -> None:
    send(url, [message, encode(answer(7))])
    done = drained(settings, url)
    assert (done.events, done.refused) == (1, 1)
    taken_in(settings)
    assert responses(settings) == once(range(7, 8))
    (bad,) = table(settings, "quarantine")
    assert reason in bad["reason"]
    assert "; send" in bad["reason"]


def test_a_line_that_sqs_does_not_take_is_refused_before_anything_is_sent(url: str) -> None:
    if not url.startswith("sqs:"):
        pytest.skip("the others take any bytes")
    for line, why in ((b'{"\xff": 1}', "UTF-8"), (b"x" * (2**20 + 1), "shorten")):
        with pytest.raises(QueueError, match=why):
            send(url, [b"{}", line])
    with closing(open_queue(url)) as queue:
        assert [span.waiting for span in queue.spans()] == [0]


def test_what_a_producer_leaves_out_is_told_by_the_message(url: str, settings: Settings) -> None:
    send(url, [b'{"kind":"event","name":"campaign"}'])
    drained(settings, url)
    (line,) = [path.read_bytes() for path in settings.log_folder.glob("*.ndjson")]
    said = orjson.loads(line)
    assert said["event_id"]
    assert said["occurred_at"] == said["received_at"]


def test_personal_data_does_not_reach_the_log(url: str, settings: Settings) -> None:
    send(url, [answer(1, query="I am ann@example.org", user_id="ann"), b"no event of ann@example.org"])
    drained(settings, url)
    written = b"".join(path.read_bytes() for path in settings.log_folder.glob("*.ndjson"))
    assert b"ann@example.org" not in written
    assert b'"ann"' not in written


def test_what_waits_is_counted_and_after_a_drain_nothing_waits(url: str, settings: Settings) -> None:
    lake = Lake(settings.lake_folder)
    send(url, [answer(number) for number in range(12)])
    assert messages_behind(settings, lake, url) == 12
    drained(settings, url)
    assert messages_behind(settings, lake, url) == 0


def test_a_segment_that_was_pruned_is_not_read_again(url: str, settings: Settings) -> None:
    send(url, [answer(number) for number in range(5)])
    drained(settings, url)
    taken_in(settings)
    assert prune(settings, Lake(settings.lake_folder), now=datetime.now(UTC) + timedelta(days=8))
    assert drained(settings, url) == Drained()
