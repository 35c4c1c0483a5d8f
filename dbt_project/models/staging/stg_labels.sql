with labels as (
    {{ first_rows(source("tick", "labels"), "event_id") }}
)

select
    event_id,
    response_id,
    day,
    axis,
    score,
    reviewer,
    inclusion_probability,
    stream,
    occurred_at
from labels
