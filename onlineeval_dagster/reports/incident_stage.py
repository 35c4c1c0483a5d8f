"""Gather what an incident's page needs from lake and outbox, and write the page and the draft of its post-mortem."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from onlineeval_dagster.alerts.blame import LOOKED_BACK, read_causes
from onlineeval_dagster.alerts.incidents import ranked
from onlineeval_dagster.alerts.outbox import Outbox
from onlineeval_dagster.alerts.said import ACKNOWLEDGED
from onlineeval_dagster.alerts.series import POINT_KEY, of_series
from onlineeval_dagster.alerts.stage import read_alerts, read_incidents
from onlineeval_dagster.alerts.suspects import read_suspects
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert, Incident
from onlineeval_dagster.errors import AlertError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows
from onlineeval_dagster.metrics.intervals import normal_quantile
from onlineeval_dagster.privacy.redaction import redact
from onlineeval_dagster.reports.incident_page import (
    Happened,
    HourSeen,
    IncidentPage,
    Known,
    Moved,
    incident_page,
    post_mortem,
)
from onlineeval_dagster.reports.incident_shown import incident_html, incident_markdown
from onlineeval_dagster.reports.model import MetricWords
from onlineeval_dagster.reports.stage import replace_text
from onlineeval_dagster.settings import Settings

DRAWN_AFTER, DRAWN_AT_MOST = timedelta(hours=24), timedelta(days=6)
"""Of what came after the incident was over; and since it began."""
KEPT_FRESH = timedelta(days=2)
"""A page is written anew until so long after the incident was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenIncident:
    """Pages on disk: of the incident, and of its post-mortem's draft; each with its Markdown beside it."""

    incident_id: str
    page: Path
    post_mortem: Path
    markdown: str


def write_incidents(settings: Settings, lake: Lake, catalog: Catalog, *, now: datetime) -> list[WrittenIncident]:
    """The pages of incidents that are open, were over just now, or have no page yet."""
    folder = settings.report_folder / "incidents"
    return [
        write_incident(settings, lake, catalog, one.incident_id, now=now)
        for one in read_incidents(lake)
        if one.resolved_at is None
        or now < one.resolved_at + KEPT_FRESH
        or not (folder / f"{one.incident_id}.html").exists()
    ]


def write_incident(
    settings: Settings, lake: Lake, catalog: Catalog, incident_id: str, *, now: datetime
) -> WrittenIncident:
    """Both pages of one incident. Raises AlertError where there is no such incident."""
    known, folder = gathered(settings, lake, catalog, incident_id, now=now), settings.report_folder / "incidents"
    page, draft = incident_page(known), post_mortem(known)
    text = incident_markdown(page)
    replace_text(folder / f"{incident_id}.md", text)
    return WrittenIncident(
        incident_id=incident_id,
        page=replace_text(folder / f"{incident_id}.html", incident_html(page)),
        post_mortem=write_page(draft, folder / f"{incident_id}-post-mortem.html"),
        markdown=text,
    )


def write_page(page: IncidentPage, file: Path) -> Path:
    """A page as HTML, and its Markdown beside it; returns the HTML file."""
    replace_text(file.with_suffix(".md"), incident_markdown(page))
    return replace_text(file.with_suffix(".html"), incident_html(page))


def gathered(settings: Settings, lake: Lake, catalog: Catalog, incident_id: str, *, now: datetime) -> Known:
    """Everything that is known of an incident. What products and people wrote is redacted, but for who has it."""
    incident = next((one for one in read_incidents(lake) if one.incident_id == incident_id), None)
    if incident is None:
        raise AlertError(f"there is no incident {incident_id!r}; `onlineeval alerts list --all` names them")
    alerts = [alert for alert in read_alerts(lake) if alert.incident_id == incident_id]
    begin = (incident.began_at - LOOKED_BACK).replace(minute=0, second=0, microsecond=0)
    end = min(now, (incident.resolved_at or now) + DRAWN_AFTER, incident.began_at + DRAWN_AT_MOST)
    told = [*_changes(lake, catalog, incident, begin, end), *_of_alerts(alerts), *_said(lake, incident, alerts, end)]
    told += _messages(settings, incident)
    rules = catalog.alerts.rules
    return Known(
        incident=incident,
        alerts=alerts,
        causes=[one for one in read_causes(lake) if one.incident_id == incident_id],
        hours=_hours(lake, ranked(alerts)[0], begin, end),
        happened=told,
        moved=_moved(lake, catalog, incident, begin, min(now, incident.resolved_at or now)),
        metrics={
            name: MetricWords(title=metric.title, direction=metric.direction, unit=metric.unit)
            for name, metric in catalog.metrics.metrics.items()
        },
        runbooks=sorted({book for one in alerts if one.rule in rules and (book := rules[one.rule].runbook)}),
        now=now,
    )


def _changes(lake: Lake, catalog: Catalog, incident: Incident, begin: datetime, end: datetime) -> Iterator[Happened]:
    for one in read_suspects(lake, catalog.sampling.environments, begin=begin, end=end):
        of = f" ({one.value})" if one.value is not None else ""
        later = one.kind == "deploy" and one.occurred_at > incident.began_at
        yield Happened(at=one.occurred_at, what=redact(f"{one.kind} {one.name}{of}"), tried=later, marked=True)


