"""Alerts that belong together are one incident. Incidents are a function of the alerts alone."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from onlineeval_dagster.catalog.alert_file import Alerts
from onlineeval_dagster.contracts.alerts import Alert, Incident

ROLES = ("business", "quality", "technical")
SEVERITIES = ("page", "ticket", "note")


def gathered(alerts: Iterable[Alert], *, together: timedelta) -> list[Alert]:
    """The alerts with the incident that each belongs to. One that has fired joins the incident that is open and whose
    latest alert fired within `together` of it; else it opens one. Once in an incident it stays there."""
    every = {alert.alert_id: alert for alert in alerts}
    fired = sorted(
        (alert for alert in every.values() if alert.fired_at is not None and alert.incident_id is None),
        key=lambda alert: (alert.fired_at, alert.alert_id),
    )
    for alert in fired:
        joined = _near(every.values(), alert, together) or f"i-{alert.alert_id.removeprefix('a-')}"
        every[alert.alert_id] = alert.model_copy(update={"incident_id": joined})
    return list(every.values())


def _near(alerts: Iterable[Alert], alert: Alert, together: timedelta) -> str | None:
    own = alert.fired_at
    assert own is not None
    near = [
        (abs(own - other.fired_at), other.incident_id)
        for other in alerts
        if other.incident_id is not None
        and other.fired_at is not None
        and abs(own - other.fired_at) <= together
        and (other.resolved_at is None or other.resolved_at >= alert.began_at)
    ]
    return min(near)[1] if near else None


def incidents_of(alerts: Iterable[Alert], rules: Alerts) -> list[Incident]:
    """Every incident of `alerts`, the oldest first."""
    members: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.incident_id is not None:
            members.setdefault(alert.incident_id, []).append(alert)
    found = [_incident(incident_id, own, rules) for incident_id, own in members.items()]
    return sorted(found, key=lambda one: (one.opened_at, one.incident_id))


def ranked(alerts: Iterable[Alert]) -> list[Alert]:
    """The alerts of an incident, what matters most first: business metrics outrank technical ones."""
    return sorted(
        alerts,
        key=lambda one: (ROLES.index(one.role), SEVERITIES.index(one.severity), one.chance, one.began_at, one.alert_id),
    )


def _incident(incident_id: str, own: Sequence[Alert], rules: Alerts) -> Incident:
    first, *others = ranked(own)
    told = [alert for alert in own if not alert.watched] or list(own)
    open_ones = [alert for alert in own if alert.state != "resolved"]
    acknowledged = [alert for alert in own if alert.acknowledged_at is not None]
    heard = min(acknowledged, key=_acknowledged_at, default=None)
    quiet = [alert.silenced_until for alert in told if alert.state != "resolved"]
    technical = [] if first.role == "technical" else [alert.told for alert in others if alert.role == "technical"]
    known = rules.rules.get(first.rule)
    title = known.title if known is not None else first.rule
    place = "" if first.slice == "all" else f" ({first.slice} {first.slice_value})"
    more = f", and {len(others)} more" if others else ""
    return Incident(
        incident_id=incident_id,
        opened_at=min(max(alert.fired_at or alert.seen_at, alert.seen_at) for alert in own),
        began_at=min(alert.began_at for alert in own),
        state="resolved" if not open_ones else "open" if heard is None else "acknowledged",
        watched=all(alert.watched for alert in own),
        role=first.role,
        severity=min(told, key=lambda alert: SEVERITIES.index(alert.severity)).severity,
        owner=first.owner,
        title=f"{title}{place}{more}",
        alerts=len(own),
        rules=", ".join(sorted({alert.rule for alert in own})),
        diagnosis=" ".join(technical) or None,
        acknowledged_at=None if heard is None else heard.acknowledged_at,
        acknowledged_by=None if heard is None else heard.acknowledged_by,
        resolved_at=None if open_ones else max(alert.resolved_at for alert in own if alert.resolved_at is not None),
        silenced_until=None if None in quiet else min((end for end in quiet if end is not None), default=None),
        openings=1 + sum(alert.openings - 1 for alert in own),
    )


def _acknowledged_at(alert: Alert) -> datetime:
    assert alert.acknowledged_at is not None
    return alert.acknowledged_at
