with signals as (
    select
        response_id,
        count(*) filter (where kind = 'implicit') as implicit_signals,
        count(*) filter (where kind = 'explicit') as explicit_signals,
        avg(score) filter (where kind = 'explicit') as explicit_score,
        count(*) filter (where kind = 'automated') as automated_signals
        {%- for signal in var("signals") %},
        max(score) filter (where signal = '{{ signal }}') as {{ signal }}_score,
        count(*) filter (where signal = '{{ signal }}') > 0 as {{ signal }}_seen
        {%- endfor %}
    from {{ ref("stg_signals") }}
    group by response_id
),

labels as (
    select response_id, count(*) as labels
    from {{ ref("stg_labels") }}
    group by response_id
),

{%- for judge in var("judges") %}
{{ judge.column }} as (
    -- One row a response: of the judge version in force, else of the latest there was.
    select
        response_id,
        judge_version as {{ judge.column }}_version,
        stratum as {{ judge.column }}_stratum,
        inclusion_probability as {{ judge.column }}_probability,
        state as {{ judge.column }}_state,
        score as {{ judge.column }}_score,
        score >= {{ judge.good_from }} as {{ judge.column }}_good
    from {{ ref("selection_outcomes") }}
    where judge = '{{ judge.name }}' and stratum <> 'targeted' and day in {{ touched_days() }}
    qualify row_number() over (
        partition by response_id order by judge_version = '{{ judge.version }}' desc, selected_at desc
    ) = 1
),
{%- endfor %}

final as (
    select
        responses.*,
        coalesce(signals.implicit_signals, 0) as implicit_signals,
        coalesce(signals.explicit_signals, 0) as explicit_signals,
        signals.explicit_score,
        coalesce(signals.automated_signals, 0) as automated_signals,
        coalesce(labels.labels, 0) as labels
        {%- for signal in var("signals") %},
        signals.{{ signal }}_score,
        coalesce(signals.{{ signal }}_seen, false) as {{ signal }}_seen
        {%- endfor %}
        {%- for judge in var("judges") %},
        {{ judge.column }}.{{ judge.column }}_version,
        {{ judge.column }}.{{ judge.column }}_stratum,
        {{ judge.column }}.{{ judge.column }}_probability,
        {{ judge.column }}.{{ judge.column }}_state,
        {{ judge.column }}.{{ judge.column }}_score,
        {{ judge.column }}.{{ judge.column }}_good
        {%- endfor %}
    from {{ ref("stg_responses") }} as responses
    left join signals using (response_id)
    left join labels using (response_id)
    {%- for judge in var("judges") %}
    left join {{ judge.column }} using (response_id)
    {%- endfor %}
)

select * from final
