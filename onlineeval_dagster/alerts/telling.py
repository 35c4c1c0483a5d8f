"""From incidents to people, from condemned deploys to a rollback: what is to be told is written down, then sent."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from onlineeval_dagster.alerts.channels import Sent, send_due, send_now
from onlineeval_dagster.alerts.messages import to_tell
from onlineeval_dagster.alerts.outbox import Delivery, Outbox
from onlineeval_dagster.alerts.rollback import Condemned, condemned_deploys, to_call, to_withhold
from onlineeval_dagster.alerts.said import NOTHING_SAID, Said
from onlineeval_dagster.alerts.stage import read_alerts, read_incidents
from onlineeval_dagster.catalog.alert_file import Channel
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert, Incident, IncidentCause
from onlineeval_dagster.lake.delta import Lake


def tell(
    file: Path,
    catalog: Catalog,
    incidents: Sequence[Incident],
    alerts: Sequence[Alert],
    causes: Sequence[IncidentCause] = (),
    *,
    now: datetime,
    condemned: Sequence[Condemned] = (),
    said: Said = NOTHING_SAID,
) -> Sent:
    """Write down what is to be told of these incidents and called for these deploys, and send what is due. Where nobody
    is to be told nothing happens."""
    if not catalog.alerts.receivers and not file.exists():
        return Sent()
    with Outbox(file) as outbox:
        outbox.put(to_tell(incidents, alerts, catalog, outbox.all(), causes, now=now))
        for one, why in to_withhold(condemned, catalog.alerts, outbox.all(), said, now=now):
            outbox.withhold(one.key, why)
        outbox.put(to_call(condemned, catalog.alerts, outbox.all(), said, now=now))
        return send_due(outbox, catalog.alerts.receivers, now=now)


def due_key(file: Path, lake: Lake, catalog: Catalog, *, now: datetime) -> str:
    """What is due to be told, called or sent by `now`, as part of a run's key; empty where nothing is."""
    if not catalog.alerts.receivers:
        return ""
    condemned = condemned_deploys(lake, catalog, now=now)
    with Outbox(file) as outbox:
        told = outbox.all()
        waiting = [f"{one.key}@{one.next_at:%H:%M:%S}" for one in outbox.due(now)]
    fresh = [one.key for one in to_tell(read_incidents(lake), read_alerts(lake), catalog, told, now=now)]
    fresh += [one.key for one in to_call(condemned, catalog.alerts, told, NOTHING_SAID, now=now)]
    return " ".join(sorted([*waiting, *fresh]))


def send_test(outbox: Outbox, message: Delivery, channels: Mapping[str, Channel], *, now: datetime) -> str | None:
    """Send one message now, on record like every other; None where it arrived, else why not. It is not tried again."""
    outbox.put([message])
    if message.state == "dry_run":
        return None
    outbox.sending(message.key)
    (error,) = send_now([message], channels, now=now)
    if error is None:
        outbox.sent(message.key, now=now)
    else:
        outbox.gave_up(message.key, error)
    return error
