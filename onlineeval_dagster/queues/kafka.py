"""Kafka: the only file that knows confluent_kafka. Lines in with an idempotent producer, out by offsets of our own."""

import re
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from onlineeval_dagster.errors import QueueError, SettingsError
from onlineeval_dagster.queues.address import FORMS, Address, identity_of
from onlineeval_dagster.queues.interface import Message, Span

_OURS = ("group", "generation")
_SECONDS = 15.0
_AT_ONCE = 1000
_LARGEST, _FRAME = 1_000_000, 1_000  # librdkafka's own limit of a message, and what it adds to one
_PATIENCE = 0.2
# What is told of one response stays in order: response, actions, verdicts. Quotes inside a text are escaped: no match.
_KEY = re.compile(rb'"response_id":"([^"\\]+)"')
_ELSE_KEY = re.compile(rb'"(?:trace_id|session_id)":"([^"\\]+)"')


class Kafka:
    """One topic. `address.options` with a dot in their name are librdkafka's own settings (`ssl.ca.location` …).

    seconds  how long the broker may say nothing before that is an error
    """

    door = "kafka"

    def __init__(self, address: Address, *, seconds: float = _SECONDS) -> None:
        if not address.hosts or not address.path or "/" in address.path:
            raise SettingsError(f"{address.shown}: no broker or no topic; write it as {FORMS[0]}")
        self.topic, self.shown = address.path, address.shown
        largest = address.options.get("message.max.bytes", str(_LARGEST))
        self.most_bytes = (int(largest) if largest.isdigit() else _LARGEST) - _FRAME
        self._address, self._seconds = address, seconds
        self._told: KafkaError | None = None
        self._settings = _client_settings(address) | {"error_cb": self._hear, "log_level": 0}
        self._group = address.options.get("group", "onlineeval")
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._identity: str | None = None

    @property
    def identity(self) -> str:
        """Of the cluster's own id, so that another name of the same broker is the same topic."""
        if self._identity is None:
            found = self._metadata()
            cluster = getattr(found, "cluster_id", None) or self._address.hosts
            self._identity = identity_of(cluster, self.topic, self._address.options.get("generation", ""))
        return self._identity

    def append(self, lines: Sequence[bytes]) -> None:
        failed: list[KafkaError] = []
        arrived = 0

        def heard(error: KafkaError | None, _: KafkaMessage) -> None:
            nonlocal arrived
            arrived += error is None
            if error is not None:
                failed.append(error)

        try:
            producer = self._sending()
            for line in lines:
                self._produce(producer, line, heard)
            producer.flush(self._seconds + 5)
        except (KafkaException, BufferError) as error:
            raise self._failure("takes no lines", error) from error
        if arrived != len(lines):
            raise self._failure(f"acknowledged {arrived} of {len(lines)} lines", failed[0] if failed else self._told)

    def spans(self) -> list[Span]:
        partitions = self._metadata().topics[self.topic].partitions
        return [self._span(partition) for partition in sorted(partitions)]

    def read(self, partition: int, *, start: int, end: int | None) -> Iterator[Message]:
        if end is None or start >= end:
            return
        consumer = self._reading()
        try:
            consumer.assign([TopicPartition(self.topic, partition, start)])
            yield from self._until(consumer, partition, start, end)
        except KafkaException as error:
            raise self._failure(f"partition {partition} cannot be read at offset {start}", error) from error
        finally:
            consumer.unassign()

    def commit(self, partition: int, offset: int) -> None:
        try:
            self._reading().commit(offsets=[TopicPartition(self.topic, partition, offset)], asynchronous=False)
        except KafkaException:
            # A courtesy to those who watch the group's lag: our offsets stand in the log.
            return

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _until(self, consumer: Consumer, partition: int, start: int, end: int) -> Iterator[Message]:
        heard_at, at = monotonic(), start
        while at < end:
            # Where a transaction's marks fill offsets there are fewer messages than offsets: do not wait for them long.
            found = consumer.consume(min(_AT_ONCE, end - at), timeout=_PATIENCE)
            if found:
                heard_at = monotonic()
            elif monotonic() - heard_at > self._seconds:
                raise self._failure(f"said nothing for {self._seconds:g} seconds", self._told)
            for each in found:
                if each.partition() not in (partition, -1):
                    continue  # word of the partition that was read before
                error, offset = each.error(), each.offset() or 0
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if error is not None:
                    yield Message(offset, None)
                    return
                if offset < end:
                    yield Message(offset, each.value() or b"", _sent_ms(each))
                at = offset + 1

    def _span(self, partition: int) -> Span:
        try:
            first, end = self._reading().get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=self._seconds
            )
        except KafkaException as error:
            raise self._failure(f"partition {partition} does not say what it holds", error) from error
        return Span(partition=partition, first=first, end=end)

    def _metadata(self) -> Any:
        try:
            found = self._reading().list_topics(self.topic, timeout=self._seconds)
        except KafkaException as error:
            raise self._failure("does not answer", self._told or error) from error
        if (wrong := found.topics[self.topic].error) is not None:
            raise self._failure(f"topic {self.topic} cannot be had", wrong)
        return found

    def _produce(self, producer: Producer, line: bytes, heard: Any) -> None:
        while True:
            try:
                producer.produce(self.topic, line.removesuffix(b"\n"), key=key_of(line), on_delivery=heard)
                return
            except BufferError:
                producer.poll(_PATIENCE)

    def _reading(self) -> Consumer:
        if self._consumer is None:
            ours = {
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",  # what is gone is counted, never skipped
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 50,  # we read to a known end; a fetch that waits holds up the next partition
            }
            self._consumer = Consumer(self._settings | ours)
        return self._consumer

    def _sending(self) -> Producer:
        if self._producer is None:
            ours = {
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "delivery.timeout.ms": int(self._seconds * 1000),
            }
            self._producer = Producer(self._settings | ours)
        return self._producer

    def _hear(self, error: KafkaError) -> None:
        self._told = error

    def _failure(self, what: str, error: Any) -> QueueError:
        # A message that was refused in another's callback has no cause; a client's own words name broker and port only.
        error = error.args[0] if isinstance(error, KafkaException) else error
        why = error.str() if isinstance(error, KafkaError) else str(error or "no answer")
        return QueueError(f"{self.shown}: {what}: {why}; see that the broker runs and lets this user in, and run again")


def key_of(line: bytes) -> bytes | None:
    """What a line of the log belongs to: its response, else its trace or session; None lets the broker choose.

    >>> key_of(b'{"kind":"action","session_id":"s1","response_id":"r1"}'), key_of(b'{"kind":"deploy"}')
    (b'r1', None)
    """
    found = _KEY.search(line) or _ELSE_KEY.search(line)
    return found[1] if found else None


def _client_settings(address: Address) -> dict[str, Any]:
    unknown = [name for name in address.options if "." not in name and name not in _OURS]
    if unknown:
        told = f"{address.shown}: ?{unknown[0]}= is unknown"
        raise SettingsError(f"{told}; there are {', '.join(_OURS)} and librdkafka's settings, such as ssl.ca.location")
    given: dict[str, Any] = {"bootstrap.servers": address.hosts}
    if address.user is not None:
        given |= {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
        given |= {"sasl.username": address.user, "sasl.password": address.password or ""}
    return given | {name: value for name, value in address.options.items() if "." in name}


def _sent_ms(message: KafkaMessage) -> int | None:
    kind, milliseconds = message.timestamp()
    return milliseconds if kind and milliseconds > 0 else None
