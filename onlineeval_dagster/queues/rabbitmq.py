"""RabbitMQ streams over AMQP: the only file that knows pika. A stream keeps its messages, each at its offset."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from onlineeval_dagster.errors import QueueError, SettingsError
from onlineeval_dagster.log.reader import LINE_LIMIT
from onlineeval_dagster.queues.address import FORMS, Address, identity_of
from onlineeval_dagster.queues.interface import Message, Span

_PREFETCH = 1000
_ACK_EACH = 200  # acknowledging gives the broker credit to send more, and costs a frame
_QUIET_SECONDS = 0.3
_SECONDS = 15.0
_STREAM = {"x-queue-type": "stream"}
_OFFSET = "x-stream-offset"


class RabbitMq:
    """One stream. AMQP tells neither its end nor its cluster: the end is where it falls silent, the host stands for it.

    seconds  how long the broker may say nothing before that is an error
    """

    door = "rabbitmq"
    most_bytes = LINE_LIMIT

    def __init__(self, address: Address, *, seconds: float = _SECONDS) -> None:
        if not address.hosts:
            raise SettingsError(f"{address.shown}: no broker; write it as {FORMS[1]}")
        self.topic, self.shown = address.option("stream"), f"{address.shown}?stream={address.options['stream']}"
        self.identity = identity_of(
            address.hosts, address.path or "/", self.topic, address.options.get("generation", "")
        )
        self._address, self._seconds = address, seconds
        self._sending: tuple[pika.BlockingConnection, BlockingChannel] | None = None

    def append(self, lines: Sequence[bytes]) -> None:
        """Makes the stream where it is not there yet. One confirmation a line: some 1,500 lines a second."""
        try:
            self._append(lines)
        except AMQPError as first:
            self.close()  # an idle connection is cut by either side; what arrived twice counts once by its event id
            try:
                self._append(lines)
            except AMQPError as error:
                raise self._failure("takes no lines", error) from first

    def spans(self) -> list[Span]:
        with self._told("does not say what it holds"):
            first = next(self._from("first", prefetch=1, quiet=_QUIET_SECONDS * 3), None)
            if first is None:
                return [Span(partition=0, first=0, end=0)]
            last = first
            for last in self._from("last", prefetch=_PREFETCH, quiet=_QUIET_SECONDS):  # noqa: B007 - the last one counts
                pass
            return [Span(partition=0, first=first.offset, end=last.offset + 1)]

    def read(self, partition: int, *, start: int, end: int | None) -> Iterator[Message]:  # noqa: ARG002 - there is one
        if end is None or start >= end:
            return
        with self._told(f"cannot be read at offset {start}"):
            at = start
            for message in self._from(start, prefetch=_PREFETCH, quiet=self._seconds):
                if at == start and message.offset > start:
                    raise QueueError(f"{self.shown}: offset {start} was deleted while it was being read; run again")
                if message.offset >= end:
                    return
                if message.offset >= start:
                    yield message
                    at = message.offset + 1
                if at >= end:
                    return
            raise QueueError(
                f"{self.shown}: said nothing for {self._seconds:g} seconds; see that it is well, run again"
            )

    def commit(self, partition: int, offset: int) -> None:
        """Streams keep what is read, and AMQP has no place for an offset."""

    def close(self) -> None:
        if self._sending is not None:
            with suppress(AMQPError):
                self._sending[0].close()
            self._sending = None

    def _append(self, lines: Sequence[bytes]) -> None:
        if self._sending is None:
            connection = self._connected()
            self._make_stream(connection)
            channel = connection.channel()
            channel.confirm_delivery()
            self._sending = connection, channel
        for line in lines:
            self._sending[1].basic_publish("", self.topic, line.removesuffix(b"\n"), mandatory=True)

    def _make_stream(self, connection: pika.BlockingConnection) -> None:
        try:
            connection.channel().queue_declare(self.topic, passive=True)
        except ChannelClosedByBroker:
            connection.channel().queue_declare(self.topic, durable=True, arguments=_STREAM)

    def _from(self, offset: int | str, *, prefetch: int, quiet: float) -> Iterator[Message]:
        """Messages from `offset` on, until none came for `quiet` seconds."""
        connection = self._connected()
        try:
            channel, arrived = connection.channel(), []
            channel.basic_qos(prefetch_count=prefetch)

            def heard(_: Any, method: Any, properties: Any, body: bytes) -> None:
                arrived.append((method.delivery_tag, Message(properties.headers[_OFFSET], body)))

            channel.basic_consume(self.topic, heard, arguments={_OFFSET: offset})
            until, unacknowledged = monotonic() + quiet, 0
            while monotonic() < until:
                connection.process_data_events(_QUIET_SECONDS)  # pyright: ignore[reportArgumentType]
                got, arrived[:] = list(arrived), []
                for tag, message in got:
                    yield message
                    unacknowledged += 1
                    if unacknowledged >= min(_ACK_EACH, prefetch):
                        channel.basic_ack(tag, multiple=True)
                        unacknowledged = 0
                if got:
                    until = monotonic() + quiet
        finally:
            # pika hands back what was not acknowledged, which a stream refuses by ending the connection: as we wish.
            with suppress(AMQPError):
                connection.close()

    def _connected(self) -> pika.BlockingConnection:
        parameters = _parameters(self._address, self._seconds)
        return pika.BlockingConnection(parameters)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except AMQPError as error:
            raise self._failure(what, error) from error

    def _failure(self, what: str, error: AMQPError) -> QueueError:
        why = getattr(error, "reply_text", None) or type(error).__name__
        return QueueError(f"{self.shown}: {what}: {why}; see that the broker runs and lets this user in, and run again")


def _parameters(address: Address, seconds: float) -> pika.ConnectionParameters:
    host, _, port = address.hosts.rpartition(":") if ":" in address.hosts else (address.hosts, "", "")
    encrypted = address.scheme == "amqps"
    if port and not port.isdigit():
        raise SettingsError(f"{address.shown}: port {port!r} is no number; write it as {FORMS[1]}")
    more: dict[str, Any] = {}
    if encrypted:
        import ssl

        more["ssl_options"] = pika.SSLOptions(ssl.create_default_context(), host)
    return pika.ConnectionParameters(
        host=host,
        port=int(port) if port else (5671 if encrypted else 5672),
        virtual_host=address.path or "/",
        credentials=pika.PlainCredentials(address.user or "guest", address.password or "guest"),
        socket_timeout=seconds,
        blocked_connection_timeout=seconds,
        **more,
    )
