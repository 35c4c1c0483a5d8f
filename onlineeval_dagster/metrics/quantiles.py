"""Quantile metrics, such as the 95th percentile of the time to answer: sketches that add up, and limits by rank.

A sketch counts values by logarithmic buckets 1 % wide (DDSketch: Masson, Rim and Lee 2019, VLDB 12:2195-2205). Counts
of hours add up to a day's and those of days to a week's. A value is within half a percent of the sample's quantile.

Limits are order statistics (Hahn and Meeker 1991, 5.2): of m independent values the rank of the quantile p is binomial,
and that distribution's quantiles are the limits' ranks. m is the effective n: p (1 - p) against the variance of the
share of values up to the quantile, clustered by user (Woodruff 1952, JASA 47:635-646). Where a rank lies beyond the
sample there is no limit, and no number: the 99th percentile needs 368 independent answers.

Coverage, by simulation with known truth: tests/calibration/test_quantiles.py.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, log
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from scipy.stats import binom

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.estimates import REST, SLICES
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.metrics.cells import codes
from onlineeval_dagster.metrics.estimates import NEEDED_JUDGED, NEEDED_USERS, TOO_FEW_USERS, Estimates
from onlineeval_dagster.metrics.intervals import Floats, normal_quantile, t_quantile
from onlineeval_dagster.metrics.moments import Indices, sums
from onlineeval_dagster.warehouse.duckdb import SLICE_VALUES, query

WIDTH = 1.01
"""A bucket's upper edge by its lower one."""
METHOD = "order-statistics"
TOO_FEW_FOR_QUANTILE = "too few independent answers for this quantile"

