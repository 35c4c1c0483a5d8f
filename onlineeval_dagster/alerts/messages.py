"""Which incidents are told to which channels, and in which words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from onlineeval_dagster.alerts.causes import verdict
from onlineeval_dagster.alerts.incidents import ranked
from onlineeval_dagster.alerts.outbox import Delivery
from onlineeval_dagster.catalog.alert_file import Channel, Rule
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert, Incident, IncidentCause

TOLD_LATE = timedelta(hours=24)
"""An incident that was over before anybody was told is told of for so long, in one message."""


def to_tell(
    incidents: Iterable[Incident],
    alerts: Sequence[Alert],
    catalog: Catalog,
    told: Sequence[Delivery],
    causes: Sequence[IncidentCause] = (),
    *,
    now: datetime,
) -> Iterator[Delivery]:
    """Deliveries that are due to be written down, of incidents of enabled rules. Those in `told` are not repeated."""
    by_key = {one.key: one for one in told}
    for incident in incidents:
        if incident.watched or (incident.silenced_until is not None and incident.silenced_until > now):
            continue
        own = [alert for alert in alerts if alert.incident_id == incident.incident_id and not alert.watched]
        cause = verdict([one for one in causes if one.incident_id == incident.incident_id])
        for name, channel in catalog.alerts.channels.items():
            if not _takes(channel, incident):
                continue
            opened = by_key.get(_key(incident, "opened", name))
            if opened is None:
                if _is_due(channel, incident, now):
                    yield _delivery(incident, "opened", name, channel, own, catalog.alerts.rules, cause, now)
            elif incident.state == "resolved" and opened.incident_state != "resolved":
                one = _delivery(incident, "resolved", name, channel, own, catalog.alerts.rules, cause, now)
                if one.key not in by_key:
                    yield one


def _takes(channel: Channel, incident: Incident) -> bool:
    chosen = (
        (channel.owners, incident.owner),
        (channel.roles, incident.role),
        (channel.severities, incident.severity),
    )
    return all(not wanted or value in wanted for wanted, value in chosen)


def _is_due(channel: Channel, incident: Incident, now: datetime) -> bool:
    """At once; a later step of the ladder only while nobody has it."""
    if incident.state == "resolved":
        over = incident.resolved_at
        return channel.after_minutes == 0 and over is not None and now - over <= TOLD_LATE
    if channel.after_minutes == 0:
        return True
    return incident.state == "open" and now >= incident.opened_at + timedelta(minutes=channel.after_minutes)


def _key(incident: Incident, event: str, channel: str) -> str:
    return f"{incident.incident_id}:{event}:{incident.openings}:{channel}"


def _delivery(
    incident: Incident,
    event: str,
    name: str,
    channel: Channel,
    alerts: Sequence[Alert],
    rules: Mapping[str, Rule],
    cause: str | None,
    now: datetime,
) -> Delivery:
    subject = f"{'Over' if incident.state == 'resolved' else incident.severity.capitalize()}: {incident.title}"
    key, called = _key(incident, event, name), on_call(channel, now)
    told = (
        body_of(incident, event, alerts, rules, key=key, on_call=called, cause=cause)
        if channel.kind == "webhook"
        else text_of(incident, alerts, rules, called, cause)
    )
    return Delivery(
        key=key,
        incident_id=incident.incident_id,
        channel=name,
        event=event,  # pyright: ignore[reportArgumentType]  # opened or resolved
        incident_state=incident.state,
        subject=subject,
        body=told,
        state="dry_run" if channel.dry_run else "waiting",
        made_at=now,
        next_at=now,
    )


def a_test(name: str, channel: Channel, *, now: datetime) -> Delivery:
    """A message that says it is a test."""
    key = f"test:{now.isoformat()}:{name}"
    words = "onlineeval: this is a test of the channel. Nothing is wrong."
    document = {"event": "test", "idempotency_key": key, "on_call": on_call(channel, now), "message": words}
    return Delivery(
        key=key,
        incident_id="test",
        channel=name,
        event="test",
        incident_state="none",
        subject="Test of onlineeval alerts",
        body=orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode() if channel.kind == "webhook" else words,
        state="dry_run" if channel.dry_run else "waiting",
        made_at=now,
        next_at=now,
    )


def on_call(channel: Channel, now: datetime) -> str | None:
    """Who has the week: the rota's people in turn, from Monday 1970-01-05 (UTC) on."""
    if not channel.rota:
        return None
    weeks = (now.date().toordinal() - 719_167) // 7  # the ordinal of that Monday
    return channel.rota[weeks % len(channel.rota)]


def body_of(
    incident: Incident,
    event: str,
    alerts: Sequence[Alert],
    rules: Mapping[str, Rule],
    *,
    key: str,
    on_call: str | None,
    cause: str | None = None,
) -> str:
    """What a webhook gets: JSON, the same bytes at each attempt."""
    document = {
        "event": f"incident.{event}",
        "idempotency_key": key,
        "on_call": on_call,
        "cause": cause,
        "incident": incident.model_dump(mode="json"),
        "alerts": [
            alert.model_dump(mode="json") | {"runbook": rules[alert.rule].runbook if alert.rule in rules else None}
            for alert in ranked(alerts)
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


def text_of(
    incident: Incident,
    alerts: Sequence[Alert],
    rules: Mapping[str, Rule],
    on_call: str | None,
    cause: str | None = None,
) -> str:
    """The same for a person."""
    over = "" if incident.resolved_at is None else f" Over since {incident.resolved_at:%Y-%m-%d %H:%M} UTC."
    lines = [f"{incident.title}. Since {incident.began_at:%Y-%m-%d %H:%M} UTC.{over}"]
    lines += [f"Cause: {cause}"] if cause else []
    lines += [f"- {alert.told}" for alert in ranked(alerts)]
    books = sorted({book for alert in alerts if alert.rule in rules and (book := rules[alert.rule].runbook)})
    lines += [f"Runbook: {book}" for book in books]
    lines.append(f"Owner: {incident.owner}{f'; on call: {on_call}' if on_call else ''}")
    if incident.state != "resolved":
        lines.append(f"I have it: onlineeval alerts ack {incident.incident_id}")
    return "\n".join(lines)
