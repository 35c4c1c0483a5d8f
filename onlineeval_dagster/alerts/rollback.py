"""When a watch condemns a deploy: one signed call to the user's endpoint, with the evidence; or why there is none.

One delivery for each deploy, under the key `rollback:DEPLOY`, in the outbox of the channels: written down before it is
called, tried again where it failed, known to the receiver by its key where a run was killed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from onlineeval_dagster.alerts.deploy_looks import read_looks
from onlineeval_dagster.alerts.deploys import replacements
from onlineeval_dagster.alerts.outbox import Delivery, State
from onlineeval_dagster.alerts.said import Said
from onlineeval_dagster.catalog.alert_file import ROLLBACK, Alerts
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import DeployLook
from onlineeval_dagster.lake.delta import Lake

LATE = timedelta(hours=2)
"""A deploy that was condemned so long ago is not rolled back any more: people live with it, or have mended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condemned:
    """A deploy and the looks that condemn it, the first one first. `replaced_at`: when another took its place."""

    looks: tuple[DeployLook, ...]
    replaced_at: datetime | None = None

    @property
    def deploy_id(self) -> str:
        return self.looks[0].deploy_id

    @property
    def key(self) -> str:
        return f"{ROLLBACK}:{self.deploy_id}"

    @property
    def place(self) -> tuple[str, str]:
        return self.looks[0].app, self.looks[0].environment


def condemned_deploys(lake: Lake, catalog: Catalog, *, now: datetime) -> list[Condemned]:
    """The deploys of the last two days that a rule condemns whose word is enough. None while [rollback] is off."""
    rollback, callers = catalog.alerts.rollback, catalog.alerts.callers
    if rollback is None or rollback.status == "off" or not callers:
        return []
    days = {day for day in lake.days("deploy_looks") if day >= (now - timedelta(days=2)).date()}
    found: dict[str, list[DeployLook]] = {}
    for look in sorted(read_looks(lake, days), key=lambda one: (one.made_at, one.look_minutes, one.rule)):
        if look.beyond and look.rule in callers:
            found.setdefault(look.deploy_id, []).append(look)
    replaced = replacements(lake) if found else {}
    return [Condemned(looks=tuple(own), replaced_at=replaced.get(deploy)) for deploy, own in found.items()]


def to_call(
    condemned: Iterable[Condemned], alerts: Alerts, told: Sequence[Delivery], said: Said, *, now: datetime
) -> Iterator[Delivery]:
    """A delivery for each condemned deploy that has none yet: to be called, or withheld with the reason."""
    rollback = alerts.rollback
    if rollback is None or rollback.status == "off":
        return
    before = list(told)
    for one in condemned:
        if any(delivery.key == one.key for delivery in before) or now - one.looks[0].made_at >= LATE:
            continue
        why = _against(one, said, now) or _cools_down(one, timedelta(minutes=rollback.cool_down_minutes), before, now)
        state: State = "withheld" if why else "dry_run" if rollback.status == "dry_run" else "waiting"
        made = _delivery(one.key, one.deploy_id, "rollback", body_of(one), state, why, now)
        before.append(made)
        yield made


def to_withhold(
    condemned: Iterable[Condemned], alerts: Alerts, told: Iterable[Delivery], said: Said, *, now: datetime
) -> Iterator[tuple[Delivery, str]]:
    """Calls that wait to be tried again, and against which something speaks by now."""
    known = {one.key: one for one in condemned}
    is_off = alerts.rollback is None or alerts.rollback.status != "on"
    for delivery in told:
        if delivery.channel != ROLLBACK or delivery.state != "waiting":
            continue
        one = known.get(delivery.key)
        why = None if one is None else _against(one, said, now)
        if is_off:
            why = "rollbacks were switched off before it arrived"
        elif why is None and now - delivery.made_at >= LATE:
            why = f"it did not arrive within {LATE / timedelta(hours=1):.0f} hours"
        if why is not None:
            yield delivery, why


def a_test(*, now: datetime) -> Delivery:
    """A call that says it is a test and names no deploy that there is."""
    key = f"{ROLLBACK}:test:{now.isoformat()}"
    words = "onlineeval: this is a test of the rollback. Roll nothing back."
    document = {"event": "rollback.test", "test": True, "idempotency_key": key, "message": words, "deploy": None}
    return _delivery(key, "test", "test", _json({**document, "evidence": []}), "waiting", None, now)


def body_of(one: Condemned) -> str:
    """What the endpoint gets: JSON, the same bytes at each attempt."""
    first = one.looks[0]
    document = {
        "event": "rollback.requested",
        "test": False,
        "idempotency_key": one.key,
        "deploy": {
            "deploy_id": first.deploy_id,
            "deployed_at": first.deployed_at.isoformat(),
            "app": first.app,
            "environment": first.environment,
            "version": first.version,
            "version_before": first.before,
        },
        "evidence": [look.model_dump(mode="json") for look in one.looks],
    }
    return _json(document)


def _against(one: Condemned, said: Said, now: datetime) -> str | None:
    """What speaks against rolling a deploy back."""
    held = said.hold_of(one.deploy_id, now=now)
    if held is not None:
        return f"held by {held.by}: {held.reason}"
    if one.replaced_at is not None and one.replaced_at <= now:
        return "another deploy has taken its place"
    return None


def _cools_down(one: Condemned, cool_down: timedelta, told: Iterable[Delivery], now: datetime) -> str | None:
    for other in told:
        is_call = other.event == "rollback" and other.state not in ("withheld", "dry_run")
        if is_call and now - other.made_at < cool_down and _place_of(other) == one.place:
            return f"deploy {other.incident_id} was called for at {other.made_at:%H:%M} UTC, and that has to cool down"
    return None


def _place_of(delivery: Delivery) -> tuple[str, str]:
    deploy = orjson.loads(delivery.body)["deploy"]
    return deploy["app"], deploy["environment"]


def _delivery(key: str, of: str, event: str, body: str, state: State, error: str | None, now: datetime) -> Delivery:
    return Delivery(
        key=key,
        incident_id=of,
        channel=ROLLBACK,
        event=event,  # pyright: ignore[reportArgumentType]  # rollback or test
        incident_state="none" if event == "test" else "condemned",
        subject=f"Roll back {of}" if event == "rollback" else "Test of the rollback",
        body=body,
        state=state,
        made_at=now,
        next_at=now,
        error=error,
    )


def _json(document: object) -> str:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
