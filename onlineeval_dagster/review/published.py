"""The open tasks with their texts, as the pages read them: one small SQLite file that a run brings up to date.

    axes      an axis, its place, its scale (score → anchor)
    answers   the texts of an answer, cleaned as privacy.toml says
    tasks     one answer on one axis that waits for somebody; `place` orders them at random
    known     who has said something of a task already
    mixing    how many of those shown are gold: tasks whose right score is known, in stream `gold`, at places below 0
    progress  up to which version of the lake's tasks

Days that changed are replaced in one transaction, beside which the pages go on reading. It holds what is in the lake
and can be lost: the next run writes it again.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import GOLD_SHARE
from onlineeval_dagster.contracts.review import GOLD
from onlineeval_dagster.errors import ReviewError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine
from onlineeval_dagster.review.gold import gold_labellers, gold_texts
from onlineeval_dagster.review.tasks import OPEN_DAYS, ORDER, asked_axes
from onlineeval_dagster.sampling.chance import unit_interval

Redact = Callable[[str], str]

_TABLES = """
create table if not exists axes (
    axis text primary key, position integer not null, scale text not null, good_from integer not null
);
create table if not exists answers (
    response_id text primary key, day text not null, response_at text not null, environment text not null,
    app text not null, query text not null, response text not null, context text, conversation text
);
create table if not exists tasks (
    task text primary key, response_id text not null, axis text not null, stream text not null, probability real,
    raters integer not null, day text not null, place real not null
);
create index if not exists tasks_in_order on tasks (place, axis, task, raters);
create table if not exists known (task text, reviewer text, primary key (task, reviewer)) without rowid;
create table if not exists mixing (gold_share real not null);
create table if not exists progress (version integer not null);
"""
_TEXTS = ("query", "response", "context", "conversation")

# Rows that the log holds twice count once: the first by arrival, as everywhere.
_OPEN_SQL = f"""
select response_id, axis, stream, inclusion_probability, raters, day, response_at, environment, app,
    {", ".join(_TEXTS)}
from review_tasks
join (
    select response_id, environment, app, {", ".join(_TEXTS)}
    from responses
    where text_erased_at is null
    qualify row_number() over (partition by response_id order by received_at, log_segment, log_offset) = 1
) using (response_id)
where labels < raters
"""
_KNOWN_SQL = """
select distinct response_id, axis, stream, reviewer
from labels
semi join (select * from review_tasks where labels < raters) using (response_id, axis, stream)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Days written again, and the tasks that are open now."""

    days: tuple[date, ...]
    open: int


def task_id(response_id: str, axis: str, stream: str) -> str:
    """The name of a task: the same whenever it is made, and it does not tell the stream."""
    return hashlib.sha256("\x1f".join((response_id, axis, stream)).encode()).hexdigest()[:24]


def publish(file: Path, lake: Lake, catalog: Catalog, *, now: datetime, redact: Redact) -> Published:
    """Bring `file` up to the lake's tasks: the days that changed since, of the last 28. What lost its text goes."""
    with opened(file) as published:
        row = published.execute("select version from progress").fetchone()
        changes = lake.changes("review_tasks", row[0] if row else None)
        first = (now - timedelta(days=OPEN_DAYS)).date()
        days = sorted(day for day in changes.days if day >= first)
        with published:
            published.execute("begin immediate")
            _write_axes(published, catalog)
            _remove(published, days, before=first)
            if days:
                _write_days(published, lake, days, redact)
            _remove_erased(published, lake)
            _write_gold(published, lake, catalog, redact)
            published.execute("delete from progress")
            published.execute("insert into progress values (?)", (changes.version,))
            (count,) = published.execute("select count(*) from tasks where place >= 0").fetchone()
    return Published(days=tuple(days), open=count)


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The file with its tables, made where it is not there; what is deleted is overwritten. Raises ReviewError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as published:
            file.chmod(0o600)
            published.execute("pragma journal_mode = wal")
            published.execute("pragma secure_delete = on")
            published.executescript(_TABLES)
            yield published
    except (sqlite3.Error, OSError) as error:
        remedy = "make it writable, or delete it and run again: it is made from the lake"
        raise ReviewError(f"review tasks {file}: {error}; {remedy}") from error


