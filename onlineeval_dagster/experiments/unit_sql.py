"""The SQL from exposures and answers to the daily totals of units, over marts.response_facts.

    exposures ──first of each unit──▶ units ──┐
    answers ──────────────────────────────────┴▶ daily (a unit's totals by day) ──▶ experiments/running_totals

The answers are read once, whatever the number of looks. What a unit did from its exposure on is the outcome; what it
did before, at most 28 days before the start, is a covariate. The clocks of what tells an exposure and what tells the
answer may differ: a minute before the exposure counts as after.
"""

from dataclasses import dataclass

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.experiments.quantiles import number_at
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.warehouse.duckdb import column_of

BUCKETS = 512
"""Units by hash, for re-splits: a coin a bucket splits them as well as a coin a unit."""

_DAY_OF = "((epoch_us({at}) - epoch_us($start::timestamptz)) // 86400000000)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What is summed by unit. Metrics, covariates and judges name columns of it; equal expressions are one column.

    columns     expression by column
    metrics     (y, d) of each metric; covariates (x, c); judges (failed, judged): whether a judge fails on one arm more
    """

    columns: dict[str, str]
    metrics: tuple[tuple[str, str], ...]
    covariates: tuple[tuple[str, str], ...]
    judges: tuple[tuple[str, str], ...]


def judge_of(catalog: Catalog, metric: Metric) -> Judge | None:
    """The judge whose verdicts a metric reads."""
    return next((judge for judge in catalog.judges if judge.name == metric.judge), None)


def judges_of(catalog: Catalog, experiment: Experiment) -> tuple[Judge, ...]:
    """The judges that the experiment's metrics read, each once."""
    found = (judge_of(catalog, catalog.metrics.metrics[name]) for name in experiment.metrics)
    return tuple({judge.name: judge for judge in found if judge is not None}.values())


def sums_of(catalog: Catalog, experiment: Experiment) -> Sums:
    """Every column that the experiment's moments need."""
    names: dict[str, str] = {}

    def column(expression: str) -> str:
        return names.setdefault(expression, f"t_{len(names)}")

    def quantile(name: str) -> tuple[str, str]:
        metric, when = catalog.metrics.metrics[name], f"is_after and q_{name} is not null"
        number = number_at(name, experiment.quantiles[name], number_of(metric))
        return column(_total(catalog, metric, when, number)), column(_total(catalog, metric, when, "1"))

    def pair(name: str, when: str) -> tuple[str, str]:
        metric = catalog.metrics.metrics[name]
        return column(_total(catalog, metric, when, number_of(metric))), column(_total(catalog, metric, when, "1"))

    metrics = tuple(
        pair(name, "is_after") if name not in experiment.quantiles else quantile(name) for name in experiment.metrics
    )
    covariates = tuple(pair(name, "not is_after") for name in experiment.covariates)
    judges = tuple(
        (column(_states(judge, "failed")), column(_states(judge, "failed", "done")))
        for judge in judges_of(catalog, experiment)
    )
    return Sums(
        columns={name: sql for sql, name in names.items()}, metrics=metrics, covariates=covariates, judges=judges
    )


def _states(judge: Judge, *states: str) -> str:
    return f"count(*) filter (where is_after and {column_of(judge.name)}_state in ({literals(states)}))::double"


def _total(catalog: Catalog, metric: Metric, when: str, number: str) -> str:
    """A unit's total of `number` (1 of its denominator), each answer weighted by 1 / its chance to have been judged."""
    counts = [when, *counting(catalog, metric)]
    judge = judge_of(catalog, metric)
    weight = "1" if judge is None else f"(1 / {column_of(judge.name)}_probability)"
    what = weight if number == "1" else f"{weight} * {number}"
    return f"coalesce(sum({what}) filter (where {' and '.join(counts)}), 0)::double"


def counting(catalog: Catalog, metric: Metric) -> list[str]:
    """Conditions on an answer that counts for the metric: of a judged one, a verdict of the version in force."""
    told = [f"({metric.filter})", f"({metric.denominator})", f"({metric.numerator}) is not null"]
    judge = judge_of(catalog, metric)
    if judge is not None:
        column = column_of(judge.name)
        told += [f"{column}_state = 'done'", f"{column}_version = '{judge.version}'"]
    return told


def number_of(metric: Metric) -> str:
    """The numerator of one answer, as a number."""
    return f"({metric.numerator})::boolean::int::double" if metric.kind == "rate" else f"({metric.numerator})::double"


