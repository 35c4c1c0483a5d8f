{#-
  What rolling windows are made of: sums that add up over minutes, of the metrics named in [windows] rolling. Users are
  put into 64 buckets, and a bucket's sums over a window are what is squared: answers of one user stay together.
  A view: only the days that a tick asks for are summed.
-#}
{{ config(materialized="view") }}
{%- set slices = ["all"] + var("slices") -%}
{%- set metrics = var("metrics") | selectattr("name", "in", var("rolling")) | list -%}
with facts as (
    select
        *,
        date_trunc('minute', occurred_at) as minute_start,
        (hash(user_key) % 64)::bigint as bucket
    from {{ ref("response_facts") }}
    where environment in ({% for name in var("environments") %}'{{ name }}'{% if not loop.last %}, {% endif %}{% endfor %})
)
{%- for slice in slices if slice != "all" %},

{{ slice }}_most as (
    -- Of a slice with a million values those with most answers of the day.
    select day, {{ slice }}
    from facts
    where {{ slice }} is not null
    group by day, {{ slice }}
    qualify row_number() over (partition by day order by count(*) desc, {{ slice }}) <= {{ var("rolling_values") }}
)
{%- endfor %}
{%- for metric in metrics %}
{%- for slice in slices %}

select
    '{{ metric.name }}' as metric,
    '{{ metric.version }}' as metric_version,
    day,
    minute_start,
    '{{ slice }}' as slice,
    {{ "'all'" if slice == "all" else slice }} as slice_value,
    bucket,
    count(*)::double as n,
    sum({{ metric_value(metric) }}) as total,
    sum(({{ metric_value(metric) }}) ** 2) as total_squares
from facts
{%- if slice != "all" %}
join {{ slice }}_most using (day, {{ slice }})
{%- endif %}
where {{ counts(metric) }} and ({{ metric_value(metric) }}) is not null
group by day, minute_start, slice_value, bucket
{% if not loop.last %}union all{% endif -%}
{% endfor %}
{% if not loop.last %}union all{% endif -%}
{% else %}

select
    null::varchar as metric,
    null::varchar as metric_version,
    day,
    minute_start,
    null::varchar as slice,
    null::varchar as slice_value,
    bucket,
    null::double as n,
    null::double as total,
    null::double as total_squares
from facts
where false
{%- endfor %}
