"""What a judge of sessions is shown: the last answer of a conversation, and all its turns before that one."""

from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, first_rows, rows, scan_files
from onlineeval_dagster.sampling.sessions import conversations_sql, idle_of, with_neighbours

GONE = "(no longer kept)"
_KEYS = "response_id, occurred_at, environment, app, session_id, user_id"
_TURNS = f"(select {_KEYS}, file_name, log_segment, log_offset, text_erased_at from ({first_rows('responses')}))"


def idle_for(catalog: Catalog, judge: Judge) -> timedelta | None:
    """The silence between conversations where the judge is one of sessions, else None."""
    return idle_of(catalog) if judge.is_of_sessions else None


def session_items(lake: Lake, work: pa.Table, idle: timedelta) -> Iterator[WorkItem]:
    """The last answers in `work` (columns as in judges/stage.py), each with the earlier turns of its conversation as
    `conversation`, oldest first; before them what the product itself sent as earlier turns of the first.
    """
    days = with_neighbours(work.column("day").unique().to_pylist())
    with engine(lake, {"responses": days & lake.days("responses")}) as connection:
        connection.register("work", work)
        connection.execute(f"create temp table turns as {conversations_sql(_TURNS, idle)}")
        connection.execute(_WHOLE_SQL)
        files = connection.execute("select distinct file_name from whole").fetchall()
        texts = connection.sql(_ITEMS_SQL.format(texts=scan_files("responses", [name for (name,) in files])))
        for batch in texts.to_arrow_reader(1_000):
            for row in batch.to_pylist():
                yield WorkItem(**row)


def newest_sessions(lake: Lake, answers: Sequence[WorkItem], idle: timedelta) -> list[WorkItem]:
    """Of some answers those that are the last of their conversation, with all of it, newest first."""
    days = [one.response_at.astimezone(UTC).date() for one in answers]
    work = pa.table(
        {
            "response_id": pa.array([one.response_id for one in answers], pa.string()),
            "day": pa.array(days, pa.date32()),
            "inclusion_probability": pa.nulls(len(answers), pa.float64()),
            "stratum": pa.nulls(len(answers), pa.string()),
            "replicate": pa.array([0] * len(answers), pa.int64()),
            "attempt": pa.array([0] * len(answers), pa.int64()),
        }
    )
    turns = f"(select {_KEYS} from ({first_rows('responses')}) where error is null)"
    sql = f"""
        select * from work semi join (
            from ({conversations_sql(turns, idle)})
            qualify row_number() over (
                partition by environment, app, who, conversation order by occurred_at desc, response_id desc
            ) = 1
        ) using (response_id)
    """
    lasts = rows(lake, sql, {"responses": with_neighbours(days) & lake.days("responses")}, work=work)
    found = list(session_items(lake, lasts, idle)) if len(lasts) else []
    return sorted(found, key=lambda one: one.response_at, reverse=True)


_WHOLE_SQL = """
create temp table whole as
select
    lasts.response_id as last_id,
    turns.response_id,
    turns.occurred_at,
    turns.file_name,
    turns.log_segment,
    turns.log_offset,
    turns.text_erased_at is null as is_kept
from turns
join (from turns semi join work using (response_id) where text_erased_at is null) as lasts
    using (environment, app, who, conversation)
where (turns.occurred_at, turns.response_id) <= (lasts.occurred_at, lasts.response_id)
"""

_ITEMS_SQL = f"""
with told as (
    select
        whole.last_id, whole.response_id, whole.occurred_at, is_kept,
        query, response, context, conversation, reference, error, environment, app
    from ({{texts}}) as text
    join whole using (file_name, log_segment, log_offset, response_id)
),
before as (
    select
        last_id,
        arg_min(conversation, (occurred_at, response_id)) as sent,
        string_agg(
            'User: ' || if(is_kept, query, '{GONE}') || chr(10) || 'Assistant: ' || case
                when not is_kept then '{GONE}'
                when error is not null then '(no answer: an error)'
                else response
            end,
            chr(10) order by occurred_at, response_id
        ) filter (where response_id <> last_id) as turns
    from told
    group by last_id
)
select
    response_id, occurred_at as response_at, query, response, context,
    case
        when turns is null then conversation
        when sent is null then turns
        else sent || chr(10) || turns
    end as conversation,
    reference, environment, app,
    work.inclusion_probability, work.stratum, work.replicate, work.attempt
from told
join before using (last_id)
join work using (response_id)
where response_id = last_id
"""
