with verdicts as (
    -- A retry that succeeded ends the matter; otherwise the last failure counts.
    select
        response_id,
        judge,
        judge_version,
        max_by(score, attempt) filter (where score is not null) as score,
        max_by(error_kind, attempt) filter (where error_kind is not null) as error_kind,
        max(attempt) as attempts
    from {{ ref("stg_verdicts") }}
    where replicate = 0
    group by all
),

final as (
    select
        selections.response_id,
        selections.day,
        selections.judge,
        selections.axis,
        selections.judge_version,
        selections.stratum,
        selections.inclusion_probability,
        case
            when selections.state <> 'selected' then selections.state
            when verdicts.score is not null then 'done'
            when verdicts.error_kind = 'shed' then 'shed'
            when verdicts.error_kind is not null then 'failed'
            else 'pending'
        end as state,
        -- A row that was not drawn has no score, though a targeted row beside it may have one: it would enter estimates
        -- with a chance that it never had.
        case when selections.state = 'selected' then verdicts.score end as score,
        case when selections.state = 'selected' and verdicts.score is null then verdicts.error_kind end as error_kind,
        selections.policy_version,
        selections.selected_at
    from {{ ref("stg_selections") }} as selections
    left join verdicts using (response_id, judge, judge_version)
)

select * from final
