with deploys as (
    {{ first_rows(source("tick", "deploys"), "event_id") }}
)

select
    deploy_id,
    day,
    occurred_at as deployed_at,
    environment,
    app,
    prompt_version,
    model,
    variant,
    traffic_share
from deploys
