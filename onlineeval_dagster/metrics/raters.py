"""Who rates: a rate by slice over several days, and the slices that differ clearly. Raters are not everybody."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.metrics.estimates import Estimates
from onlineeval_dagster.metrics.intervals import difference_limits
from onlineeval_dagster.metrics.moments import CELL_COLUMNS, GROUP_COLUMNS, Moments, moments_from_cells
from onlineeval_dagster.metrics.stage import estimate
from onlineeval_dagster.warehouse.duckdb import query

SLICED_BY = ("new_user", "app", "prompt_version", "variant", "model", "language", "device", "location")
"""Columns of response_facts."""
MOST_VALUES = 8
"""Values of a column that are looked at, those with most answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRate:
    """The rate of one value of one column (`all`, `all`: of everything), over `n` answers."""

    slice: str
    value: str
    n: int
    rate: Estimate | NotEnough


@dataclass(frozen=True, slots=True, kw_only=True)
class Raters:
    """The rate overall and by slice, over `days` days.

    apart  per column where some values clearly differ, the value with the least and the one with the highest rate.
           All pairs of all columns together claim a difference that is none in 5 % of cases at most (Bonferroni)
    """

    days: int
    overall: SliceRate
    slices: tuple[SliceRate, ...]
    apart: tuple[tuple[SliceRate, SliceRate], ...]


def raters(file: Path, catalog: Catalog, metric: str, days: Collection[date]) -> Raters | None:
    """The rate `metric`, which rests on no judge, by slice over all answers of `days`; None where there are none.

    A user's answers of all days are summed before anything is squared. Raises ValueError for another kind of metric.
    """
    entry = catalog.metrics.metrics[metric]
    if entry.kind != "rate" or entry.judge is not None:
        raise ValueError(f"{metric} must be a rate without a judge")
    cells = query(file, _sql(catalog, metric, days))
    if not len(cells):
        return None
    names = list(zip(cells.column("slice").to_pylist(), cells.column("slice_value").to_pylist(), strict=True))
    moments = _moments(cells)
    found = estimate(("rate", None), moments)
    rates = [
        SliceRate(slice=name, value=value, n=int(found.n[at]), rate=_rate(found, at))
        for at, (name, value) in enumerate(names)
    ]
    return Raters(
        days=len(days),
        overall=next(rate for rate in rates if rate.slice == "all"),
        slices=tuple(rate for rate in rates if rate.slice != "all"),
        apart=_apart(rates, moments),
    )


def _rate(found: Estimates, at: int) -> Estimate | NotEnough:
    if not found.answered[at]:
        return NotEnough(have=int(found.have[at]), needed=int(found.needed[at]), reason=str(found.reason[at]))
    return Estimate(
        value=float(found.value[at]),
        low=float(found.low[at]),
        high=float(found.high[at]),
        n=int(found.n[at]),
        n_effective=float(found.n_effective[at]),
        method=found.method,
    )


def _apart(rates: Sequence[SliceRate], moments: Moments) -> tuple[tuple[SliceRate, SliceRate], ...]:
    pairs = list(_pairs(rates))
    if not pairs:
        return ()
    wide = estimate(("rate", None), moments, level=1 - 0.05 / len(pairs))
    limits = list(zip(wide.value, wide.low, wide.high, strict=True))
    furthest: dict[str, tuple[float, int, int]] = {}
    for least, most in pairs:
        low, _ = difference_limits(limits[most], limits[least])
        gap = wide.value[most] - wide.value[least]
        if low > 0 and gap > furthest.get(rates[least].slice, (0.0, 0, 0))[0]:
            furthest[rates[least].slice] = (gap, least, most)
    return tuple((rates[least], rates[most]) for _, least, most in furthest.values())


def _pairs(rates: Sequence[SliceRate]) -> Iterator[tuple[int, int]]:
    """Positions of two values of one column that both have a rate, the lower rate first."""
    known = {at: rate.rate.value for at, rate in enumerate(rates) if isinstance(rate.rate, Estimate)}
    for first, second in combinations(known, 2):
        if rates[first].slice == rates[second].slice:
            yield (first, second) if known[first] <= known[second] else (second, first)


def _moments(cells: pa.Table) -> Moments:
    columns = {name: cells.column(name).cast(pa.float64()).to_numpy() for name in (*CELL_COLUMNS, *GROUP_COLUMNS)}
    return moments_from_cells(np.arange(len(cells)), columns)


def _sql(catalog: Catalog, metric: str, days: Collection[date]) -> str:
    """One row a slice, largest first, with the moments of `metrics/moments.py` for a group of one stratum."""
    entry = catalog.metrics.metrics[metric]
    listed = ", ".join(f"date '{day}'" for day in sorted(days)) or "null"
    values = {"all": "'all'"} | {name: f"{name}::varchar" for name in SLICED_BY}
    by_user = " union all ".join(
        f"select '{slice}' as slice, {value} as slice_value, user_key, count(*) as n, sum(value) as total "
        f"from answers where {value} is not null group by all"
        for slice, value in values.items()
    )
    return f"""
    with answers as (
        select *, ({entry.numerator})::boolean::int::double as value
        from marts.response_facts
        where day in ({listed}) and environment in ({literals(catalog.sampling.environments)})
            and ({entry.filter}) and ({entry.denominator}) and ({entry.numerator}) is not null
    ),
    by_user as ({by_user}),
    residuals as (
        select *, total - n * sum(total) over slices / sum(n) over slices as residual
        from by_user window slices as (partition by slice, slice_value)
    ),
    sums as (
        select
            slice, slice_value, sum(n)::double as n, sum(total) as total, count(*) as users,
            sum(n * n)::double as size_squares, sum(residual ** 2) as residual_squares,
            sum(residual ** 4) as residual_fourths
        from residuals group by slice, slice_value
    )
    select
        slice, slice_value, n as population, n, total, total as total_squares, size_squares, residual_squares, users,
        size_squares / n ** 2 as weight_squares, residual_squares / n ** 2 as influence_squares,
        residual_fourths / n ** 4 as influence_fourths
    from sums
    qualify row_number() over (partition by slice order by n desc, slice_value) <= {MOST_VALUES}
    order by slice, n desc, slice_value
    """
