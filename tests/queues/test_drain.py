"""What a drain does when the queue is not as it was: gaps, a topic made anew, a broker that is away, no library."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import QueueError, SettingsError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.drained import drain_into_log
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.log.writer import door_of
from onlineeval_dagster.progress import waiting
from onlineeval_dagster.queues.address import parse_address
from onlineeval_dagster.queues.drain import drain, offsets_read
from onlineeval_dagster.queues.interface import Message, Span
from onlineeval_dagster.queues.kafka import Kafka
from onlineeval_dagster.queues.place import Place, place_of
from onlineeval_dagster.queues.rabbitmq import RabbitMq
from onlineeval_dagster.queues.registry import open_queue
from onlineeval_dagster.queues.sqs import Sqs
from onlineeval_dagster.settings import Settings
from tests.pipeline import table
from tests.queues.brokers import Broker
from tests.worlds import NOW, answer


@dataclass
class FakeQueue:
    """A queue of one partition in memory: `first` is what the broker still has."""

    messages: list[bytes | None] = field(default_factory=list)
    first: int = 0
    door: str = "kafka"
    identity: str = "00c0ffee"
    topic: str = "shop"
    shown: str = "fake://shop"
    committed: int = 0

    def append(self, lines: Sequence[bytes]) -> None:
        self.messages += lines

    def spans(self) -> list[Span]:
        return [Span(partition=0, first=self.first, end=len(self.messages))]

    def read(self, partition: int, *, start: int, end: int | None) -> Iterator[Message]:
        assert end is not None
        for offset in range(start, end):
            if self.messages[offset] is None:  # a mark that no reader sees
                continue
            yield Message(offset, self.messages[offset])
        yield Message(end, None)

    def commit(self, partition: int, offset: int) -> None:
        self.committed = offset

    def close(self) -> None: ...


class AsItIs:
    def clean(self, event: dict[str, Any]) -> dict[str, Any]:
        return event


def drained(queue: FakeQueue, folder: Path, **more: Any):
    return drain(queue, folder, taken=lambda _: (), cleaner=AsItIs(), now=NOW, segment_bytes=2**20, **more)


def lines(*numbers: int) -> list[bytes | None]:
    return [encode(answer(number)) for number in numbers]


def test_messages_that_the_broker_deleted_unread_are_counted(tmp_path: Path) -> None:
    queue = FakeQueue(lines(*range(20)))
    drained(queue, tmp_path)
    queue.messages += lines(*range(20, 40))
    queue.first = 25
    done = drained(queue, tmp_path)
    assert (done.lost, done.events) == (5, 15)
    said = [orjson.loads(line) for line in (tmp_path / done.segments[0]).read_bytes().splitlines()]
    assert [(event["name"], event["value"]) for event in said] == [("onlineeval.queue_gap", 5)]
    assert drained(queue, tmp_path).lost == 0


def test_a_topic_that_was_cut_before_the_first_drain_has_no_gap(tmp_path: Path) -> None:
    queue = FakeQueue(lines(*range(20)), first=12)
    done = drained(queue, tmp_path)
    assert (done.lost, done.events) == (0, 8)


def test_a_gap_with_nothing_behind_it_is_counted_once(tmp_path: Path) -> None:
    queue = FakeQueue(lines(*range(10)))
    drained(queue, tmp_path)
    queue.messages += lines(*range(10, 15))
    queue.first = 15
    assert [drained(queue, tmp_path).lost for _ in range(3)] == [5, 0, 0]


def test_a_gap_reaches_the_lake_as_an_event(tmp_path: Path, settings: Settings) -> None:
    queue = FakeQueue(lines(*range(3)))
    drained(queue, settings.log_folder)
    queue.messages += lines(*range(3, 9))
    queue.first = 7
    drained(queue, settings.log_folder)
    ingest(settings, Lake(settings.lake_folder), now=NOW)
    (gap,) = table(settings, "events")
    assert (gap["name"], gap["value"], door_of(gap["log_segment"])) == ("onlineeval.queue_gap", 4, "kafka")


def test_a_topic_made_anew_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    drained(FakeQueue(lines(*range(20))), tmp_path)
    with pytest.raises(QueueError, match="generation=2"):
        drained(FakeQueue(lines(*range(5))), tmp_path)


def test_the_same_topic_of_another_broker_is_another_one(tmp_path: Path) -> None:
    drained(FakeQueue(lines(*range(20))), tmp_path)
    assert drained(FakeQueue(lines(*range(5)), identity="ba5eba11"), tmp_path).events == 5


def test_offsets_that_hold_no_message_are_passed(tmp_path: Path) -> None:
    queue = FakeQueue([*lines(0, 1), None, *lines(2), None, None])
    assert drained(queue, tmp_path).events == 3
    assert offsets_read(queue, tmp_path, lambda _: ()) == {0: 6}


def test_the_broker_hears_of_what_is_safe_only_after_it_is(tmp_path: Path) -> None:
    queue = FakeQueue(lines(*range(20)))
    heard: list[tuple[str, int]] = []
    drained(queue, tmp_path, checkpoint=lambda step: heard.append((step, queue.committed)))
    assert heard == [("written", 0), ("renamed", 0), ("committed", 20)]


def test_what_a_killed_drain_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".kafka.00c0ffee-0.draft"
    left.write_bytes(b"half a li")
    drained(FakeQueue(lines(1)), tmp_path)
    assert not left.exists()


@pytest.mark.parametrize("topic", ["shop", "shop-1-2-3", "a.b-4.ndjson", "größe/x", "x" * 300])
def test_a_segments_name_tells_its_place(topic: str) -> None:
    place = Place(door="rabbitmq", identity="00c0ffee", topic=topic, partition=7, start=10, end=2**62)
    found = place_of(place.segment)
    assert found is not None
    assert (found.door, found.identity, found.partition) == (place.door, place.identity, place.partition)
    assert (found.start, found.end) == (place.start, place.end)
    assert len(place.segment.encode()) < 250
    assert door_of(place.segment) == "rabbitmq"


@pytest.mark.parametrize("name", ["sdk.host-1a2b3c4d-20261123T080000000000Z.ndjson", "chats.ndjson", "a-1-2-3.ndjson"])
def test_other_segments_have_no_place(name: str) -> None:
    assert place_of(name) is None


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (Kafka, "kafka://u:secret@127.0.0.1:1/topic?security.protocol=sasl_plaintext&sasl.mechanism=PLAIN"),
        (RabbitMq, "amqp://u:secret@127.0.0.1:1/?stream=s"),
        (Sqs, "sqs://us-east-1/q?endpoint=http%3A%2F%2F127.0.0.1%3A1"),
    ],
)
def test_a_broker_that_is_away_is_named_without_its_password(
    kind: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with closing(kind(parse_address(url), seconds=1)) as queue:
        for ask in (queue.spans, lambda: queue.append([b"{}"])):
            with pytest.raises(QueueError, match=r"; see that") as failed:
                ask()
            assert "secret" not in str(failed.value)
            assert url[:5] in str(failed.value)


@pytest.mark.parametrize(
    "url", ["", "shop", "nats://h/t", "kafka://h:9092", "kafka:///t", "kafka://h/t?acks=1", "amqp://h/", "sqs://eu/"]
)
def test_an_address_that_is_none_is_told_with_the_right_form(url: str) -> None:
    with pytest.raises(SettingsError, match=r"write it as|there are"):
        open_queue(url).spans()


def test_a_secret_of_the_address_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "p@ss/w:rd")
    address = parse_address("kafka://ann:${BROKER_PASSWORD}@h1:9092,h2:9092/shop")
    assert (address.user, address.password, address.hosts) == ("ann", "p@ss/w:rd", "h1:9092,h2:9092")
    assert "p@ss" not in f"{address!r} {address.shown}"


@pytest.mark.parametrize(
    ("library", "url", "extra"),
    [
        ("confluent_kafka", "kafka://h/t", "kafka"),
        ("pika", "amqp://h/?stream=s", "rabbitmq"),
        ("boto3", "sqs://r/q", "sqs"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(library: str, url: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from onlineeval_dagster.errors import SettingsError\n"
        "from onlineeval_dagster.queues.registry import open_queue\n"
        f"try: open_queue({url!r})\n"
        "except SettingsError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"pip install 'onlineeval-dagster[{extra}]'" in said


def test_a_run_says_how_much_waits_in_the_queue(kafka: Broker, settings: Settings) -> None:
    url = kafka.new_topic("waiting")
    with closing(open_queue(url)) as queue:
        queue.append([encode(answer(number)) for number in range(4)])
    configured = settings.model_copy(update={"queue": url})
    catalog = load_catalog(settings.catalog)
    assert "4 messages of the queue to drain" in waiting(configured, catalog, now=NOW)
    assert not any("queue" in line for line in waiting(settings, catalog, now=NOW))


def test_what_kafka_deleted_unread_and_what_was_read_make_what_was_sent(kafka: Broker, settings: Settings) -> None:
    url, lake = kafka.new_topic("cut"), Lake(settings.lake_folder)
    sent, events = 0, 0
    with closing(open_queue(url)) as queue:
        for size in (
            100,
            100_000,
        ):  # the mock cluster keeps some 5 MB a partition; a real broker deletes nothing so soon
            queue.append([encode(answer(number, response="x" * size)) for number in range(400)])
            sent += 400
            if size == 100:
                events += drain_into_log(settings, lake, url, now=NOW).events
    done = drain_into_log(settings, lake, url, now=NOW)
    assert events + done.events + done.lost == sent
    assert done.lost > 0 or "ONLINEEVAL_KAFKA" in os.environ
