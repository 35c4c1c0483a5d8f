"""Windows of five minutes as rules look at them: one after the other, against what their hour was expected to be."""

from datetime import datetime

import pandas as pd

from onlineeval_dagster.catalog.alert_file import Alerts
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.metrics.intervals import normal_quantile


def read_spikes(lake: Lake, alerts: Alerts, *, begin: datetime, end: datetime) -> pd.DataFrame:
    """The five-minute points of the metrics that rules look at so closely, with the columns of `series.read_points`.

    What a window is expected to be is what its hour is: minutes are kept for a week, which is no history. Its residual
    is in standard deviations of the hour's baseline and of its own error together. Windows that overlap are left out:
    a run length counts looks that are independent.
    """
    close = {name: rule for name, rule in alerts.live.items() if "five_minutes" in rule.windows}
    days = {
        name: {day for day in lake.days(name) if begin.date() <= day <= end.date()}
        for name in ("rolling_points", "detrended_metrics")
    }
    metrics = sorted({rule.metric for rule in close.values()})
    slices = sorted({name for rule in close.values() for name in rule.slices})
    sql = f"""
    with looks as (
        select * exclude (day, file_name, reason), last_minute - interval 4 minute as window_start,
            (high - low) / {2 * normal_quantile(0.95)} as error
        from rolling_points
        where minutes = 5 and minute(last_minute) % 5 = 4
            and metric in ({literals(metrics) or "null"}) and slice in ({literals(slices) or "null"})
            and last_minute >= timestamptz '{begin.isoformat()}' and last_minute < timestamptz '{end.isoformat()}'
    ),
    hours as (
        select metric, metric_version, slice, slice_value, window_start as hour_start, expected, scale, history_days
        from detrended_metrics where grain = 'hour'
    )
    select looks.metric, 'none' as judge_version, 'five_minutes' as grain, window_start, looks.slice, looks.slice_value,
        looks.metric_version, n as population, n, n_effective, value, low, high, expected,
        (value - expected) / nullif(sqrt(scale ** 2 + error ** 2), 0) as standardised,
        coalesce(history_days, 0) as history_days
    from looks
    left join hours on hours.hour_start = date_trunc('hour', looks.window_start)
        and hours.metric = looks.metric and hours.metric_version = looks.metric_version
        and hours.slice = looks.slice and hours.slice_value = looks.slice_value
    order by all
    """
    return rows(lake, sql, days).to_pandas()
