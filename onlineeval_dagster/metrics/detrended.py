"""From metric points to points without their rhythm, in the lake: whole touched days and those that rest on them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.days import days_of
from onlineeval_dagster.metrics.detrend import HISTORY_DAYS, NEEDED_DAYS, Detrended, Link, detrend
from onlineeval_dagster.metrics.intervals import normal_quantile
from onlineeval_dagster.metrics.mix import mixes

NAME = "detrended_metrics"
SERIES = ["metric", "metric_version", "judge_version", "slice", "slice_value"]
STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
LINKS: Mapping[str, Link] = {"ms": "log", "usd": "log"}
"""By the metric's unit; others are compared as differences."""

FIRST_MONDAY = date(1970, 1, 5)
BLOCK_DAYS, WARM_UP_DAYS = 28, 84
"""Days are projected in blocks that begin on fixed dates, each from a history that begins WARM_UP_DAYS before it: an
expectation rests on earlier ones, and a tick must find the same as a rebuild."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetrendedDays:
    """Days rewritten, points in them, and how many of these have a standardised residual."""

    days: tuple[date, ...]
    points: int
    answered: int


def touched_by_points(lake: Lake) -> tuple[list[date], int]:
    """Days whose expectations rest on points that changed since the last call, and the version of these points."""
    changes = lake.changes("metric_points", lake.read_through(NAME, "metric_points"))
    there = lake.days("metric_points") | lake.days(NAME)
    reach = timedelta(days=BLOCK_DAYS + WARM_UP_DAYS)
    first = sorted(changes.days)
    rests = {day for day in there if any(at <= day <= at + reach for at in first)}
    return sorted(rests | changes.days), changes.version


def detrend_points(lake: Lake, catalog: Catalog) -> DetrendedDays:
    """Project the days that rest on points changed since the last call; put them in place."""
    wanted, version = touched_by_points(lake)
    if not wanted:
        return DetrendedDays(days=(), points=0, answered=0)
    tables = [_block(lake, catalog, block) for block in _blocks(wanted)]
    points = pa.concat_tables([TABLES[NAME].schema.empty_table(), *tables])
    lake.replace_days(NAME, wanted, points, reads={"metric_points": version})
    answered = len(points) - points.column("standardised").null_count
    return DetrendedDays(days=tuple(wanted), points=len(points), answered=answered)


def _blocks(days: Sequence[date]) -> Iterator[list[date]]:
    """Days that are projected from the same beginning."""
    by_block: dict[int, list[date]] = {}
    for day in days:
        by_block.setdefault((day - FIRST_MONDAY).days // BLOCK_DAYS, []).append(day)
    yield from by_block.values()


def _block(lake: Lake, catalog: Catalog, wanted: list[date]) -> pa.Table:
    begin = FIRST_MONDAY + BLOCK_DAYS * timedelta(days=(wanted[0] - FIRST_MONDAY).days // BLOCK_DAYS)
    needed = {day for day in lake.days("metric_points") if begin - timedelta(days=WARM_UP_DAYS) <= day <= wanted[-1]}
    names = ", ".join(["grain", "window_start", "day", *SERIES, "population", "value", "low", "high", "reason"])
    read = rows(
        lake,
        f"select {names} from metric_points where grain in ('hour', 'day') order by {', '.join(SERIES)}, window_start",
        {"metric_points": needed},
    ).to_pandas()
    parts = []
    for grain, points in read.groupby("grain"):
        for link, own in points.groupby(points["metric"].map(lambda name: _link(catalog, name))):
            parts.append(_without_rhythm(own, str(grain), link, catalog))
    schema = TABLES[NAME].schema
    if not parts:
        return schema.empty_table()
    found = pd.concat(parts)
    found = found[found["day"].isin(wanted)]
    # Parts of a mean add up to the whole, those of a quantile do not.
    adding = read[[_adds_up(catalog, name) for name in read["metric"]]]
    found = found.merge(mixes(adding, wanted), how="left", on=["grain", "window_start", *SERIES])
    return pa.Table.from_pandas(found, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _adds_up(catalog: Catalog, metric: str) -> bool:
    known = catalog.metrics.metrics.get(metric)
    return known is None or known.kind != "quantile"


def _link(catalog: Catalog, metric: str) -> Link:
    known = catalog.metrics.metrics.get(metric)
    return LINKS.get(known.unit, "identity") if known is not None else "identity"


def _without_rhythm(points: pd.DataFrame, grain: str, link: Link, catalog: Catalog) -> pd.DataFrame:
    """The points of some series of one grain with what was to be expected."""
    clock = catalog.metrics.clock
    series = points.groupby(SERIES, sort=True).ngroup().to_numpy()
    instants, at = np.unique(points["window_start"].to_numpy("datetime64[us]"), return_inverse=True)
    # A day's points are those of UTC days; an hour stands in the day that people live.
    zone = clock.zone if grain == "hour" else "UTC"
    days = days_of(instants, step=STEPS[grain], zone=zone, holidays=clock.behaves_like)
    values, errors = (np.full((series.max() + 1, len(instants)), np.nan) for _ in range(2))
    values[series, at] = points["value"]
    spread = (points["high"] - points["low"]) / (2 * normal_quantile(0.95))
    errors[series, at] = spread / points["value"].where(points["value"] > 0) if link == "log" else spread
    left = detrend(days.grid(values), days.weekday, error=days.grid(errors), link=link)
    return _as_rows(points, left, (series, days.day[at], days.slot[at]), link)


def _as_rows(points: pd.DataFrame, left: Detrended, where: tuple[Any, ...], link: Link) -> pd.DataFrame:
    expected, standardised = left.expected[where], left.standardised[where]
    history = left.history_days[where[:2]]
    scale = left.scale[where] * (expected if link == "log" else 1.0)
    value = points["value"].to_numpy(np.float64)
    return points.assign(
        expected=expected,
        residual=value - expected,
        scale=scale,
        standardised=standardised,
        history_days=history,
        reason=[
            None if np.isfinite(said) else _reason(reason, days, known)
            for said, reason, days, known in zip(standardised, points["reason"], history, expected, strict=True)
        ],
    )


def _reason(reason: str | None, days: int, expected: float) -> str:
    if isinstance(reason, str):
        return reason
    if days < NEEDED_DAYS:
        return f"too little history: {days} of {NEEDED_DAYS} days in the last {HISTORY_DAYS}"
    if not np.isfinite(expected):
        return "no point at this time of day in the days before"
    return "nothing has ever varied here"
