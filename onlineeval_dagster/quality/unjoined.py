"""Odd actions, counted: those of no known response (kept, joined when it arrives), early ones and repeated ones."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.quality.suite import joined_limits
from onlineeval_dagster.signals.behaviour import ATTRIBUTION_DAYS, SKEW_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjoined:
    """Of `actions` looked at, `count` speak of a response that is not there, or that is too far from them in time.

    oldest    when the first of them occurred, aware UTC; None where there is none
    waiting   those young enough that their response may still be on its way
    early     actions that say they happened before their response: clocks disagree. They are joined all the same
    repeated  rows that tell an event again; they are counted nowhere else
    """

    actions: int
    count: int
    oldest: datetime | None
    waiting: int
    early: int
    repeated: int

    @property
    def share(self) -> float:
        """Of the actions that are old enough, the share that speaks of no known response, in [0, 1]."""
        settled = self.actions - self.waiting
        return (self.count - self.waiting) / settled if settled else 0.0

    @property
    def passed(self) -> bool:
        return self.share <= joined_limits().share


def recent_days(lake: Lake, table: str = "actions") -> list[date]:
    """The last two days that a table has: what a tick looks at."""
    return sorted(lake.days(table))[-2:]


def unjoined_actions(lake: Lake, days: Collection[date] | None = None, *, now: datetime) -> Unjoined:
    """Count the actions of `days` (None: all) without a response from 30 days before to one day after.

    A repeated event counts once. Far days of responses are read only for actions that near days leave open.
    """
    wanted = lake.days("actions") if days is None else frozenset(days)
    sql = f"select event_id, response_id, occurred_at, day from ({first_rows('actions')})"
    told = rows(lake, sql, {"actions": wanted})
    open_ones = told
    for before in (SKEW_DAYS, ATTRIBUTION_DAYS):
        if open_ones.num_rows:
            open_ones = _without_response(lake, open_ones, before)
    since = now - timedelta(hours=joined_limits().hours)
    times = open_ones.column("occurred_at").to_pylist()
    lines = rows(lake, "select count(*) as lines from actions", {"actions": wanted}).column("lines")[0].as_py()
    return Unjoined(
        actions=told.num_rows,
        count=len(times),
        oldest=min(times, default=None),
        waiting=sum(time > since for time in times),
        early=_early(lake, told),
        repeated=lines - told.num_rows,
    )


def _without_response(lake: Lake, actions: pa.Table, before: int) -> pa.Table:
    days = actions.column("day").unique().to_pylist()
    near = {day + timedelta(days=shift) for day in days for shift in range(-before, SKEW_DAYS + 1)}
    sql = (
        "select * from told where not exists (select 1 from responses where responses.response_id = told.response_id "
        f"and responses.day between told.day - {before} and told.day + {SKEW_DAYS})"
    )
    return rows(lake, sql, {"responses": near & lake.days("responses")}, told=actions)


def _early(lake: Lake, actions: pa.Table) -> int:
    """Only a response of the same day or the next can lie behind its action."""
    days = actions.column("day").unique().to_pylist()
    near = {day + timedelta(days=shift) for day in days for shift in range(SKEW_DAYS + 1)} & lake.days("responses")
    sql = (
        "with answered as (select response_id, min(occurred_at) as answered_at from responses group by response_id) "
        "select count(*) as early from told join answered using (response_id) where told.occurred_at < answered_at"
    )
    return rows(lake, sql, {"responses": near}, told=actions).column("early")[0].as_py()
