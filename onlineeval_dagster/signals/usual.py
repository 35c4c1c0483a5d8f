"""What was usual before a day: lengths and latencies of the seven days before it, by environment and app."""

from collections.abc import Collection
from datetime import date, timedelta

import pyarrow as pa

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, scan

DAYS = 7
"""Days before a day that tell what is usual on it: a whole week, so that its rhythm is in."""
ENOUGH = 200
"""Answers. A median of 200 has a standard error of 9 % of the spread, and the spread one of 8 %."""
MOST_A_DAY = 20_000
"""Answers of a day that are looked at, the first in its files: reading texts is what costs."""

_NINETY_EIGHT = 4.6527  # standard deviations between a normal distribution's 1st and 99th percentile


def _spread(of: str) -> str:
    return f"greatest(1.4826 * mad({of}), (quantile_cont({of}, 0.99) - quantile_cont({of}, 0.01)) / {_NINETY_EIGHT})"


_USUAL_SQL = f"""
with earlier as (
    select
        wanted.day,
        environment,
        app,
        -- An emptied text, an empty answer and a latency of nothing have no logarithm: they tell nothing.
        ln(nullif(length, 0)) as length,
        ln(nullif(latency_ms, 0)) as latency
    from measured
    join wanted on measured.day >= wanted.day - {DAYS} and measured.day < wanted.day
),
final as (
    select
        day,
        environment,
        app,
        if(count(length) >= {ENOUGH}, exp(median(length)), null) as typical_length,
        if(count(length) >= {ENOUGH}, {_spread("length")}, null) as spread_length,
        if(count(latency) >= {ENOUGH}, exp(median(latency)), null) as typical_latency_ms,
        if(count(latency) >= {ENOUGH}, {_spread("latency")}, null) as spread_latency
    from earlier
    group by day, environment, app
)
select * from final
"""


def usual_before(lake: Lake, days: Collection[date]) -> pa.Table:
    """For each of `days`, environment and app with answers in the seven days before: the columns of BASELINE.

    On the scale of natural logarithms; null where there are fewer than 200 answers that have a length, or a latency. Of
    a day with more than 20,000 answers the first in its files are looked at.

    A spread is the larger of two, both of which are a normal distribution's standard deviation: 1.4826 times the median
    absolute deviation, and the way from the 1st to the 99th percentile by 4.65. By the first alone traffic with a habit
    of one-word answers looks odd every day (8 % of one hour of a public chat trace are 5 of them from the median). By
    the second, of any distribution at most 1 % lie 5 spreads above its median, and at most 1 % below.
    """
    earlier = {day - timedelta(days=back) for day in days for back in range(1, DAYS + 1)} & lake.days("responses")
    columns = "day, environment, app, length(response) as length, latency_ms"
    measured = [f"(select {columns} from ({scan(lake, 'responses', {day})}) limit {MOST_A_DAY})" for day in earlier]
    with engine(lake, {}) as connection:
        connection.execute(f"create temp view nothing as select {columns} from ({scan(lake, 'responses', ())})")
        connection.execute(f"create temp view measured as {' union all '.join(['from nothing', *sorted(measured)])}")
        connection.register("wanted", pa.table({"day": pa.array(sorted(days), pa.date32())}))
        return connection.sql(_USUAL_SQL).to_arrow_table()
