"""Which selected responses still wait for a verdict, and what to hand to the judges. Every verdict goes to the log."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.client import EndpointOf
from onlineeval_dagster.judges.rubric import Redact, unchanged
from onlineeval_dagster.judges.runner import Record, RunSummary, judge_all
from onlineeval_dagster.judges.sessions import idle_for, session_items
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, literals, rows, scan_files
from onlineeval_dagster.sampling.chance import unit_interval_sql

ATTEMPTS = 3
"""Verdicts that failed are asked for again in later runs, so often in all; a local judge never changes its mind."""

# A judge that was paused catches up on so many days; what is older stays pending.
CATCH_UP_DAYS = 7

_PENDING_SQL = f"""
with tried as (
    select response_id, judge, judge_version, replicate, count(distinct attempt) as attempts, count(score) as scores,
        count(*) filter (error_kind = 'shed') as shed
    from verdicts
    group by all
),
selected as (
    select response_id, judge, judge_version, inclusion_probability, stratum, day, attempts_allowed, repeats
    from selections
    join versions using (judge, judge_version)
    where state = 'selected'
),
wanted as (
    select *, 0 as replicate from selected
    union all by name
    -- Judged once more: a share, by a hash of its own, of the drawn answers that have their score.
    select *, 1 as replicate
    from selected
    where inclusion_probability is not null
    and {unit_interval_sql("judge || ':' || response_id", "repeat")} < repeats
    and exists (
        from tried
        where tried.response_id = selected.response_id and tried.judge = selected.judge
        and tried.judge_version = selected.judge_version and tried.replicate = 0 and tried.scores > 0
    )
)
select
    wanted.response_id,
    wanted.judge,
    wanted.inclusion_probability,
    wanted.stratum,
    wanted.day,
    wanted.replicate,
    coalesce(tried.attempts, 0) as attempt
from wanted
left join tried using (response_id, judge, judge_version, replicate)
where
    coalesce(tried.scores, 0) = 0
    and coalesce(tried.shed, 0) = 0
    and coalesce(tried.attempts, 0) < attempts_allowed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Selected responses without a verdict: columns response_id, judge, inclusion_probability, stratum, day, replicate,
    attempt. Replicate 1 is of those that are judged once more.

    selections_version  of the lake that this was read from
    """

    work: pa.Table
    selections_version: int

    def of(self, judge: Judge) -> pa.Table:
        return self.work.filter(pc.field("judge") == judge.name)

    @property
    def again(self) -> "Pending":
        """Only what is judged once more, and was not tried yet."""
        return replace(self, work=self.work.filter((pc.field("replicate") == 1) & (pc.field("attempt") == 0)))


def pending_work(lake: Lake, catalog: Catalog) -> Pending:
    """What waits: on the days with new selections, and on the last days that have any."""
    changes = lake.changes("selections", lake.read_through("verdicts", "selections"))
    have = lake.days("selections")
    recent = {day for day in have if have and day > max(have) - timedelta(days=CATCH_UP_DAYS)}
    days = (changes.days | recent) & have
    judges = catalog.asked_judges
    versions = pa.table(
        {
            "judge": pa.array([judge.name for judge in judges], pa.string()),
            "judge_version": pa.array([judge.version for judge in judges], pa.string()),
            "attempts_allowed": pa.array([1 if judge.is_local else ATTEMPTS for judge in judges], pa.int64()),
            "repeats": pa.array([judge.repeats for judge in judges], pa.float64()),
        }
    )
    work = rows(lake, _PENDING_SQL, {"selections": days, "verdicts": days}, versions=versions)
    return Pending(work=work, selections_version=changes.version)


def run_judges(
    lake: Lake,
    catalog: Catalog,
    pending: Pending,
    *,
    endpoint: EndpointOf,
    record: Record,
    now: Callable[[], datetime],
    state: JudgeState | None = None,
    redact: Redact = unchanged,
) -> tuple[list[RunSummary], JudgeError | None]:
    """Ask every live judge for its pending verdicts; a judge that cannot be asked leaves the others their work.

    `state` holds pauses and the day's spending between runs; `redact` is put on every text before a remote judge sees
    it. Returns a summary a judge, and the error that kept the remote ones from starting (a missing key), if any.
    """
    judges = [judge for judge in catalog.asked_judges if len(pending.of(judge))]
    tasks = [(judge, items_of(lake, pending.of(judge), idle=idle_for(catalog, judge))) for judge in judges]
    local = [task for task in tasks if task[0].is_local]
    remote = [task for task in tasks if not task[0].is_local]
    summaries = judge_all(local, endpoint=endpoint, record=record, now=now)
    try:
        done = judge_all(remote, endpoint=endpoint, record=record, now=now, state=state, redact=redact)
        return summaries + done, None
    except JudgeError as error:
        return summaries, error


def mark_judged(lake: Lake, pending: Pending) -> None:
    """Record that every selection up to `pending` has been put to its judges; failures are found by the catch-up."""
    if lake.read_through("verdicts", "selections") != pending.selections_version:
        reads = {"selections": pending.selections_version}
        lake.append("verdicts", TABLES["verdicts"].schema.empty_table(), reads=reads)


def judged_days(lake: Lake, catalog: Catalog, days: Collection[date]) -> list[tuple[str, date]]:
    """Which versions of the catalog's judges have scored answers of `days`: (`name:version`, day), sorted."""
    names = literals(judge.name for judge in catalog.judges)
    sql = (
        "select distinct judge || ':' || judge_version as version, day from verdicts "
        f"where score is not null and replicate = 0 and judge in ({names or 'null'}) order by all"
    )
    found = rows(lake, sql, {"verdicts": set(days)}) if days else None
    return [] if found is None else [(row["version"], row["day"]) for row in found.to_pylist()]


def items_of(lake: Lake, work: pa.Table, *, idle: timedelta | None = None) -> Iterator[WorkItem]:
    """The responses' texts with their work, read in batches: memory stays flat. What has no text any more is left.

    `idle` is given for a judge of sessions (judges/sessions.py).
    """
    if idle is not None:
        yield from session_items(lake, work, idle)
        return
    days: Collection[date] = set(work.column("day").unique().to_pylist())
    with engine(lake, {"responses": days}) as connection:
        connection.register("work", work)
        places = connection.sql(
            "select response_id, file_name, log_segment, log_offset from responses semi join work using (response_id) "
            "where text_erased_at is null "
            "qualify row_number() over (partition by response_id order by received_at, log_segment, log_offset) = 1"
        ).to_arrow_table()
        connection.register("places", places)
        texts = connection.sql(
            "select response_id, occurred_at as response_at, query, response, context, conversation, reference, "
            "environment, app, work.inclusion_probability, work.stratum, work.replicate, work.attempt "
            f"from ({scan_files('responses', places.column('file_name').unique().to_pylist())}) as text "
            "join places using (file_name, log_segment, log_offset, response_id) join work using (response_id)"
        ).to_arrow_reader(5_000)
        for batch in texts:
            for row in batch.to_pylist():
                yield WorkItem(**row)
