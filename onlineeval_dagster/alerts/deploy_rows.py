"""What answers say of a deploy, out of marts.response_facts: when the new version began, and sums by user of both.

windows of the version before, by default of 28 days       new version
├─ 1 h ─┤ as long as the watch ├─ 1 h ─┤ of each day    ├─ 3 h ─┤ first answer ├─ look ─┤
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.alerts.deploys import Deployed, Watch
from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.metrics.moments import Moments, moments_from_parts
from onlineeval_dagster.warehouse.duckdb import column_of, query

NEW = 0
"""Window of the new version; those of the version before are numbered from 1, the hours just before the deploy."""
BESIDE = timedelta(hours=1)
"""Of the days before, so much before and after the hours of the watch is looked at as well."""
JUST_BEFORE = timedelta(hours=3)
STARTS_WITHIN = timedelta(hours=24)
"""A version without an answer by then is not waited for."""
AT_ONCE = 0.2
"""The version before answers at the same time where it has this share of the first look's answers."""
BUCKETS = 4096
"""Users by hash, so that a product of millions is summed as fast: two who share a bucket count as one cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Sums of one metric: whose each part is, and `columns` as moments_from_parts takes them.

    asked, pending  answers of the new version that were chosen for the metric's judge, and those without a word of it
    """

    window: np.ndarray
    stratum: np.ndarray
    user: np.ndarray
    columns: Mapping[str, np.ndarray]
    asked: int = 0
    pending: int = 0

    def sides(self) -> tuple[Moments, list[str]]:
        """Moments of the new version and of all windows before together, in this order, as far as they have answers."""
        side = (self.window != NEW).astype(np.int64)
        found = moments_from_parts(side, self.stratum, self.user, self.columns)
        return found, [("new", "before")[number] for number in np.unique(side)]

    def windows_before(self) -> Moments | None:
        """Moments of each window before; None where there are no answers."""
        before = self.window != NEW
        if not before.any():
            return None
        own = {name: column[before] for name, column in self.columns.items()}
        return moments_from_parts(self.window[before], self.stratum[before], self.user[before], own)


def began(file: Path, deploy: Deployed, *, first_look: timedelta, now: datetime) -> Watch | None:
    """The watch of a deploy that has an answer of its version; None where none came yet."""
    until = min(deploy.deployed_at + STARTS_WITHIN, deploy.replaced_at or now)
    sql = f"""
    select min(occurred_at) as first from marts.response_facts
    where {_place(deploy)} and {named(deploy.names)}
        and occurred_at >= $begin and occurred_at < $until and day >= $begin::date
    """
    first = query(file, sql, {"begin": deploy.deployed_at, "until": until}).to_pylist()[0]["first"]
    if first is None:
        return None
    former = _former(file, deploy)
    watch = Watch(deploy=deploy, began_at=first, former=former, concurrent=False)
    if former is None or watch.is_same:
        return watch
    concurrent = deploy.traffic_share < 1 or _share_of_others(file, watch, first + first_look) >= AT_ONCE
    return Watch(deploy=deploy, began_at=first, former=former, concurrent=concurrent)


def resumed(file: Path, deploy: Deployed, *, began_at: datetime, concurrent: bool) -> Watch:
    """The same watch at a later look: late lines move neither its beginning nor what it is compared with."""
    return Watch(deploy=deploy, began_at=began_at, former=_former(file, deploy), concurrent=concurrent)


def reached(file: Path, deploy: Deployed) -> datetime:
    """How far answers of the deploy's app and environment have come in: when the newest one was given."""
    sql = f"select max(occurred_at) as newest from marts.response_facts where {_place(deploy)} and day >= $at::date"
    newest = query(file, sql, {"at": deploy.deployed_at}).to_pylist()[0]["newest"]
    return deploy.deployed_at if newest is None else newest


def count(file: Path, catalog: Catalog, watch: Watch, metric: str, *, until: datetime) -> Counted:
    """The sums of a metric over the answers of the new version before `until`, and of the version before."""
    known = catalog.metrics.metrics[metric]
    judge = next((one for one in catalog.judges if one.name == known.judge), None)
    number = f"({known.numerator})::boolean::int::double" if known.kind == "rate" else f"({known.numerator})::double"
    counts, stratum, lost = _design(judge)
    sql = f"""
    with answers as (
        select *, {_window(watch, catalog)} as window_no
        from marts.response_facts
        where {_place(watch.deploy)} and day >= ($first::date - 1) and occurred_at >= $first and occurred_at < $until
    ),
    counted as (
        select window_no, {stratum} as stratum, hash(user_key) % {BUCKETS} as user_no, {number} as y, {lost} as lost,
            {_state(judge)} as state
        from answers
        where window_no is not null and ({known.filter}) and ({known.denominator}) and {counts}
    )
    select window_no, stratum, user_no, count(*)::double as size, count(y)::double as judged,
        coalesce(sum(y), 0) as total, coalesce(sum(y * y), 0) as squares, coalesce(sum(lost), 0)::double as lost,
        count(*) filter (where window_no = {NEW} and state in ('pending', 'done', 'failed')) as asked,
        count(*) filter (where window_no = {NEW} and state = 'pending') as pending
    from counted {"" if judge else "where y is not null"}
    group by window_no, stratum, user_no
    order by window_no, stratum, user_no
    """
    first = watch.began_at - timedelta(days=catalog.alerts.deploy_watch.baseline_days + 1)
    return _counted(query(file, sql, {"first": first, "began": watch.began_at, "until": until}))


