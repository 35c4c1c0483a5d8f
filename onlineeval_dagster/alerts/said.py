"""What people say of alerts and rollbacks: acknowledged, silenced, held.

Each is an event in the log, so that it outlives this machine.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from onlineeval_dagster.contracts.events import Event
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows

ACKNOWLEDGED, SILENCED = "onlineeval.alert_acknowledged", "onlineeval.alerts_silenced"
HELD = "onlineeval.rollback_held"
EVERY = "*"
LONGEST = timedelta(days=31)
"""Of a silence: what is to be quiet for longer is switched off in alerts.toml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Somebody has it. `target`: an alert or an incident."""

    target: str
    by: str
    acknowledged_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Silenced:
    """Nobody is told of a rule between two times. `rule` and `slice_value` may be `*`."""

    rule: str
    slice_value: str
    begins_at: datetime
    ends_at: datetime
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """No rollback of a deploy between two times. `deploy_id` may be `*`."""

    deploy_id: str
    begins_at: datetime
    ends_at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Everything that people said, oldest first."""

    acknowledged: tuple[Acknowledged, ...] = ()
    silenced: tuple[Silenced, ...] = ()
    held: tuple[Held, ...] = ()

    def hold_of(self, deploy_id: str, *, now: datetime) -> Held | None:
        """Who keeps a deploy from being rolled back; None where nobody does."""
        own = (one for one in self.held if one.deploy_id in (EVERY, deploy_id))
        return next((one for one in own if one.begins_at <= now < one.ends_at), None)

    def silence_of(self, rule: str, slice_value: str, *, now: datetime) -> datetime | None:
        """Until when nobody is told of it; None where it is not silenced."""
        ends = [
            one.ends_at
            for one in self.silenced
            if one.rule in (EVERY, rule)
            and one.slice_value in (EVERY, slice_value)
            and one.begins_at <= now < one.ends_at
        ]
        return max(ends, default=None)


NOTHING_SAID = Said()


def acknowledgement(target: str, *, by: str, note: str | None, now: datetime) -> Event:
    """The event that says somebody has it."""
    key = f"{target}|{by}|{now.isoformat()}"
    return Event(
        event_id=f"{ACKNOWLEDGED}:{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        occurred_at=now,
        received_at=now,
        name=ACKNOWLEDGED,
        description=note,
        attributes={"target": target, "by": by},
    )


def silence(
    rule: str, slice_value: str, *, begins_at: datetime, ends_at: datetime, by: str, reason: str, now: datetime
) -> Event:
    """The event that keeps a rule quiet for a time; with a beginning in the future it is a maintenance window."""
    key = f"{rule}|{slice_value}|{begins_at.isoformat()}|{ends_at.isoformat()}|{by}|{now.isoformat()}"
    return Event(
        event_id=f"{SILENCED}:{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        occurred_at=now,
        received_at=now,
        name=SILENCED,
        ended_at=ends_at,
        description=reason,
        attributes={"rule": rule, "slice_value": slice_value, "begins_at": begins_at.isoformat(), "by": by},
    )


def hold(deploy_id: str, *, ends_at: datetime, by: str, reason: str, now: datetime) -> Event:
    """The event that keeps a deploy (or `*`: all) from being rolled back for a time."""
    key = f"{deploy_id}|{ends_at.isoformat()}|{by}|{now.isoformat()}"
    return Event(
        event_id=f"{HELD}:{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        occurred_at=now,
        received_at=now,
        name=HELD,
        ended_at=ends_at,
        description=reason,
        attributes={"deploy_id": deploy_id, "by": by},
    )


def read_said(lake: Lake, *, now: datetime) -> Said:
    """What was said in the last 93 days."""
    days = {day for day in lake.days("events") if day >= (now - 3 * LONGEST).date()}
    sql = f"""
    select name, occurred_at, ended_at, attributes ->> '$.target' as target, attributes ->> '$.by' as by,
        attributes ->> '$.rule' as rule, attributes ->> '$.slice_value' as slice_value,
        (attributes ->> '$.begins_at')::timestamptz as begins_at, attributes ->> '$.deploy_id' as deploy_id, description
    from ({first_rows("events")})
    where name in ('{ACKNOWLEDGED}', '{SILENCED}', '{HELD}')
    order by occurred_at
    """
    found = rows(lake, sql, {"events": days}).to_pylist()
    return Said(
        acknowledged=tuple(
            Acknowledged(target=row["target"], by=row["by"], acknowledged_at=row["occurred_at"])
            for row in found
            if row["name"] == ACKNOWLEDGED and row["target"] and row["by"]
        ),
        silenced=tuple(
            Silenced(
                rule=row["rule"],
                slice_value=row["slice_value"] or EVERY,
                begins_at=row["begins_at"] or row["occurred_at"],
                ends_at=row["ended_at"],
                by=row["by"] or "somebody",
            )
            for row in found
            if row["name"] == SILENCED and row["rule"] and row["ended_at"]
        ),
        held=tuple(
            Held(
                deploy_id=row["deploy_id"],
                begins_at=row["occurred_at"],
                ends_at=row["ended_at"],
                by=row["by"] or "somebody",
                reason=row["description"] or "no reason given",
            )
            for row in found
            if row["name"] == HELD and row["deploy_id"] and row["ended_at"]
        ),
    )
