with answers as (
    {{ first_rows(source("tick", "responses"), "response_id") }}
)

select
    response_id,
    day,
    occurred_at,
    received_at,
    environment,
    app,
    session_id,
    user_id,
    -- Who the answer belongs to: answers of one user are alike, so they are one cluster.
    coalesce('user:' || user_id, 'session:' || session_id, 'response:' || response_id) as user_key,
    prompt_version,
    variant,
    model,
    provider,
    latency_ms,
    input_tokens,
    output_tokens,
    cost_usd,
    finish_reason,
    error is not null as is_error,
    device,
    location,
    language,
    new_user
from answers
