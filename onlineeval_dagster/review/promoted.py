"""Promotions as the log recorded them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.review.promoting import PROMOTED

LOOKED_BACK = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """One promotion: which version, when, whether the gate held then, and the reason that was given."""

    judge: str
    judge_version: str
    promoted_at: datetime
    ready: bool
    reason: str


def promotions(lake: Lake, *, now: datetime) -> list[Promoted]:
    """Of the last 90 days, the latest first."""
    days = {day for day in lake.days("events") if day >= (now - LOOKED_BACK).date()}
    sql = f"""
    select attributes ->> '$.judge' as judge, attributes ->> '$.judge_version' as judge_version,
        occurred_at as promoted_at, (attributes ->> '$.ready')::boolean as ready, description as reason
    from ({first_rows("events")})
    where name = '{PROMOTED}'
    order by occurred_at desc
    """
    return [Promoted(**row) for row in rows(lake, sql, {"events": days}).to_pylist()]


def unbacked(lake: Lake, *, now: datetime) -> list[Promoted]:
    """Those that went through although the gate did not hold."""
    return [one for one in promotions(lake, now=now) if not one.ready]