def _of_alerts(alerts: Sequence[Alert]) -> Iterator[Happened]:
    for alert in alerts:
        yield Happened(at=alert.began_at, what=f"rule {alert.rule}: its first window begins")
        if alert.fired_at is not None:
            yield Happened(at=alert.fired_at, what=f"rule {alert.rule} fires", marked=alert == alerts[0])
        if alert.resolved_at is not None:
            yield Happened(at=alert.resolved_at, what=f"rule {alert.rule} is over: {alert.ending}")


def _said(lake: Lake, incident: Incident, alerts: Sequence[Alert], end: datetime) -> Iterator[Happened]:
    targets = literals([incident.incident_id, *(alert.alert_id for alert in alerts)])
    days = {day for day in lake.days("events") if incident.began_at.date() <= day <= end.date()}
    sql = f"""
    select occurred_at, attributes ->> '$.by' as by, description from ({first_rows("events")})
    where name = '{ACKNOWLEDGED}' and attributes ->> '$.target' in ({targets}) order by occurred_at
    """
    for row in rows(lake, sql, {"events": days}).to_pylist():
        note = f": {redact(row['description'])}" if row["description"] else ""
        yield Happened(at=row["occurred_at"], what=f"{row['by']} has it{note}", tried=True)


def _messages(settings: Settings, incident: Incident) -> Iterator[Happened]:
    if not settings.outbox_file.exists():
        return
    with Outbox(settings.outbox_file) as outbox:
        for one in outbox.all():
            if one.incident_id == incident.incident_id:
                at = one.sent_at or one.made_at
                yield Happened(at=at, what=f"message to {one.channel} ({one.event}): {one.state.replace('_', ' ')}")


def _hours(lake: Lake, alert: Alert, begin: datetime, end: datetime) -> list[HourSeen]:
    """The series of an alert by hour, none left out; empty for series that have no points."""
    days = {day for day in lake.days("metric_points") if begin.date() <= day <= end.date()}
    sql = f"""
    select window_start, points.value, expected, scale
    from (select * from metric_points where grain = 'hour' and {of_series(alert)}) as points
    left join detrended_metrics using ({POINT_KEY})
    """
    by_hour = {row["window_start"]: row for row in rows(lake, sql, dict.fromkeys(_POINTS, days)).to_pylist()}
    if not by_hour:
        return []
    hours = [begin + timedelta(hours=step) for step in range(int((end - begin) / timedelta(hours=1)))]
    return [_hour(at, by_hour.get(at, {})) for at in hours]


_POINTS = ("metric_points", "detrended_metrics")


def _hour(at: datetime, row: Mapping[str, float | None]) -> HourSeen:
    expected, scale = row.get("expected"), row.get("scale")
    known = HourSeen(starts_at=at, value=row.get("value"), expected=expected, usual_low=None, usual_high=None)
    if expected is None or scale is None:
        return known
    return replace(known, usual_low=expected - 2 * scale, usual_high=expected + 2 * scale)


def _moved(lake: Lake, catalog: Catalog, incident: Incident, begin: datetime, end: datetime) -> list[Moved]:
    """Each metric of the catalog: the mean residual of the incident's hours, less that of the hours before it."""
    days = {day for day in lake.days("metric_points") if begin.date() <= day <= end.date()}
    sql = f"""
    with hours as (
        select metric, judge_version, n, points.value, residual, scale,
            window_start >= timestamptz '{incident.began_at.isoformat()}' as during
        from (
            select * from metric_points where grain = 'hour' and slice = 'all' and value is not null
                and window_start >= timestamptz '{begin.isoformat()}' and window_start < timestamptz '{end.isoformat()}'
        ) as points left join detrended_metrics using ({POINT_KEY})
    )
    select metric, sum(n) filter (where during)::bigint as n,
        sum(n * value) filter (where during) / sum(n) filter (where during) as value,
        sum(n * residual) filter (where during) / sum(n) filter (where during and residual is not null)
            - sum(n * residual) filter (where not during) / sum(n) filter (where not during and residual is not null)
            as change,
        sqrt(sum((n * scale) ** 2) filter (where during) / sum(n) filter (where during and scale is not null) ** 2
            + sum((n * scale) ** 2) filter (where not during)
                / sum(n) filter (where not during and scale is not null) ** 2) as error
    from hours group by metric, judge_version
    qualify row_number() over (partition by metric order by sum(n) filter (where during) desc nulls last) = 1
    """
    found = {row["metric"]: row for row in rows(lake, sql, dict.fromkeys(_POINTS, days)).to_pylist()}
    return [_of_metric(name, found.get(name)) for name in catalog.metrics.metrics]


def _of_metric(name: str, row: dict | None) -> Moved:
    if row is None or not row["n"]:
        return Moved(metric=name, reason="no hour of the incident has a number")
    if row["change"] is None or row["error"] is None:
        return Moved(metric=name, n=row["n"], reason="no week of history yet to tell its rhythm")
    half = normal_quantile(0.95) * row["error"]
    change, during = row["change"], row["value"]
    return Moved(metric=name, before=during - change, during=during, low=change - half, high=change + half, n=row["n"])
