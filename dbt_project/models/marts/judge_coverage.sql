select
    day,
    judge,
    judge_version,
    stratum,
    state,
    count(*) as responses
from {{ ref("selection_outcomes") }}
where day in {{ touched_days() }}
group by all
