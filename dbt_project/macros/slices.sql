{#
  A slice may have a million values, and each would be a series. Of each slice the values with most answers of a day (or
  week) are kept, and those of all others become one: `the rest`. As in onlineeval_dagster/metrics/quantiles.py.

  In a model: CTEs over `relation`, of which the last is `facts`: its rows with the values so replaced.
#}
{% macro facts_of_most_values(relation, period) %}
    {%- for slice in var("slices") %}
{{ slice }}_kept as (
    select {{ period }}, {{ slice }}
    from {{ relation }}
    where {{ slice }} is not null
    group by {{ period }}, {{ slice }}
    qualify row_number() over (partition by {{ period }} order by count(*) desc, {{ slice }}) <= {{ var("slice_values", 100) }}
),
    {%- endfor %}
facts as not materialized (
    select answers.*
        {%- for slice in var("slices") %}
        {{ "replace (" if loop.first else "," }}
            case
                when answers.{{ slice }} is null or {{ slice }}_kept.{{ slice }} is not null then answers.{{ slice }}
                else 'the rest'
            end as {{ slice }}
        {{ ")" if loop.last }}
        {%- endfor %}
    from {{ relation }} as answers
    {%- for slice in var("slices") %}
    left join {{ slice }}_kept
        on {{ slice }}_kept.{{ period }} = answers.{{ period }} and {{ slice }}_kept.{{ slice }} = answers.{{ slice }}
    {%- endfor %}
),
{% endmacro %}
