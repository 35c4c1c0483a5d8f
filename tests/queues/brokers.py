"""Brokers for tests, each on ports that the system gave, on loopback."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic


class Broker(Protocol):
    def new_topic(self, name: str) -> str:
        """The address of a topic that was not there before."""
        ...


class KafkaBroker:
    def __init__(self, address: str, *, is_real: bool) -> None:
        self.address, self._is_real = address, is_real

    def new_topic(self, name: str) -> str:
        if self._is_real:
            admin = AdminClient({"bootstrap.servers": self.address})
            admin.create_topics([NewTopic(name, num_partitions=4, replication_factor=1)])[name].result(timeout=20)
        else:  # it makes a topic when one asks for it, and knows no other way
            Producer({"bootstrap.servers": self.address, "log_level": 0}).list_topics(name, timeout=10)
        return f"kafka://{self.address}/{name}"


@contextmanager
def kafka_broker() -> Iterator[KafkaBroker]:
    """The broker of ONLINEEVAL_KAFKA, or librdkafka's mock cluster behind a real socket."""
    real = os.environ.get("ONLINEEVAL_KAFKA")
    if real:
        yield KafkaBroker(real.removeprefix("kafka://"), is_real=True)
        return
    # The cluster lives in the client that asked for it; others connect as to any broker.
    cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (node,) = cluster.list_topics(timeout=10).brokers.values()
    yield KafkaBroker(f"{node.host}:{node.port}", is_real=False)
    del cluster
