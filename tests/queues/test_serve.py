"""`onlineeval serve --queue`: what the collector acknowledged is with the broker, and a drain brings it to the lake."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import httpx

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.drained import drain_into_log
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.queues.registry import open_queue
from onlineeval_dagster.queues.transport import QueueSink
from onlineeval_dagster.settings import Settings
from tests.collector.collectors import RESPONSE, ROOT
from tests.pipeline import table
from tests.queues.brokers import Broker
from tests.worlds import NOW


@contextmanager
def serving_to(url: str, settings: Settings) -> Iterator[str]:
    command = [sys.executable, "-m", "onlineeval_dagster.cli", "serve", "--port", "0", "--queue", url]
    environment = os.environ | {"ONLINEEVAL_HOME": str(settings.home)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().partition(" ")[2].partition(",")[0]
    finally:
        process.kill()
        process.wait(10)


def test_what_was_acknowledged_before_a_kill_comes_out_of_the_queue(url: str, settings: Settings) -> None:
    events = [RESPONSE | {"response_id": f"r{number}"} for number in range(20)]
    with serving_to(url, settings) as address:
        said = httpx.post(f"{address}/v1/events", json=events, timeout=30)
        assert said.json()["accepted"] == 20, said.text
    assert not settings.log_folder.exists()
    drain_into_log(settings, Lake(settings.lake_folder), url, now=NOW)
    ingest(settings, Lake(settings.lake_folder), now=datetime.now(UTC))
    assert sorted(row["response_id"] for row in table(settings, "responses")) == sorted(f"r{i}" for i in range(20))


def test_an_append_returns_when_the_broker_has_every_line(kafka: Broker) -> None:
    url = kafka.new_topic("acknowledged")
    with closing(open_queue(url)) as queue:
        QueueSink(queue).append(b'{"a":1}\n{"b":2}\n')
        spans = queue.spans()
        values = [each.value for s in spans for each in queue.read(s.partition, start=s.first, end=s.end)]
    assert sorted(value for value in values if value is not None) == [b'{"a":1}', b'{"b":2}']
