"""What a pull of a server has sent already: a window is read again each time, and only what is new in it is sent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from onlineeval_dagster.sources.place import Cursor, Opened, Reached
from onlineeval_dagster.sources.rows import Unusable
from onlineeval_dagster.sources.values import moment

REMEMBERED = 50_000
"""Marks that a cursor keeps, some 2 MB. What is forgotten is sent again, and its id keeps it single."""


@dataclass(slots=True)
class Sent:
    """`last` is the newest time read; `marks` names what was sent, each with the time (s) by which it is met again.

    A bad row may have no time: it is remembered all the same, or it would be quarantined anew at each pull.
    """

    last: datetime | None = None
    marks: dict[str, int | None] = field(default_factory=dict)

    def is_new(self, mark: str, at: datetime | None) -> bool:
        """Whether it was not sent yet; it counts as sent from now on."""
        if at is not None:
            self.last = at if self.last is None else max(self.last, at)
        known = mark in self.marks
        self.marks.setdefault(mark, None if at is None else int(at.timestamp()))
        return not known

    def since(self, start: datetime | None, lag: float) -> datetime | None:
        """Where a pull begins: so far behind the newest that was read, or where the source is told to start."""
        if self.last is not None:
            return self.last - timedelta(seconds=lag)
        return start

    def reached(self, lag: float) -> Iterable[Reached]:
        """The cursor, once all is sent; none where there was nothing yet."""
        if self.last is None:
            return
        begin = int((self.last - timedelta(seconds=lag)).timestamp())
        again = [[mark, at] for mark, at in self.marks.items() if at is None or at >= begin]
        yield Reached(cursor={"last": self.last.isoformat(), "seen": again[-REMEMBERED:]})


def sent(cursor: Cursor) -> Sent:
    """What a cursor remembers."""
    last = cursor.get("last")
    return Sent(last=None if last is None else datetime.fromisoformat(last), marks=dict(cursor.get("seen", ())))


def begins(opened: Opened) -> datetime | None:
    """The time of a source's `start`. Raises SourceError where it is none."""
    start = opened.source.start
    try:
        return moment(None if start is None else str(start), "start", opened.defaults.zone or UTC)
    except Unusable as error:
        raise opened.failure(error, "write it as --start 2026-11-01T00:00:00Z") from error
