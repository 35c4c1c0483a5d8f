"""The SQL from exposures and answers to moments of units, over marts.response_facts.

    exposures ──first of each unit, one arm only──▶ units ──┐
    answers ─────────────────────────────────────────────────┴▶ a unit's totals ──▶ sums of products by arm and segment

What a unit did from its exposure on is the outcome; what it did before, at most 28 days before the start, is a
covariate. The clocks of what tells an exposure and what tells the answer may differ: a minute before the exposure
counts as after.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.experiments.moments import UnitMoments
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.warehouse.duckdb import column_of, query

PAST = timedelta(days=28)
SKEW = timedelta(minutes=1)
ALL = ("all", "all")

Group = tuple[str, str]
"""A segment's column and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One experiment up to `until`.

    moments    (metrics, segments, arms, K, K), arms in the order of the file, metrics as Experiment.metrics
    segments   `ALL` first
    units      of each arm, those of several arms left out
    answering  of these, units with an answer after their exposure
    several    units that met more than one arm
    versions   of the assignment that exposures told
    """

    moments: UnitMoments
    segments: tuple[Group, ...]
    units: tuple[int, ...]
    answering: tuple[int, ...]
    several: int
    versions: tuple[str, ...]
    until: datetime


def count_units(
    file: Path, catalog: Catalog, name: str, experiment: Experiment, exposures: pa.Table, *, until: datetime
) -> Counted:
    """Read the warehouse once. exposures: rows of the lake's table, other experiments' among them or not."""
    start = datetime.combine(experiment.starts_on, time(), tzinfo=UTC)
    given = {"name": name, "start": start, "until": until, "past": start - PAST, "skew": SKEW}
    heads = query(file, f"with {_units(catalog)}, {_heads(experiment)}", given, exposures=exposures).to_pylist()
    arms = list(experiment.variants)
    by_arm = {row["arm"]: row for row in heads if row["arms"] == 1}
    rows = query(file, _moments_sql(catalog, experiment), given, exposures=exposures).to_pylist()
    segments = (ALL, *sorted({(row["slice"], row["slice_value"]) for row in rows} - {ALL}))
    return Counted(
        moments=UnitMoments(products=_products(rows, experiment, arms, segments)),
        segments=segments,
        units=tuple(by_arm[arm]["units"] if arm in by_arm else 0 for arm in arms),
        answering=tuple(by_arm[arm]["answering"] if arm in by_arm else 0 for arm in arms),
        several=sum(row["units"] for row in heads if row["arms"] > 1),
        versions=tuple(sorted({version for row in heads for version in row["versions"]})),
        until=until,
    )


def _products(
    rows: Sequence[dict[str, Any]], experiment: Experiment, arms: list[str], segments: Sequence[Group]
) -> np.ndarray:
    width = 3 + 2 * len(experiment.covariates)
    products = np.zeros((len(experiment.metrics), len(segments), len(arms), width, width))
    for row in rows:
        if row["arm"] not in arms:
            continue
        at = experiment.metrics.index(row["metric"]), segments.index((row["slice"], row["slice_value"]))
        block = products[at][arms.index(row["arm"])]
        for i, j in _pairs(width):
            block[i, j] = block[j, i] = row[f"p_{i}_{j}"]
    return products


def _pairs(width: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(width) for j in range(i, width))


def _units(catalog: Catalog) -> str:
    return f"""
units as (
    select
        unit || ':' || unit_id as unit_key,
        min_by(variant, occurred_at) as arm,
        count(distinct variant) as arms,
        list(distinct coalesce(assignment_version, 'untold')) as versions,
        min(occurred_at) - $skew::interval as met_at
    from exposures
    where experiment = $name and occurred_at >= $start and occurred_at < $until
        and environment in ({literals(catalog.sampling.environments)})
    group by unit_key
)"""


def _facts(catalog: Catalog, experiment: Experiment) -> str:
    key = "'user:' || user_id" if experiment.unit == "user" else "'session:' || session_id"
    return f"""
