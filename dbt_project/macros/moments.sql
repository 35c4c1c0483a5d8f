{#
  Moments of metrics from rows: what onlineeval_dagster/metrics/moments.py takes, one row a group and stratum.
  `relation` has a row an eligible response and the columns `keys`, user_key and those the metrics' SQL names.
  A user's rows of a group are summed before anything is squared: answers of one user are alike.
#}

{% macro metric_value(metric) -%}
    {%- if metric.kind == "rate" -%} ({{ metric.numerator }})::boolean::int::double
    {%- else -%} ({{ metric.numerator }})::double {%- endif -%}
{%- endmacro %}

{% macro counts(metric) -%}
    ({{ metric.filter }}) and ({{ metric.denominator }}) and
    {%- if metric.judge %} {{ metric.judge }}_probability is not null
    {%- else %} ({{ metric.numerator }}) is not null {%- endif -%}
{%- endmacro %}

{# Sums of one user in one stratum of one group, a set of columns a metric. #}
{% macro sums_by_user(relation, keys, metrics, judge) %}
    select
        {{ keys | join(", ") }},
        {{ judge ~ "_version" if judge else "'none'" }} as judge_version,
        {#- Within a stratum every row has the same chance: where a rate changed, the stratum is split. #}
        {{ judge ~ "_stratum || ' at ' || " ~ judge ~ "_probability" if judge else "'all'" }} as stratum,
        user_key
        {%- for metric in metrics %},
        count(*) filter (where {{ counts(metric) }}) as {{ metric.name }}_size,
        count({{ metric_value(metric) }}) filter (where {{ counts(metric) }}) as {{ metric.name }}_judged,
        coalesce(sum({{ metric_value(metric) }}) filter (where {{ counts(metric) }}), 0) as {{ metric.name }}_total,
        coalesce(sum(({{ metric_value(metric) }}) ** 2) filter (where {{ counts(metric) }}), 0) as {{ metric.name }}_squares
        {%- endfor %}
    from {{ relation }}
    {%- if judge %}
    where {{ judge }}_probability is not null
    {%- endif %}
    group by all
{% endmacro %}

{# Metrics that every row counts in: one stratum, nothing between strata, so each user's part is its residual / n. #}
{% macro full_moments(relation, keys, metrics) %}
    {%- set group = "judge_version, stratum, " ~ keys | join(", ") -%}
    with sums_by_user as materialized (
        {{ sums_by_user(relation, keys, metrics, none) }}
    ),

    sums as materialized (
        select
            {{ group }}
            {%- for metric in metrics %},
            sum({{ metric.name }}_size) as {{ metric.name }}_population,
            sum({{ metric.name }}_judged) as {{ metric.name }}_n,
            sum({{ metric.name }}_total) as {{ metric.name }}_sum,
            sum({{ metric.name }}_squares) as {{ metric.name }}_sum_squares,
            sum({{ metric.name }}_judged ** 2) as {{ metric.name }}_size_squares,
            count(*) filter (where {{ metric.name }}_judged > 0) as {{ metric.name }}_users
            {%- endfor %}
        from sums_by_user
        group by all
    ),

    residuals as (
        select
            {{ group }}
            {%- for metric in metrics %},
            {{ metric.name }}_total - {{ metric.name }}_judged * {{ metric.name }}_sum / nullif({{ metric.name }}_n, 0)
                as {{ metric.name }}_residual
            {%- endfor %}
        from sums_by_user
        join sums using ({{ group }})
    ),

    spreads as materialized (
        select
            {{ group }}
            {%- for metric in metrics %},
            coalesce(sum({{ metric.name }}_residual ** 2), 0) as {{ metric.name }}_residual_squares,
            coalesce(sum({{ metric.name }}_residual ** 4), 0) as {{ metric.name }}_residual_fourths
            {%- endfor %}
        from residuals
        group by all
    )
    {%- for metric in metrics %}
    select
        '{{ metric.name }}' as metric,
        '{{ metric.version }}' as metric_version,
        '{{ metric.kind }}' as kind,
        {{ group }},
        {{ metric.name }}_population as population,
        {{ metric.name }}_n as n,
        {{ metric.name }}_sum as total,
        {{ metric.name }}_sum_squares as total_squares,
        {{ metric.name }}_size_squares as size_squares,
        {{ metric.name }}_residual_squares as residual_squares,
        {{ metric.name }}_users as users,
        {{ metric.name }}_size_squares / {{ metric.name }}_n ** 2 as weight_squares,
        {{ metric.name }}_residual_squares / {{ metric.name }}_n ** 2 as influence_squares,
        {{ metric.name }}_residual_fourths / {{ metric.name }}_n::double ** 4 as influence_fourths
    from sums
    join spreads using ({{ group }})
    where {{ metric.name }}_n > 0
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{% endmacro %}

{# Metrics that rest on a judge's stratified sample. #}
{% macro sampled_moments(relation, keys, metrics, judge) %}
    {%- set group = "metric, judge_version, " ~ keys | join(", ") -%}
    with sums_by_user as (
        {{ sums_by_user(relation, keys, metrics, judge) }}
    ),

    parts as (
        {%- for metric in metrics %}
        select
            '{{ metric.name }}' as metric,
            judge_version,
            {{ keys | join(", ") }},
            stratum,
            user_key,
            {{ metric.name }}_size as size,
            {{ metric.name }}_judged as judged,
            {{ metric.name }}_total as total,
            {{ metric.name }}_squares as squares
        from sums_by_user
        where {{ metric.name }}_size > 0
        {% if not loop.last %}union all{% endif %}
        {%- endfor %}
    ),

    cells as (
        select
            {{ group }},
            stratum,
            sum(size) as population,
            sum(judged) as n,
            sum(total) as total,
            sum(squares) as total_squares,
            sum(judged ** 2) as size_squares
        from parts
        group by all
    ),

    overall as (
        select
            {{ group }},
            sum(population) as group_population,
            sum(population * total / n) filter (where n > 0)
                / sum(population) filter (where n > 0) as overall_mean
        from cells
        group by all
    ),

    located as (
        select
            cells.*,
            total / nullif(n, 0) as mean,
            population / group_population / nullif(n, 0) as weight,
            (total / nullif(n, 0) - overall_mean) / group_population as shift
        from cells
        join overall using ({{ group }})
    ),

    residuals as (
        select
            {{ group }},
            stratum,
            user_key,
            judged,
            coalesce(parts.total - mean * judged, 0) as residual,
            coalesce(weight * (parts.total - mean * judged), 0) as within_user,
            coalesce(weight * judged, 0) as weight_user,
            coalesce(shift * size, 0) as between_user
        from parts
        join located using ({{ group }}, stratum)
    ),

    cell_residuals as (
        select {{ group }}, stratum, sum(residual ** 2) as residual_squares
        from residuals
        group by all
    ),

    users as (
        select
            {{ group }},
            user_key,
            sum(judged) as judged,
            sum(weight_user) as weight,
            sum(within_user + between_user) as influence
        from residuals
        group by all
    ),

    groups as (
        select
            {{ group }},
            count(*) filter (where judged > 0) as users,
            sum(weight ** 2) as weight_squares,
            sum(influence ** 2) as influence_squares,
            sum(influence ** 4) as influence_fourths
        from users
        group by all
    )

    select
        metric,
        case metric
            {%- for metric in metrics %} when '{{ metric.name }}' then '{{ metric.version }}'{% endfor %}
        end as metric_version,
        case metric {%- for metric in metrics %} when '{{ metric.name }}' then '{{ metric.kind }}'{% endfor %} end as kind,
        judge_version,
        {{ keys | join(", ") }},
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
        influence_fourths
    from cells
    join cell_residuals using ({{ group }}, stratum)
    join groups using ({{ group }})
{% endmacro %}

{# All metrics of the catalog over one relation. #}
{% macro moments(relation, keys) %}
    {%- set columns -%}
        metric, metric_version, kind, judge_version, {{ keys | join(", ") }}, stratum, population, n, total,
        total_squares, size_squares, users, residual_squares, weight_squares, influence_squares, influence_fourths
    {%- endset -%}
    {%- set full = var("metrics") | rejectattr("judge") | list -%}
    {%- set blocks = [] -%}
    {%- if full -%}{%- do blocks.append(full_moments(relation, keys, full)) -%}{%- endif -%}
    {%- for judge in var("judges") -%}
        {%- set rest = var("metrics") | selectattr("judge", "equalto", judge.column) | list -%}
        {%- if rest -%}{%- do blocks.append(sampled_moments(relation, keys, rest, judge.column)) -%}{%- endif -%}
    {%- endfor -%}
    {%- for block in blocks %}
    select {{ columns }} from ({{ block }})
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{% endmacro %}