def units_sql(catalog: Catalog, experiment: Experiment) -> str:
    """`units`: number, id, arm, when it was met, and from when on it had met a second arm."""
    arms = " ".join(f"when {literals([arm])} then {place}" for place, arm in enumerate(experiment.variants))
    return f"""
create temp table units as
with met as (
    select unit, unit_id, variant, min(occurred_at) as met_at
    from exposures
    where experiment = $name and occurred_at >= $start and occurred_at < $until
        and environment in ({literals(catalog.sampling.environments)})
    group by unit, unit_id, variant
),
firsts as (
    select unit, unit_id, min_by(variant, met_at) as arm, min(met_at, 2) as two from met group by unit, unit_id
)
select
    -- By arm first, so that the moments of an arm are those of neighbours.
    (row_number() over (order by arm, unit, unit_id) - 1)::int as unit_no,
    (hash(unit, unit_id) % {BUCKETS})::int as bucket,
    unit,
    unit_id,
    case arm {arms} else -1 end as arm,
    two[1] - $skew::interval as met_at,
    {_DAY_OF.format(at="two[1]")}::int as met_day,
    {_DAY_OF.format(at="two[2]")}::int as several_day
from firsts
"""


def marked_numbers(catalog: Catalog, experiment: Experiment) -> dict[str, tuple[str, str]]:
    """Number and condition of an answer, by metric that is compared by a quantile."""
    known = catalog.metrics.metrics
    return {
        name: (number_of(known[name]), " and ".join(["is_after", *counting(catalog, known[name])]))
        for name in experiment.quantiles
    }


def facts_sql(catalog: Catalog, experiment: Experiment, *, marked: bool = True) -> str:
    """Answers of units with one row each: `unit_no`, `is_after`, `day_no` since the start, the arm's `marks`."""
    has_marks = marked and experiment.quantiles
    return f"""
facts as (
    select
        answers.*,
        units.unit_no,
        units.arm,
        {"marks.* exclude (arm)," if has_marks else ""}
        answers.occurred_at >= units.met_at as is_after,
        -- What came before a unit's exposure is known on the day of its exposure.
        greatest({_DAY_OF.format(at="answers.occurred_at")}, units.met_day)::int as day_no
    from (
        select *
        from marts.response_facts
        where occurred_at >= $past and occurred_at < $until
            and day between $past::date and $until::date
            and environment in ({literals(catalog.sampling.environments)})
    ) as answers
    join (select * from units where unit = '{experiment.unit}') as units
        on answers.{experiment.unit}_id = units.unit_id
    {"join marks on units.arm = marks.arm" if has_marks else ""}
)"""


def daily_sql(catalog: Catalog, experiment: Experiment, sums: Sums) -> str:
    """`daily`: a unit's totals of a day, and what it brought along."""
    columns = [f"{sql} as {name}" for name, sql in sums.columns.items()]
    columns += [
        f"arg_min({name}::varchar, occurred_at) filter (where is_after and {name} is not null) as s_{name}"
        for name in experiment.segments
    ]
    return f"""
create temp table daily as
with {facts_sql(catalog, experiment)}
select unit_no, day_no, count(*) filter (where is_after) as answers {"".join(", " + one for one in columns)}
from facts
group by unit_no, day_no
"""


def labelled_sql(catalog: Catalog, experiment: Experiment, metric: Metric, judge: Judge) -> str:
    """Of one judged metric v, v y, v f and labels by unit and day, as review/totals reckons them.

    From the Arrow table `people`: labels of audits by axis, of one reviewer on an answer the last.
    """
    column, counts = column_of(judge.name), " and ".join(["is_after", *counting(catalog, metric)])
    said = f"people.score as {column}_score, people.score >= {judge.good_from} as {column}_good"
    return f"""
with {facts_sql(catalog, experiment)},
judged as (select * from facts where {counts}),
said as (
    select response_id, avg({number_of(metric)}) as y, 1 / min(probability) as v
    from (
        select judged.* replace ({said}), people.probability
        from judged join people using (response_id)
        where people.axis = '{judge.axis}'
    )
    group by response_id
)
select
    unit_no, day_no, sum(v)::double as v, sum(v * y)::double as vy, sum(v * {number_of(metric)})::double as vf,
    count(*)::double as labels
from judged join said using (response_id)
group by unit_no, day_no
order by day_no, unit_no
"""
