{%- set slices = ["all"] + var("slices") -%}
{%- set grains = var("grains") | reject("equalto", "week") | list -%}
with answers_of_days as (
    select
        *,
        date_trunc('hour', occurred_at) as window_hour,
        date_trunc('day', occurred_at) as window_day
    from {{ ref("response_facts") }}
    where day in {{ touched_days() }}
        and environment in ({% for name in var("environments") %}'{{ name }}'{% if not loop.last %}, {% endif %}{% endfor %})
),
{{ facts_of_most_values("answers_of_days", "day") }}
{{ designs("facts") }}

numbers as materialized (
    {{ metric_rows("facts", ["window_hour", "window_day", "day"] + var("slices")) }}
)
{%- for grain in grains %}
{%- for slice in slices %}
{%- set keys = ["window_" ~ grain, "day"] + ([] if slice == "all" else [slice]) %},

{{ grain }}_{{ slice }} as (
    {{ moments("numbers", keys, "true" if slice == "all" else slice ~ " is not null") }}
)
{%- endfor %}
{%- endfor %}

{% for grain in grains -%}
{% for slice in slices -%}
select
    metric,
    metric_version,
    kind,
    judge_version,
    '{{ grain }}' as grain,
    window_{{ grain }} as window_start,
    '{{ slice }}' as slice,
    {{ "'all'" if slice == "all" else slice }} as slice_value,
    day,
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
from {{ grain }}_{{ slice }}
{% if not (loop.last and grain == grains[-1]) -%}
union all
{% endif -%}
{% endfor -%}
{% endfor %}
