"""Which answers people are asked to look at: the random audit, and, kept apart from it, what looks wrong.

    selections of `review` ────────────────────────────▶ audit: every one, with its chance
    complaints, verdicts, flags ──at most 20 a day─────▶ targeted: no chance, in no estimate

An answer of the audit is never targeted as well: people would know it from the first time. A targeted answer that the
audit draws later becomes one of the audit, and what was said of it before does not count for that.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import REVIEW, TARGETED, TARGETED_A_DAY
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.sampling.chance import unit_interval_sql

OPEN_DAYS = 28
"""How long people are asked about an answer: the corrected numbers rest on labels of so many days."""
ORDER = "review order"
"""Salt of the order in which people see answers: whoever stops half-way has labelled a random half."""

_SOURCES = ("selections", "signals", "verdicts", "labels")
_REASONS = ("complaint", "judges_disagree", "low_score", "unsure", "flagged")
"""The first that holds is the reason, and comes first where there are more than a day takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Days rewritten, the tasks in them by stream, and how many of these wait for somebody."""

    days: tuple[date, ...] = ()
    audit: int = 0
    targeted: int = 0
    waiting: int = 0


def asked_axes(judges: Iterable[Judge]) -> dict[str, Judge]:
    """The axes on which people are asked, each with the judge whose scale they use: an active one before a shadow.

    People look at single answers, so that axes of sessions are not among them.
    """
    ordered = sorted(
        (judge for judge in judges if not judge.is_of_sessions), key=lambda judge: judge.status != "active"
    )
    found: dict[str, Judge] = {}
    for judge in ordered:
        found.setdefault(judge.axis, judge)
    return found


def plan_tasks(lake: Lake, catalog: Catalog, *, now: datetime, days: Collection[date] | None = None) -> Planned:
    """Write the tasks of the days that changed since the last call (or `days`, for a backfill), of the last 28."""
    changes = {name: lake.changes(name, lake.read_through("review_tasks", name)) for name in _SOURCES}
    touched = set[date]().union(*(change.days for change in changes.values())) if days is None else set(days)
    first = (now - timedelta(days=OPEN_DAYS)).date()
    wanted = sorted(day for day in touched & lake.days("responses") if days is not None or day >= first)
    if not wanted:
        return Planned()
    table = tasks_of(lake, catalog, wanted)
    reads = {name: change.version for name, change in changes.items() if change.version >= 0}
    lake.replace_days("review_tasks", wanted, table, reads=reads if days is None else None)
    streams = table.column("stream").to_pylist()
    waiting = sum(
        labels < raters
        for labels, raters in zip(table.column("labels").to_pylist(), table.column("raters").to_pylist(), strict=True)
    )
    return Planned(days=tuple(wanted), audit=streams.count("audit"), targeted=streams.count(TARGETED), waiting=waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLabels:
    """Labels that say they are of the audit, and those of them whose answer it did not draw."""

    audit: int
    undrawn: int


def undrawn_labels(lake: Lake, *, now: datetime) -> AuditLabels:
    """Of the answers of the last 28 days. An import that states a chance of its own for other answers is seen here."""
    first = (now - timedelta(days=OPEN_DAYS)).date()
    days = {day for day in lake.days("labels") if day >= first}
    found = rows(lake, _UNDRAWN_SQL, {"labels": days, "selections": days}).to_pylist()[0]
    return AuditLabels(audit=found["audit"], undrawn=found["undrawn"])


def targeted_in_estimates(lake: Lake, *, now: datetime) -> int:
    """Labels of the last 28 days that would enter an estimate, of answers that looked wrong and were asked about."""
    first = (now - timedelta(days=OPEN_DAYS)).date()
    days = {day for day in lake.days("labels") if day >= first}
    sql = """
    with looked_wrong as (
        select response_id, axis from review_tasks where stream = 'targeted'
    )
    select count(*) as leaked
    from labels semi join looked_wrong using (response_id, axis)
    where stream = 'audit' and inclusion_probability is not null
    """
    return rows(lake, sql, {"labels": days, "review_tasks": days}).to_pylist()[0]["leaked"]


def tasks_of(lake: Lake, catalog: Catalog, days: Collection[date]) -> pa.Table:
    """The tasks of whole days, in the schema of `review_tasks`."""
    review = catalog.sampling.review
    axes = list(asked_axes(catalog.live_judges))
    raters = review.raters if review else {}
    asked = pa.table(
        {
            "axis": pa.array(axes, pa.string()),
            "raters": pa.array([raters.get(axis, 1) for axis in axes], pa.int64()),
        }
    )
    judges = pa.table(
        {
            "judge": pa.array([judge.name for judge in catalog.live_judges], pa.string()),
            "judge_version": pa.array([judge.version for judge in catalog.live_judges], pa.string()),
            "good_from": pa.array([judge.good_from for judge in catalog.live_judges], pa.int64()),
            "lowest": pa.array([min(judge.scale) for judge in catalog.live_judges], pa.int64()),
        }
    )
    sql = _SQL.format(
        most=review.targeted_a_day if review else TARGETED_A_DAY,
        order=unit_interval_sql("response_id", ORDER),
        reasons=f"[{literals(_REASONS)}]",
    )
    names = (*_SOURCES, "responses", "review_tasks")
    found = rows(lake, sql, dict.fromkeys(names, days), asked=asked, judges=judges)
    return found.select(TABLES["review_tasks"].schema.names).cast(TABLES["review_tasks"].schema)


_UNDRAWN_SQL = f"""
select
    count(*) as audit,
    count(*) filter (response_id not in (
        select response_id from selections
        where judge = '{REVIEW}' and state = 'selected' and stratum <> '{TARGETED}'
    )) as undrawn
