"""Incidents in words, for the daily report; with the week that ends on Sunday the rules that only watch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from onlineeval_dagster.alerts.causes import verdict
from onlineeval_dagster.catalog.alert_file import Rule
from onlineeval_dagster.contracts.alerts import Incident, IncidentCause
from onlineeval_dagster.reports.wording import count, moment

SHOWN_FOR = timedelta(days=7)
_SUNDAY = 6


def incident_lines(
    incidents: Sequence[Incident], rules: Mapping[str, Rule], causes: Sequence[IncidentCause] = (), *, day: date
) -> tuple[str, ...]:
    """What was open in the seven days that end with `day`, the latest first; none where nothing was.

    On Sundays, whose report is read on Monday, the rules on watch follow with what they would have raised that week.
    """
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    recent = [
        one
        for one in sorted(incidents, key=lambda one: one.opened_at, reverse=True)
        if one.began_at < end and (one.resolved_at is None or one.resolved_at >= end - SHOWN_FOR)
    ]
    lines = [_line(one, [cause for cause in causes if cause.incident_id == one.incident_id]) for one in recent]
    if day.weekday() == _SUNDAY:
        lines += _watched(recent, rules)
    return tuple(lines)


def _line(one: Incident, causes: Sequence[IncidentCause]) -> str:
    until = "still going on" if one.resolved_at is None else f"until {moment(one.resolved_at)} UTC"
    heard = f"; {one.acknowledged_by} has it" if one.acknowledged_by and one.state != "resolved" else ""
    told = "on watch, nobody was told" if one.watched else f"owner {one.owner}"
    said = verdict(causes)
    cause = f" {said}" if said else ""
    return f"{one.title}: since {moment(one.began_at)} UTC, {until} ({told}{heard}).{cause}"


def _watched(recent: Sequence[Incident], rules: Mapping[str, Rule]) -> list[str]:
    watching = [name for name, rule in rules.items() if rule.status == "watch"]
    if not watching:
        return []
    seen = {name: sum(name in one.rules.split(", ") for one in recent) for name in watching}
    loud = [f"{rules[name].title} ({count(times, 'incident')})" for name, times in seen.items() if times]
    quiet = sum(not times for times in seen.values())
    told = f"{'; '.join(loud)}; " if loud else ""
    return [
        f"Rules on watch, in this week: {told}{count(quiet, 'rule')} saw nothing. "
        "They are sent nowhere until somebody enables them."
    ]