def _write_axes(published: sqlite3.Connection, catalog: Catalog) -> None:
    published.execute("delete from axes")
    for position, (axis, judge) in enumerate(asked_axes(catalog.live_judges).items()):
        scale = json.dumps({str(score): judge.scale[score] for score in sorted(judge.scale)}, ensure_ascii=False)
        published.execute("insert into axes values (?, ?, ?, ?)", (axis, position, scale, judge.good_from))


def _remove(published: sqlite3.Connection, days: Collection[date], *, before: date) -> None:
    published.execute("delete from known where task in (select task from tasks where day < ?)", (str(before),))
    for day in map(str, days):
        published.execute("delete from known where task in (select task from tasks where day = ?)", (day,))
    for table in ("tasks", "answers"):
        published.execute(f"delete from {table} where day < ?", (str(before),))
        published.executemany(f"delete from {table} where day = ?", [(str(day),) for day in days])


def _write_days(published: sqlite3.Connection, lake: Lake, days: Collection[date], redact: Redact) -> None:
    with engine(lake, dict.fromkeys(("review_tasks", "responses", "labels"), days)) as connection:
        for batch in connection.sql(_OPEN_SQL).to_arrow_reader(2_000):
            found = batch.to_pylist()
            published.executemany(
                "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_answer(row, redact) for row in found],
            )
            published.executemany(
                "insert or replace into tasks values (?, ?, ?, ?, ?, ?, ?, ?)", [_task(row) for row in found]
            )
        known = connection.sql(_KNOWN_SQL).to_arrow_table().to_pylist()
    said = [(task_id(row["response_id"], row["axis"], row["stream"]), row["reviewer"]) for row in known]
    published.executemany("insert or ignore into known values (?, ?)", said)


def _write_gold(published: sqlite3.Connection, lake: Lake, catalog: Catalog, redact: Redact) -> None:
    """All gold tasks anew: there are few. They are for everybody but who labelled the answer already."""
    review = catalog.sampling.review
    published.execute("delete from mixing")
    published.execute("insert into mixing values (?)", (GOLD_SHARE if review is None else review.gold_share,))
    published.execute("delete from known where task in (select task from tasks where place < 0)")
    published.execute("delete from tasks where place < 0")
    found = gold_texts(lake, catalog).to_pylist()
    insert = "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    published.executemany(insert, [_answer(row, redact) for row in found])
    # As many as like: everybody may rate it once.
    same = {"stream": GOLD, "inclusion_probability": None, "raters": 1_000_000}
    tasks = [_task(row | same) for row in found]
    published.executemany(
        "insert or replace into tasks values (?, ?, ?, ?, ?, ?, ?, ?)", [(*task[:-1], task[-1] - 1) for task in tasks]
    )
    said = gold_labellers(lake).to_pylist()
    seen = [(task_id(row["response_id"], row["axis"], GOLD), row["reviewer"]) for row in said]
    published.executemany("insert or ignore into known values (?, ?)", seen)


def _answer(row: dict[str, Any], redact: Redact) -> tuple[Any, ...]:
    texts = (None if row[name] is None else redact(row[name]) for name in _TEXTS)
    return (
        row["response_id"],
        str(row["day"]),
        row["response_at"].isoformat(),
        row["environment"],
        row["app"],
        *texts,
    )


def _task(row: dict[str, Any]) -> tuple[Any, ...]:
    names = row["response_id"], row["axis"], row["stream"]
    place = unit_interval(row["response_id"], ORDER)
    return task_id(*names), *names, row["inclusion_probability"], row["raters"], str(row["day"]), place


def _remove_erased(published: sqlite3.Connection, lake: Lake) -> None:
    """Retention and erasure count as no change of the lake, so they are looked for."""
    found = published.execute("select response_id, day from answers").fetchall()
    if not found:
        return
    names = pa.table({"response_id": pa.array([name for name, _ in found], pa.string())})
    days = {date.fromisoformat(day) for _, day in found}
    sql = "select distinct response_id from responses semi join names using (response_id) where text_erased_at is null"
    with engine(lake, {"responses": days}) as connection:
        connection.register("names", names)
        there = set(connection.sql(sql).to_arrow_table().column("response_id").to_pylist())
    gone = [(name,) for name, _ in found if name not in there]
    published.executemany("delete from known where task in (select task from tasks where response_id = ?)", gone)
    published.executemany("delete from tasks where response_id = ?", gone)
    published.executemany("delete from answers where response_id = ?", gone)
