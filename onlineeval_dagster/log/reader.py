"""What a line of the log says: an event, or a bad line with its reason. It is the truth; faster readings agree."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_origin

import orjson
from pydantic import ValidationError

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import DAY_OF, EVENTS
from onlineeval_dagster.errors import LogError

LINE_LIMIT = 16 * 2**20
"""Longest line that is read, bytes."""
TEXT_LIMIT = 64 * 2**10
"""How much of a bad line is kept, bytes."""
AHEAD = timedelta(minutes=10)
"""How far in the future a time may lie, for clocks that differ."""

_JSON_FIELDS = {
    contract: [name for name, info in contract.model_fields.items() if get_origin(info.annotation) in (dict, list)]
    for contract in EVENTS.values()
}
_BLOCK = 2**20


REFUSED = {"source", "row", "reason", "text"}
"""The keys of a line by which an import hands over a row it could not read; `reason` says why, as quarantine shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is no event: why, with field and remedy, and its text (first 64 KiB, broken bytes replaced)."""

    reason: str
    text: str


def read_lines(path: Path, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes (without the newline) of each line that begins in [start, end). Blank lines are left out.

    Holds one line at a time; of a line longer than LINE_LIMIT the first LINE_LIMIT + 1 bytes are given, so that
    `parse_line` refuses it. Raises LogError when the file cannot be read.
    """
    try:
        with path.open("rb", buffering=_BLOCK) as file:
            file.seek(start)
            offset = start
            while offset < end:
                line = file.readline(min(LINE_LIMIT + 2, end - offset))
                if not line:
                    return
                following = offset + len(line)
                if len(line) > LINE_LIMIT + 1 and not line.endswith(b"\n"):
                    line = line[: LINE_LIMIT + 1]
                    following = _skip_line(file, following, end)
                text = line.removesuffix(b"\n")
                if not is_blank(text):
                    yield offset, text
                offset = following
    except OSError as error:
        raise LogError(f"log segment {path}: {error.strerror}; make it readable, or put it back") from error


def is_blank(line: bytes) -> bool:
    """Whether a line says nothing: an empty one, as an append leaves after a short write."""
    return line in (b"", b"\r", b"\n", b"\r\n")


def parse_line(line: bytes, *, now: datetime, retention_days: int) -> LogEvent | BadLine:
    """The event that a line holds, unknown fields in `attributes`; or why it is none.

    `now` is when the batch was planned, aware UTC.
    """
    if len(line) > LINE_LIMIT:
        return _bad(line, f"line: longer than {LINE_LIMIT // 2**20} MiB; shorten its texts or split the event")
    contract = _contract(line)
    if isinstance(contract, BadLine):
        return contract
    try:
        event = contract.model_validate_json(line)
        orjson.dumps([getattr(event, name) for name in _JSON_FIELDS[contract]])
    except ValidationError as error:
        return _bad(line, _reason(error))
    except orjson.JSONEncodeError as error:
        return _bad(line, f"attributes: {error}; send such a value as text")
    reason = untimely(event, now=now, retention_days=retention_days)
    return _bad(line, reason) if reason else event


def untimely(event: LogEvent, *, now: datetime, retention_days: int) -> str | None:
    """Why an event's times cannot be right, or None. Looks at the times that place it: its own and its day's."""
    if event.received_at > now + AHEAD:
        return "received_at: more than 10 minutes in the future; set the clock of the front door"
    if event.occurred_at > event.received_at + AHEAD:
        return "occurred_at: more than 10 minutes after received_at; set the producer's clock"
    oldest = now - timedelta(days=retention_days)
    kind: str = getattr(event, "kind")  # noqa: B009 - each kind declares its own
    for name in DAY_OF[kind]:
        moment: datetime | None = getattr(event, name)
        if moment is None:
            continue
        if moment > now + AHEAD:
            return f"{name}: more than 10 minutes in the future; set the producer's clock"
        if moment < oldest:
            return f"{name}: older than {retention_days} days; raise ONLINEEVAL_RETENTION_DAYS and send it again"
    return None


def _contract(line: bytes) -> type[LogEvent] | BadLine:
    try:
        said: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _bad(line, f"line: not JSON ({error}); write one JSON object a line, UTF-8")
    if not isinstance(said, dict):
        return _bad(line, f"line: a JSON {type(said).__name__}; write one JSON object a line")
    if said.keys() == REFUSED:
        return _bad(line, f"{said['source']} row {said['row']}: {said['reason']}")
    kind = said.get("kind")
    if not isinstance(kind, str) or kind not in EVENTS:
        found = "missing" if kind is None else f"{str(kind)[:64]!r} is unknown"
        return _bad(line, f"kind: {found}; write one of {', '.join(EVENTS)}")
    return EVENTS[kind]


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "line"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}; correct it and send the event again"


def _bad(line: bytes, reason: str) -> BadLine:
    return BadLine(reason=reason, text=line[:TEXT_LIMIT].decode("utf-8", errors="replace"))


def _skip_line(file: Any, offset: int, end: int) -> int:
    """The offset after the newline that ends a line too long to hold."""
    while offset < end:
        block = file.readline(min(_BLOCK, end - offset))
        offset += len(block)
        if not block or block.endswith(b"\n"):
            break
    return offset
