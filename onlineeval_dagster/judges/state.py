"""What judges must remember between runs: who is paused and until when, and what a day has cost. A small SQLite file.

    pauses  judge → why, since when, how many probes failed, when the next one is due
    spent   judge and day → US dollars, with what calls in flight may cost at most

It can be lost: a judge is then asked at once, and the day's money counted from nothing. Verdicts do not rest on it.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Self

from onlineeval_dagster.errors import JudgeError

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
"""The pause doubles with each probe that fails, from the first to the longest."""

_TABLES = """
create table if not exists pauses (
    judge text primary key, cause text not null, reason text not null, since text not null, probes integer not null,
    next_probe_at text not null
);
create table if not exists spent (judge text, day text, usd real not null, primary key (judge, day));
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A judge that is not asked for now. `probes` counts the calls that found its endpoint still failing."""

    judge: str
    reason: str
    since: datetime
    probes: int
    next_probe_at: datetime


class JudgeState:
    """The file, opened; `":memory:"` forgets all at the end. Use as `with`, in one thread.

    Raises JudgeError where the file cannot be opened or written.
    """

    def __init__(self, file: Path | str = ":memory:") -> None:
        self._place = str(file)
        with self._named():
            if isinstance(file, Path):
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(file, isolation_level=None, timeout=10, check_same_thread=False)
            # A kill loses nothing with NORMAL, and a commit costs no fsync; a power cut may lose the last moments.
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def pauses(self) -> list[Pause]:
        """Every pause that stands, by judge."""
        with self._named():
            found = self._connection.execute(
                "select judge, reason, since, probes, next_probe_at from pauses order by judge"
            ).fetchall()
        return [_pause(row) for row in found]

    def pause_of(self, judge: str, *, cause: str) -> Pause | None:
        """The judge's pause; none where what it was paused for is not `cause`: a new key or model is tried at once."""
        with self._named():
            row = self._connection.execute(
                "select judge, reason, since, probes, next_probe_at from pauses where judge = ? and cause = ?",
                (judge, cause),
            ).fetchone()
        return _pause(row) if row else None

    def pause(self, judge: str, reason: str, *, cause: str, now: datetime, at_least: timedelta = timedelta()) -> Pause:
        """Pause a judge, or one that is paused for longer."""
        before = self.pause_of(judge, cause=cause)
        probes = before.probes + 1 if before else 0
        pause = Pause(
            judge=judge,
            reason=reason,
            since=before.since if before else now,
            probes=probes,
            next_probe_at=now + max(at_least, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(probes, 20))),
        )
        values = (judge, cause, reason, pause.since.isoformat(), probes, pause.next_probe_at.isoformat())
        with self._named():
            self._connection.execute("insert or replace into pauses values (?, ?, ?, ?, ?, ?)", values)
        return pause

    def resume(self, judge: str) -> None:
        with self._named():
            self._connection.execute("delete from pauses where judge = ?", (judge,))

    def spent(self, judge: str, day: date) -> float:
        """US dollars."""
        with self._named():
            row = self._connection.execute(
                "select usd from spent where judge = ? and day = ?", (judge, day.isoformat())
            ).fetchone()
        return row[0] if row else 0.0

    def spend(self, judge: str, day: date, usd: float, *, at_most: float | None = None) -> bool:
        """Book US dollars (below 0: give back); False, and nothing booked, where the day's sum would pass `at_most`."""
        values = {"judge": judge, "day": day.isoformat(), "usd": usd, "most": at_most}
        with self._named():
            done = self._connection.execute(
                "insert into spent select :judge, :day, :usd where :most is null or :usd <= :most + 1e-9 "
                "on conflict (judge, day) do update set usd = usd + excluded.usd "
                "where :most is null or usd + excluded.usd <= :most + 1e-9",
                values,
            )
        return done.rowcount == 1

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = "make it writable, or move it away: pauses and the day's spending are then forgotten"
            raise JudgeError(f"judges' state {self._place}: {error}; {remedy}") from error


def cause_of(*parts: str) -> str:
    """A short hash of what an endpoint's refusal may rest on: address, key, judge version."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _pause(row: tuple[str, str, str, int, str]) -> Pause:
    judge, reason, since, probes, next_probe_at = row
    return Pause(
        judge=judge,
        reason=reason,
        since=datetime.fromisoformat(since),
        probes=probes,
        next_probe_at=datetime.fromisoformat(next_probe_at),
    )
