"""One suite over every queue: `url` is the address of a new, empty topic of each."""

import secrets
from collections.abc import Iterator

import pytest

from onlineeval_dagster.settings import Settings
from tests.queues.brokers import Broker, kafka_broker, rabbitmq_broker, sqs_broker
from tests.worlds import settings_at

BROKERS = {"kafka": kafka_broker, "rabbitmq": rabbitmq_broker, "sqs": sqs_broker}


@pytest.fixture(scope="session", params=list(BROKERS))
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with BROKERS[request.param]() as started:
        yield started


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    with kafka_broker() as started:
        yield started


@pytest.fixture
def url(broker: Broker) -> str:
    return broker.new_topic(f"shop.events-{secrets.token_hex(4)}")


@pytest.fixture
def settings(tmp_path) -> Settings:
    return settings_at(tmp_path / "home")
