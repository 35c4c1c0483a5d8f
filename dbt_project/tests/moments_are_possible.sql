-- No more judged than eligible, no more users than responses, no rate beyond 1.
select *
from {{ ref("metric_moments") }}
where day in (select day from tick.days)
    and (n > population or users > n and stratum = 'all' or kind = 'rate' and total > n or influence_squares < 0)
