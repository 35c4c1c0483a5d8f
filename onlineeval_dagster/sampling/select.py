"""Which responses a judge sees: a stratum, a known chance and a state for every eligible response, written once."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, Sampling
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows
from onlineeval_dagster.sampling.chance import unit_interval_sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What one call decided: rows written, how many of them selected, and the days they lie in."""

    days: tuple[date, ...]
    decided: int
    selected: int


def select_responses(lake: Lake, catalog: Catalog, *, now: datetime) -> Selected:
    """Decide for every eligible response that has no selection yet, for each judge that may be asked, in one commit.

    The facts known now (flags, deploys) decide; a later flag does not change the row, so that its chance stays true.
    A judge that the lake has never seen decides over all responses; a new version of one goes on with the new ones.
    For a remote judge, answers from before the budget was confirmed are filtered: no money is spent unasked.
    """
    judges = catalog.asked_judges
    read = {judge.name: lake.read_through("selections", f"responses for {judge.name}") for judge in judges}
    changed = {judge.name: lake.changes("responses", read[judge.name]) for judge in judges}
    tables = [_decide(lake, catalog, judge, changed[judge.name].days, now=now) for judge in judges]
    decided = pa.concat_tables([TABLES["selections"].schema.empty_table(), *tables])
    reads = {f"responses for {name}": changes.version for name, changes in changed.items()}
    if any(reads[key] != read[key.removeprefix("responses for ")] for key in reads):
        lake.append("selections", decided, reads=reads)
    selected = decided.filter(pc.field("state") == "selected").num_rows
    return Selected(
        days=tuple(sorted(decided.column("day").unique().to_pylist())), decided=len(decided), selected=selected
    )


def policy_version(sampling: Sampling, judge: Judge) -> str:
    """Twelve hex digits that change with anything that decides a chance."""
    return hashlib.sha256(f"{sampling.version}|{judge.name}|{judge.rate}".encode()).hexdigest()[:12]


def _decide(lake: Lake, catalog: Catalog, judge: Judge, days: Collection[date], *, now: datetime) -> pa.Table:
    schema = TABLES["selections"].schema
    if not days:
        return schema.empty_table()
    earlier = timedelta(hours=catalog.sampling.new_version.hours)
    first, last = min(days) - earlier - timedelta(days=1), max(days)
    deploy_days = {day for day in lake.days("deploys") if first <= day <= last}
    table = rows(
        lake,
        _selection_sql(catalog.sampling, judge, now=now),
        {"responses": days, "signals": days, "selections": days, "deploys": deploy_days},
        strata=_rates(catalog.sampling, judge),
    )
    return table.select(schema.names).cast(schema)


def _rates(sampling: Sampling, judge: Judge) -> pa.Table:
    """Stratum and rate; a judge's own rate replaces that of normal traffic."""
    normal = sampling.normal.rate if judge.rate is None else judge.rate
    rates = {"flagged": sampling.flagged.rate, "new_version": sampling.new_version.rate, "normal": normal}
    return pa.table({"stratum": list(rates), "rate": pa.array(rates.values(), pa.float64())})


def _selection_sql(sampling: Sampling, judge: Judge, *, now: datetime) -> str:
    environments = literals(sampling.environments)
    chance = unit_interval_sql("response_id", sampling.salt)
    return f"""
    with eligible as (
        select * from ({first_rows("responses")}) as answers
        where environment in ({environments})
        and not exists (
            from selections
            where selections.response_id = answers.response_id
            and selections.judge = '{judge.name}' and selections.judge_version = '{judge.version}'
        )
    ),
    flagged as (select distinct response_id from signals where flagged),
    fresh as (
        select distinct eligible.response_id
        from eligible
        join deploys
            on (deploys.prompt_version = eligible.prompt_version or deploys.variant = eligible.variant)
            and eligible.occurred_at >= deploys.occurred_at
            and eligible.occurred_at < deploys.occurred_at + to_seconds({sampling.new_version.hours * 3600})
    ),
    placed as (
        select
            response_id,
            occurred_at as response_at,
            day,
            error is not null or {_is_unpaid(sampling, judge)} as is_filtered,
            case
                when response_id in (from flagged) then 'flagged'
                when response_id in (from fresh) then 'new_version'
                else 'normal'
            end as stratum
        from eligible
    )
    select
        response_id,
        response_at,
        '{judge.name}' as judge,
        '{judge.axis}' as axis,
        '{judge.version}' as judge_version,
        stratum,
        case when not is_filtered then rate end as inclusion_probability,
        case
            when is_filtered then 'filtered'
            when {chance} < rate then 'selected'
            else 'not_selected'
        end as state,
        '{policy_version(sampling, judge)}' as policy_version,
        '{now.isoformat()}'::timestamptz as selected_at,
        day
    from placed
    join strata using (stratum)
    """


def _is_unpaid(sampling: Sampling, judge: Judge) -> str:
    """SQL: whether nobody agreed to pay for judging the answer. A remote judge without a budget is not asked at all."""
    budget = sampling.budget
    if judge.is_local or budget is None or budget.judge_history:
        return "false"
    return f"occurred_at < '{budget.confirmed_at.isoformat()}'::timestamptz"
