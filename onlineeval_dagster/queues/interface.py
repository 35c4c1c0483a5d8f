"""What every queue can do for us: take lines, say what it holds, give it from an offset on, hear how far we are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """One message of a partition.

    value    its bytes; None for no message at all, only word that everything below `offset` was read
    sent_ms  when the broker or the producer says it was sent, milliseconds since 1970
    """

    offset: int
    value: bytes | None
    sent_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a partition holds now: offsets [first, end). `end` is None where the broker knows no offsets (SQS).

    waiting  how many messages are there, where offsets do not say it
    """

    partition: int
    first: int
    end: int | None
    waiting: int = 0


class Queue(Protocol):
    """A topic, stream or queue of one broker. Every method raises QueueError with place and remedy, never a password.

    door        kafka, rabbitmq or sqs: the log's door for what comes out of it
    identity    8 hex digits of broker and topic: the same topic elsewhere, or made anew, is another one
    topic       its name
    shown       its address without user and password
    most_bytes  the longest line that it takes
    """

    @property
    def door(self) -> str: ...

    @property
    def identity(self) -> str: ...

    @property
    def topic(self) -> str: ...

    @property
    def shown(self) -> str: ...

    @property
    def most_bytes(self) -> int: ...

    def append(self, lines: Sequence[bytes]) -> None:
        """Send each line as one message; returns once the broker has acknowledged all of them."""
        ...

    def spans(self) -> list[Span]:
        """Every partition and what it holds now."""
        ...

    def read(self, partition: int, *, start: int, end: int | None) -> Iterator[Message]:
        """The messages of [start, end), in order; without `end` those that are there. Ends, never waits for more."""
        ...

    def commit(self, partition: int, offset: int) -> None:
        """Tell the broker that everything below `offset` is safe with us. A courtesy, except where it deletes (SQS)."""
        ...

    def close(self) -> None: ...
