"""A message of a queue → one line of the log: an event as it came, cleaned; or a refused line that says why."""

from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from onlineeval_dagster.collector.encoding import response_event_id
from onlineeval_dagster.log.reader import LINE_LIMIT, TEXT_LIMIT
from onlineeval_dagster.queues.interface import Message

_NEEDED = ("event_id", "occurred_at", "received_at")

GAP = "onlineeval.queue_gap"
"""Name of the event by which a drain says how many messages the broker dropped before they were read."""


class Cleaner(Protocol):
    """Takes out of an event what must not reach the disk."""

    def clean(self, event: dict[str, Any]) -> dict[str, Any]: ...


class Lines:
    """Makes the lines of one topic's messages. Every message gives exactly one line, so that nothing is lost unseen."""

    def __init__(self, *, identity: str, topic: str, cleaner: Cleaner, now: datetime) -> None:
        self._identity, self._topic, self._cleaner, self._now = identity, topic, cleaner, _iso(now)

    def line(self, partition: int, message: Message) -> tuple[bytes, bool]:
        """The line, newline included, and whether it is an event. The same message gives the same line again.

        What an event does not say is told by the message: `received_at` and `occurred_at` by its time, `event_id` by
        its place.
        """
        value = (message.value or b"").removesuffix(b"\n").removesuffix(b"\r")
        said, reason = _read(value)
        if reason:
            return self._refused(partition, message.offset, value, reason), False
        if any(said.get(name) is None for name in _NEEDED):
            said = self._completed(said, partition, message)
            value = orjson.dumps(said)
        clean = self._cleaner.clean(said)
        return (value + b"\n" if clean is said else orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)), True

    def gap(self, partition: int, start: int, end: int) -> bytes:
        """A line that says: messages [start, end) were gone before we could read them."""
        said = {
            "kind": "event",
            "event_id": f"gap-{self._identity}-{partition}-{start}-{end}",
            "occurred_at": self._now,
            "received_at": self._now,
            "name": GAP,
            "value": end - start,
            "description": f"{self._topic}, partition {partition}: offsets {start} to {end} were deleted unread",
        }
        return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)

    def _completed(self, said: dict[str, Any], partition: int, message: Message) -> dict[str, Any]:
        sent_at = self._now
        if message.sent_ms is not None:
            sent_at = _iso(datetime.fromtimestamp(message.sent_ms / 1000, UTC))
        response_id = said.get("response_id")
        if said.get("kind") == "response" and isinstance(response_id, str):
            event_id = response_event_id(response_id)
        else:
            event_id = f"{self._identity}-{partition}-{message.offset}"
        told = dict(zip(_NEEDED, (event_id, sent_at, sent_at), strict=True))
        return {**said, **{name: value for name, value in told.items() if said.get(name) is None}}

    def _refused(self, partition: int, offset: int, value: bytes, reason: str) -> bytes:
        text = value[:TEXT_LIMIT].decode("utf-8", errors="replace")
        said = {"source": self._topic, "row": f"{partition}/{offset}", "reason": reason, "text": text}
        return orjson.dumps(self._cleaner.clean(said), option=orjson.OPT_APPEND_NEWLINE)


def _read(value: bytes) -> tuple[dict[str, Any], str]:
    """The event in a message, or the reason why there is none."""
    if not value[:1].strip() and not value.strip():
        return {}, "message: empty; send one event as a JSON object"
    if len(value) > LINE_LIMIT:
        return {}, f"message: longer than {LINE_LIMIT // 2**20} MiB; shorten its texts or split the event"
    if b"\n" in value:
        return {}, "message: several lines; send one event a message, as JSON on one line"
    try:
        said = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return {}, f"message: not JSON ({error}); send one JSON object a message, UTF-8"
    if not isinstance(said, dict):
        return {}, f"message: a JSON {type(said).__name__}; send one JSON object a message"
    return said, ""


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
