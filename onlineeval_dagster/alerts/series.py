"""The series that rules look at, out of the lake: points with what was expected of them, on a grid of windows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from onlineeval_dagster.alerts.evidence import Looks
from onlineeval_dagster.catalog.alert_file import MEASURED, Alerts, Look, Rule
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert
from onlineeval_dagster.contracts.estimates import REST
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows

STEP: Mapping[Look, timedelta] = {
    "five_minutes": timedelta(minutes=5),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
SLOTS: Mapping[Look, int] = {"five_minutes": 24, "hour": 24, "day": 1}
"""Windows a day of the points from which a baseline was learnt: that of five minutes is its hour's."""
LATE_DAYS = 31
"""How much older than its arrival the day of an event may be: the horizon of actions, and a day."""
OLD_BY_NATURE = "import"
"""How the doors are called whose events happened before anybody sent them: `import`, and `import_NAME` of a source."""
SERIES = ["slice", "slice_value", "judge_version", "metric_version"]
POINT_KEY = "metric, judge_version, grain, window_start, slice, slice_value, metric_version"
"""Columns by which detrended_metrics belongs to metric_points."""
NUMBERS = ("value", "low", "high", "n", "n_effective", "expected", "standardised", "history_days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Some series of one metric in one kind of window.

    names    (slice, slice_value, judge_version, metric_version) of each
    windows  starts of the windows, one a look, none left out
    """

    names: list[tuple[str, str, str, str]]
    windows: list[datetime]
    looks: Looks

    def of_slices(self, rule: Rule) -> "Watched":
        """The series that a rule is about."""
        chosen = np.array([at for at, name in enumerate(self.names) if name[0] in rule.slices], dtype=np.int64)
        return Watched(names=[self.names[at] for at in chosen], windows=self.windows, looks=self.looks.part(chosen))

    def until(self, latest: datetime, step: timedelta) -> "Watched":
        """The windows, of length `step`, that ended by `latest`."""
        count = sum(start + step <= latest for start in self.windows)
        arrays = {name: getattr(self.looks, name)[:, :count] for name in NUMBERS}
        looks = Looks(**arrays, slots=self.looks.slots, is_share=self.looks.is_share)
        return Watched(names=self.names, windows=self.windows[:count], looks=looks)


def read_points(lake: Lake, alerts: Alerts, *, begin: datetime, end: datetime) -> pd.DataFrame:
    """Points of every metric that a rule is about, from `begin` to `end`, with what was expected of them."""
    metrics = {rule.metric for rule in alerts.timed.values()} - set(MEASURED)
    slices = {name for rule in alerts.timed.values() for name in rule.slices}
    days = _days(lake, "metric_points", begin, end)
    sql = f"""
    with wanted as (
        select {POINT_KEY}, population, n, n_effective, value, low, high
        from metric_points
        where metric in ({literals(sorted(metrics)) or "null"}) and slice in ({literals(sorted(slices)) or "null"})
            and slice_value <> '{REST}'  -- not the same values each day
            and grain in ('hour', 'day')
            and window_start >= timestamptz '{begin.isoformat()}' and window_start < timestamptz '{end.isoformat()}'
    ),
    ranked as (
        select metric, slice, slice_value, row_number() over (
            partition by metric, slice order by sum(population) desc, slice_value
        ) as place
        from wanted group by metric, slice, slice_value
    )
    select wanted.*, expected, standardised, coalesce(history_days, 0) as history_days
    from wanted
    join ranked using (metric, slice, slice_value)
    left join detrended_metrics using ({POINT_KEY})
    where place <= {alerts.budget.slice_values}
    order by metric, grain, slice, slice_value, judge_version, metric_version, window_start
    """
    return rows(lake, sql, {"metric_points": days, "detrended_metrics": days}).to_pandas()


def points_as_looks(points: pd.DataFrame, metric: str, grain: Look, *, is_share: bool) -> Watched | None:
    """The points of one metric and kind of window on their grid; None where there are none."""
    own = points.loc[(points["metric"] == metric) & (points["grain"] == grain)]
    return None if own.empty else _on_grid(own, grain, is_share=is_share)


def _on_grid(own: pd.DataFrame, grain: Look, *, is_share: bool) -> Watched:
    starts = own["window_start"].dt.tz_convert("UTC")
    first, last = starts.min().to_pydatetime(), starts.max().to_pydatetime()
    step = STEP[grain]
    count = int((last - first) / step) + 1
    at = ((starts - starts.min()) / pd.Timedelta(step)).round().astype(int).to_numpy()
    grouped = own.groupby(SERIES, sort=True)
    series = grouped.ngroup().to_numpy()
    names: list[Any] = sorted(grouped.groups)
    arrays = {}
    for name in NUMBERS:
        arrays[name] = np.full((len(names), count), np.nan)
        arrays[name][series, at] = own[name].to_numpy(np.float64)
    looks = Looks(**arrays, slots=SLOTS[grain], is_share=is_share)
    return Watched(names=names, windows=[first + step * look for look in range(count)], looks=looks)


def checks_as_looks(lake: Lake, catalog: Catalog, metric: str, *, begin: datetime, end: datetime) -> Watched | None:
    """`judge_failures`: checks whose last word is an error, of those that were made; `unchecked`: answers selected for
    a check without any verdict. By hour of the answer, over all judges that are counted.
    """
    days = _days(lake, "selections", begin, end)
    judges = literals(judge.name for judge in catalog.counted_judges if judge in catalog.asked_judges)
    bad, all_ = ("not scored", "judged") if metric == "judge_failures" else ("not judged", "true")
    sql = f"""
    with said as (
        select response_id, judge, judge_version, bool_or(score is not null) as scored
        from verdicts group by response_id, judge, judge_version
    ),
    asked as (
        select date_trunc('hour', response_at) as window_start, said.response_id is not null as judged,
            coalesce(scored, false) as scored
        from selections left join said using (response_id, judge, judge_version)
        where state = 'selected' and judge in ({judges or "null"})
            and response_at >= timestamptz '{begin.isoformat()}' and response_at < timestamptz '{end.isoformat()}'
    )
    select window_start, count(*) filter (where {all_})::double as n,
        (count(*) filter (where {all_} and {bad}))::double as bad
    from asked group by window_start having count(*) filter (where {all_}) > 0 order by window_start
    """
    return _counted(rows(lake, sql, {"selections": days, "verdicts": days}).to_pandas())


def late_as_looks(lake: Lake, *, begin: datetime, end: datetime) -> Watched | None:
    """`late_events`: events received more than an hour after they occurred, of all that came in, by hour of arrival.
    What was imported is old by nature, and is left out.
    """
    near = {day for day in lake.days("coverage") if day >= begin.date() - timedelta(days=LATE_DAYS)}
    sql = f"""
    select hour as window_start, sum(ingested)::double as n, sum(late)::double as bad
    from coverage
    where not starts_with(source, '{OLD_BY_NATURE}')
        and hour >= timestamptz '{begin.isoformat()}' and hour < timestamptz '{end.isoformat()}'
    group by hour having sum(ingested) > 0 order by hour
    """
    return _counted(rows(lake, sql, {"coverage": near}).to_pandas())


def _counted(found: pd.DataFrame) -> Watched | None:
    """The shares `bad` of `n`, by hour, as one series without a past."""
    if found.empty:
        return None
    share = found["bad"] / found["n"]
    nothing = {"expected": np.nan, "standardised": np.nan, "history_days": 0.0}
    names = {"slice": "all", "slice_value": "all", "judge_version": "none", "metric_version": "none"}
    # Whole numbers of checks: the limits stand for the count that is tested, and are not shown as an interval.
    points = found.assign(value=share, low=np.nan, high=np.nan, n_effective=found["n"], **nothing, **names)
    return _on_grid(points, "hour", is_share=True)


def answers_by_hour(lake: Lake, *, begin: datetime, end: datetime) -> pd.Series:
    """Answers by the hour in which they came in, as the coverage counted them; hours without any are 0."""
    near = {day for day in lake.days("coverage") if day >= begin.date() - timedelta(days=1)}
    sql = f"""
    select hour, sum(responses)::double as answers from coverage
    where hour >= timestamptz '{begin.isoformat()}' and hour < timestamptz '{end.isoformat()}'
    group by hour order by hour
    """
    found = rows(lake, sql, {"coverage": near}).to_pandas()
    if found.empty:
        return pd.Series(dtype=np.float64)
    hours = pd.date_range(found["hour"].min(), pd.Timestamp(end), freq="h", inclusive="left")
    return found.set_index("hour")["answers"].reindex(hours, fill_value=0.0)


def _days(lake: Lake, table: str, begin: datetime, end: datetime) -> Collection[Any]:
    return {day for day in lake.days(table) if begin.date() <= day <= end.date()}


def of_series(alert: Alert) -> str:
    """SQL: the points of the series that an alert is about; those of all answers, where it is about a deploy."""
    names = ("metric", "judge_version", "metric_version")
    known = {name: getattr(alert, name) for name in names}
    known |= {name: "all" if alert.grain == "deploy" else getattr(alert, name) for name in ("slice", "slice_value")}
    return " and ".join(f"{name} = {literals([value])}" for name, value in known.items())
