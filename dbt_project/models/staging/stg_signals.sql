select
    response_id,
    day,
    signal,
    kind,
    score,
    raw_value,
    flagged,
    version,
    occurred_at,
    arrived_at
from {{ source("tick", "signals") }}
