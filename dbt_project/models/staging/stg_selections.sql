select
    response_id,
    day,
    judge,
    axis,
    judge_version,
    stratum,
    inclusion_probability,
    state,
    policy_version,
    selected_at
from {{ source("tick", "selections") }}
