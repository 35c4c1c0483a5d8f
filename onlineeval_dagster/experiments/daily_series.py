"""A metric's days by the values of a slice, for what was changed without an assignment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.errors import ReportError
from onlineeval_dagster.experiments.moments import Floats
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """touched: values of `days`, in order; untouched: by name, whole on these days; holed: those that are not."""

    days: tuple[date, ...]
    touched: Floats
    untouched: Mapping[str, Floats]
    holed: tuple[str, ...]


def daily_series(
    lake: Lake, catalog: Catalog, metric: str, *, by: str, touched: str, since: date, until: date
) -> Daily:
    """From `since` to before `until`, of the metric and judge in force. Raises ReportError where there is nothing."""
    judge = catalog.metrics.metrics[metric].judge
    version = next((one.version for one in catalog.judges if one.name == judge), "none")
    wanted = {since + timedelta(days=n) for n in range((until - since).days)}
    known = lake.days("metric_points") & wanted if lake.exists("metric_points") else set()
    asked = (
        "select slice_value, window_start::date as at_day, value from metric_points where grain = 'day' "
        f"and metric = {literals([metric])} and slice = {literals([by])} and judge_version = {literals([version])} "
        f"and metric_version = {literals([catalog.metrics.metrics[metric].version])} and value is not null"
    )
    found: dict[str, dict[date, float]] = {}
    for row in rows(lake, asked, {"metric_points": known}).to_pylist() if known else ():
        found.setdefault(row["slice_value"], {})[row["at_day"]] = row["value"]
    if touched not in found:
        there = ", ".join(sorted(found)) or "none"
        raise ReportError(
            f"{metric} has no day with {by} = {touched} from {since} to {until}; there are {there}. "
            "Name another with --by and --touched, or run `onlineeval run` first"
        )
    days = tuple(sorted(found[touched]))
    others = {name: values for name, values in sorted(found.items()) if name != touched}
    whole = {name for name, values in others.items() if all(day in values for day in days)}
    return Daily(
        days=days,
        touched=np.array([found[touched][day] for day in days]),
        untouched={name: np.array([others[name][day] for day in days]) for name in others if name in whole},
        holed=tuple(sorted(others.keys() - whole)),
    )
