"""The life of an alert: pending → firing → acknowledged → resolved. Pure: what was known, what is found, what now is.

An alert is one stretch of trouble of a rule in a slice. What is found is found anew at each look, from the same points;
an alert once seen stays, whatever late data say later: somebody may have been told.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from onlineeval_dagster.alerts.findings import Finding
from onlineeval_dagster.alerts.said import Said
from onlineeval_dagster.catalog.alert_file import Rule
from onlineeval_dagster.contracts.alerts import Alert

FRESH = timedelta(hours=24)
"""What was over before somebody could have been told, and began to be evident longer ago than this, is history."""
COMES_BACK = timedelta(hours=6)
"""Trouble that is back so soon after it was over is the same alert again."""

_EVIDENCE = ("grain", "judge_version", "metric_version", "value", "expected", "low", "high", "n", "change", "strength")


def live_on(
    stored: Sequence[Alert], found: Iterable[Finding], rules: Mapping[str, Rule], said: Said, *, now: datetime
) -> list[Alert]:
    """Every alert there is at `now`: those of before with what became of them, and new ones. Running again changes
    nothing."""
    known = {alert.alert_id: alert for alert in stored}
    latest: dict[str, Finding] = {}
    for finding in sorted(found, key=lambda one: one.began_at):
        own = _same(known.values(), finding, now)
        if own is None and _is_news(finding, now):
            own = _new(finding, rules[finding.rule], now)
            known[own.alert_id] = own
        if own is not None:
            latest[own.alert_id] = finding
    for alert_id, alert in known.items():
        if alert_id in latest:  # several findings may be one alert: what the last of them says counts
            known[alert_id] = _goes_on(alert, latest[alert_id], rules[alert.rule])
        elif alert.state != "resolved":
            known[alert_id] = _gone(alert, rules, now)
    return [_heard(alert, said, now) for alert in known.values()]


def alert_id_of(finding: Finding) -> str:
    """The same for the same rule, slice and beginning."""
    key = f"{finding.rule}|{finding.slice}|{finding.slice_value}|{finding.began_at.isoformat()}"
    return "a-" + hashlib.sha256(key.encode()).hexdigest()[:12]


def _same(known: Iterable[Alert], finding: Finding, now: datetime) -> Alert | None:
    """The alert that a finding continues: the one it shares most time with, else one that was over just before."""
    identity = (finding.rule, finding.slice, finding.slice_value)
    near: list[tuple[timedelta, datetime, Alert]] = []
    for alert in known:
        if (alert.rule, alert.slice, alert.slice_value) != identity:
            continue
        if alert.began_at == finding.began_at:
            return alert
        end, other_end = alert.resolved_at or now, finding.ended_at or now
        shared = min(end, other_end) - max(alert.began_at, finding.began_at)
        if shared >= -COMES_BACK:
            near.append((shared, alert.began_at, alert))
    return max(near, key=lambda one: one[:2])[2] if near else None


def _is_news(finding: Finding, now: datetime) -> bool:
    if finding.ended_at is None:
        return True
    return finding.fired_at is not None and now - finding.fired_at <= FRESH


def _new(finding: Finding, rule: Rule, now: datetime) -> Alert:
    over = finding.fired_at is not None and finding.ended_at is not None
    evidence: dict[str, Any] = {name: getattr(finding, name) for name in _EVIDENCE}
    return Alert(
        alert_id=alert_id_of(finding),
        rule=finding.rule,
        slice=finding.slice,
        slice_value=finding.slice_value,
        metric=finding.metric,
        kind=rule.kind,
        role=rule.role,
        severity=rule.severity,
        owner=rule.owner,
        watched=rule.status != "enabled",
        state="resolved" if over else "pending" if finding.fired_at is None else "firing",
        began_at=finding.began_at,
        seen_at=now,
        fired_at=finding.fired_at,
        resolved_at=finding.ended_at if over else None,
        ending=finding.ending if over else None,
        last_window=finding.last_window,
        chance=finding.chance,
        told=finding.told,
        **evidence,
    )


def _goes_on(alert: Alert, finding: Finding, rule: Rule) -> Alert:
    """The same alert after another look at its points."""
    changes: dict[str, Any] = {"last_window": max(alert.last_window, finding.last_window)}
    if alert.state == "pending" and finding.fired_at is not None:
        changes |= {name: getattr(finding, name) for name in (*_EVIDENCE, "fired_at", "chance", "told")}
        changes |= {"state": "firing", "watched": rule.status != "enabled"}
    elif alert.state == "pending" and finding.ended_at is not None:
        return _resolved(alert, finding.ended_at, "it was not confirmed")
    elif alert.state == "resolved":
        # A repeated look at what is over changes nothing; what is there again after it was over comes back.
        if finding.ended_at is not None or finding.fired_at is None or alert.fired_at is None:
            return alert
        changes |= {"state": "firing", "resolved_at": None, "ending": None, "openings": alert.openings + 1}
    changed = alert.model_copy(update=changes)
    return changed if finding.ended_at is None else _resolved(changed, finding.ended_at, finding.ending)


def _gone(alert: Alert, rules: Mapping[str, Rule], now: datetime) -> Alert:
    """An open alert of which nothing is found any more."""
    if alert.rule not in rules:
        return _resolved(alert, now, "its rule is off, or no longer there")
    if alert.state == "pending":
        return _resolved(alert, now, "it was not confirmed")
    return _resolved(alert, now, "its points, as they are known now, say nothing of it")


def _resolved(alert: Alert, when: datetime, why: str) -> Alert:
    return alert.model_copy(update={"state": "resolved", "resolved_at": max(when, alert.began_at), "ending": why})


def _heard(alert: Alert, said: Said, now: datetime) -> Alert:
    """With what people said of it."""
    until = None if alert.state == "resolved" else said.silence_of(alert.rule, alert.slice_value, now=now)
    alert = alert if until == alert.silenced_until else alert.model_copy(update={"silenced_until": until})
    if alert.state != "firing":
        return alert
    for one in said.acknowledged:
        if one.target in (alert.alert_id, alert.incident_id) and one.acknowledged_at >= alert.began_at:
            update = {
                "state": "acknowledged",
                "acknowledged_at": one.acknowledged_at,
                "acknowledged_by": one.by,
            }
            return alert.model_copy(update=update)
    return alert
