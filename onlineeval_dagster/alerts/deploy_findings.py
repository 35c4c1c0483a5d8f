"""Looks that found a rule broken become findings: one for each rule and deploy, with the evidence of the first."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from onlineeval_dagster.alerts.deploy_looks import read_looks
from onlineeval_dagster.alerts.deploys import replacements
from onlineeval_dagster.alerts.findings import Finding
from onlineeval_dagster.catalog.alert_file import Rule
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import DeployLook
from onlineeval_dagster.lake.delta import Lake

SLICE = "deploy"
"""Of findings about a deploy; its id is their slice's value."""
LASTS = timedelta(hours=24)
"""After that the deploy is no news: the version is what is expected, and rules of every hour look at it."""
REMEMBERED = timedelta(days=31)
REPLACED, OLD = "another deploy took its place", "it is a day old: what it brought is how things are"


def find_after_deploys(lake: Lake, catalog: Catalog, *, now: datetime, begin: datetime | None = None) -> list[Finding]:
    """What the looks on record found, of deploys since `begin`, 31 days ago by default."""
    since = begin or now - REMEMBERED
    days = {day for day in lake.days("deploy_looks") if day >= since.date()}
    looks = [look for look in read_looks(lake, days) if look.deployed_at >= since]
    if not any(look.beyond for look in looks):
        return []
    return findings_of(looks, catalog.alerts.after_deploys, replacements(lake), now=now)


def findings_of(
    looks: Iterable[DeployLook], rules: Mapping[str, Rule], replaced: Mapping[str, datetime], *, now: datetime
) -> list[Finding]:
    """A finding for each rule and deploy that has a look beyond its limit. `replaced`: when another deploy came."""
    broken: dict[tuple[str, str], list[DeployLook]] = {}
    for look in looks:
        if look.beyond and look.rule in rules:
            broken.setdefault((look.deploy_id, look.rule), []).append(look)
    return [_finding(own, rules[rule], replaced.get(deploy), now) for (deploy, rule), own in broken.items()]


def seen_at(look: DeployLook, rule: Rule) -> datetime:
    """When a look could be made: its last answer, and what its rule waits for."""
    return (look.began_at or look.deployed_at) + timedelta(minutes=look.look_minutes + rule.wait_minutes)


def _finding(own: Sequence[DeployLook], rule: Rule, replaced: datetime | None, now: datetime) -> Finding:
    first, last = own[0], own[-1]
    fired, over = seen_at(first, rule), seen_at(last, rule) + LASTS
    ended = over if replaced is None else max(min(over, replaced), fired)
    began = first.began_at or first.deployed_at
    return Finding(
        rule=first.rule,
        slice=SLICE,
        slice_value=first.deploy_id,
        metric=first.metric,
        grain=SLICE,
        judge_version=first.judge_version,
        metric_version=first.metric_version,
        began_at=began,
        fired_at=fired,
        ended_at=ended if ended <= now else None,
        last_window=began + timedelta(minutes=last.look_minutes),
        value=first.value,
        expected=first.expected,
        low=None,
        high=None,
        n=first.n,
        change=first.change,
        strength=first.strength,
        chance=first.chance,
        told=first.told,
        ending=OLD if replaced is None or over <= replaced else REPLACED,
    )
