{%- set slices = ["all"] + var("slices") -%}
with facts as (
    select
        *,
        date_trunc('hour', occurred_at) as window_hour,
        date_trunc('day', occurred_at) as window_day
    from {{ ref("response_facts") }}
    where day in (select day from tick.days)
        and environment in ({% for name in var("environments") %}'{{ name }}'{% if not loop.last %}, {% endif %}{% endfor %})
)
{%- for grain in ["hour", "day"] %}
{%- for slice in slices %},

{{ grain }}_{{ slice }} as (
    with sliced as (
        select
            *,
            '{{ grain }}' as grain,
            window_{{ grain }} as window_start,
            '{{ slice }}' as slice,
            {{ "'all'" if slice == "all" else slice }} as slice_value
        from facts
        {%- if slice != "all" %}
        where {{ slice }} is not null
        {%- endif %}
    )

    {{ moments("sliced", ["grain", "window_start", "slice", "slice_value", "day"]) }}
)
{%- endfor %}
{%- endfor %}

{% for grain in ["hour", "day"] -%}
{% for slice in slices -%}
select * from {{ grain }}_{{ slice }}
{% if not (loop.last and grain == "day") -%}
union all
{% endif -%}
{% endfor -%}
{% endfor %}
