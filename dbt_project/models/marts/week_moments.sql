{#-
  Calendar weeks, from Monday, UTC. A user comes back on other days, so the moments of seven days do not add up: users
  are summed over the whole week, whose facts are read again in one pass when one of its days is touched.
  Users are put into 16,384 buckets, and a bucket is what is squared. Responses of one user stay together, so that the
  variance is as right as by user, and with thousands of clusters as well known; up to some thousand users nearly each
  has a bucket alone. Ten million responses of two million users then are some hundred thousand rows to group.
-#}
{{ config(incremental_strategy="replace_weeks") }}
{%- set buckets = 16384 -%}
{%- set slices = ["all"] + var("slices") -%}
with answers_of_weeks as not materialized (
    select *, date_trunc('week', day)::date as monday
    from {{ ref("response_facts") }}
    where day in {{ days_of_touched_weeks() }}
        and environment in ({% for name in var("environments") %}'{{ name }}'{% if not loop.last %}, {% endif %}{% endfor %})
        and {{ "true" if "week" in var("grains") else "false" }}
),
{{ facts_of_most_values("answers_of_weeks", "monday") }}
{{ designs("facts") }}

numbers as not materialized (
    {{ metric_rows("facts", ["monday"] + var("slices")) }}
),

sums as materialized (
    {{ user_sums("numbers", ["monday"] + var("slices"), buckets) }}
),

-- All slices in one table: four times the blocks of SQL would take longer to plan than to run.
sliced as not materialized (
    {%- for slice in slices %}
    select *, '{{ slice }}' as slice, {{ "'all'" if slice == "all" else slice }} as slice_value
    from sums
    {%- if slice != "all" %}
    where {{ slice }} is not null
    {%- endif %}
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

covered as materialized (
    select monday, count(distinct day) as days_covered
    from facts
    group by monday
),

weeks as (
    {{ moments("sliced", ["monday", "slice", "slice_value"], summed=true) }}
)

select
    metric,
    metric_version,
    kind,
    judge_version,
    'week' as grain,
    monday::timestamptz as window_start,
    slice,
    slice_value,
    monday as day,
    days_covered,
    stratum,
    population,
    n,
    total,
    total_squares,
    size_squares,
    users,
    residual_squares,
    weight_squares,
    influence_squares,
    influence_fourths,
    lost
from weeks
join covered using (monday)
