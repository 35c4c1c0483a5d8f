"""From the warehouse and the exposures to results: whole weeks of each experiment that runs, or those of a backfill."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.experiments.path import PathPoint, path
from onlineeval_dagster.experiments.results import results
from onlineeval_dagster.experiments.totals import NO_LABELS, count_units
from onlineeval_dagster.experiments.unit_sql import judges_of
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.review.stage import People

DAY_LONG, WEEK = timedelta(days=1), timedelta(weeks=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weeks:
    """Ends of weeks that were written, the rows in them, and how each experiment's primary got there, day by day."""

    ends: tuple[date, ...]
    rows: tuple[ExperimentResult, ...]
    paths: Mapping[tuple[str, date], tuple[PathPoint, ...]]


def analyse_weeks(file: Path, lake: Lake, catalog: Catalog, *, ends: Collection[date]) -> Weeks:
    """Replace the weeks that end before these Mondays: every experiment that ran in them and had an exposure."""
    found: list[ExperimentResult] = []
    paths: dict[tuple[str, date], tuple[PathPoint, ...]] = {}
    for end in sorted(ends):
        for name, experiment in catalog.experiments.experiments.items():
            week = (end - experiment.starts_on).days // 7
            if 1 <= week <= experiment.weeks and file.exists():
                told, points = _week(file, lake, catalog, name, experiment, week)
                found += told
                paths[name, end] = tuple(points)
    days = pa.array([row.as_of.date() for row in found], pa.date32())
    stored = to_table(list(found), ExperimentResult).append_column(DAY, days)
    table = pa.concat_tables([TABLES["experiment_results"].schema.empty_table(), stored])
    lake.replace_days("experiment_results", sorted(ends), table)
    return Weeks(ends=tuple(sorted(ends)), rows=tuple(found), paths=paths)


def _week(
    file: Path, lake: Lake, catalog: Catalog, name: str, experiment: Experiment, week: int
) -> tuple[list[ExperimentResult], list[PathPoint]]:
    start = datetime.combine(experiment.starts_on, time(), tzinfo=UTC)
    days = {day for day in lake.days("exposures") if experiment.starts_on <= day < (start + week * WEEK).date()}
    asked = f"select * exclude (file_name) from ({first_rows('exposures')}) where experiment = '{name}'"
    told = rows(lake, asked, {"exposures": days})
    if not len(told):
        return [], []
    looks = [start + number * DAY_LONG for number in range(1, 7 * week + 1)]
    labels = labels_of(lake, catalog, experiment, since=experiment.starts_on, until=looks[-1].date())
    by_day = count_units(file, catalog, name, experiment, told, looks=looks, labels=labels)
    weeks = by_day[6::7]
    first = np.asarray(weeks[0].units, dtype=np.float64)
    arms = list(experiment.variants)
    control = arms.index(experiment.control_name)
    pairs = np.array([first[arms.index(arm)] + first[control] for arm in experiment.treatments])
    planned = np.maximum(pairs, 2.0) * experiment.weeks
    metrics = catalog.metrics.metrics
    return (
        list(results(name, experiment, metrics, weeks, planned=planned, days=[one.units for one in by_day])),
        path(experiment, metrics, by_day, planned=planned),
    )


def labels_of(lake: Lake, catalog: Catalog, experiment: Experiment, *, since: date, until: date) -> pa.Table:
    """What people said, in audits, of answers of these days, on the axes that the experiment's judges score."""
    days = [since + timedelta(days=n) for n in range((until - since).days)]
    told = [NO_LABELS]
    for axis in sorted({judge.axis for judge in judges_of(catalog, experiment)}):
        labels = People.of(lake, axis, days).labels.select(["response_id", "score", "probability"])
        told.append(labels.append_column("axis", pa.array([axis] * len(labels), pa.string())))
    return pa.concat_tables(told, promote_options="permissive")


def latest_results(lake: Lake, name: str) -> list[ExperimentResult]:
    """The rows of the newest week of an experiment; none where there is no week yet."""
    if not lake.exists("experiment_results"):
        return []
    asked = (
        "select * exclude (day, file_name) from experiment_results "
        f"where experiment = '{name}' qualify as_of = max(as_of) over () order by variant, metric, slice, slice_value"
    )
    return from_table(rows(lake, asked, {"experiment_results": None}), ExperimentResult)


def newest_primaries(lake: Lake) -> list[ExperimentResult]:
    """Rows of the primary metrics over all units, of the newest week of every experiment there ever was."""
    if not lake.exists("experiment_results"):
        return []
    asked = (
        "select * exclude (day, file_name) from experiment_results where role = 'primary' and slice = 'all' "
        "qualify as_of = max(as_of) over (partition by experiment) order by experiment, variant, said_by"
    )
    return from_table(rows(lake, asked, {"experiment_results": None}), ExperimentResult)


def week_ends(now: datetime, *, weeks: int = 2) -> list[date]:
    """The last Mondays, today's among them: what a Monday's run writes. Two, as answers and labels come late."""
    monday = now.date() - timedelta(days=now.date().weekday())
    return [monday - step * WEEK for step in range(weeks)]