def named(names: Mapping[str, str | None]) -> str:
    """SQL: whether an answer is of a version."""
    told = (
        f"{name} is not distinct from {'null' if value is None else literals([value])}" for name, value in names.items()
    )
    return "(" + (" and ".join(told) or "true") + ")"


def _counted(found: pa.Table) -> Counted:
    def numbers(name: str) -> np.ndarray:
        return found.column(name).to_numpy()

    sums = ("size", "judged", "total", "squares", "lost")
    return Counted(
        window=numbers("window_no").astype(np.int64),
        stratum=np.asarray(found.column("stratum").to_pylist(), dtype=str),
        user=numbers("user_no").astype(np.int64),
        columns={name: numbers(name) for name in sums},
        asked=int(numbers("asked").sum()),
        pending=int(numbers("pending").sum()),
    )


def _design(judge: Judge | None) -> tuple[str, str, str]:
    """SQL: whether an answer counts, its stratum, and whether its verdict is lost for good."""
    if judge is None:
        return "true", "'all'", "0"
    column = column_of(judge.name)
    counts = f"{column}_probability is not null and {column}_version = {literals([judge.version])}"
    stratum = f"{column}_stratum || ' at ' || {column}_probability"
    return counts, stratum, f"({column}_state in ('failed', 'shed'))::int"


def _state(judge: Judge | None) -> str:
    return "null" if judge is None else f"{column_of(judge.name)}_state"


def _window(watch: Watch, catalog: Catalog) -> str:
    """SQL: the number of an answer's window; null where it is in none."""
    new = named(watch.deploy.names)
    if watch.former is None:
        return f"case when {new} and occurred_at >= $began then {NEW} end"
    if watch.concurrent:
        return f"case when occurred_at >= $began then case when {new} then {NEW} else 1 end end"
    settings = catalog.alerts.deploy_watch
    begin = f"($began - interval {int(BESIDE.total_seconds())} second)"
    length = int((2 * BESIDE + timedelta(minutes=settings.minutes)).total_seconds())
    since = f"floor((epoch(occurred_at) - epoch({begin})) / 86400)"
    in_hours = f"(epoch(occurred_at) - epoch({begin})) - 86400 * {since} < {length}"
    previous = watch.deploy.previous_at if watch.is_same else None
    bounded = "true" if previous is None else f"occurred_at >= timestamptz '{previous.isoformat()}'"
    return f"""case
            when {new} and occurred_at >= $began then {NEW}
            when not {named(watch.former)} or occurred_at >= $began or not {bounded} then null
            when occurred_at >= $began - interval {int(JUST_BEFORE.total_seconds())} second then 1
            when -{since} between 1 and {settings.baseline_days} and {in_hours} then 1 - {since}::int
        end"""


def _former(file: Path, deploy: Deployed) -> dict[str, str | None] | None:
    """The version that answered most in the last 24 hours with answers before the deploy."""
    columns = ", ".join(deploy.names)
    grouped = f"{columns}, " if columns else ""
    sql = f"""
    with before as (
        select {grouped} occurred_at from marts.response_facts
        where {_place(deploy)} and occurred_at < $at and day >= $at::date - 28 and day <= $at::date
    )
    select {grouped} count(*) as answers from before
    where occurred_at >= (select max(occurred_at) from before) - interval 24 hour
    {f"group by {columns}" if columns else ""}
    order by answers desc {f", {columns}" if columns else ""} limit 1
    """
    found = query(file, sql, {"at": deploy.deployed_at}).to_pylist()
    if not found or not found[0]["answers"]:
        return None
    return {name: found[0][name] for name in deploy.names}


def _share_of_others(file: Path, watch: Watch, until: datetime) -> float:
    sql = f"""
    select coalesce(avg((not {named(watch.deploy.names)})::int), 0) as share from marts.response_facts
    where {_place(watch.deploy)} and occurred_at >= $began and occurred_at < $until and day >= $began::date
    """
    return float(query(file, sql, {"began": watch.began_at, "until": until}).to_pylist()[0]["share"])


def _place(deploy: Deployed) -> str:
    return f"app = {literals([deploy.app])} and environment = {literals([deploy.environment])}"
