"""Evaluate the rules over the newest points, and write what became of alerts and incidents: whole changed days."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

import pyarrow as pa

from onlineeval_dagster.alerts.deploy_findings import find_after_deploys
from onlineeval_dagster.alerts.findings import find
from onlineeval_dagster.alerts.incidents import gathered, incidents_of
from onlineeval_dagster.alerts.life import live_on
from onlineeval_dagster.alerts.said import read_said
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert, Incident
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows

Row = TypeVar("Row", bound=Contract)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Every alert and incident there is, and the days of each table that were written."""

    alerts: tuple[Alert, ...]
    incidents: tuple[Incident, ...]
    alert_days: tuple[date, ...]
    incident_days: tuple[date, ...]


def evaluate(lake: Lake, catalog: Catalog, *, now: datetime) -> Evaluated:
    """Look at everything that is mature by `now`. Done again it writes nothing; killed between the two tables, the
    next call writes the second from the first."""
    stored = read_alerts(lake)
    found = [*find(lake, catalog, now=now), *find_after_deploys(lake, catalog, now=now)]
    alive = live_on(stored, found, catalog.alerts.live, read_said(lake, now=now), now=now)
    alerts = gathered(alive, together=timedelta(minutes=catalog.alerts.budget.together_minutes))
    incidents = incidents_of(alerts, catalog.alerts)
    alert_days = replace_changed(lake, "alerts", stored, alerts, Alert, lambda one: one.began_at)
    incident_days = replace_changed(
        lake, "incidents", read_incidents(lake), incidents, Incident, lambda one: one.opened_at
    )
    return Evaluated(
        alerts=tuple(alerts), incidents=tuple(incidents), alert_days=alert_days, incident_days=incident_days
    )


def read_alerts(lake: Lake) -> list[Alert]:
    """Every alert on record: there are a few a week."""
    found = rows(lake, "select * exclude (day, file_name) from alerts order by began_at, alert_id", {"alerts": None})
    return from_table(found, Alert)


def read_incidents(lake: Lake) -> list[Incident]:
    """Every incident on record."""
    sql = "select * exclude (day, file_name) from incidents order by opened_at, incident_id"
    return from_table(rows(lake, sql, {"incidents": None}), Incident)


def replace_changed(
    lake: Lake,
    name: str,
    stored: Sequence[Row],
    wanted: Sequence[Row],
    contract: type[Row],
    instant: Callable[[Row], datetime],
) -> tuple[date, ...]:
    """Put the rows of the days that are not as they should be in place; returns these days."""
    before, after = _by_day(stored, instant), _by_day(wanted, instant)
    changed = sorted(day for day in before.keys() | after.keys() if before.get(day) != after.get(day))
    if not changed:
        return ()
    rows_of = [(day, row) for day in changed for row in after.get(day, ())]
    days = pa.array([day for day, _ in rows_of], pa.date32())
    table = to_table(list[Contract](row for _, row in rows_of), contract).append_column(DAY, days)
    lake.replace_days(name, changed, table.cast(TABLES[name].schema))
    return tuple(changed)


def _by_day(some: Sequence[Row], instant: Callable[[Row], datetime]) -> dict[date, list[Row]]:
    days: dict[date, list[Row]] = {}
    for row in sorted(some, key=lambda one: (instant(one), str(one))):
        days.setdefault(instant(row).date(), []).append(row)
    return days


def evaluation_key(catalog: Catalog, *, now: datetime) -> str | None:
    """Changes when a window of any rule has become mature; None where no rule looks at windows."""
    waits = sorted({rule.wait_minutes for rule in catalog.alerts.timed.values()})
    if not waits:
        return None
    newest = (now - timedelta(minutes=wait) for wait in waits)
    return "windows " + " ".join(f"{at:%Y-%m-%dT%H}" for at in newest)
