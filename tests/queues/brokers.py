"""Brokers for tests, each on ports that the system gave, on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import boto3
import pika
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from moto.server import ThreadedMotoServer
from pika.exceptions import AMQPError


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


class RabbitBroker:
    def __init__(self, address: str) -> None:
        self.address = address

    def new_topic(self, name: str, **arguments: int) -> str:
        connection = pika.BlockingConnection(pika.URLParameters(f"{self.address}/%2F"))
        connection.channel().queue_declare(name, durable=True, arguments={"x-queue-type": "stream", **arguments})
        connection.close()
        return f"{self.address}/?stream={name}"


@contextmanager
def rabbitmq_broker() -> Iterator[RabbitBroker]:
    """A RabbitMQ of our own: its node name, folders, ports and epmd are nobody else's."""
    server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's /usr/sbin wrapper changes to another user
    if not server.exists():
        pytest.skip("no rabbitmq-server here: apt-get install rabbitmq-server")
    folder = Path(tempfile.mkdtemp(prefix="rabbit"))
    amqp, distribution, epmd = (_free_port() for _ in range(3))
    settings = f"listeners.tcp.default = 127.0.0.1:{amqp}\ndisk_free_limit.absolute = 50MB\n"
    (folder / "rabbitmq.conf").write_text(settings)
    (folder / "plugins").write_text("[].\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),  # Erlang's cookie
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_NODENAME": f"test{amqp}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    address = f"amqp://guest:guest@127.0.0.1:{amqp}"
    # Its own epmd, in the foreground: the one that Erlang starts by itself would outlive the test.
    names = subprocess.Popen(["epmd", "-port", str(epmd)], env=environment)
    with (folder / "output").open("wb") as output:
        node = subprocess.Popen([server], env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        _wait_for(address, node, folder / "output")
        yield RabbitBroker(address)
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        names.kill()
        node.wait(20)
        names.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


class SqsBroker:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def new_topic(self, name: str) -> str:
        name = name.replace(".", "_")
        boto3.Session().client("sqs", region_name="us-east-1", endpoint_url=self.endpoint).create_queue(QueueName=name)
        return f"sqs://us-east-1/{name}?hidden=2&endpoint={quote(self.endpoint, safe='')}"


@contextmanager
def sqs_broker() -> Iterator[SqsBroker]:
    """moto's server, which speaks SQS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        host, port = server.get_host_and_port()
        yield SqsBroker(f"http://{host}:{port}")
    server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]


def _wait_for(address: str, node: subprocess.Popen[bytes], output: Path) -> None:
    for _ in range(300):
        try:
            pika.BlockingConnection(pika.URLParameters(f"{address}/%2F")).close()
            return
        except (AMQPError, OSError):
            time.sleep(0.2)
        if node.poll() is not None:
            break
    raise AssertionError(f"RabbitMQ did not start: {output.read_text()}")
