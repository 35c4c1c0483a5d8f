"""The SQL from judged answers and people's labels to moments: users' totals first, since a user's answers are alike.

    judged (answers with a verdict of the version in force) ─┐
    people (audit labels, last one of each reviewer) ────────┴▶ rows: f, w, y, v ──▶ totals a user ──▶ sums, products

What people say of an answer is the metric's own numerator with their score in the place of the judge's.
"""

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Metric
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.warehouse.duckdb import SLICES, column_of

TOTALS = ("judged", "score", "labelled", "label", "labelled_score")
"""A user's totals, in the order of `LabelMoments`."""

PEOPLE_SQL = """
select response_id, reviewer, max_by(score, (occurred_at, received_at)) as score,
    max_by(inclusion_probability, (occurred_at, received_at)) as probability
from labels
where axis = $axis and stream = 'audit' and inclusion_probability is not null
group by response_id, reviewer
"""
"""Labels of one axis that may enter an estimate, from the view `labels`; of one reviewer's on an answer the last."""


def rows_sql(metric: Metric, judge: Judge, environments: tuple[str, ...]) -> str:
    """One row a judged answer of [$first, $last]: day, slices, user_number, version, cell, f, w, and y, v if labelled.

    Over marts.response_facts and the Arrow table `people`. Only the verdicts of `judge`'s own version.
    """
    column, value = column_of(judge.name), f"({metric.numerator})::boolean::int::double"
    value = value if metric.kind == "rate" else f"({metric.numerator})::double"
    counts = f"({metric.filter}) and ({metric.denominator})"
    said = f"people.score as {column}_score, people.score >= {judge.good_from} as {column}_good"
    return f"""
judged as (
    select *
    from marts.response_facts
    where day between $first and $last and environment in ({literals(environments)})
        and {column}_state = 'done' and {column}_version = '{judge.version}' and {counts}
),
said as (
    select response_id, avg({value}) as y, 1 / min(probability) as v
    from (select judged.* replace ({said}), people.probability from judged join people using (response_id))
    group by response_id
),
answers as (
    select
        judged.day,
        {"".join(f"judged.{name}, " for name in SLICES)}
        hash(judged.user_key) as user_number,
        judged.{column}_score as cell,
        {value} as f,
        1 / judged.{column}_probability as w,
        said.y,
        said.v
    from judged left join said using (response_id)
)"""


def moments_sql(slice_name: str) -> str:
    """Sums and products of users' totals by group of one slice, from `answers`: columns `slice_value`, labels, users,
    `s_0` … `s_4` and `p_0_0` … `p_4_4` (the upper half).
    """
    value = "'all'" if slice_name == "all" else slice_name
    sums = ", ".join(f"sum({name}) as s_{place}" for place, name in enumerate(TOTALS))
    products = ", ".join(
        f"sum({TOTALS[row]} * {TOTALS[column]}) as p_{row}_{column}" for row in range(5) for column in range(row, 5)
    )
    return f"""
users_{slice_name} as (
    select
        {value} as slice_value,
        sum(w) as judged,
        sum(w * f) as score,
        coalesce(sum(v), 0) as labelled,
        coalesce(sum(v * y), 0) as label,
        coalesce(sum(v * f), 0) as labelled_score,
        count(v) as labels
    from answers
    where {value} is not null
    group by slice_value, user_number
),
moments_{slice_name} as (
    select '{slice_name}' as slice, slice_value, sum(labels)::bigint as labels,
        count(*) filter (where labels > 0) as users, count(*) as judged_users, {sums}, {products}
    from users_{slice_name}
    group by slice_value
)"""


def cells_sql(slice_name: str) -> str:
    """Judge's scores by group of one slice, from `answers`: weight, and of the labels weight, its squares, passed."""
    value = "'all'" if slice_name == "all" else slice_name
    return f"""
cells_{slice_name} as (
    select '{slice_name}' as slice, {value} as slice_value, cell, max(f) as passes, sum(w) as weight,
        coalesce(sum(v), 0) as labelled, coalesce(sum(v * v), 0) as squares, coalesce(sum(v * y), 0) as passed,
        count(v) as labels, coalesce(sum(y), 0) as good
    from answers
    where {value} is not null
    group by slice_value, cell
)"""
