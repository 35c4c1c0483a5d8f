"""How the judges stand: what waits, what was done, what it cost, and whether one answers at all.

States are of the judge's present version, by the day of the response, as `selection_outcomes` counts them. Calls,
tokens and dollars are of all of its versions, trials among them, by when the call was made: they are its money.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.judges.state import JudgeState, Pause
from onlineeval_dagster.judges.trials import latest_reliability
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine

WEEK_DAYS = 7
"""Today (UTC) and the six days before it."""

TICK_DAYS = 14
"""Response days that a tick looks at: a judge catches up on 7 (judges/stage.py), and the week of the counts."""

LAST = 100
"""Verdicts of the last seven days that say whether a judge answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of one judge in one period. `calls` are HTTP calls; a local judge makes none. `cost_usd` in US dollars."""

    pending: int = 0
    done: int = 0
    failed: int = 0
    shed: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The last verdicts of a judge's present version, at most `LAST`, those that were shed left out.

    kind, message  of the commonest error and of its latest case; None where there is none
    """

    verdicts: int = 0
    errors: int = 0
    kind: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What `home/state/judges.sqlite` holds: pauses that stand by judge, and US dollars booked today by judge."""

    pauses: Mapping[str, Pause] = field(default_factory=dict)
    booked_usd: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeStatus:
    """One live judge.

    is_waiting         for a confirmed budget: nothing is sent to its model
    latency_median_ms  of the HTTP calls of the week that brought a verdict; None where there were none
    reliability        as measured last; None before the first time
    booked_usd         of today's budget, with what calls in flight may cost; None where the judge has no budget
    """

    judge: Judge
    is_waiting: bool
    today: Counts
    week: Counts
    answered: Answered
    latency_median_ms: float | None
    booked_usd: float | None
    pause: Pause | None
    reliability: JudgeReliability | None = None


def judge_status(
    lake: Lake, catalog: Catalog, memory: Memory, *, now: datetime, days: Collection[date] | None = None
) -> list[JudgeStatus]:
    """Every live judge of the catalog, in its order.

    `days` limits the response days whose verdicts are read; None reads all, of which parts without a verdict of the
    week are skipped by their statistics.
    """
    judges = catalog.live_judges
    if not judges:
        return []
    today = now.date()
    since = today - timedelta(days=WEEK_DAYS - 1)
    served = {day for day in lake.days("selections") if day >= since}
    read = (lake.days("verdicts") if days is None else frozenset(days)) | served
    tried = {day for day in lake.days("judge_trials") if day >= since}
    with engine(lake, {"selections": served, "verdicts": read, "judge_trials": tried}) as connection:
        connection.register("periods", pa.table({"period": ["today", "week"], "since": [today, since]}))
        versions = {"judge": [judge.name for judge in judges], "judge_version": [judge.version for judge in judges]}
        connection.register("versions", pa.table(versions))
        connection.execute(_SAID, {"since": since})
        states, calls, told, latency = (
            connection.sql(sql).to_arrow_table().to_pylist() for sql in (_STATES, _CALLS, _ANSWERED, _LATENCY)
        )
    measured = latest_reliability(lake)
    counts = _counts([*states, *calls])
    answered = {row.pop("judge"): Answered(**row) for row in told}
    medians = {row["judge"]: row["median_ms"] for row in latency}
    return [
        JudgeStatus(
            judge=judge,
            is_waiting=judge in catalog.waiting_judges,
            today=Counts(**counts.get(("today", judge.name), {})),
            week=Counts(**counts.get(("week", judge.name), {})),
            answered=answered.get(judge.name, Answered()),
            latency_median_ms=medians.get(judge.name),
            booked_usd=None if judge.daily_budget_usd is None else memory.booked_usd.get(judge.name, 0.0),
            pause=memory.pauses.get(judge.name),
            reliability=measured.get((judge.name, judge.version)),
        )
        for judge in judges
    ]


def remembered(
    file: Path, judges: Iterable[Judge], *, today: date, cause: Callable[[Judge], str | None] | None = None
) -> Memory:
    """What the judges' state says; nothing where the file is not there, which reading never makes.

    `cause` says what a refusal may rest on now (`cause_with` of judges/client.py): a pause that rests on another key,
    address or judge file is over. Where it says None, or is none, every pause counts.
    Raises JudgeError where the file cannot be read.
    """
    if not file.exists():
        return Memory()
    judges = list(judges)
    with JudgeState(file) as state:
        any_pause = {pause.judge: pause for pause in state.pauses()}
        now_rests_on = {judge.name: cause(judge) if cause else None for judge in judges}
        standing = {
            name: any_pause.get(name) if on is None else state.pause_of(name, cause=on)
            for name, on in now_rests_on.items()
        }
        return Memory(
            pauses={name: pause for name, pause in standing.items() if pause is not None},
            booked_usd={judge.name: state.spent(judge.name, today) for judge in judges},
        )


def tick_days(lake: Lake) -> frozenset[date]:
    """The last response days that have verdicts: what a tick looks at."""
    return frozenset(sorted(lake.days("verdicts"))[-TICK_DAYS:])


def _counts(found: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    counts: dict[tuple[str, str], dict[str, Any]] = {}
    for row in found:
        key = (row.pop("period"), row.pop("judge"))
        counts[key] = counts.get(key, {}) | row
    return counts


# A verdict that came twice counts once. What was said before the week, of a response of the week, ended its waiting.
_SAID = """
create temp table said as
select
    response_id, judge, judge_version, replicate, score, error_kind, error, latency_ms, input_tokens, output_tokens,
    cost_usd, occurred_at, occurred_at::date as said_on,
    case when latency_ms is null then 0 else coalesce((attributes ->> 'tries')::int, 1) end as calls
