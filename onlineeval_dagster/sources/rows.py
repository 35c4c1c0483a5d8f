"""What reading a foreign file yields beside events: rows as they stand there, and rows that cannot be used."""

import json
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a foreign file, with its place for error messages and its text as it stood there."""

    file: str
    number: int
    value: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that is no event: where it stands, why, and its text. Kept, never dropped: see `as_log_line`."""

    file: str
    number: int
    reason: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"

    def as_log_line(self) -> bytes:
        """A line for the log that is no event, so that ingest puts the row into quarantine with its reason."""
        said = {"source": self.file, "row": self.number, "reason": self.reason, "text": self.text}
        return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for rows that do not say otherwise.

    now          becomes `received_at`
    occurred_at  of rows without a time; None: such a row is bad
    zone         of times without a zone; None: such a row is bad
    """

    now: datetime
    environment: str = "production"
    app: str = "default"
    occurred_at: datetime | None = None
    zone: tzinfo | None = None


class Unusable(ValueError):
    """Why one row cannot become an event. Caught where rows are read and turned into a BadRow."""


def bad(row: Row, reason: str) -> BadRow:
    return BadRow(file=row.file, number=row.number, reason=reason, text=row.text)


def at_path(value: dict[str, Any], path: str) -> Any:
    """The value under a column's name, or under a dotted path of nested maps and list positions; None where absent."""
    if path in value:
        return value[path]
    found: Any = value
    for step in path.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def plain(value: Any) -> Any:
    """A value as JSON holds it: times as ISO text, bytes and other things as text."""
    return (
        json.loads(json.dumps(value, default=str)) if not isinstance(value, str | int | float | bool | None) else value
    )
