"""The SQL from judged answers and people's labels to totals by day and slice: of buckets of users, of judge's scores.

    judged (answers with a verdict) ─────────────────────────┐               ┌▶ totals of buckets
    people (audit labels, last one of each reviewer) ────────┴▶ f, w, y, v ──┴▶ totals of the judge's scores

What people say of an answer is the metric's own numerator with their score in the place of the judge's.
"""

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.estimates import SLICES
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.warehouse.duckdb import column_of

PEOPLE_SQL = """
select
    response_id,
    reviewer,
    min(day) as day,
    max_by(score, (occurred_at, received_at)) as score,
    max_by(inclusion_probability, (occurred_at, received_at)) as probability
from labels
where axis = $axis and stream = 'audit' and inclusion_probability is not null
group by response_id, reviewer
"""
"""Labels of one axis that may enter an estimate, from the view `labels`; of one reviewer's on an answer the last."""

MARKS_SQL = """
select day, sum(hash(response_id, reviewer, score, probability) % 1000000007)::bigint as mark
from people
group by day
order by day
"""
"""A number a day that changes with every label of it, from `people` (PEOPLE_SQL)."""


BUCKETS = 1024
"""Users are summed in so many buckets by hash. Buckets of several days add up, which users do not: who comes twice is
one user of the week. A variance between 1,024 buckets is unbiased and known to 4 %."""


def totals_sql(metric: Metric, judge: Judge, environments: tuple[str, ...]) -> str:
    """Of [$first, $last] by version, slice, slice_value, day and part: of buckets, and (`is_cell`) of judge's scores.

    bucket  sums of w, w f, v, v y, v f (`t_0` …), labels
    cell    weight; of the labels weight, weight passed, number, number passed; 0
    """
    of_each = (
        f"select version, '{name}' as slice, {value} as slice_value, day, {part} from answers "
        f"where {value} is not null group by all"
        for name, value in {"all": "'all'", **{name: name for name in SLICES}}.items()
        for part in (_BUCKET, _CELL)
    )
    return f"{_answers_sql(metric, judge, environments)} {' union all '.join(of_each)}"


_BUCKET = """false as is_cell, bucket::double as part, sum(w) as t_0, sum(w * f) as t_1, coalesce(sum(v), 0) as t_2,
    coalesce(sum(v * y), 0) as t_3, coalesce(sum(v * f), 0) as t_4, count(v)::double as t_5"""
_CELL = """true as is_cell, cell as part, sum(w) as t_0, coalesce(sum(v), 0) as t_1, coalesce(sum(v * y), 0) as t_2,
    count(v)::double as t_3, coalesce(sum(y), 0) as t_4, 0::double as t_5"""


def _answers_sql(metric: Metric, judge: Judge, environments: tuple[str, ...]) -> str:
    """One row a judged answer: day, slices, version, bucket, cell, f, w, and y, v where it is labelled.

    Over marts.response_facts and the Arrow table `people`. cell: the judge's score; f: the numerator by the judge's
    word, y by people's (the mean of several, null without); w, v: one over the chance to be judged, to be labelled.
    """
    column, value = column_of(judge.name), f"({metric.numerator})::boolean::int::double"
    value = value if metric.kind == "rate" else f"({metric.numerator})::double"
    counts = f"({metric.filter}) and ({metric.denominator})"
    said = f"people.score as {column}_score, people.score >= {judge.good_from} as {column}_good"
    return f"""
with judged as (
    select *
    from marts.response_facts
    where day between $first and $last and environment in ({literals(environments)})
        and {column}_state = 'done' and {counts}
),
said as (
    select response_id, avg({value}) as y, 1 / min(probability) as v
    from (select judged.* replace ({said}), people.probability from judged join people using (response_id))
    group by response_id
),
answers as materialized (
    select
        judged.day,
        {"".join(f"judged.{name}, " for name in SLICES)}
        {column}_version as version,
        (hash(judged.user_key) % {BUCKETS})::int as bucket,
        judged.{column}_score as cell,
        {value} as f,
        1 / judged.{column}_probability as w,
        said.y,
        said.v
    from judged left join said using (response_id)
)
"""
