"""The answers around an incident, counted in the warehouse: by minute, by what served them, by who asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.alerts.cells import Pieces
from onlineeval_dagster.alerts.mechanisms import Sums
from onlineeval_dagster.alerts.suspects import Suspect
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.metrics.detrended import LINKS
from onlineeval_dagster.warehouse.duckdb import column_of, query

Floats = np.ndarray

OF_USERS = ("language", "device", "location", "new_user", "app")
"""What a mix of users is told by. Models and versions are none: deploys change them."""
EARLY = timedelta(hours=1)
"""A new version may serve so long before its deploy is told: tries, and clocks that differ."""
WAYS: Mapping[str, tuple[str, str]] = {
    "latency": ("latency_ms is not null and latency_ms > 0", "ln(latency_ms)"),
    "failures": ("true", "is_error::int::double"),
}
"""What a metric may hang on within an hour: which answers have it, and its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers of one metric's series in the warehouse: a relation with y (null where unknown) and weight."""

    file: Path
    counts: str
    value: str
    weight: str
    where: str

    def relation(self, begin: datetime, end: datetime, *, value: str | None = None, counts: str | None = None) -> str:
        """SQL of the answers between two times; `value` and `counts` in place of the metric's own."""
        y = f"case when {counts or self.counts} then ({value or self.value})::double end"
        return (
            f"(select *, {y} as y, {self.weight if value is None else '1.0'} as weight from marts.response_facts "
            f"where day between date '{begin.date()}' and date '{end.date()}' and {self.where} "
            f"and occurred_at >= timestamptz '{begin.isoformat()}' and occurred_at < timestamptz '{end.isoformat()}')"
        )


