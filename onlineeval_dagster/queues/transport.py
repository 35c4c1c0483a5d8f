"""A queue instead of the log: what a collector's sink writes goes to the broker, and is acknowledged by it."""

from onlineeval_dagster.errors import LogError, QueueError
from onlineeval_dagster.queues.interface import Queue


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
