"""Take answers out of what the review pages keep: their texts and tasks, and who had which of them in hand.

A task's name is a hash of the answer's id without a salt: who knows the id can look for it, so it goes as well.
"""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from itertools import product

from onlineeval_dagster.contracts.review import GOLD
from onlineeval_dagster.errors import ReviewError
from onlineeval_dagster.review.published import opened, task_id
from onlineeval_dagster.settings import Settings

_STREAMS = ("audit", "targeted", GOLD)
_OF_TASKS = ("leases", "ratings", "full", "skips")


def forget_answers(settings: Settings, response_ids: Collection[str], axes: Iterable[str]) -> int:
    """Take answers out at once, after an erasure; how many were published. `axes` that tasks of theirs may be on.

    The pages may be open meanwhile: a task in somebody's hands is then told as gone. Raises ReviewError.
    """
    count, tasks = 0, list[str]()
    if settings.review_tasks_file.exists():
        with opened(settings.review_tasks_file) as published:
            asked = {axis for (axis,) in published.execute("select axis from axes")}
            tasks = _names(response_ids, asked.union(axes))
            count = _out_of_published(published, response_ids, tasks)
            _overwrite(published)
    if settings.review_state_file.exists():
        _out_of_state(settings, tasks or _names(response_ids, axes))
    return count


def _names(response_ids: Collection[str], axes: Iterable[str]) -> list[str]:
    """The name of every task that there may have been."""
    return [task_id(*names) for names in product(response_ids, sorted(set(axes)), _STREAMS)]


def _out_of_published(published: sqlite3.Connection, response_ids: Collection[str], tasks: Sequence[str]) -> int:
    names = [(name,) for name in response_ids]
    with published:
        published.executemany("delete from known where task = ?", [(task,) for task in tasks])
        count = published.executemany("delete from answers where response_id = ?", names).rowcount
        published.executemany("delete from tasks where response_id = ?", names)
    return count


def _out_of_state(settings: Settings, tasks: Sequence[str]) -> None:
    file = settings.review_state_file
    try:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as state:
            there = {name for (name,) in state.execute("select name from sqlite_master where type = 'table'")}
            with state:
                for table in (name for name in _OF_TASKS if name in there):
                    state.executemany(f"delete from {table} where task = ?", [(task,) for task in tasks])
            _overwrite(state)
    except sqlite3.Error as error:
        remedy = "make it writable, or delete it: labels are in the log, only tasks in hand are given out anew"
        raise ReviewError(f"review state {file}: {error}; {remedy}, and run onlineeval erase again") from error


def _overwrite(file: sqlite3.Connection) -> None:
    """What was deleted, now or earlier, stays neither on free pages nor in the write-ahead log."""
    file.execute("vacuum")
    file.execute("pragma wal_checkpoint(truncate)")
