"""Sessions as units of a draw: the last answer of a conversation carries its row, the others are filtered.

A conversation is a session's answers (its user's where no session id came, in one app and environment) with no more
than the idle time between them, as in signals/conversation.py. An answer that another one follows is filtered as soon
as that is known. The last one is decided once the conversation has been idle, by a hash of the session and not of the
answer: whichever turns have come in, the same sessions are drawn. A turn that comes after the decision is filtered,
for its conversation has its row. Answers that failed are turns, and carry no row.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import TARGETED
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows
from onlineeval_dagster.sampling.chance import unit_interval_sql
from onlineeval_dagster.sampling.closing import is_drawn_by_window
from onlineeval_dagster.sampling.draw import SETTLE

ENDED = "sessions ended, in minutes since 1970"
_STEP_MINUTES = 10
"""How often it is looked for sessions that ended: an answer more that waits has cost nothing by then."""


def idle_of(catalog: Catalog) -> timedelta:
    """How long a silence ends a conversation."""
    return timedelta(minutes=catalog.signals.sessions.idle_minutes)


def with_neighbours(days: Collection[date]) -> frozenset[date]:
    """`days` and one each side: conversations cross midnight, and an idle time is at most a day."""
    return frozenset(day + timedelta(days=more) for day in days for more in (-1, 0, 1))


def days_to_end(lake: Lake, catalog: Catalog, *, now: datetime) -> frozenset[date]:
    """Days with answers of sessions that ended since the last call; none where no judge is asked of any."""
    last = lake.read_through("selections", ENDED)
    if last is None or not _is_needed(catalog) or last >= _ended_through(catalog, now):
        return frozenset()
    if is_drawn_by_window(catalog.sampling):  # what waits for its window's close came before `last` already
        last -= last % catalog.sampling.window_minutes
    since, until = (datetime.fromtimestamp(at * 60, UTC) for at in (last, _ended_through(catalog, now)))
    days = {day for day in lake.days("responses") if since.date() <= day <= until.date()}
    sql = (
        "select distinct day from responses "
        f"where occurred_at > '{since.isoformat()}'::timestamptz and occurred_at <= '{until.isoformat()}'::timestamptz"
    )
    ended = rows(lake, sql, {"responses": days}).column("day").to_pylist() if days else []
    # The last turn may have failed after midnight, and the answer before it carries the row.
    return frozenset(day - timedelta(days=back) for day in ended for back in (0, 1)) & lake.days("responses")


def place_of_ending(lake: Lake, catalog: Catalog, *, now: datetime) -> dict[str, int]:
    """What a commit remembers of it; nothing where no session with answers can have ended."""
    if not _is_needed(catalog) or not lake.exists("responses"):
        return {}
    if lake.read_through("selections", ENDED) is not None and not days_to_end(lake, catalog, now=now):
        return {}
    return {ENDED: _ended_through(catalog, now)}


def _is_needed(catalog: Catalog) -> bool:
    return any(judge.is_of_sessions for judge in catalog.asked_judges)


def _ended_through(catalog: Catalog, now: datetime) -> int:
    minutes = int((now - SETTLE - idle_of(catalog) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(minutes=1))
    return minutes - minutes % _STEP_MINUTES


def conversations_sql(turns: str, idle: timedelta) -> str:
    """A select over `turns`, a relation with the columns of responses: these, `who`, and `conversation`, a number
    within environment, app and who. Grain: one answer.
    """
    return f"""
    select * exclude (begins), count(*) filter (where begins) over past as conversation
    from (
        select *,
            coalesce(occurred_at - lag(occurred_at) over past > to_seconds({idle.total_seconds()}), true) as begins
        from (
            select *, coalesce('session ' || session_id, 'user ' || user_id, 'answer ' || response_id) as who
            from {turns}
        )
        window past as (partition by environment, app, who order by occurred_at, response_id)
    )
    window past as (partition by environment, app, who order by occurred_at, response_id)
    """


def sessions_sql(environments: Sequence[str], idle: timedelta, salts: Sequence[str]) -> str:
    """A select over `responses` and `placed`: response_id, conversation, is_last, ended_at, stratum and chance_0,
    chance_1 … in the order of `salts`. Grain: one eligible answer. The stratum is the conversation's: flagged or of a
    new version as soon as one of its answers is, else the answer's own.
    """
    chances = ",\n        ".join(f"{unit_interval_sql('unit', salt)} as chance_{n}" for n, salt in enumerate(salts))
    columns = "response_id, occurred_at, environment, app, session_id, user_id, error, day"
    turns = f"(select {columns} from ({first_rows('responses')}) where environment in ({literals(environments)}))"
    return f"""
    with turns as ({conversations_sql(turns, idle)}),
    numbered as (
        select
            response_id,
            concat_ws(' ', environment, app, who, conversation, min(turns.day) over whole) as conversation,
            -- A user without sessions must not be drawn, or passed over, for ever.
            if(starts_with(who, 'user '), concat_ws(' ', who, turns.day), who) as unit,
            row_number() over (whole order by turns.error is not null, occurred_at desc, response_id desc) = 1
                and turns.error is null as is_last,
            max(occurred_at) over whole as ended_at,
            case
                when bool_or(placed.stratum = 'flagged') over whole then 'flagged'
                when bool_or(placed.stratum = 'watched') over whole then 'watched'
                when bool_or(placed.stratum = 'new_version') over whole then 'new_version'
                else placed.stratum
            end as stratum
        from turns join placed using (response_id)
        window whole as (partition by environment, app, who, conversation)
    )
    select response_id, conversation, is_last, ended_at, stratum,
        {chances}
    from numbered
    """


def undecided_sql(
    judge: str, version: str, days: str, chance: int, unpaid: str, idle: timedelta, *, now: datetime
) -> str:
    """The answers of `days` (SQL literals) without a row of the judge's version that can have one now, from `placed`,
    `sessions` and `selections`: as in sampling/decide.py.
    """
    due = (now - SETTLE - idle).isoformat()
    return f"""
    with own as (
        select response_id, state from selections
        where judge = '{judge}' and judge_version = '{version}' and stratum <> '{TARGETED}'
    ),
    decided as (
        select distinct conversation from sessions
        semi join (select response_id from own where state <> 'filtered') using (response_id)
    )
    select
        placed.response_id, placed.response_at, placed.day, sessions.stratum, placed.window_start,
        sessions.chance_{chance} as chance,
        not sessions.is_last or {unpaid} or conversation in (from decided) as is_filtered
    from placed join sessions using (response_id)
    where placed.day in ({days})
    and placed.response_id not in (select response_id from own)
    and (not sessions.is_last or sessions.ended_at <= '{due}'::timestamptz)
    """
