select
    day,
    environment,
    app,
    count(*) as responses,
    count(*) filter (where implicit_signals > 0) as with_implicit,
    count(*) filter (where explicit_signals > 0) as with_explicit,
    count(*) filter (where automated_signals > 0) as with_automated,
    count(*) filter (where labels > 0) as labelled
from {{ ref("response_facts") }}
where day in {{ touched_days() }}
group by all
