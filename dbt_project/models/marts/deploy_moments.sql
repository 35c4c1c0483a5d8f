{#- Only the deploys whose weeks around them were touched; the estimates of the others stand. -#}
{{ config(materialized="table") }}
with deploys as (
    select
        *,
        lag(deployed_at) over (partition by app, environment order by deployed_at) as previous_at,
        lead(deployed_at) over (partition by app, environment order by deployed_at) as next_at
    from {{ ref("stg_deploys") }}
),

touched as (
    select *
    from deploys
    where environment in ({% for name in var("environments") %}'{{ name }}'{% if not loop.last %}, {% endif %}{% endfor %})
        and day >= (select min(day) from {{ touched_days() }}) - interval 8 day
        and day <= (select max(day) from {{ touched_days() }}) + interval 8 day
),

sides as (
    select
        touched.deploy_id,
        touched.deployed_at,
        case when facts.occurred_at < touched.deployed_at then 'before' else 'after' end as side,
        facts.*
    from touched
    join {{ ref("response_facts") }} as facts
        on facts.app = touched.app
        and facts.environment = touched.environment
        and facts.occurred_at >= greatest(
            touched.deployed_at - interval 7 day, coalesce(touched.previous_at, '2000-01-01'::timestamptz)
        )
        and facts.occurred_at < least(
            touched.deployed_at + interval 7 day, coalesce(touched.next_at, '9999-01-01'::timestamptz)
        )
        -- A deploy that meets a part of the traffic is told by its version.
        and (
            facts.occurred_at < touched.deployed_at
            or touched.prompt_version is null
            or facts.prompt_version = touched.prompt_version
        )
    where facts.day >= (select min(day) from {{ touched_days() }}) - interval 16 day
        and facts.day <= (select max(day) from {{ touched_days() }}) + interval 16 day
),
{{ designs("sides") }}

numbers as materialized (
    {{ metric_rows("sides", ["deploy_id", "deployed_at", "side"]) }}
)

{{ moments("numbers", ["deploy_id", "deployed_at", "side"]) }}
