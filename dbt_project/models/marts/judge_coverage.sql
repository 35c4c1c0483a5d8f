select
    day,
    judge,
    judge_version,
    stratum,
    state,
    count(*) as responses
from {{ ref("selection_outcomes") }}
where day in (select day from tick.days)
group by all
