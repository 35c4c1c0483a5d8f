"""From the warehouse's moments to the lake's metric points and deploy effects: whole touched days."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.estimates import DeployEffect
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.cells import read_cells
from onlineeval_dagster.metrics.estimates import Estimates, difference, estimate_means, estimate_rates
from onlineeval_dagster.metrics.moments import Moments
from onlineeval_dagster.metrics.quantiles import quantile_points
from onlineeval_dagster.warehouse.duckdb import built_since, query

POINT_KEY = (
    *("metric", "judge_version", "grain", "window_start", "slice", "slice_value", "metric_version"),
    *("day", "days_covered"),
)
EFFECT_KEY = ("metric", "judge_version", "deploy_id", "deployed_at")

# A change is looked for in every metric after every deploy: at 95 % one of twenty would cry wolf.
EFFECT_LEVEL = 0.99
CELLS_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """Days rewritten, points in them, and how many of these have a number."""

    days: tuple[date, ...]
    points: int
    answered: int


def estimate_points(file: Path, lake: Lake, catalog: Catalog, *, days: Collection[date] | None = None) -> Estimated:
    """Estimate the points of the days built since the last call (or of `days`, for a backfill); put them in place.

    A week stands on its Monday, so that the Monday of each touched week is rewritten too.
    """
    number, built = built_since(file, lake.read_through("metric_points", "warehouse"))
    touched = built if days is None else days
    if not touched:
        return Estimated(days=(), points=0, answered=0)
    mondays = _whole_weeks(lake, touched) if "week" in catalog.metrics.grains else set()
    wanted = sorted({*touched, *mondays})
    made = _Made()
    points = made.counted(_points_of(file, catalog, wanted, mondays))
    lake.replace_days("metric_points", wanted, points, reads={"warehouse": number} if days is None else None)
    return Estimated(days=tuple(wanted), points=made.points, answered=made.answered)


@dataclass(slots=True)
class _Made:
    """Counts the points that go by."""

    points: int = 0
    answered: int = 0

    def counted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for table in tables:
            self.points += len(table)
            self.answered += len(table) - table.column("value").null_count
            yield table


def _points_of(file: Path, catalog: Catalog, wanted: list[date], mondays: Collection[date]) -> Iterator[pa.Table]:
    """The points of `wanted`, a few days at a time: those of a rebuild would fill the memory."""
    yield TABLES["metric_points"].schema.empty_table()
    for days in _portions(file, wanted):
        windows = _windows(days, [day for day in days if day in mondays])
        for family, names in _families(catalog).items():
            yield _points(file, family, names, windows)
        for made in quantile_points(file, catalog, days, [day for day in days if day in mondays]):
            yield _quantiles(catalog, *made)


def _portions(file: Path, wanted: list[date]) -> Iterator[list[date]]:
    """Days in their order, in groups of at most CELLS_AT_ONCE cells; at least one day each."""
    sql = f"select day, count(*) as cells from {_windows(wanted, wanted)} group by day"
    cells = dict(zip(*query(file, sql).to_pydict().values(), strict=True))
    portion: list[date] = []
    size = 0
    for day in wanted:
        if portion and size + cells.get(day, 0) > CELLS_AT_ONCE:
            yield portion
            portion, size = [], 0
        portion.append(day)
        size += cells.get(day, 0)
    yield portion


def estimate_effects(file: Path, lake: Lake, catalog: Catalog) -> int:
    """Estimate before and after of each deploy that the last build touched; returns the number of effects."""
    number, built = built_since(file, lake.read_through("deploy_effects", "warehouse"))
    if not built:
        return 0
    schema = TABLES["deploy_effects"].schema
    tables = [_effects(file, catalog, kind, names) for kind, names in _families(catalog).items()]
    effects = pa.concat_tables([schema.empty_table(), *tables])
    days = {min(built) + timedelta(days=shift) for shift in range(-8, (max(built) - min(built)).days + 9)}
    lake.replace_days("deploy_effects", days, effects, reads={"warehouse": number})
    return len(effects)


Family = tuple[str, tuple[float, float] | None]
"""How a metric is estimated: `rate`, or `mean` with the bounds of its scale where it has some."""


def family_of(catalog: Catalog, name: str) -> Family:
    """How the metric `name` is estimated. A judge's mean score is bounded by the judge's scale."""
    metric = catalog.metrics.metrics[name]
    judge = next((judge for judge in catalog.judges if judge.name == metric.judge), None)
    bounded = judge is not None and metric.kind == "mean" and metric.unit == "score"
    return metric.kind, (float(min(judge.scale)), float(max(judge.scale))) if judge is not None and bounded else None


def _families(catalog: Catalog) -> Mapping[Family, list[str]]:
    """Metrics that one call estimates together."""
    families: dict[Family, list[str]] = {}
    for name, metric in catalog.metrics.metrics.items():
        if metric.kind != "quantile":
            families.setdefault(family_of(catalog, name), []).append(name)
    return families


def estimate(family: Family, moments: Moments, *, level: float = 0.95) -> Estimates:
    """Estimates of the groups in `moments`, all of one family."""
    kind, bounds = family
    if kind == "rate":
        return estimate_rates(moments, level=level)
    return estimate_means(moments, bounds=bounds, level=level)


def _whole_weeks(lake: Lake, days: Collection[date]) -> set[date]:
    """The Mondays of the weeks of `days`. A week of which retention took answers is left as it was counted."""
    mondays = {day - timedelta(days=day.weekday()) for day in days}
    of_weeks = {monday + timedelta(days=step) for monday in mondays for step in range(7)}
    suspects = (lake.days("metric_points") & of_weeks) - lake.days("responses")
    # A Monday without answers has nothing but its week, and is not gone.
    gone = rows(lake, "select distinct day from metric_points where grain <> 'week'", {"metric_points": suspects})
    return mondays - {day - timedelta(days=day.weekday()) for day in gone.column("day").to_pylist()}


def _windows(days: Collection[date], mondays: Collection[date]) -> str:
    """SQL: the moments of all windows of `days`, and of the weeks of `mondays`."""
    return (
        f"(select * from marts.metric_moments where day in ({_dates(days)}) union all by name "
        f"select * from marts.week_moments where day in ({_dates(mondays)}))"
    )


def _dates(days: Collection[date]) -> str:
    return ", ".join(f"date '{day}'" for day in sorted(days)) or "null"


def _points(file: Path, family: Family, names: list[str], windows: str) -> pa.Table:
    cells, moments = read_cells(file, windows, POINT_KEY, names)
    if not len(cells):
        return TABLES["metric_points"].schema.empty_table()
    keys = cells.select(POINT_KEY)
    if moments.groups < len(cells):
        keys = keys.take(np.unique(moments.cell_group, return_index=True)[1])
    return points_table(keys, moments, family)


def _quantiles(catalog: Catalog, name: str, windows: pa.Table, estimates: Estimates) -> pa.Table:
    schema, constants = TABLES["metric_points"].schema, {"metric": name, "judge_version": "none"}
    constants |= {"metric_version": catalog.metrics.metrics[name].version}
    columns: dict[str, Any] = {column: pa.repeat(said, len(windows)) for column, said in constants.items()}
    columns |= {column: windows.column(column) for column in windows.column_names}
    columns |= {"population": estimates.n, **estimated_columns(estimates)}
    return pa.table([columns[column] for column in schema.names], schema=schema)


def points_table(keys: pa.Table, moments: Moments, family: Family) -> pa.Table:
    """Rows of metric_points: `keys` has the columns POINT_KEY, a row a group of `moments`, in their order."""
    estimates = estimate(family, moments)
    schema = TABLES["metric_points"].schema
    columns: dict[str, Any] = {name: keys.column(name) for name in POINT_KEY} | {
        "population": moments.sum_of_cells(moments.population).astype(np.int64),
        **estimated_columns(estimates),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def estimated_columns(estimates: Estimates) -> dict[str, Any]:
    """What every table of points says of an estimate, or why there is none."""
    return {
        "n": estimates.n,
        "n_effective": _known(estimates.n_effective, estimates.answered),
        "value": _known(estimates.value, estimates.answered),
        "low": _known(estimates.low, estimates.answered),
        "high": _known(estimates.high, estimates.answered),
        "method": pa.repeat(estimates.method, len(estimates.n)),
        "estimand": pa.repeat(estimates.estimand, len(estimates.n)),
        "reason": _reasons(estimates),
    }


def _effects(file: Path, catalog: Catalog, family: Family, names: list[str]) -> pa.Table:
    cells, moments = read_cells(file, "marts.deploy_moments", (*EFFECT_KEY, "side"), names)
    schema = TABLES["deploy_effects"].schema
    if not len(cells):
        return schema.empty_table()
    estimates = estimate(family, moments, level=EFFECT_LEVEL)
    _, first = np.unique(moments.cell_group, return_index=True)
    keys = cells.select([*EFFECT_KEY, "side"]).take(first).to_pylist()
    sides: dict[tuple[Any, ...], dict[str, int]] = {}
    for position, key in enumerate(keys):
        sides.setdefault(tuple(key[name] for name in EFFECT_KEY), {})[key["side"]] = position
    both = {key: at for key, at in sides.items() if len(at) == 2}
    after = _at(estimates, [at["after"] for at in both.values()])
    before = _at(estimates, [at["before"] for at in both.values()])
    change = difference(after, before)
    known = change.answered
    columns: dict[str, Any] = {name: [key[at] for key in both] for at, name in enumerate(EFFECT_KEY)} | {
        "before": _known(before.value, known),
        "after": _known(after.value, known),
        "difference": _known(change.value, known),
        "low": _known(change.low, known),
        "high": _known(change.high, known),
        "n_before": before.n,
        "n_after": after.n,
        "reason": pa.array(change.reason.tolist(), pa.string()),
        "day": [key[3].date() for key in both],
    }
    directions = [catalog.metrics.metrics[key[0]].direction for key in both]
    columns["found"] = [
        _found(low, high, direction) if ok else None
        for low, high, direction, ok in zip(change.low, change.high, directions, known, strict=True)
    ]
    compared = pa.table([columns[name] for name in schema.names], schema=schema)
    return pa.concat_tables([compared, _one_sided(sides, estimates)])


def _one_sided(sides: Mapping[tuple[Any, ...], Mapping[str, int]], estimates: Estimates) -> pa.Table:
    """A deploy before the first answer, or after the last: a row that says so."""
    alone = {key: at for key, at in sides.items() if len(at) == 1}
    effects: list[Contract] = [
        DeployEffect(
            metric=metric,
            judge_version=judge_version,
            deploy_id=deploy_id,
            deployed_at=deployed_at,
            n_before=int(estimates.n[at["before"]]) if "before" in at else 0,
            n_after=int(estimates.n[at["after"]]) if "after" in at else 0,
            reason=f"no answers {'after' if 'before' in at else 'before'} the deploy",
        )
        for (metric, judge_version, deploy_id, deployed_at), at in alone.items()
    ]
    days = pa.array([key[3].date() for key in alone], pa.date32())
    return to_table(effects, DeployEffect).append_column(DAY, days)


def _found(low: float, high: float, direction: str) -> str:
    """What a difference means for a metric where more is better (`up`) or worse (`down`)."""
    if low <= 0 <= high or direction == "none":
        return "no_clear_change"
    return "better" if (low > 0) == (direction == "up") else "worse"


def _at(estimates: Estimates, positions: list[int]) -> Estimates:
    """The same columns at some positions."""
    index = np.asarray(positions, dtype=np.int64)
    columns = {
        field.name: value[index]
        for field in fields(estimates)
        if isinstance(value := getattr(estimates, field.name), np.ndarray)
    }
    return replace(estimates, **columns)


def _known(numbers: np.ndarray, answered: np.ndarray) -> pa.Array:
    return pa.array(numbers, pa.float64(), mask=~answered)


def _reasons(estimates: Estimates) -> pa.Array:
    """`too few judged responses: 12 of 29`; null where there is a number."""
    words = pa.array(estimates.reason.tolist(), pa.string())
    have = pc.cast(pa.array(estimates.have), pa.string())
    needed = pc.cast(pa.array(estimates.needed), pa.string())
    join = pc.binary_join_element_wise  # pyright: ignore[reportAttributeAccessIssue]  # made when pyarrow loads
    return join(join(words, have, ": "), needed, " of ")
