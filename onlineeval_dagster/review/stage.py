"""From the warehouse and the labels to corrected points: what people would say, day by day, by week, over 28 days."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine
from onlineeval_dagster.review.points import corrected_groups
from onlineeval_dagster.review.prediction_powered import NEEDED_LABELS
from onlineeval_dagster.review.totals import MARKS_SQL, PEOPLE_SQL
from onlineeval_dagster.review.windows import DAYS, GRAINS, Grain, Window, Windows
from onlineeval_dagster.warehouse.duckdb import built_since

_WEEK = timedelta(days=7)
_LATE_DAYS = 14
"""A label of an older answer does not bring its day up again: it counts in the 28 days that are still open."""
_AT_ONCE = 91
"""Days whose answers are held at a time, with the 28 before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Days rewritten, points in them, and how many of these have a number."""

    days: tuple[date, ...]
    points: int
    answered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Labels of an axis that may enter an estimate (PEOPLE_SQL), and a mark of those of each day."""

    labels: pa.Table
    marks: dict[date, int]

    @classmethod
    def of(cls, lake: Lake, axis: str, days: Collection[date]) -> "People":
        """With a label on an answer of `days`."""
        with engine(lake, {"labels": set(days) & lake.days("labels")}) as connection:
            labels = connection.sql(PEOPLE_SQL, params={"axis": axis}).to_arrow_table()
            connection.register("people", labels)
            marks = dict(connection.sql(MARKS_SQL).fetchall())
        return cls(labels=labels, marks=marks)

    def version(self, judge_version: str, first: date, last: date) -> str:
        """12 hex digits over the judge's version, the days [first, last] and all labels on their answers."""
        marks = [f"{day} {mark}" for day, mark in sorted(self.marks.items()) if first <= day <= last]
        return hashlib.sha256("\n".join([judge_version, f"{first} {last}", *marks]).encode()).hexdigest()[:12]


def correct_points(file: Path, lake: Lake, catalog: Catalog, *, days: Collection[date] | None = None) -> Correction:
    """Correct the days that were built or labelled since the last call (or `days`, for a backfill).

    Days before the last 14 of those with answers are closed: later labels do not revise them, a backfill does.
    """
    number, built = built_since(file, lake.read_through("corrected_points", "warehouse"))
    labels = lake.changes("labels", lake.read_through("corrected_points", "labels"))
    have = lake.days("responses")
    open_from = max(have, default=date.min) - timedelta(days=_LATE_DAYS)
    first_time = lake.read_through("corrected_points", "warehouse") is None
    touched = {day for day in built | labels.days if first_time or day > open_from} if days is None else set(days)
    wanted = sorted(touched & have)
    if not wanted:
        return Correction(days=(), points=0, answered=0)
    points = [
        point
        for name, metric, judge in _corrected_metrics(catalog)
        for start in range(0, len(wanted), _AT_ONCE)
        for point in _points(file, lake, catalog, name, metric, judge, wanted[start : start + _AT_ONCE])
    ]
    reads = {"warehouse": number, "labels": labels.version} if days is None else None
    table = pa.concat_tables([TABLES["corrected_points"].schema.empty_table(), _stored(points)])
    lake.replace_days("corrected_points", wanted, table, reads=reads)
    answered = sum(point.value is not None for point in points)
    return Correction(days=tuple(wanted), points=len(points), answered=answered)


def _stored(points: list[CorrectedPoint]) -> pa.Table:
    days = pa.array([point.as_of.date() for point in points], pa.date32())
    return to_table(list(points), CorrectedPoint).append_column(DAY, days)


def _corrected_metrics(catalog: Catalog) -> Iterator[tuple[str, Metric, Judge]]:
    live = {judge.name: judge for judge in catalog.live_judges}
    for name, metric in catalog.metrics.metrics.items():
        if metric.judge in live:
            yield name, metric, live[metric.judge]


def _points(
    file: Path, lake: Lake, catalog: Catalog, name: str, metric: Metric, judge: Judge, days: list[date]
) -> Iterator[CorrectedPoint]:
    """Of every version that judged answers of a day: a new one does not take the old one's points away."""
    first = days[0] - timedelta(days=DAYS - 1)
    people = People.of(lake, judge.axis, [first + timedelta(days=n) for n in range((days[-1] - first).days + 1)])
    read = Windows.read(file, catalog, metric, judge, people.labels, first=first, last=days[-1])
    for version, windows in read.items():
        for day in days:
            if version == judge.version or len(windows.at("day", day).present):
                yield from _points_of_day(name, metric, version, windows, people, day)


def _points_of_day(
    name: str, metric: Metric, version: str, windows: Windows, people: People, day: date
) -> Iterator[CorrectedPoint]:
    first, monday = day - timedelta(days=DAYS - 1), day - timedelta(days=day.weekday())
    lent, week, today = (windows.at(grain, day) for grain in GRAINS)
    has_own = week.moments.labels[0] >= NEEDED_LABELS
    grains: tuple[tuple[Grain, date, Window, Window], ...] = (
        ("days28", first, lent, lent),
        ("week", monday, week, week if has_own else lent),
        ("day", day, today, lent),
    )
    for grain, start, of, labelled in grains:
        labels_from = monday if labelled is week else first
        key = {
            "metric": name,
            "judge_version": version,
            "metric_version": metric.version,
            "grain": grain,
            "as_of": _midnight(day),
            "window_start": _midnight(start),
            "labels_from": _midnight(labels_from),
            "calibration_version": people.version(version, labels_from, day),
        }
        before = None if grain == "days28" else windows.at(grain, day - _WEEK)
        for group, told in corrected_groups(metric, of, labelled, before=before):
            yield CorrectedPoint(**key, slice=group[0], slice_value=group[1], **told)  # type: ignore[arg-type]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
