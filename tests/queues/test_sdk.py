"""The SDK over a queue: what it acknowledged comes out of the broker once, a kill in between or not."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.drained import drain_into_log
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.queues.registry import open_queue
from onlineeval_dagster.queues.transport import QueueDestination, queue_transport
from onlineeval_dagster.settings import Settings
from tests.collector.collectors import ROOT
from tests.pipeline import table
from tests.queues.brokers import Broker

KILLED = """
import os, signal, sys
from pathlib import Path
from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.queues.transport import queue_transport
client = Client(transport=queue_transport("kafka://127.0.0.1:1/nowhere", spool=Path(sys.argv[1])))
for number in range(20):
    assert client.track_response(response_id=f"r{number}", query="Where is it?", response="On its way.")
os.kill(os.getpid(), signal.SIGKILL)
"""


def arrived(settings: Settings, url: str) -> list[str]:
    lake = Lake(settings.lake_folder)
    drain_into_log(settings, lake, url, now=datetime.now(UTC))
    ingest(settings, lake, now=datetime.now(UTC))
    return sorted(row["response_id"] for row in table(settings, "responses"))


def test_what_a_product_tracks_comes_out_of_the_queue_once(url: str, settings: Settings, tmp_path: Path) -> None:
    client = Client(transport=queue_transport(url, spool=tmp_path / "spool"))
    for number in range(30):
        assert client.track_response(response_id=f"r{number}", query="Where is it?", response="On its way.")
    client.close()
    assert (client.counters.shipped, client.counters.waiting, client.counters.errors) == (30, 0, 0)
    assert arrived(settings, url) == sorted(f"r{number}" for number in range(30))


def test_what_a_killed_product_left_in_its_spool_the_next_one_ships(
    kafka: Broker, settings: Settings, tmp_path: Path
) -> None:
    url, spool = kafka.new_topic("left"), tmp_path / "spool"
    process = subprocess.run([sys.executable, "-c", KILLED, spool], cwd=ROOT, env=dict(os.environ), timeout=60)
    assert process.returncode == -signal.SIGKILL
    client = Client(transport=queue_transport(url, spool=spool))
    client.track_response(response_id="next", query="And now?", response="Here.")
    client.close()
    assert arrived(settings, url) == sorted(["next", *(f"r{number}" for number in range(20))])


def test_a_line_that_no_message_can_hold_is_refused_and_the_others_go_out(kafka: Broker) -> None:
    queue = open_queue(kafka.new_topic("long"))
    destination = QueueDestination(queue)
    answer = destination.post([b"{}", b"x" * (queue.most_bytes + 1)], timeout=10)
    assert answer.outcome == "taken"
    assert [index for index, _ in answer.refused] == [1]
    destination.close()