def answers_of(file: Path, catalog: Catalog, alert: Alert) -> Answers:
    """The answers that an alert's series is made of: of its metric, slice and judge version."""
    metric = catalog.metrics.metrics[alert.metric]
    value = f"({metric.numerator})::boolean::int" if metric.kind == "rate" else metric.numerator
    counts, weight = f"({metric.filter}) and ({metric.denominator})", "1.0"
    if LINKS.get(metric.unit) == "log":
        counts, value = f"{counts} and ({value}) > 0", f"ln({value})"
    if metric.judge is not None:
        judge = column_of(metric.judge)
        counts += f" and {judge}_version = {literals([alert.judge_version])} and {judge}_probability is not null"
        weight = f"1 / coalesce({judge}_probability, 1)"
    where = f"environment in ({literals(catalog.sampling.environments)})"
    if alert.slice != "all":
        where += f" and {alert.slice} = {literals([alert.slice_value])}"
    return Answers(file=file, counts=counts, value=value, weight=weight, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Pieces, and which of them older versions served beside each suspect: (suspects, pieces).

    effective  answers that all of them are worth: the sum of weights squared over the sum of their squares
    """

    pieces: Pieces
    beside: np.ndarray
    effective: float


def served(
    answers: Answers,
    suspects: Sequence[Suspect],
    *,
    begin: datetime,
    end: datetime,
    way: str | None = None,
    offsets: tuple[str, Mapping[str, float]] | None = None,
) -> Served:
    """The answers by minute and by which suspects touched them.

    way      a key of WAYS: what it says of all answers, in place of the metric
    offsets  a column of users and what each of its values lies above the others, which is taken out
    """
    counts, value = WAYS[way] if way is not None else (None, None)
    column, by_value = offsets or ("app", {})
    known = pa.table(
        {"place": pa.array(list(by_value), pa.string()), "above": pa.array(list(by_value.values()), pa.float64())}
    )
    touched, beside = _masks(answers.file, suspects, begin, end)
    sql = f"""
    select floor(epoch(occurred_at - timestamptz '{begin.isoformat()}') / 60) as minute, {touched} as touched,
        {beside} as beside, sum(weight) as total, sum(weight * weight) as squares,
        sum(weight * (y - coalesce(above, 0))) as value
    from {answers.relation(begin, end, value=value, counts=counts)} as found
    left join known on known.place = coalesce(found.{column}::varchar, 'unknown')
    where y is not null group by all order by minute
    """
    found = query(answers.file, sql, known=known)
    numbers = {
        name: found.column(name).cast(pa.float64()).to_numpy() for name in ("minute", "total", "squares", "value")
    }
    masks = {name: found.column(name).cast(pa.int64()).to_numpy() for name in ("touched", "beside")}
    bits = np.arange(len(suspects), dtype=np.int64)[:, None]
    return Served(
        pieces=Pieces(
            minute=numbers["minute"],
            weight=numbers["total"],
            mean=numbers["value"] / numbers["total"],
            touched=(masks["touched"][None] >> bits & 1).astype(bool),
        ),
        beside=(masks["beside"][None] >> bits & 1).astype(bool),
        effective=float(numbers["total"].sum() ** 2 / max(numbers["squares"].sum(), 1e-300)),
    )


def _masks(file: Path, suspects: Sequence[Suspect], begin: datetime, end: datetime) -> tuple[str, str]:
    """SQL: bit by bit whether a suspect touched the answer, and whether an older version served it after the suspect.

    What a deploy touches is told by its version: answers of versions that were served before it are not its own.
    """
    touched, beside = ["0::bigint"], ["0::bigint"]
    for bit, one in enumerate(suspects):
        within = f"app = {literals([one.app])} and occurred_at >= timestamptz '{one.occurred_at.isoformat()}'"
        if one.ended_at is not None:
            within += f" and occurred_at < timestamptz '{one.ended_at.isoformat()}'"
        older = _older(file, one, begin, end)
        old = f"coalesce({one.column} in ({literals(older)}), false)" if older else "false"
        touched.append(f"case when {within} and not {old} then {1 << bit}::bigint else 0 end")
        beside.append(f"case when {within} and {old} then {1 << bit}::bigint else 0 end")
    return " + ".join(touched), " + ".join(beside)


def _older(file: Path, suspect: Suspect, begin: datetime, end: datetime) -> list[str]:
    """Other values of its column that answers had between `begin` and the deploy.

    None where no answer since then has its own value: then answers do not tell what serves them. None either where its
    own was served before: those of another model have another level, which is no change.
    """
    if suspect.column is None:
        return []
    sql = f"""
    select {suspect.column} as value, min(occurred_at) < timestamptz '{suspect.occurred_at.isoformat()}' as before,
        min(occurred_at) < timestamptz '{(suspect.occurred_at - EARLY).isoformat()}' as long_before,
        max(occurred_at) >= timestamptz '{suspect.occurred_at.isoformat()}' as after
    from marts.response_facts
    where day between date '{begin.date()}' and date '{end.date()}' and app = {literals([suspect.app])}
        and occurred_at >= timestamptz '{begin.isoformat()}' and occurred_at < timestamptz '{end.isoformat()}'
        and {suspect.column} is not null
    group by all order by value
    """
    found = query(file, sql).to_pylist()
    own = next((row for row in found if row["value"] == suspect.value), None)
    if own is None or own["long_before"] or not own["after"]:
        return []
    return [row["value"] for row in found if row["before"] and row["value"] != suspect.value]


def within_hours(answers: Answers, way: str, *, begin: datetime, end: datetime) -> Sums:
    """The metric against what it may hang on, by hour."""
    counts, value = WAYS[way]
    sql = f"""
    with found as (
        select date_trunc('hour', occurred_at) as hour, y, weight, ({value})::double as x
        from {answers.relation(begin, end)} where y is not null and {counts}
    )
    select sum(weight) ** 2 / sum(weight * weight) as n, sum(weight) as weight, sum(weight * x) as x,
        sum(weight * y) as y, sum(weight * x * x) as xx, sum(weight * x * y) as xy, sum(weight * y * y) as yy
    from found group by hour order by hour
    """
    found = query(answers.file, sql)
    return Sums(**{name: found.column(name).cast(pa.float64()).to_numpy() for name in found.column_names})


def risen(answers: Answers, way: str, *, begin: datetime, began: datetime, end: datetime) -> float | None:
    """How far the mean over all answers rose during an incident, against the same hours of the days before it."""
    counts, value = WAYS[way]
    sql = f"""
    with found as (
        select extract('hour' from occurred_at) as hour, y, occurred_at >= timestamptz '{began.isoformat()}' as during
        from {answers.relation(begin, end, value=value, counts=counts)} where y is not null
    ),
    hours as (select distinct hour from found where during)
    select avg(y) filter (where during) - avg(y) filter (where not during) as rise
    from found join hours using (hour)
    """
    return query(answers.file, sql).to_pylist()[0]["rise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """Of each value of a column of users: answers during and before an incident, and its metric before."""

    values: list[str]
    now: Floats
    before: Floats
    value_before: Floats
    variance_before: Floats

    def above(self) -> dict[str, float]:
        """How far each value lies above the mean of all, where that is known."""
        middle = float(np.average(np.nan_to_num(self.value_before), weights=self.before))
        pairs = zip(self.values, self.value_before, strict=True)
        return {value: float(own - middle) for value, own in pairs if np.isfinite(own)}


def mixed(answers: Answers, column: str, *, begin: datetime, began: datetime, end: datetime) -> Mixed:
    """Who asked, during an incident and in the same hours of the days before it."""
    sql = f"""
    with found as (
        select coalesce({column}::varchar, 'unknown') as value, extract('hour' from occurred_at) as hour, y, weight,
            occurred_at >= timestamptz '{began.isoformat()}' as during
        from {answers.relation(begin, end)}
    ),
    hours as (select distinct hour from found where during)
    select value, (count(*) filter (where during))::double as now,
        (count(*) filter (where not during))::double as before,
        sum(weight * y) filter (where not during and y is not null)
            / sum(weight) filter (where not during and y is not null) as value_before,
        coalesce(var_samp(y) filter (where not during), 0.25) / greatest(
            sum(weight) filter (where not during and y is not null) ** 2
            / sum(weight * weight) filter (where not during and y is not null), 1
        ) as variance_before
    from found join hours using (hour) group by value order by value
    """
    found = query(answers.file, sql)
    numbers = {
        name: found.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
        for name in found.column_names
        if name != "value"
    }
    return Mixed(values=found.column("value").to_pylist(), **numbers)
