"""One metric through time: which points belong together, and how a day compares with the same weekday before."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np

from onlineeval_dagster.contracts.estimates import MetricPoint
from onlineeval_dagster.metrics.intervals import Floats, difference_limits
from onlineeval_dagster.reports.model import Unit
from onlineeval_dagster.review.bridge import REBASED

WEEK = timedelta(days=7)
Alike = Literal["same", "up", "down", "unclear", "first_week", "missing", "recounted"]
# "As a week earlier" is said only where a move beyond this is excluded; otherwise the page says "no clear change".
SAME_WITHIN: Mapping[Unit, float] = {"share": 0.05}
SAME_WITHIN_OF_BEFORE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A day against the same weekday a week earlier. Numbers are set for `same`, `up`, `down` and `unclear`.

    days_to_go  for `first_week`: days until there is a week to compare with
    """

    alike: Alike
    before: MetricPoint | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    days_to_go: int | None = None


def series_name(point: MetricPoint) -> str:
    """What a point's number rests on; points of two series are never compared or joined by a line."""
    return f"{point.judge_version} {point.metric_version}"


def is_rebased(point: MetricPoint) -> bool:
    """Whether an earlier judge version gave the number, and it was moved to the scale of the one in force."""
    return (point.method or "").endswith(REBASED)


def overall(points: Iterable[MetricPoint], *, day: date) -> list[MetricPoint]:
    """The points of all traffic, up to and including the day, in order of time."""
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    kept = [point for point in points if point.slice == "all" and point.window_start < end]
    return sorted(kept, key=lambda point: point.window_start)


def days_of(points: Iterable[MetricPoint]) -> dict[date, list[MetricPoint]]:
    """Daily points by day."""
    by_day: dict[date, list[MetricPoint]] = {}
    for point in points:
        if point.grain == "day":
            by_day.setdefault(point.window_start.date(), []).append(point)
    return by_day


def best_known(points: Iterable[MetricPoint]) -> MetricPoint | None:
    """Of the points of one metric and window: one with a number if there is one, then the most observed."""
    ranked = sorted(points, key=lambda point: (point.value is not None, point.n, series_name(point)))
    return ranked[-1] if ranked else None


def numbers(point: MetricPoint) -> tuple[float, float, float]:
    """Value, low and high of a point that has a number."""
    if point.value is None or point.low is None or point.high is None:
        raise ValueError(f"{point.metric} at {point.window_start}: has no number; compare points that have one")
    return point.value, point.low, point.high


def week_comparison(now: MetricPoint, daily: list[MetricPoint], *, unit: Unit) -> Comparison:
    """A day's point, which has a number, against the same weekday a week earlier among `daily` of the same metric."""
    first = min(point.window_start for point in daily)
    if first > now.window_start - WEEK:
        return Comparison(alike="first_week", days_to_go=(first + WEEK - now.window_start).days)
    then = [point for point in daily if point.window_start == now.window_start - WEEK and point.value is not None]
    same_series = [point for point in then if series_name(point) == series_name(now)]
    if not same_series:
        return Comparison(alike="recounted" if then else "missing")
    before = same_series[0]
    low, high = map(float, difference_limits(_columns(now), _columns(before)))
    difference = numbers(now)[0] - numbers(before)[0]
    alike = _alike(low, high, numbers(before)[0], unit)
    return Comparison(alike=alike, before=before, difference=difference, low=low, high=high)


def _columns(point: MetricPoint) -> tuple[Floats, Floats, Floats]:
    value, low, high = numbers(point)
    return np.array(value), np.array(low), np.array(high)


def _alike(low: float, high: float, before: float, unit: Unit) -> Alike:
    if low > 0:
        return "up"
    if high < 0:
        return "down"
    within = SAME_WITHIN.get(unit, SAME_WITHIN_OF_BEFORE * abs(before))
    return "same" if -within <= low and high <= within else "unclear"
