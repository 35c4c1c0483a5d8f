"""From the warehouse and the labels to corrected points: what people would say, day by day, by week, over 28 days."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, Metric
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine
from onlineeval_dagster.review.cells import corrected_rates
from onlineeval_dagster.review.prediction_powered import NEEDED_LABELS, Corrected, corrected_means
from onlineeval_dagster.review.totals import PEOPLE_SQL
from onlineeval_dagster.review.windows import Group, Window
from onlineeval_dagster.warehouse.duckdb import built_since

DAYS = 28
OWN_LABELS = 50
"""Labels from which a slice is corrected by its own; below it borrows those of all answers."""

_ALL: Group = ("all", "all")
_LATE_DAYS = 14
"""A label of an older answer does not bring its day up again: it counts in the 28 days that are still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Days rewritten, points in them, and how many of these have a number."""

    days: tuple[date, ...]
    points: int
    answered: int


def correct_points(
    file: Path, lake: Lake, catalog: Catalog, *, rng: np.random.Generator, days: Collection[date] | None = None
) -> Correction:
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
        for point in _points(file, lake, catalog, name, metric, judge, wanted, rng)
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
    file: Path,
    lake: Lake,
    catalog: Catalog,
    name: str,
    metric: Metric,
    judge: Judge,
    days: list[date],
    rng: np.random.Generator,
) -> Iterator[CorrectedPoint]:
    people = _people(lake, judge.axis, days)

    def window(first: date, last: date) -> Window:
        return Window.read(file, catalog, metric, judge, people, first=first, last=last)

    for day in days:
        first, monday = day - timedelta(days=DAYS - 1), day - timedelta(days=day.weekday())
        lent, week = window(first, day), window(monday, day)
        has_own = (place := week.place(_ALL)) is not None and week.moments.labels[place] >= NEEDED_LABELS
        for grain, start, of, labelled in (
            ("days28", first, lent, lent),
            ("week", monday, week, week if has_own else lent),
            ("day", day, window(day, day), lent),
        ):
            key = {
                "metric": name,
                "judge_version": judge.version,
                "metric_version": metric.version,
                "grain": grain,
                "as_of": _midnight(day),
                "window_start": _midnight(start),
                "labels_from": _midnight(monday if labelled is week else first),
            }
            for group, corrected in _corrected(metric, of, labelled, rng):
                yield CorrectedPoint(**key, slice=group[0], slice_value=group[1], **corrected)  # type: ignore[arg-type]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _people(lake: Lake, axis: str, days: list[date]) -> pa.Table:
    span = {days[0] - timedelta(days=back) for back in range(DAYS)} | set(days)
    with engine(lake, {"labels": span & lake.days("labels")}) as connection:
        return connection.sql(PEOPLE_SQL, params={"axis": axis}).to_arrow_table()


def _corrected(
    metric: Metric, of: Window, lent: Window, rng: np.random.Generator
) -> Iterator[tuple[Group, Mapping[str, Any]]]:
    """Each group of a window, corrected by its own labels in `lent` where there are 50, else by those of all."""
    everything = lent.place(_ALL)
    if everything is None:
        return
    places = [lent.place(group) for group in of.groups]
    own = np.array([place is not None and lent.moments.labels[place] >= OWN_LABELS for place in places])
    at = np.array([place if is_own else everything for place, is_own in zip(places, own, strict=True)], dtype=np.int64)
    if metric.kind == "rate":
        found, kind = corrected_rates(of.judged, lent.labelled, rng=rng, at=at), "beta-cells"
    else:
        found, kind = corrected_means(of.moments, borrowed=lent.moments.take(at)), "ppi"
    # Labels of the window itself are nested in its verdicts, which narrows the interval of a mean.
    nested = corrected_means(of.moments) if of is lent and metric.kind == "mean" else found
    for place, group in enumerate(of.groups):
        is_own = bool(own[place]) or group == _ALL
        method = kind + ("" if of is lent else "-borrowed") + ("" if is_own else "-pooled")
        yield group, {"method": method, **_numbers(nested if is_own else found, place)}


def _numbers(found: Corrected, at: int) -> dict[str, Any]:
    told = {"labels": int(found.labels[at]), "raw": float(found.raw[at]), "reason": found.reason[at]}
    if found.answered[at]:
        told |= {name: float(getattr(found, name)[at]) for name in ("value", "low", "high", "error", "power")}
    return told
