"""Causes of incidents on record: which are looked at again, and whole changed days of `incident_causes`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.alerts.cause_points import HOUR
from onlineeval_dagster.alerts.causes import causes_of
from onlineeval_dagster.alerts.condemned import beside_condemned, condemned_causes
from onlineeval_dagster.alerts.deploy_findings import SLICE as DEPLOY
from onlineeval_dagster.alerts.deploy_looks import read_looks
from onlineeval_dagster.alerts.incidents import ranked
from onlineeval_dagster.alerts.look import Look
from onlineeval_dagster.alerts.series import STEP
from onlineeval_dagster.alerts.stage import replace_changed
from onlineeval_dagster.alerts.suspects import read_suspects
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert, Incident, IncidentCause
from onlineeval_dagster.contracts.arrow import from_table
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows

LOOKED_BACK = timedelta(hours=48)
"""Before an incident began: so far its suspects and its level are looked for."""
SETTLED = timedelta(hours=24)
"""After its first alert fired: what comes later says no more of when it began."""
LATE = timedelta(hours=24)
"""So long after that, answers and checks that come late are taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributed:
    """The causes of every incident, how many incidents were looked at in this run, and the days written."""

    causes: tuple[IncidentCause, ...]
    looked_at: int
    days: tuple[date, ...]


def attribute(
    file: Path, lake: Lake, catalog: Catalog, incidents: Sequence[Incident], alerts: Sequence[Alert], *, now: datetime
) -> Attributed:
    """Look for the causes of incidents that are not settled yet, or have none on record. Done again it writes nothing.

    The caller holds the warehouse `file`; incidents that need no look do not open it.
    """
    stored = read_causes(lake)
    done = {one.incident_id for one in stored}
    fresh = [one for one in incidents if one.incident_id not in done or _moves(one, now)]
    looked = {one.incident_id for one in fresh}
    known = {one.incident_id for one in incidents}
    causes = [one for one in stored if one.incident_id in known - looked]
    for incident in fresh:
        own = [alert for alert in alerts if alert.incident_id == incident.incident_id]
        causes += _causes(file, lake, catalog, incident, ranked(own), now)
    days = replace_changed(lake, "incident_causes", stored, causes, IncidentCause, lambda one: one.opened_at)
    return Attributed(causes=tuple(causes), looked_at=len(fresh), days=days)


def read_causes(lake: Lake) -> list[IncidentCause]:
    """The causes of every incident on record, ranked."""
    sql = "select * exclude (day, file_name) from incident_causes order by opened_at, incident_id, rank"
    return from_table(rows(lake, sql, {"incident_causes": None}), IncidentCause)


def _moves(incident: Incident, now: datetime) -> bool:
    """Whether new answers can still say more of it. Late ones come within a day."""
    return now < incident.opened_at + SETTLED + LATE


def _causes(
    file: Path, lake: Lake, catalog: Catalog, incident: Incident, alerts: list[Alert], now: datetime
) -> list[IncidentCause]:
    watched = condemned_causes(incident, alerts, read_looks(lake, {one.began_at.date() for one in alerts}))
    timed = [one for one in alerts if one.slice != DEPLOY]
    alert = next((one for one in timed if one.metric in catalog.metrics.metrics), None)
    if alert is None:
        return watched  # of the pipeline's own series: nothing that is served can be asked
    begin, end = _span(incident, alerts, now)
    suspects = read_suspects(lake, catalog.sampling.environments, begin=begin, end=end)
    began = incident.began_at
    look = Look(file=file, lake=lake, catalog=catalog, alert=alert, begin=begin, began=began, end=end)
    weighed = causes_of(incident, alert, catalog.metrics.metrics[alert.metric], look.found(suspects))
    return beside_condemned(watched, weighed)


def _span(incident: Incident, alerts: Sequence[Alert], now: datetime) -> tuple[datetime, datetime]:
    fired = min(alert.fired_at for alert in alerts if alert.fired_at is not None)
    last = max(one.last_window + (STEP[one.grain] if one.grain != DEPLOY else timedelta()) for one in alerts)
    begin = (incident.began_at - LOOKED_BACK).replace(minute=0, second=0, microsecond=0)
    return begin, min(now, max(last, incident.began_at + HOUR), fired + SETTLED)
