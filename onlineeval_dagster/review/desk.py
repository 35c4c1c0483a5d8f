"""Who is looking at what: leases, answers given, skips. A small SQLite file beside the published tasks.

    leases   a task in somebody's hands for 15 minutes; its id names the label that comes of it: none counts twice
    ratings  what was answered here, each with its lease: what the next run will find in the lake
    full     tasks that as many have answered here as are asked: without it each page would count through all of them
    skips    tasks that somebody does not want to see for a day

Now and then the next task is a gold one, whose right score is known: by a hash of the person and how many they have
answered, so that nobody can count it out.

It can be lost: tasks in hand are then given out anew. The labels are in the log.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from onlineeval_dagster.contracts.review import GOLD
from onlineeval_dagster.errors import ReviewError, TaskRefused
from onlineeval_dagster.review.shown import Progress, Task
from onlineeval_dagster.sampling.chance import unit_interval

LEASE = timedelta(minutes=15)
SKIPPED_FOR = timedelta(days=1)
A_DAY = 40
"""What a person is shown as a day's work: some half an hour. There may be more, and less."""

_TABLES = """
create table if not exists leases (
    lease text primary key, task text not null, reviewer text not null, taken_at real not null, until real not null,
    again integer not null default 0, closed integer not null default 0
);
create index if not exists leases_of_task on leases (task) where not closed;
create index if not exists leases_of_reviewer on leases (reviewer) where not closed;
create table if not exists ratings (
    lease text primary key, task text not null, reviewer text not null, score integer not null, rated_at real not null
);
create index if not exists ratings_of_task on ratings (task, reviewer);
create index if not exists ratings_of_reviewer on ratings (reviewer, rated_at);
create table if not exists full (task text, raters integer, primary key (task, raters)) without rowid;
create table if not exists skips (
    task text, reviewer text, until real not null, primary key (task, reviewer)
) without rowid;
"""
_COLUMNS = """
task, response_id, axis, stream, probability, raters, response_at, environment, app, query, response, context,
conversation, scale
"""
_OTHERS = """
select reviewer from published.known where task = tasks.task
union select reviewer from ratings where task = tasks.task
union select reviewer from leases where task = tasks.task and not closed and until > :now
"""
# Gold tasks have places below 0.
_CANDIDATES = f"""
select task
from published.tasks
where
    place >= :place and place < :place + 1
    and not exists (select 1 from full where task = tasks.task and raters = tasks.raters)
    and not exists (select 1 from skips where task = tasks.task and reviewer = :me and until > :now)
    and not exists (select 1 from ratings where task = tasks.task and reviewer = :me)
    and not exists (select 1 from published.known where task = tasks.task and reviewer = :me)
    and (select count(*) from ({_OTHERS}) where reviewer <> :me) < raters
order by place, axis
limit :most
"""

_FULL = """
insert or ignore into full
select task, raters from published.tasks
where task = :task and raters <= (select count(*) from (
    select reviewer from published.known where task = :task union select reviewer from ratings where task = :task
))
"""


