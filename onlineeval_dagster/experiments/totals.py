"""From the warehouse to what is counted of an experiment at each look: one reading, whatever the number of looks."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.experiments import unit_sql
from onlineeval_dagster.experiments.counted import Counted, judged_metrics
from onlineeval_dagster.experiments.looks import NEVER, Found, Layout, UnitGroup
from onlineeval_dagster.experiments.quantiles import fewest_sql, marks_sql
from onlineeval_dagster.warehouse.duckdb import connection

PAST = timedelta(days=28)
SKEW = timedelta(minutes=1)
DAY = timedelta(days=1)
AT_ONCE = 250_000
"""Units whose totals are in memory at a time: 100 MB at 30 columns."""

NO_LABELS = pa.table(
    {
        "axis": pa.array([], pa.string()),
        "response_id": pa.array([], pa.string()),
        "score": pa.array([], pa.int64()),
        "probability": pa.array([], pa.float64()),
    }
)


def count_units(
    file: Path,
    catalog: Catalog,
    name: str,
    experiment: Experiment,
    exposures: pa.Table,
    *,
    looks: Sequence[datetime],
    labels: pa.Table = NO_LABELS,
) -> list[Counted]:
    """Count at each look: midnights (UTC) after the start, rising. Call it inside `warehouse_held`.

    exposures: rows of the lake's table, other experiments' among them or not; labels: review/totals.PEOPLE_SQL with
    its axis. Raises ValueError for a look that is no midnight.
    """
    start = datetime.combine(experiment.starts_on, time(), tzinfo=UTC)
    ends = [(until - start) // DAY for until in looks]
    if [start + end * DAY for end in ends] != [*looks] or sorted({0, *ends})[1:] != ends:
        raise ValueError(f"looks are midnights (UTC) that rise from {start}, got {', '.join(map(str, looks))}")
    sums = unit_sql.sums_of(catalog, experiment)
    layout = Layout.of(catalog, experiment, sums)
    found = [Found(layout) for _ in looks]
    given = {"start": start, "until": looks[-1]}
    with connection(file) as warehouse:
        warehouse.register("exposures", exposures)
        warehouse.register("people", labels)
        warehouse.execute(unit_sql.units_sql(catalog, experiment), {**given, "name": name, "skew": SKEW})
        read = {**given, "past": start - PAST}
        if experiment.quantiles:
            facts = unit_sql.facts_sql(catalog, experiment, marked=False)
            numbers = unit_sql.marked_numbers(catalog, experiment)
            fewest = warehouse.execute(fewest_sql(facts, numbers), read).fetchone()
            least = dict(zip(numbers, fewest or (), strict=True))
            warehouse.execute(marks_sql(facts, numbers, experiment.quantiles, least), read)
        warehouse.execute(unit_sql.daily_sql(catalog, experiment, sums), read)
        labelled = [
            warehouse.sql(unit_sql.labelled_sql(catalog, experiment, *judged), params=read).to_arrow_table()
            for judged in _judged(catalog, experiment)
        ]
        caps = [
            [warehouse.execute(_CAP.format(y=y, d=d, at=experiment.winsorise, last=last)).fetchall()[0][0]
             for _, y, d in layout.capped]
            for last in ends
        ]  # fmt: skip
        versions = [
            [row[0] for row in warehouse.execute(_VERSIONS, {"name": name, **given, "until": until}).fetchall()]
            for until in looks
        ]
        units = warehouse.sql(_UNITS).to_arrow_table()
        for low in range(0, max(units.num_rows, 1), AT_ONCE):
            daily = warehouse.sql(_DAILY, params=[low, low + AT_ONCE]).to_arrow_table()
            group = UnitGroup(layout, units.slice(low, AT_ONCE), daily, labelled)
            for place, (first, last) in enumerate(zip([0, *ends], ends, strict=False)):
                group.look(found[place], first=first, last=last, caps=caps[place], is_last=last == ends[-1])
    return [one.counted(until, tuple(told)) for one, until, told in zip(found, looks, versions, strict=True)]


def _judged(catalog: Catalog, experiment: Experiment) -> Iterator[tuple[Metric, Judge]]:
    for name in judged_metrics(catalog, experiment):
        metric = catalog.metrics.metrics[name]
        judge = unit_sql.judge_of(catalog, metric)
        if judge is not None:
            yield metric, judge


_UNITS = f"""
select unit_no, arm, bucket, met_day, coalesce(several_day, {NEVER})::int as several_day from units order by unit_no
"""
_DAILY = "select * from daily where unit_no >= ? and unit_no < ? order by day_no, unit_no"
_VERSIONS = """
select distinct coalesce(assignment_version, 'untold') as version from exposures
where experiment = $name and occurred_at >= $start and occurred_at < $until order by version
"""
# Over all arms together, so that the cap does not depend on the effect.
_CAP = """
select coalesce(quantile_cont(y / d, {at}), 'inf'::double)
from (select sum({y}) as y, sum({d}) as d from daily where day_no < {last} group by unit_no) where d > 0
"""
