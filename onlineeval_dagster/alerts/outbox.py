"""What is to be told to whom, written down before it is sent: a small SQLite file.

waiting ──▶ sending ──▶ sent
   ▲            ├─────▶ waiting      it failed: again later
   │            ├─────▶ given_up      it failed for two days
   │            └─────▶ unsure        killed while it was sent, on a channel that cannot tell a repeat
   │            └─────▶ withheld     a rollback that something spoke against, before it was called or while it waited
   └── dry_run: written down, never sent

One row an incident, event, opening and channel: the key. By it a webhook's receiver tells repeats. If the file is lost,
what is open then is told once more.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

State = Literal["waiting", "sending", "sent", "given_up", "unsure", "dry_run", "withheld"]

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(minutes=15)
"""Between attempts; doubled from the first to the longest."""
GIVEN_UP_AFTER = timedelta(days=2)

_TABLES = """
create table if not exists deliveries (
    key text primary key, incident_id text not null, channel text not null, event text not null,
    incident_state text not null, subject text not null, body text not null, state text not null,
    made_at text not null, next_at text not null, attempts integer not null default 0, sent_at text, error text
);
"""
_COLUMNS = "key, incident_id, channel, event, incident_state, subject, body, state, made_at, next_at, attempts, error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one channel. `body` is what is sent, the same at each attempt."""

    key: str
    incident_id: str
    channel: str
    event: Literal["opened", "resolved", "test", "rollback"]
    incident_state: str
    subject: str
    body: str
    state: State
    made_at: datetime
    next_at: datetime
    attempts: int = 0
    sent_at: datetime | None = None
    error: str | None = None


class Outbox:
    """The deliveries on disk. Use as `with`, in one thread."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._connection.execute("pragma journal_mode = wal")
        # What was sent must not be forgotten by a power cut: it would be sent twice.
        self._connection.execute("pragma synchronous = full")
        self._connection.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def put(self, deliveries: Iterable[Delivery]) -> int:
        """Write down what is not there yet, by its key; returns how many are new."""
        fresh = 0
        with self._connection:
            self._connection.execute("begin immediate")
            for one in deliveries:
                values = [getattr(one, name) for name in _COLUMNS.split(", ")]
                plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
                marks = ", ".join("?" * len(plain))
                done = self._connection.execute(
                    f"insert or ignore into deliveries ({_COLUMNS}) values ({marks})", plain
                )
                fresh += done.rowcount
        return fresh

    def recover(self, repeatable: Iterable[str]) -> None:
        """What a killed run was sending: again where the channel's receiver can tell a repeat, else `unsure`."""
        names = list(repeatable)
        marks = ", ".join("?" * len(names)) or "null"
        with self._connection:
            self._connection.execute("begin immediate")
            self._connection.execute(
                f"update deliveries set state = 'waiting' where state = 'sending' and channel in ({marks})", names
            )
            self._connection.execute(
                "update deliveries set state = 'unsure', error = 'the run was killed while it was sent; it may have "
                "arrived' where state = 'sending'"
            )

    def due(self, now: datetime) -> list[Delivery]:
        """What is to be sent by `now`, the oldest first."""
        return [one for one in self.all() if one.state == "waiting" and one.next_at <= now]

    def sending(self, key: str) -> None:
        self._connection.execute(
            "update deliveries set state = 'sending', attempts = attempts + 1 where key = ?", (key,)
        )

    def sent(self, key: str, *, now: datetime) -> None:
        self._connection.execute(
            "update deliveries set state = 'sent', sent_at = ?, error = null where key = ?", (now.isoformat(), key)
        )

    def failed(self, one: Delivery, error: str, *, now: datetime) -> None:
        """Again later: the wait doubles; after two days it is given up."""
        wait = min(FIRST_WAIT * 2 ** min(one.attempts, 10), LONGEST_WAIT)
        state = "given_up" if now - one.made_at >= GIVEN_UP_AFTER else "waiting"
        self._connection.execute(
            "update deliveries set state = ?, next_at = ?, error = ? where key = ?",
            (state, (now + wait).isoformat(), error, one.key),
        )

    def gave_up(self, key: str, error: str) -> None:
        self._connection.execute("update deliveries set state = 'given_up', error = ? where key = ?", (error, key))

    def withhold(self, key: str, why: str) -> None:
        """What waits is not sent any more; what was sent, or is being sent, stays as it is."""
        self._connection.execute(
            "update deliveries set state = 'withheld', error = ? where key = ? and state = 'waiting'", (why, key)
        )

    def all(self) -> list[Delivery]:
        """Every delivery, the oldest first."""
        found = self._connection.execute(f"select {_COLUMNS}, sent_at from deliveries order by made_at, key")
        return [_delivery(row) for row in found]


def _delivery(row: tuple[Any, ...]) -> Delivery:
    names = [*_COLUMNS.split(", "), "sent_at"]
    fields = dict(zip(names, row, strict=True))
    for name in ("made_at", "next_at", "sent_at"):
        fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
    return Delivery(**fields)
