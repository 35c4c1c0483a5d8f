"""Amazon SQS: the only file that knows boto3. At least once: a message is deleted when its segment is on the disk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from onlineeval_dagster.errors import QueueError, SettingsError
from onlineeval_dagster.queues.address import FORMS, Address, identity_of
from onlineeval_dagster.queues.interface import Message, Span

MOST_BYTES = 2**20
"""Largest message, and largest batch, that the service takes (since 2025; 256 KiB before)."""

_A_BATCH = 10
_HIDDEN_SECONDS = 900  # how long a message is ours before it is handed out again
_SECONDS = 15
_OURS = ("endpoint", "generation", "hidden")


class Sqs:
    """One queue, standard or FIFO. Credentials come from where boto3 looks for them; `?endpoint=` for another server.

    `?hidden=` seconds a message is ours before it is handed out again: more than a segment takes.

    The service knows no offsets: ours count what was read here, and stand in the segments' names as any other.
    """

    door = "sqs"
    most_bytes = MOST_BYTES

    def __init__(self, address: Address, *, seconds: int = _SECONDS) -> None:
        if not address.hosts or not address.path:
            raise SettingsError(f"{address.shown}: no region or no queue; write it as {FORMS[2]}")
        if unknown := [name for name in address.options if name not in _OURS]:
            raise SettingsError(f"{address.shown}: ?{unknown[0]}= is unknown; there are {', '.join(_OURS)}")
        self.topic, self.shown = address.path, address.shown
        endpoint, hidden = address.options.get("endpoint"), address.options.get("hidden", str(_HIDDEN_SECONDS))
        if not hidden.isdigit() or not 1 <= int(hidden) <= 43_200:
            raise SettingsError(f"{address.shown}: ?hidden={hidden}; write whole seconds, 1 to 43200")
        self._hidden_seconds = int(hidden)
        self.identity = identity_of(address.hosts, endpoint or "", self.topic, address.options.get("generation", ""))
        config = Config(connect_timeout=seconds, read_timeout=seconds, retries={"max_attempts": 3, "mode": "standard"})
        with self._told("cannot be asked"):
            # A session of its own: boto3's common one is not made for threads.
            self._client: Any = boto3.Session().client(
                "sqs", region_name=address.hosts, endpoint_url=endpoint, config=config
            )
        self._url: str | None = None
        self._receipts: dict[int, str] = {}

    def append(self, lines: Sequence[bytes]) -> None:
        """Raises QueueError before anything is sent where a line is longer than the service takes, or no UTF-8."""
        bodies = [self._body(line) for line in lines]
        for batch in _batches(bodies):
            entries = [self._entry(number, body) for number, body in enumerate(batch)]
            with self._told("takes no lines"):
                answer = self._client.send_message_batch(QueueUrl=self._queue_url(), Entries=entries)
            if failed := answer.get("Failed"):
                raise QueueError(
                    f"{self.shown}: {len(failed)} of {len(batch)} lines were not taken: {failed[0].get('Message')}; "
                    "send them again: an event that arrives twice counts once"
                )

    def spans(self) -> list[Span]:
        with self._told("does not say what it holds"):
            names = ["ApproximateNumberOfMessages"]
            said = self._client.get_queue_attributes(QueueUrl=self._queue_url(), AttributeNames=names)["Attributes"]
        return [Span(partition=0, first=0, end=None, waiting=int(said[names[0]]))]

    def read(self, partition: int, *, start: int, end: int | None) -> Iterator[Message]:  # noqa: ARG002 - there is one
        offset = start
        while end is None or offset < end:
            with self._told("cannot be read"):
                answer = self._client.receive_message(
                    QueueUrl=self._queue_url(),
                    MaxNumberOfMessages=_A_BATCH,
                    VisibilityTimeout=self._hidden_seconds,
                    WaitTimeSeconds=1,  # asks all of the service's servers: without it some messages are not seen
                    AttributeNames=["SentTimestamp"],
                )
            found = answer.get("Messages", [])
            if not found:
                return
            for each in found:
                self._receipts[offset] = each["ReceiptHandle"]
                yield Message(offset, each["Body"].encode("utf-8", "surrogatepass"), _sent_ms(each))
                offset += 1

    def commit(self, partition: int, offset: int) -> None:  # noqa: ARG002 - there is one
        """Delete what was read below `offset`. What cannot be deleted is handed out again, and counts once."""
        done = sorted(each for each in self._receipts if each < offset)
        for begin in range(0, len(done), _A_BATCH):
            batch = done[begin : begin + _A_BATCH]
            entries = [{"Id": str(each), "ReceiptHandle": self._receipts.pop(each)} for each in batch]
            with self._told("does not delete what was read"):
                self._client.delete_message_batch(QueueUrl=self._queue_url(), Entries=entries)

    def close(self) -> None:
        self._client.close()

    def _queue_url(self) -> str:
        if self._url is None:
            self._url = str(self._client.get_queue_url(QueueName=self.topic)["QueueUrl"])
        return self._url

    def _body(self, line: bytes) -> str:
        body = line.removesuffix(b"\n")
        if len(body) > MOST_BYTES:
            most = f"the service takes {MOST_BYTES:,}"
            raise QueueError(f"{self.shown}: a line of {len(body):,} bytes, {most}; shorten its texts")
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise QueueError(f"{self.shown}: a line that is no UTF-8 ({error.reason}); write it as JSON") from error

    def _entry(self, number: int, body: str) -> dict[str, str]:
        entry = {"Id": str(number), "MessageBody": body}
        if self.topic.endswith(".fifo"):
            entry |= {"MessageGroupId": "onlineeval", "MessageDeduplicationId": sha256(body.encode()).hexdigest()}
        return entry

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, ValueError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            remedy = "see that the queue is there and this user may use it, and run again"
            raise QueueError(f"{self.shown}: {what}: {code}; {remedy}") from error


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    """Ten at a time, and no more bytes than the service takes at once."""
    batch: list[str] = []
    size = 0
    for body in bodies:
        length = len(body.encode())
        if batch and (len(batch) == _A_BATCH or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch


def _sent_ms(message: dict[str, Any]) -> int | None:
    milliseconds = message.get("Attributes", {}).get("SentTimestamp")
    return int(milliseconds) if milliseconds else None
