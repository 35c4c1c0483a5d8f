"""Look at what deploys brought, whenever a look is due; each look is written once and never again."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from onlineeval_dagster.alerts.deploy_evidence import PENDING, Compared, compare, plan_looks
from onlineeval_dagster.alerts.deploy_rows import STARTS_WITHIN, began, count, reached, resumed
from onlineeval_dagster.alerts.deploys import Deployed, Watch, read_deploys, version_text
from onlineeval_dagster.alerts.wording import look_sentence
from onlineeval_dagster.catalog.alert_file import Rule, worse_of
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import DeployLook
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.stage import family_of

PATIENCE = timedelta(minutes=60)
"""How long a look waits for answers and verdicts that are not there: an ingest that is behind, a judge that is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Looks written by one call, and the days of their deploys."""

    looks: tuple[DeployLook, ...] = ()
    days: tuple[date, ...] = ()


def look_at_deploys(file: Path, lake: Lake, catalog: Catalog, *, now: datetime) -> Looked:
    """Make every look that is due by `now` and not on record. `file`: the warehouse, held by the caller.

    Done again it writes nothing; killed before its one commit, the next call makes the same looks.
    """
    deploys = read_deploys(lake, catalog.sampling.environments, now=now) if catalog.alerts.after_deploys else []
    if not deploys or not file.exists():
        return Looked()
    days = {one.deployed_at.date() for one in deploys}
    stored = read_looks(lake, days)
    fresh = [
        look
        for deploy in deploys
        for look in _of_deploy(file, catalog, deploy, [one for one in stored if one.deploy_id == deploy.deploy_id], now)
    ]
    if not fresh:
        return Looked()
    touched = sorted({look.deployed_at.date() for look in fresh})
    kept = [*(one for one in stored if one.deployed_at.date() in touched), *fresh]
    column = pa.array([look.deployed_at.date() for look in kept], pa.date32())
    table = to_table(list[Contract](kept), DeployLook).append_column(DAY, column)
    lake.replace_days("deploy_looks", touched, table.cast(TABLES["deploy_looks"].schema))
    return Looked(looks=tuple(fresh), days=tuple(touched))


def read_looks(lake: Lake, days: Collection[date] | None = None) -> list[DeployLook]:
    """The looks at the deploys of some days (None: all), in order of deploy, rule and time."""
    sql = "select * exclude (day, file_name) from deploy_looks order by deployed_at, deploy_id, rule, look_minutes"
    return from_table(rows(lake, sql, {"deploy_looks": days}), DeployLook)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One look that is asked for: of a rule, `minutes` after the first answer."""

    name: str
    rule: Rule
    minutes: int

    @property
    def wait(self) -> timedelta:
        return timedelta(minutes=self.minutes + self.rule.wait_minutes)


def _of_deploy(
    file: Path, catalog: Catalog, deploy: Deployed, stored: Sequence[DeployLook], now: datetime
) -> Iterator[DeployLook]:
    done = {(one.rule, one.look_minutes) for one in stored}
    asked = [
        _Asked(name=name, rule=rule, minutes=minutes)
        for name, rule in catalog.alerts.after_deploys.items()
        for minutes in catalog.alerts.deploy_watch.looks
        if (name, minutes) not in done
    ]
    asked = [one for one in asked if now >= deploy.deployed_at + one.wait]
    if not asked:
        return
    watch, newest = _watch(file, catalog, deploy, stored, now), reached(file, deploy)
    for one in asked:
        compared = (
            _without_answers(catalog, deploy, one, now)
            if watch is None
            else _seen(file, catalog, watch, one, newest, now)
        )
        if compared is not None:
            yield _row(catalog, watch or deploy, one, compared, now)