_FIRST = 2**17
"""Number of the bucket whose upper edge is 1. Zero has bucket 0, values below zero have their size's with a minus."""
_WINDOW = ("grain", "window_start", "slice", "slice_value", "day", "days_covered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Histograms:
    """Values of G groups by bucket: R rows in the order of group and bucket, with 0 <= group < G; no group is empty."""

    group: Indices
    bucket: Indices
    count: Floats

    @classmethod
    def of(cls, group: Indices, bucket: Indices, count: Indices) -> Self:
        """From rows in any order; those of the same bucket add up."""
        order = np.lexsort((bucket, group))
        group, bucket = group[order], bucket[order]
        first = np.flatnonzero((np.diff(group, prepend=-1) != 0) | (np.diff(bucket, prepend=bucket[:1] - 1) != 0))
        return cls(group=group[first], bucket=bucket[first], count=np.add.reduceat(count[order], first) * 1.0)

    @property
    def n(self) -> Indices:
        """(G,) values of each group."""
        return sums(self.group, self.count, int(self.group[-1]) + 1).astype(np.int64)

    def row_of(self, rank: Indices) -> Indices:
        """(G,) the row with the value of this rank in each group, from 1."""
        n = self.n
        running = np.cumsum(self.count)  # whole numbers below 2^53: exact
        return np.searchsorted(running, np.cumsum(n) - n + np.clip(rank, 1, n))

    def share_up_to(self, row: Indices) -> Floats:
        """(G,) the share of each group's values in its rows up to `row`, itself among them."""
        n = self.n
        return (np.cumsum(self.count)[row] - (np.cumsum(n) - n)) / n


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """How values up to a quantile fall on users, an entry a group. A user j has n_j values, b_j of them up to it, and
    the group the share F.

    users             (G,) with a value
    size_squares      (G,) sum over users of n_j^2
    residual_squares  (G,) sum over users of (b_j - F n_j)^2
    """

    users: Floats
    size_squares: Floats
    residual_squares: Floats


def estimate_quantiles(histograms: Histograms, users: Users, p: float, *, level: float = 0.95) -> Estimates:
    """The quantile p of each group, between 0 and 1, with its limits."""
    n = histograms.n
    at = histograms.row_of(_rank(p, n))
    share = histograms.share_up_to(at)
    # All values in one bucket have no spread, and the smallest there may be is that of one value.
    independent = np.maximum(share * (1 - share), p * (1 - p) / n) / n
    many = users.users / np.maximum(users.users - 1, 1)
    effective = n / np.maximum(many * users.residual_squares / n**2 / independent, 1)
    weight = n**2 / users.size_squares
    inflation = (t_quantile(level, np.maximum(weight - 1, 1)) / normal_quantile(level)) ** 2
    size = np.maximum(np.floor(effective / inflation), 1)
    tail = (1 - level) / 2
    first, last = binom.ppf(tail, size, p), binom.ppf(1 - tail, size, p) + 1
    needed = max(NEEDED_JUDGED, ceil(log(tail) / log(max(p, 1 - p))))
    few, lonely = (first < 1) | (last > size) | (size < NEEDED_JUDGED), weight < NEEDED_USERS
    answered = ~few & ~lonely
    reason = np.full(len(n), None, dtype=np.object_)
    reason[few], reason[lonely] = TOO_FEW_FOR_QUANTILE, TOO_FEW_USERS
    edges = _edges(histograms.bucket)

    def known(column: Floats) -> Floats:
        return np.where(answered, column, np.nan)

    return Estimates(
        value=known(edges[1][at]),
        low=known(edges[0][histograms.row_of(np.floor(first / size * n).astype(np.int64))]),
        high=known(edges[2][histograms.row_of(_rank(last / size, n))]),
        answered=answered,
        reason=reason,
        have=np.where(lonely, np.floor(weight), np.minimum(size, needed - 1)).astype(np.int64),
        needed=np.where(answered, 0, np.where(lonely, NEEDED_USERS, needed)).astype(np.int64),
        n=n,
        users=users.users.astype(np.int64),
        n_effective=known(effective),
        method=METHOD,
        estimand="product",
    )


def _rank(share: float | Floats, n: Indices) -> Indices:
    """The smallest rank of n with at least this share of the values up to it; products of decimals are rounded."""
    return np.ceil(share * n - 1e-9).astype(np.int64)


def _edges(bucket: Indices) -> tuple[Floats, Floats, Floats]:
    """Lower edge, value and upper edge: the value is at most half a bucket's width from all in it."""
    above = np.exp((np.abs(bucket) - _FIRST) * log(WIDTH))
    far, near, value = above, above / WIDTH, 2 * above / (1 + WIDTH)
    sign = np.sign(bucket)
    return np.where(sign > 0, near, sign * far), sign * value, np.where(sign < 0, -near, sign * far)


def bucket_sql(value: str) -> str:
    """SQL: the number of a value's bucket."""
    size = f"ceil(ln(abs({value})) / {log(WIDTH)!r})::int + {_FIRST}"
    return f"case when {value} = 0 then 0 else sign({value})::int * ({size}) end"


def quantile_points(
    file: Path, catalog: Catalog, days: Collection[date], mondays: Collection[date]
) -> Iterator[tuple[str, pa.Table, Estimates]]:
    """Each quantile metric, the columns of its windows of `days` and weeks of `mondays`, and what is known of them."""
    alike: dict[tuple[str, str, str], dict[str, float]] = {}
    for name, one in catalog.metrics.metrics.items():  # the 50th and the 95th percentile of one thing have one sketch
        if one.quantile is not None:
            alike.setdefault((one.numerator, one.denominator, one.filter), {})[name] = one.quantile
    for told, ps in alike.items():
        sketches = _sketches_sql(*told, catalog, days, mondays)
        cells = query(file, f"{sketches} select {', '.join(_WINDOW)}, bucket, sum(count)::bigint as count {_FROM}")
        if not len(cells):
            continue
        _, first, group = np.unique(codes(cells, _WINDOW), return_index=True, return_inverse=True)
        windows = cells.select(_WINDOW).take(pa.array(first))
        histograms = Histograms.of(group, *(cells.column(name).to_numpy() for name in ("bucket", "count")))
        of_users = _users(file, sketches, windows, histograms, list(ps.values()))
        for (name, p), users in zip(ps.items(), of_users, strict=True):
            yield name, windows, estimate_quantiles(histograms, users, p)


_FROM = "from windows group by all"


def _users(file: Path, sketches: str, windows: pa.Table, histograms: Histograms, ps: Sequence[float]) -> list[Users]:
    """How the values up to each of some quantiles fall on users: one pass, as grouping by user is the whole cost."""
    asked = windows.select(["grain", "window_start", "slice", "slice_value"])
    asked = asked.append_column("place", pa.array(np.arange(len(windows))))
    for number, p in enumerate(ps):
        at = histograms.row_of(_rank(p, histograms.n))
        asked = asked.append_column(f"bucket_{number}", pa.array(histograms.bucket[at]))
        asked = asked.append_column(f"share_{number}", pa.array(histograms.share_up_to(at)))
    numbers = range(len(ps))
    below = [f"coalesce(sum(count) filter (where bucket <= bucket_{i}), 0) as below_{i}" for i in numbers]
    shares = [f"any_value(share_{i}) as share_{i}" for i in numbers]
    squares = [f"sum((below_{i} - share_{i} * size) ** 2)::double as residual_{i}" for i in numbers]
    found = query(
        file,
        f"""
        {sketches}
        select count(*)::double as users, sum(size ** 2)::double as size_squares, {", ".join(squares)}
        from (
            select place, sum(count) as size, {", ".join([*below, *shares])}
            from windows join asked using (grain, window_start, slice, slice_value)
            group by place, user_number
        )
        group by place
        order by place
        """,
        asked=asked,
    )
    columns = {name: found.column(name).to_numpy() for name in found.column_names}
    users, sizes = columns["users"], columns["size_squares"]
    return [Users(users=users, size_squares=sizes, residual_squares=columns[f"residual_{i}"]) for i in numbers]


def _sketches_sql(
    numerator: str,
    denominator: str,
    where: str,
    catalog: Catalog,
    days: Collection[date],
    mondays: Collection[date],
) -> str:
    """A `with` that ends in `windows`: the columns _WINDOW, then bucket, user_number and count."""
    weeks = {monday + timedelta(days=step) for monday in mondays for step in range(7)}
    starts = {"hour": "hour", "day": "counted.day::timestamptz", "week": "counted.monday::timestamptz"}
    windows = [
        _window_sql(grain, starts[grain], slice_, "monday" if grain == "week" else "day", of)
        for grain in catalog.metrics.grains
        if (of := mondays if grain == "week" else days)
        for slice_ in ("all", *SLICES)
    ]
    kept = [_kept_sql(slice_, day) for slice_ in SLICES for day in ("day", "monday")]
    return f"""
    with facts as (
        select *, date_trunc('week', day)::date as monday
        from marts.response_facts
        where day in ({_dates({*days, *weeks})}) and environment in ({literals(catalog.sampling.environments)})
    ),
    {", ".join(kept)},
    covered as (select monday, count(distinct day) as days_covered from facts group by monday),
    told as (
        select day, monday, date_trunc('hour', occurred_at) as hour, {", ".join(SLICES)},
            hash(user_key) as user_number, ({numerator})::double as value
        from facts where ({where}) and ({denominator})
    ),
    counted as materialized (
        select * exclude (value), {bucket_sql("value")} as bucket, count(*) as count
        from told where isfinite(value) group by all
    ),
    windows as ({" union all ".join(windows)})
    """


def _window_sql(grain: str, start: str, slice_: str, day: str, days: Collection[date]) -> str:
    value, kept = "'all'", ""
    if slice_ != "all":
        value = f"coalesce(kept.{slice_}, '{REST}')"
        kept = f"left join {slice_}_of_{day} as kept on kept.{day} = counted.{day} and kept.{slice_} = counted.{slice_}"
    covered = "days_covered" if grain == "week" else "null::bigint"
    return f"""
    select '{grain}' as grain, {start} as window_start, '{slice_}' as slice, {value} as slice_value,
        counted.{day} as day, {covered} as days_covered, bucket, user_number, count
    from counted {kept} {"join covered on covered.monday = counted.monday" if grain == "week" else ""}
    where counted.{day} in ({_dates(days)}) and {"true" if slice_ == "all" else f"counted.{slice_} is not null"}
    """


def _kept_sql(slice_: str, day: str) -> str:
    """The values of a slice with most answers of a day or week, as in dbt_project/macros/slices.sql."""
    return f"""
    {slice_}_of_{day} as (
        select {day}, {slice_} from facts where {slice_} is not null group by {day}, {slice_}
        qualify row_number() over (partition by {day} order by count(*) desc, {slice_}) <= {SLICE_VALUES}
    )"""


def _dates(days: Collection[date]) -> str:
    return ", ".join(f"date '{day}'" for day in sorted(days)) or "null"
