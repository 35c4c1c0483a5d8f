"""The frozen gold set put to the judges again: every week, and whenever the model behind a version is another one.

gold answers ──▶ a trial set ──▶ due: never tried, a week ago, or a new fingerprint ──▶ judge_trials
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.trials import TrialItem, TrialSet
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows

NAME = "gold"
SET_VERSION = "frozen"
"""Items are never changed: a changed one has another id."""
EVERY = timedelta(days=7)


def gold_set(judge: Judge, texts: pa.Table, *, redact: Callable[[str], str]) -> TrialSet:
    """The gold answers of this judge's axis (columns of review/gold.py `gold_texts`), redacted; all in a day."""
    items = tuple(
        TrialItem(
            item=row["response_id"],
            group=row["source"],
            expected=row["score"],
            response_id=None if row["source"] == "catalog" else row["response_id"],
            query=redact(row["query"]),
            response=redact(row["response"]),
            context=row["context"] and redact(row["context"]),
            conversation=row["conversation"] and redact(row["conversation"]),
            reference=row["reference"] and redact(row["reference"]),
        )
        for row in texts.to_pylist()
        if row["axis"] == judge.axis
    )
    return TrialSet(name=NAME, version=SET_VERSION, items=items, a_day=len(items))


def is_due(lake: Lake, judge: Judge, trials: TrialSet, *, now: datetime) -> bool:
    """Whether the set is to be put to this version now. A round that was cut off is finished on the same day."""
    if not trials.items:
        return False
    days = {day for day in lake.days("verdicts") if day >= (now - EVERY).date()}
    told = literals([judge.name]), literals([judge.version])
    sql = f"""
    with tried as (
        select * from judge_trials
        where trial_set = '{NAME}' and judge = {told[0]} and judge_version = {told[1]}
    ),
    -- A round on the day of the latest trial is not over before every item was asked on it.
    latest as (select max(day) as day, max(tried_at) as tried_at from tried),
    served as (
        select arg_max(fingerprint, occurred_at) as fingerprint from verdicts
        where judge = {told[0]} and judge_version = {told[1]} and fingerprint is not null
            and occurred_at > (select tried_at from latest)
    )
    select
        (select tried_at from latest) as tried_at,
        (select count(distinct item) from tried where day = (select day from latest)) as asked,
        (select fingerprint from served) as serves,
        (select arg_max(fingerprint, tried_at) from tried) as served
    """
    (found,) = rows(lake, sql, {"judge_trials": None, "verdicts": days}).to_pylist()
    if found["tried_at"] is None or now - found["tried_at"] >= EVERY:
        return True
    is_half_done = found["tried_at"].date() == now.date() and found["asked"] < len(trials.items)
    is_another = None not in (found["serves"], found["served"]) and found["serves"] != found["served"]
    return is_half_done or is_another
