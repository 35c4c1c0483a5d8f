{{ config(meta={"dagster": {"ref": {"name": "metric_moments"}}}) }}
-- No more judged than eligible, no more users than responses, no rate beyond 1, no week of more than its seven days.
with moments as (
    select * exclude (day) from {{ ref("metric_moments") }} where day in (select day from tick.days)
    union all by name
    select * exclude (day) from {{ ref("week_moments") }} where day in {{ days_of_touched_weeks() }}
)

select *
from moments
where n > population or users > n and stratum = 'all' or kind = 'rate' and total > n or influence_squares < 0
    or days_covered not between 1 and 7