from verdicts
where occurred_at::date >= $since or day >= $since
qualify row_number() over (partition by event_id order by received_at, log_segment, log_offset) = 1
"""

_STATES = """
with tried as (
    select
        response_id, judge, judge_version, count(score) as scores, count(*) filter (error_kind = 'shed') as shed
    from said
    where replicate = 0
    group by all
),
ended as (
    select
        judge, day,
        case
            when selections.state = 'shed' then 'shed'
            when tried.scores > 0 then 'done'
            when tried.shed > 0 then 'shed'
            when tried.scores = 0 then 'failed'
            else 'pending'
        end as state
    from selections
    join versions using (judge, judge_version)
    left join tried using (response_id, judge, judge_version)
    where selections.state in ('selected', 'shed')
)
select
    period, judge,
    count(*) filter (state = 'pending') as pending,
    count(*) filter (state = 'done') as done,
    count(*) filter (state = 'failed') as failed,
    count(*) filter (state = 'shed') as shed
from ended join periods on day >= since
group by all
"""

_CALLS = """
select
    period, judge, sum(calls)::bigint as calls, coalesce(sum(input_tokens), 0)::bigint as input_tokens,
    coalesce(sum(output_tokens), 0)::bigint as output_tokens, coalesce(sum(cost_usd), 0)::double as cost_usd
from (
    select judge, said_on, calls, input_tokens, output_tokens, cost_usd from said
    union all
    select judge, day, (latency_ms is not null)::int, input_tokens, output_tokens, cost_usd from judge_trials
)
join periods on said_on >= since
group by all
"""

_ANSWERED = f"""
with told as (
    select * from said join versions using (judge, judge_version)
    where error_kind is distinct from 'shed' and said_on >= (select min(since) from periods)
    qualify row_number() over (partition by judge order by occurred_at desc, response_id) <= {LAST}
),
commonest as (
    select judge, mode(error_kind) as kind from told group by judge
)
select
    judge, count(*) as verdicts, count(error_kind) as errors, any_value(kind) as kind,
    arg_max(error, occurred_at) filter (error_kind = kind) as message
from told join commonest using (judge)
group by judge
"""

_LATENCY = """
select judge, median(latency_ms) as median_ms
from said join versions using (judge, judge_version)
where latency_ms is not null and said_on >= (select min(since) from periods)
group by judge
"""
