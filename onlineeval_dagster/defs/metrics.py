"""Moments become estimates: metric points, the same without their rhythm, deploy effects; traffic by minute."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import RETRIES, backfill_days, listed, table_spec, tell_days
from onlineeval_dagster.metrics.detrended import detrend_points
from onlineeval_dagster.metrics.minutes import count_minutes
from onlineeval_dagster.metrics.rolling import roll_points
from onlineeval_dagster.metrics.stage import estimate_effects, estimate_points

POINTS = table_spec("metric_points", group="metrics", deps=["metric_moments", "week_moments"], by_day=True)
# Without partitions: a day rests on the 28 before it, and Dagster runs no partitioned asset beneath another in a tick.
DETRENDED = table_spec("detrended_metrics", group="metrics", deps=["metric_points"])
ROLLING = table_spec("rolling_points", group="metrics", deps=["minute_sums"], by_day=True)
MINUTES = table_spec("minute_counts", group="metrics", deps=["minute_moments"], by_day=True)
EFFECTS = table_spec("deploy_effects", group="metrics", deps=["deploy_moments"])


@dg.multi_asset(specs=[POINTS], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="warehouse")
def metric_points(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Estimate the points of the days that were built."""
    with place.warehouse("estimating"):
        done = estimate_points(
            place.settings().warehouse_file, place.lake(), place.catalog().whole(), days=backfill_days(context)
        )
    tell_days(context, "metric_points", done.days)
    return dg.MaterializeResult(
        asset_key="metric_points",
        metadata={"dagster/row_count": done.points, "with a number": done.answered, "days": listed(done.days)},
    )


@dg.multi_asset(specs=[DETRENDED], retry_policy=RETRIES, pool="lake")
def detrended_metrics(place: Place) -> dg.MaterializeResult:
    """Take the rhythm out of the points that changed, and of those that rest on them."""
    with place.stage("detrended_metrics"):
        done = detrend_points(place.lake(), place.catalog())
    return dg.MaterializeResult(
        asset_key="detrended_metrics",
        metadata={"dagster/row_count": done.points, "with a number": done.answered, "days": listed(done.days)},
    )


@dg.multi_asset(specs=[ROLLING], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="warehouse")
def rolling_points(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Estimate the rolling windows that end on the days that were built, or a day later."""
    with place.warehouse("rolling"):
        done = roll_points(
            place.settings().warehouse_file,
            place.lake(),
            place.catalog().whole(),
            now=place.now(),
            days=backfill_days(context),
        )
    tell_days(context, "rolling_points", done.days)
    return dg.MaterializeResult(
        asset_key="rolling_points",
        metadata={"dagster/row_count": done.points, "with a number": done.answered, "days": listed(done.days)},
    )


@dg.multi_asset(specs=[MINUTES], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="warehouse")
def minute_counts(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Publish the minutes of the days that were built, as far back as they are kept."""
    with place.warehouse("counting minutes"):
        done = count_minutes(
            place.settings().warehouse_file,
            place.lake(),
            place.catalog(),
            now=place.now(),
            days=backfill_days(context),
        )
    tell_days(context, "minute_counts", done.days)
    return dg.MaterializeResult(
        asset_key="minute_counts", metadata={"dagster/row_count": done.minutes, "days": listed(done.days)}
    )


@dg.multi_asset(specs=[EFFECTS], retry_policy=RETRIES, pool="warehouse")
def deploy_effects(place: Place) -> dg.MaterializeResult:
    """Compare each metric before and after the deploys near the days that were built."""
    with place.warehouse("comparing deploys"):
        count = estimate_effects(place.settings().warehouse_file, place.lake(), place.catalog().whole())
    return dg.MaterializeResult(asset_key="deploy_effects", metadata={"dagster/row_count": count})


defs = dg.Definitions(assets=[metric_points, detrended_metrics, rolling_points, minute_counts, deploy_effects])