class Desk:
    """The state file, with the published tasks beside it. In one thread. Raises ReviewError where one is unusable."""

    def __init__(self, state: Path | str, tasks: Path) -> None:
        self._place, self._tasks, self._is_attached = str(state), tasks, False
        with self._named():
            if isinstance(state, Path):
                state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._state = sqlite3.connect(state, isolation_level=None, timeout=5, check_same_thread=False, uri=True)
            self._state.row_factory = sqlite3.Row
            self._state.execute("pragma journal_mode = wal")
            # A power cut may lose the last moments: those tasks are given out again, and their labels are in the log.
            self._state.execute("pragma synchronous = normal")
            self._state.executescript(_TABLES)

    @property
    def connection(self) -> sqlite3.Connection:
        """For what else the pages remember in the same file."""
        return self._state

    def close(self) -> None:
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, reviewer: str, *, now: datetime) -> Task | None:
        """The task in the reviewer's hands, else the next that waits for one of them; None where nothing waits."""
        with self._changing():
            held = self._held(reviewer, now)
            if held is None:
                if not self._has_tasks():
                    return None
                task = self._next(reviewer, now)
                if task is None:
                    return None
                held = self._give(task, reviewer, now)
            else:
                self._prolong(held, now)
            return self._task(held)

    def check(self, lease: str, reviewer: str, score: float, *, now: datetime) -> Task | None:
        """The task that a label is for; None where this lease has brought its label already: a form sent twice.

        A lease that ran out is good for as long as nobody else is needed more: then the work is not lost.
        Raises TaskRefused where it is not the reviewer's, the answer is gone, others have it now, or the score is none.
        """
        with self._changing():
            row = self._state.execute(
                "select * from leases where lease = ? and reviewer = ?", (lease, reviewer)
            ).fetchone()
            if row is None:
                raise TaskRefused("This task is not in your hands. Nothing was kept; here is one that is.")
            if self._state.execute("select 1 from ratings where lease = ?", (lease,)).fetchone():
                return None
            task = self._task(lease)
            if task is None:
                raise TaskRefused("This answer is no longer up for review. Nothing was kept.", status=410)
            if score not in task.scale:
                raise TaskRefused(f"{score:g} is not on the scale of {task.axis}. Nothing was kept.", status=422)
            is_over = bool(row["closed"]) or row["until"] <= now.timestamp()
            if is_over and not row["again"] and self._is_taken(row["task"], reviewer, now):
                minutes = LEASE.seconds // 60
                told = f"Your {minutes} minutes with that answer were over, and others have done it since"
                raise TaskRefused(f"{told}. What you said of it was not kept.")
            self._state.execute("update leases set closed = 0 where lease = ?", (lease,))
            self._prolong(lease, now)
            return task

    def rated(self, task: Task, reviewer: str, score: int, *, now: datetime) -> None:
        """Note that the label of a task is in the log."""
        with self._changing():
            values = (task.lease, task.task, reviewer, score, now.timestamp())
            self._state.execute("insert or ignore into ratings values (?, ?, ?, ?, ?)", values)
            self._state.execute("update leases set closed = 1 where lease = ?", (task.lease,))
            self._state.execute(_FULL, {"task": task.task})
            self._state.execute("delete from leases where until < ?", ((now - SKIPPED_FOR).timestamp(),))
            self._state.execute("delete from skips where until < ?", (now.timestamp(),))

    def skip(self, lease: str, reviewer: str, *, now: datetime) -> None:
        """Put a task back; the reviewer does not see it for a day. What was said of it before stands."""
        with self._changing():
            row = self._state.execute(
                "select task from leases where lease = ? and reviewer = ? and not closed", (lease, reviewer)
            ).fetchone()
            if row is not None:
                until = (now + SKIPPED_FOR).timestamp()
                self._state.execute("insert or replace into skips values (?, ?, ?)", (row["task"], reviewer, until))
                self._state.execute("update leases set closed = 1 where lease = ?", (lease,))

    def undo(self, reviewer: str, *, now: datetime) -> bool:
        """Give the reviewer's last task back to them, or the one before that which they hold again.

        What they said stands until they say something else: the later one counts. False where there is none.
        """
        with self._changing():
            if not self._has_tasks():
                return False
            held = self._held(reviewer, now)
            before = float("inf")
            if held is not None and (said := self._last_said(held)) is not None:
                before = said["rated_at"]
            row = self._state.execute(
                "select task from ratings join published.tasks using (task) "
                "where reviewer = ? group by task having max(rated_at) < ? order by max(rated_at) desc limit 1",
                (reviewer, before),
            ).fetchone()
            if row is None:
                return False
            if held is not None:
                self._state.execute("update leases set closed = 1 where lease = ?", (held,))
            self._give(row["task"], reviewer, now, again=True)
            return True

    def progress(self, reviewer: str, *, now: datetime) -> Progress:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        with self._named():
            (done,) = self._state.execute(
                "select count(distinct task) from ratings where reviewer = ? and rated_at >= ?", (reviewer, midnight)
            ).fetchone()
            left = 0
            if done < A_DAY and self._has_tasks():
                said = self._said(reviewer, now, most=A_DAY - done, place=0)
                (left,) = self._state.execute(f"select count(*) from ({_CANDIDATES})", said).fetchone()
        return Progress(done=done, of=done + left)

    def _next(self, reviewer: str, now: datetime) -> str | None:
        """The next task for somebody; a gold one at its turns, as long as others wait as well."""
        row = self._state.execute(_CANDIDATES, self._said(reviewer, now, most=1, place=0)).fetchone()
        if row is not None and self._is_golds_turn(reviewer):
            gold = self._state.execute(_CANDIDATES, self._said(reviewer, now, most=1, place=-1)).fetchone()
            row = gold or row
        return row["task"] if row else None

    def _is_golds_turn(self, reviewer: str) -> bool:
        (count,) = self._state.execute("select count(*) from ratings where reviewer = ?", (reviewer,)).fetchone()
        row = self._state.execute("select gold_share from published.mixing").fetchone()
        return row is not None and unit_interval(f"{reviewer}:{count}", GOLD) < row["gold_share"]

    def _has_tasks(self) -> bool:
        if not self._is_attached and self._tasks.exists():
            # Read only: a page can never write what a run publishes.
            self._state.execute("attach ? as published", (f"{self._tasks.absolute().as_uri()}?mode=ro",))
            self._is_attached = True
        return self._is_attached

    def _held(self, reviewer: str, now: datetime) -> str | None:
        if not self._has_tasks():
            return None
        row = self._state.execute(
            "select lease from leases join published.tasks using (task) "
            "where reviewer = ? and not closed and until > ? order by taken_at desc limit 1",
            (reviewer, now.timestamp()),
        ).fetchone()
        return row["lease"] if row else None

    def _give(self, task: str, reviewer: str, now: datetime, *, again: bool = False) -> str:
        lease = secrets.token_hex(16)
        at = now.timestamp()
        values = (lease, task, reviewer, at, at + LEASE.total_seconds(), again)
        self._state.execute("insert into leases values (?, ?, ?, ?, ?, ?, 0)", values)
        return lease

    def _prolong(self, lease: str, now: datetime) -> None:
        self._state.execute("update leases set until = ? where lease = ?", ((now + LEASE).timestamp(), lease))

    def _task(self, lease: str) -> Task | None:
        if not self._has_tasks():
            return None
        row = self._state.execute(
            f"select {_COLUMNS}, lease, taken_at from leases join published.tasks using (task) "
            "join published.answers using (response_id) join published.axes using (axis) where lease = ?",
            (lease,),
        ).fetchone()
        if row is None:
            return None
        said = self._last_said(lease)
        values = {name: row[name] for name in Task.__dataclass_fields__ if name in row.keys()}  # noqa: SIM118 a Row
        return Task(
            **values
            | {
                "before": said["score"] if said else None,
                "taken_at": datetime.fromtimestamp(row["taken_at"], tz=UTC),
                "response_at": datetime.fromisoformat(row["response_at"]),
                "scale": {int(score): anchor for score, anchor in json.loads(row["scale"]).items()},
            }
        )

    def _last_said(self, lease: str) -> sqlite3.Row | None:
        """The last rating of a lease's task by the same person."""
        return self._state.execute(
            "select score, rated_at from ratings where (task, reviewer) in "
            "(select task, reviewer from leases where lease = ?) order by rated_at desc limit 1",
            (lease,),
        ).fetchone()

    def _is_taken(self, task: str, reviewer: str, now: datetime) -> bool:
        row = self._state.execute(
            f"select raters, (select count(*) from ({_OTHERS}) where reviewer <> :me) as others "
            "from published.tasks where task = :task",
            self._said(reviewer, now) | {"task": task},
        ).fetchone()
        return row is None or row["others"] >= row["raters"]

    def _said(self, reviewer: str, now: datetime, **more: int) -> dict[str, str | float]:
        return {"me": reviewer, "now": now.timestamp(), **more}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._named(), self._state:
            self._has_tasks()  # a database is not attached inside a transaction
            self._state.execute("begin immediate")
            yield

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = "make it writable, or move it away: labels are in the log, only tasks in hand are given out anew"
            raise ReviewError(f"review state {self._place}: {error}; {remedy}") from error
