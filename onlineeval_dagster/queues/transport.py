"""A queue instead of the log: for a collector's sink, and for the SDK of a product.

    client = Client(transport=queue_transport("kafka://broker:9092/answers", spool=Path("/var/lib/shop/spool")))

The SDK's lines go to the spool on the product's own disk first, as for a collector; a thread brings them to the broker.
"""

from pathlib import Path
from typing import Any

from onlineeval_dagster.collector.http_transport import SpooledTransport
from onlineeval_dagster.collector.shipping import Answer
from onlineeval_dagster.errors import LogError, QueueError
from onlineeval_dagster.queues.interface import Queue
from onlineeval_dagster.queues.registry import open_queue

_left_behind: list[Queue] = []
"""The parent's clients in a forked child: ending one would wait for threads that are not there."""


class QueueSink:
    """Stands where a `log.writer.SegmentWriter` would. For one thread; the caller closes the queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def append(self, lines: bytes) -> None:
        """Send whole lines, a message each; returns when the broker has all of them. Raises LogError: send them again.

        Some of them may have arrived nevertheless; an event that comes twice counts once.
        """
        try:
            self._queue.append([line for line in lines.split(b"\n") if line])
        except QueueError as error:
            raise LogError(str(error)) from error

    def sync(self) -> None:
        """Nothing to do: `append` waits for the broker."""

    def rotate(self) -> None:
        """Nothing to do: a queue has no segments."""

    def seal(self) -> None:
        """Nothing to hand over."""


class QueueDestination:
    """Where a `SpooledTransport` ships to: a queue. A batch is taken as a whole, once the broker has all of it."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.place = queue.shown

    def post(self, lines: list[bytes], *, timeout: float) -> Answer:  # noqa: ARG002 - the queue has its own patience
        """Send each line as a message. Lines that no message can hold are refused, the others go out."""
        most = self._queue.most_bytes
        long = [index for index, line in enumerate(lines) if len(line) > most]
        reason = f"longer than the {most:,} bytes that a message may have; shorten its texts"
        try:
            self._queue.append([line for line in lines if len(line) <= most])
        except QueueError as error:
            return Answer("later", said=str(error))
        return Answer("taken", refused=[(index, reason) for index in long])

    def close(self) -> None:
        self._queue.close()

    def forget(self) -> None:
        """In a forked child: keep the parent's client as it is, untouched."""
        _left_behind.append(self._queue)


def queue_transport(url: str, *, spool: Path, **options: Any) -> SpooledTransport:
    """A transport of the SDK to the queue at `url`; `options` as of `SpooledTransport`.

    Raises SettingsError where the address is wrong or the queue's library is not installed.
    """
    return SpooledTransport(lambda: QueueDestination(open_queue(url)), spool, **options)
