with verdicts as (
    {{ first_rows(source("tick", "verdicts"), "event_id") }}
)

select
    event_id,
    response_id,
    day,
    axis,
    judge,
    judge_version,
    replicate,
    attempt,
    score,
    error_kind,
    latency_ms,
    cost_usd,
    occurred_at
from verdicts
