{#- Traffic and errors only: in a minute of a small product everything else is chance. Published for the last days. -#}
{{ config(materialized="view") }}
select
    day,
    date_trunc('minute', occurred_at) as window_start,
    environment,
    app,
    coalesce(prompt_version, 'none') as prompt_version,
    count(*) as responses,
    count(*) filter (where is_error) as errors
from {{ ref("response_facts") }}
group by all
