"""Watches of deploys and calls of rollbacks, in words and as a table."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.alerts.deploys import Deployed
from onlineeval_dagster.alerts.outbox import Delivery
from onlineeval_dagster.catalog.alert_file import ROLLBACK, Alerts
from onlineeval_dagster.contracts.alerts import DeployLook

_STATES = {"withheld": "not called", "dry_run": "dry run", "given_up": "given up"}


def watches_table(looks: Sequence[DeployLook], open_deploys: Iterable[Deployed], alerts: Alerts) -> Table:
    """One row a deploy, the latest first: its version, what it is compared with, and what each look saw."""
    minutes = sorted({*alerts.deploy_watch.looks, *(look.look_minutes for look in looks)})
    table = Table("deploy", "deployed (UTC)", "version", "compared with", *(f"{at} min" for at in minutes))
    by_deploy: dict[str, list[DeployLook]] = {}
    for look in looks:
        by_deploy.setdefault(look.deploy_id, []).append(look)
    rows: list[tuple[datetime, list[str]]] = []
    for deploy, own in by_deploy.items():
        first = own[0]
        beside = "nothing" if first.before is None else f"{first.before}{_how(first)}"
        seen = [_seen([one for one in own if one.look_minutes == at]) for at in minutes]
        rows.append((first.deployed_at, [deploy, f"{first.deployed_at:%Y-%m-%d %H:%M}", first.version, beside, *seen]))
    for one in open_deploys:
        if one.deploy_id not in by_deploy:
            cells = [one.deploy_id, f"{one.deployed_at:%Y-%m-%d %H:%M}", one.version, "not looked yet"]
            rows.append((one.deployed_at, [*cells, *[""] * len(minutes)]))
    for _, cells in sorted(rows, key=lambda row: row[0], reverse=True):
        table.add_row(*map(escape, cells))
    return table


def look_lines(looks: Iterable[DeployLook]) -> Iterator[str]:
    """Every look at one deploy, in a sentence each."""
    for look in sorted(looks, key=lambda one: (one.look_minutes, one.rule)):
        yield f"{'✗' if look.beyond else '·'} {look.look_minutes:>4} min  {look.rule}: {look.told}"


def rollback_lines(alerts: Alerts, told: Iterable[Delivery], now: datetime) -> Iterator[str]:
    """Whether rollbacks are on, which rules may call, and what became of each deploy that was condemned."""
    rollback = alerts.rollback
    if rollback is None:
        yield "Rollbacks are off: alerts.toml has no [rollback]."
    elif rollback.status == "off":
        yield 'Rollbacks are off: [rollback] has status = "off".'
    else:
        yield f"Rollbacks are {'on' if rollback.status == 'on' else 'a dry run: nobody is called'}."
        yield (
            f"Rules that may call: {', '.join(alerts.callers)}."
            if alerts.callers
            else "No rule may call: none after a deploy is enabled; `onlineeval alerts enable RULE` enables one."
        )
    for one in sorted(told, key=lambda one: one.made_at, reverse=True):
        if one.channel == ROLLBACK and now - one.made_at <= timedelta(days=31):
            what = "test" if one.event == "test" else f"deploy {one.incident_id}"
            why = f": {one.error}" if one.error else ""
            yield f"· {one.made_at:%Y-%m-%d %H:%M} UTC, {what}, {_STATES.get(one.state, one.state)}{why}"


def _how(look: DeployLook) -> str:
    return ", at the same time" if look.compared == "concurrent" else ""


def _seen(own: Sequence[DeployLook]) -> str:
    """`2 of 7 broken: …`, `7 clear`, `5 clear, 2 not known`; empty before the look."""
    if not own:
        return ""
    broken = sorted(look.rule for look in own if look.beyond)
    unknown = sum(look.beyond is None for look in own)
    clear = len(own) - len(broken) - unknown
    parts = [f"broken: {', '.join(broken)}"] if broken else []
    parts += [f"{clear} clear"] if clear else []
    return ", ".join([*parts, *([f"{unknown} not known"] if unknown else [])])
