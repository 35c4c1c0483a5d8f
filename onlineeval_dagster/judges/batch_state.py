"""What was sent as a batch and is not yet taken in: written down before it is sent. In the judges' SQLite file.

intended ──▶ submitted ──▶ collected
    │             └──────▶ refused      the endpoint took none of it: the same answers are not sent again
    └──▶ dropped: the endpoint never had it
"""

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Self

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import WorkItem

State = Literal["intended", "submitted", "collected", "refused"]

_TABLES = """
create table if not exists batch_intents (
    key text primary key, judge text not null, judge_version text not null, spec text not null, usd real not null,
    made_at text not null, batch_id text, state text not null, reason text
);
create table if not exists batch_items (
    key text not null, custom_id text not null, item text not null, primary key (key, custom_id)
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A batch that was decided on. `key` is a hash of what it asks for, `usd` was set aside of the day it was made."""

    key: str
    judge: Judge
    usd: float
    made_at: datetime
    batch_id: str | None = None
    state: State = "intended"
    reason: str | None = None

    @property
    def day(self) -> date:
        return self.made_at.date()


class BatchState:
    """The intents, beside pauses and spending, in one file. Use as `with`, in one thread. Money is `money`."""

    def __init__(self, file: Path | str) -> None:
        self.money = JudgeState(file)
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._connection.executescript(_TABLES)
        # What may have been paid for must not be forgotten by a power cut: every commit is on the disk.
        self._connection.execute("pragma synchronous = full")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self.money.__exit__()

    def intend(self, intent: Intent, items: Iterable[tuple[str, WorkItem]], *, at_most: float | None) -> bool:
        """Write an intent down with its items and set its money aside, before anything is sent.

        False, and nothing written, where the day's money does not reach. Texts are not kept.
        """
        if not self.money.spend(intent.judge.name, intent.day, intent.usd, at_most=at_most):
            return False
        with self._connection:
            self._connection.execute("begin immediate")
            self._connection.execute(
                "insert into batch_intents values (?, ?, ?, ?, ?, ?, null, 'intended', null)",
                (
                    intent.key,
                    intent.judge.name,
                    intent.judge.version,
                    _spec(intent.judge),
                    intent.usd,
                    intent.made_at.isoformat(),
                ),
            )
            self._connection.executemany(
                "insert into batch_items values (?, ?, ?)",
                ((intent.key, custom_id, _without_text(item)) for custom_id, item in items),
            )
        return True

    def submitted(self, key: str, batch_id: str) -> None:
        self._connection.execute(
            "update batch_intents set batch_id = ?, state = 'submitted' where key = ?", (batch_id, key)
        )

    def settle(self, intent: Intent, *, usd: float, state: State, reason: str | None = None) -> None:
        """It is over and cost this; what was set aside for more is given back. Done twice, it gives back once."""
        with self._connection:
            self._connection.execute("begin immediate")
            done = self._connection.execute(
                "update batch_intents set state = ?, reason = ? where key = ? and state in ('intended', 'submitted')",
                (state, reason, intent.key),
            )
            self._connection.execute("delete from batch_items where key = ?", (intent.key,))
        if done.rowcount:
            self.money.spend(intent.judge.name, intent.day, usd - intent.usd)

    def drop(self, intent: Intent) -> None:
        """The endpoint never had it: forget it, with its money given back."""
        self.settle(intent, usd=0.0, state="refused")
        self._connection.execute("delete from batch_intents where key = ?", (intent.key,))

    def of(self, key: str) -> Intent | None:
        row = self._connection.execute(f"{_SELECT} where key = ?", (key,)).fetchone()
        return _intent(row) if row else None

    def open(self) -> list[Intent]:
        """What is not over, oldest first."""
        found = self._connection.execute(f"{_SELECT} where state in ('intended', 'submitted') order by made_at, key")
        return [_intent(row) for row in found]

    def items(self, key: str) -> dict[str, WorkItem]:
        """The items of a batch by custom id, without their texts."""
        found = self._connection.execute("select custom_id, item from batch_items where key = ?", (key,))
        return {custom_id: _item(text) for custom_id, text in found}

    def forget(self, response_ids: Collection[str]) -> int:
        """Take the items of these answers out, so that no page of the file holds them; how many there were."""
        gone = set(response_ids)
        found = self._connection.execute("select key, custom_id, item from batch_items").fetchall()
        doomed = [(key, custom_id) for key, custom_id, item in found if _item(item).response_id in gone]
        self._connection.executemany("delete from batch_items where key = ? and custom_id = ?", doomed)
        self._connection.execute("vacuum")
        self._connection.execute("pragma wal_checkpoint(truncate)")
        return len(doomed)

    def waiting_for(self, judge: Judge) -> set[str]:
        """Ids of the answers that open batches of this version ask for."""
        found = self._connection.execute(
            "select item from batch_items join batch_intents using (key) "
            "where judge = ? and judge_version = ? and state in ('intended', 'submitted')",
            (judge.name, judge.version),
        )
        return {_item(text).response_id for (text,) in found}


def forget_items(file: Path, response_ids: Collection[str]) -> int:
    """Take answers out of the batches that wait for their replies, after an erasure; how many there were.

    What a reply to one of them cost is then booked with none: the day's sum misses it. Raises JudgeError.
    """
    if not file.exists():
        return 0
    with BatchState(file) as state:
        return state.forget(response_ids)


_SELECT = "select key, spec, usd, made_at, batch_id, state, reason from batch_intents"


def _intent(row: tuple[Any, ...]) -> Intent:
    key, spec, usd, made_at, batch_id, state, reason = row
    return Intent(
        key=key,
        judge=_judge(spec),
        usd=usd,
        made_at=datetime.fromisoformat(made_at),
        batch_id=batch_id,
        state=state,
        reason=reason,
    )


def _spec(judge: Judge) -> str:
    """The whole judge: its file may have changed by the time its replies are read."""
    return json.dumps({name: value for name, value in asdict(judge).items() if name != "version"})


def _judge(spec: str) -> Judge:
    fields = json.loads(spec)
    fields["scale"] = {int(score): anchor for score, anchor in fields["scale"].items()}
    fields["price"] = Price(**fields["price"]) if fields["price"] else None
    return Judge(**fields)


def _without_text(item: WorkItem) -> str:
    kept = asdict(item) | {"query": "", "response": "", "context": None, "conversation": None, "reference": None}
    return json.dumps(kept | {"response_at": item.response_at.isoformat()})


def _item(text: str) -> WorkItem:
    fields = json.loads(text)
    return WorkItem(**(fields | {"response_at": datetime.fromisoformat(fields["response_at"])}))