from labels
where stream = 'audit' and inclusion_probability is not null
"""

_SQL = f"""
with
answers as (
    select response_id, min(occurred_at) as response_at, min(day) as day
    from responses
    where text_erased_at is null
    group by response_id
),
audit as (
    select response_id, any_value(inclusion_probability) as inclusion_probability
    from selections
    where judge = '{REVIEW}' and state = 'selected' and stratum <> '{TARGETED}'
    group by response_id
),
-- What is outside every judge's population (another environment) is nobody's task.
eligible as (select distinct response_id from selections where state <> 'filtered'),
scored as (
    select response_id, axis, score, expected_score, good_from, lowest
    from verdicts
    join judges using (judge, judge_version)
    where replicate = 0 and score is not null
    qualify row_number() over (partition by response_id, judge order by attempt desc, received_at) = 1
),
suspected as (
    select response_id, 'complaint' as reason from signals where kind = 'explicit' and score < 0
    union all
    select response_id, 'judges_disagree' from scored
    group by response_id, axis
    having bool_or(score >= good_from) and not bool_and(score >= good_from)
    union all
    select response_id, 'low_score' from scored where score <= lowest
    union all
    select response_id, 'unsure' from scored where abs(expected_score - score) >= 0.5
    union all
    select response_id, 'flagged' from selections
    where judge <> '{REVIEW}' and state = 'selected' and stratum in ('flagged', '{TARGETED}')
),
-- Who was asked for once stays asked for, though worse ones may come: somebody may be looking at it.
before as (select distinct response_id, reason from review_tasks where stream = '{TARGETED}'),
targeted as (
    select response_id, coalesce(min(before.reason), min_by(suspected.reason, rank)) as reason
    from (select *, list_position({{reasons}}, reason) as rank from suspected) as suspected
    full join before using (response_id)
    join eligible using (response_id)
    join answers using (response_id)
    where response_id not in (select response_id from audit)
    group by response_id, day
    qualify row_number() over (partition by day order by min(before.reason) is null, min(rank), {{order}}) <= {{most}}
),
chosen as (
    select response_id, 'audit' as stream, inclusion_probability, 'random' as reason from audit
    union all
    select response_id, '{TARGETED}', null, reason from targeted
),
said as (
    select response_id, axis, stream, count(distinct reviewer) as labels
    from labels
    where stream is not null
    group by all
)
select
    response_id,
    response_at,
    axis,
    stream,
    inclusion_probability,
    reason,
    raters,
    coalesce(labels, 0) as labels,
    day
from chosen
join answers using (response_id)
cross join asked
left join said using (response_id, axis, stream)
order by day, response_id, axis
"""
