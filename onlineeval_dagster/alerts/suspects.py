"""What was put into production, and what else people said had happened, near an incident."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows

MOST = 40
"""Suspects of one incident; of more the latest ones."""
RARE = 10
"""An event whose name comes more often within reach is traffic, not something that happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A deploy, or an event that was sent: what it touches and from when on.

    app               only its answers are touched
    column, value     of a deploy that names one: prompt_version, variant or model
    ended_at          of an event that is over
    """

    kind: Literal["deploy", "event"]
    name: str
    app: str
    occurred_at: datetime
    ended_at: datetime | None = None
    column: str | None = None
    value: str | None = None


def read_suspects(lake: Lake, environments: tuple[str, ...], *, begin: datetime, end: datetime) -> list[Suspect]:
    """Deploys and events from `begin` to `end`, oldest first; an event of the house itself is none."""
    days = {table: _near(lake, table, begin, end) for table in ("deploys", "events")}
    span = _span(environments, begin, end)
    sql = f"""
    select 'deploy' as kind, deploy_id as name, app, occurred_at, null::timestamptz as ended_at,
        case when prompt_version is not null then 'prompt_version' when variant is not null then 'variant'
            when model is not null then 'model' end as column,
        coalesce(prompt_version, variant, model) as value
    from ({first_rows("deploys")}) where {span}
    qualify row_number() over (partition by deploy_id order by occurred_at) = 1
    union all by name
    select 'event' as kind, name, app, occurred_at, ended_at
    from ({first_rows("events")}) where {span} and not starts_with(name, 'onlineeval.')
    qualify count(*) over (partition by name) <= {RARE}
        and row_number() over (partition by name order by occurred_at desc) = 1
    order by occurred_at, name
    """
    return [Suspect(**row) for row in rows(lake, sql, days).to_pylist()][-MOST:]


def deploy_times(lake: Lake, environments: tuple[str, ...], *, begin: datetime, end: datetime) -> list[datetime]:
    """When there were deploys."""
    sql = f"select distinct occurred_at from deploys where {_span(environments, begin, end)} order by occurred_at"
    return rows(lake, sql, {"deploys": _near(lake, "deploys", begin, end)}).column("occurred_at").to_pylist()


def _span(environments: tuple[str, ...], begin: datetime, end: datetime) -> str:
    return (
        f"occurred_at >= timestamptz '{begin.isoformat()}' and occurred_at < timestamptz '{end.isoformat()}' "
        f"and environment in ({literals(environments)})"
    )


def _near(lake: Lake, table: str, begin: datetime, end: datetime) -> set[date]:
    return {day for day in lake.days(table) if begin.date() <= day <= end.date()}
