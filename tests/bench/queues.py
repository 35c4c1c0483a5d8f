"""How fast a drain is, beside a bare consumer loop over the same messages of the same broker in the same run.

    python -m tests.bench queues      (ONLINEEVAL_KAFKA=host:9092 for a real broker)

librdkafka's mock cluster keeps some 5 MB a partition, so a round is small there, and rounds are added up.
"""

import os
import secrets
import shutil
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
from confluent_kafka import Consumer, TopicPartition

from onlineeval_dagster.privacy.policy import Privacy, load_privacy
from onlineeval_dagster.queues.drain import Drained, drain
from onlineeval_dagster.queues.interface import Queue, Span
from onlineeval_dagster.queues.registry import open_queue
from onlineeval_dagster.settings import load_settings
from tests.bench.ingest import events
from tests.bench.measured import Measured
from tests.queues.brokers import kafka_broker


def queues(scratch: Path) -> list[Measured]:
    """Messages of 1.3 KB out of Kafka: a drain with privacy, fsync and rename, against a bare consumer loop."""
    is_real = bool(os.environ.get("ONLINEEVAL_KAFKA"))
    messages, rounds = (200_000, 3) if is_real else (6_000, 12)
    settings = load_settings(home=scratch / "queues")
    privacy = load_privacy(settings)
    lines = [_as_collected(line, privacy) for line in events(np.random.default_rng(7), messages)]
    total = 0
    took = {"bare": 0.0, "drain": 0.0, "append": 0.0}
    for name in range(rounds):
        shutil.rmtree(settings.log_folder, ignore_errors=True)
        with kafka_broker() as broker:
            url = broker.new_topic(f"bench-{name}-{secrets.token_hex(4)}")
            with closing(open_queue(url)) as queue:
                queue.append(lines[:1])  # both clients are connected before the clock runs
                started = time.perf_counter()
                queue.append(lines[1:])
                took["append"] += time.perf_counter() - started
                spans = queue.spans()
                took["bare"] += _bare(broker.address, queue.topic, spans)
                started = time.perf_counter()
                done = _drained(queue, settings.log_folder, privacy)
                took["drain"] += time.perf_counter() - started
                held = sum(span.end - span.first for span in spans if span.end is not None)
                assert done.events + done.refused == held
                total += held
    shutil.rmtree(settings.home)
    kind = "a real broker" if is_real else "mock cluster"
    return [
        Measured(name="drain / bare consumer loop, speed", value=took["bare"] / took["drain"], unit="×", note=kind),
        Measured(name="  drain, messages", value=total / took["drain"], unit="/s"),
        Measured(name="  bare loop, messages", value=total / took["bare"], unit="/s"),
        Measured(
            name="  append, acknowledged by the broker", value=(messages - 1) * rounds / took["append"], unit="/s"
        ),
    ]


def _as_collected(line: bytes, privacy: Privacy) -> bytes:
    """The line as the collector sends it; one that is no JSON as it is."""
    try:
        return orjson.dumps(privacy.clean(orjson.loads(line)))
    except orjson.JSONDecodeError:
        return line


def _drained(queue: Queue, folder: Path, privacy: Privacy) -> Drained:
    return drain(queue, folder, taken=lambda _: (), cleaner=privacy, now=datetime.now(UTC), segment_bytes=64 * 2**20)


def _bare(address: str, topic: str, spans: list[Span]) -> float:
    """Seconds to consume everything, and do nothing with it."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bare", "enable.auto.commit": False})
    consumer.list_topics(topic, timeout=10)
    left = sum(span.end - span.first for span in spans if span.end is not None)
    started = time.perf_counter()
    consumer.assign([TopicPartition(topic, span.partition, span.first) for span in spans])
    while left:
        left -= len(consumer.consume(min(1000, left), timeout=5))
    seconds = time.perf_counter() - started
    consumer.close()
    return seconds
