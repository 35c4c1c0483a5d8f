"""What the rules would have done on the days there are: alerts a week, delay, what was missed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from onlineeval_dagster.alerts.deploy_findings import find_after_deploys
from onlineeval_dagster.alerts.deploy_looks import read_looks
from onlineeval_dagster.alerts.findings import Finding, find
from onlineeval_dagster.catalog.alert_file import Rule
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows

NEEDED_DAYS = 14
"""Days that a rule must have been tried on before it wakes anybody."""
ANSWERS_WITHIN = timedelta(hours=24)
"""An alert that begins to be evident so soon after a thing that happened has found it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Something that did happen: an event the user sent, or a deploy after which a metric was clearly worse."""

    name: str
    metric: str | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One rule on history.

    days        that it could look at
    alerts      its alerts in them; `incidents`: those left when the ones that begin together count once
    a_week, low, high  incidents a week with the exact 95 % range of a Poisson count
    first       the evidence of each, the latest first
    """

    rule: str
    days: int
    alerts: int
    incidents: int
    a_week: float
    low: float
    high: float
    first: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """All rules together, and each.

    found    what happened, with the rule that saw it first and after how long
    missed   what happened and no rule saw within a day
    """

    begin: datetime
    end: datetime
    days: int
    incidents: int
    a_week: float
    low: float
    high: float
    rules: tuple[Tried, ...]
    found: tuple[tuple[Known, str, timedelta], ...]
    missed: tuple[Known, ...]


def backtest(
    lake: Lake, catalog: Catalog, *, now: datetime, days: int = 90, only: Collection[str] | None = None
) -> Backtest:
    """Look at the last `days` as if they happened now, with the rules as they are and the data as they are known today.
    Of rules after a deploy, the looks that were made.

    only  rules that are tried; all that are not off by default. Each keeps its share of the budget
    """
    begin = now - timedelta(days=days)
    found = [
        one
        for one in (
            *find(lake, catalog, now=now, begin=begin, checks_begin=begin),
            *find_after_deploys(lake, catalog, now=now, begin=begin),
        )
        if one.fired_at is not None and (only is None or one.rule in only)
    ]
    names = [name for name in catalog.alerts.live if only is None or name in only]
    looked = {name: _days_looked_at(lake, name, catalog.alerts.rules[name], begin, now) for name in names}
    together = timedelta(minutes=catalog.alerts.budget.together_minutes)
    tried = tuple(_tried(name, looked[name], [one for one in found if one.rule == name], together) for name in names)
    whole = max(looked.values(), default=0)
    total = len(openings(found, together))
    happened = _happened(lake, begin, now)
    seen = [(known, first) for known in happened if (first := _first_after(known, found)) is not None]
    return Backtest(
        begin=begin,
        end=now,
        days=whole,
        incidents=total,
        rules=tried,
        found=tuple((known, one.rule, _fired(one) - known.occurred_at) for known, one in seen),
        missed=tuple(known for known in happened if _first_after(known, found) is None),
        **_rate(total, whole),
    )


def refusal(catalog: Catalog, tried: Tried) -> str | None:
    """Why a rule is not switched on yet; None where nothing speaks against it."""
    if tried.days < NEEDED_DAYS:
        return f"it has been tried on {tried.days} of {NEEDED_DAYS} days"
    budget = catalog.alerts.budget.false_alarms_a_week
    if tried.a_week > budget:
        return f"it would have raised {tried.a_week:.1f} alerts a week, and the budget of all rules is {budget:g}"
    return None


def as_if_watched(catalog: Catalog, name: str) -> Catalog:
    """The catalog with a rule looked at, though it may be off."""
    rule = catalog.alerts.rules[name]
    if rule.status != "off":
        return catalog
    rules = {**catalog.alerts.rules, name: rule.model_copy(update={"status": "watch"})}
    return replace(catalog, alerts=catalog.alerts.model_copy(update={"rules": rules}))


def openings(found: Sequence[Finding], together: timedelta) -> list[datetime]:
    """When incidents would have been opened: findings that fire within `together` of the one before open one."""
    times = sorted(_fired(one) for one in found)
    return [at for number, at in enumerate(times) if number == 0 or at - times[number - 1] > together]


def _tried(name: str, days: int, own: list[Finding], together: timedelta) -> Tried:
    incidents = len(openings(own, together))
    latest = tuple(sorted(own, key=_fired, reverse=True))
    return Tried(rule=name, days=days, alerts=len(own), incidents=incidents, first=latest, **_rate(incidents, days))


def _rate(count: int, days: int) -> dict[str, float]:
    """A week's count with its exact range (Garwood 1936)."""
    from scipy.special import gammaincinv  # 1.2 s

    weeks = max(days, 1) / 7
    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return {"a_week": count / weeks, "low": low / weeks, "high": float(gammaincinv(count + 1, 0.975)) / weeks}


def _fired(one: Finding) -> datetime:
    assert one.fired_at is not None
    return one.fired_at


def _first_after(known: Known, found: Sequence[Finding]) -> Finding | None:
    near = [
        one
        for one in found
        if known.occurred_at <= _fired(one) <= known.occurred_at + ANSWERS_WITHIN
        and (known.metric is None or known.metric == one.metric)
    ]
    return min(near, key=_fired, default=None)


def _days_looked_at(lake: Lake, name: str, rule: Rule, begin: datetime, now: datetime) -> int:
    if rule.after is not None:  # as long as it looks at every deploy, whether there is one each day or not
        first = min((look.deployed_at for look in read_looks(lake) if look.rule == name), default=now)
        return (now - max(first, begin)).days
    table = {
        "answers": "coverage",
        "judge_failures": "selections",
        "unchecked": "selections",
        "late_events": "coverage",
    }.get(rule.metric)
    if table is not None:
        return sum(day >= begin.date() for day in lake.days(table))
    table = "metric_points" if rule.kind == "absolute" else "detrended_metrics"
    number = "value" if rule.kind == "absolute" else "standardised"
    days = {day for day in lake.days(table) if day >= begin.date()}
    sql = f"select count(distinct day) as days from {table} where metric = '{rule.metric}' and {number} is not null"
    return int(rows(lake, sql, {table: days}).to_pylist()[0]["days"])


def _happened(lake: Lake, begin: datetime, end: datetime) -> list[Known]:
    near = {
        name: {day for day in lake.days(name) if begin.date() <= day <= end.date()}
        for name in ("events", "deploy_effects")
    }
    sql = f"""
    select name, null::varchar as metric, occurred_at
    from ({first_rows("events")}) where not starts_with(name, 'onlineeval.')
    union all
    select 'deploy ' || deploy_id, metric, deployed_at from deploy_effects where found = 'worse'
    order by 3, 1
    """
    found = rows(lake, sql, near).to_pylist()
    return [Known(**row) for row in found if begin <= row["occurred_at"] <= end]
