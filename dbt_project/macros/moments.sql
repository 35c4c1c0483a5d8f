{#
  Moments of metrics from rows: what onlineeval_dagster/metrics/moments.py takes, one row a group and stratum.
  In a model: the CTEs of `designs`, one of `metric_rows`, then `moments` for each way to group its rows. A user's rows
  of a group are summed before anything is squared: answers of one user are alike. `summed` says that the rows
  are sums already (user_sums), of a user or of a bucket of users.

  Nearly every user has one row an hour, so that grouping by user is the whole cost: it is done over numbers alone
  (strings as keys and a filter an aggregate took five times as long), and the constants of a block are no keys.
#}

{# The rows as numbers: `columns`, the user, each metric's value where the row counts (else null), each judge's design. #}
{% macro metric_rows(relation, columns) %}
    {%- set judges = judges_of_metrics() -%}
    select
        {{ columns | join(", ") }},
        -- 64 bits: of 10,000 users in a group two meet once in 300 billion groups.
        hash(user_key) as user_number
        {%- for judge in judges %},
        {{ judge }}_designs.design as {{ judge }}_design
        {%- endfor %}
        {%- for metric in var("metrics") %},
        case when {{ counts(metric) }} then {{ metric_value(metric) }} end as {{ metric.name }}_value
        {%- if metric.judge %},
        case when {{ counts(metric) }} then 1 end as {{ metric.name }}_eligible,
        case when {{ counts(metric) }} and {{ metric.judge }}_state in ('failed', 'shed') then 1 end
            as {{ metric.name }}_lost_one
        {%- endif %}
        {%- endfor %}
    from {{ relation }} as answers
    {%- for judge in judges %}
    left join {{ judge }}_designs
        on {{ judge }}_designs.version is not distinct from answers.{{ judge }}_version
        and {{ judge }}_designs.stratum = answers.{{ judge }}_stratum
        and {{ judge }}_designs.probability = answers.{{ judge }}_probability
    {%- endfor %}
{% endmacro %}

{% macro judges_of_metrics() -%}
    {%- set used = var("metrics") | rejectattr("judge", "none") | map(attribute="judge") | list -%}
    {{ return(var("judges") | map(attribute="column") | select("in", used) | list) }}
{%- endmacro %}

{# A CTE a judge: its versions and strata, numbered. Within a stratum every row has the same chance: where a rate
   changed, the stratum is split. #}
{% macro designs(relation) %}
    {%- for judge in judges_of_metrics() %}
{{ judge }}_designs as materialized (
    select
        *,
        stratum || ' at ' || probability as stratum_name,
        row_number() over (order by version, stratum, probability) as design,
        dense_rank() over (order by version) as version_number
    from (
        select distinct
            {{ judge }}_version as version,
            {{ judge }}_stratum as stratum,
            {{ judge }}_probability as probability
        from {{ relation }}
        where {{ judge }}_probability is not null
    )
),
    {%- endfor %}
{%- endmacro %}

{% macro metric_value(metric) -%}
    {%- if metric.kind == "rate" -%} ({{ metric.numerator }})::boolean::int::double
    {%- else -%} ({{ metric.numerator }})::double {%- endif -%}
{%- endmacro %}

{# A row that a judge could have seen counts before it is judged; without a judge it counts where there is a value. #}
{% macro counts(metric) -%}
    ({{ metric.filter }}) and ({{ metric.denominator }})
    {%- if metric.judge %} and {{ metric.judge }}_probability is not null {%- endif -%}
{%- endmacro %}

{# Sums of one user in one group: rows judged, their sum and, where it differs from the sum, the sum of squares. #}
{% macro sums_of_metric(metric, summed=false) %}
    {%- if summed %},
            sum({{ metric.name }}_judged) as {{ metric.name }}_judged,
            sum({{ metric.name }}_total) as {{ metric.name }}_total
            {%- if metric.kind != "rate" %},
            sum({{ metric.name }}_squares) as {{ metric.name }}_squares
            {%- endif %}
    {%- else %},
            count({{ metric.name }}_value)::double as {{ metric.name }}_judged,
            coalesce(sum({{ metric.name }}_value), 0) as {{ metric.name }}_total
            {%- if metric.kind != "rate" %},
            coalesce(sum({{ metric.name }}_value * {{ metric.name }}_value), 0) as {{ metric.name }}_squares
            {%- endif %}
    {%- endif %}
{%- endmacro %}

{# Rows that a judge could have seen, of one user in one group, and those of them that were drawn and never scored. #}
{% macro size_of_metric(metric, summed=false) -%}
    {%- if summed -%} sum({{ metric.name }}_size) {%- else -%} count({{ metric.name }}_eligible)::double {%- endif %} as {{ metric.name }}_size,
            {% if summed -%} sum({{ metric.name }}_lost) {%- else -%} count({{ metric.name }}_lost_one)::double {%- endif %} as {{ metric.name }}_lost
{%- endmacro %}

{# The rows of metric_rows summed by `columns`, design and bucket of users, in one pass: what `moments` takes as summed. #}
{% macro user_sums(rows, columns, buckets) %}
    {%- set judges = judges_of_metrics() -%}
    select
        {{ columns | join(", ") }},
        user_number % {{ buckets }} as user_number
        {%- for judge in judges %},
        {{ judge }}_design
        {%- endfor %}
        {%- for metric in var("metrics") %}{{ sums_of_metric(metric) }}
        {%- if metric.judge %},
            {{ size_of_metric(metric) }}
        {%- endif %}
        {%- endfor %}
    from {{ rows }}
    group by all
{% endmacro %}

{% macro squares(metric) -%}
    {{ metric.name }}_{{ "total" if metric.kind == "rate" else "squares" }}
{%- endmacro %}

{# Metrics that every row counts in: one stratum, nothing between strata, so each user's part is its residual / n. #}
{% macro full_moments(rows, keys, metrics, condition, summed=false) %}
    {%- set group = keys | join(", ") -%}
    with sums_by_user as materialized (
        select
            {{ group }},
            user_number
            {%- for metric in metrics %}{{ sums_of_metric(metric, summed) }}{% endfor %}
        from {{ rows }}
        where {{ condition }}
        group by {{ group }}, user_number
    ),

    sums as materialized (
        select
            {{ group }}
            {%- for metric in metrics %},
            sum({{ metric.name }}_judged) as {{ metric.name }}_n,
            sum({{ metric.name }}_total) as {{ metric.name }}_sum,
            sum({{ squares(metric) }}) as {{ metric.name }}_sum_squares,
            sum({{ metric.name }}_judged * {{ metric.name }}_judged) as {{ metric.name }}_size_squares,
            count(*) filter (where {{ metric.name }}_judged > 0) as {{ metric.name }}_users
            {%- endfor %}
        from sums_by_user
        group by {{ group }}
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
        group by {{ group }}
    )
    {%- for metric in metrics %}
    select
        '{{ metric.name }}' as metric,
        '{{ metric.version }}' as metric_version,
        '{{ metric.kind }}' as kind,
        'none' as judge_version,
        {{ group }},
        'all' as stratum,
        {{ metric.name }}_n as population,
        {{ metric.name }}_n as n,
        {{ metric.name }}_sum as total,
        {{ metric.name }}_sum_squares as total_squares,
        {{ metric.name }}_size_squares as size_squares,
        {{ metric.name }}_users as users,
        {{ metric.name }}_residual_squares as residual_squares,
        {{ metric.name }}_size_squares / {{ metric.name }}_n ** 2 as weight_squares,
        {{ metric.name }}_residual_squares / {{ metric.name }}_n ** 2 as influence_squares,
        {{ metric.name }}_residual_fourths / {{ metric.name }}_n ** 4 as influence_fourths,
        0.0 as lost
    from sums
    join spreads using ({{ group }})
    where {{ metric.name }}_n > 0
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{% endmacro %}

{# Metrics that rest on a judge's stratified sample. A cell is one design (version, stratum) of a group. #}
{% macro sampled_moments(rows, keys, metrics, judge, condition, summed=false) %}
    {%- set group = keys | join(", ") -%}
    with sums_by_user as materialized (
        select
            {{ group }},
            {{ judge }}_design as design,
            user_number
            {%- for metric in metrics %},
            {{ size_of_metric(metric, summed) }}
            {{- sums_of_metric(metric, summed) }}
            {%- endfor %}
        from {{ rows }}
        where {{ condition }} and {{ judge }}_design is not null
        group by {{ group }}, design, user_number
    ),

    cells as materialized (
        select
            {{ group }},
            design,
            version_number
            {%- for metric in metrics %},
            sum({{ metric.name }}_size) as {{ metric.name }}_population,
            sum({{ metric.name }}_lost) as {{ metric.name }}_lost,
            sum({{ metric.name }}_judged) as {{ metric.name }}_n,
            sum({{ metric.name }}_total) as {{ metric.name }}_sum,
            sum({{ squares(metric) }}) as {{ metric.name }}_sum_squares,
            sum({{ metric.name }}_judged * {{ metric.name }}_judged) as {{ metric.name }}_size_squares
            {%- endfor %}
        from sums_by_user
        join {{ judge }}_designs using (design)
        group by {{ group }}, design, version_number
    ),

    overall as (
        select
            {{ group }},
            version_number
            {%- for metric in metrics %},
            sum({{ metric.name }}_population) as {{ metric.name }}_group_population,
            sum({{ metric.name }}_population * {{ metric.name }}_sum / {{ metric.name }}_n)
                filter (where {{ metric.name }}_n > 0)
                / sum({{ metric.name }}_population) filter (where {{ metric.name }}_n > 0) as {{ metric.name }}_overall
            {%- endfor %}
        from cells
        group by {{ group }}, version_number
    ),

    -- What one judged response, and one response at all, moves the estimate.
    located as (
        select
            {{ group }},
            design,
            version_number
            {%- for metric in metrics %},
            coalesce({{ metric.name }}_sum / nullif({{ metric.name }}_n, 0), 0) as {{ metric.name }}_mean,
            coalesce({{ metric.name }}_population / nullif({{ metric.name }}_group_population, 0)
                / nullif({{ metric.name }}_n, 0), 0) as {{ metric.name }}_weight,
            coalesce(({{ metric.name }}_sum / nullif({{ metric.name }}_n, 0) - {{ metric.name }}_overall)
                / nullif({{ metric.name }}_group_population, 0), 0) as {{ metric.name }}_shift
            {%- endfor %}
        from cells
        join overall using ({{ group }}, version_number)
    ),

    residuals as materialized (
        select
            {{ group }},
            design,
            version_number,
            user_number
            {%- for metric in metrics %},
            {{ metric.name }}_judged,
            {{ metric.name }}_total - {{ metric.name }}_mean * {{ metric.name }}_judged as {{ metric.name }}_residual,
            {{ metric.name }}_weight * {{ metric.name }}_judged as {{ metric.name }}_weight_user,
            {{ metric.name }}_weight * ({{ metric.name }}_total - {{ metric.name }}_mean * {{ metric.name }}_judged)
                + {{ metric.name }}_shift * {{ metric.name }}_size as {{ metric.name }}_influence
            {%- endfor %}
        from sums_by_user
        join located using ({{ group }}, design)
    ),

    cell_residuals as materialized (
        select
            {{ group }},
            design
            {%- for metric in metrics %},
            sum({{ metric.name }}_residual ** 2) as {{ metric.name }}_residual_squares
            {%- endfor %}
        from residuals
        group by {{ group }}, design
    ),

    users as (
        select
            {{ group }},
            version_number
            {%- for metric in metrics %},
            sum({{ metric.name }}_judged) as {{ metric.name }}_judged,
            sum({{ metric.name }}_weight_user) as {{ metric.name }}_weight_user,
            sum({{ metric.name }}_influence) as {{ metric.name }}_influence
            {%- endfor %}
        from residuals
        group by {{ group }}, version_number, user_number
    ),

    groups as materialized (
        select
            {{ group }},
            version_number
            {%- for metric in metrics %},
            count(*) filter (where {{ metric.name }}_judged > 0) as {{ metric.name }}_users,
            sum({{ metric.name }}_weight_user ** 2) as {{ metric.name }}_weight_squares,
            sum({{ metric.name }}_influence ** 2) as {{ metric.name }}_influence_squares,
            sum({{ metric.name }}_influence ** 4) as {{ metric.name }}_influence_fourths
            {%- endfor %}
        from users
        group by {{ group }}, version_number
    )
    {%- for metric in metrics %}
    select
        '{{ metric.name }}' as metric,
        '{{ metric.version }}' as metric_version,
        '{{ metric.kind }}' as kind,
        designs.version as judge_version,
        {{ group }},
        designs.stratum_name as stratum,
        {{ metric.name }}_population as population,
        {{ metric.name }}_n as n,
        {{ metric.name }}_sum as total,
        {{ metric.name }}_sum_squares as total_squares,
        {{ metric.name }}_size_squares as size_squares,
        {{ metric.name }}_users as users,
        {{ metric.name }}_residual_squares as residual_squares,
        {{ metric.name }}_weight_squares as weight_squares,
        {{ metric.name }}_influence_squares as influence_squares,
        {{ metric.name }}_influence_fourths as influence_fourths,
        {{ metric.name }}_lost as lost
    from cells
    join {{ judge }}_designs as designs using (design, version_number)
    join cell_residuals using ({{ group }}, design)
    join groups using ({{ group }}, version_number)
    where {{ metric.name }}_population > 0
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{% endmacro %}

{# All metrics of the catalog over `rows`, which metric_rows made, grouped by `keys`, where `condition`. #}
{% macro moments(rows, keys, condition="true", summed=false) %}
    {%- set columns -%}
        metric, metric_version, kind, judge_version, {{ keys | join(", ") }}, stratum, population::bigint as population,
        n::bigint as n, total, total_squares, size_squares, users, residual_squares, weight_squares, influence_squares,
        influence_fourths, lost
    {%- endset -%}
    {%- set full = var("metrics") | rejectattr("judge") | list -%}
    {%- set blocks = [] -%}
    {%- if full -%}{%- do blocks.append(full_moments(rows, keys, full, condition, summed)) -%}{%- endif -%}
    {%- for judge in judges_of_metrics() -%}
        {%- set rest = var("metrics") | selectattr("judge", "equalto", judge) | list -%}
        {%- do blocks.append(sampled_moments(rows, keys, rest, judge, condition, summed)) -%}
    {%- endfor -%}
    {%- for block in blocks %}
    select {{ columns }} from ({{ block }})
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
{% endmacro %}