def _watch(file: Path, catalog: Catalog, deploy: Deployed, stored: Sequence[DeployLook], now: datetime) -> Watch | None:
    known = next((one for one in stored if one.began_at is not None), None)
    if known is not None and known.began_at is not None:
        return resumed(file, deploy, began_at=known.began_at, concurrent=known.compared == "concurrent")
    return began(file, deploy, first_look=timedelta(minutes=catalog.alerts.deploy_watch.looks[0]), now=now)


def _without_answers(catalog: Catalog, deploy: Deployed, asked: _Asked, now: datetime) -> Compared | None:
    """Once nobody waits any more for a version that never answered: that it did not, told by the last look."""
    if asked.minutes != catalog.alerts.deploy_watch.minutes:
        return None
    if deploy.replaced_at is not None and deploy.replaced_at < now:
        return Compared(reason="another deploy took its place before its version answered anything")
    if now >= deploy.deployed_at + STARTS_WITHIN:
        return Compared(reason=f"its version answered nothing within {STARTS_WITHIN / timedelta(hours=1):.0f} hours")
    return None


def _seen(
    file: Path, catalog: Catalog, watch: Watch, asked: _Asked, newest: datetime, now: datetime
) -> Compared | None:
    """What a look sees, or None while it has to wait: for its time, for answers that are under way, for verdicts."""
    until, due = watch.began_at + timedelta(minutes=asked.minutes), watch.began_at + asked.wait
    if now < due or (newest < until and now < due + PATIENCE):
        return None
    if (why := _nothing_to_compare(watch, until)) is not None:
        return Compared(reason=why)
    counted = count(file, catalog, watch, asked.rule.metric, until=until)
    if counted.pending > PENDING * counted.asked:
        late = f"{counted.pending} of {counted.asked} answers chosen for a check have none yet"
        return Compared(reason=late) if now >= due + PATIENCE else None
    worse = worse_of(asked.rule, catalog.metrics.metrics)
    assert worse in ("up", "down")  # checked when the catalog was loaded
    planned = plan_looks(catalog.alerts, asked.rule)[asked.minutes]
    family = family_of(catalog, asked.rule.metric)
    return compare(counted, asked.rule, worse, family, planned, concurrent=watch.concurrent)


def _nothing_to_compare(watch: Watch, until: datetime) -> str | None:
    deploy = watch.deploy
    if deploy.replaced_at is not None and deploy.replaced_at < until:
        return "another deploy took its place before"
    if watch.former is None:
        return "nothing answered before the deploy"
    if watch.is_same and deploy.traffic_share < 1:
        return f"it meets {deploy.traffic_share:.0%} of the answers and names no version of its own"
    return None


def _row(catalog: Catalog, of: Watch | Deployed, asked: _Asked, compared: Compared, now: datetime) -> DeployLook:
    watch, deploy = (of, of.deploy) if isinstance(of, Watch) else (None, of)
    rule, metric = asked.rule, catalog.metrics.metrics[asked.rule.metric]
    judge = next((one.version for one in catalog.judges if one.name == metric.judge), "none")
    told: dict[str, Any] = {field.name: getattr(compared, field.name) for field in fields(compared)}
    if watch is not None and watch.former is not None:
        former = f"{version_text(watch.former)}, before the deploy" if watch.is_same else version_text(watch.former)
        told |= {"before": former, "compared": "concurrent" if watch.concurrent else "before"}
    return DeployLook(
        deploy_id=deploy.deploy_id,
        rule=asked.name,
        look_minutes=asked.minutes,
        metric=rule.metric,
        deployed_at=deploy.deployed_at,
        began_at=None if watch is None else watch.began_at,
        made_at=now,
        app=deploy.app,
        environment=deploy.environment,
        version=deploy.version,
        judge_version=judge,
        metric_version=metric.version,
        chance=plan_looks(catalog.alerts, rule)[asked.minutes].chance,
        limit=float(rule.limit or 0.0),
        told=look_sentence(compared, rule, metric.unit, deploy.deploy_id, asked.minutes, told.get("before")),
        **told,
    )
