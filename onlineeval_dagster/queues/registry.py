"""A queue by its address. Each client library is loaded here, by its one file, and only when it is asked for."""

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.queues.address import FORMS, Address, parse_address
from onlineeval_dagster.queues.interface import Queue

SCHEMES = {"kafka": "kafka", "amqp": "rabbitmq", "amqps": "rabbitmq", "sqs": "sqs"}
"""The extra that a scheme needs."""


def open_queue(url: str) -> Queue:
    """The queue at `url`; connects when it is first asked something. The caller closes it. Raises SettingsError."""
    address = parse_address(url)
    if address.scheme not in SCHEMES:
        raise SettingsError(f"queue address: {address.scheme or 'no'} scheme; write it as in {' or '.join(FORMS)}")
    try:
        return _opened(address)
    except ImportError as error:
        extra = SCHEMES[address.scheme]
        told = f"{address.shown}: the library for {extra} is not installed"
        raise SettingsError(f"{told}; pip install 'onlineeval-dagster[{extra}]'") from error


def _opened(address: Address) -> Queue:
    if address.scheme == "kafka":
        from onlineeval_dagster.queues.kafka import Kafka

        return Kafka(address)
    if address.scheme == "sqs":
        from onlineeval_dagster.queues.sqs import Sqs

        return Sqs(address)
    from onlineeval_dagster.queues.rabbitmq import RabbitMq

    return RabbitMq(address)