facts as (
    select facts.*, units.arm, facts.occurred_at >= units.met_at as is_after
    from (
        select *, {key} as unit_key
        from marts.response_facts
        where occurred_at >= $past and occurred_at < $until
            and day between $past::date and $until::date
            and environment in ({literals(catalog.sampling.environments)})
    ) as facts
    join units using (unit_key)
    where units.arms = 1
)"""


def _heads(experiment: Experiment) -> str:
    key = "'user:' || user_id" if experiment.unit == "user" else "'session:' || session_id"
    return f"""
seen as (
    select {key} as unit_key, max(occurred_at) as last_at
    from marts.response_facts
    where occurred_at >= $past and occurred_at < $until
    group by unit_key
)
select arm, arms, count(distinct unit_key) as units,
    count(distinct unit_key) filter (where last_at >= met_at) as answering,
    list(distinct version) as versions
from (select unnest(versions) as version, units.* from units)
left join seen using (unit_key)
group by arm, arms
"""


def _moments_sql(catalog: Catalog, experiment: Experiment) -> str:
    covariates = list(enumerate(experiment.covariates))
    columns = [
        f"{_total(catalog, metric, 'is_after', kind)} as {kind}_of_{metric}"
        for metric in experiment.metrics
        for kind in ("y", "d")
    ]
    columns += [
        f"{_total(catalog, metric, 'not is_after', kind)} as {'x' if kind == 'y' else 'c'}_{place}"
        for place, metric in covariates
        for kind in ("y", "d")
    ]
    columns += [
        f"coalesce(arg_min({name}::varchar, occurred_at) filter (where is_after), 'unknown') as s_{name}"
        for name in experiment.segments
    ]
    past = [f"coalesce({letter}_{place}, 0)" for place, _ in covariates for letter in ("x", "c")]
    blocks = [
        _block(metric, past, slice_name, _cap(catalog, experiment, metric))
        for metric in experiment.metrics
        for slice_name in ("all", *experiment.segments)
    ]
    return f"""
with {_units(catalog)}, {_facts(catalog, experiment)},
answered as (
    select unit_key, {", ".join(columns)}
    from facts
    group by unit_key
),
totals as materialized (
    select units.arm, answered.* from units left join answered using (unit_key) where units.arms = 1
)
{" union all ".join(blocks)}
"""


def _block(metric: str, past: Sequence[str], slice_name: str, cap: str) -> str:
    y, d = f"coalesce(y_of_{metric}, 0)", f"coalesce(d_of_{metric}, 0)"
    total = ["1", f"least({y}, {cap} * {d})" if cap else y, d, *past]
    sums = ", ".join(f"sum({total[i]} * {total[j]})::double as p_{i}_{j}" for i, j in _pairs(len(total)))
    value = "'all'" if slice_name == "all" else f"coalesce(s_{slice_name}, 'unknown')"
    return f"""
select '{metric}' as metric, '{slice_name}' as slice, {value} as slice_value, arm, {sums}
from totals
group by slice_value, arm
"""


def _cap(catalog: Catalog, experiment: Experiment, metric: str) -> str:
    """A unit's value is capped at a quantile over all arms; of a mean alone, as a rate has no long tail."""
    if experiment.winsorise >= 1 or catalog.metrics.metrics[metric].kind != "mean":
        return ""
    y, d = f"y_of_{metric}", f"d_of_{metric}"
    return f"(select quantile_cont({y} / {d}, {experiment.winsorise}) from totals where {d} > 0)"


def _total(catalog: Catalog, name: str, when: str, kind: str) -> str:
    """A unit's numerator (`y`) or denominator (`d`), each answer weighted by 1 / its chance to have been judged."""
    metric = catalog.metrics.metrics[name]
    counts = [when, f"({metric.filter})", f"({metric.denominator})", f"({metric.numerator}) is not null"]
    weight = "1.0"
    judge = next((judge for judge in catalog.judges if judge.name == metric.judge), None)
    if judge is not None:
        column = column_of(judge.name)
        weight = f"(1 / {column}_probability)"
        counts += [f"{column}_state = 'done'", f"{column}_version = '{judge.version}'"]
    number = f"({metric.numerator})::boolean::int::double" if metric.kind == "rate" else f"({metric.numerator})::double"
    what = f"{weight} * {number}" if kind == "y" else weight
    return f"coalesce(sum({what}) filter (where {' and '.join(counts)}), 0)"
