"""What the points by hour say of an incident's series: the rhythm, the noise, and what is usual in the weeks before."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from onlineeval_dagster.alerts.cells import Hours
from onlineeval_dagster.alerts.series import POINT_KEY, of_series
from onlineeval_dagster.contracts.alerts import Alert
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.metrics.counterfactual import Effect, structural_effect
from onlineeval_dagster.metrics.detrend import Link, detrend
from onlineeval_dagster.metrics.intervals import normal_quantile

Floats = np.ndarray

USUAL_DAYS = 28
NEEDED_BEFORE = 24
"""Hours before a deploy that a structural model is fitted on."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The hours of a series from `begin` on, none left out: arrays (hours,) on the scale of the link.

    residual  without the rhythm;  traffic  logarithm of the answers, without theirs;  hours  as cells take them
    """

    begin: datetime
    residual: Floats
    traffic: Floats
    hours: Hours

    def since(self, begin: datetime) -> Hours:
        """The hours from a later instant on."""
        first = self.place(begin)
        known = self.hours
        return Hours(expected=known.expected[first:], error=known.error[first:], scale=known.scale[first:])

    def place(self, instant: datetime) -> int:
        """The hour in which an instant lies."""
        return int((instant - self.begin) / HOUR)


def read_past(lake: Lake, alert: Alert, *, begin: datetime, end: datetime, link: Link) -> Past:
    """The series of an alert from 28 days before `begin` (a full hour) to `end`."""
    first = begin - timedelta(days=USUAL_DAYS)
    days = {day for day in lake.days("metric_points") if first.date() <= day <= end.date()}
    sql = f"""
    select window_start, population, points.value, high - low as width, expected, scale
    from (
        select * from metric_points where grain = 'hour' and {of_series(alert)}
            and window_start >= timestamptz '{first.isoformat()}' and window_start < timestamptz '{end.isoformat()}'
    ) as points
    left join detrended_metrics using ({POINT_KEY})
    order by window_start
    """
    found = rows(lake, sql, {"metric_points": days, "detrended_metrics": days}).to_pandas()
    grid = pd.date_range(first, end, freq="h", inclusive="left")
    on_grid = found.set_index("window_start").astype(np.float64).reindex(grid)
    value, expected, scale, width, population = (
        on_grid[name].to_numpy(np.float64) for name in ("value", "expected", "scale", "width", "population")
    )
    error = width / (2 * normal_quantile(0.95))
    if link == "log":
        with np.errstate(invalid="ignore", divide="ignore"):
            value, expected, scale, error = np.log(value), np.log(expected), scale / expected, error / value
    return Past(
        begin=first,
        residual=value - expected,
        traffic=_traffic(population, first),
        hours=Hours(expected=expected, error=error, scale=scale),
    )


def against_untouched(
    lake: Lake, alert: Alert, column: str, value: str, *, begin: datetime, at: datetime, end: datetime
) -> Effect | None:
    """The hours of one value of a slice from `at` on, against what its other values led to expect (structural model).

    Values that have a number in every hour of the treated one are donors; None without any, or with less than a day of
    hours before or none after.
    """
    days = {day for day in lake.days("detrended_metrics") if begin.date() <= day <= end.date()}
    own = " and ".join(
        f"{name} = {literals([getattr(alert, name)])}" for name in ("metric", "judge_version", "metric_version")
    )
    sql = f"""
    select window_start, slice_value, residual from detrended_metrics
    where grain = 'hour' and {own} and slice = {literals([column])} and residual is not null
        and window_start >= timestamptz '{begin.isoformat()}' and window_start < timestamptz '{end.isoformat()}'
    """
    found = rows(lake, sql, {"detrended_metrics": days}).to_pandas()
    if not (found["slice_value"] == value).any():
        return None
    table = found.pivot(index="window_start", columns="slice_value", values="residual")
    table = table[table[value].notna()].dropna(axis="columns")
    donors = table.drop(columns=value)
    before = int((table.index + HOUR <= at).sum())
    touched = table.index >= at  # the hour of the deploy itself is of both
    if donors.empty or before < NEEDED_BEFORE or not touched.any():
        return None
    kept = (table.index + HOUR <= at) | touched
    return structural_effect(table.loc[kept, value].to_numpy(), donors.loc[kept].to_numpy(), before=before)


def _traffic(population: Floats, first: datetime) -> Floats:
    """The logarithm of the answers without its rhythm; NaN in hours without any, or without a week of history."""
    count = -(-(first.hour + len(population)) // 24)
    whole = np.full(24 * count, np.nan)
    own = slice(first.hour, first.hour + len(population))
    whole[own] = population
    weekday = (first.weekday() + np.arange(count)) % 7
    return detrend(whole.reshape(1, count, 24), weekday, link="log").residual.ravel()[own]
